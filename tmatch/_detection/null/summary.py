"""A score map summarised in cells while its blocks are scored."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Positions, Region, Shape
from tmatch._engine import select

# Chosen on searches for absent templates, see `tests/benchmarks/detection.py`.
_CELLS = 4  # per side of the template
_MAX_CELLS = 2**18


@dataclass(frozen=True)
class ScoreSummary:
    """A score map summarised in cells of `size` positions.

    `extrema` are two maps, none below 0: maxima of each cell, and negated minima; `places` are their positions, as
    indices into the score map in column-major order. `sums` are two: of squared scores, and of their number.
    """

    size: Shape
    map_shape: Shape
    extrema: Array
    places: Array
    sums: Array

    @property
    def high(self) -> Array:
        """The highest score of each cell."""
        return np.asarray(self.extrema[0])

    @cached_property
    def totals(self) -> tuple[float, float]:
        """The sums over all cells: of squared scores, and of their number."""
        squares, count = self.sums.reshape(2, -1).sum(axis=1).tolist()
        return squares, count

    def of(self, positions: Positions) -> tuple[Array, ...]:
        """Return the cell of each position."""
        return tuple((positions // self._size).T)

    @cached_property
    def _size(self) -> Array:
        """The size as an array, which divides many times faster than a tuple does."""
        return np.array(self.size)

    def positions(self, which: Array) -> Positions:
        """Return the positions of some extrema: those marked in an array like `extrema`."""
        return columns_of(self.places[which].astype(np.intp, copy=False), self.map_shape[::-1])[
            :, ::-1
        ].copy()

    def best_elsewhere(self, positions: Positions) -> Array:
        """Find the highest score half a template's side away from each position, or more; 0 if none is above 0."""
        high, reach = self.high, _CELLS // 2
        top = np.unravel_index(high.argmax(), high.shape)
        best: dict[tuple[int, ...], float] = {}  # of each cell
        cells = [*map(tuple, (positions // self._size).tolist())]
        for cell in set(cells):
            best[cell] = float(high[top])
            # In these few the best one is not elsewhere.
            if all(abs(c - t) <= reach for c, t in zip(cell, top, strict=True)):
                others = high.copy()
                others[tuple(slice(max(c - reach, 0), c + reach + 1) for c in cell)] = 0
                best[cell] = float(others.max())
        return np.array([best[cell] for cell in cells])


def columns_of(indices: NDArray[np.intp], shape: Shape) -> Positions:
    """Return the positions of indices into a flattened array, as `np.unravel_index` does, in a third of its time."""
    out = np.empty((len(indices), len(shape)), np.intp)
    for axis in range(len(shape) - 1, 0, -1):
        indices, out[:, axis] = np.divmod(indices, shape[axis])
    out[:, 0] = indices
    return out


class SummaryBuilder:
    """Builds the summary of a score map whose blocks are scored in any order, by any thread."""

    def __init__(self, map_shape: Shape, window: Shape) -> None:
        cell = cell_shape(window)
        n_cells = math.prod(map_shape) / math.prod(cell)
        coarse = max(1.0, (n_cells / _MAX_CELLS) ** (1 / len(map_shape)))
        self.map_shape, self.size = map_shape, tuple(math.ceil(n * coarse) for n in cell)
        self._parts: dict[Shape, tuple[Shape, Array]] = {}

    def grid(self, part: Region) -> tuple[Shape, Shape, Shape]:
        """Return how a block is summarised: its shape, where its first cells end, and the size of cells."""
        shape = tuple(s.stop - s.start for s in part)
        return shape, tuple(-s.start % n for s, n in zip(part, self.size, strict=True)), self.size

    def store(self, part: Region, summary: Array) -> None:
        """Store the summary of a block."""
        self._parts[tuple(s.start for s in part)] = tuple(s.stop - s.start for s in part), summary

    def add(self, part: Region, scores: Array, norms: Array) -> None:
        """Summarise the scores of a block; those whose norm is not above 0 are not valid."""
        self.store(part, self.summarise(part, scores, norms))

    def summarise(self, part: Region, scores: Array, norms: Array) -> Array:
        """Return the summary of the scores of a block."""
        _, leads, size = self.grid(part)
        return select.reference().summarise(scores, norms, leads, size)

    def merged(self) -> ScoreSummary:
        """Merge the blocks in row-major order, so that sums do not depend on the order of work."""
        if len(self._parts) == 1:  # of one block nothing need be moved
            [(part, summary)] = self._parts.values()
            if part == self.map_shape:
                extrema = summary[:2].astype(np.float32)
                return ScoreSummary(self.size, self.map_shape, extrema, summary[4:], summary[2:4])
        shape = [-(-n // size) for n, size in zip(self.map_shape, self.size, strict=True)]
        extrema, sums = np.zeros((2, *shape), np.float32), np.zeros((2, *shape))
        places = np.zeros((2, *shape), np.int64)
        merge = select.choose().merge_summary
        for start, (part, summary) in sorted(self._parts.items()):
            merge(summary, start, part, (self.map_shape, self.size), extrema, places, sums)
        return ScoreSummary(self.size, self.map_shape, extrema, places, sums)


def cell_shape(window: Shape) -> Shape:
    """Return the shape of a cell for a template's window, if there are not too many."""
    return tuple(max(1, round(side / _CELLS)) for side in window)


def variance_in_ring(sums: Array, free: Array, inner: int, outer: int, local: float) -> Array:
    """Average the squared scores in a ring around each cell, of free cells, and of the whole map.

    The ring is farther away than `inner`, and no farther than `outer`; the footprint of a place itself does not reach
    it. Where a part of it is missing, its weight is smaller than `local`.
    """
    return select.choose().variance_in_ring(sums, free, inner, outer, local)


def with_neighbours(values: Array, *, largest: bool) -> Array:
    """Sum each cell with those around it, or find the largest of them; on each of some arrays."""
    return select.choose().with_neighbours(values, largest)
