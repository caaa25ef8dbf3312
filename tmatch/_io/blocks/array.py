"""An array that is read from blocks."""

import bisect
import itertools
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.lazy import LazyArray
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._io.blocks.cache import BlockCache, Index

_log = logging.getLogger("tmatch.blocks")
_SCANNED = 2**22  # values of a region in which what is known of all is looked for, about
MOST_CHANNELS = 4  # along an axis; longer ones are of places
_AXES = ("slices", "rows", "columns")

_Piece = tuple[
    int, slice, slice
]  # number of a block on an axis, what of it lies in a part, and where in the part


class BrokenBlockError(OSError):
    """A block that cannot be read; its text says where it is."""


class BlockArray(LazyArray):
    """An array in blocks, each of which is loaded when a part of it is read.

    As long as reads go on in row-major order, and the blocks of as many rows as one read touches take at most 128 MiB,
    each is loaded once. Several threads may read; they load different blocks at a time.

    Parameters
    ----------
    name : str
        What errors call the array.
    shape, dtype
        Those of the whole. Values have the byte order of the machine.
    sides : sequence of int, or of sequences of int
        Lengths of the blocks on each axis: one for all, of which the last may be cut off, or each.
    load : callable
        Returns the block with an index, which counts blocks on each axis, and a region. Several threads may call it.
    """

    def __init__(
        self,
        name: str,
        shape: Shape,
        dtype: np.dtype[Any],
        sides: Sequence[int | Sequence[int]],
        load: Callable[[Index, Region], Array],
    ) -> None:
        self.name, self.shape, self.dtype = name, shape, np.dtype(dtype).newbyteorder("=")
        self.ends = [_ends(n, side) for n, side in zip(shape, sides, strict=True)]
        self._load, self._cache = load, BlockCache()

    def read(self, region: Region) -> Array:
        """Read a region; what lies in one block is not copied."""
        axes = self._along(region)
        if math.prod(map(len, axes)) == 1:
            [(index, inner, _)] = _product(axes)
            return self._block(index)[inner]
        result = np.empty([part.stop - part.start for part in region], self.dtype)
        for index, inner, outer in _product(axes):
            result[outer] = self._block(index)[inner]
        return result

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Read several regions block by block, so that each block is loaded once."""
        results = [np.empty([part.stop - part.start for part in region], self.dtype) for region in regions]
        wanted: dict[Index, list[tuple[Array, Region, Region]]] = defaultdict(list)
        for region, result in zip(regions, results, strict=True):
            for index, inner, outer in _product(self._along(region)):
                wanted[index].append((result, inner, outer))
        for index in sorted(wanted):
            block = self._block(index)
            for result, inner, outer in wanted[index]:
                result[outer] = block[inner]
        return results

    def regions(self) -> Iterator[Region]:
        """Return the rows of blocks, cut into parts that are not too long."""
        for row in itertools.product(*(range(len(ends) - 1) for ends in self.ends[:-1])):
            *outer, _ = self.region_of((*row, 0))
            step = max(1, _SCANNED // max(1, math.prod(part.stop - part.start for part in outer)))
            start, ends = 0, self.ends[-1]
            while start < len(ends) - 1:
                last = max(start + 1, bisect.bisect_right(ends, ends[start] + step) - 1)
                yield (*outer, slice(ends[start], ends[last]))
                start = last

    def __reduce__(self) -> tuple[Any, ...]:
        sides = [list(np.diff(ends)) for ends in self.ends]
        return BlockArray, (self.name, self.shape, self.dtype, sides, self._load)

    def region_of(self, index: Index) -> Region:
        """Return the region of a block."""
        return tuple(slice(ends[i], ends[i + 1]) for ends, i in zip(self.ends, index, strict=True))

    def _along(self, region: Region) -> list[list[_Piece]]:
        """Return the pieces of a region on each axis.

        Room is made for all blocks in the rows of those that are read, as a pass comes back to them row by row.
        """
        axes = [_pieces(ends, part) for ends, part in zip(self.ends, region, strict=True)]
        lengths = [
            ends[axis[-1][0] + 1] - ends[axis[0][0]] if axis else 0
            for ends, axis in zip(self.ends, axes, strict=True)
        ]
        rows = self.size // max(1, self.shape[self._slowest]) * lengths[self._slowest]
        self._cache.reserve((rows + math.prod(lengths)) * self.itemsize)
        return axes

    @cached_property
    def _slowest(self) -> int:
        """The axis along which a pass goes on slowest: the first that is not of channels."""
        return next((axis for axis, n in enumerate(self.shape) if n > MOST_CHANNELS), 0)

    def _block(self, index: Index) -> Array:
        return self._cache.get(index, self._loaded)

    def _loaded(self, index: Index) -> Array:
        """Load a block; say of errors where it is."""
        region = self.region_of(index)
        shape = tuple(part.stop - part.start for part in region)
        try:
            block = np.asarray(self._load(index, region), self.dtype)
        except MemoryError:
            raise
        except Exception as error:  # decoders of broken blocks raise almost anything
            raise self._broken(index, error) from error
        if block.shape != shape:
            raise self._broken(index, f"it has the shape {block.shape}, not {shape}")
        log_read(self.name, f"block {[*index]}", region, self.shape)
        return block

    def _broken(self, index: Index, reason: Exception | str) -> BrokenBlockError:
        return broken_part(self.name, f"block at {[*index]}", self.region_of(index), self.shape, reason)


def _ends(n: int, side: int | Sequence[int]) -> list[int]:
    """Return where blocks begin on an axis, and where the last one ends."""
    if isinstance(side, int):
        return [*range(0, n, side), n]
    return [0, *itertools.accumulate(side)]


def _pieces(ends: list[int], part: slice) -> list[_Piece]:
    """Divide a part of an axis by blocks."""
    pieces: list[_Piece] = []
    number = bisect.bisect_right(ends, part.start) - 1
    while part.start < part.stop and ends[number] < part.stop:
        first, start, stop = ends[number], max(ends[number], part.start), min(ends[number + 1], part.stop)
        inner, outer = slice(start - first, stop - first), slice(start - part.start, stop - part.start)
        pieces.append((number, inner, outer))
        number += 1
    return pieces


def _product(axes: list[list[_Piece]]) -> Iterator[tuple[Index, Region, Region]]:
    """Return the index of each block, what is needed of it, and where that is in the region."""
    for pieces in itertools.product(*axes):
        yield tuple(zip(*pieces, strict=True))  # type: ignore[misc]


def broken_part(
    name: str, what: str, region: Region, shape: Shape, reason: Exception | str
) -> BrokenBlockError:
    """Return what to raise of a block, or of another part, that cannot be read."""
    return BrokenBlockError(
        f"{name} has a broken {what} ({_place(region, shape)}): {_reason(reason)}; copy the file again, or "
        "search other parts with --region"
    )


def log_read(name: str, what: str, region: Region, shape: Shape) -> None:
    """Tell that a block, or another part, was read."""
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s: %s is read (%s)", name, what, _place(region, shape))


def _place(region: Region, shape: Shape) -> str:
    """Write which pixels a part has."""
    n_places = len(shape) - (len(shape) == 3 and shape[-1] <= MOST_CHANNELS)
    names = _AXES[-n_places:] if n_places <= len(_AXES) else [f"axis {a}:" for a in range(n_places)]
    return ", ".join(
        f"{name} {part.start} to {part.stop - 1}" for name, part in zip(names, region, strict=False)
    )


def _reason(error: Exception | str) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:120]
