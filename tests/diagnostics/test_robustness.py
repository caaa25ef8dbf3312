import dataclasses
import io
import itertools
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.transforms import Bbox
from PIL import Image

import pose_scenes
import tmatch
from loops import each
from tmatch import Box
from tmatch._diagnostics.distortions import DISTORTIONS, Scene, distort
from tmatch._diagnostics.robustness import RobustnessRow, robustness
from tmatch._plotting.robustness import plot_robustness
from tmatch._results.formats import format_rows
from tmatch.synthetic import make_clutter, make_scene

pytestmark = pytest.mark.one_engine

BOX = Box((41, 67), (18, 24))
TEMPLATE = tmatch.to_range(make_clutter(BOX.shape, rng=1))
IMAGE = tmatch.to_range(make_scene(make_clutter((110, 140), rng=2), TEMPLATE, [BOX.start])[0])
FLOATS = IMAGE.astype(float)
COLOUR = np.stack([IMAGE, IMAGE[::-1], IMAGE[:, ::-1]], axis=-1)
RANDOM = ("noise", "occlusion")


def harmed(kind, level, pixels=IMAGE, box=BOX, seed=0):
    return distort(Scene.of(pixels, box), kind, level, np.random.default_rng(seed))


def as_bytes(values):
    """What a camera of 8 bits makes of it."""
    return np.vectorize(lambda v: min(max(round(v), 0), 255), otypes=[np.uint8])(values)


# --- each distort does what it says ------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize("level", [10, 50])
def test_noise_has_its_standard_deviation_and_no_memory(level):
    noise = (
        harmed("noise", level, FLOATS / 255) * 255 - FLOATS
    )  # a range of 1, as the scene has black and white
    level *= np.ptp(IMAGE) / 255
    assert noise.std() == pytest.approx(level, rel=0.02)
    assert abs(noise.mean()) < 0.03 * level
    for neighbour in (noise[1:, :] * noise[:-1, :], noise[:, 1:] * noise[:, :-1]):
        assert abs(neighbour.mean()) < 0.03 * level**2
    assert stats_of_bell(noise / level) == pytest.approx([0, 3], abs=0.15)


def stats_of_bell(values):
    return np.mean(values**3), np.mean(values**4)


@pytest.mark.engine_free
def test_noise_of_colours_is_not_that_of_grey():
    red, green, _ = np.moveaxis(harmed("noise", 20, COLOUR.astype(float)) - COLOUR, -1, 0)
    assert abs(np.corrcoef(red.ravel(), green.ravel())[0, 1]) < 0.03


@pytest.mark.engine_free
@pytest.mark.parametrize("sigma", [0.5, 1, 2])
def test_blur_spreads_a_point_by_the_bell(sigma):
    point = np.zeros((41, 43))
    point[20, 21] = 1
    bell = [[math.exp(-((y - 20) ** 2 + (x - 21) ** 2) / 2 / sigma**2) for x in range(43)] for y in range(41)]
    np.testing.assert_allclose(harmed("blur", sigma, point), bell / np.sum(bell), atol=2e-4)


@pytest.mark.engine_free
@pytest.mark.parametrize("level", [0.5, 0.1, 1.5])
def test_gain_stretches_about_middle_grey(level):
    expected = as_bytes(127.5 + level * (FLOATS - 127.5))
    np.testing.assert_array_equal(harmed("gain", level), expected)


@pytest.mark.engine_free
def test_gain_of_floats_is_about_the_middle_of_their_range():
    image = FLOATS / 1000 - 7
    middle = (image.min() + image.max()) / 2
    np.testing.assert_allclose(harmed("gain", 0.25, image), 0.25 * image + 0.75 * middle, rtol=1e-12)


@pytest.mark.engine_free
def test_a_gradient_grows_from_left_to_right():
    flat = np.full((5, 101), 100, np.uint8)
    row = [100 - 25 + 0.5 * x for x in range(101)]
    np.testing.assert_array_equal(harmed("gradient", 50, flat, Box((0, 0), (2, 2))), as_bytes([row] * 5))


