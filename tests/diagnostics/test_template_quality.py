import dataclasses
import itertools
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betainc

import oracle
import tmatch
from tmatch._diagnostics.template_quality import inspect_template
from tmatch._plotting.template_quality import plot_inspection
from tmatch.synthetic import make_clutter, make_scene

pytestmark = pytest.mark.one_engine

# --- the definitions ------------------------------------------------------------------------------


def parts(template, mask, channel_axis):
    """The template about its means, channels last, 0 where it does not count; and the weights."""
    template = np.asarray(template, float)
    template = template[..., None] if channel_axis is None else np.moveaxis(template, channel_axis, -1)
    weights = np.ones(template.shape[:-1]) if mask is None else np.asarray(mask, float)
    about = np.zeros(template.shape)
    for c in range(template.shape[-1]):
        counted = template[..., c][weights > 0]
        mean = np.sum(weights[weights > 0] * counted) / np.sum(weights)
        about[..., c][weights > 0] = counted - mean
    return about, weights


def contrast(template, mask=None, channel_axis=None):
    about, weights = parts(template, mask, channel_axis)
    return math.sqrt(np.mean([np.sum(weights * d**2) / np.sum(weights) for d in np.moveaxis(about, -1, 0)]))


def effective_pixels(template, mask=None, channel_axis=None):
    about, weights = parts(template, mask, channel_axis)
    about = about * weights[..., None]
    correlations = {}
    for shift in itertools.product(*(range(1 - n, n) for n in weights.shape)):
        correlations[shift] = 0.0
        for place in np.ndindex(weights.shape):
            there = tuple(p + s for p, s in zip(place, shift, strict=True))
            if all(0 <= t < n for t, n in zip(there, weights.shape, strict=True)):
                correlations[shift] += np.sum(about[place] * about[there])
    squares = sum((value / correlations[(0,) * weights.ndim]) ** 2 for value in correlations.values())
    return max(1.0, np.sum(weights) ** 2 / np.sum(weights**2) / squares)


