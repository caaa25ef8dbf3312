"""Arrays that lie in a file as they do in memory, read by runs of bytes.

The file is not mapped: one that becomes shorter would end the process.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tmatch._arrays.geometry import contains, within
from tmatch._arrays.lazy import LazyArray
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._io.blocks.array import MOST_CHANNELS, broken_part, log_read

_AHEAD_BYTES, _KEPT_BYTES = 2**24, 2**25  # of what is read at once, and of what is kept of that, about


@dataclass(frozen=True)
class RawFile:
    """An array in a file, or of a stack the image with an index; with channels first, they are moved to the end."""

    path: Path
    dtype: np.dtype[Any]
    offset: int
    stored_shape: Shape
    order: Literal["C", "F"] = "C"
    stack: tuple[int, ...] = ()
    channels_first: bool = False

    @cached_property
    def _axes(self) -> tuple[Shape, Shape, int]:
        """Lengths of the image's axes, bytes from one index to the next on each, and where the image begins."""
        shape, strides, step = list(self.stored_shape), [0] * len(self.stored_shape), self.dtype.itemsize
        for axis in range(len(shape))[:: 1 if self.order == "F" else -1]:
            strides[axis], step = step, step * shape[axis]
        skipped = len(self.stack)
        first = self.offset + sum(i * s for i, s in zip(self.stack, strides, strict=False))
        shape, strides = shape[skipped:], strides[skipped:]
        if self.channels_first:
            shape, strides = [*shape[1:], shape[0]], [*strides[1:], strides[0]]
        return tuple(shape), tuple(strides), first

    @property
    def shape(self) -> Shape:
        """Shape of the image."""
        return self._axes[0]

    @property
    def strides(self) -> Shape:
        """Bytes from one index to the next, on each axis."""
        return self._axes[1]

    def read(self, region: Region) -> Array:
        """Read a region, in the byte order of the machine."""
        shape, strides, first = self._axes
        order = sorted(range(len(shape)), key=lambda axis: -strides[axis])  # slowest first
        sides = [region[axis].stop - region[axis].start for axis in order]
        n_outer = len(order) - 1  # axes along which runs of bytes are counted; those after it are in each run
        while n_outer > 0 and sides[n_outer] == shape[order[n_outer]]:
            n_outer -= 1
        start = first + sum(part.start * stride for part, stride in zip(region, strides, strict=True))
        steps = [strides[axis] for axis in order[:n_outer]]
        starts = [
            start + sum(map(math.prod, zip(at, steps, strict=True))) for at in np.ndindex(*sides[:n_outer])
        ]
        data = self._runs(starts, math.prod(sides[n_outer:]) * self.dtype.itemsize)
        values = data.view(self.dtype).reshape(sides).transpose(np.argsort(order))
        return values.astype(self.dtype.newbyteorder("="), copy=False)

    def _runs(self, starts: Sequence[int], length: int) -> Array:
        """Read as many bytes from each start."""
        data = np.empty(len(starts) * length, np.uint8)
        view = memoryview(data)
        with self.path.open("rb", buffering=0) as file:
            for number, start in enumerate(starts):
                file.seek(start)
                done, end = number * length, (number + 1) * length
                while done < end:
                    count = file.readinto(view[done:end])
                    if not count:
                        msg = f"the file ends {end - done:,} bytes too early"
                        raise ValueError(msg)
                    done += count
        return data


class RawArray(LazyArray):
    """A file's array. What follows on the axis along which images are scanned is read ahead, and kept for a while."""

    def __init__(self, name: str, file: RawFile) -> None:
        self.name, self.shape, self.dtype = name, file.shape, file.dtype.newbyteorder("=")
        self._file, self._lock = file, threading.Lock()
        self._kept: list[tuple[Region, Array]] = []  # the last ones first
        places = [axis for axis, n in enumerate(self.shape) if n > MOST_CHANNELS] or [0]
        self._fastest = min(places, key=lambda axis: file.strides[axis])
        self._is_scanned_along = self._fastest == places[-1]

    def read(self, region: Region) -> Array:
        """Return a part of what is kept, or else of what is read now."""
        with self._lock:
            for where, values in self._kept:
                if contains(where, region):
                    return values[within(region, where)]
            wider = self._ahead(region)
            values = self._load(wider)
            self._kept.insert(0, (wider, values))
            while len(self._kept) > 1 and sum(each.nbytes for _, each in self._kept) > _KEPT_BYTES:
                self._kept.pop()
        return values[within(region, wider)]

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Read several regions, which may be far apart."""
        return [self._load(region) for region in regions]

    def _ahead(self, region: Region) -> Region:
        """Return a region with what is to be read at once: all channels of its pixels, and pixels beside them."""
        strides, fastest = self._file.strides, self._fastest
        parts = [
            slice(0, n) if stride < strides[fastest] else part
            for part, n, stride in zip(region, self.shape, strides, strict=True)
        ]
        if self._is_scanned_along:
            others = math.prod(p.stop - p.start for axis, p in enumerate(parts) if axis != fastest)
            stop = region[fastest].start + _AHEAD_BYTES // (max(others, 1) * self.itemsize)
            parts[fastest] = slice(
                region[fastest].start, min(max(stop, region[fastest].stop), self.shape[fastest])
            )
        return tuple(parts)

    def _load(self, region: Region) -> Array:
        """Read a region; say of errors where it is."""
        try:
            values = self._file.read(region)
        except (OSError, ValueError) as error:
            raise broken_part(self.name, "part", region, self.shape, error) from error
        log_read(self.name, "a part", region, self.shape)
        return values

    def __reduce__(self) -> tuple[Any, ...]:
        return RawArray, (self.name, self._file)
