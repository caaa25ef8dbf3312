import dataclasses
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tmatch
from loops import each
from profiles import examples
from tmatch import Box
from tmatch._detection.criterion import Criterion
from tmatch._engine.progress import Resources
from tmatch._search.matcher import searches_of
from tmatch._search.recipe import search
from tmatch.synthetic import make_clutter, make_scene

PLACES = [(12, 20), (60, 8), (70, 100), (104, 136)]  # the last one in the corner
TEMPLATE = make_clutter((16, 24), rng=1)


def scene(seed=0, **options):
    return make_scene(make_clutter((120, 160), rng=seed), TEMPLATE, PLACES, rng=seed, **options)


# --- laws -----------------------------------------------------------------------------------------


def test_a_match_is_a_peak_of_the_score_map_and_carries_its_score():
    image, _ = scene(noise=15)
    scores = tmatch.match_template(image, TEMPLATE)
    matches = tmatch.locate(image, TEMPLATE, threshold=0.3, max_overlap=1)
    assert [m.box.start for m in matches] == list(
        map(tuple, tmatch.find_peaks(scores, threshold=0.3).tolist())
    )
    assert [m.score for m in matches] == [scores[m.box.start] for m in matches]
    assert {m.box.shape for m in matches} == {TEMPLATE.shape}


def test_kept_matches_are_those_of_suppression():
    image, _ = scene(noise=15)
    everything = tmatch.locate(image, TEMPLATE, threshold=0.3, max_overlap=1)
    kept = tmatch.locate(image, TEMPLATE, threshold=0.3, max_overlap=0.1)
    assert kept == tmatch.non_max_suppression(everything, max_overlap=0.1)
    assert len(PLACES) < len(kept) < len(everything)


@given(st.permutations(["a", "b", "c", "d"]))
@examples(8, nightly=24)
def test_order_of_the_templates_is_irrelevant(order):
    image, _ = scene(noise=10)
    templates = {"a": TEMPLATE, "b": TEMPLATE, "c": image[:20, :30], "d": TEMPLATE[:, ::-1]}
    shuffled = {label: templates[label] for label in order}
    assert tmatch.locate(image, shuffled, threshold=0.3) == tmatch.locate(image, templates, threshold=0.3)
    assert tmatch.best_match(image, shuffled) == tmatch.best_match(image, templates)


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (0.2, 100), (3, -500)])
@pytest.mark.parametrize("noise", [0, 0.1, 0.2])
@each("seed", range(5))
def test_all_copies_and_nothing_else_are_found_under_gain_offset_and_noise(seed, noise, gain, offset):
    # Noise of 0.2 times the template's contrast lowers scores to about 1 / sqrt(1.04) = 0.98.
    image, boxes = scene(seed, gain=gain, offset=offset, noise=noise * gain * TEMPLATE.std())
    matches = tmatch.locate(image, TEMPLATE, threshold=0.9)
    assert {m.box for m in matches} == set(boxes)
    assert len(matches) == len(boxes)
    assert [m.score for m in matches] == sorted((m.score for m in matches), reverse=True)


@pytest.mark.parametrize("seed", range(5))
def test_heavy_noise_lowers_scores_but_keeps_the_best_places(seed):
    image, boxes = scene(seed, noise=1.0 * TEMPLATE.std())  # scores of about 1 / sqrt(2)
    matches = tmatch.locate(tmatch.to_range(image), TEMPLATE, threshold=0.5, max_count=len(boxes))
    assert {m.box for m in matches} == set(boxes)
    assert tmatch.locate(image, TEMPLATE, threshold=0.9) == []


def test_what_is_not_there_is_not_found():
    image = make_clutter((120, 160), rng=0)
    assert tmatch.locate(image, TEMPLATE) == []
    assert tmatch.locate(image, {"a": TEMPLATE, "b": TEMPLATE.T}) == []
    assert tmatch.locate(np.full((50, 60), 7), TEMPLATE) == []


def test_max_count_keeps_the_best():
    image, boxes = scene()
    everything = tmatch.locate(image, TEMPLATE)
    assert len(everything) == len(boxes)
    assert tmatch.locate(image, TEMPLATE, max_count=2) == everything[:2]
    assert tmatch.locate(image, TEMPLATE, max_count=99) == everything