def self_scores(template, mask=None, channel_axis=None):
    """The score of each shift at which half of the template overlaps."""
    exists = None if mask is None else np.asarray(mask) > 0
    clean = np.asarray(template, float)
    if mask is not None and channel_axis is None:
        clean = np.where(exists, clean, 0)
    scores, valid, _ = oracle.score(
        clean, clean, mask=mask, image_mask=exists, output="full", channel_axis=channel_axis
    )
    heights = {}
    for place in np.ndindex(scores.shape):
        opposite = tuple(n - 1 - p for p, n in zip(place, scores.shape, strict=True))
        shift = tuple(p - n // 2 for p, n in zip(place, scores.shape, strict=True))
        known = [scores[p] for p in (place, opposite) if valid[p]]
        if known:
            heights[shift] = float(max(known))
    return heights


def reached(heights, level):
    """All shifts above the level to which steps along the axes lead from shift 0 without leaving it."""
    dimensions = len(next(iter(heights)))
    found = {(0,) * dimensions}
    todo = list(found)
    while todo:
        here = todo.pop()
        for axis, step in itertools.product(range(dimensions), (-1, 1)):
            there = tuple(h + step * (a == axis) for a, h in enumerate(here))
            if there not in found and heights.get(there, -np.inf) > level:
                found.add(there)
                todo.append(there)
    return found


def side_lobe(heights):
    apart = [(h, s) for s, h in heights.items() if h > 0 and s not in reached(heights, h - 0.1)]
    if not apart:
        return 0.0, ()
    highest = max(apart)[0]
    equal = [s for h, s in apart if h >= highest - 1e-9]
    return highest, min(equal, key=lambda s: (sum(x * x for x in s), [-x for x in s]))


def separation(heights, shape):
    widths = []
    for axis, n in enumerate(shape):
        line = [heights.get(tuple(k * (a == axis) for a in range(len(shape))), -np.inf) for k in range(n)]
        width = n
        for k in range(1, n):
            if line[k] == -np.inf:
                break
            if line[k] < 0.5:
                width = 2 * (k - 1 + (line[k - 1] - 0.5) / (line[k - 1] - line[k]))
                break
        widths.append(max(1, width))
    return widths


def likeness(template, mask=None, channel_axis=None):
    """The weighted correlation of the pixels that count with those that come to lie on them."""
    template = np.asarray(template, float)
    template = template[..., None] if channel_axis is None else np.moveaxis(template, channel_axis, -1)
    weights = np.ones(template.shape[:-1]) if mask is None else np.asarray(mask, float)
    height, width = weights.shape
    ways = {
        "mirrored left-right": lambda y, x: (y, width - 1 - x),
        "mirrored up-down": lambda y, x: (height - 1 - y, x),
        "turned 180": lambda y, x: (height - 1 - y, width - 1 - x),
    }
    if height == width:
        ways["turned 90 or 270"] = lambda y, x: (x, width - 1 - y)
    result = {}
    for name, way in ways.items():
        pairs = [(place, way(*place)) for place in np.ndindex(weights.shape)]
        pairs = [(a, b, weights[a]) for a, b in pairs if weights[a] > 0 and weights[b] > 0]
        total = sum(w for _, _, w in pairs)
        if total < 0.5 * np.sum(weights):
            result[name] = 0
            continue
        ab = aa = bb = 0.0
        for c in range(template.shape[-1]):
            first = sum(w * template[a][c] for a, _, w in pairs) / total
            second = sum(w * template[b][c] for _, b, w in pairs) / total
            ab += sum(w * (template[a][c] - first) * (template[b][c] - second) for a, b, w in pairs)
            aa += sum(w * (template[a][c] - first) ** 2 for a, b, w in pairs)
            bb += sum(w * (template[b][c] - second) ** 2 for a, b, w in pairs)
        result[name] = ab / math.sqrt(aa * bb)
    return result


def false_alarms(score, dimensions, places=1_000_000):
    return places * betainc((dimensions - 1) / 2, 0.5, 1 - score**2) / 2


# --- equals the definitions -----------------------------------------------------------------------

DISC = np.hypot(*np.mgrid[-4:5, -3:4]) < 4.2
SOFT = np.random.default_rng(5).integers(0, 4, (7, 9)) / 3

CASES = {
    "signal": ((13,), "f8", None, None),
    "integers": ((7, 9), "u1", None, None),
    "square": ((6, 6), "i8", None, None),
    "one row": ((1, 8), "f4", None, None),
    "volume": ((4, 3, 5), "f8", None, None),
    "colour": ((5, 6, 3), "u1", None, 2),
    "colour first": ((2, 6, 5), "f8", None, 0),
    "bool": ((6, 7), "?", None, None),
    "masked": ((9, 7), "f8", DISC, None),
    "masked colour": ((9, 7, 2), "u1", DISC, -1),
    "masked far off": ((9, 7), "f8", np.arange(7) < 3 + np.zeros((9, 1)), None),
    "weights": ((7, 9), "f8", SOFT, None),
}


@pytest.mark.parametrize("case", CASES)
def test_every_number_equals_its_definition(draw, case):
    shape, dtype, mask, axis = CASES[case]
    template = draw(shape, dtype)
    found = inspect_template(template, mask=mask, channel_axis=axis)
    options = {"mask": mask, "channel_axis": axis}
    heights = self_scores(template, **options)
    spatial = tuple(n for a, n in enumerate(shape) if axis is None or a != axis % len(shape))
    assert found.shape == spatial
    assert found.pixels == (math.prod(spatial) if mask is None else np.count_nonzero(mask))
    assert found.contrast == pytest.approx(contrast(template, **options), rel=1e-9)
    assert found.effective_pixels == pytest.approx(effective_pixels(template, **options), rel=1e-9)
    height, shift = side_lobe(heights)
    assert (found.side_lobe, found.side_lobe_at) == (pytest.approx(height, abs=1e-8), shift)
    assert found.separation == pytest.approx(separation(heights, spatial), rel=1e-6)
    expected = likeness(template, **options) if len(spatial) == 2 else {}
    assert dict(found.likeness) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_side_lobes_of_smooth_templates_equal_the_definition(seed):
    template = make_clutter((9, 11), rng=seed)
    found = inspect_template(template)
    height, shift = side_lobe(self_scores(template))
    assert (found.side_lobe, found.side_lobe_at) == (pytest.approx(height, abs=1e-8), shift)


@pytest.mark.parametrize("shape", [(3, 3), (5, 7), (12, 12), (40, 60), (9, 9, 3)], ids=str)
def test_chance_is_as_good_where_false_alarms_are_one_in_a_hundred(draw, shape):
    template = 50 * draw(shape)
    found = inspect_template(template, channel_axis=2 if len(shape) == 3 else None)
    n = found.effective_pixels
    assert false_alarms(found.chance_score, n) == pytest.approx(0.01, rel=1e-6)
    levels = np.linspace(0, 1, 2000)[1:] * found.noise
    square = 1 / (1 + (levels / found.contrast) ** 2)  # of the expected score
    alarms = false_alarms(np.sqrt(square), 1 / (square / n + (1 - square) / template.size))
    assert alarms[-1] == pytest.approx(0.01, rel=1e-3)
    assert np.all(alarms[:-1] < 0.01)


# --- laws -----------------------------------------------------------------------------------------

UNCHANGED = ("effective_pixels", "side_lobe", "separation", "likeness", "chance_score")


def same(a, b, fields=UNCHANGED, rel=1e-9):
    for field in fields:
        left, right = getattr(a, field), getattr(b, field)
        if field == "likeness":
            left, right = dict(left), dict(right)
        assert left == pytest.approx(right, rel=rel, abs=1e-9), field
    assert a.side_lobe_at == b.side_lobe_at


@given(st.integers(0, 99), st.sampled_from([-3.0, 0.001, 0.5, 40.0, 1e150]), st.floats(-9, 9))
@settings(max_examples=25)
def test_gain_and_offset_change_nothing_but_contrast_and_noise(seed, gain, offset):
    template = np.random.default_rng(seed).normal(size=(9, 12))
    one, other = inspect_template(template), inspect_template(gain * (template + offset))
    same(one, other)
    assert other.contrast == pytest.approx(abs(gain) * one.contrast)
    assert other.noise == pytest.approx(abs(gain) * one.noise)
    assert other.advice == one.advice


def test_transposing_transposes():
    template = make_clutter((12, 20), rng=4)
    one, other = inspect_template(template), inspect_template(template.T)
    assert other.effective_pixels == pytest.approx(one.effective_pixels)
    assert other.separation == pytest.approx(one.separation[::-1])
    assert other.side_lobe == pytest.approx(one.side_lobe)
    names = {"mirrored left-right": "mirrored up-down", "mirrored up-down": "mirrored left-right"}
    swapped = {names.get(name, name): score for name, score in one.likeness}
    assert dict(other.likeness) == pytest.approx(swapped)


def test_what_does_not_count_may_be_anything():
    inner = make_clutter((10, 14), rng=2)
    template = np.full((15, 16), np.nan)
    template[2:12, 1:15] = inner
    found = inspect_template(template, mask=np.isfinite(template))
    plain = inspect_template(inner)
    assert found.pixels == plain.pixels
    same(found, plain, ("contrast", "effective_pixels", "side_lobe", "separation", "chance_score"))


def test_a_mask_of_ones_and_weights_of_one_size_are_no_mask(draw):
    template = draw((8, 9))
    plain = inspect_template(template)
    assert inspect_template(template, mask=np.ones((8, 9), bool)) == plain
    same(inspect_template(template, mask=np.full((8, 9), 0.25)), plain, (*UNCHANGED, "contrast"))


def test_equal_channels_tell_no_more_than_one_but_other_ones_do(draw):
    red, green, blue = (draw((15, 15), seed=seed) for seed in range(3))
    grey = inspect_template(red)
    thrice = inspect_template(np.stack([red] * 3, axis=-1), channel_axis=-1)
    same(thrice, grey)
    assert thrice.contrast == pytest.approx(grey.contrast)
    other = inspect_template(np.stack([red, green, blue]), channel_axis=0)
    assert 1.3 * grey.effective_pixels < other.effective_pixels <= 3 * other.pixels
    assert other.shape == (15, 15)


@pytest.mark.parametrize("shape", [(300,), (20, 30), (7, 8, 9)])
@pytest.mark.parametrize("seed", range(3))
def test_half_of_the_pixels_of_white_noise_are_effective(draw, shape, seed):
    found = inspect_template(draw(shape, seed=seed))
    assert 0.4 * found.pixels < found.effective_pixels < 0.65 * found.pixels
    assert found.separation == pytest.approx([1] * len(shape), abs=0.25)
    assert found.side_lobe < 0.5


def test_a_ramp_has_few_effective_pixels_and_is_like_itself_everywhere():
    ramp = np.add.outer(np.arange(30.0), 2 * np.arange(40.0))
    found = inspect_template(ramp)
    assert found.effective_pixels < 6
    assert found.separation == (30, 40)
    assert (found.side_lobe, found.side_lobe_at) == (0.0, ())
    assert dict(found.likeness)["turned 180"] == pytest.approx(-1)


@pytest.mark.parametrize("factor", [2, 3])
def test_enlarging_a_picture_adds_pixels_but_hardly_effective_ones(draw, factor):
    small = inspect_template(draw((14, 15)))
    large = inspect_template(np.kron(draw((14, 15)), np.ones((factor, factor))))
    assert large.pixels == factor**2 * small.pixels
    assert small.effective_pixels < large.effective_pixels < 2.6 * small.effective_pixels
    assert large.separation == pytest.approx([factor * width for width in small.separation], rel=0.3)


@pytest.mark.parametrize("period", [(5, 50), (50, 6), (4, 7)])
def test_a_texture_that_repeats_has_a_side_lobe_of_1_at_its_period(draw, period):
    texture = np.tile(draw(period, "u1"), (20, 20))[:25, :30]
    found = inspect_template(texture)
    assert found.side_lobe == 1
    assert found.side_lobe_at == min((period[0], 0), (0, period[1]), key=sum)
    assert found.advice.startswith(
        f"repeats itself: it scores 1.00 with itself shifted by {found.side_lobe_at[1]} pixels across and "
        f"{found.side_lobe_at[0]} down"
    )


def test_a_checkerboard_repeats_itself_diagonally():
    found = inspect_template(np.indices((12, 12)).sum(axis=0) % 2)
    assert (found.side_lobe, found.side_lobe_at) == (1, (1, 1))
    assert found.effective_pixels < 3
    likenesses = dict(found.likeness)
    assert likenesses["turned 180"] == pytest.approx(1)
    assert likenesses["mirrored left-right"] == pytest.approx(-1)


def test_what_is_symmetric_is_like_its_mirror(draw):
    half = draw((10, 10))
    both = {"mirrored left-right": half + half[:, ::-1], "mirrored up-down": half + half[::-1]}
    both["turned 180"] = half + half[::-1, ::-1]
    both["turned 90 or 270"] = both["turned 180"] + np.rot90(both["turned 180"])
    for name, template in both.items():
        likenesses = dict(inspect_template(template).likeness)
        assert likenesses[name] == pytest.approx(1)
        others = {k: v for k, v in likenesses.items() if k != name}
        if name != "turned 90 or 270":  # which is symmetric to half a turn as well
            assert max(others.values()) < 0.5


def test_a_copy_that_hardly_overlaps_what_counts_is_not_alike(draw):
    mask = np.zeros((8, 9), bool)
    mask[:, :4] = True
    likenesses = dict(inspect_template(draw((8, 9)), mask=mask).likeness)
    assert likenesses["mirrored left-right"] == likenesses["turned 180"] == 0
    assert likenesses["mirrored up-down"] != 0


def test_more_places_leave_less_room_for_noise(draw):
    template = draw((10, 10))
    alone = inspect_template(template)
    few = inspect_template(template, draw((30, 40), seed=1))
    assert few.places == 21 * 31
    assert alone.places == 1_000_000
    assert few.chance_score < alone.chance_score
    assert few.noise > alone.noise
    same(few, alone, ("contrast", "effective_pixels", "side_lobe", "separation", "likeness"))


def test_fields_are_plain_numbers_strings_and_tuples(draw):
    found = inspect_template(draw((5, 6), "f4"), draw((20, 20), seed=1))

    def check(value):
        assert type(value) in (bool, int, float, str, tuple)
        for part in value if type(value) is tuple else ():
            check(part)

    for field in dataclasses.fields(found):
        check(getattr(found, field.name))
    told = json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))
    assert (told["shape"], told["noise"]) == ([5, 6], found.noise)


