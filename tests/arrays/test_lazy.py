"""Arrays that are read in parts give what arrays in memory give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmatch._arrays.facts import Facts
from tmatch._arrays.known import Known
from tmatch._arrays.lazy import Channel, Computed, LazyArray, Part, Pieces, gather, windows_at


class InMemory(LazyArray):
    """An array in memory, read as if it were not."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def read(self, region):
        return self.values[region]


IMAGE = np.random.default_rng(0).integers(0, 200, (37, 53, 3), dtype=np.uint8)


def test_indexing_is_as_of_numpy():
    lazy = InMemory(IMAGE)
    for index in (np.s_[3:9], np.s_[3:9, -5:], np.s_[:, 2:4, 1:2], np.s_[0:100]):
        assert np.array_equal(lazy[index], IMAGE[index])
    with pytest.raises(IndexError, match="does not select a region"):
        lazy[::2]


def test_it_is_never_read_whole_by_accident():
    with pytest.raises(TypeError, match="read whole"):
        np.asarray(InMemory(IMAGE))


def test_channels_and_computed_values():
    lazy = InMemory(IMAGE)
    green = Channel(lazy, 2, 1)
    assert np.array_equal(green[4:8, 5:20], IMAGE[4:8, 5:20, 1])
    doubled = Computed([green], lambda values: values * np.int64(2), np.dtype(np.int64))
    assert np.array_equal(doubled[:], IMAGE[..., 1] * np.int64(2))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, bool])
def test_facts(dtype):
    values = IMAGE.astype(dtype)
    facts = InMemory(values).facts
    assert (facts.low, facts.high, facts.whole, facts.missing) == (values.min(), values.max(), True, False)


def test_facts_of_floats_that_are_not_whole_or_missing():
    values = np.linspace(0, 1, 12).reshape(3, 4)
    values[1, 2] = np.nan
    assert Facts.of(values) == Facts(0.0, 1.0, whole=False, missing=True)
    assert Facts.of(np.full((2, 2), np.nan)) | Facts.of(np.ones((2, 2))) == Facts(
        1.0, 1.0, whole=False, missing=True
    )


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 45)), max_size=9))
def test_windows_are_those_of_the_array(positions):
    at, window = np.array(positions, np.intp).reshape(-1, 2), (7, 8)
    channels = [Channel(InMemory(IMAGE), 2, i) for i in range(3)]
    arrays, starts = windows_at(channels, at, window)
    for i, array in enumerate(arrays):
        for (y, x), (v, u) in zip(at, starts, strict=True):
            assert np.array_equal(array[v : v + 7, u : u + 8], IMAGE[y : y + 7, x : x + 8, i])


@given(st.lists(st.integers(0, 36), min_size=1), st.lists(st.integers(0, 52), min_size=1))
def test_gathered_indices_are_those_of_the_array(rows, columns):
    rows, columns = np.array(rows), np.array(columns)
    array, (y, x) = gather(Channel(InMemory(IMAGE), 2, 0), [rows, columns])
    assert np.array_equal(array[np.ix_(y, x)], IMAGE[np.ix_(rows, columns, [0])][..., 0])


def test_pieces_know_only_what_they_hold():
    grey = IMAGE[..., 0]
    regions = [np.s_[0:10, 0:20], np.s_[0:10, 20:53], np.s_[10:37, 0:20]]
    pieces = Pieces(grey.shape, grey.dtype, [(region, grey[region]) for region in regions])
    assert np.array_equal(pieces[5:10, 10:30], grey[5:10, 10:30])
    assert np.array_equal(pieces[5:30, 0:20], grey[5:30, 0:20])
    with pytest.raises(IndexError, match="was not loaded"):
        pieces[5:30, 0:21]


@pytest.mark.parametrize("missing", [False, True])
def test_facts_follow_from_those_of_the_sources(missing):
    values = IMAGE.astype(float)
    if missing:
        values[3, 4, 1] = np.nan
    known = Known(InMemory(values), [Facts.of(values[..., i]) for i in range(3)], 2)
    colours = [Channel(known, 2, i) for i in range(3)]
    for each, wanted in zip(colours, np.moveaxis(values, 2, 0), strict=True):
        assert each.facts == Facts.of(wanted)
    assert known.facts == Facts.of(values[..., :0:-1]) | colours[0].facts
    few = Channel(Part(known, np.s_[0:37, 0:53, 1:3]), 2, 0)
    assert few.known_facts() == Facts.of(values[..., 1])
    assert Channel(Part(known, np.s_[0:36, 0:53, 1:3]), 2, 0).known_facts() is None
    doubled = Computed(colours, _three, np.dtype(float))
    whole = Facts.of(_three(*np.moveaxis(values, 2, 0)))
    assert doubled.known_facts().missing == whole.missing
    gone = Computed(colours, lambda *each: np.isnan(each).any(axis=0), np.dtype(bool))
    assert (gone.facts.low, gone.facts.high) == (False, missing)
    assert Computed(colours, _three, np.dtype(float), increasing=False).known_facts() is None


def _three(*channels):
    return sum(channels)
