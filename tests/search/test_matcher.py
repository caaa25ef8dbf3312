"""What is found without score maps, by one matcher many times, on many threads, is what score maps and peaks tell."""

import _thread
import concurrent.futures
import copy
import dataclasses
import json
import pickle
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracle
import tmatch
from profiles import examples
from tmatch import Box, Match, Matcher
from tmatch._engine import threads
from tmatch._search import matcher as matcher_module

pytestmark = pytest.mark.also_by_transforms

DTYPES = ["?", "u1", "i1", "u2", "i2", ">u2"]  # those first scored in single precision
THRESHOLDS = [-1, -0.2, 0, 0.3, 0.5, 0.8, 1]


def bare(matches):
    """Leave out what is not told by the score alone."""
    unknown = dict.fromkeys(["false_alarms", "second_best", "expected_score", "kind"])
    return [dataclasses.replace(match, **unknown) for match in matches]


def by_maps(image, template, threshold, max_overlap=0.3, **options):
    """All matches, by way of the score map and its peaks."""
    scores = tmatch.match_template(image, template, **options)
    heights = np.where(tmatch.score_validity(image, template, **options), scores, -np.inf)
    axis = options.get("channel_axis")
    shape = np.shape(template) if axis is None else tuple(np.delete(np.shape(template), axis))
    before = [{"same": n // 2, "full": n - 1}.get(options.get("output"), 0) for n in shape]
    matches = [
        Match(Box(tuple(place - before), shape), scores[tuple(place)])
        for place in tmatch.find_peaks(heights, threshold=threshold)
    ]
    return tmatch.non_max_suppression(matches, max_overlap=max_overlap)


def assert_located(image, template, threshold, **options):
    """Compare what is located with that, before and after suppression."""
    given = dict(options)
    if "mask" in given:
        given["masks"] = given.pop("mask")
    for max_overlap in (0.3, 1):
        found = tmatch.locate(image, template, threshold=threshold, max_overlap=max_overlap, **given)
        wanted = by_maps(image, template, threshold, max_overlap, **options)
        whole = all(np.asarray(a).dtype.kind in "biu" for a in (image, template, options.get("mask", True)))
        if whole:
            assert bare(found) == wanted
        else:
            assert [m.box for m in found] == [m.box for m in wanted]
            scores = [m.score for m in found], [m.score for m in wanted]
            np.testing.assert_allclose(*scores, rtol=1e-9, atol=1e-9)
    return found


@pytest.fixture
def bands(execute):
    """Look for peaks after so many places."""
    return lambda places: execute(band_positions=places)


# --- equals maps and peaks ------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_matches_are_the_peaks_of_the_map_to_the_last_bit(cut, bands, draw, dtype, axis):
    cut((13, 22))
    bands(300)
    image = np.array(draw((50, 60) if axis is None else (50, 60, 3), dtype))
    image[:20, 35:] = image[0, 0]  # flat
    image[30:39, 40:51] = image[:9, :11] = image[-9:, -11:] = image[22:31, 7:18]
    for height, width in [(9, 11), (3, 2)]:
        template = image[22 : 22 + height, 7 : 7 + width]
        pair = (image, template) if axis is None else [np.moveaxis(a, 2, axis) for a in (image, template)]
        for threshold in THRESHOLDS if dtype == "u1" else (-1, 0.3, 1):
            assert len(assert_located(*pair, threshold, channel_axis=axis)) >= 4


@st.composite
def searches(draw):
    dtype = np.dtype(draw(st.sampled_from(DTYPES[:5])))
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    values = st.sampled_from([low, low + 1, high])  # low contrast, high contrast, flat parts
    shape = draw(st.tuples(st.integers(1, 16), st.integers(2, 16)))
    image = np.tile(draw(hnp.arrays(dtype, shape, elements=values)), draw(st.sampled_from([(1, 1), (3, 2)])))
    size = [draw(st.integers(1, min(n, 6))) for n in image.shape]
    y, x = (draw(st.integers(0, n - k)) for n, k in zip(image.shape, size, strict=True))
    template = image[y : y + size[0], x : x + size[1]]
    assume(template.min() < template.max())
    return image, template


@given(
    searches(),
    st.sampled_from(THRESHOLDS),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(1, 99),
)
@settings(examples(30, nightly=60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_neither_tiles_nor_bands_change_a_match(cut, bands, search, threshold, block, places):
    cut(block)
    bands(places)
    assert_located(*search, threshold)


@pytest.mark.parametrize("dtype", DTYPES)
def test_places_without_a_score_are_never_matches(draw, dtype):
    image = np.array(draw((40, 50), dtype))
    image[:, 20:] = image[0, 0]
    for template in (image[3:6, 4:6], draw((12, 13), dtype, 1)):
        valid = tmatch.score_validity(image, template)
        matches = assert_located(image, template, -1)
        assert len(matches) > 1
        assert all(valid[m.box.start] for m in matches)
        assert tmatch.locate(np.full_like(image, 1), template, threshold=-1) == []


@pytest.mark.parametrize("block", [(99, 99), (7, 9)], ids=["one tile", "tiles"])
@pytest.mark.parametrize("period", [1, 8], ids=["everywhere", "columns"])
def test_a_plateau_is_one_match_however_many_tiles_and_bands_it_crosses(cut, bands, period, block):
    cut(block)
    bands(50)
    row = np.arange(60) if period == 1 else np.arange(60) % period == 0
    image = np.tile(row, (43, 1)).astype(np.uint8)
    matches = assert_located(image, image[:3, 7:10], 0.9)
    assert {m.box.start[0] for m in matches} == {20}
    assert len(matches) == (1 if period == 1 else 7)


def test_copies_on_the_rim_of_the_map_and_copies_that_touch_are_found(cut, draw):
    tile = draw((6, 7), "u1")
    image = np.tile(tile, (9, 8))
    for block in [(99, 99), (10, 13), (6, 7)]:
        cut(block)
        found = [m.box.start for m in assert_located(image, tile, 0.99)]
        assert found == [(y, x) for y in range(0, 54, 6) for x in range(0, 56, 7)]


MASK = np.arange(30).reshape(5, 6) % 4 > 0


@pytest.mark.parametrize("block", [(99, 99), (9, 11)], ids=["one tile", "tiles"])
@pytest.mark.parametrize(
    ("dtype", "options", "threshold"),
    [
        *[("u1", {"metric": m}, t) for m, t in [("ncc", 0.8), ("zcc", 1e4), ("cc", 5e5), ("ssd", -3e5)]],
        *[
            ("f8", {"metric": m}, t)
            for m, t in [("zncc", 0.1), ("cc", 1), ("nssd", -2), ("orientation", 0.1)]
        ],
        ("f4", {}, -1),
        ("i4", {}, 0.3),
        ("u1", {"mask": MASK}, 0.3),
        ("u1", {"mask": MASK}, -1),
        ("u1", {"mask": MASK * 0.5 + 0.1}, 0.3),
        ("f8", {"mask": MASK, "missing": "ignore"}, 0.2),
        ("f8", {"missing": "ignore", "metric": "nssd"}, -2),
        ("u1", {"image_mask": np.arange(1200).reshape(30, 40) % 7 > 0}, 0.2),
        ("u1", {"output": "same"}, 0.2),
        ("f8", {"output": "full", "min_overlap": 0.2}, 0.4),
    ],
)
def test_general_searches_find_the_peaks_of_their_maps_too(
    cut, bands, draw, dtype, options, threshold, block
):
    cut(block)
    bands(100)
    image = np.array(draw((30, 40), dtype))
    image[12:, 25:] = image[0, 0]
    template = image[8:13, 6:12].copy()
    if "missing" in options:
        image[draw(image.shape, seed=1) > 1.5] = np.nan
    assert len(assert_located(image, template, threshold, **options)) > 1


@pytest.mark.parametrize("dtype", ["u1", "f8"])
@pytest.mark.parametrize("shape", [(300,), (12, 13, 14)], ids=str)
def test_signals_and_volumes_are_searched_in_bands_too(cut, bands, draw, shape, dtype):
    image = np.array(draw(shape, dtype))
    part = tuple(slice(3, 3 + n) for n in (5, 4, 3)[: len(shape)])
    for block, places in [((99, 99, 99), 2**20), ((4, 5, 6), 1)]:
        cut(block[: len(shape)])
        bands(places)
        for threshold in (-1, 0.2, 0.9):
            assert Box((3,) * len(shape), image[part].shape) in {
                m.box for m in assert_located(image, image[part], threshold)
            }


# --- faint contrast -------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "bright"), [("u1", 255), ("u2", 65535), ("i2", 32767)])
def test_a_copy_of_one_grey_level_beside_a_bright_step_is_found_with_its_exact_score(draw, dtype, bright):
    pattern = draw((12, 14), "?")
    template = np.where(pattern, 200, 20).astype(np.uint8)
    image = np.zeros((150, 160), dtype)
    image[70:] = image[:, 90:] = bright
    image[40:52, 60:74] = pattern
    image[41, 62] = 2  # not quite a copy
    (match,) = tmatch.locate(image, template, threshold=0.9)
    expected = oracle.zncc(image[40:52, 60:74], template)[0, 0]
    assert match.box == Box((40, 60), (12, 14))
    assert match.score == tmatch.match_template(image, template)[40, 60] == pytest.approx(expected, abs=1e-14)
    assert 0.9 < match.score < 1


def faint_above_bright(seed, side, size, contrast, step):
    """Noise, brighter from some row on; in its dark part a faint copy of a template that is a step sideways."""
    image = np.random.default_rng(seed).integers(0, contrast, (side, side), dtype=np.uint16)
    image[step:] += 65000
    template = np.zeros((size, size), np.uint16)
    template[:, size // 2 :] = 65535
    image[4 : 4 + size, 9 : 9 + size] = np.where(template, 3 * contrast // 4, contrast // 4)
    return image, template


@pytest.mark.parametrize(
    "numbers", [(0, 240, 45, 62, 53), (6, 171, 35, 80, 43), (9, 300, 37, 75, 45)], ids=str
)
def test_steps_across_each_other_cost_no_match_and_few_digits(numbers):
    image, template = faint_above_bright(*numbers)
    scores = tmatch.match_template(image, template)
    single = tmatch.match_template(image, template, precision="single")
    assert np.abs(single - scores).max() < 1e-4
    assert [(m.box.start, m.score) for m in tmatch.locate(image, template, threshold=1)] == [((4, 9), 1.0)]


# --- a matcher ------------------------------------------------------------------------------------

SHAPES = [(3, 3), (20, 31), (21, 9), (5, 40), (1, 2), (4, 3), (24, 24)]


@pytest.fixture(scope="module")
def templates(draw):
    source = draw((60, 70), "u1")
    return {str(shape): source[9 : 9 + shape[0], 8 : 8 + shape[1]] for shape in SHAPES}


@pytest.fixture(scope="module")
def images(draw):
    """Of several sizes and dtypes, with the templates in some."""
    shapes = [(60, 70), (41, 90), (60, 70), (64, 64), (24, 40)]
    pairs = zip(shapes, ["u1", "u2", "f8", "i4", "u1"], strict=True)
    return [draw(shape, dtype) for shape, dtype in pairs] + [draw((60, 70), "u1").astype("f4")]


def same_maps(found, wanted, atol=0.0):
    return list(found) == list(wanted) and all(np.allclose(found[k], wanted[k], 0, atol) for k in wanted)


@pytest.mark.parametrize("block", [(999, 999), (29, 33)], ids=["one tile", "tiles"])
def test_one_matcher_does_for_any_image_what_functions_do_for_each(cut, images, templates, block):
    cut(block)
    matcher, single = Matcher(templates), Matcher(templates, precision="single")
    for image in [*images, images[0]]:
        maps = {label: tmatch.match_template(image, t) for label, t in templates.items()}
        whole = (
            image.dtype.itemsize <= 2 or image.dtype == np.float32
        )  # other scores may differ by a step of 2**-40
        assert same_maps(matcher.score(image), maps, 0.0 if whole else 2.0**-39)
        for label, scores in single.score(image).items():
            assert scores.dtype == np.float32
            np.testing.assert_allclose(scores, maps[label], rtol=0, atol=1e-4)
        assert matcher.locate(image, threshold=0.5) == tmatch.locate(image, templates, threshold=0.5)
        assert matcher.best(image) == tmatch.best_match(image, templates)
        assert matcher.best(image).score == max(scores.max() for scores in maps.values())


@pytest.mark.parametrize("threshold", [-1, 0.2, 0.8])
def test_templates_sought_together_give_what_each_alone_gives(images, templates, threshold):
    for image in images[:2]:
        alone = [
            Match(match.box, match.score, label)
            for label, template in templates.items()
            for match in by_maps(image, template, threshold, 1)
        ]
        together = Matcher(templates).locate(image, threshold=threshold, max_overlap=1)
        assert bare(together) == tmatch.non_max_suppression(alone, max_overlap=1)
        assert {m.label for m in together} >= {"(3, 3)", "(1, 2)"}


@given(st.permutations([str(shape) for shape in SHAPES]))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_of_the_templates_only_orders_the_maps(images, templates, order):
    matcher = Matcher({label: templates[label] for label in order})
    maps = matcher.score(images[0])
    assert list(maps) == order
    assert same_maps({label: maps[label] for label in templates}, Matcher(templates).score(images[0]))
    options = {"threshold": 0.3, "min_distance": 3, "max_count": 40}
    assert matcher.locate(images[0], **options) == tmatch.locate(images[0], templates, **options)


@pytest.mark.parametrize("metric", ["zncc", "orientation", "ssd", "nssd"])
def test_an_image_is_prepared_once_for_all_templates(monkeypatch, images, templates, metric):
    prepare, prepared = matcher_module.prepare_image, []
    monkeypatch.setattr(
        matcher_module, "prepare_image", lambda *args: prepared.append(args) or prepare(*args)
    )
    sought = {label: each for label, each in templates.items() if min(each.shape) > 2}
    maps = Matcher(sought, metric=metric).score(images[0])
    assert len(sought) > 1
    assert len(prepared) == 1
    assert same_maps(
        maps, {label: tmatch.match_template(images[0], each, metric=metric) for label, each in sought.items()}
    )


@pytest.mark.parametrize(
    ("metric", "scale"), [("ssd", 2**62), ("ssd", -(2**62)), ("nssd", 1e200), ("nssd", 1e-200)]
)
def test_what_has_to_be_rescaled_with_an_image_is_so_for_each_template(draw, metric, scale):
    image = draw((20, 30), "u1").astype(type(scale))
    image = image + scale if metric == "ssd" else image * scale
    mask = np.arange(20).reshape(4, 5) != 7
    sought = {"inside": image[3:7, 5:10], "masked": np.where(mask, image[9:13, 20:25], 0)}
    matcher = Matcher(sought, masks={"masked": mask}, metric=metric)
    for _ in range(2):
        maps = matcher.score(image)
        assert {label: scores.max() for label, scores in maps.items()} == {"inside": 0, "masked": 0}
        for label, template in sought.items():
            options = {"metric": metric, "mask": mask if label == "masked" else None}
            np.testing.assert_array_equal(maps[label], tmatch.match_template(image, template, **options))


def test_one_template_without_a_label_gives_one_map(images):
    template = images[0][5:12, 6:20]
    scores = Matcher(template).score(images[0])
    np.testing.assert_array_equal(scores, tmatch.match_template(images[0], template))
    assert [m.label for m in Matcher(template).locate(images[0])] == [""]
    assert list(Matcher({"": template}).score(images[0])) == [""]


def test_a_matcher_is_copied_and_pickled_after_use_too(images, templates):
    matcher = Matcher(templates)
    found = matcher.locate(images[0], threshold=0.4)
    for other in (copy.deepcopy(matcher), pickle.loads(pickle.dumps(matcher))):  # noqa: S301
        assert other.locate(images[0], threshold=0.4) == found


def test_threads_may_share_a_matcher(execute, cut, images, templates):
    execute(threaded_work=0)
    cut((30, 40), 2)
    wanted = [Matcher(templates).locate(image, threshold=0.4) for image in images]
    maps = [Matcher(templates).score(image) for image in images]
    matcher = Matcher(templates)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: matcher.locate(image, threshold=0.4), images * 2))
        scored = list(pool.map(matcher.score, images * 2))
    assert found == wanted * 2
    assert all(map(same_maps, scored, maps * 2))


def test_templates_and_masks_are_copied_and_nothing_is_written_to(images):
    image = images[0].copy()
    template, mask = image[5:12, 6:20].copy(), np.arange(98).reshape(7, 14) % 5 > 0
    matcher = Matcher({"a": template}, masks={"a": mask})
    before = matcher.locate(image, threshold=0.2)
    template[:], mask[:] = 0, False
    assert matcher.locate(image, threshold=0.2) == before
    assert (before[0].box.start, before[0].score) == ((5, 6), 1.0)
    np.testing.assert_array_equal(image, images[0])
    image.flags.writeable = template.flags.writeable = False
    assert matcher.locate(image, threshold=0.2) == before


def test_images_may_be_mapped_files(tmp_path, images, templates):
    for image in images[:3]:
        np.save(tmp_path / "image.npy", image)
        mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
        matcher = Matcher(templates)
        assert same_maps(matcher.score(mapped), matcher.score(image))
        assert matcher.locate(mapped, threshold=0.3) == matcher.locate(image, threshold=0.3)
        assert matcher.best(mapped) == matcher.best(image)


@pytest.mark.parametrize("metric", ["zncc", "ncc", "nssd", "orientation"])
def test_the_best_of_places_that_have_no_score_is_as_bad_as_its_map_says(draw, metric):
    image, template = np.zeros((20, 21), np.uint8), draw((5, 6), "u1")
    best = tmatch.best_match(image, template, metric=metric)
    assert bare([best])[0] == Match(
        Box((0, 0), (5, 6)), tmatch.match_template(image, template, metric=metric)[0, 0]
    )


# --- workers --------------------------------------------------------------------------------------


def answers(image, templates, workers):
    """Everything there is to ask."""
    template = templates["(4, 3)"]
    for precision in ("double", "single"):
        yield tmatch.match_template(image, template, precision=precision, workers=workers).tobytes()
        maps = Matcher(templates, precision=precision).score(image, workers=workers)
        yield [scores.tobytes() for scores in maps.values()]
    yield tmatch.score_validity(image, template, workers=workers).tobytes()
    yield tmatch.locate(image, templates, threshold=-1, max_overlap=1, workers=workers)  # all peaks there are
    for threshold in (0.3, 0.9):
        yield tmatch.locate(image, templates, threshold=threshold, workers=workers)
    yield Matcher(templates).best(image, workers=workers)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_the_number_of_workers_changes_no_byte_and_one_starts_no_thread(
    monkeypatch, execute, cut, bands, images, templates, dtype
):
    execute(threaded_work=0)
    start, started = threads._start, []
    monkeypatch.setattr(threads, "_start", lambda work: started.append(work) or start(work))
    cut((25, 30), 2)
    bands(999)
    image = images[0].astype(dtype)
    alone = list(answers(image, templates, 1))
    assert not started
    for workers in (2, 8):
        assert list(answers(image, templates, workers)) == alone
        assert started


# --- out ------------------------------------------------------------------------------------------


def rooms(shape, dtype, folder):
    """Places to write to, of several kinds."""
    yield np.full(shape, 7, dtype)
    yield np.full(shape, 7, dtype, order="F")
    yield np.full([2 * n for n in shape], 7, dtype)[::2, ::-2]
    yield np.memmap(folder / "scores", dtype, "w+", shape=shape)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("u1", {}),
        ("u1", {"precision": "single"}),
        ("f8", {"metric": "nssd", "missing": "ignore", "output": "same", "min_overlap": 0.9}),
        ("f4", {"metric": "ssd", "missing": "ignore", "precision": "single", "min_overlap": 0.9}),
    ],
)
def test_scores_are_written_where_they_are_wanted(cut, tmp_path, draw, dtype, options):
    cut((9, 11))
    image, template = np.array(draw((30, 40), dtype)), draw((5, 6), dtype, 1)
    if "missing" in options:
        image[draw(image.shape, seed=1) > 1.5] = np.nan
    expected = tmatch.match_template(image, template, **options)
    for out in rooms(expected.shape, expected.dtype, tmp_path):
        assert tmatch.match_template(image, template, out=out, **options) is out
        np.testing.assert_array_equal(out, expected)
        if out.strides[1] < 0:  # what lies between is left alone
            assert np.all(out.base[1::2] == 7)
            assert np.all(out.base[:, ::2] == 7)
    np.testing.assert_array_equal(np.memmap(tmp_path / "scores", expected.dtype).reshape(out.shape), expected)


READ_ONLY = np.zeros((7, 8))
READ_ONLY.flags.writeable = False


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("out", "precision", "what"),
    [
        (np.zeros((7, 8), "f4"), "double", "float32 (7, 8)"),
        (np.zeros((7, 8)), "single", "float64 (7, 8)"),
        (np.zeros((7, 8), int), "double", "int64 (7, 8)"),
        (np.zeros((8, 7)), "double", "float64 (8, 7)"),
        (np.zeros(56), "double", "float64 (56,)"),
        (READ_ONLY, "double", "float64 (7, 8)"),
        ([[0.0] * 8] * 7, "double", "list"),
    ],
)
def test_places_that_cannot_be_written_to_are_refused(draw, out, precision, what):
    wanted = {"double": "float64", "single": "float32"}[precision]
    sentence = f"`out` is {what}; it must be an array of {wanted} with shape (7, 8) that can be written to"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tmatch.match_template(draw((9, 11)), draw((3, 4)), out=out, precision=precision)


def test_scores_are_not_written_over_the_image_they_are_made_of(cut, draw):
    cut((9, 11))
    image, template = np.array(draw((30, 40))), draw((5, 6), seed=1)
    with pytest.raises(ValueError, match="`out`"):
        tmatch.match_template(image, template, output="same", out=image)
    np.testing.assert_array_equal(image, draw((30, 40)))


# --- progress -------------------------------------------------------------------------------------

CALLS = {
    "match_template": lambda image, **options: tmatch.match_template(image, image[3:12, 4:15], **options),
    "locate": lambda image, **options: tmatch.locate(image, image[3:12, 4:15], **options),
    "locate low": lambda image, **options: tmatch.locate(image, image[3:12, 4:15], threshold=-1, **options),
    "score": lambda image, **options: Matcher({"a": image[:9], "b": image[:2, :2]}).score(image, **options),
    "find": lambda image, **options: Matcher({"a": image[:9], "b": image[:2, :2]}).locate(image, **options),
    "best": lambda image, **options: Matcher({"a": image[:9], "b": image[:2, :2]}).best(image, **options),
}


@pytest.fixture(params=CALLS)
def call(execute, cut, request):
    """Something that takes a while, on threads."""
    execute(threaded_work=0)
    cut((10, 9), 3)
    return CALLS[request.param]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("dtype", ["u1", "f8"])
def test_progress_grows_to_its_end(monkeypatch, draw, call, dtype, workers):
    told, begun, run = [], [], threads.run

    def noted(*jobs, **options):
        begun.append(max(told, default=0.0))
        run(*jobs, **options)

    monkeypatch.setattr(threads, "run", noted)
    call(draw((60, 70), dtype), workers=workers, progress=told.append)
    assert {type(share) for share in told} == {float}
    assert told == sorted(set(told))
    assert len(told) > 5
    assert told[0] > 0
    assert told[-1] == 1.0
    assert max(begun) < 1  # nothing is left to do when all is told to be done


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_in_progress_ends_the_search_and_comes_out(draw, call, error, workers):
    running, told = _thread._count(), []

    def progress(share):
        told.append(share)
        if len(told) >= 3:
            raise error(share)

    with pytest.raises(error) as caught:
        call(draw((60, 70), "u1"), workers=workers, progress=progress)
    assert caught.value.args[0] in told[2:]
    assert len(told) <= 2 + workers  # each thread ends with the tile at hand
    patience = time.monotonic() + 5
    while _thread._count() > running and time.monotonic() < patience:
        time.sleep(0.001)
    assert _thread._count() <= running


# --- refusals -------------------------------------------------------------------------------------

GOOD = np.arange(20).reshape(4, 5) % 7
TORN = np.where(GOOD == 6, np.nan, GOOD)
KNOWN = (
    "masks, angles, scales, flips, search, subpixel, metric, missing, min_overlap, output, channel_axis, "
    "channel_weights, channel_means, precision"
)


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("templates", "options", "sentence"),
    [
        ({}, {}, "`templates` is an empty mapping; it must hold at least one template"),
        (
            GOOD,
            {"metrics": "ncc"},
            f"`Matcher` has no option `metrics` (did you mean `metric`?); its options are {KNOWN}",
        ),
        (
            {"good": GOOD, "flat": GOOD * 0},
            {},
            'template "flat" is constant: every window would fit as well; use one with some contrast',
        ),
        (
            {"good": GOOD, "torn": TORN},
            {},
            'template "torn" is nan at [1, 1]; all pixels must be finite: replace NaN and infinity first, for '
            "instance with np.nan_to_num",
        ),
        (
            {"good": GOOD},
            {"channel_axis": 2},
            '`channel_axis` is 2, but template "good" has only 2 axes',
        ),
        (
            {"good": GOOD, "none": []},
            {},
            'template "none" is empty: shape (0,); it must have at least one pixel',
        ),
        (
            {"good": GOOD},
            {"masks": {"good": GOOD[:2]}},
            'the mask of "good" has shape (2, 5); it must have the template\'s: (4, 5), with or without channels',
        ),
    ],
)
def test_templates_that_could_be_found_nowhere_are_refused(templates, options, sentence):
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(sentence)}$"):
        Matcher(templates, **options)