@pytest.mark.engine_free
@pytest.mark.parametrize("level", [0.1, 0.25, 0.5, 1])
@pytest.mark.parametrize("pixels", [IMAGE, COLOUR], ids=["grey", "colour"])
def test_occlusion_hides_its_share_of_the_box_and_nothing_else(pixels, level):
    kinds, places = set(), set()
    for seed in range(20):
        result = harmed("occlusion", level, pixels, seed=seed)
        changed = (result != pixels).reshape(*IMAGE.shape, -1).any(axis=-1)
        ys, xs = np.nonzero(changed)
        assert (ys.min(), xs.min()) >= BOX.start
        assert ys.max() < BOX.stop[0]
        assert xs.max() < BOX.stop[1]
        patch = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))
        assert changed.sum() <= level * BOX.area + BOX.shape[0] / 2 + 1
        kinds.add(bool(np.ptp(result[patch]) == 0))
        places.add((int(ys.min()), int(xs.min())))
    assert kinds == {True, False}  # a flat patch, or a part of the image
    assert len(places) > 5 or level == 1


@pytest.mark.engine_free
def test_a_hidden_share_is_met_as_well_as_whole_pixels_allow():
    scene = np.zeros((100, 100))  # what hides is another grey
    scene[0, 0] = 1
    for level in (0.05, 0.1, 0.25, 0.5, 0.9):
        hidden = [
            (harmed("occlusion", level, scene, Box((20, 30), (50, 61)), seed) != scene).sum()
            for seed in range(8)
        ]
        assert max(hidden) / (50 * 61) == pytest.approx(level, abs=0.01)


@pytest.mark.engine_free
def test_what_hides_is_one_grey_or_a_part_of_the_image_upside_down():
    each_its_own = np.arange(60.0 * 80).reshape(60, 80)
    greys, parts = [], set()
    for seed in range(40):
        result = harmed("occlusion", 0.5, each_its_own, Box((20, 30), (16, 24)), seed)
        ys, xs = np.nonzero(result != each_its_own)
        patch = result[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        if np.ptp(patch) == 0:
            greys.append(patch[0, 0])
            continue
        assert patch.shape == (11, 17)  # half of 16 x 24, in its form
        part = patch[::-1, ::-1]
        y, x = divmod(int(part[0, 0]), 80)
        np.testing.assert_array_equal(part, each_its_own[y : y + part.shape[0], x : x + part.shape[1]])
        parts.add((y, x))
    assert 10 < len(greys) < 30
    assert np.ptp(greys) > 0.5 * np.ptp(each_its_own)
    assert each_its_own.min() <= min(greys) < max(greys) <= each_its_own.max()
    assert np.ptp(np.array(list(parts)), axis=0) == pytest.approx([60 - 11, 80 - 17], abs=15)


@pytest.mark.engine_free
@pytest.mark.parametrize("pixels", [IMAGE, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("quality", [100, 75, 10])
def test_jpeg_is_what_pillow_saves(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=quality)
    np.testing.assert_array_equal(harmed("jpeg", quality, pixels), np.asarray(Image.open(file)))


@pytest.mark.engine_free
@pytest.mark.parametrize(("angle", "quarters"), [(90, 1), (-90, -1), (180, 2)])
def test_quarter_turns_are_those_of_numpy(angle, quarters):
    square = IMAGE[:61, :61]
    turned = harmed("rotation", angle, square, Box((20, 25), (21, 11)))  # its centre is that of the square
    np.testing.assert_array_equal(turned, np.rot90(square, quarters))


def hill(y, x, centre, width=6.0):
    return np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 2 / width**2)


@pytest.mark.engine_free
@pytest.mark.parametrize("angle", [1, 10, -40])
def test_rotation_takes_a_hill_round_the_centre(angle):
    y, x = np.mgrid[:110, :140]
    cy, cx = BOX.center
    turned = harmed("rotation", angle, hill(y, x, (cy - 20, cx + 10)), BOX)
    towards = math.radians(angle)  # counter-clockwise as one sees it, rows going down
    right = 10 * math.cos(towards) - 20 * math.sin(towards)
    up = 10 * math.sin(towards) + 20 * math.cos(towards)
    np.testing.assert_allclose(turned, hill(y, x, (cy - up, cx + right)), atol=1e-3)


@pytest.mark.engine_free
@pytest.mark.parametrize("factor", [1.05, 1.5, 0.9])
def test_scale_takes_a_hill_away_from_the_centre(factor):
    y, x = np.mgrid[:110, :140]
    cy, cx = BOX.center
    scaled = harmed("scale", factor, hill(y, x, (cy + 14, cx - 20)), BOX)
    expected = hill(y, x, (cy + 14 * factor, cx - 20 * factor), 6 * factor)
    np.testing.assert_allclose(scaled, expected, atol=2e-3)


@pytest.mark.engine_free
def test_shrinking_does_not_pick_single_pixels():
    stripes = np.zeros((60, 60)) + np.arange(60) % 2
    shrunk = harmed("scale", 0.5, stripes, Box((20, 20), (21, 21)))
    np.testing.assert_allclose(shrunk[20:40, 20:40], 0.5, atol=0.1)


@pytest.mark.engine_free
@pytest.mark.parametrize("kind", ["rotation", "scale"])
def test_turning_and_scaling_leave_the_centre_of_the_box_where_it_is(kind):
    scene = np.zeros((60, 80))
    scene[23:28, 41:46] = 100
    box = Box((20, 40), (11, 7))  # whose centre is that of the square
    for level in DISTORTIONS[kind].levels:
        result = harmed(kind, level, scene, box)
        y, x = np.mgrid[:60, :80]
        assert np.sum(result * y) / np.sum(result) == pytest.approx(25, abs=1e-6)
        assert np.sum(result * x) / np.sum(result) == pytest.approx(43, abs=1e-6)


# --- laws -----------------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize("kind", DISTORTIONS)
@each("dtype", ["u1", ">u2", "i2", "i8", "u8", "f4", "f8"])
def test_harm_keeps_dtype_and_shape_and_does_not_write(kind, dtype):
    if kind == "jpeg" and dtype != "u1":
        return
    image = COLOUR.astype(dtype)
    image.flags.writeable = False
    for level in DISTORTIONS[kind].levels[1:]:
        result = harmed(kind, level, image)
        assert (result.dtype, result.shape) == (image.dtype, image.shape)
        assert (result != image).any()


@pytest.mark.engine_free
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "i8", "u8"])
def test_integers_stop_at_the_ends_of_their_type_and_do_not_wrap(dtype):
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    halves = np.repeat(np.array([[least] * 10, [most] * 10], dtype), 20, axis=0)
    box = Box((10, 2), (10, 6))
    for kind, level in (("gain", 5), ("noise", 1000)):
        result = harmed(kind, level, halves, box)
        assert int(result.min()) == least
        assert int(result.max()) == pytest.approx(most, rel=1e-15)
        if kind == "gain":
            assert (result[:20] == least).all()
            assert (result[20:] == result.max()).all()