def test_two_pixels_are_like_every_edge_and_survive_no_noise():
    found = inspect_template([0, 1])
    assert (found.chance_score, found.noise) == (1, 0)
    assert found.effective_pixels == pytest.approx(4 / 3)


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_chance_places_of_the_same_texture_stay_below_the_chance_score(seed):
    rng = np.random.default_rng(seed)
    kernel = tmatch.kernels.gaussian(1.5)
    ground = tmatch.correlate(rng.normal(size=(160, 180)), kernel, output="valid")
    template = tmatch.correlate(rng.normal(size=(40, 44)), kernel, output="valid")
    found = inspect_template(template, ground)
    assert found.best_score < found.chance_score
    assert found.best_score > 0.5 * found.chance_score  # which is not far off


RAMP = np.add.outer(np.arange(20.0), np.arange(20.0))
SCENES = {
    "clutter": make_clutter((24, 30), rng=1),
    "small": np.random.default_rng(3).normal(128, 30, (9, 9)),
    "white": np.random.default_rng(3).normal(128, 30, (16, 16)),
    "ramp with a spot": RAMP + 40 * (np.hypot(*np.mgrid[-9:11, -9:11]) < 3),
    "smooth": 40 * np.add.outer(np.sin(np.arange(30) / 5), np.cos(np.arange(36) / 6)),
}


