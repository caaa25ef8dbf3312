import dataclasses
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
import tmatch
from tmatch import Box, Match

pytestmark = pytest.mark.engine_free


@st.composite
def boxes(draw, ndim=2):
    start = draw(st.tuples(*[st.integers(-3, 8)] * ndim))
    return Box(start, draw(st.tuples(*[st.integers(1, 6)] * ndim)))


@st.composite
def match_lists(draw):
    score = st.sampled_from([0.5, 0.7, 0.9, 1.0])
    match = st.builds(Match, boxes(), score, st.sampled_from(["", "a", "b"]))
    return draw(st.lists(match, max_size=8))


# --- equals the oracle ----------------------------------------------------------------------------


@given(st.integers(1, 3).flatmap(lambda ndim: st.tuples(boxes(ndim), boxes(ndim))))
def test_iou_equals_counting_pixels(pair):
    a, b = pair
    assert tmatch.iou(a, b) == pytest.approx(oracle.iou(a, b), abs=1e-15)


@given(match_lists(), st.sampled_from([0, 0.1, 0.3, 0.5, 0.9]))
def test_suppression_equals_the_oracle(matches, max_overlap):
    kept = tmatch.non_max_suppression(matches, max_overlap=max_overlap)
    assert kept == oracle.suppress(matches, max_overlap)


# --- laws -----------------------------------------------------------------------------------------


@given(boxes(), boxes())
def test_iou_is_symmetric_and_one_only_for_equal_boxes(a, b):
    assert tmatch.iou(a, b) == tmatch.iou(b, a)
    assert 0 <= tmatch.iou(a, b) <= 1
    assert (tmatch.iou(a, b) == 1) == (a == b)


@given(boxes(), boxes(), st.integers(-(2**40), 2**40))
def test_moving_both_boxes_keeps_their_iou(a, b, step):
    moved = [Box(tuple(s + step for s in box.start), box.shape) for box in (a, b)]
    assert tmatch.iou(*moved) == tmatch.iou(a, b)


@given(
    match_lists().flatmap(lambda m: st.tuples(st.just(m), st.permutations(m))), st.sampled_from([0, 0.3, 1])
)
def test_order_of_the_matches_is_irrelevant(orders, max_overlap):
    first, second = (tmatch.non_max_suppression(matches, max_overlap=max_overlap) for matches in orders)
    assert first == second


@given(match_lists(), st.sampled_from([0, 0.3, 1]))
def test_suppressing_twice_is_suppressing_once(matches, max_overlap):
    once = tmatch.non_max_suppression(matches, max_overlap=max_overlap)
    assert tmatch.non_max_suppression(once, max_overlap=max_overlap) == once


@given(match_lists())
def test_overlap_of_one_keeps_every_match(matches):
    kept = tmatch.non_max_suppression(matches, max_overlap=1)
    assert sorted(map(repr, kept)) == sorted(map(repr, matches))
    assert [m.score for m in kept] == sorted((m.score for m in matches), reverse=True)


@given(match_lists(), st.integers(1, 5))
def test_max_count_keeps_the_best(matches, max_count):
    everything = tmatch.non_max_suppression(matches)
    assert tmatch.non_max_suppression(matches, max_count=max_count) == everything[:max_count]


# --- planted truth --------------------------------------------------------------------------------


def test_a_box_knows_its_pixels():
    box, image = Box((300, 670), (65, 80)), np.zeros((768, 1024))
    image[box.slices] = 1
    assert image.sum() == box.area == 5200
    assert image[300, 670] == image[364, 749] == 1
    assert box.stop == (365, 750)
    assert box.center == (332.0, 709.5)
    assert box.xywh == (670, 300, 80, 65)
    assert box.xyxy == (670, 300, 750, 365)


def test_a_box_may_have_any_number_of_axes():
    box = Box((1, 2, 3), (4, 5, 6))
    assert (box.stop, box.area, box.center) == ((5, 7, 9), 120, (2.5, 4.0, 5.5))
    assert Box((4,), (3,)).slices == (slice(4, 7),)