@pytest.mark.engine_free
@pytest.mark.parametrize("kind", [kind for kind in DISTORTIONS if kind != "jpeg"])
def test_the_first_level_does_no_harm(kind):
    assert harmed(kind, DISTORTIONS[kind].levels[0]) is IMAGE


def test_an_exact_copy_is_found_by_all_kinds_at_the_first_level():
    rows = robustness(IMAGE, TEMPLATE, kinds={kind: way.levels[:1] for kind, way in DISTORTIONS.items()})
    assert [row.kind for row in rows] == list(DISTORTIONS)
    for row in rows:
        clean = row.kind != "jpeg"
        assert (row.trials, row.detection, row.false_matches, row.error) == (1, 1, 0, 0)
        assert row.score == 1 if clean else 0.99 < row.score < 1


FEW = {"noise": [0, 30, 90], "blur": [2], "occlusion": [0.2, 0.4], "rotation": [3]}


@pytest.fixture(scope="module")
def few(engine):  # noqa: ARG001 - made anew for each
    return robustness(IMAGE, TEMPLATE, kinds=FEW, trials=4, rng=7)


def test_one_seed_gives_the_same_rows_and_another_one_others(few):
    again = robustness(IMAGE, TEMPLATE, kinds=FEW, trials=4, rng=7)
    assert repr(again) == repr(few)
    assert format_rows(again) == format_rows(few)
    generators = [
        robustness(IMAGE, TEMPLATE, kinds=FEW, trials=4, rng=np.random.default_rng(3)) for _ in "ab"
    ]
    assert generators[0] == generators[1]
    by_chance = [robustness(IMAGE, TEMPLATE, kinds=FEW, trials=4) for _ in "ab"]
    for others in (generators[0], *by_chance):
        same = [row == other for row, other in zip(few, others, strict=True)]
        assert all(same[i] for i, row in enumerate(few) if row.kind not in RANDOM or row.level == 0)
        assert not all(same)  # where nothing is found, rows may be equal by chance
    assert by_chance[0] != by_chance[1]


