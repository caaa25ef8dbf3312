"""A score map summarised in cells while its blocks are scored."""

import math
from dataclasses import dataclass

import numpy as np

from tmatch._arrays.typing import Array, Positions, Region, Shape
from tmatch._engine import select
from tmatch._engine.numpy.summaries import summarise

# All these were chosen on searches for templates that were not there, see `tests/benchmarks/detection.py`.
_CELLS = 4  # to a template's side
_MAX_CELLS = 2**18


@dataclass(frozen=True)
class ScoreSummary:
    """A score map summed up in cells of `size` places.

    `heights` are two maps, none below 0: the highest scores, of peaks, and the lowest turned over, of hollows. `sums`
    are two: of squared scores, and of how many there are.
    """

    size: Shape
    heights: Array
    sums: Array

    @property
    def high(self) -> Array:
        """The highest score of each cell."""
        return np.asarray(self.heights[0])

    def of(self, places: Positions) -> tuple[Array, ...]:
        """Tell the cell of each place."""
        return tuple((places // self.size).T)

    def mean_square(self) -> Array:
        """Average the squared scores of each cell and those around it."""
        squares, count = with_neighbours(self.sums, largest=False)
        return np.asarray(np.divide(squares, count, out=np.zeros_like(squares), where=count > 0))

    def best_elsewhere(self, places: Positions) -> Array:
        """Give the highest score some half a template's side away from each place, or more; 0 if none is above."""
        high, reach, cells = self.high, _CELLS // 2, places // self.size
        top = np.unravel_index(high.argmax(), high.shape)
        best = np.full(len(places), high[top])
        near = (np.abs(cells - top) <= reach).all(axis=1)
        for cell in set(map(tuple, cells[near].tolist())):  # few; from them the highest one is not elsewhere
            others = high.copy()
            others[tuple(slice(max(c - reach, 0), c + reach + 1) for c in cell)] = 0
            best[(cells == cell).all(axis=1)] = others.max()
        return best


class SummaryBuilder:
    """What is kept of a score map while its blocks are scored, in any order."""

    def __init__(self, places: Shape, window: Shape) -> None:
        coarse = max(
            1.0, (math.prod(places) / math.prod(map(_cell, window)) / _MAX_CELLS) ** (1 / len(places))
        )
        self.places, self.size = places, tuple(math.ceil(_cell(n) * coarse) for n in window)
        self._parts: dict[Shape, Array] = {}

    def grid(self, part: Region) -> tuple[Shape, Shape, Shape]:
        """Tell how a block is to be summed up: its shape, where its first cells end, and the size of cells."""
        shape = tuple(s.stop - s.start for s in part)
        return shape, tuple(-s.start % n for s, n in zip(part, self.size, strict=True)), self.size

    def take(self, part: Region, summed: Array) -> None:
        """Keep what a block was summed up to."""
        self._parts[tuple(s.start for s in part)] = summed

    def add(self, part: Region, scores: Array, norms: Array) -> None:
        """Take the scores of a block in; those whose norm is not above 0 mean nothing."""
        _, leads, size = self.grid(part)
        self.take(part, summarise(scores, norms, leads, size))

    def cells(self) -> ScoreSummary:
        """Put the blocks together, in their own order, so that sums are the same each time."""
        shape = [-(-n // size) for n, size in zip(self.places, self.size, strict=True)]
        heights, sums = np.zeros((2, *shape), np.float32), np.zeros((2, *shape))
        for start, parts in sorted(self._parts.items()):
            ends = zip(start, self.size, parts.shape[1:], strict=True)
            at = slice(None), *(slice(s // n, s // n + k) for s, n, k in ends)
            np.maximum(heights[at], parts[:2], out=heights[at])
            sums[at] += parts[2:]
        return ScoreSummary(self.size, heights, sums)


def _cell(side: int) -> int:
    return max(1, round(side / _CELLS))


def with_neighbours(values: Array, *, largest: bool) -> Array:
    """Return the sum, or the maximum, of each cell of some arrays and those around it."""
    return select.choose().with_neighbours(values, largest)