def test_equal_scores_come_in_row_major_order():
    image, boxes = make_scene(np.zeros((60, 80), int), np.eye(8), [(40, 5), (2, 60), (2, 7)])
    matches = tmatch.locate(image.astype(np.uint8), np.eye(8, dtype=np.uint8))
    assert [m.score for m in matches] == [1.0] * 3
    assert [m.box for m in matches] == sorted(boxes, key=lambda box: box.start)


def test_min_distance_keeps_matches_of_one_template_apart():
    image, boxes = make_scene(np.zeros((40, 60), int), np.eye(8), [(4, 4), (4, 14), (4, 30)])
    found = [m.box.start for m in tmatch.locate(image, np.eye(8), min_distance=11)]
    assert found == [(4, 4), (4, 30)]
    assert [m.box for m in tmatch.locate(image, np.eye(8))] == boxes


def test_matches_carry_the_label_of_their_template(draw):
    image, templates = (
        np.array(draw((60, 70))),
        {"wide": draw((5, 20), seed=1), "high": draw((20, 5), seed=2)},
    )
    image[3:8, 10:30], image[30:50, 40:45], image[20:25, 0:20] = (
        templates["wide"],
        templates["high"],
        templates["wide"],
    )
    found = {(m.label, m.box) for m in tmatch.locate(image, templates)}
    assert found == {
        ("wide", Box((3, 10), (5, 20))),
        ("high", Box((30, 40), (20, 5))),
        ("wide", Box((20, 0), (5, 20))),
    }
    assert {m.label for m in tmatch.locate(image, templates["wide"])} == {""}


def test_of_two_templates_at_one_place_the_better_one_is_kept(draw):
    image = draw((40, 50))
    close = image[5:15, 6:18] + 0.3 * draw((10, 12), seed=1)
    matches = tmatch.locate(image, {"close": close, "exact": image[5:15, 6:18]})
    assert [m.label for m in matches] == ["exact"]
    both = tmatch.locate(image, {"close": close, "exact": image[5:15, 6:18]}, max_overlap=1)
    assert [m.label for m in both] == ["exact", "close"]


def test_300_exact_copies_that_touch_are_all_found(draw):
    tile = draw((12, 16), "u1")
    image = np.tile(tile, (15, 20))
    matches = tmatch.locate(image, tile, max_overlap=0)
    assert [m.box.start for m in matches] == [(y, x) for y in range(0, 180, 12) for x in range(0, 320, 16)]
    assert {m.score for m in matches} == {1.0}


def test_copies_that_overlap_are_found_when_suppression_is_off():
    slash = np.fliplr(np.eye(12, dtype=np.uint8))
    image = np.zeros((30, 60), np.uint8)
    for x in (10, 14, 18):
        image[8:20, x : x + 12] |= slash
    alone = np.zeros((12, 12), np.uint8) + slash
    matches = tmatch.locate(image, alone, threshold=0.4, max_overlap=1, max_count=3)
    assert {m.box.start for m in matches} == {(8, 10), (8, 14), (8, 18)}
    assert len(tmatch.locate(image, alone, threshold=0.4)) < 3


def test_dots_of_equal_grey_are_told_apart_by_their_colour():
    y, x = np.mgrid[-8:9, -8:9]
    disc = y**2 + x**2 <= 36
    red, blue = (np.where(disc[..., None], c, 240).astype(np.uint8) for c in [(220, 40, 40), (30, 77, 230)])
    image = np.full((60, 120, 3), 240, np.uint8)
    image[10:27, 10:27] = image[30:47, 80:97] = red
    image[10:27, 60:77] = image[40:57, 20:37] = blue

    def places(picture, template, channel_axis=None):
        return [m.box.start for m in tmatch.locate(picture, template, channel_axis=channel_axis)]

    assert places(image, red, 2) == [(10, 10), (30, 80)]
    assert places(image, blue, 2) == [(10, 60), (40, 20)]
    grey = np.rint(image @ [0.2125, 0.7154, 0.0721])
    assert len(places(grey, grey[10:27, 10:27])) == 4  # grey alone cannot tell them apart


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_a_box_has_no_channel_axis(draw, axis):
    image = draw((30, 40, 3))
    template = image[4:11, 6:18]
    options = {"channel_axis": axis}
    matches = tmatch.locate(np.moveaxis(image, 2, axis), np.moveaxis(template, 2, axis), **options)
    assert [m.box for m in matches] == [Box((4, 6), (7, 12))]
    best = tmatch.best_match(np.moveaxis(image, 2, axis), {"x": np.moveaxis(template, 2, axis)}, **options)
    assert (best.label, best.box) == ("x", matches[0].box)