def test_a_generator_goes_on():
    generator = np.random.default_rng(3)
    first, second = (robustness(IMAGE, TEMPLATE, kinds={"noise": [30]}, rng=generator) for _ in "ab")
    assert first != second


@given(st.permutations(list(FEW)), st.integers(1, 4))
@settings(max_examples=6)
def test_order_and_choice_of_kinds_change_no_row(few, order, count):
    some = robustness(IMAGE, TEMPLATE, kinds={kind: FEW[kind] for kind in order[:count]}, trials=4, rng=7)
    assert some == [row for row in few if row.kind in order[:count]]


def test_choice_of_levels_changes_no_row(few):
    some = robustness(IMAGE, TEMPLATE, kinds={"noise": (90, 30)}, trials=4, rng=7)
    assert some == [few[2], few[1]]


def test_names_alone_mean_all_their_levels():
    rows = robustness(IMAGE, TEMPLATE, kinds=["scale", "blur"])
    assert [(row.kind, row.level) for row in rows] == [
        (kind, level) for kind in ("blur", "scale") for level in DISTORTIONS[kind].levels
    ]
    with_levels = {kind: DISTORTIONS[kind].levels for kind in ("blur", "scale")}
    assert robustness(IMAGE, TEMPLATE, kinds=with_levels) == rows
    assert robustness(IMAGE, TEMPLATE, kinds=iter(["scale", "blur"])) == rows


@pytest.mark.parametrize("cores", [1, 2])
def test_tiles_and_threads_change_nothing(few, cut, cores):
    cut((40, 50), cores)
    assert repr(robustness(IMAGE, TEMPLATE, kinds=FEW, trials=4, rng=7)) == repr(few)


def test_the_place_of_the_axis_of_channels_changes_nothing():
    template = COLOUR[BOX.slices]
    options = {"box": BOX, "kinds": {**FEW, "jpeg": [30]}, "trials": 2, "rng": 0}
    last = robustness(COLOUR, template, channel_axis=-1, **options)
    first = robustness(np.moveaxis(COLOUR, 2, 0), np.moveaxis(template, 2, 0), channel_axis=0, **options)
    assert first == last
    assert [row.detection for row in last if row.level == 0] == [1]


@pytest.mark.parametrize(
    ("image", "jpeg"),
    [(IMAGE, True), (COLOUR, True), (COLOUR[..., :2], False), (FLOATS, False), (IMAGE.astype("u2"), False)],
    ids=["grey", "colour", "two channels", "floats", "16 bits"],
)
def test_all_kinds_are_tried_but_jpeg_of_what_is_none(image, jpeg):
    axis = 2 if image.ndim == 3 else None
    rows = robustness(image, image[BOX.slices], trials=1, channel_axis=axis, rng=0)
    expected = [
        (kind, level) for kind, way in DISTORTIONS.items() for level in way.levels if jpeg or kind != "jpeg"
    ]
    assert [(row.kind, row.level) for row in rows] == expected
    greys = {row.unit for row in rows if row.kind in ("noise", "gradient")}
    assert greys == {"grey levels" if image.dtype == np.uint8 else "1/255 of the range"}


def test_units_of_floats_and_16_bits_go_with_their_range():
    kinds = {kind: DISTORTIONS[kind].levels for kind in DISTORTIONS if kind != "jpeg"}
    scaled = [
        robustness(image, TEMPLATE, kinds=kinds, trials=2, rng=0, threshold=0.3)
        for image in (FLOATS, 40 * FLOATS - 7000, IMAGE.astype("u2") * np.uint16(250))
    ]
    for first, floats, integers in zip(*scaled, strict=True):
        assert dataclasses.astuple(floats)[:7] == dataclasses.astuple(first)[:7]
        assert floats.score == pytest.approx(first.score, abs=1e-9)
        assert (integers.unit, integers.detection) == (first.unit, first.detection)
        assert integers.score == pytest.approx(first.score, abs=0.02)  # black is the end for them