def test_a_template_that_vanishes_beside_an_image_is_refused_by_its_label():
    matcher = Matcher({"faint": np.full((3, 3), 1e-300)}, metric="nssd")
    sentence = (
        'template "faint" has values up to 1e-300 and `image` up to 1e+300; their squares do not fit into float64 '
        "together: scale one of them"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        matcher.score(np.full((9, 9), 1e300))


@pytest.mark.engine_free
def test_a_template_larger_than_an_image_is_refused_by_its_label(draw):
    matcher = Matcher({"good": GOOD, "big": draw((9, 30), "u1")})
    sentence = (
        'template "big" has shape (9, 30), larger than `image` (20, 25) on axes 1; crop or shrink it, or swap the '
        "two if they are in the wrong order"
    )
    for search in (matcher.score, matcher.locate, matcher.best):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
            search(draw((20, 25), "u1"))
    assert list(matcher.score(draw((20, 30), "u1"))) == ["good", "big"]  # and nothing is broken by that


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("progress", 5, "`progress` is 5; it must be a function of one number, as `bar.update`, or None"),
        ("workers", 0, "`workers` is 0; it must be a whole number of at least 1"),
        ("min_distance", 0, "`min_distance` is 0; it must be a whole number of at least 1"),
        ("min_distance", None, "`min_distance` is None; it must be a whole number of at least 1"),
        ("max_overlap", 2, "`max_overlap` is 2; it must be from 0 (boxes may touch) to 1 (no suppression)"),
        (
            "threshold",
            2,
            "`threshold` is 2; zncc scores are from -1 to 1: name one that some place could reach",
        ),
    ],
)
def test_options_out_of_range_are_refused_before_any_work(draw, option, value, sentence):
    matcher, image, told = Matcher(GOOD), draw((20, 25), "u1"), []
    options = {"progress": told.append, option: value}
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(sentence)}$"):
        matcher.locate(image, **options)
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(sentence)}$"):
        tmatch.locate(image, GOOD, **options)
    for search in (matcher.score, matcher.best, lambda *a, **o: tmatch.match_template(*a, GOOD, **o)):
        if option in ("progress", "workers"):
            with pytest.raises((ValueError, TypeError), match=f"^{re.escape(sentence)}$"):
                search(image, **options)
    assert told == []