def test_best_match_is_the_highest_score_however_low(draw):
    image, template = draw((30, 40)), draw((5, 6), seed=1)
    scores = tmatch.match_template(image, template)
    best = tmatch.best_match(image, template)
    assert best.score == scores.max() < 0.8
    assert best.box.start == np.unravel_index(scores.argmax(), scores.shape)
    assert tmatch.locate(image, template) == []


def test_of_equal_best_matches_the_first_in_row_major_order_is_taken():
    image, _ = make_scene(np.zeros((40, 50), int), np.eye(6), [(30, 2), (9, 20), (9, 33)])
    for templates in ({"b": np.eye(6), "a": np.eye(6)}, {"a": np.eye(6), "b": np.eye(6)}):
        best = tmatch.best_match(image, templates)
        assert (best.box.start, best.label) == ((9, 20), "a")
    flat = tmatch.best_match(np.zeros((9, 9)), np.eye(6))
    assert (flat.box, flat.score, flat.second_best) == (Box((0, 0), (6, 6)), 0, None)
    assert flat.false_alarms >= 0.5


def test_matches_are_built_in_types_and_json_as_they_stand(draw):
    image = draw((30, 40), "f4")
    for match in [*tmatch.locate(image, {"x": image[3:9, 4:12]}), tmatch.best_match(image, image[3:9, 4:12])]:
        assert type(match.score) is float
        assert {type(n) for n in (*match.box.start, *match.box.shape)} == {int}
        data = json.loads(json.dumps(dataclasses.asdict(match)))
        assert data["box"] == {"start": [3, 4], "shape": [6, 8]}


# --- refusals -------------------------------------------------------------------------------------

