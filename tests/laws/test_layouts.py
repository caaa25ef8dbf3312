"""Arrays of any layout and byte order, and read-only ones: the values alone count, and nothing is written to them."""

import dataclasses
import inspect
import itertools

import numpy as np
import pytest

import tmatch
from tmatch import Box
from tmatch._engine.numpy import sliding
from tmatch.compat import cv2 as like_cv2
from tmatch.compat import skimage as like_skimage
from tmatch.synthetic import make_clutter, make_scene

BORDERS = ["constant", "edge", "reflect", "symmetric", "wrap"]
METRICS = ["zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation"]
REAL = ["?", "u1", "i8", "f4", "f8", "g"]

# Each calls with arrays that `lay` lays out, and gives what there is to compare.


def windows(draw, lay, dtype):
    for shape, window in [((9, 8), (3, 2)), ((12, 13), (5, 6)), ((5, 6, 4), (2, 3, 2))]:
        array = draw(shape, dtype)
        yield tmatch.correlate(lay(array), lay(draw(window, dtype, 1)), output="valid")
        yield sliding.sliding_sum(lay(array), window)
        if dtype != "c8":
            yield sliding.sliding_max(lay(array), window)
            yield sliding.sliding_min(lay(array), window)


def kernels(draw, dtype):
    """Give those summed tap by tap, axis by axis, and by transforms; and one larger than the image."""
    yield draw((3, 4), dtype, 5)
    yield np.outer(draw((9,), dtype, 5), draw((8,), dtype, 6))
    yield draw((21, 20), dtype, 5)
    yield draw((41, 38), dtype, 5)


def filters(draw, lay, dtype, function):
    options = [{"stride": (1, 2), "anchor": (1, 2)}, {}]
    for kernel, border, more in itertools.product([*kernels(draw, "f8")], BORDERS, options):
        yield function(lay(draw((40, 37), dtype)), lay(kernel), border=border, **more)


def scores(draw, lay, dtype):
    for more in ((), (3,)):
        image, template = draw((12, 13, *more), dtype, 1), draw((5, 6, *more), dtype, 2)
        yield tmatch.match_template(lay(image), lay(template), channel_axis=2 if more else None)


def masked_scores(draw, lay, dtype, function=tmatch.match_template):
    exists = np.random.default_rng(4).random((12, 13)) < 0.98
    image, template = draw((12, 13, 2), dtype), draw((5, 6, 2), dtype, 1)
    masks = {"mask": lay(draw((5, 6), "f8", 2) ** 2), "image_mask": lay(exists)}
    for metric in METRICS:
        options = {"metric": metric, "channel_axis": 2, "min_overlap": 0.1}
        yield function(lay(image), lay(template), **masks, **options)


def matches(draw, lay, dtype):
    image = draw((40, 50), dtype)
    found = tmatch.locate(lay(image), lay(image[3:12, 4:15]))
    assert [(m.box, round(m.score, 12)) for m in found] == [(Box((3, 4), (9, 11)), 1)]
    return found


def many(draw, lay, dtype):
    images = [draw((40, 50), dtype), draw((30, 50), dtype, 1)]
    template = lay(images[0][3:12, 4:15])
    return [
        (name, [*found], found.missing)
        for name, found in tmatch.locate_many(map(lay, images), {"a": template})
    ]


def best(draw, lay, dtype):
    image = draw((40, 50), dtype)
    return tmatch.best_match(lay(image), {"a": lay(image[3:12, 4:15]), "b": lay(draw((5, 6), dtype, 1))})


def matcher(draw, lay, dtype):
    image = draw((40, 50), dtype)
    templates = {"a": lay(image[3:12, 4:15]), "b": lay(draw((5, 6), dtype, 1))}
    sought = tmatch.Matcher(templates, masks={"a": lay(draw((9, 11), "?", 2))})
    return [*sought.score(lay(image)).values(), sought.locate(lay(image), threshold=0.3)]


def explanation(draw, lay, dtype):
    image = draw((30, 40), dtype)
    told = tmatch.explain(lay(image), lay(image[3:12, 4:15]), at=(3, 5))
    return dataclasses.replace(told, noise=None, text="")


def chance(draw, lay, dtype):
    template = draw((8, 9), "u1", 2)
    found = tmatch.match_template(draw((60, 70), "u1", 1), template).astype(dtype)
    valid = np.random.default_rng(3).random(found.shape) < 0.9
    told = tmatch.estimate_chance(lay(np.where(valid, found, 0)), lay(template), valid=lay(valid))
    return [told.learnt_from, told.least_scores(0.01)]


def rows(draw, lay, dtype):  # noqa: ARG001 - a picture in which something can be found
    box = Box((41, 67), (18, 24))
    template = tmatch.to_range(make_clutter(box.shape, rng=1))
    image = tmatch.to_range(make_scene(make_clutter((110, 140), rng=2), template, [box.start])[0])
    kinds = {"noise": [0, 30, 90], "blur": [2], "occlusion": [0.2, 0.4], "rotation": [3]}
    return tmatch.robustness(
        lay(image.astype(dtype)), lay(template.astype(dtype)), kinds=kinds, trials=4, rng=7
    )


def inspection(draw, lay, dtype):
    mask = draw((9, 10), "?", 1)
    for options in ({}, {"mask": lay(mask)}):
        yield tmatch.inspect_template(lay(draw((9, 10), dtype)), **options)


