"""Lazy arrays in random chunks, and what is checked of lazy results."""

import numpy as np
import pytest

da = pytest.importorskip("dask.array")


def chunks_of(rng, shape):
    """Cut each axis at random places, mostly few."""
    cuts = [rng.choice(n + 1, min(rng.integers(0, 5), n), replace=False) for n in shape]
    ends = [sorted({0, *map(int, at), n}) for at, n in zip(cuts, shape, strict=True)]
    return tuple(tuple(np.diff(each).tolist()) for each in ends)


def lazily(rng, image):
    """Return a dask array whose blocks are computed by tasks."""
    return da.from_array(image, chunks=chunks_of(rng, image.shape)).map_blocks(np.copy)


def assert_same(lazy, expected):
    """Check what a lazy array announces, and that its chunks are just that."""
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == (expected.shape, expected.dtype)
    assert (lazy._meta.dtype, lazy._meta.ndim) == (expected.dtype, expected.ndim)
    found = lazy.compute(scheduler="sync")
    assert found.tobytes() == expected.tobytes()
    block = lazy.blocks[tuple(n // 2 for n in lazy.numblocks)]
    if block.size % 3 == 0:
        computed = block.compute(scheduler="sync")
        assert (computed.shape, computed.dtype) == (block.shape, expected.dtype)
    assert all(0 not in sizes for sizes in lazy.chunks)