def test_trials_are_as_many_as_differ():
    rows = robustness(IMAGE, TEMPLATE, trials=3, rng=0)
    for row in rows:
        assert row.trials == (3 if row.kind in RANDOM and row.level > 0 else 1)
        assert (row.detection * row.trials).is_integer()


def test_progress_is_told_up_to_1_for_every_search():
    shares = []
    rows = robustness(IMAGE, TEMPLATE, kinds=FEW, trials=4, rng=7, progress=shares.append)
    assert len(shares) == sum(row.trials for row in rows)
    assert all(a < b for a, b in zip([0, *shares], shares, strict=False))
    assert shares[-1] == 1


def test_fields_are_plain_numbers_and_strings(few):
    lost = robustness(IMAGE, TEMPLATE, kinds={"noise": [1000]}, trials=2, rng=0)
    for row in few + lost:
        kinds = [type(value) for value in dataclasses.astuple(row)]
        assert kinds[:6] == [str, float, str, int, float, float]
        assert set(kinds[6:]) == {float if row.detection else type(None)}
    told = json.loads(json.dumps([dataclasses.asdict(row) for row in few], allow_nan=False))
    assert [RobustnessRow(**row) for row in told] == few


def test_rows_can_be_read_back_from_csv(few):
    lost = RobustnessRow("scale", 1.5, "factor", 1, 0.0, 2.0, None, None)
    head, *lines = format_rows([*few, lost]).split("\n")
    assert head == "kind,level,unit,trials,detection,false_matches,error,score"
    kinds = (str, float, str, int, *[lambda text: float(text) if text else None] * 4)
    read = [
        RobustnessRow(*(kind(text) for kind, text in zip(kinds, line.split(","), strict=True)))
        for line in lines
    ]
    assert read == [*few, lost]
    assert lines[-1] == "scale,1.5,factor,1,0.0,2.0,,"


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in DISTORTIONS if kind not in RANDOM])
@pytest.mark.parametrize(
    "decision", [{}, {"threshold": 0.6}, {"false_alarms": 3.0, "prefilter": "none"}], ids=str
)
def test_rows_tell_what_locate_found(kind, decision):
    true = set(np.ndindex(IMAGE.shape)) & {
        (y, x) for y in range(BOX.start[0], BOX.stop[0]) for x in range(BOX.start[1], BOX.stop[1])
    }
    for row in robustness(IMAGE, TEMPLATE, kinds=[kind], **decision):
        matches = tmatch.locate(harmed(kind, row.level), TEMPLATE, **decision)
        on_it = {}
        for match in matches:
            (y, x), (h, w) = match.box.start, match.box.shape
            pixels = {(y + i, x + j) for i in range(h) for j in range(w)}
            on_it[len(pixels & true) / len(pixels | true)] = match
        best = max(on_it, default=0)
        assert row.detection == (best >= 0.5)
        assert row.false_matches == len(matches) - row.detection
        if best >= 0.5:
            (y, x), (v, u) = on_it[best].box.start, BOX.start
            assert row.error == pytest.approx(math.sqrt((y - v) ** 2 + (x - u) ** 2), abs=1e-12)
            assert row.score == on_it[best].score
        else:
            assert row.error is row.score is None


@pytest.mark.parametrize("decision", [{}, {"threshold": 0.7}, {"prefilter": "whiten"}], ids=str)
def test_detection_does_not_rise_with_noise(decision):
    rows = robustness(IMAGE, TEMPLATE, kinds={"noise": [0, 30, 90, 270, 810]}, rng=0, **decision)
    found = [row.detection for row in rows]
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (1, 0)
    scores = [row.score for row in rows if row.score is not None]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) >= 2


def test_noise_takes_the_score_down_as_it_should():
    texture = np.random.default_rng(0).normal(128, 40, (90, 110))
    levels = [20, 40, 80]
    rows = robustness(
        texture, texture[20:60, 30:80], kinds={"noise": levels}, trials=20, rng=0, threshold=0.1
    )
    contrast = texture[20:60, 30:80].std()
    for level, row in zip(levels, rows, strict=True):
        expected = contrast / math.hypot(contrast, level * np.ptp(texture) / 255)
        assert row.score == pytest.approx(expected, abs=0.01)
        assert row.detection == 1


