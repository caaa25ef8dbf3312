"""Arrays that lie in a file as they do in memory."""

import math
import mmap
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tmatch._arrays.lazy import LazyArray
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._io.blocks.array import broken_part

_RESIDENT_BYTES = 2**25  # of a file that is mapped, about


@dataclass(frozen=True)
class MappedFile:
    """An array in a file, or of a stack the image with an index; with channels first, they are moved to the end."""

    path: Path
    dtype: np.dtype[Any]
    offset: int
    shape: Shape
    order: Literal["C", "F"] = "C"
    stack: tuple[int, ...] = ()
    channels_first: bool = False

    def map(self) -> mmap.mmap:
        """Map the file."""
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def image_in(self, mapped: mmap.mmap) -> Array:
        """Return the image in a mapped file."""
        image: Array = np.ndarray(self.shape, self.dtype, mapped, self.offset, order=self.order)[self.stack]
        return np.moveaxis(image, 0, -1) if self.channels_first else image

    def check(self) -> None:
        """Refuse a file that has become too short: to read what a map lacks would end the process."""
        missing = self.offset + math.prod(self.shape) * self.dtype.itemsize - self.path.stat().st_size
        if missing > 0:
            msg = f"the file ends {missing:,} bytes too early"
            raise ValueError(msg)


class MappedArray(LazyArray):
    """An array in a file that is mapped into memory: what is read of it is not copied.

    What was read of a map counts as memory of the process until the system is told that it is not needed.
    """

    def __init__(self, name: str, file: MappedFile) -> None:
        self._file, self._map, self._lock = file, file.map(), threading.Lock()
        image = self._image = file.image_in(self._map)
        self.name, self.shape, self.dtype = name, image.shape, image.dtype.newbyteorder("=")
        self._axis = int(np.argmax(image.strides))  # the slowest
        self._stride = image.strides[self._axis]
        self._first, self._last = image.shape[self._axis], 0  # along this axis, of what may be in memory

    def read(self, region: Region) -> Array:
        """Return a view, unless values must be put in the machine's byte order, or aligned."""
        try:
            self._file.check()
        except (OSError, ValueError) as error:
            raise broken_part(self.name, "", region, self.shape, error) from error
        self._note(region[self._axis])
        pixels = self._image[region]
        return pixels if pixels.dtype == self.dtype and pixels.flags.aligned else pixels.astype(self.dtype)

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Copy several regions, as views of places far apart would bring all of these into memory later."""
        return [self.read(region).copy() for region in regions]

    def _note(self, part: slice) -> None:
        """Note what is read; if that and what was read before are far apart, forget all of it."""
        with self._lock:
            self._first, self._last = min(self._first, part.start), max(self._last, part.stop)
            if (self._last - self._first) * self._stride > _RESIDENT_BYTES:
                self._first, self._last = part.start, part.stop
                forget(self._map)

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedArray, (self.name, self._file)


def forget(mapped: mmap.mmap) -> None:
    """Let the system take the memory of a mapped file; what is needed again is read from the file."""
    if hasattr(mmap, "MADV_DONTNEED"):  # which Windows lacks
        mapped.madvise(mmap.MADV_DONTNEED)
