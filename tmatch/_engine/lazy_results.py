"""Lazy results: arrays of dask whose chunks are computed from parts that are aligned to tiles.

A tile's results depend, in their last bits, on the tile. So whole tiles are computed, those of the whole array, each in
one task only, and chunks are put together from them.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.dask_array import DaskArray, Tasks, intervals_of, read_region
from tmatch._arrays.dask_chunks import Intervals
from tmatch._arrays.options import Border
from tmatch._arrays.padding import intervals_needed
from tmatch._arrays.typing import Region
from tmatch._engine.tiling import Tiling


@dataclass(frozen=True)
class Axis:
    """An axis of a result: how long it is with stride 1, its stride, and where its chunks are to end."""

    length: int
    ends: Sequence[int]  # of results with this stride, from 0
    step: int = 1

    @classmethod
    def of(cls, ends: Sequence[int], shift: int, length: int, step: int = 1) -> "Axis":
        """Return the axis of results whose chunks are those of pixels, `shift` positions later."""
        inner = (min(max(end + shift, 0), length) for end in ends[1:-1])
        return cls(length, sorted({-(-end // step) for end in (0, *inner, length)}), step)

    @property
    def chunks(self) -> tuple[int, ...]:
        """The sizes of chunks."""
        return tuple(b - a for a, b in itertools.pairwise(self.ends))

    def aligned(self, block: int) -> list[int]:
        """Return the ends of parts of whole blocks, about as long as chunks."""
        ends = (min(-(-end * self.step // block) * block, self.length) for end in self.ends)
        return sorted({-(-end // self.step) for end in ends})

    def positions(self, part: slice) -> slice:
        """Return the positions with stride 1 that some results have."""
        return slice(part.start * self.step, (part.stop - 1) * self.step + 1)


@dataclass(frozen=True)
class Reach:
    """How windows reach beyond an image of some length on one axis: how far before it, and how it is extended there.

    `around` is how many pixels more are needed on both sides.
    """

    length: int
    before: int = 0
    border: Border = "constant"
    around: int = 0

    def pixels(self, tilings: Sequence[Tiling], number: int, part: slice) -> Intervals:
        """Return the pixels from which the tiles are computed that reach into a part of axis `number`."""
        spans = [(tiling.reach(number, part), tiling.window[number]) for tiling in tilings]
        start = min(span.start for span, _ in spans) - self.around
        stop = max(span.stop + k - 1 for span, k in spans) + self.around
        return intervals_needed(start - self.before, stop - start, self.length, self.border)


@dataclass(frozen=True)
class Parts:
    """Where the parts of a result end on each axis, and in which pixels of an image the results of each part are."""

    ends: Sequence[Sequence[int]]
    pixels: Sequence[Sequence[Intervals]]

    def __iter__(self) -> Iterator[tuple[tuple[int, ...], Region, tuple[Intervals, ...]]]:
        """Return for each part its index, its region and its pixels."""
        spans = [[slice(*pair) for pair in itertools.pairwise(ends)] for ends in self.ends]
        indices = itertools.product(*(range(len(each)) for each in spans))
        return zip(indices, itertools.product(*spans), itertools.product(*self.pixels), strict=True)


def lazy_result(tasks: Tasks, dtype: np.dtype[Any], axes: Sequence[Axis], parts: Parts) -> Any:
    """Return a lazy array of what is computed of parts, by tasks with their indices."""
    array = _array(tasks, [tuple(b - a for a, b in itertools.pairwise(ends)) for ends in parts.ends], dtype)
    if all(list(ends) == list(axis.ends) for ends, axis in zip(parts.ends, axes, strict=True)):
        return array
    return _rechunked(DaskArray(array), axes)


def _rechunked(array: DaskArray, axes: Sequence[Axis]) -> Any:
    """Put chunks together from those of another array; dask's own way would make more tasks."""
    operation, _, token = array.array.name.partition("-tiles-")
    tasks = Tasks(f"{operation}-{token}")
    spans = [[slice(*pair) for pair in itertools.pairwise(axis.ends)] for axis in axes]
    indices = itertools.product(*(range(len(each)) for each in spans))
    for index, region in zip(indices, itertools.product(*spans), strict=True):
        tasks.add((tasks.name, *index), read_region, [(array, intervals_of(region))], region)
    return _array(tasks, [axis.chunks for axis in axes], array.dtype)


def _array(tasks: Tasks, chunks: Sequence[tuple[int, ...]], dtype: np.dtype[Any]) -> Any:
    from dask.array import Array  # noqa: PLC0415

    return Array(tasks.graph(), tasks.name, tuple(chunks), meta=np.empty((0,) * len(chunks), dtype))