def test_what_hides_half_of_it_lowers_the_score_more_than_what_hides_less():
    rows = robustness(IMAGE, TEMPLATE, kinds={"occlusion": [0, 0.1, 0.5, 1]}, rng=0, threshold=0.2)
    scores = [row.score for row in rows[:3]]
    assert scores[0] > scores[1] > scores[2]
    assert scores[2] < 0.8
    assert rows[3].detection <= 0.2  # nothing of it is left


@pytest.mark.parametrize("kind", ["rotation", "scale"])
def test_a_little_turn_or_growth_moves_the_true_place_by_nothing(kind):
    for row in robustness(IMAGE, TEMPLATE, kinds={kind: DISTORTIONS[kind].levels[:3]}):
        assert (row.detection, row.error) == (1, 0)


def test_gain_and_ramps_cost_contrast_little():
    for row in robustness(FLOATS, TEMPLATE, kinds={"gain": [1, 0.1, 0.01]}):
        assert (row.detection, row.score) == (1, pytest.approx(1, abs=1e-9))  # floats lose nothing at all
    for row in robustness(IMAGE, TEMPLATE, kinds={"gain": [0.1], "gradient": [50]}):
        assert row.detection == 1
        assert 0.9 < row.score < 1


def test_floats_are_clipped_to_what_they_hold():
    texture = np.random.default_rng(0).uniform(-6e4, 6e4, (40, 50)).astype(np.float16)
    for row in robustness(
        texture, texture[10:24, 20:36], kinds={"noise": [20], "gradient": [60, 120]}, trials=2
    ):
        assert np.isfinite(row.score)
        assert row.score > 0.5


def test_a_second_copy_is_another_match():
    image, boxes = make_scene(IMAGE, TEMPLATE, [BOX.start, (5, 10)])
    for box in (*boxes, None):
        rows = robustness(image, TEMPLATE, box=box, kinds={"blur": [0, 0.5], "noise": [5]}, trials=3, rng=0)
        assert [(row.detection, row.false_matches, row.error) for row in rows] == [(1, 1, 0)] * 3


def test_the_truth_is_what_is_named():
    elsewhere = Box((5, 10), BOX.shape)
    rows = robustness(IMAGE, TEMPLATE, box=elsewhere, kinds={"blur": [0, 1]})
    assert [(row.detection, row.false_matches, row.error, row.score) for row in rows] == [
        (0, 1, None, None)
    ] * 2
    same = {"kinds": FEW, "trials": 2, "rng": 0}
    assert robustness(IMAGE, TEMPLATE, box=BOX, **same) == robustness(IMAGE, TEMPLATE, **same)


def test_a_match_half_beside_the_truth_is_false():
    for shift, found in ((5, True), (8, True), (9, False)):  # of 24 columns: 19/29, 16/32, 15/33
        beside = Box((BOX.start[0], BOX.start[1] + shift), BOX.shape)
        for row in robustness(IMAGE, TEMPLATE, box=beside, kinds={"blur": [0], "noise": [5]}, rng=0):
            assert (row.detection, row.false_matches) == (found, not found)
            assert row.error == (shift if found else None)


def test_the_decision_decides():
    def detection(**decision):
        rows = robustness(IMAGE, TEMPLATE, box=BOX, kinds={"noise": [60]}, trials=8, rng=0, **decision)
        return rows[0].detection, rows[0].false_matches

    assert detection(threshold=0.95) == (0, 0)
    assert detection(threshold=0.3)[0] == 1
    assert detection(threshold=0.3)[1] > detection(threshold=0.5)[1]
    assert detection(false_alarms=1e-300) == (0, 0)
    assert detection(false_alarms=5, prefilter="none")[1] > detection(false_alarms=0.01)[1]


def test_what_the_mask_leaves_out_does_not_count():
    broken, mask = TEMPLATE.copy(), np.ones(BOX.shape, bool)
    mask[:, 12:] = False
    broken[~mask] = TEMPLATE[::-1][~mask]
    kinds = {"noise": [0, 10]}
    whole, masked = (
        robustness(IMAGE, broken, box=BOX, mask=m, kinds=kinds, rng=0, threshold=0.9) for m in (None, mask)
    )
    assert [row.detection for row in whole] == [0, 0]
    assert [row.detection for row in masked] == [1, 1]
    assert masked[0].score == 1


# --- the figure -----------------------------------------------------------------------------------


def drawn(rows):
    figure = plot_robustness(rows)
    figure.draw_without_rendering()
    return figure


