"""What is kept of an array that is read in parts, so that it need not be read again."""

import itertools
import math
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.facts import Facts
from tmatch._arrays.geometry import common_part, contains, within
from tmatch._arrays.lazy import LazyArray, Pieces
from tmatch._arrays.typing import Array, Positions, Region, Shape

_MAX_BYTES = 2**25  # of boxes that are kept

Box = tuple[Region, Array]


class Probe(LazyArray):
    """Notes the regions that are asked for; all values are 0."""

    def __init__(self, shape: Shape, dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self.asked: list[Region] = []

    def read(self, region: Region) -> Array:
        """Return zeros."""
        self.asked.append(region)
        return np.zeros([part.stop - part.start for part in region], self.dtype)


@dataclass(eq=False)
class _Reserved:
    """A region that is gathered while parts of it are read."""

    region: Region
    pieces: list[Box]
    missing: int


class Kept(LazyArray):
    """An array that is read in parts; it keeps boxes that it is told to, and regions that are to be asked for.

    Kept are copies; what is read is equal in any case.
    """

    def __init__(self, source: LazyArray) -> None:
        self.source, self.shape, self.dtype = source, source.shape, source.dtype
        # By their shape, and by the cell of that shape in which they begin.
        self._boxes: dict[Shape, dict[Shape, list[Box]]] = {}
        self._bytes = 0
        self._reserved: list[_Reserved] = []
        # Of each: where it starts and, negated, where it stops.
        self._corners = np.empty((0, 2 * self.ndim), np.intp)
        self._lock, self._last = threading.Lock(), threading.local()

    def regions(self) -> Iterator[Region]:
        """Divide the array as its source is."""
        return self.source.regions()

    @property
    def facts(self) -> Facts:
        """As of the source."""
        return self.source.facts

    def known_facts(self) -> Facts | None:
        """As of the source."""
        return self.source.known_facts()

    def reserve(self, regions: Sequence[Region]) -> None:
        """Keep some regions once they are read, part by part."""
        known = [each.region for each in self._reserved]
        new = [region for region in regions if region not in known]
        self._reserved += [_Reserved(r, [], math.prod(s.stop - s.start for s in r)) for r in new]
        corners = [[*(s.start for s in r), *(-s.stop for s in r)] for r in new]
        self._corners = np.append(
            self._corners, np.array(corners, np.intp).reshape(-1, 2 * self.ndim), axis=0
        )

    def keep(self, starts: Positions, shape: Shape) -> None:
        """Keep boxes of a shape, moved into what this thread has read last where they reach beyond; as many as fit."""
        last: Box | None = getattr(self._last, "read", None)
        if last is None or any(n < k for n, k in zip(last[1].shape, shape, strict=True)):
            return
        where, pixels = last
        limits = [(part.start, part.stop - k) for part, k in zip(where, shape, strict=True)]
        with self._lock:
            cells = self._boxes.setdefault(shape, defaultdict(list))
            for wanted in starts.tolist():
                start = [min(max(n, low), high) for n, (low, high) in zip(wanted, limits, strict=True)]
                region = tuple(slice(n, n + k) for n, k in zip(start, shape, strict=True))
                box = pixels[within(region, where)].copy()
                if self._bytes + box.nbytes > _MAX_BYTES:
                    return
                self._bytes += box.nbytes
                cells[tuple(n // k for n, k in zip(start, shape, strict=True))].append((region, box))

    def read(self, region: Region) -> Array:
        """Read a region; keep what is reserved of it."""
        pixels = self.source.read(region)
        self._last.read = region, pixels
        if self._reserved:
            self._take(region, pixels)
        return pixels

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Read several regions: what is kept from memory, the others from the source."""
        found = [self._find(region) for region in regions]
        rest = iter(self.source.read_many([r for r, f in zip(regions, found, strict=True) if f is None]))
        return [next(rest) if each is None else each for each in found]

    def _find(self, region: Region) -> Array | None:
        """Put a region together from what is kept; None if a part of it is not."""
        near: list[Box] = []
        for shape, cells in [*self._boxes.items()]:  # other threads may add some
            pairs = zip(region, shape, strict=True)
            axes = (range(part.start // n - 1, (part.stop - 1) // n + 1) for part, n in pairs)
            near += [box for cell in itertools.product(*axes) for box in cells.get(cell, ())]
        for where, box in near:
            if contains(where, region):
                return box[within(region, where)]
        if near and not _without(region, [where for where, _ in near]):
            return Pieces(self.shape, self.dtype, near).read(region)
        for each in self._reserved:
            if each.region == region and not each.missing:
                return Pieces(self.shape, self.dtype, each.pieces).read(region)
        return None

    def _take(self, region: Region, pixels: Array) -> None:
        """Copy what is reserved, and not there yet, out of a region that was read."""
        overlap = self._corners < [*(part.stop for part in region), *(-part.start for part in region)]
        for number in np.flatnonzero(overlap.all(axis=1)).tolist():
            with self._lock:
                self._add(self._reserved[number], region, pixels)

    @staticmethod
    def _add(reserved: _Reserved, region: Region, pixels: Array) -> None:
        """Add what a region has of it, less what is there: tiles overlap."""
        if not reserved.missing:
            return
        for part in _without(common_part(region, reserved.region), [where for where, _ in reserved.pieces]):
            reserved.pieces.append((part, pixels[within(part, region)].copy()))
            reserved.missing -= math.prod(p.stop - p.start for p in part)


def _without(region: Region, others: Sequence[Region]) -> list[Region]:
    """Divide what is left of a region without others into boxes."""
    left = [region]
    for other in others:
        left = [part for each in left for part in _difference(each, other)]
    return left


def _difference(region: Region, other: Region) -> list[Region]:
    """Divide what is left of a box without another one."""
    if any(a.stop <= b.start or b.stop <= a.start for a, b in zip(region, other, strict=True)):
        return [region]
    common, parts = common_part(region, other), []
    for axis, (a, b) in enumerate(zip(region, other, strict=True)):
        beyond = (slice(a.start, b.start), slice(b.stop, a.stop))
        parts += [(*common[:axis], each, *region[axis + 1 :]) for each in beyond if each.start < each.stop]
    return parts
