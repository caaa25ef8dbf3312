"""The chunks of an array in which some pixels lie."""

import bisect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

Intervals = Sequence[tuple[int, int]]  # of pixels on an axis: the first, and the one after the last

# A task cuts the part that is needed out of a chunk if it is at most half of it, and so many bytes are left behind.
KEPT_SHARE, LEFT_BYTES = 0.5, 2**16


class Chunks:
    """Finds the chunks of an array in which intervals lie; those of an axis are found once."""

    def __init__(self, name: str, ends: list[list[int]], itemsize: int) -> None:
        self.name, self.left, self._ends = name, LEFT_BYTES / itemsize, ends
        self._known: list[dict[tuple[tuple[int, int], ...], list[tuple[Any, ...]]]] = [{} for _ in ends]

    def parts(self, intervals: Sequence[Intervals]) -> Iterator[tuple[Any, ...]]:
        """Return for each chunk its key, and what else `_overlaps` returns, in tuples of all axes."""
        axes = []
        for known, ends, each in zip(self._known, self._ends, intervals, strict=True):
            key = tuple(each)
            if key not in known:
                known[key] = [*zip(*_overlaps(ends, key), strict=True)] or [()] * 6
            axes.append(known[key])
        numbers, *others = zip(*axes, strict=True)
        keys = itertools.product([self.name], *numbers)
        return zip(keys, *(itertools.product(*each) for each in others), strict=True)


def _overlaps(
    ends: Sequence[int], intervals: Intervals
) -> Iterator[tuple[int, slice, slice, slice, float, int]]:
    """Return the number of each chunk that is needed, its pixels, those needed, where in it, their share, its length.

    Where a chunk has pixels of several intervals, also those in between are needed.
    """
    needed: dict[int, tuple[int, int]] = {}
    for start, stop in intervals:
        number = bisect.bisect_right(ends, start) - 1
        while ends[number] < stop:
            low, high = max(start, ends[number]), min(stop, ends[number + 1])
            if low < high:  # chunks may be empty
                needed[number] = (needed.get(number, (low, 0))[0], high)
            number += 1
    for number, (first, last) in needed.items():
        low, high = ends[number], ends[number + 1]
        inside = slice(first - low, last - low)
        yield number, slice(low, high), slice(first, last), inside, (last - first) / (high - low), high - low