def test_touching_boxes_do_not_overlap_and_both_are_kept():
    here = Match(Box((0, 0), (4, 4)), 0.9)
    touching = [Match(Box(start, (4, 4)), 0.8) for start in [(0, 4), (4, 0), (4, 4)]]
    assert [tmatch.iou(here.box, m.box) for m in touching] == [0, 0, 0]
    assert tmatch.non_max_suppression([here, *touching], max_overlap=0) == [here, *touching]
    over = Match(Box((0, 3), (4, 4)), 0.8)
    assert tmatch.non_max_suppression([here, over], max_overlap=0) == [here]


def test_overlap_exactly_at_the_limit_is_kept():
    here, near = Match(Box((0, 0), (2, 4)), 0.9), Match(Box((0, 2), (2, 4)), 0.8)
    assert tmatch.non_max_suppression([here, near], max_overlap=1 / 3) == [here, near]
    assert tmatch.non_max_suppression([here, near], max_overlap=0.333) == [here]


def test_a_dropped_match_drops_no_other():
    chain = [Match(Box((0, x), (4, 8)), score) for x, score in [(0, 0.9), (4, 0.8), (8, 0.7)]]
    assert tmatch.non_max_suppression(chain, max_overlap=0.3) == [chain[0], chain[2]]


def test_sub_pixel_offset_is_added_to_the_centre():
    assert Match(Box((2, 3), (5, 6)), 0.9).center == (4.0, 5.5)
    assert Match(Box((2, 3), (5, 6)), 0.9, offset=(0.25, -0.5)).center == (4.25, 5.0)


def test_matches_are_json_as_they_stand():
    box = Box(np.array([2, 3]), (np.int32(5), np.uint8(6)))
    assert [type(n) for n in (*box.start, *box.shape)] == [int] * 4
    text = json.dumps(dataclasses.asdict(Match(box, 0.5, "eye", (0.25, 0.0))))
    assert json.loads(text) == {
        "box": {"start": [2, 3], "shape": [5, 6]},
        "score": 0.5,
        "label": "eye",
        "offset": [0.25, 0.0],
        "false_alarms": None,
        "second_best": None,
        "expected_score": None,
        "kind": None,
        "angle": 0.0,
        "scale": 1.0,
        "flip": False,
        "template_shape": [],
        "errors": None,
    }


def test_boxes_and_matches_are_values():
    assert Box([1, 2], [3, 4]) == Box((1, 2), (3, 4))
    assert len({Match(Box((1, 2), (3, 4)), 0.5), Match(Box((1, 2), (3, 4)), 0.5)}) == 1
    for thing, field in [(Box((1,), (2,)), "start"), (Match(Box((1,), (2,)), 0.5), "score")]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, field, 0)


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "shape"), [((1, 2), (3,)), ((1,), (0,)), ((1, 2), (3, -4))])
def test_a_box_without_pixels_is_refused(start, shape):
    sentence = f"a Box needs a start and a positive shape of equal length, got start={start}, shape={shape}"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        Box(start, shape)


def test_boxes_of_different_dimension_are_refused():
    sentence = "`a` has 2 axes and `b` has 1; they must be equal"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tmatch.iou(Box((1, 2), (3, 4)), Box((1,), (3,)))


@pytest.mark.parametrize("max_overlap", [-0.1, 1.1, np.nan])
def test_an_overlap_out_of_range_is_refused(max_overlap):
    sentence = f"`max_overlap` is {max_overlap}; it must be from 0 (boxes may touch) to 1 (no suppression)"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tmatch.non_max_suppression([], max_overlap=max_overlap)


def test_a_count_beyond_all_keeps_all():
    matches = [tmatch.Match(tmatch.Box((0, 9 * k), (4, 4)), 0.5) for k in range(3)]
    assert len(tmatch.non_max_suppression(matches, max_count=10**22)) == 3


@pytest.mark.parametrize("max_count", [0, -1])
def test_a_count_below_one_is_refused(max_count):
    sentence = f"`max_count` is {max_count}; it must be a whole number of at least 1, or None for no limit"
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        tmatch.non_max_suppression([], max_count=max_count)
