import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracle
import tmatch
from loops import each

pytestmark = pytest.mark.engine_free


def found(scores, **options):
    return [tuple(place) for place in tmatch.find_peaks(scores, **options).tolist()]


# --- equals the oracle ----------------------------------------------------------------------------


@st.composite
def maps(draw, most=4):
    longest = {1: 20, 2: 8, 3: 4}
    ndim = draw(st.integers(1, 3))
    shape = draw(st.tuples(*[st.integers(1, longest[ndim])] * ndim))
    return draw(hnp.arrays(np.int8, shape, elements=st.integers(-1, most), fill=st.nothing()))


@given(maps())
def test_peaks_equal_the_oracle(scores):
    assert found(scores) == oracle.peaks(scores)


@given(maps(most=1))
def test_peaks_of_wide_plateaus_equal_the_oracle(scores):
    assert found(scores) == oracle.peaks(scores)


@given(maps(), st.integers(-2, 6))
def test_peaks_above_a_threshold_equal_the_oracle(scores, threshold):
    assert found(scores, threshold=threshold) == oracle.peaks(scores, threshold)


@each("dtype", ["?", "u1", "i1", "u8", "i8", "f2", "f4", "f8", "g"])
@pytest.mark.parametrize("shape", [(1,), (30,), (1, 1), (9, 8), (4, 3, 5), (40, 30), (12, 10, 11)], ids=str)
def test_every_dtype_equals_the_oracle(draw, shape, dtype):
    scores = draw(shape, dtype)
    peaks = tmatch.find_peaks(scores)
    assert peaks.dtype == np.intp
    assert peaks.shape == (len(peaks), len(shape))
    expected = oracle.peaks(scores.astype(object))  # unsigned numbers have no negative to sort by
    assert [tuple(place) for place in peaks.tolist()] == expected


@given(
    maps(),
    st.integers(-2, 6) | st.integers(-16, 48).map(lambda n: n / 8) | st.sampled_from([np.inf, -np.inf]),
    st.sampled_from(["i8", "u8", "f8"]),
)
def test_a_threshold_means_the_same_in_every_dtype(scores, threshold, dtype):
    large = (scores.astype(dtype) + 1) * 1000
    expected = oracle.peaks(scores.astype(float), threshold)
    assert found(large, threshold=(threshold + 1) * 1000) == expected


def test_no_digit_of_large_integers_or_of_their_threshold_is_lost():
    scores = [0, 2**53 + 1, 0, 2**53, 0, 2**63 + 1]
    assert found(np.array(scores, "u8"), threshold=2**53 + 1) == [(5,), (1,)]
    assert found(np.array(scores[:5], "i8"), threshold=2**70) == []


# --- laws -----------------------------------------------------------------------------------------


@given(maps(), st.integers(1, 4))
def test_min_distance_leaves_no_near_pair_and_loses_no_far_peak(scores, min_distance):
    everything, kept = found(scores), found(scores, min_distance=min_distance)

    def distance(a, b):
        return max(abs(p - q) for p, q in zip(a, b, strict=True))

    for i, place in enumerate(everything):
        better = [p for p in everything[:i] if p in kept]
        assert (place in kept) == all(distance(place, p) >= min_distance for p in better)


@given(maps(), st.integers(1, 5))
def test_max_count_keeps_the_best(scores, max_count):
    assert found(scores, max_count=max_count) == found(scores)[:max_count]


@given(maps())
def test_an_offset_and_a_gain_move_no_peak(scores):
    assert found(0.25 * scores - 7) == found(scores)


@given(maps())
def test_minus_infinity_around_a_map_moves_no_peak(scores):
    wider = np.pad(scores.astype(float), 1, constant_values=-np.inf)
    assert found(wider) == [tuple(p + 1 for p in place) for place in found(scores)]