IMAGE = np.arange(30).reshape(5, 6)


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("templates", "options", "sentence"),
    [
        ({}, {}, "`templates` is an empty mapping; it must hold at least one template"),
        (
            np.ones((2, 2)),
            {},
            "`template` is constant: every window would fit as well; use one with some contrast",
        ),
        (
            IMAGE[:2],
            {"threshold": np.nan},
            "`threshold` is nan; zncc scores are from -1 to 1: name one that some place could reach",
        ),
        (
            IMAGE[:2],
            {"threshold": 80},
            "`threshold` is 80; zncc scores are from -1 to 1: name one that some place could reach",
        ),
        (
            IMAGE[:2],
            {"max_overlap": 2},
            "`max_overlap` is 2; it must be from 0 (boxes may touch) to 1 (no suppression)",
        ),
        (
            IMAGE[:2],
            {"max_count": 0},
            "`max_count` is 0; it must be a whole number of at least 1, or None for no limit",
        ),
        (
            IMAGE[:2],
            {"min_distance": 0},
            "`min_distance` is 0; it must be a whole number of at least 1",
        ),
        (
            IMAGE[:2],
            {"metric": "ssd"},
            '`metric` is "ssd", but false alarms can be estimated for zncc and orientation only; '
            "give a `threshold` alone",
        ),
        (
            IMAGE[:2],
            {"false_alarms": 0},
            "`false_alarms` is 0; it must be a number above 0, as 0.01 for one false match in a hundred searches",
        ),
        (
            IMAGE[:2],
            {"prefilter": "whiten", "threshold": 0.5},
            '`prefilter` is "whiten" and `threshold` is 0.5: filtered images are decided on by zncc and '
            '`false_alarms`; leave one of them out, or use "none"',
        ),
        (
            IMAGE[:2],
            {"prefilter": "blur"},
            '`prefilter` is \'blur\'; it must be one of "none", "whiten", "bandpass", "auto"',
        ),
    ],
    ids=[
        "mapping",
        "constant",
        "nan",
        "threshold",
        "max_overlap",
        "max_count",
        "min_distance",
        "metric",
        "false_alarms",
        "prefilter",
        "filter",
    ],
)
def test_searches_that_cannot_be_are_refused(templates, options, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tmatch.locate(IMAGE, templates, **options)


@pytest.mark.engine_free
def test_a_best_match_of_no_template_is_refused():
    sentence = "`templates` is an empty mapping; it must hold at least one template"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tmatch.best_match(IMAGE, {})


@pytest.mark.parametrize("scale", [1, 1.0, 1 / 255])
def test_rounding_does_not_split_a_plateau(scale):
    ramp = np.tile(np.arange(255, dtype=np.uint8), (60, 1)) * scale  # every place scores 1
    assert len(tmatch.locate(ramp, ramp[10:20, 10:20], threshold=0.8)) == 1


def test_exact_copies_of_floats_score_one():
    for seed in range(20):
        image = np.random.default_rng(seed).normal(size=(40, 50))
        assert tmatch.locate(image, image[5:14, 7:20], threshold=1)[0].box.start == (5, 7)


def test_a_great_many_matches_are_found_in_reasonable_time():
    image = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
    matches = tmatch.locate(image, image[5:10, 5:10], threshold=0)
    assert len(matches) > 4000
    assert matches == tmatch.non_max_suppression(matches)


def test_fault_of_one_template_is_told_with_its_label():
    image = np.random.default_rng(0).integers(0, 256, (30, 30), dtype=np.uint8)
    with pytest.raises(ValueError, match='template "flat" is constant'):
        tmatch.locate(image, {"good": image[:9, :9], "flat": np.ones((5, 5))})
    with pytest.raises(TypeError, match=r"`templates` has the labels \[1\]; they must be strings"):
        tmatch.locate(image, {1: image[:9, :9]})


@each("gains", [(1, 1e305), (1e305, 1), (1e305, 1e305)])
def test_sums_of_huge_pixels_do_not_overflow(gains):
    rng = np.random.default_rng(0)
    image, template = rng.random((60, 70)), rng.random((9, 9))
    [match] = tmatch.locate(image * gains[0], image * gains[1])
    assert match.score == 1
    assert tmatch.locate(image * gains[0], template * gains[1]) == []  # after a search by whitened pixels


@pytest.mark.parametrize("prefilter", ["none", "whiten", "bandpass", "auto"])
@each(
    "dtype, scale",
    [("f2", 1), ("f2", 1e4), (">f2", 100), ("f4", 1e38), ("f4", 1e-40), ("f8", 1e300), ("f8", 1e-310)],
)
def test_floats_may_be_of_any_width_and_scale(prefilter, dtype, scale):
    image = (np.clip(np.random.default_rng(0).normal(size=(90, 110)), -3, 3) * scale).astype(dtype)
    template = image[30:44, 40:56]
    assert [m.box.start for m in tmatch.locate(image, template, prefilter=prefilter)] == [(30, 40)]


def test_what_fits_where_another_template_fits_better_is_known_whatever_decides():
    image, _ = scene(noise=5)
    other = TEMPLATE + make_clutter(TEMPLATE.shape, rng=5) * 0.3
    matcher = tmatch.Matcher({"own": TEMPLATE, "other": other})
    for options in ({}, {"threshold": 0.7}):
        searched = search(
            searches_of(matcher, image, None), Criterion.of("zncc", **options), Resources.of(None, None)
        )
        assert sorted(match.box.start for match in searched.matches) == PLACES
        assert {match.label for match in searched.matches} == {"own"}
        assert sorted(match.box.start for match in searched.lost) == PLACES
        assert {match.label for match in searched.lost} == {"other"}
    alone = searches_of(tmatch.Matcher(TEMPLATE), image, None)
    assert not search(alone, Criterion.of("zncc"), Resources.of(None, None)).lost