@pytest.mark.engine_free
def test_the_figure_shows_every_row():
    rows = robustness(IMAGE, TEMPLATE, trials=2, rng=0)
    rows[-1] = dataclasses.replace(rows[-1], false_matches=2.5)
    figure = drawn(rows)
    panels, besides = figure.axes[::2], figure.axes[1::2]
    assert [axes.get_title().split(",")[0] for axes in panels] == list(DISTORTIONS)
    for axes, beside, kind in zip(panels, besides, DISTORTIONS, strict=True):
        own = [row for row in rows if row.kind == kind]
        assert axes.get_title() == f"{kind}, {own[0].unit}"
        found, scores = (line.get_ydata() for line in axes.lines)
        assert list(found) == [row.detection for row in own]
        assert [None if math.isnan(score) else score for score in scores] == [row.score for row in own]
        assert [bar.get_height() for bar in beside.patches] == [row.false_matches for row in own]
        labels = [label.get_text().split("\n") for label in axes.get_xticklabels()]
        assert [float(level) for level, _ in labels] == [row.level for row in own]
        assert [error.strip("()") for _, error in labels] == [
            "–" if row.error is None else f"{row.error:.2g}" for row in own
        ]
        assert axes.get_ylim()[0] <= 0
        assert axes.get_ylim()[1] > 1
        assert beside.get_ylim()[1] > max(row.false_matches for row in own)


@pytest.mark.engine_free
def test_without_false_matches_there_is_no_axis_for_them():
    rows = [dataclasses.replace(row, false_matches=0.0) for row in MANY]
    figure = drawn(rows)
    assert [axes.get_title().split(",")[0] for axes in figure.axes] == ["noise", "gradient"]
    assert len(figure.legends[0].get_texts()) == 2
    assert figure.get_supxlabel().endswith("\nno false matches")


MANY = [
    RobustnessRow(kind, float(level), "grey levels", 5, level / 20, 2.0 * level, None, None)
    for kind in ("noise", "gradient")
    for level in range(20)
]
WIDE = [
    RobustnessRow("scale", 1 + 0.011 * level, "factor", 1, 1.0, 1234.5, 12.345, -0.3) for level in range(9)
]


FULL = [dataclasses.replace(row, kind=kind) for kind in DISTORTIONS for row in WIDE]
ROWS = {"many": MANY, "one": MANY[:1], "wide": WIDE, "mixed": MANY + WIDE, "full": FULL}


