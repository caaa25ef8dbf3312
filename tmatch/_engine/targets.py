"""Regions of results that are computed tile by tile."""

from dataclasses import dataclass, replace

import numpy as np

from tmatch._arrays.geometry import common_part, within
from tmatch._arrays.typing import Array, Region, Shape


@dataclass(frozen=True)
class Target:
    """A region of a result of some shape, and the array that takes it."""

    array: Array
    region: Region
    shape: Shape

    @property
    def real(self) -> "Target":
        """The real part."""
        return replace(self, array=self.array.real)

    @property
    def imag(self) -> "Target":
        """The imaginary part."""
        return replace(self, array=self.array.imag)

    def part(self, block: Region) -> Array:
        """Return an array for a block: a view, or a new one if the block is not all in the region."""
        if all(a.start <= b.start and b.stop <= a.stop for a, b in zip(self.region, block, strict=True)):
            return self.array[within(block, self.region)]
        return np.empty([side.stop - side.start for side in block], self.array.dtype)

    def put(self, block: Region, values: Array) -> None:
        """Keep what is in the region of a block, unless it is here already."""
        if not np.may_share_memory(values, self.array):
            common = common_part(block, self.region)
            self.array[within(common, self.region)] = values[within(common, block)]
