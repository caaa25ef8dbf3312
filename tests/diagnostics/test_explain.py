import dataclasses
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, zoom

import tmatch
from profiles import examples
from tmatch import Box, Match, iou
from tmatch._detection.criterion import Criterion
from tmatch._diagnostics.explain import explain
from tmatch._diagnostics.records import SearchRecords, success
from tmatch._diagnostics.variants import FACTORS, TURNS, Variant, choose
from tmatch._diagnostics.wording import describe_explanation
from tmatch._engine.progress import Resources
from tmatch._poses.transform import transform
from tmatch._results.decisions import PASSED, Decision
from tmatch._results.explanation import Explanation, Hint
from tmatch._results.poses import Pose
from tmatch._scoring.batch.batch import TemplateBatch
from tmatch._scoring.general.scorer import GeneralScorer
from tmatch._search.matcher import searches_of
from tmatch._search.recipe import search
from tmatch.synthetic import make_clutter, make_scene

pytestmark = pytest.mark.one_engine

TEMPLATE = make_clutter((16, 24), rng=1)
PLACES = [(12, 20), (60, 8), (70, 100)]


def scene(seed=0, places=PLACES, noise=15, **options):
    return make_scene(make_clutter((120, 160), rng=seed), TEMPLATE, places, rng=seed, noise=noise, **options)[
        0
    ]


def found(image, template, **options):
    return {match.box.start: match for match in tmatch.locate(image, template, **options)}


# --- agrees with locate ---------------------------------------------------------------------------

DECISIONS = st.fixed_dictionaries(
    {
        "max_count": st.sampled_from([None, 1, 3]),
        "max_overlap": st.sampled_from([0.0, 0.3, 1.0]),
        "min_distance": st.sampled_from([1, 2, 5]),
    }
).flatmap(
    lambda fixed: st.one_of(
        st.builds(lambda t: {**fixed, "threshold": t}, st.sampled_from([-1.0, 0.0, 0.4, 0.7])),
        st.builds(
            lambda f, p: {**fixed, "false_alarms": f, "prefilter": p},
            st.sampled_from([1e-3, 0.1, 1.0, 30.0, 1e6]),
            st.sampled_from(["auto", "none", "whiten", "bandpass"]),
        ),
    )
)
SCORINGS = st.sampled_from([{}, {"output": "same"}, {"output": "full"}, {"metric": "orientation"}])