# --- memory ---------------------------------------------------------------------------------------

FIND = """
import json, sys, time
import numpy as np, tmatch

def peak():  # of this process alone, in MB
    return next(int(line.split()[1]) / 1e3 for line in open("/proc/self/status") if line.startswith("VmHWM"))

image = np.memmap(sys.argv[1], np.uint8, "r", shape=(6000, 6000))
template = np.array(image[4000:4032, 5000:5032])
if sys.argv[2] == "absent":  # then the whitened image is searched, too
    template = np.random.default_rng(2).integers(0, 256, (32, 32)).astype(np.uint8)
tmatch.locate(np.array(image[3900:4300, 4900:5300]), template)
before = peak()
found = tmatch.locate(image, template)
print(json.dumps({"found": [(m.box.start, m.score) for m in found], "grown": peak() - before}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(("what", "most"), [("present", 200), ("absent", 280)])
def test_a_search_in_a_large_file_keeps_no_map_of_it(tmp_path, draw, what, most):
    image = np.memmap(tmp_path / "image", np.uint8, "w+", shape=(6000, 6000))  # most of it a hole: zeros
    image[3950:4050] = draw((100, 6000), "u1")
    image[4000:4032, 5000:5032] = draw((32, 32), "u1", 1)
    image.flush()
    command = [sys.executable, "-c", FIND, str(tmp_path / "image"), what]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert told["found"] == ([[[4000, 5000], 1.0]] if what == "present" else [])
    # A map would take 285, in single precision 142 more than the 36 of the file; 72 are a whitened image in a file.
    assert told["grown"] < most


@pytest.mark.engine_free
def test_a_matcher_tells_what_it_seeks(draw):
    told = repr(tmatch.Matcher({"eye": draw((3, 4)), "nose": draw((5, 6))}, metric="ncc"))
    assert told == "Matcher(eye (3, 4), nose (5, 6); ncc)"
    assert repr(tmatch.Matcher(draw((3, 4, 5)), channel_axis=2)) == (
        "Matcher(template (3, 4) with 5 channels; zncc)"
    )


@pytest.mark.engine_free
def test_no_template_is_refused():
    with pytest.raises(TypeError, match="`template` has dtype object; it must hold real numbers"):
        tmatch.Matcher(None)


def test_channel_weights_are_copied(draw):
    image, weights = draw((20, 25, 3)), [1.0, 2.0, 0.5]
    matcher = tmatch.Matcher(image[3:9, 4:12], channel_axis=2, channel_weights=weights)
    before = matcher.score(image)
    weights[0] = 100.0
    np.testing.assert_array_equal(matcher.score(image), before)
