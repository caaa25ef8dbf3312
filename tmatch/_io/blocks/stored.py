"""Arrays of libraries that store them in chunks: zarr, and others that are indexed in the same way."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tmatch._io.blocks.array import BlockArray
from tmatch._io.blocks.cache import Index
from tmatch._io.blocks.chunks import chunks_of
from tmatch._io.blocks.mapped import Sliced, sliced_blocks

_LARGE_SHARD = 2**24  # values; of larger ones the chunks in them are blocks


def zarr_blocks(name: str, array: Any, stack: Index = ()) -> BlockArray:
    """Return an array of zarr, or of a stack the image with an index, in its shards or chunks."""
    skipped = len(stack)
    load = chunks_of(array, stack) or Sliced(array, stack)
    return BlockArray(name, tuple(array.shape)[skipped:], array.dtype, _sides(array)[skipped:], load)


def _sides(array: Any) -> Sequence[int | Sequence[int]]:
    """Return the sides of what is read at once: shards, as their index is read once, if they are not too large."""
    shards = array.shards
    if shards is not None and np.prod(shards) <= _LARGE_SHARD:
        return tuple(shards)
    try:
        return tuple(array.chunks)
    except NotImplementedError:  # of a grid that is not regular
        return tuple(array.read_chunk_sizes)


def is_chunked(array: Any) -> bool:
    """Return whether an array is stored in chunks and indexed by slices, as those of zarr and h5py are."""
    try:
        chunks = getattr(array, "chunks", ())
    except NotImplementedError:  # of a grid that is not regular
        return False
    return (
        not isinstance(array, np.ndarray)
        and (chunks is None or (isinstance(chunks, tuple) and set(map(type, chunks)) == {int}))
        and all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__"))
    )


def chunked_blocks(name: str, array: Any) -> BlockArray:
    """Return an array that `is_chunked` in its chunks."""
    shape = tuple(map(int, array.shape))
    if array.chunks is None:
        return sliced_blocks(name, shape, array.dtype, array)
    if hasattr(array, "shards"):
        return zarr_blocks(name, array)
    return BlockArray(name, shape, array.dtype, array.chunks, Sliced(array))