def found_in_noise(template, noise):
    """How many of ten scenes have it at the best place."""
    right = 0
    for seed in range(10):
        ground = make_clutter((120, 140), contrast=template.std(), rng=seed)
        image, [box] = make_scene(ground, template, [(41, 67)], noise=noise, rng=seed)
        right += tmatch.best_match(image, template).box == box
    return right


@pytest.mark.parametrize("name", SCENES)
def test_a_template_is_found_in_half_the_predicted_noise(name):
    template = SCENES[name]
    assert found_in_noise(template, inspect_template(template).noise / 2) >= 9


@pytest.mark.parametrize("name", [name for name in SCENES if name != "smooth"])
def test_a_template_is_lost_in_far_more_than_the_predicted_noise(name):
    # But for very smooth ones, whose prediction is on the safe side: noise looks like no slope.
    template = SCENES[name]
    assert found_in_noise(template, 5 * inspect_template(template).noise) <= 5


@pytest.mark.parametrize("name", ["astronaut/face.png", "screenshot/button.png"])
def test_templates_of_the_data_sets_are_found_in_half_the_predicted_noise(picture, name):
    template = picture(name).astype(float)
    template = template.mean(axis=2) if template.ndim == 3 else template
    template = template[20:90, :70]
    assert found_in_noise(template, inspect_template(template).noise / 2) >= 9