def small_scene(seed):
    """An image with ties and flat parts, and a template that is there, or nearly, or not."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 4, rng.integers(10, 30, 2)).astype(np.uint8)
    image[:8, :7] = 3
    height, width = rng.integers(3, 7, 2)
    template = rng.integers(0, 4, (height, width)).astype(np.uint8)
    for _ in range(rng.integers(0, 4)):
        y, x = (rng.integers(0, n - k + 1) for n, k in zip(image.shape, template.shape, strict=True))
        image[y : y + height, x : x + width] = template
    if np.ptp(template[1:-1, 1:-1]) == 0:
        template[1:-1, 1:-1].flat[0] += 1
    return image, template


def searched(image, template, decision, scoring, **options):
    criterion = Criterion.of(scoring.get("metric", "zncc"), **decision)
    searches = searches_of(tmatch.Matcher(template, **scoring), image, None)
    return search(searches, criterion, Resources(), **options)


@given(st.integers(0, 10**6), DECISIONS, SCORINGS)
@examples(30, nightly=60)
def test_decisions_on_all_peaks_of_the_maps_accept_what_locate_does(seed, decision, scoring):
    image, template = small_scene(seed)
    if "metric" in scoring and "prefilter" in decision:
        decision = {**decision, "prefilter": "none"}
    matches = found(image, template, **decision, **scoring)
    by_maps, by_peaks = (
        searched(image, template, decision, scoring, keep=what) for what in ("maps", "peaks")
    )
    for result in (by_maps, by_peaks):
        kept = {match.box.start: match for match in result.matches}
        assert list(kept) == list(matches)
        for start, match in matches.items():
            assert kept[start].score == match.score
            assert kept[start].false_alarms == pytest.approx(match.false_alarms, rel=0.011)
        assert [each.match for each in result.decisions if each.reported] != [] or not matches
    everything = {**decision, "max_count": None}
    enough = [found(image, template, **everything, **scoring)]
    enough += [found(image, template, **{**everything, "max_overlap": 1.0}, **scoring)]
    enough += [found(image, template, **{**everything, "max_overlap": 1.0, "min_distance": 1}, **scoring)]
    best = {}  # of the stages
    for record in sorted(
        by_peaks.decisions, key=lambda each: (*PASSED, each.rule).index(each.rule) % len(PASSED)
    ):
        best[record.box.start] = record
    for record in best.values():
        stages = [record.box.start in each for each in (matches, *enough)]
        rule = ("reported", "count", "overlap", "distance")[stages.index(True)] if any(stages) else None
        assert (record.rule if record.rule in PASSED and record.rule != "side lobe" else None) == rule
        assert record.reported == (record.rule == "reported") == (record.box.start in matches)
        if rule in ("reported", "count"):
            assert record.number == list(enough[0]).index(record.box.start) + 1


@given(st.integers(0, 10**6), DECISIONS)
@examples(15, nightly=25)
def test_peaks_and_others_that_are_asked_for_are_explained_as_locate_decides(seed, decision):
    image, template = small_scene(seed)
    matches = found(image, template, **decision)
    scores = np.where(tmatch.score_validity(image, template), tmatch.match_template(image, template), -np.inf)
    rng = np.random.default_rng(seed)
    others = [tuple(rng.integers(0, scores.shape).tolist()) for _ in range(2)]
    for place in [*matches, *map(tuple, tmatch.find_peaks(scores)[:3].tolist()), *others][:6]:
        told = explain(image, template, at=place, **decision)
        assert told.asked
        assert told.box == Box(place, template.shape)
        assert told.reported == (place in matches)
        assert told.matches == len(matches)
        assert {v.box.start for v in told.best if v.reported} <= set(matches)
        assert told.nearest_peak is None or told.nearest_peak.reported == (
            told.nearest_peak.box.start in matches
        )


@pytest.mark.parametrize("decision", [{}, {"threshold": 0.5}, {"prefilter": "whiten"}])
def test_without_a_place_the_best_match_is_explained(decision):
    image = scene()
    [best, *_] = tmatch.locate(image, TEMPLATE, **decision)
    told = explain(image, TEMPLATE, **decision)
    assert (told.box, told.score, told.rule, told.number) == (best.box, best.score, "reported", 1)
    assert told.false_alarms == best.false_alarms
    assert not told.asked
    assert told.tried == 0
    assert {v.box.start for v in told.best if v.reported} == set(PLACES)


def test_where_nothing_is_found_the_best_place_is_explained():
    image, absent = scene(), make_clutter((16, 24), rng=7)
    told = explain(image, absent)
    assert told.box == tmatch.best_match(image, absent).box
    assert (told.reported, told.rule, told.rank, told.number) == (False, "false alarms", 1, None)


# --- each rule ------------------------------------------------------------------------------------


def test_reported_with_all_that_is_known():
    image = scene()
    matches = found(image, TEMPLATE)
    assert set(matches) == set(PLACES)
    for number, (place, match) in enumerate(matches.items(), 1):
        told = explain(image, TEMPLATE, at=place)
        assert (told.rule, told.rank, told.number, told.score) == ("reported", number, number, match.score)
        assert told.false_alarms == match.false_alarms <= told.allowed == 0.01
        assert 0 < told.least_score < told.score
        assert (
            told.nearest_peak is told.removed_by is told.higher is told.scale_hint is told.turn_hint is None
        )
        y, x = place
        assert told.text.startswith(f"x={x}, y={y} is reported, match number {number} of 3: its score is ")


def test_least_score_is_what_the_allowed_false_alarms_ask_for():
    image = scene()
    for place in [*PLACES, (0, 0), (40, 90)]:
        told = explain(image, TEMPLATE, at=place, prefilter="none", false_alarms=0.2)
        assert (told.score >= told.least_score) == (told.false_alarms <= 0.2)
        more = explain(image, TEMPLATE, at=place, prefilter="none", false_alarms=20)
        assert more.false_alarms == told.false_alarms
        assert more.least_score <= told.least_score


def test_below_the_threshold():
    image = scene()
    [*_, match] = tmatch.locate(image, TEMPLATE, threshold=0.5)
    threshold = match.score + 0.001
    told = explain(image, TEMPLATE, at=match.box.start, threshold=threshold)
    assert (told.rule, told.rank, told.score) == ("threshold", 3, match.score)
    assert (told.least_score, told.threshold, told.allowed) == (threshold, threshold, None)
    assert told.false_alarms == match.false_alarms < 0.01
    assert "it is hardly a false match. Lower the threshold, or decide by false alarms." in told.text
    assert explain(image, TEMPLATE, at=match.box.start, threshold=match.score).reported


@pytest.mark.parametrize("dtype", ["u1", "f8"])
def test_what_chance_gives_is_told_where_a_threshold_finds_nothing(dtype):
    image, template = (np.clip(array, 0, 255).astype(dtype) for array in (scene(), TEMPLATE))
    [match] = tmatch.locate(image, template, threshold=0.5, max_count=1)
    told = explain(image, template, at=match.box.start, threshold=1.0)
    assert (told.matches, told.rule) == (0, "threshold")
    assert told.false_alarms == match.false_alarms


def test_below_the_threshold_by_accident():
    image = scene()
    place = next(
        m.box.start for m in tmatch.locate(image, TEMPLATE, threshold=0.2) if m.box.start not in PLACES
    )
    told = explain(image, TEMPLATE, at=place, threshold=0.7)
    assert (told.rule, told.false_alarms > 0.01) == ("threshold", True)
    assert "a lower threshold would accept false matches." in told.text


def test_too_many_false_alarms():
    image = scene()
    scores = tmatch.match_template(image, TEMPLATE)
    fourth = tuple(tmatch.find_peaks(scores)[3].tolist())
    told = explain(image, TEMPLATE, at=fourth, prefilter="none")
    assert (told.rule, told.rank, told.score) == ("false alarms", 4, scores[fourth])
    assert told.false_alarms > told.allowed == 0.01
    assert told.score < told.least_score <= 1
    assert (told.filtered_score, told.prefilter) == (None, "none")
    assert (
        f"its score is {told.score:.2f} (peak number 4), and at least {told.least_score:.2f} is required there."
        in told.text
    )
    more = explain(image, TEMPLATE, at=fourth, prefilter="none", false_alarms=1.01 * told.false_alarms)
    assert more.rule == "unlike"
    assert "the noise does not explain what a copy lacks: something else is seen there" in more.text


def test_removed_by_a_better_match_that_it_overlaps():
    image = scene(places=[(30, 40), (36, 46)], noise=1)  # the second one lies on the first
    first, second = Box((30, 40), (16, 24)), Box((36, 46), (16, 24))
    shared = iou(first, second)
    options = {"threshold": 0.4, "max_overlap": 0.2}
    told = explain(image, TEMPLATE, at=(30, 40), **options)
    assert (told.rule, told.box, told.removed_by.box, told.iou) == ("overlap", first, second, shared)
    assert told.removed_by.score == found(image, TEMPLATE, **options)[36, 46].score > told.score >= 0.4
    assert f"it overlaps the better match at x=46, y=36 (score {told.removed_by.score:.2f})" in told.text
    enough = float(re.search(r"Raise it to (\S+) to have both", told.text)[1])
    assert shared <= enough < shared + 0.01
    assert explain(image, TEMPLATE, at=(30, 40), threshold=0.4, max_overlap=enough).reported
    assert told.tried == 0  # it is there, so no other size is looked for


def test_too_near_to_a_better_match():
    image = scene(places=[(30, 40), (36, 46)], noise=1)
    options = {"threshold": 0.4, "max_overlap": 1.0}
    told = explain(image, TEMPLATE, at=(30, 40), min_distance=7, **options)
    assert (told.rule, told.removed_by.box.start, told.iou) == ("distance", (36, 46), None)
    assert told.removed_by.score == found(image, TEMPLATE, **options)[36, 46].score
    assert "is 6 pixels away, and min_distance is more. Lower it to 6 to have both." in told.text
    assert explain(image, TEMPLATE, at=(30, 40), min_distance=6, **options).reported


def test_after_the_first_max_count():
    image = scene()
    third = tmatch.locate(image, TEMPLATE)[2]
    told = explain(image, TEMPLATE, at=third.box.start, max_count=2)
    assert (told.rule, told.number, told.matches) == ("count", 3, 2)
    assert (told.score, told.false_alarms) == (third.score, third.false_alarms)
    assert "match number 3, and max_count is 2. Raise max_count to 3 to have it." in told.text


def test_no_peak_but_near_one():
    image = scene()
    scores = tmatch.match_template(image, TEMPLATE)
    told = explain(image, TEMPLATE, at=(14, 17))  # a quarter of the template is 4 x 6 pixels
    around = scores[13:16, 16:19]
    highest = tuple((np.argwhere(around == around.max())[0] + (13, 16)).tolist())
    assert (told.rule, told.reported, told.rank, told.score) == ("not a peak", False, None, scores[14, 17])
    assert (told.higher.box.start, told.higher.score) == (highest, around.max())
    near = told.nearest_peak
    assert (near.box.start, near.reported, near.rule, near.score) == (
        (12, 20),
        True,
        "reported",
        scores[12, 20],
    )
    assert "A better peak is near. x=20, y=12 is reported" in told.text
    assert told.tried == 0
    assert explain(image, TEMPLATE, at=(12, 27)).nearest_peak is None or (
        explain(image, TEMPLATE, at=(12, 27)).nearest_peak.box.start != (12, 20)
    )


def test_a_peak_near_a_better_one_is_told_of_both():
    texture = np.random.default_rng(1).normal(128, 30, (16, 24))
    image, _ = make_scene(make_clutter((120, 160), rng=0), texture, [(30, 40), (33, 44)], noise=1, rng=0)
    told = explain(image, texture, at=(30, 40), threshold=0.99)
    assert (told.rule, told.nearest_peak.rule) == ("threshold", "reported")
    assert told.nearest_peak.box.start == (33, 44)
    assert told.nearest_peak.score > told.score
    assert (told.nearest_peak.rank, told.rank) == (1, 2)
    assert told.tried == 0


@pytest.mark.parametrize("output", ["valid", "full"])
def test_the_nearest_peak_is_the_best_within_reach(output):
    image = scene()
    scores = tmatch.match_template(image, TEMPLATE, output=output)
    scores[~tmatch.score_validity(image, TEMPLATE, output=output)] = -np.inf
    peaks = tmatch.find_peaks(scores)
    shift = 0 if output == "valid" else np.array(TEMPLATE.shape) - 1
    rng, seen = np.random.default_rng(0), set()
    result = searched(image, TEMPLATE, {"threshold": 0.9}, {"output": output}, keep="peaks")
    records = SearchRecords(result, Criterion.of("zncc", threshold=0.9))
    for place in [*rng.integers(0, scores.shape, (300, 2)), *peaks[3:100]]:
        near = peaks[(np.abs(peaks - place) <= (4, 6)).all(axis=1)]
        higher = [p for p in near if scores[tuple(p)] > scores[tuple(place)]]
        told = records.nearest_peak(records.about(tuple((place - shift).tolist())))
        assert (told is None) == (not higher)
        if told is not None:
            assert told.box.start == tuple((higher[0] - shift).tolist())
        seen.add((len(near) > 0, told is not None))
    assert seen == {(True, True), (True, False), (False, False)}


def test_of_equal_peaks_none_is_better():
    image = np.tile([0.0, 3, 1, 2], 8)
    told = explain(image, image[:16], at=(4,), max_count=1, max_overlap=1, threshold=0.9)
    assert (told.rule, told.rank, told.score, told.nearest_peak) == ("count", 2, 1.0, None)


def test_what_is_reported_is_told_of_no_other_peak():
    texture = np.random.default_rng(1).normal(128, 30, (16, 24))
    image, _ = make_scene(make_clutter((120, 160), rng=0), texture, [(30, 40), (33, 44)], noise=1, rng=0)
    told = explain(image, texture, at=(30, 40), threshold=0.2, max_overlap=1)
    assert (told.rule, told.rank, told.nearest_peak) == ("reported", 2, None)


def test_the_match_that_is_nearer_than_allowed_is_told():
    heights = np.zeros(12)
    heights[[0, 5, 8]] = 9, 5, 7
    told = explain(heights, [1.0], at=(5,), metric="cc", threshold=1, min_distance=5)
    assert (told.rule, told.removed_by.box.start, told.removed_by.score) == ("distance", (8,), 7)


def test_of_a_plateau_the_middle_is_the_peak():
    ramp = np.arange(8.0)
    image = np.concatenate([ramp, [0, 9, 0, 9]])  # six windows score 1
    told = explain(image, [0.0, 1.0, 2.0], at=[1], threshold=0.9)
    assert (told.rule, told.score, told.higher.score) == ("not a peak", 1.0, 1.0)
    assert (told.nearest_peak.box.start, told.nearest_peak.rule) == ((2,), "reported")
    assert "(1,) is not reported: its neighbour (0,) has the same score, 1.00," in told.text


@pytest.mark.parametrize("place", [(-1, 0), (0, -20), (105, 0), (0, 137), (500, 500)])
def test_outside(place):
    told = explain(scene(), TEMPLATE, at=place)
    assert (told.rule, told.score, told.rank, told.false_alarms) == ("outside", None, None, None)
    assert told.box.start == place
    assert "the template of 24 x 16 pixels reaches beyond the image" in told.text


def test_what_the_border_cuts_is_outside_unless_it_is_searched():
    image = scene()[14:, 24:]  # a part of the first copy is gone
    assert explain(image, TEMPLATE, at=(-2, -4)).rule == "outside"
    told = explain(image, TEMPLATE, at=(-2, -4), output="full")
    assert (told.rule, told.box.start) == ("reported", (-2, -4))
    near = explain(image, TEMPLATE, at=(-30, -4), output="full")
    assert (near.rule, near.nearest_peak) == ("outside", None)


def test_a_click_just_outside_finds_the_peak():
    image = scene(places=[(0, 20)])
    told = explain(image, TEMPLATE, at=(-2, 22))
    assert (told.rule, told.nearest_peak.rule, told.nearest_peak.box.start) == (
        "outside",
        "reported",
        (0, 20),
    )


def test_a_flat_window_has_no_score():
    image = scene()
    image[80:, :60] = 7
    told = explain(image, TEMPLATE, at=(90, 10))
    assert (told.rule, told.lacks, told.seen, told.score) == ("no score", "contrast", 1, None)
    assert (told.rank, told.false_alarms) == (None, None)
    assert "the image is constant there" in told.text


def test_a_window_that_is_hardly_seen_has_no_score():
    image = scene()
    there = np.ones(image.shape, bool)
    there[12:28, 20:39] = False  # 19 of 24 columns
    options = {"image_mask": there, "at": (12, 20)}
    told = explain(image, TEMPLATE, **options)
    assert (told.rule, told.lacks, told.seen) == ("no score", "overlap", 5 / 24)
    assert "only 21 % of the template lies on valid pixels" in told.text
    enough = explain(image, TEMPLATE, min_overlap=5 / 24, **options)
    assert enough.score is not None


def test_what_is_seen_of_the_template_counts_by_its_mask():
    image, mask = scene(), np.zeros(TEMPLATE.shape)
    mask[:, :12], mask[:, 12:18] = 1, 0.5
    missing = image.copy()
    missing[12:28, 20:31] = np.nan
    told = explain(missing, TEMPLATE, at=(12, 20), mask=mask, missing="ignore")
    assert (told.lacks, told.noise) == ("overlap", None)
    assert told.seen == pytest.approx((1 + 6 * 0.5) / 15)


def test_a_flat_image_has_no_place_to_tell_of():
    told = explain(np.zeros((30, 40)), TEMPLATE)
    assert (told.rule, told.lacks, told.box.start, told.best) == ("no score", "contrast", (0, 0), ())


# --- filtered -------------------------------------------------------------------------------------


def hidden():
    """Fine texture on a strong and coarse ground: only whitened it is found."""
    rng = np.random.default_rng(0)
    template = rng.normal(size=(16, 20))
    ground = gaussian_filter(rng.normal(size=(160, 200)), 4)
    image = ground * (12 / ground.std()) + rng.normal(0, 0.3, ground.shape)
    image[60:76, 90:110] += template
    return image, template


def test_found_in_the_whitened_image():
    image, template = hidden()
    [match] = tmatch.locate(image, template, prefilter="whiten")
    told = explain(image, template, prefilter="whiten")
    assert (told.rule, told.prefilter, told.box) == ("reported", "whiten", match.box)
    assert (told.score, told.false_alarms) == (match.score, match.false_alarms)
    assert told.score < 0.3 < told.least_score < told.filtered_score
    assert {verdict.prefilter for verdict in told.best} == {"whiten"}
    scores = [verdict.filtered_score for verdict in told.best]
    assert scores == sorted(scores, reverse=True)
    assert f"in the whitened image, which decides, its score is {told.filtered_score:.2f}" in told.text


def test_what_nearly_is_a_match_in_the_whitened_image_is_the_best_place():
    image, template = hidden()
    told = explain(image, template, prefilter="whiten", false_alarms=1e-30)
    assert (told.rule, told.prefilter, told.box.start) == ("false alarms", "whiten", (60, 90))
    assert told.false_alarms < 1e-6
    assert told.score < told.filtered_score < told.least_score


def test_not_found_where_nothing_is_filtered():
    image, template = hidden()
    told = explain(image, template, at=(60, 90), prefilter="none")
    assert (told.reported, told.prefilter, told.filtered_score) == (False, "none", None)


def test_no_peak_of_the_whitened_image():
    image, template = hidden()
    told = explain(image, template, at=(61, 90), prefilter="whiten")
    assert (told.rule, told.higher.box.start, told.nearest_peak.rule) == ("not a peak", (60, 90), "reported")
    assert "in the whitened image, which decides, its neighbour x=90, y=60 fits better." in told.text


def test_good_when_whitened_but_not_at_all_alike():
    rng = np.random.default_rng(0)
    texture, coarse = rng.normal(size=(16, 20)), 8 * np.hypot(*np.mgrid[-1:1:16j, -1:1:20j])
    image, _ = hidden()
    image[60:76, 90:110] = texture - coarse
    told = explain(image, texture + coarse, at=(60, 90), prefilter="whiten")
    assert (told.rule, told.rank, told.number) == ("unlike", 1, None)
    assert told.score < 0 < told.least_score < told.filtered_score
    assert told.false_alarms < told.allowed
    assert tmatch.locate(image, texture + coarse, prefilter="whiten") == []
    assert f"but in the unfiltered one it is {told.score:.2f}, and the noise does not explain" in told.text


def test_what_is_alike_only_when_whitened_is_reported_only_if_asked_to_filter():
    image, template = hidden()
    assert tmatch.locate(image, template) == []
    told = explain(image, template)
    assert (told.rule, told.prefilter, told.box.start) == ("unlike", "whiten", (60, 90))


def test_where_only_the_whitened_image_has_a_score():
    image = scene()
    image[80:, :60] = 7
    assert explain(image, TEMPLATE, at=(81, 20), prefilter="none").rule == "no score"
    told = explain(image, TEMPLATE, at=(81, 20), prefilter="whiten")
    assert told.rule in ("not a peak", "false alarms")
    assert (told.score, told.filtered_score is None) == (0.0, False)


def test_of_several_ways_the_one_is_told_in_which_a_place_did_best():
    def verdict(rule, false_alarms):
        return Decision(box=Box((0,), (3,)), reported=False, rule=rule, false_alarms=false_alarms)

    ordered = [
        verdict("not a peak", None),
        verdict("false alarms", 0.09),
        verdict("not a peak", 1e-5),
        verdict("overlap", 3.0),
        verdict("overlap", 0.01),
        verdict("count", 0.01),
    ]
    backwards = ordered[::-1]
    assert sorted(backwards, key=success) == ordered
    assert success(verdict("false alarms", 0.2)) == success(verdict("not a peak", 500.0))


# --- hints ----------------------------------------------------------------------------------------


def halved(array):
    return array.reshape(array.shape[0] // 2, 2, array.shape[1] // 2, 2, *array.shape[2:]).mean(axis=(1, 3))


BIG = make_clutter((40, 52), rng=5)


@pytest.mark.parametrize("noise", [0, 10])
def test_a_template_twice_as_large_is_found_at_half_its_size(noise):
    image, _ = make_scene(make_clutter((120, 160), rng=0), halved(BIG), [(33, 71)], noise=noise, rng=0)
    told = explain(image, BIG)
    hint = told.scale_hint
    assert not told.reported
    assert (hint.factor, hint.turn, hint.match.box) == (0.5, "", Box((33, 71), (20, 26)))
    assert hint.match.score > told.score
    assert hint.match.false_alarms * 10 <= told.false_alarms
    assert told.turn_hint is None
    assert told.tried == len(FACTORS) + len(TURNS)
    assert "The template fits much better at 0.5 times its size" in told.text
    assert "at x=71, y=33" in told.text


@pytest.mark.parametrize("factor", [factor for factor in FACTORS if factor != 0.9])
def test_each_size_that_is_tried_can_be_found(factor):
    from skimage.transform import resize

    sides = [round(n * factor) for n in BIG.shape]
    there = resize(BIG, sides, anti_aliasing=factor < 1, mode="edge")
    image, _ = make_scene(make_clutter((150, 160), rng=0), there, [(33, 41)], noise=3, rng=0)
    told = explain(image, BIG, threshold=0.99)
    assert (told.scale_hint.factor, told.scale_hint.match.box) == (factor, Box((33, 41), tuple(sides)))


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_or_mirrored_template_gets_a_hint(turn):
    ways = {
        "turned 90": np.rot90(BIG, 1),
        "turned 180": BIG[::-1, ::-1],
        "turned 270": np.rot90(BIG, 3),
        "mirrored left-right": BIG[:, ::-1],
        "mirrored up-down": BIG[::-1],
    }
    image, [box] = make_scene(make_clutter((120, 160), rng=0), ways[turn], [(33, 71)], noise=5, rng=0)
    told = explain(image, BIG)
    assert (told.turn_hint.turn, told.turn_hint.factor, told.turn_hint.match.box) == (turn, 1.0, box)
    assert (told.reported, told.scale_hint) == (False, None)
    said = turn.replace("turned", "rotated").replace("mirrored", "flipped")
    assert f"The template fits much better {said}" in told.text


@pytest.mark.parametrize("seed", range(4))
def test_no_hint_for_what_is_not_there(seed):
    told = explain(scene(seed), make_clutter((16, 24), rng=100 + seed))
    assert (told.reported, told.scale_hint, told.turn_hint) == (False, None, None)
    assert told.tried == len(FACTORS) + len(TURNS)
    assert "No other size from half to twice, no rotation by 90, 180 or 270 degrees and no flip" in told.text


def test_a_hint_for_a_place_lies_there():
    image, _ = make_scene(make_clutter((120, 160), rng=0), halved(BIG), [(33, 71)], rng=0)
    near, away = explain(image, BIG, at=(30, 60)), explain(image, BIG, at=(70, 10))
    assert near.scale_hint.match.box.start == (33, 71)
    assert (away.scale_hint, away.turn_hint, away.tried) == (None, None, near.tried)


def test_no_hint_that_is_no_better_than_the_nearest_peak():
    told = explain(scene(), TEMPLATE, at=(14, 21), threshold=0.999)
    assert (told.rule, told.nearest_peak.rule) == ("not a peak", "threshold")
    assert told.nearest_peak.false_alarms < 1e-3
    assert told.tried > 0
    assert (told.scale_hint, told.turn_hint) == (None, None)


def test_hints_are_clearly_better_and_the_least_likely_by_chance():
    pixels = np.zeros((4, 4))
    changes = {"a": Variant(pixels, None, 0.5), "b": Variant(pixels, None, 2.0)}
    changes |= {"c": Variant(pixels, None, turn="turned 90"), "d": Variant(pixels, None, turn="turned 180")}
    place = Decision(box=Box((0, 0), (4, 4)), reported=False, rule="threshold", score=0.5, false_alarms=1e-3)

    def best(*matches, verdict=place, near=None):
        matches = [Match(Box(start, (4, 4)), score, label, (), f) for label, start, score, f in matches]
        return choose(matches, changes, verdict, near)

    good = ("a", (8, 8), 0.6, 1e-4)
    hint = Hint(Match(Box((8, 8), (4, 4)), 0.6, false_alarms=1e-4), 0.5)
    assert best(good) == (hint, None)
    assert best(("a", (8, 8), 0.6, 1.1e-4)) == (None, None)
    assert best(("a", (8, 8), 0.5, 1e-9)) == (None, None)
    assert best(("b", (0, 0), 0.9, 9e-5), good)[0].factor == 2.0
    assert best(("b", (0, 0), 0.9, 2e-4), good) == (hint, None)
    assert best(("d", (0, 0), 0.7, 1e-5), good, ("c", (0, 0), 0.6, 1e-6))[1].turn == "turned 90"
    assert best(good, near=Box((6, 6), (4, 4))) == (hint, None)
    assert best(good, near=Box((5, 6), (4, 4))) == (None, None)
    nothing = dataclasses.replace(place, rule="no score", score=None, false_alarms=None)
    assert best(("a", (8, 8), 0.1, 1e-2), verdict=nothing)[0].factor == 0.5


LARGE = {"coarse": make_clutter((60, 78), rng=5), "fine": np.random.default_rng(0).normal(128, 40, (60, 78))}


@pytest.mark.parametrize("texture", LARGE)
@pytest.mark.parametrize("change", [0.5, 0.75, 1.1, 2.0, *TURNS])
def test_large_templates_are_found_at_reduced_resolution(texture, change):
    pose = TURNS[change] if change in TURNS else Pose(scale=change)
    changed, _ = transform(LARGE[texture], None, pose)
    image, [box] = make_scene(make_clutter((230, 260), rng=0), changed, [(37, 51)], noise=3, rng=0)
    told = explain(image, LARGE[texture], threshold=0.99)
    hint = told.turn_hint if change in TURNS else told.scale_hint
    assert (hint.turn if change in TURNS else hint.factor, hint.match.box) == (change, box)
    assert hint.match.score > 0.95
    assert hint.match.false_alarms < 0.01


@pytest.mark.parametrize("output", ["same", "full"])
def test_what_the_border_cuts_is_found_at_reduced_resolution_too(output):
    changed, _ = transform(LARGE["coarse"], None, Pose(angle=90))
    image, _ = make_scene(make_clutter((230, 260), rng=0), changed, [(37, 51)], noise=3, rng=0)
    told = explain(image[50:], LARGE["coarse"], output=output)
    assert (told.turn_hint.turn, told.turn_hint.match.box.start) == ("turned 90", (-13, 51))


def test_large_masked_templates_of_colours_are_found_at_reduced_resolution():
    disc = np.hypot(*np.mgrid[-1:1:60j, -1:1:78j]) < 0.9
    template = np.stack([make_clutter((60, 78), rng=seed) for seed in (5, 6, 7)], axis=-1).astype(np.uint8)
    image = np.stack([make_clutter((230, 260), rng=seed) for seed in (1, 2, 3)], axis=-1).astype(np.uint8)
    changed, there = np.rot90(template, -1), np.rot90(disc, -1)
    image[37:115, 51:111][there] = changed[there]
    valid = np.ones(image.shape[:2], bool)
    valid[60:64, 70:75] = False
    told = explain(image, template, mask=disc, image_mask=valid, channel_axis=-1)
    assert (told.turn_hint.turn, told.turn_hint.match.box) == ("turned 270", Box((37, 51), (78, 60)))
    assert told.turn_hint.match.score == 1


def maps_scored(monkeypatch, places, function, *arguments):
    """Count the places that are scored, in score maps of so many."""
    counts = []

    def counted(score):
        def count(self, block, **options):
            for scored in score(self, block, **options):
                counts.append(scored.scores.size)
                yield scored

        return count

    with monkeypatch.context() as patch:
        for scorer in (GeneralScorer, TemplateBatch):
            patch.setattr(scorer, "score", counted(scorer.score))
        result = function(*arguments)
    return result, sum(counts) / places


def test_no_more_is_scored_than_needed(monkeypatch, picture):
    image, template, other = map(picture, ("raccoon/face_gray.png", "raccoon/eye.png", "camera/image.png"))
    assert (image.shape, template.shape) == ((768, 1024), (65, 80))
    absent, places = other[100:165, 200:280], 704 * 945
    told, maps = maps_scored(monkeypatch, places, explain, image, template)
    assert (told.reported, maps) == (True, pytest.approx(1, abs=0.01))
    told, maps = maps_scored(monkeypatch, places, explain, image, absent)
    assert (told.reported, told.tried) == (False, 15)
    assert 2 < maps < 6

    def search_with_best():
        searches = searches_of(tmatch.Matcher(absent), image, None)
        result = search(searches, Criterion.of("zncc"), Resources(), keep="maps")
        return result, result.best(Resources())

    (result, best), maps = maps_scored(monkeypatch, places, search_with_best)
    assert (result.matches, maps) == ([], pytest.approx(2, abs=0.01))
    assert dataclasses.replace(best, false_alarms=None) == dataclasses.replace(
        tmatch.best_match(image, absent), false_alarms=None
    )
    assert best.false_alarms == pytest.approx(tmatch.best_match(image, absent).false_alarms, rel=0.011)


def test_colours_and_masks_are_changed_with_the_template():
    rng = np.random.default_rng(3)
    ground = rng.normal(128, 30, (100, 120, 3))
    big = np.stack([make_clutter((40, 52), rng=seed) for seed in (5, 6, 7)], axis=-1)
    disc = np.hypot(*np.mgrid[-19.5:20.5, -25.5:26.5]) < 18
    small = halved(big)
    ground[30:50, 40:66][halved(disc) == 1] = small[halved(disc) == 1]
    spoilt = np.where(disc[..., None], big, 1e4)  # what does not count must not spread
    told = explain(ground, spoilt, mask=disc, channel_axis=-1)
    assert (told.scale_hint.factor, told.scale_hint.match.box) == (0.5, Box((30, 40), (20, 26)))
    first = [np.moveaxis(array, -1, 0) for array in (ground, spoilt)]
    whole = np.broadcast_to(disc, (3, *disc.shape))
    for mask in (disc, whole, whole * 1):
        other = explain(*first, mask=mask, channel_axis=0)
        assert (other.box, other.score, other.scale_hint) == (told.box, told.score, told.scale_hint)


@pytest.mark.engine_free
def test_soft_masks_are_resized_and_masks_turned():
    soft = np.hypot(*np.mgrid[-1:1:40j, -1:1:52j]) < 0.9
    soft = gaussian_filter(soft.astype(float), 2)
    image, [box] = make_scene(make_clutter((120, 160), rng=0), halved(BIG), [(33, 71)], noise=5, rng=0)
    assert explain(image, BIG, mask=soft).scale_hint.match.box == box
    half = np.zeros(BIG.shape, bool)
    half[:, :26] = True
    spoilt = np.where(half, np.rot90(BIG, -1, axes=(0, 1))[:40, :40].mean(), 0) + BIG
    image, [box] = make_scene(make_clutter((120, 160), rng=0), np.rot90(BIG), [(33, 71)], noise=5, rng=0)
    image[33:59, 71:111] = make_clutter((26, 40), rng=9)  # the part that does not count, turned
    told = explain(image, spoilt, mask=half)
    assert (told.turn_hint.turn, told.turn_hint.match.box) == ("turned 90", box)


def test_changes_that_do_not_fit_or_leave_nothing_are_not_tried():
    image = scene()
    told = explain(image[:30, :30], TEMPLATE, threshold=1.0)  # 20 x 30 is the largest of that shape
    assert told.tried == len([f for f in FACTORS if round(16 * f) <= 30 and round(24 * f) <= 30]) + len(TURNS)
    assert explain(image[:30, :30], TEMPLATE, threshold=1.0, output="full").tried == 15
    assert explain(image, TEMPLATE[:4, :5], threshold=1.0).tried == 14  # 2 x 2 pixels fit nearly everywhere
    faint = np.full((8, 8), 10, np.uint8)
    faint[3, 3] = 11  # rounded away at half the size
    assert explain(image, faint, threshold=1.0).tried < 15


def test_no_hints_where_chance_is_not_known():
    told = explain(scene(), TEMPLATE, metric="ssd", threshold=0)
    assert (told.rule, told.tried, told.false_alarms) == ("threshold", 0, None)
    assert "If the position is right, lower the threshold." in told.text


def buttons(factor):
    """Nine buttons that differ by their sign alone, drawn so many times as large."""
    frame = gaussian_filter(make_clutter((30, 60), rng=1), 0.7)
    image = np.full((200 * factor, 300 * factor), 230.0)
    for number in range(9):
        button = frame.copy()
        button[8:22, 20:44] = gaussian_filter(make_clutter((14, 24), rng=10 + number), 0.7)
        y, x = factor * (15 + 60 * (number // 3)), factor * (20 + 90 * (number % 3))
        drawn = zoom(button, factor, order=1, grid_mode=True, mode="nearest")
        image[y : y + 30 * factor, x : x + 60 * factor] = drawn
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_look_alikes_hide_no_factor_of_two(factor):
    small, large = Box((75, 110), (30, 60)), Box((150, 220), (60, 120))
    sought, there = (large, small) if factor < 1 else (small, large)
    image, other = (buttons(1), buttons(2)) if factor < 1 else (buttons(2), buttons(1))
    told = explain(image, other[tuple(map(slice, sought.start, sought.stop))])
    assert not told.reported
    assert (told.scale_hint.factor, told.scale_hint.match.box) == (factor, there)
    assert f"The template fits much better at {factor:g} times its size" in told.text


def test_other_sizes_are_tried_where_what_is_found_is_only_alike():
    image, small = buttons(2), buttons(1)
    image[10:40, 10:70] = small[15:45, 20:80]  # another button, at the size of the template
    told = explain(image, small[75:105, 110:170])
    assert (told.reported, told.kind, told.box.start) == (True, "alike", (10, 10))
    assert (told.scale_hint.factor, told.scale_hint.match.box.start) == (2.0, (150, 220))
    assert told.text.endswith("Search with it changed like that.")


@pytest.mark.parametrize("limits", [{"output": "same"}, {"output": "full"}, {"image_mask": True}])
def test_changes_that_have_no_score_anywhere_are_not_tried(limits):
    rng = np.random.default_rng(0)
    image, template = rng.normal(size=(40, 7)), rng.normal(size=(12, 12))
    if "image_mask" in limits:
        image, valid = rng.normal(size=(40, 60)), np.zeros((40, 60), bool)
        valid[5:20, 5:20] = True
        limits = {"image_mask": valid}
    told = explain(image, template, threshold=1.0, **limits)
    assert 0 < told.tried < 15


# --- other dimensions, options --------------------------------------------------------------------


def test_signals_and_volumes(draw):
    signal, volume = draw((300,)), draw((20, 24, 28))
    told = explain(signal, signal[120:150])
    assert (told.rule, told.box.start) == ("reported", (120,))
    assert told.text.startswith("(120,) is reported, match number 1 of 1: ")
    told = explain(volume, volume[3:9, 4:10, 5:11], at=(3, 4, 6))
    assert (told.rule, told.nearest_peak.rule, told.nearest_peak.box.start) == (
        "not a peak",
        "reported",
        (3, 4, 5),
    )
    assert "A better peak is near. (3, 4, 5) is reported" in told.text
    told = explain(volume, draw((6, 6, 6), seed=1))
    assert (told.reported, told.tried, told.scale_hint) == (False, 0, None)


def test_it_is_json_and_hashable():
    image, _ = make_scene(make_clutter((120, 160), rng=0), halved(BIG), [(33, 71)], rng=0)
    told = explain(np.float32(image), BIG, at=(30, 60))
    plain = dataclasses.asdict(told)
    read = json.loads(json.dumps(plain, allow_nan=False))
    assert read["box"] == {"start": [30, 60], "shape": [40, 52]}
    assert read["scale_hint"]["match"]["box"]["start"] == [33, 71]
    assert len(read["best"]) == 5
    assert hash(told) == hash(dataclasses.replace(told))


def test_the_best_places_do_not_overlap():
    image = scene()
    told = explain(image, TEMPLATE, max_overlap=0.1)
    boxes = [verdict.box for verdict in told.best]
    assert len(boxes) == 5
    assert max(iou(a, b) for i, a in enumerate(boxes) for b in boxes[:i]) <= 0.1
    assert [v.score for v in told.best] == sorted((v.score for v in told.best), reverse=True)


def test_noise_is_told():
    flat = np.random.default_rng(0).normal(100, 8, (100, 120))
    told = explain(flat, TEMPLATE)
    assert told.noise == tmatch.estimate_noise(flat) == pytest.approx(8, rel=0.05)
    assert "The noise in the image is about " in told.text


def test_progress_grows_to_1_and_threads_change_nothing():
    image, shares = scene(), []
    told = explain(image, TEMPLATE, at=(50, 50), progress=shares.append, workers=1)
    assert told == explain(image, TEMPLATE, at=(50, 50), workers=2)
    assert told.tried > 0
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1
    early = []
    explain(image, TEMPLATE, progress=early.append)
    assert early == sorted(early)
    assert early[-1] == 1


def test_places_may_have_other_names():
    told = explain(scene(), TEMPLATE, at=PLACES[0])
    assert describe_explanation(told) == told.text
    assert describe_explanation(told, lambda start: f"[{start[1] / 2:g}]").startswith("[10] is reported")


def test_inputs_are_not_written_to():
    image, template = scene(), TEMPLATE.copy()
    image.flags.writeable = template.flags.writeable = False
    before = image.copy()
    explain(image, template, at=(50, 50), mask=np.ones(template.shape))
    assert (image == before).all()
    assert math.isfinite(template.sum())


# --- in words -------------------------------------------------------------------------------------

HERE, THERE = Box((20, 10), (8, 16)), Box((24, 12), (8, 16))
BETTER = Match(THERE, 0.957)
NO_CHANGE = (
    "No other size from half to twice, no rotation by 90, 180 or 270 degrees and no flip fits clearly better. If the "
    "object is in the image, it looks different: try a template cut from this image."
)
NO_CHANGE_THERE = NO_CHANGE.replace("better.", "better there.").replace(
    "object is in the image", "object is there"
)
BASE = {"box": HERE, "reported": False, "asked": True, "allowed": None, "threshold": None, "matches": 0}
BY_THRESHOLD = {**BASE, "rule": "threshold", "score": 0.5, "least_score": 0.8, "threshold": 0.8, "rank": 2}
BY_CHANCE = {**BASE, "rule": "false alarms", "score": 0.5, "least_score": 0.8, "allowed": 0.01, "rank": 1}
FOUND = {**BASE, "rule": "reported", "reported": True, "score": 0.5, "number": 1, "matches": 3, "rank": 2}
NEAR = Decision(box=THERE, reported=False, rule="threshold", score=0.61, least_score=0.8, rank=1)
SENTENCES = [
    (
        {**FOUND, "threshold": 0.4, "least_score": 0.4},
        "x=10, y=20 is reported, match number 1 of 3: its score is 0.50 (peak number 2), and at least 0.40 is "
        "required there.",
    ),
    (
        {**FOUND, "threshold": 0.4, "least_score": 0.4, "false_alarms": 0.02},
        "x=10, y=20 is reported, match number 1 of 3: its score is 0.50 (peak number 2), and at least 0.40 is "
        "required there. 0.02 false alarms are expected at this score: it may be a false match, so look at it.",
    ),
    (
        {**FOUND, "allowed": 0.01, "least_score": 1.0, "false_alarms": 1e-5},
        "x=10, y=20 is reported, match number 1 of 3: its score is 0.50 (peak number 2), and perhaps no score is "
        "high enough there. Fewer than 0.001 false alarms are expected at this score; at most 0.01 are allowed.",
    ),
    (
        {**FOUND, "allowed": 0.01, "least_score": 0.3, "filtered_score": 0.31, "prefilter": "bandpass",
         "false_alarms": 0.0052},
        "x=10, y=20 is reported, match number 1 of 3: its score is 0.50; in the band-passed image, which decides, "
        "its score is 0.31 (peak number 2), and at least 0.30 is required there. 0.0052 false alarms are expected "
        "at this score; at most 0.01 are allowed.",
    ),
    (
        {**BY_THRESHOLD, "score": 0.7999, "false_alarms": 0.01},
        "x=10, y=20 is not reported: its score is 0.7999 (peak number 2), and at least 0.8000 is required there. "
        "0.01 false alarms are expected at this score: it is hardly a false match. Lower the threshold, or decide "
        "by false alarms.",
    ),
    (
        {**BY_THRESHOLD, "false_alarms": 2718.2, "tried": 15},
        "x=10, y=20 is not reported: its score is 0.50 (peak number 2), and at least 0.80 is required there. 2700 "
        f"false alarms are expected at this score: a lower threshold would accept false matches.\n{NO_CHANGE_THERE}",
    ),
    (
        {**BY_THRESHOLD, "false_alarms": 0.001, "tried": 15},
        "x=10, y=20 is not reported: its score is 0.50 (peak number 2), and at least 0.80 is required there. 0.001"
        " false alarms are expected at this score: it is hardly a false match. Lower the threshold, or decide by "
        "false alarms.",
    ),
    (
        {**BY_CHANCE, "false_alarms": 0.0512, "noise": 12.34},
        "x=10, y=20 is not reported: its score is 0.50 (the best peak), and at least 0.80 is required there. 0.051"
        " false alarms are expected at this score; at most 0.01 are allowed. If the position is right, allow 0.052 "
        "false alarms, or decide by the score with a threshold.\nThe noise in the image is about 12 (standard "
        "deviation; fine texture counts).",
    ),
    (
        {**BY_CHANCE, "false_alarms": 0.1, "tried": 15, "asked": False, "noise": 0.0},
        "x=10, y=20 is not reported: its score is 0.50 (the best peak), and at least 0.80 is required there. 0.1 "
        f"false alarms are expected at this score; at most 0.01 are allowed.\n{NO_CHANGE}",
    ),
    (
        {**BASE, "rule": "overlap", "score": 0.9, "removed_by": BETTER, "iou": 0.2812,
         "nearest_peak": dataclasses.replace(NEAR, reported=True, rule="reported")},
        "x=10, y=20 is not reported: its score of 0.90 is high enough, but it overlaps the better match at x=12, "
        "y=24 (score 0.96) by 0.28 (intersection over union), and max_overlap is less. Raise it to 0.29 to have "
        "both.",
    ),
    (
        {**BASE, "rule": "distance", "score": 0.9, "removed_by": BETTER},
        "x=10, y=20 is not reported: its score of 0.90 is high enough, but the better match at x=12, y=24 (score "
        "0.96) is 4 pixels away, and min_distance is more. Lower it to 4 to have both.",
    ),
    (
        {**BASE, "rule": "count", "score": 0.9, "number": 4, "matches": 2, "best": (NEAR,)},
        "x=10, y=20 is not reported: it is accepted, but would be match number 4, and max_count is 2. Raise "
        "max_count to 4 to have it.\nThe best position besides is x=12, y=24 (not reported), with a score of 0.61.",
    ),
    (
        {**BASE, "rule": "not a peak", "score": 0.9, "higher": BETTER, "threshold": 0.8, "nearest_peak": NEAR,
         "best": (NEAR,)},
        "x=10, y=20 is not reported: its score is 0.90, and its neighbour x=12, y=24 has 0.96.\nA better peak is "
        "near. x=12, y=24 is not reported: its score is 0.61 (the best peak), and at least 0.80 is required there."
        " If the position is right, lower the threshold.",
    ),
    (
        {**BASE, "rule": "not a peak", "score": 0.957, "higher": BETTER, "allowed": 0.01, "best": (
            Decision(box=Box((0, 0), (8, 16)), reported=True, rule="reported", score=0.1, filtered_score=0.9,
                    prefilter="whiten", false_alarms=2e-3),)},
        "x=10, y=20 is not reported: its neighbour x=12, y=24 has the same score, 0.96, and of equal ones only the"
        " middle counts.\nThe best position besides is x=0, y=0 (reported), with a score of 0.90 in the whitened "
        "image; 0.002 false alarms are expected at this score.",
    ),
    (
        {**BASE, "rule": "no score", "lacks": "contrast", "scale_hint": Hint(
            Match(HERE, 0.953, false_alarms=0.004), factor=2 / 3), "turn_hint": Hint(
            Match(THERE, 0.9, false_alarms=0.002), turn="turned 90"), "tried": 15},
        "x=10, y=20 has no score: the image is constant there, or the part of the template on valid pixels, so "
        'that there is nothing to compare. The metric "ssd" scores such positions, too.\nThe template fits much better'
        " at 0.667 times its size: its score is 0.95 at x=10, y=20; 0.004 false alarms are expected at this score."
        " Search with it changed like that.\nThe template fits much better rotated 90 degrees counter-clockwise: "
        "its score is 0.90 at x=12, y=24; 0.002 false alarms are expected at this score. Search with it changed "
        "like that.",
    ),
]  # fmt: skip


@pytest.mark.engine_free
@pytest.mark.parametrize(("facts", "text"), SENTENCES)
def test_all_is_told_in_words(facts, text):
    assert describe_explanation(Explanation(**facts)) == text


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"at": (1, 2, 3)}, ValueError, "`at` is (1, 2, 3); it must be 2 whole numbers: the first pixel of a window on "
         "each axis, (row, column)"),
        ({"at": (1.5, 2)}, ValueError, "`at` is (1.5, 2); it must be 2 whole numbers: the first pixel of a window on "
         "each axis, (row, column)"),
        ({"at": 7}, ValueError, "`at` is 7; it must be 2 whole numbers: the first pixel of a window on each axis, "
         "(row, column)"),
        ({"threshold": 2}, ValueError, "`threshold` is 2; zncc scores are from -1 to 1: name one that some place could "
         "reach"),
        ({"max_count": 0}, ValueError, "`max_count` is 0; it must be a whole number of at "
         "least 1, or None for no limit"),
        ({"prefilter": "white"}, ValueError, '`prefilter` is \'white\'; it must be one of "none", "whiten", '
         '"bandpass", "auto"; did you mean "whiten"?'),
        ({"metrics": "zncc"}, TypeError, "`explain` has no option `metrics` (did you mean `metric`?); its options are "
         "at, false_alarms, threshold, max_count, max_overlap, min_distance, prefilter, copies_only, mask, angles, "
         "scales, flips, search, metric, image_mask, missing, min_overlap, output, channel_axis, channel_weights, "
         "channel_means, workers, progress"),
    ],
)  # fmt: skip
def test_options_out_of_bounds_are_refused(options, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        explain(scene(), TEMPLATE, **options)


@pytest.mark.engine_free
def test_several_templates_are_refused():
    text = "`template` is a mapping with the labels ['a', 'b']; explain one template at a time"
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        explain(scene(), {"a": TEMPLATE, "b": TEMPLATE})


@pytest.mark.engine_free
def test_a_template_that_does_not_fit_is_refused_as_by_locate():
    with pytest.raises(ValueError, match="larger than `image`"):
        explain(TEMPLATE[:10], TEMPLATE)


def test_progress_of_a_miss_with_maps_ends_only_with_the_last_stage(monkeypatch):
    told, before = [], []
    rng = np.random.default_rng(0)
    image, template = rng.normal(size=(90, 95)), rng.normal(size=(20, 21))
    score = TemplateBatch.score

    def noted(self, block, **options):
        before.append(max(told, default=0.0))
        yield from score(self, block, **options)

    monkeypatch.setattr(TemplateBatch, "score", noted)
    resources = Resources.of(1, told.append)
    result = search(
        searches_of(tmatch.Matcher(template), image, None), Criterion.of("zncc"), resources, keep="maps"
    )
    assert (len(result.stages), told[-1]) == (2, 1)
    assert before == [0.0, 0.5]


def test_equal_copies_in_a_small_image_are_decided_as_locate_does():
    bars = [[200, 200, 0, 10, 10, 190, 190, 0, 200, 200, 0], [200, 200, 0, 0, 200, 200, 0, 10, 190, 190, 0]]
    image, template = np.array(bars, np.uint8), np.array([[10, 190, 190]], np.uint8)
    assert explain(image, template).matches == len(tmatch.locate(image, template))
    stripes, period = np.tile(np.array([200, 200, 0, 0], np.uint8), (5, 4))[:, :15], [[200, 0, 0, 200]]
    assert explain(stripes, np.array(period, np.uint8)).matches == len(
        tmatch.locate(stripes, np.array(period, np.uint8))
    )
