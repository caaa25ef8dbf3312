"""Filters of dask arrays give what they give of arrays in memory, byte for byte, for any chunks; later."""

import math

import numpy as np
import pytest

import tmatch
from lazy_arrays import assert_same, lazily
from tmatch._engine import execution

pytestmark = pytest.mark.one_engine
da = pytest.importorskip("dask.array")

BORDERS = ("constant", "edge", "reflect", "symmetric", "wrap")
KINDS = ("u1", "i2", "bool", "i4", "i8", "u8", "f2", "f4", "f8", ">f4", "c8", "c16", "whole")


def values(rng, kind, shape):
    if kind == "whole":
        return rng.integers(-9, 9, shape).astype(float)
    dtype = np.dtype(kind)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        small = rng.random() < 0.5
        bounds = np.iinfo(dtype)
        low, high = (max(bounds.min, -99), 99) if small else (bounds.min, bounds.max)
        return rng.integers(low, high, shape, dtype, endpoint=True)
    found = rng.normal(size=shape)
    if dtype.kind == "c":
        found = found + 1j * rng.normal(size=shape)
    return found.astype(dtype)


def options_of(rng, ndim, kernel, kind, axis):
    border = str(rng.choice(BORDERS))
    output = str(rng.choice(("same", "same", "valid", "full")))
    options = {"border": border, "output": output, "channel_axis": axis}
    if border == "constant" and rng.random() < 0.5:
        options["fill_value"] = float(rng.choice([3, -1, 0.5, 300]))
    if rng.random() < 0.4:
        options["stride"] = [int(s) for s in rng.integers(1, 4, ndim)]
    if output == "same" and rng.random() < 0.3:
        options["anchor"] = [int(rng.integers(0, k)) for k in kernel]
    if kind[-2] in "fh" and rng.random() < 0.3:
        options["dtype"] = str(rng.choice(["float32", "float64"]))
    return options


@pytest.mark.parametrize("seed", range(300))
def test_chunks_change_nothing(seed):
    rng = np.random.default_rng(seed)
    ndim = int(rng.integers(1, 4))
    shape = tuple(int(n) for n in rng.integers(3, (200, 40, 14)[ndim - 1], ndim))
    window = tuple(int(rng.integers(1, min(n, (30, 9, 4)[ndim - 1]) + 1)) for n in shape)
    kind, axis, channels = str(rng.choice(KINDS)), None, shape
    if rng.random() < 0.3:
        axis = int(rng.integers(0, ndim + 1))
        channels = (*shape[:axis], int(rng.integers(1, 4)), *shape[axis:])
    kernel = rng.integers(-3, 4, window) if rng.random() < 0.5 else rng.normal(size=window)
    if axis is not None and rng.random() < 0.5:
        kernel = np.stack([kernel * (i + 1) for i in range(channels[axis])], axis)
    image = values(rng, kind, channels)
    options = options_of(rng, ndim, window, kind, axis)
    if image.dtype.kind in "fc" and rng.random() < 0.4:
        options["missing"] = "ignore"
        kernel = np.abs(kernel) + 1
        if rng.random() < 0.7:
            image[rng.random(channels) < 0.05] = np.nan
    tile = tuple(int(n) for n in rng.integers(2, 12, ndim)) if rng.random() < 0.8 else None
    verb = tmatch.correlate if seed % 2 else tmatch.convolve
    with execution.using(tile=tile, transform_passes=0.1 if seed % 3 == 0 else None):
        assert_same(verb(lazily(rng, image), kernel, **options), verb(image, kernel, **options))


@pytest.mark.parametrize("kind", ["u1", "f4", "i8", "f8"])
def test_larger_images(kind):
    """Tiles as they are chosen."""
    rng = np.random.default_rng(3)
    image = values(rng, kind, (700, 900))
    for kernel in (np.ones((3, 3)), rng.normal(size=(5, 7)), rng.normal(size=(41, 33))):
        for chunks in (250, (700, 13), (1000, 1000)):
            lazy = da.from_array(image, chunks=chunks)
            assert_same(
                tmatch.correlate(lazy, kernel, border="wrap"), tmatch.correlate(image, kernel, border="wrap")
            )


