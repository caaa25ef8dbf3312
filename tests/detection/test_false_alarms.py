import functools
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import oracle
import tmatch
from tmatch import Box
from tmatch.synthetic import make_clutter, make_scene


def noise_of(rng, shape, blur):
    """Noise of one kind everywhere, as 8-bit pixels."""
    noise = rng.normal(size=shape)
    noise = ndimage.gaussian_filter(noise, blur, mode="wrap") if blur else noise
    return np.clip(np.rint(128 + 30 * noise / noise.std()), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def noisy_map(engine):  # noqa: ARG001 - made anew for each
    rng = np.random.default_rng(0)
    image, template = (
        rng.integers(0, 256, (150, 170), dtype=np.uint8),
        rng.integers(0, 256, (13, 18), dtype=np.uint8),
    )
    return image, template, tmatch.match_template(image, template)


# --- equals the oracle ----------------------------------------------------------------------------


@functools.cache  # whichever engine is first scores; the others estimate from the same scores
def planted_map(shape, window, kind):
    """The template, the scores of an image with copies of it, which are valid, the copies, and what the oracle says."""
    rng = np.random.default_rng([1, *shape])
    image, template = rng.normal(size=shape), rng.normal(size=window)
    if kind == "stripes":
        template = np.sin(np.arange(window[-1]) * 2 * np.pi / 5) + 0.2 * template
        template[tuple(slice(1, -1) for _ in window)] += 1  # the rim is darker
    if kind == "slopes":
        image, template = (ndimage.gaussian_filter(each, 6) for each in (image, template))
    many = {"copies": 8, "stripes": 8, "one copy": 1}.get(kind, 0)
    places = [
        tuple(n // 11 + (n - k) // 9 * i for n, k in zip(shape, window, strict=True)) for i in range(many)
    ]
    for place in places:
        part = tuple(slice(p, p + n) for p, n in zip(place, window, strict=True))
        image[part] = template + rng.uniform(0, 0.5) * rng.normal(size=window)
    scores = tmatch.match_template(image, template)
    valid = rng.random(scores.shape) < 0.9
    valid[tuple(np.transpose(places))] = True
    return template, scores, valid, places, *oracle.chance(scores, valid, template)


@pytest.mark.parametrize(
    ("shape", "window"),
    [((90, 100), (9, 14)), ((60, 61), (3, 5)), ((1500,), (20,)), ((30, 26, 28), (6, 5, 9))],
    ids=str,
)
@pytest.mark.parametrize("kind", ["absent", "copies", "stripes"])
def test_false_alarms_equal_the_oracle(shape, window, kind):
    wanted, n_fitted = assert_equal_to_the_oracle(shape, window, kind)
    assert n_fitted >= 40
    assert max(wanted) > 1
    assert min(wanted) < (1e-3 if kind == "absent" else 0.2)


@pytest.mark.parametrize(
    ("shape", "window", "kind"),
    [
        ((30, 34), (15, 17), "one copy"),
        ((30, 34), (15, 17), "absent"),
        ((70,), (24,), "one copy"),
        ((12, 11, 10), (7, 6, 6), "one copy"),
        ((140, 150), (12, 15), "slopes"),
    ],
    ids=str,
)
def test_false_alarms_of_tiny_and_of_smooth_images_equal_the_oracle(shape, window, kind):
    _, n_fitted = assert_equal_to_the_oracle(shape, window, kind)
    assert (n_fitted > 0) == (kind == "slopes")


def assert_equal_to_the_oracle(shape, window, kind):
    template, scores, valid, planted, expected, n_fitted = planted_map(shape, window, kind)
    chance = tmatch.estimate_chance(np.where(valid, scores, 0), template, valid=valid)
    assert chance.learnt_from == n_fitted
    rng = np.random.default_rng(4)
    places = [*map(tuple, rng.integers(0, scores.shape, (50, len(shape)))), *planted]
    heights = [*rng.random(50), *(scores[place] for place in planted)]
    wanted = [expected(place, height) for place, height in zip(places, heights, strict=True)]
    np.testing.assert_allclose(chance.false_alarms(places, heights), wanted, rtol=6e-3)
    return wanted, n_fitted


@pytest.mark.parametrize("cut_to", [(16, 15), (40, 150), (500, 500)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_locate_tells_what_the_whole_map_tells_however_it_is_cut(cut, noisy_map, cut_to, dtype):
    image, template, scores = noisy_map
    image = np.array(image)
    image[70:83, 100:118] = template
    image[20:33, 30:48] = template
    scores = tmatch.match_template(image, template)
    chance = tmatch.estimate_chance(scores, template)
    cut(cut_to)
    found = tmatch.locate(image.astype(dtype), template, prefilter="none")
    assert {match.box.start for match in found} == {(70, 100), (20, 30)}
    for match in found:
        assert match.second_best == 1
        assert match.false_alarms == pytest.approx(chance.false_alarms([match.box.start], [1])[0], rel=0.011)


@pytest.mark.parametrize("copies", [[(30, 40)], [(30, 40), (30, 49)], [(0, 0), (30, 40), (85, 140)]])
def test_second_best_is_the_highest_score_half_a_template_away(draw, copies):
    image, template = np.array(draw((100, 160), "u1")), draw((12, 17), "u1", 1)
    for number, (y, x) in enumerate(copies):
        image[y : y + 12, x : x + 17] = (
            template if number == 0 else template // 2 + image[y : y + 12, x : x + 17] // 3
        )
    scores = tmatch.match_template(image, template)
    cell = tmatch.estimate_chance(scores, template).cell_shape
    matches = tmatch.locate(image, template, threshold=0.5, max_overlap=1)
    assert len(matches) == len(copies)
    cells = np.moveaxis(np.indices(scores.shape), 0, -1) // cell
    for match in matches:
        away = np.abs(cells - np.array(match.box.start) // cell).max(axis=-1) > 2
        assert match.second_best == pytest.approx(scores[away].max() / match.score, abs=1e-3)


def test_explained_peaks_are_not_learnt_from_but_hollows_there_are(noisy_map):
    _, template, scores = noisy_map
    chance, turned = (tmatch.estimate_chance(sign * scores, template) for sign in (1, -1))
    everywhere = np.argwhere(np.isfinite(scores))
    hollows, peaks = (each._null.without(everywhere).n_fitted for each in (chance, turned))
    assert chance.learnt_from == turned.learnt_from == peaks + hollows - 1  # the best peak may be a match


# --- laws -----------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_higher_scores_are_rarer(scores):
    image = np.random.default_rng(1).normal(size=(80, 90))
    template = np.random.default_rng(2).normal(size=(8, 11))
    chance = tmatch.estimate_chance(tmatch.match_template(image, template), template)
    found = chance.false_alarms([(30, 40)] * len(scores), np.sort(scores))
    assert np.all(np.diff(found) <= 0)
    assert found.min() >= 0


@pytest.mark.parametrize("allowed", [1e-6, 0.01, 1, 5])
def test_the_least_score_is_just_enough(noisy_map, allowed):
    _, template, scores = noisy_map
    chance = tmatch.estimate_chance(scores, template)
    least = chance.least_scores(allowed)
    assert chance.cell_shape == (3, 4)
    assert least.shape == tuple(-(-n // k) for n, k in zip(scores.shape, chance.cell_shape, strict=True))
    for cell in np.ndindex(least.shape):
        if cell[0] % 7 == 0:
            place = np.multiply(cell, chance.cell_shape)
            assert chance.false_alarms([place], [least[cell]])[0] == pytest.approx(allowed, rel=0.01)


def test_gain_and_offset_change_nothing_and_inversion_hardly_anything(noisy_map):
    image, template, _ = noisy_map
    image, template = image.astype(np.int64), template.astype(np.int64)
    found = tmatch.best_match(image, template)
    assert tmatch.best_match(3 * image + 7, 5 * template - 9) == found
    scores = -tmatch.match_template(image, template)
    chance = tmatch.estimate_chance(scores, template)
    other = tmatch.estimate_chance(-scores, template)
    assert 0.5 < chance.least_scores(0.01).mean() / other.least_scores(0.01).mean() < 2


def test_many_templates_share_what_is_allowed(draw):
    image = draw((200, 220), "u1", 1)
    template = image[50:60, 70:83]
    alone = tmatch.locate(image, {"a": template}, prefilter="none")[0]
    others = {f"other {n}": draw((10, 13), "u1", n) for n in range(2, 11)}
    [together] = tmatch.locate(image, {"a": template, **others}, prefilter="none")
    assert together.false_alarms == pytest.approx(10 * alone.false_alarms, rel=0.02)


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.parametrize("blur", [0, 1, 2])
@pytest.mark.parametrize("side", [7, 15, 31])
def test_noise_has_about_as_many_peaks_as_false_alarms_are_expected(blur, side):
    rng = np.random.default_rng([blur, side])
    counts = []
    for _ in range(40):
        image, template = (
            noise_of(rng, (256, 256), blur),
            noise_of(rng, (64, 64), blur)[9 : 9 + side, 9 : 9 + side],
        )
        scores = tmatch.match_template(image, template)
        peaks = tmatch.find_peaks(scores, threshold=1e-6)
        chance = tmatch.estimate_chance(scores, template)
        counts.append(np.count_nonzero(chance.false_alarms(peaks, scores[tuple(peaks.T)]) <= 1))
        assert len(tmatch.locate(image, template, false_alarms=1, prefilter="none")) <= counts[-1]
    assert 0.4 <= np.mean(counts) <= 1.8  # 0.5 to 1.5 over 150 runs, see tests/benchmarks/detection.py


def test_what_is_not_there_is_not_reported(picture):
    names = [
        "astronaut/image.png",
        "camera/image.png",
        "coins/image.png",
        "raccoon/face_gray.png",
        "cell/image.png",
    ]
    pictures = [picture(name) for name in names]
    greys = [p @ np.array([0.2125, 0.7154, 0.0721]) if p.ndim == 3 else p for p in pictures]
    rng, reports = np.random.default_rng(0), 0
    for _ in range(60):
        image, source = (greys[i] for i in rng.permutation(len(greys))[:2])
        height, width = rng.integers(16, 65, 2)
        y, x = (rng.integers(n - k) for n, k in zip(source.shape, (height, width), strict=True))
        template = source[y : y + height, x : x + width]
        if template.std() >= 8:
            reports += bool(tmatch.locate(image[:300, :300], template, false_alarms=0.05))
    assert reports <= 6  # 3 are allowed on average


def test_a_slope_in_a_smooth_picture_is_no_find():
    y, x = np.mgrid[:240, :300]
    rng = np.random.default_rng(0)
    sky = 150 + 60 * np.sin(y / 60 + 1) + 20 * np.sin(x / 45) + rng.normal(0, 1, y.shape)
    slope = np.add.outer(np.arange(24.0), 0.3 * np.arange(30.0)) + rng.normal(0, 1, (24, 30))
    assert tmatch.best_match(sky, slope).score > 0.9
    assert tmatch.locate(sky, slope) == []


def test_copies_do_not_spoil_what_chance_is_thought_to_give():
    rng = np.random.default_rng(1)
    template = make_clutter((24, 20), rng=rng)
    for many in (1, 2, 10, 60):
        image = make_clutter((300, 320), rng=rng)
        cells = [(y, x) for y in range(2, 270, 30) for x in range(3, 290, 28)]
        places = {cells[i] for i in rng.permutation(len(cells))[:many]}
        for y, x in places:
            image[y : y + 24, x : x + 20] = template
        noisy = tmatch.to_range(image + rng.normal(0, 12, image.shape))
        assert {match.box.start for match in tmatch.locate(noisy, template)} == places


def test_equal_areas_of_a_screen_say_nothing():
    screen = np.full((300, 400), 240, np.uint8)
    screen[::40] = 200
    screen[40:80, 60:160] = 90
    icon = np.random.default_rng(2).integers(0, 256, (16, 16), dtype=np.uint8)
    assert tmatch.locate(screen, icon) == []
    screen[203:219, 301:317] = icon
    [match] = tmatch.locate(screen, icon)
    assert match.box == Box((203, 301), (16, 16))


@pytest.mark.parametrize("shape", [(40, 44), (26, 30), (24, 25)])
def test_tiny_images_have_a_rule_of_their_own(shape):
    rng = np.random.default_rng(3)
    image, other = (make_clutter(shape, rng=rng).astype(np.uint8) for _ in "ab")
    template = image[2:22, 3:21]
    assert tmatch.estimate_chance(tmatch.match_template(image, template), template).learnt_from == 0
    assert [match.box.start for match in tmatch.locate(image, template)] == [(2, 3)]
    assert tmatch.locate(other, template) == []


@pytest.mark.parametrize("shape", [(3000,), (50, 40, 45)])
def test_signals_and_volumes_are_decided_like_pictures(shape):
    rng = np.random.default_rng(4)
    image = ndimage.gaussian_filter(rng.normal(size=shape), 1)
    start = tuple(n // 3 for n in shape)
    part = tuple(slice(s, s + (60 if len(shape) == 1 else 9)) for s in start)
    noisy = image + rng.normal(0, image.std() / 2, shape)
    assert [match.box.start for match in tmatch.locate(noisy, image[part])] == [start]
    assert tmatch.locate(noisy, image[part][::-1]) == []


def test_masks_and_missing_pixels_keep_their_decision(picture):
    noisy, eye = picture("raccoon/noisy.png"), picture("raccoon/eye.png")
    disc = np.hypot(*np.mgrid[-32:33, -39.5:40]) < 33
    assert [m.box.start for m in tmatch.locate(noisy, eye, masks=disc)] == [(300, 670)]
    there = np.arange(noisy.shape[1]) % 9 > 0
    broken = np.where(there, noisy, np.nan)
    assert [m.box.start for m in tmatch.locate(broken, eye, missing="ignore")] == [(300, 670)]
    assert tmatch.locate(broken, eye[::-1].copy(), missing="ignore") == []


def test_directions_of_edges_are_decided_too(picture):
    face, eye = picture("raccoon/face_gray.png"), picture("raccoon/eye.png")
    assert [m.box.start for m in tmatch.locate(face, eye, metric="orientation")] == [(300, 670)]
    assert tmatch.locate(face, picture("coins/big.png"), metric="orientation") == []


def test_a_large_template_wins_over_a_small_one_that_fits_as_well():
    rng = np.random.default_rng(6)
    big = rng.integers(0, 256, (90, 90), dtype=np.uint8)
    image = tmatch.to_range(rng.normal(128, 40, (400, 400)))
    image[100:190, 150:240] = tmatch.to_range(big * 0.5 + 64 + rng.normal(0, 25, big.shape))
    small = image[101:190:10, 151:240:10].copy()  # 9 x 9, of which no copy is there
    image[110:119, 160:169] = small  # but one inside the big one
    found = tmatch.locate(image, {"small": small, "big": big}, max_overlap=0.005)
    assert [match.label for match in found] == ["big"]
    score = {m.label: m.score for m in tmatch.locate(image, {"small": small, "big": big}, max_overlap=1)}
    assert score["small"] > score["big"] > 0.6


def test_templates_compete_whether_or_not_there_was_enough_to_learn_from():
    from skimage.transform import resize

    big = make_clutter((80, 104), rng=5)
    right, small = (resize(big, shape, anti_aliasing=True, mode="edge") for shape in ((60, 78), (27, 35)))
    image, _ = make_scene(make_clutter((150, 160), rng=0), right, [(33, 41)], noise=3, rng=0)
    learnt = {
        name: tmatch.estimate_chance(tmatch.match_template(image, template), template).learnt_from
        for name, template in {"right": right, "small": small}.items()
    }
    assert learnt["right"] == 0 < learnt["small"]
    assert [m.label for m in tmatch.locate(image, {"right": right, "small": small}, prefilter="none")] == [
        "right"
    ]


def test_equal_templates_compete_by_their_labels_whatever_their_order(draw):
    image = draw((120, 130), "u1", 1)
    template = image[50:66, 70:88]
    for labels in ("ab", "ba"):
        [match] = tmatch.locate(image, dict.fromkeys(labels, template))
        assert match.label == "a"


def test_progress_of_two_ways_never_goes_back(draw):
    image, template = draw((200, 210), "u1", 1), draw((20, 22), "u1", 2)
    for sought in (image[50:66, 70:88], template):  # found the first way; sought both ways in vain
        told = []
        tmatch.locate(image, sought, progress=told.append)
        assert told == sorted(told)
        assert told[-1] == 1
        assert told[0] <= 0.5


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("scores", "template", "options", "sentence"),
    [
        (
            [[0.5, 2.0]],
            [[1, 2]],
            {},
            "`scores` has shape (1, 2) and values from 0 to 2; it must be a map of scores in [-1, 1] with the axes of "
            "the template",
        ),
        (
            [0.5, 0.1],
            [[1, 2]],
            {},
            "`scores` has shape (2,) and values from 0 to 0.5; it must be a map of scores in [-1, 1] with the axes of "
            "the template",
        ),
        (
            [0.5, 0.1],
            [1, 2],
            {"valid": [True]},
            "`valid` has shape (1,); it must have that of `scores`, (2,)",
        ),
        (
            [0.5, 0.1],
            [1, 2],
            {"mask": [1, 1, 0]},
            "`mask` has shape (3,); it must have the template's: (2,), with or without channels",
        ),
        ([0.5, 0.1], [1, 2], {"channel_axis": 1}, "`channel_axis` is 1, but `template` has only 1 axes"),
    ],
)
def test_maps_that_are_none_are_refused(scores, template, options, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tmatch.estimate_chance(scores, template, **options)


@pytest.mark.engine_free
def test_a_mask_may_have_channels():
    rng = np.random.default_rng(0)
    scores, template, mask = (
        rng.uniform(-0.2, 0.2, (9, 9)),
        rng.normal(size=(5, 6, 3)),
        rng.random((5, 6)) < 0.5,
    )
    one, three = (
        tmatch.estimate_chance(scores, template, mask=m, channel_axis=2)
        for m in (mask, np.repeat(mask[..., None], 3, axis=2))
    )
    assert one.effective_pixels == three.effective_pixels


@pytest.mark.engine_free
def test_no_score_is_high_enough_for_no_false_alarms():
    chance = tmatch.estimate_chance([0.5, 0.1, -0.3], [1, 2])
    with pytest.raises(ValueError, match="^`false_alarms` is 0; it must be a number above 0"):
        chance.least_scores(0)


@pytest.mark.engine_free
def test_chances_are_pickled():
    image = np.random.default_rng(0).normal(size=(120, 120))
    scores = tmatch.match_template(image, image[:12, :12])
    chance = tmatch.estimate_chance(scores, image[:12, :12])
    copy = pickle.loads(pickle.dumps(chance))  # noqa: S301
    assert repr(copy) == repr(chance)
    places = [[0, 0], [50, 50]]
    assert copy.false_alarms(places, [0.4, 1.0]).tolist() == chance.false_alarms(places, [0.4, 1.0]).tolist()
    assert copy.least_scores(0.01).tolist() == chance.least_scores(0.01).tolist()
