"""Arrays of dask are read in parts, and tasks on their parts get just what they need."""

import gc
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmatch._arrays.dask_array import DaskArray, Tasks, building, intervals_of, is_dask
from tmatch._arrays.facts import Facts

pytestmark = pytest.mark.engine_free
da = pytest.importorskip("dask.array")

IMAGE = np.random.default_rng(0).integers(0, 200, (37, 53), dtype=np.uint8)
BIG = np.random.default_rng(1).integers(0, 200, (600, 700), dtype=np.uint16)


def lazy(image, chunks):
    return DaskArray(da.from_array(image, chunks=chunks))


def chunks_of(n):
    return st.lists(st.integers(0, n), max_size=5).map(
        lambda cuts: tuple(np.diff([0, *sorted(cuts), n]).tolist())
    )


def test_dask_is_known_without_its_import():
    assert is_dask(da.zeros(3))
    assert not is_dask(np.zeros(3))
    code = (
        "import sys, tmatch\nfrom tmatch._arrays.dask_array import is_dask\n"
        "assert not is_dask([1]) and 'dask' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(chunks_of(37), chunks_of(53), st.data())
def test_regions_and_facts_are_those_of_the_array(rows, columns, data):
    array = lazy(IMAGE, (rows, columns))
    spans = [data.draw(st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True)) for n in IMAGE.shape]
    region = tuple(slice(*sorted(span)) for span in spans)
    parts = array.read_many([region, np.s_[0:37, 0:53]])
    assert np.array_equal(parts[0], IMAGE[region])
    assert np.array_equal(parts[1], IMAGE)
    assert array.facts == Facts.of(IMAGE)


def test_tasks_get_what_they_need_of_several_arrays():
    image, mask = lazy(BIG, 200), lazy(BIG > 100, 300)
    tasks = Tasks("sum-1")
    scale = tasks.constant("scale-1", 3)
    ends = [[(0, 5), (590, 600)], [(10, 700)]]
    tasks.add("sum-1", _sums, [(image, ends), (mask, intervals_of(np.s_[0:1, 0:2]))], scale, "x")
    parts, values, where = tasks.compute(["sum-1"])[0]
    assert len(parts) == 2 * 4  # the chunks in between are not needed
    assert np.array_equal(values, BIG[590:, 10:] * 3)
    assert np.array_equal(where, (BIG > 100)[:1, :2])


def _sums(image, mask, scale, text):
    assert text == "x"
    return image.parts, image[590:600, 10:700] * scale, mask[0:1, 0:2]


def test_parts_of_large_chunks_are_cut_out_and_others_whole():
    image = lazy(BIG, 300)
    tasks = Tasks("shapes-1")
    tasks.add("shapes-1", _shapes, [(image, [[(290, 600)], [(0, 300)]])])
    assert tasks.compute(["shapes-1"]) == [[(10, 300), (300, 300)]]
    small = lazy(BIG, 100)
    tasks = Tasks("shapes-2")
    tasks.add("shapes-2", _shapes, [(small, [[(290, 400)], [(0, 100)]])])
    assert tasks.compute(["shapes-2"]) == [[(100, 100), (100, 100)]]


def _shapes(pieces):
    return [values.shape for _, values in pieces.parts]


def test_tasks_can_follow_others():
    image = lazy(BIG, 250)
    first = Tasks("most-1")
    most = first.reduce(image, lambda pieces: int(pieces.parts[0][1].max()), max)
    second = Tasks("less-1", first)
    second.add(("less-1", 0), lambda pieces, high: high - pieces[0:1, 0:1], [(image, [[(0, 1)]] * 2)], most)
    assert second.compute([("less-1", 0)])[0] == BIG.max() - BIG[0, 0]


def test_refusals():
    unknown = da.from_array(IMAGE, chunks=10)[da.from_array(IMAGE[:, 0] > 9, chunks=10)]
    with pytest.raises(
        ValueError, match=r"`image` has chunks of unknown sizes; call its method compute_chunk"
    ):
        DaskArray(unknown)
    with pytest.raises(TypeError, match="`image` has chunks that are masked arrays; fill them first"):
        DaskArray(da.ma.masked_equal(da.from_array(IMAGE, chunks=10), 3))


def test_a_twin_shares_no_tasks():
    image = (da.from_array(np.arange(900.0).reshape(30, 30), chunks=7) + 1).rechunk(10)
    image = da.concatenate([image, image[::-1]])
    other = DaskArray(image).twin("facts").array
    shared = {*image.dask.to_dict()} & {*other.dask.to_dict()}
    assert not any(callable(getattr(image.dask[key], "func", None)) for key in shared)
    assert np.array_equal(other.compute(), image.compute())
    held = image.persist()
    assert DaskArray(held).twin("facts").array.name == held.name


def test_the_garbage_collector_pauses():
    with building():
        assert not gc.isenabled()
        with building():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
