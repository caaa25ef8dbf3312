"""Arrays that lie in a file as they do in memory."""

import math
import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tmatch._arrays.typing import Array, Region, Shape
from tmatch._io.blocks.array import MOST_CHANNELS, BlockArray

_RUN_BYTES, _BLOCK_BYTES = 2**16, 2**20  # of a block: on its fastest axis, and in all


@dataclass(frozen=True)
class MappedFile:
    """An array in a file, or of a stack the image with an index; with channels first, they are moved to the end."""

    path: str | os.PathLike[str]
    dtype: np.dtype[Any]
    offset: int
    shape: Shape
    order: Literal["C", "F"] = "C"
    stack: tuple[int, ...] = ()
    channels_first: bool = False

    def open(self) -> Array:
        """Map the file."""
        image: Array = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)[self.stack]
        return np.moveaxis(image, 0, -1) if self.channels_first else image

    def __getitem__(self, region: Region) -> Array:
        # Mapped anew each time, as what was read of a map counts as memory of the process.
        return np.array(self.open()[region])

    def blocks(self, name: str) -> BlockArray:
        """Return what reads the array in parts; nothing of it stays in memory."""
        image = self.open()
        return sliced_blocks(name, image.shape, self.dtype, self, fastest_first=self.order == "F")


def sliced_blocks(
    name: str, shape: Shape, dtype: np.dtype[Any], array: Any, *, fastest_first: bool = False
) -> BlockArray:
    """Return an array of which any region can be read, in blocks of a good size."""
    step = -1 if fastest_first else 1
    return BlockArray(name, shape, dtype, _sides(shape[::step], dtype.itemsize)[::step], Sliced(array))


@dataclass(frozen=True)
class Sliced:
    """Loads blocks of what is indexed by slices; of a stack, from the image with an index."""

    array: Any
    stack: tuple[int, ...] = ()

    def __call__(self, _: object, region: Region) -> Array:
        return np.asarray(self.array[(*self.stack, *region)])


def _sides(shape: Shape, itemsize: int) -> list[int]:
    """Return the sides of blocks, of which the last axis is the fastest: long runs, and not many bytes in all."""
    sides: list[int] = []
    for before, n in enumerate(reversed(shape)):
        in_run = before == 0 or (before == 1 and shape[-1] <= MOST_CHANNELS)
        most = _RUN_BYTES if in_run else _BLOCK_BYTES
        sides.insert(0, min(n, max(1, most // (itemsize * math.prod(sides)))))
    return sides