# --- planted truth --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "peaks"),
    [
        ([[-1, -2], [-3, -4]], [(0, 0)]),  # negative, in a corner
        ([[0, 0, 0, 0, 5], [0, 0, 0, 0, 0], [4, 0, 0, 0, 3]], [(0, 4), (2, 0), (2, 4)]),
        ([[0, 0, 9], [0, 8, 0], [0, 0, 0]], [(0, 2)]),  # diagonal neighbours count
        ([1, 3, 3, 3, 2], [(2,)]),
        ([1, 3, 3, 3, 3, 2], [(2,)]),  # two middles: the first
        ([0, 2, 2, 3, 2, 2, 0], [(3,)]),  # terraces below a peak
        ([3, 3, 4, 4, 5], [(4,)]),  # a stair
        ([[5, 5], [5, 5]], [(0, 0)]),
        ([[1, 1, 1], [1, 0, 1], [1, 1, 1]], [(0, 1)]),  # a ring: nearest to a centre outside it
        ([7], [(0,)]),
        ([1, np.inf, 1, 2, 1], [(1,), (3,)]),
    ],
)
def test_peaks_lie_where_they_were_put(scores, peaks):
    assert found(scores) == peaks


def test_equal_peaks_come_in_row_major_order():
    scores = np.zeros((5, 7))
    scores[::2, ::2] = 1
    assert found(scores) == [(y, x) for y in (0, 2, 4) for x in (0, 2, 4, 6)]
    assert found(scores, min_distance=3) == [(0, 0), (0, 4), (4, 0), (4, 4)]


def test_min_distance_is_the_least_distance_kept():
    assert found([3, 0, 4], min_distance=2) == [(2,), (0,)]
    assert found([4, 0, 3], min_distance=2) == [(0,), (2,)]
    assert found([3, 0, 4], min_distance=3) == [(2,)]
    assert found([4, 0, 3, 0, 5], min_distance=3) == [(4,), (0,)]  # the dropped one drops no other


def test_threshold_is_the_least_score_accepted():
    assert found([0.8, 0, 0.7999, 0, 0.9], threshold=0.8) == [(4,), (0,)]
    peaks = tmatch.find_peaks(np.zeros((3, 4)), threshold=0.1)
    assert peaks.shape == (0, 2)
    assert peaks.dtype == np.intp


def test_a_vast_plateau_has_its_peak_in_the_middle():
    assert found(np.zeros(200_000)) == [(99_999,)]
    assert found(np.zeros((401, 1501)), threshold=0) == [(200, 750)]


def test_whole_numbers_beyond_the_digits_of_floats_are_told_apart():
    assert found(np.array([2**53, 2**53 + 1, 0, 2**62 + 1, 2**62])) == [(3,), (1,)]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "options", "error", "sentence"),
    [
        (
            [[0, np.nan]],
            {},
            ValueError,
            "`scores` holds NaN; replace it, for instance with np.nan_to_num(scores, nan=-1)",
        ),
        (3, {}, ValueError, "`scores` has shape (); it must have at least one axis and one position"),
        (
            np.ones((3, 0)),
            {},
            ValueError,
            "`scores` has shape (3, 0); it must have at least one axis and one position",
        ),
        ([1j], {}, TypeError, "`scores` has dtype complex128; it must hold real numbers"),
        (["0.9"], {}, TypeError, "`scores` has dtype <U3; it must hold real numbers"),
        (
            [1],
            {"threshold": np.nan},
            ValueError,
            "`threshold` is NaN; it must be a number, or None for no limit",
        ),
        (
            [1],
            {"min_distance": 0},
            ValueError,
            "`min_distance` is 0; it must be a whole number of at least 1",
        ),
        (
            [1],
            {"max_count": 0},
            ValueError,
            "`max_count` is 0; it must be a whole number of at least 1, or None for no limit",
        ),
    ],
)
def test_what_has_no_peaks_is_refused(scores, options, error, sentence):
    with pytest.raises(error, match=f"^{re.escape(sentence)}$"):
        tmatch.find_peaks(scores, **options)