def test_the_two_best_places_of_an_image_are_told(picture):
    eye, noisy = picture("raccoon/eye.png"), picture("raccoon/noisy.png")
    found = inspect_template(eye, noisy)
    assert found.places == (768 - 64) * (1024 - 79)
    assert (found.best_at, round(found.best_score, 2)) == ((300, 670), 0.79)
    assert (found.second_at, round(found.second_score, 2)) == ((410, 571), 0.58)
    assert found.second_ratio == found.second_score / found.best_score
    scores = tmatch.match_template(noisy, eye)
    assert (found.best_score, found.second_score) == (scores[300, 670], scores[410, 571])


def test_a_second_place_is_half_a_template_away_or_further(draw):
    template = draw((6, 8))
    image = np.array(draw((30, 40), seed=1))
    image[2:8, 3:11] = template
    image[9:15, 20:28] = template + 0.2 * draw((6, 8), seed=2)
    found = inspect_template(template, image)
    assert (found.best_at, found.second_at) == ((2, 3), (9, 20))
    alone = inspect_template(template, image[2:9, 3:12])  # nowhere half a template away
    assert (alone.best_at, alone.second_at) == ((0, 0), ())
    assert alone.second_score is alone.second_ratio is None


def test_a_place_just_half_a_template_away_is_another_one(draw):
    found = inspect_template(np.tile(draw(4), 2), np.tile(draw(4), 3))
    assert (found.best_at, found.second_at) == ((0,), (4,))