def like_opencv(draw, lay, dtype):
    image, templ, mask = draw((9, 8, 3), dtype, 1), draw((3, 4, 3), dtype, 2), draw((3, 4), "u1", 3)
    for method in range(6):
        yield like_cv2.matchTemplate(lay(image), lay(templ), method, mask=lay(mask))


def like_scikit_image(draw, lay, dtype):
    image, template = draw((9, 8, 3), dtype, 1), draw((3, 4, 3), dtype, 2)
    return like_skimage.match_template(lay(image), lay(template), pad_input=True)


def drawn(figure):
    return [
        np.ma.filled(image.get_array().astype(float), -1) for axes in figure.axes for image in axes.images
    ]


def plots(draw, lay, dtype):
    template = draw((9, 10), dtype)
    yield drawn(tmatch.plot_inspection(lay(template), tmatch.inspect_template(template)))


CALLS = {  # dtypes, how far numbers may be off (sums in another order), and the call
    "windows": (["u1", "i4", "f4", "f8", "c8"], 0, windows),
    "correlate": (
        ["?", "u1", "i2", "f4", "f8", "c8", "c16"], 0, lambda *a: filters(*a, tmatch.correlate)
    ),
    "convolve": (["?", "u1", "i2", "f4", "f8", "c8", "c16"], 0, lambda *a: filters(*a, tmatch.convolve)),
    "to_range": (["i2", "f4", "f8"], 0, lambda draw, lay, dtype: tmatch.to_range(lay(100 * draw((9, 8), dtype)))),
    "match_template": (REAL, 1e-14, scores),
    "match_template masked": (["u1", "u2", "f4", "f8"], 1e-12, masked_scores),
    "score_validity": (["u1", "f4"], 0, lambda *a: masked_scores(*a, function=tmatch.score_validity)),
    "find_peaks": (["u1", "i8", "f4", "f8"], 0, lambda draw, lay, dtype: tmatch.find_peaks(lay(draw((9, 8), dtype)))),
    "locate": (["u1", "i8", "f4", "f8"], 1e-12, matches),
    "locate_many": (["u1", "f8"], 1e-12, many),
    "best_match": (["u1", "f8"], 1e-12, best),
    "Matcher": (["u1", "u2", "f8"], 1e-12, matcher),
    "explain": (["i8"], 0, explanation),
    "estimate_chance": (["f4", "f8"], 0, chance),
    "estimate_noise": (
        ["u1", "f8"], 1e-12, lambda draw, lay, dtype: tmatch.estimate_noise(lay(draw((30, 40), dtype)))
    ),
    "robustness": (["u1"], 0, rows),
    "inspect_template": (["u1", "i8", "f4", "f8"], 1e-9, inspection),
    "matchTemplate": (["f4"], 1e-7, like_opencv),
    "skimage": (["f4"], 1e-6, like_scikit_image),
    "plot_inspection": (["u1", "f8"], 1e-9, plots),
    "plot_heatmap": (["f8"], 0, lambda draw, lay, dtype: drawn(tmatch.plot_heatmap(lay(draw((9, 8), dtype))))),
    "plot_matches": (["u1"], 0, lambda draw, lay, dtype: drawn(tmatch.plot_matches(lay(draw((9, 8), dtype)), []))),
}  # fmt: skip


def whole(told):
    return list(told) if inspect.isgenerator(told) else told


def assert_alike(found, expected, bound):
    """Compare what was told: arrays by their dtype too, numbers as near as that, all else exactly."""
    assert type(found) is type(expected)
    if isinstance(found, np.ndarray):
        assert found.dtype == expected.dtype
        assert found.dtype.isnative
        largest = max(1, np.abs(expected).max(initial=0)) if bound else 1
        np.testing.assert_allclose(found, expected, rtol=0, atol=bound * largest)
    elif isinstance(found, float):
        assert found == pytest.approx(expected, rel=bound, abs=bound)
    elif dataclasses.is_dataclass(found):
        for field in dataclasses.fields(found):
            assert_alike(getattr(found, field.name), getattr(expected, field.name), bound)
    elif isinstance(found, dict):
        assert_alike(list(found.items()), list(expected.items()), bound)
    elif isinstance(found, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other, bound)
    else:
        assert found == expected


@pytest.fixture(scope="module")
def known(engine):  # noqa: ARG001 - each engine tells its own
    """What was told of arrays as they are, by name and dtype."""
    return {}


@pytest.mark.also_by_transforms
@pytest.mark.parametrize("name", CALLS)
def test_memory_layout_and_byte_order_change_nothing(draw, layout, known, name):
    dtypes, bound, call = CALLS[name]
    laid_out = []

    def lay(array):
        laid_out.append((layout(array), np.array(array)))
        return laid_out[-1][0]

    for dtype in dtypes:
        if (name, dtype) not in known:
            known[name, dtype] = whole(call(draw, np.array, dtype))
        assert_alike(whole(call(draw, lay, dtype)), known[name, dtype], bound)
    for array, before in laid_out:
        np.testing.assert_array_equal(array, before)


@pytest.mark.engine_free
def test_all_public_functions_that_take_arrays_are_called_above():
    arrays = {"image", "template", "templates", "scores", "values", "kernel"}
    public = {name: getattr(tmatch, name) for name in tmatch.__all__ if callable(getattr(tmatch, name))}
    taking = {name for name, call in public.items() if arrays & set(inspect.signature(call).parameters)}
    assert taking <= {name.split()[0] for name in CALLS}