def test_colours_that_alternate_in_memory():
    rng = np.random.default_rng(3)
    image = values(rng, "u1", (120, 150, 3))
    for kernel in (np.ones((3, 3)), rng.normal(size=(5, 7))):
        lazy = da.from_array(image, chunks=(50, 60, 2))
        found = tmatch.correlate(lazy, kernel, channel_axis=2)
        assert found.chunks == lazy.chunks
        assert_same(found, tmatch.correlate(image, kernel, channel_axis=2))


def unread(shape, dtype="u1", chunks=50):
    """Return an array whose chunks cannot be computed."""
    return da.zeros(shape, dtype=dtype, chunks=chunks).map_blocks(_refuse, dtype=dtype)


def _refuse(_):
    msg = "a chunk was computed"
    raise AssertionError(msg)


def test_chunks_are_those_of_the_image():
    image, kernel = unread((200, 130)), np.ones((5, 7))
    assert tmatch.correlate(image, kernel).chunks == image.chunks
    assert tmatch.correlate(image, kernel, output="valid").chunks == ((48, 50, 50, 48), (47, 50, 27))
    assert tmatch.correlate(image, kernel, output="full").chunks == ((52, 50, 50, 52), (53, 50, 33))
    assert tmatch.correlate(image, kernel, stride=(2, 3)).chunks == ((25,) * 4, (17, 17, 10))
    wide = tmatch.correlate(unread((200, 130), "i8"), kernel)
    assert wide.chunks == image.chunks
    with pytest.raises(AssertionError, match="a chunk was computed"):
        wide.compute(scheduler="sync")


def test_names_tell_inputs_and_options_apart():
    kernel = np.ones((3, 3))
    first, second = (
        da.from_array(values(np.random.default_rng(i), "f8", (20, 20)), chunks=7) for i in (0, 1)
    )
    variants = [
        {},
        {"border": "edge"},
        {"output": "full"},
        {"stride": 2},
        {"missing": "ignore"},
        {"dtype": "f4"},
    ]
    names = [tmatch.correlate(first, kernel, **options).name for options in variants]
    names += [tmatch.correlate(second, kernel).name, tmatch.correlate(first, kernel * 2).name]
    assert len({*names}) == len(names)
    assert names[: len(variants)] == [tmatch.correlate(first, kernel, **options).name for options in variants]
    assert names[0].startswith("correlate-")


def test_chunks_are_read_once_or_where_facts_are_needed_twice():
    for dtype, most in (("u1", 1), ("i8", 2)):
        read = []

        def note(block, read=read):
            read.append(block.size)
            return block

        image = da.ones((60, 70), dtype=dtype, chunks=20).map_blocks(note, meta=np.empty((0, 0), dtype))
        tmatch.correlate(image, np.ones((5, 5))).compute(scheduler="sync")
        assert sum(read) == most * math.prod(image.shape)


def test_refusals():
    kernel = np.ones((3, 3))
    image = values(np.random.default_rng(0), "f8", (30, 40))
    image[13, 17] = np.nan
    lazy = da.from_array(image, chunks=10)
    with pytest.raises(ValueError, match=r"`image` has NaN or infinite values, the first at \[13, 17\]"):
        tmatch.correlate(lazy, kernel).compute(scheduler="sync")
    with pytest.raises(TypeError, match="`image` has dtype object"):
        tmatch.correlate(lazy.astype(object), kernel)
    with pytest.raises(ValueError, match="chunks of unknown sizes"):
        tmatch.correlate(lazy[lazy[:, 0] > 0], kernel)
    with pytest.raises(ValueError, match="larger than `image`"):
        tmatch.correlate(lazy, np.ones((50, 3)), output="valid")


def test_all_tasks_use_the_engine_that_was_chosen_for_the_whole():
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    image, kernel = values(rng, "f4", (70, 80)), rng.normal(size=(5, 5))
    with execution.using(engine="numpy"):
        expected = tmatch.correlate(image, kernel)
        lazy = tmatch.correlate(da.from_array(image, chunks=30), kernel)
    with execution.using(engine="numba"):
        assert lazy.compute(scheduler="sync").tobytes() == expected.tobytes()
