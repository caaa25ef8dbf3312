"""Missing pixels and templates that reach beyond the image: every window beside the definition in long double."""

import functools
import math

import numpy as np
import pytest

import hard_images
import oracle
import tmatch
from hard_images import cut, hard_image, seen_zncc, template_place
from loops import each
from tmatch._scoring.batch.float_tile import FloatTile
from tmatch._scoring.batch.missing_tile import MissingFloatTile
from tmatch._scoring.maps import score_map

BOUNDS = {"double": 1e-9, "single": 1e-4}
SHAPE, WINDOW, TILE = (70, 84), (12, 11), (33, 37)
SOME = [  # of each way in which digits are lost one
    "offset 1e8, contrast 1e-6, f8",
    "texture 1 about 1000, f2",
    "flat 1e6 beside texture 1, f4",
    "stripes of contrast 1 and 1e-6, f8",
    "one pixel 1e12, f4",
    "plateaus + contrast fading to 1e-9, f8",
    "top flat beside few levels, u2",
    "fading to single levels, i4",
]
KINDS = ["scattered", "blocks", "half", "same", "full", "full and blocks"]
MIN_OVERLAP = 0.3

names = pytest.mark.parametrize("name", hard_images.NAMES)
some_names = pytest.mark.parametrize("name", SOME)
kinds = pytest.mark.parametrize("kind", KINDS)
precisions = pytest.mark.parametrize("precision", BOUNDS)


