"""Arrays of libraries that store them in chunks: zarr, and others that are indexed in the same way."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Region, Shape
from tmatch._io.blocks.array import MOST_CHANNELS, BlockArray
from tmatch._io.blocks.cache import Index
from tmatch._io.blocks.chunks import chunks_of

_LARGE_SHARD = 2**24  # values; of larger ones the chunks in them are blocks
_RUN_BYTES, _BLOCK_BYTES = 2**16, 2**20  # of a block of what has no chunks: on its fastest axis, and in all


@dataclass(frozen=True)
class _Sliced:
    """Loads blocks of what is indexed by slices; of a stack, from the image with an index."""

    array: Any
    stack: tuple[int, ...] = ()

    def __call__(self, _: object, region: Region) -> Array:
        return np.asarray(self.array[(*self.stack, *region)])


def zarr_blocks(name: str, array: Any, stack: Index = ()) -> BlockArray:
    """Return an array of zarr, or of a stack the image with an index, in its shards or chunks."""
    skipped = len(stack)
    load = chunks_of(array, stack) or _Sliced(array, stack)
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
        sides = _sides_of_runs(shape, array.dtype.itemsize)
        return BlockArray(name, shape, array.dtype, sides, _Sliced(array))
    if hasattr(array, "shards"):
        return zarr_blocks(name, array)
    return BlockArray(name, shape, array.dtype, array.chunks, _Sliced(array))


def _sides_of_runs(shape: Shape, itemsize: int) -> list[int]:
    """Return the sides of blocks, of which the last axis is the fastest: long runs, and not many bytes in all."""
    sides: list[int] = []
    for before, n in enumerate(reversed(shape)):
        in_run = before == 0 or (before == 1 and shape[-1] <= MOST_CHANNELS)
        most = _RUN_BYTES if in_run else _BLOCK_BYTES
        sides.insert(0, min(n, max(1, most // (itemsize * math.prod(sides)))))
    return sides