@pytest.mark.engine_free
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_nothing_is_cut_off_and_no_labels_overlap(rows):
    figure = drawn(rows)
    width, height = figure.get_size_inches()
    box = figure.get_tightbbox()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    step = 2 if any(row.false_matches for row in rows) else 1
    panels = [figure.axes[n : n + step] for n in range(0, len(figure.axes), step)]
    parts = [Bbox.union([axes.get_tightbbox() for axes in panel]) for panel in panels]
    parts += [artist.get_window_extent() for artist in (figure.legends[0], *figure.texts)]
    for a, b in itertools.combinations(parts, 2):
        shared = Bbox.intersection(a, b)
        assert shared is None or min(shared.width, shared.height) < 2, (a, b)  # pixels
    for axes, *_ in panels:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(a.x1 + 3 <= b.x0 for a, b in itertools.pairwise(boxes))  # pixels
        low, high = axes.get_ylim()
        for line in axes.lines:
            heights = np.asarray(line.get_ydata())
            assert ((heights >= low) & (heights <= high) | np.isnan(heights)).all()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "detection rate",
        "mean score where found",
        *["false matches per search"] * (step - 1),
    ]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"image": IMAGE.astype(float)[0]},
            "`image` has shape (140,) and `channel_axis` is None; robustness needs images, with two axes "
            "besides that of channels",
        ),
        (
            {"image": COLOUR},
            "`image` has shape (110, 140, 3) and `channel_axis` is None; robustness needs images, with two "
            "axes besides that of channels",
        ),
        (
            {"image": COLOUR, "channel_axis": 2},
            "`channel_axis` is 2, but `template` has only 2 axes",
        ),
        ({"trials": 0}, "`trials` is 0; it must be a whole number of at least 1"),
        ({"kinds": []}, "`kinds` is []; it must name at least one kind of distortion, with a level"),
        (
            {"kinds": {"blur": []}},
            "`kinds` is {'blur': []}; it must name at least one kind of distortion, with a level",
        ),
        (
            {"kinds": ["nois"]},
            '`kinds` is \'nois\'; it must be one of "noise", "blur", "gain", "gradient", "occlusion", "jpeg", '
            '"rotation", "scale"; did you mean "noise"?',
        ),
        (
            {"kinds": {"noise": [-1]}},
            "`kinds` has the level -1 of noise; it must be a number from 0 to 1000",
        ),
        (
            {"kinds": {"occlusion": [math.nan]}},
            "`kinds` has the level nan of occlusion; it must be a number from 0 to 1",
        ),
        (
            {"kinds": {"jpeg": [75.5]}},
            "`kinds` has the level 75.5 of jpeg; it must be a whole number from 1 to 100",
        ),
        (
            {"kinds": {"gain": ["1"]}},
            "`kinds` has the level '1' of gain; it must be a number from 0.001 to 1000",
        ),
        (
            {"image": IMAGE.astype("u2"), "kinds": ["blur", "jpeg"]},
            '`kinds` has "jpeg", but `image` has dtype uint16 and shape (110, 140); JPEG holds 8-bit images in '
            "grey or three colours: leave it out, or make one with `to_range`",
        ),
        (
            {"box": Box((0, 0), (18, 25))},
            "`box` has shape (18, 25), but `template` (18, 24); they must be equal, as every match has its shape",
        ),
        (
            {"box": Box((93, 0), BOX.shape)},
            "`box` goes from (93, 0) to (111, 24), which is not all inside `image` (110, 140)",
        ),
        (
            {"rng": -1},
            "`rng` is -1; it must be a whole number of at least 0, a numpy.random.Generator or None",
        ),
        (
            {"image": np.where(IMAGE > 40, FLOATS, np.nan)},
            f"`image` has NaN or infinite values, the first at {np.argwhere(IMAGE <= 40)[0].tolist()}; replace them "
            "first, for instance with np.nan_to_num",
        ),
    ],
)
def test_refused_with_a_sentence(options, message):
    image = options.pop("image", IMAGE)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        robustness(image, TEMPLATE, **options)


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": "noise"}, "`kinds` is 'noise'; it must be a list of names, as ['noise']"),
        ({"kinds": {"noise": 5}}, "`kinds` has 5 for noise; it must be a list of levels, as [5]"),
        (
            {"image": IMAGE > 100},
            "`image` has dtype bool, which has no shades to distort; make it 8-bit grey: `image * np.uint8(255)`",
        ),
    ],
)
def test_wrong_types_are_refused_with_a_sentence(options, message):
    image = options.pop("image", IMAGE)
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        robustness(image, TEMPLATE, **options)


def test_a_template_that_is_not_there_is_refused_unless_its_place_is_named():
    absent = np.random.default_rng(0).integers(0, 256, BOX.shape, np.uint8)
    best = tmatch.best_match(IMAGE, absent)
    message = (
        f"`template` is not found in `image` as it is: its best position, {best.box.start}, scores {best.score:.2f}; "
        "if that is right, name it with `box`, else see with `explain` why"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        robustness(IMAGE, absent)
    [row] = robustness(IMAGE, absent, box=best.box, kinds={"blur": [0]}, threshold=0.0)
    assert (row.detection, row.score) == (1, best.score)


@pytest.mark.engine_free
def test_no_figure_of_nothing():
    message = "`rows` is empty; it must hold what `robustness` measured, at least one row"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        plot_robustness([])


@pytest.mark.one_engine
def test_poses_that_are_searched_are_found_where_their_middle_is():
    random = np.random.default_rng(0)
    scene = pose_scenes.make_scene(pose_scenes.KINDS["eye"], random, shape=(160, 180), angles=(0, 0))
    kinds = {"rotation": [0, 45], "scale": [1.15]}
    rows = tmatch.robustness(*scene[:2], kinds=kinds, threshold=0.8, angles=(-60, 60), scales=(0.9, 1.2))
    assert [row.detection for row in rows] == [1, 1, 1]
    assert max(row.error for row in rows) < 0.6  # of the true box in whole pixels
    upright = tmatch.robustness(*scene[:2], kinds=kinds, threshold=0.8)
    assert upright[1].detection == 0
