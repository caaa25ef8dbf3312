"""An array that is read from blocks."""

import bisect
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tmatch._arrays.lazy import LazyArray
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._io.blocks.cache import BlockCache, Index

_SCANNED = 2**22  # values of a region in which what is known of all is looked for, about
MOST_CHANNELS = 4  # along an axis; longer ones are of places
_AXES = ("slices", "rows", "columns")


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
        cells = [_cells(ends, part) for ends, part in zip(self.ends, region, strict=True)]
        if math.prod(map(len, cells)) != 1:
            return self.read_many([region])[0]
        self._reserve(cells)
        index = tuple(each.start for each in cells)
        where = self.region_of(index)
        return self._block(index)[
            tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(region, where, strict=True))
        ]

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Read several regions block by block, so that each block is loaded once."""
        results = [np.empty([part.stop - part.start for part in region], self.dtype) for region in regions]
        wanted: dict[Index, list[int]] = defaultdict(list)
        for number, region in enumerate(regions):
            cells = [_cells(ends, part) for ends, part in zip(self.ends, region, strict=True)]
            self._reserve(cells)
            for index in itertools.product(*cells):
                wanted[index].append(number)
        for index in sorted(wanted):
            block, where = self._block(index), self.region_of(index)
            for number in wanted[index]:
                _copy(block, where, results[number], regions[number])
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

    def _reserve(self, cells: Sequence[range]) -> None:
        """Make room for all blocks in the rows of those that are read, as a pass comes back to them row by row."""
        slow = next((axis for axis, n in enumerate(self.shape) if n > MOST_CHANNELS), 0)
        ends, touched = self.ends[slow], cells[slow]
        rows = ends[touched.stop] - ends[touched.start]
        own = math.prod(e[c.stop] - e[c.start] for e, c in zip(self.ends, cells, strict=True))
        self._cache.reserve((self.size // max(1, self.shape[slow]) * rows + own) * self.itemsize)

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
            raise self._broken(index, _reason(error)) from error
        if block.shape != shape:
            raise self._broken(index, f"it has the shape {block.shape}, not {shape}")
        return block

    def _broken(self, index: Index, reason: str) -> BrokenBlockError:
        return BrokenBlockError(
            f"{self.name} has a broken block at {[*index]} ({self._place(index)}): {reason}; copy the file again, or "
            "search other parts with --region"
        )

    def _place(self, index: Index) -> str:
        """Write which pixels a block has."""
        n_places = self.ndim - (self.ndim == 3 and self.shape[-1] <= MOST_CHANNELS)
        names = _AXES[-n_places:] if n_places <= len(_AXES) else [f"axis {a}:" for a in range(n_places)]
        parts = zip(names, self.region_of(index), strict=False)
        return ", ".join(f"{name} {part.start} to {part.stop - 1}" for name, part in parts)


def _ends(n: int, side: int | Sequence[int]) -> list[int]:
    """Return where blocks begin on an axis, and where the last one ends."""
    if isinstance(side, int):
        return [*range(0, n, side), n]
    return [0, *itertools.accumulate(side)]


def _cells(ends: list[int], part: slice) -> range:
    """Return the numbers of the blocks on an axis in which a part lies."""
    if part.start >= part.stop:
        return range(0)
    return range(bisect.bisect_right(ends, part.start) - 1, bisect.bisect_left(ends, part.stop))


def _copy(block: Array, where: Region, target: Array, region: Region) -> None:
    """Copy what a block and a region have in common."""
    common = [
        (max(w.start, r.start), min(w.stop, r.stop), w.start, r.start)
        for w, r in zip(where, region, strict=True)
    ]
    target[tuple(slice(a - r, b - r) for a, b, _, r in common)] = block[
        tuple(slice(a - w, b - w) for a, b, w, _ in common)
    ]


def _reason(error: Exception) -> str:
    """Return what an error says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:120]