def seen_pixels(kind, shape):
    """Which pixels of an image are there."""
    rng, seen = np.random.default_rng(11), np.ones(shape, bool)
    if "scattered" in kind:
        seen = rng.random(shape) > 0.03
    if "blocks" in kind:
        for y, x in rng.integers(0, shape, (12, 2)):
            seen[y : y + 5, x : x + 7] = False
    if "half" in kind:
        seen[:, shape[1] // 2 + 3 :] = rng.random((shape[0], shape[1] - shape[1] // 2 - 3)) > 0.6
    return seen


def options_of(kind):
    output = kind.partition(" ")[0]
    return {"output": output if output in ("same", "full") else "valid", "min_overlap": MIN_OVERLAP}


def padded(image, seen, window, output):
    """The image and what is there of it, with all that windows reach."""
    margins = {
        "valid": [(0, 0)] * 2,
        "same": [(n // 2, n - 1 - n // 2) for n in window],
        "full": [(n - 1, n - 1) for n in window],
    }[output]
    return np.pad(image, margins), np.pad(seen, margins)


@functools.cache
def case(name, kind, shape=SHAPE, window=WINDOW, *, across=False):
    """Image, template, options, and what there is by definition."""
    image, seen, options = hard_image(name, shape), seen_pixels(kind, shape), options_of(kind)
    template = cut(image, template_place(name, shape, window, across=across), window)
    expected = seen_zncc(*padded(image, seen, window, options["output"]), template, MIN_OVERLAP)
    if not seen.all():
        options["image_mask"] = seen
    return image, template, options, expected


def assert_map(image, template, options, expected, precision):
    found = score_map(image, template, **options, precision=precision)
    assert np.all(np.abs(found.scores) <= 1)  # not so for NaN either
    np.testing.assert_array_equal(found.valid, expected[1])
    np.testing.assert_allclose(found.scores, expected[0], rtol=0, atol=BOUNDS[precision])
    assert np.all(found.scores[~found.valid] == 0)


@names
@kinds
@precisions
@each("across", [False, True])
def test_every_window_of_a_hard_image_keeps_its_score(execute, name, kind, precision, across):
    execute(tile=TILE, min_compiled_side=1)
    assert_map(*case(name, kind, across=across), precision)


@pytest.mark.parametrize("name", ["texture 1 about 1000, f4", "top flat beside few levels, u2"])
@precisions
@each("kind", ["scattered", "half", "full"])
@each("metric", ["zncc", "ncc", "orientation"])
def test_channels_and_metrics_equal_the_oracle(execute, name, precision, kind, metric):
    execute(tile=(7, 9), min_compiled_side=1)
    shape = (14, 17)
    image = np.stack([hard_image(name, shape), hard_image(name, shape, 2)[:, ::-1]], axis=-1)
    template, seen = image[4:10, 3:8].copy(), seen_pixels(kind, shape)
    options = {"metric": metric, "output": options_of(kind)["output"], "min_overlap": 0.1}
    options |= {"channel_axis": 2} | ({} if seen.all() else {"image_mask": seen})
    scores, valid, _ = oracle.score(image, template, **options)
    found = score_map(image, template, **options, precision=precision)
    np.testing.assert_array_equal(found.valid, valid)
    np.testing.assert_allclose(found.scores, scores, rtol=0, atol=BOUNDS[precision])


@some_names
@precisions
@each("kind", ["half", "full and blocks"])
def test_any_tiles_will_do_on_any_threads(execute, name, precision, kind):
    image, template, options, expected = case(name, kind, across=True)
    for tile in ((9, 13), (40, 99)):
        execute(tile=tile, min_compiled_side=1, cores=2, threaded_work=0)
        assert_map(image, template, options, expected, precision)
        one, two = (
            tmatch.match_template(image, template, **options, precision=precision, workers=w) for w in (1, 2)
        )
        assert one.tobytes() == two.tobytes()


@precisions
@each("hole", [np.nan, 0, 1e30, -1e300])
@each("dtype", ["f4", "f8"])
def test_what_is_missing_does_not_matter(precision, hole, dtype):
    image, seen = np.array(hard_image("texture 1 about 1000, f4", SHAPE)), seen_pixels("blocks", SHAPE)
    template = cut(image, (20, 30), WINDOW)
    options = {"min_overlap": MIN_OVERLAP, "precision": precision, "image_mask": seen}
    expected = tmatch.match_template(image.astype(dtype), template, **options)
    with np.errstate(over="ignore"):
        holed = np.where(seen, image, hole).astype(dtype)
    scores = tmatch.match_template(holed, template, **options, missing="ignore")
    assert scores.tobytes() == expected.tobytes()


@precisions
def test_windows_with_nothing_to_compare_have_no_score(execute, precision):
    """Constant where they are valid, or where they show a constant part of the template; beside bright texture."""
    execute(tile=(40, 50), min_compiled_side=1)
    rng, seen = np.random.default_rng(0), np.ones((90, 100), bool)
    image = rng.normal(size=seen.shape).astype("f4")
    image[:30] *= 1e6
    image[50:80, 10:60] = 3
    seen[rng.random(seen.shape) < 0.1] = False
    seen[20:60, 50:80] = False
    template = np.ones((12, 14), "f4")
    template[:5, :6] = rng.normal(size=(5, 6))
    expected = seen_zncc(image, seen, template, 0.1)
    assert 0.05 < 1 - expected[1].mean() < 0.5
    options = {"image_mask": seen, "min_overlap": 0.1}
    assert_map(image, template, options, expected, precision)


@pytest.mark.parametrize("share", [0.2, 0.5, 1])
@each("kind", ["scattered", "half", "full and blocks"])
@each("dtype", ["u1", "f4"])
def test_scores_begin_where_enough_is_valid(share, kind, dtype):
    image, seen = np.random.default_rng(3).integers(0, 99, SHAPE).astype(dtype), seen_pixels(kind, SHAPE)
    template = cut(image, (20, 30), WINDOW)
    options = options_of(kind) | {"min_overlap": share, "image_mask": seen}
    parts = np.lib.stride_tricks.sliding_window_view(
        padded(image, seen, WINDOW, options["output"])[1], WINDOW
    )
    enough = parts.sum(axis=(2, 3)) >= share * template.size
    np.testing.assert_array_equal(tmatch.score_validity(image, template, **options), enough)


@pytest.mark.engine_free
def test_too_much_may_be_missing():
    image, seen = np.random.default_rng(0).normal(size=(40, 50)), np.zeros((40, 50), bool)
    seen[::2] = True
    with pytest.raises(
        ValueError, match=r"^at most 0\.6 of the template lies on valid pixels at any position, and"
    ):
        tmatch.match_template(image, image[:5, :9], image_mask=seen, min_overlap=0.7)


@some_names
@precisions
@each("kind", ["half", "full and blocks"])
def test_work_is_bounded(monkeypatch, name, kind, precision):
    """Work is counted, not timed: tiles that are scored in double precision, and pixels of windows by definition."""
    shape, window = (300, 360), (64, 64)
    image, seen = hard_image(name, shape), seen_pixels(kind, shape)
    template = cut(image, template_place(name, shape, window, across=True), window)
    tiles, windows = [], []
    score_double, by_definition = FloatTile.score_double, MissingFloatTile._by_definition

    def counted_tile(tile, *args):
        tiles.append(math.prod(tile.shape))
        return score_double(tile, *args)

    def counted_windows(tile, prepared, positions):
        windows.append(len(positions) * template.size)
        return by_definition(tile, prepared, positions)

    monkeypatch.setattr(FloatTile, "score_double", counted_tile)
    monkeypatch.setattr(MissingFloatTile, "_by_definition", counted_windows)
    tmatch.match_template(image, template, **options_of(kind), image_mask=seen, precision=precision)
    # A tile takes about 30 ns a pixel, and a pixel of a window 1.
    assert 30 * sum(tiles) + sum(windows) < 500 * image.size