def test_there_is_no_ratio_to_a_best_score_that_is_not_above_0():
    found = inspect_template([0, 1, 2], [3, 3, 3, 2, 1, 0, 0, 0])
    assert (found.best_score, found.second_score, found.second_ratio) == (0, 0, None)
    assert (found.best_at, found.second_at) == ((0,), (5,))


def test_without_an_image_nothing_is_told_about_one(draw):
    found = inspect_template(draw((6, 8)))
    assert found.best_score is found.second_score is found.second_ratio is None
    assert found.best_at == found.second_at == ()


def test_colour_and_mask_go_with_the_image(picture):
    image, dot = picture("screenshot/image.png"), picture("screenshot/dot.png")
    disc = np.hypot(*np.mgrid[-9.5:10, -9.5:10]) < 9
    found = inspect_template(dot, image, mask=disc, channel_axis=2)
    assert found.best_score == found.second_score == found.second_ratio == 1
    assert (found.best_at, found.second_at) == ((471, 14), (471, 406))


NOISE = np.random.default_rng(0).normal(size=(20, 20))
SYMMETRIC = NOISE + NOISE[:, ::-1]
TWICE = np.zeros((50, 50))
TWICE[:20, :20] = TWICE[25:45, 25:45] = NOISE
TWICE[30, 30] += 1


@pytest.mark.parametrize(
    ("template", "image", "advice"),
    [
        (
            1000 + NOISE,
            None,
            "nearly constant: its contrast of 0.995 is 0.1 % of its greatest value, and is lost in any noise; "
            "use a part with edges or texture",
        ),
        (
            np.hstack([NOISE, NOISE]),
            None,
            "repeats itself: it scores 1.00 with itself shifted by 20 pixels across and 0 down, and may be found that "
            "far off; use a part without repetition",
        ),
        (
            np.add.outer(np.arange(9), np.arange(9)),
            None,
            "small or smooth, with 5.5 effective pixels: in an image without noise other positions score up to 1.00; "
            "use a larger or more textured part",
        ),
        (
            NOISE[:6, :7],
            None,
            "small or smooth, with 24.4 effective pixels: in an image without noise other positions score up to 0.86; "
            "accept no lower score there, or use a larger or more textured part",
        ),
        (
            np.random.default_rng(8).normal(size=8),  # its side lobe of 0.91 is but chance
            None,
            "small or smooth, with 4.04 effective pixels: in an image without noise other positions score up to 1.00; "
            "use a larger or more textured part",
        ),
        (
            NOISE,
            TWICE,
            "not unique: the image has another position, x=25, y=25, that scores 1.00; if that is another object, "
            "use a larger part, or one with more of what distinguishes the two",
        ),
        (
            SYMMETRIC,
            None,
            "good, but similar to itself mirrored left-right (1.00): such copies may be found as well",
        ),
        (
            NOISE[:5, :5],
            np.pad(NOISE, (0, 30)) + 0.7 * np.random.default_rng(1).normal(size=(50, 50)),
            "small or smooth, with 14.4 effective pixels: in an image without noise other positions score up to 0.88; "
            "up to 0.85 where noise lowers its own score to 0.80, the best here; use a larger or more textured part",
        ),
        (NOISE, TWICE[:25], "good: enough to compare, and no repetition"),
    ],
    ids=["faint", "repeats", "smooth", "small", "tiny", "twice", "mirror", "noisy", "good"],
)
def test_the_advice_is_that_of_the_first_rule_that_holds(template, image, advice):
    assert inspect_template(template, image).advice == advice


# --- refusals -------------------------------------------------------------------------------------

HALF = np.arange(4) < 2 + np.zeros((3, 1))


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("arrays", "options", "error", "sentence"),
    [
        (
            [np.full((3, 4), 7)],
            {},
            ValueError,
            "`template` is constant: every window would fit as well; use one with some contrast",
        ),
        (
            [np.where(HALF, 5, NOISE[:3, :4])],
            {"mask": HALF},
            ValueError,
            "`template` is constant where its mask counts: every window would fit as well; use one with some contrast",
        ),
        (
            [NOISE[:3, :4]],
            {"mask": HALF.T},
            ValueError,
            "`mask` has shape (4, 3); it must have the template's: (3, 4), with or without channels",
        ),
        (
            [NOISE[:3, :4]],
            {"mask": HALF - 1.0},
            ValueError,
            "`mask` has negative weights, or none above 0; it must say how much each pixel counts",
        ),
        (
            [NOISE[:8].reshape(8, 5, 4)],
            {"mask": np.arange(160).reshape(8, 5, 4) % 3, "channel_axis": 2},
            ValueError,
            "`mask` differs between channels; pass one for all of them, of shape (8, 5)",
        ),
        ([[]], {}, ValueError, "`template` is empty: shape (0,); it must have at least one pixel"),
        (
            [3],
            {},
            ValueError,
            "`template` has shape (); it must have at least one axis besides that of channels",
        ),
        (
            [[1j, 2]],
            {},
            TypeError,
            "`template` has dtype complex128; it must hold real numbers (bool, integers or floats)",
        ),
        (
            [NOISE],
            {"channel_axis": 2},
            ValueError,
            "`channel_axis` is 2, but `template` has only 2 axes",
        ),
        (
            [NOISE, NOISE[:9]],
            {},
            ValueError,
            "`template` has shape (20, 20), larger than `image` (9, 20) on axes 0; "
            "crop or shrink it, or swap the two if they are in the wrong order",
        ),
    ],
    ids=[
        "constant",
        "masked",
        "mask's shape",
        "weights",
        "channels",
        "empty",
        "number",
        "complex",
        "axis",
        "image",
    ],
)
def test_what_is_no_template_is_refused(arrays, options, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        inspect_template(*arrays, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(draw, value):
    template = np.array(draw((5, 6)))
    template[1, 2] = value
    sentence = (
        f"`template` is {value} at [1, 2]; all pixels must be finite: "
        "replace NaN and infinity first, for instance with np.nan_to_num"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        inspect_template(template)


# --- the figure -----------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize(
    "shape", [(60, 80), (8, 8), (8, 200), (200, 8), (1, 9), (30, 30, 3), (20, 30, 2)], ids=str
)
def test_the_figure_shows_what_was_found_and_nothing_is_cut_off(draw, shape):
    axis = 2 if len(shape) == 3 else None
    template = draw(shape, "u1")
    found = inspect_template(template, channel_axis=axis)
    figure = plot_inspection(template, found, channel_axis=axis)
    figure.draw_without_rendering()
    template_axes, shifts, bars, noise = figure.axes[:4]
    assert template_axes.get_title() == f"{shape[1]} x {shape[0]} pixels\ncontrast {found.contrast:.3g}"
    if found.side_lobe_at:
        [ring] = shifts.lines
        assert tuple(ring.get_xydata()[0]) == found.side_lobe_at[::-1]
    assert [bar.get_width() for bar in bars.patches] == [score for _, score in found.likeness]
    assert [label.get_text() for label in bars.get_yticklabels()] == [name for name, _ in found.likeness]
    true_place, chance, limit = noise.lines
    assert chance.get_ydata()[0] == found.chance_score
    if found.noise > 0:
        assert np.interp(found.noise, *true_place.get_data()) == pytest.approx(
            np.interp(found.noise, *chance.get_data()), abs=1e-3
        )
        assert limit.get_xdata()[0] == found.noise
    assert figure.get_suptitle().replace("\n", " ") == found.advice
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0
    assert (box.x1, box.y1) <= (width, height)


@pytest.mark.engine_free
def test_the_heatmap_shows_the_scores_of_shifts(draw):
    template = draw((6, 8))
    [heatmap] = plot_inspection(template, inspect_template(template)).axes[1].images
    left, right, bottom, top = heatmap.get_extent()
    shown = heatmap.get_array()
    expected = self_scores(template)
    for (y, x), score in expected.items():
        assert shown[round(y - top - 0.5), round(x - left - 0.5)] == pytest.approx(score, abs=1e-9)
    assert shown.count() == len(expected)
    assert shown.shape == (round(bottom - top), round(right - left))


@pytest.mark.engine_free
def test_what_does_not_count_is_not_drawn(draw):
    mask = np.hypot(*np.mgrid[-5:6, -5:6]) < 5
    template = np.where(mask, draw((11, 11)), np.nan)
    figure = plot_inspection(template, inspect_template(template, mask=mask), mask=mask)
    [image] = figure.axes[0].images
    np.testing.assert_array_equal(image.get_alpha(), mask)
    assert np.ptp(image.get_array()[mask]) == 255


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("template", "other", "sentence"),
    [
        (
            NOISE[:9],
            NOISE,
            "`template` has shape (9, 20) and `inspection` is of one of shape (20, 20); both must be of one template "
            "with two axes besides that of channels",
        ),
        (
            NOISE[0],
            NOISE[0],
            "`template` has shape (20,) and `inspection` is of one of shape (20,); both must be of one template "
            "with two axes besides that of channels",
        ),
    ],
    ids=["another", "signal"],
)
def test_figures_of_what_was_not_inspected_are_refused(template, other, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        plot_inspection(template, inspect_template(other))


# --- other poses ----------------------------------------------------------------------------------


def test_poses_in_which_a_template_looks_alike_are_told():
    rows, columns = np.mgrid[-30:30, -30:30] + 0.5
    bar = np.uint8(255 * ((abs(rows) < 8) & (abs(columns) < 24)))
    found = tmatch.inspect_template(bar)
    assert set(found.alternatives) == {(180.0, False), (0.0, True), (180.0, True)}
    assert (found.has_angle, found.reduction > 1) == (True, True)


def test_what_has_no_angle_is_told():
    rows, columns = np.mgrid[-12:13, -12:13]
    found = tmatch.inspect_template(np.exp(-(rows**2 + columns**2) / 50))
    assert found.has_angle is False


def test_poses_are_told_of_images_only_and_not_where_that_would_take_long():
    random = np.random.default_rng(0)
    fine = tmatch.inspect_template(random.integers(0, 256, (100, 110), np.uint8))
    assert (fine.reduction, fine.alternatives, fine.has_angle) == (1, None, None)
    line = tmatch.inspect_template(random.normal(size=30))
    assert (line.reduction, line.alternatives, line.has_angle) == (None, None, None)
    colour = tmatch.inspect_template(random.normal(size=(20, 24, 3)), channel_axis=-1)
    assert (colour.reduction, colour.alternatives, colour.has_angle) == (1, (), True)
