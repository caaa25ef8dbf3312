"""An image padded lazily, read tile by tile."""

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tmatch._arrays.finite import is_finite, largest_magnitude
from tmatch._arrays.options import Border
from tmatch._arrays.typing import Array, Region


class PaddedImage:
    """An image that goes on outside itself, read tile by tile; no whole copy of it is made."""

    def __init__(
        self, image: Array, margins: Sequence[tuple[int, int]], border: Border = "constant", fill: float = 0
    ) -> None:
        self.image, self.margins, self.border, self.fill = image, margins, border, fill
        self.shape = tuple(
            n + before + after for n, (before, after) in zip(image.shape, margins, strict=True)
        )
        self.whole = image.dtype.kind in "biu" and fill == int(fill)

    def largest(self) -> int:
        """Largest magnitude the pixels, being integers, can have."""
        return max(largest_magnitude(self.image), abs(int(self.fill)))

    def tile(self, region: Region, dtype: np.dtype[Any]) -> Array:
        """Give a tile to look at: a part of the image where that will do, or else a copy."""
        starts, shape = self._corner(region)
        stops = list(map(operator.add, starts, shape))
        inside = min(starts) >= 0 and all(map(operator.le, stops, self.image.shape))
        if inside and self.image.dtype == dtype and self.image.flags.c_contiguous:
            return self.image[tuple(map(slice, starts, stops))]
        return self.read(region, dtype)

    def read(self, region: Region, dtype: np.dtype[Any]) -> Array:
        """Copy a tile."""
        starts, shape = self._corner(region)
        tile = np.empty(shape, dtype)
        parts = [self._parts(*axis) for axis in zip(starts, shape, self.image.shape, strict=True)]
        for pieces in itertools.product(*parts):
            source: Array | float = self.image
            for axis, (_, inside) in enumerate(pieces):
                source = (
                    self.fill if inside is None else np.asarray(source)[(slice(None),) * axis + (inside,)]
                )
                if inside is None:
                    break
            with np.errstate(over="ignore"):  # told by `check`
                tile[tuple(target for target, _ in pieces)] = source
        return tile

    def places(self, region: Region) -> list[Array]:
        """Give the pixels that stand for the places of a tile, axis by axis; -1 for the fill."""
        starts, shape = self._corner(region)
        axes = zip(starts, shape, self.image.shape, strict=True)
        return [_inside(np.arange(start, start + length), n, self.border) for start, length, n in axes]

    def inside(self, region: Region) -> list[tuple[int, int]]:
        """Tell which places of a tile, from one to before another on each axis, lie inside the image."""
        return list(map(_overlap, *self._corner(region), self.image.shape))

    def _corner(self, region: Region) -> tuple[list[int], list[int]]:
        """Give where in the image a tile begins, and its shape."""
        starts = [part.start - before for part, (before, _) in zip(region, self.margins, strict=True)]
        return starts, [part.stop - part.start for part in region]

    def check(self, tile: Array) -> None:
        """Refuse a tile that has values that are not finite."""
        if not is_finite(tile):
            msg = "`image` has NaN or infinite values; replace them first, for instance with np.nan_to_num"
            if np.isfinite(self.image).all():
                msg = f"`image` or `fill_value` passes the largest {tile.dtype.name}; scale it down"
            raise ValueError(msg)

    def _parts(self, start: int, length: int, n: int) -> list[tuple[slice, slice | Array | None]]:
        """Cut a tile's axis where the image begins and ends; say what is read for each part, None for the fill."""
        first, last = _overlap(start, length, n)
        parts: list[tuple[slice, slice | Array | None]] = []
        for low, high in ((0, first), (last, length)):
            if low < high:
                source = None
                if self.border != "constant":
                    source = _inside(np.arange(start + low, start + high), n, self.border)
                parts.append((slice(low, high), source))
        if first < last:
            parts.append((slice(first, last), slice(start + first, start + last)))
        return parts


def _overlap(start: int, length: int, n: int) -> tuple[int, int]:
    """Tell which of so many places lie on an axis of n pixels, from one to before another."""
    return min(max(-start, 0), length), min(max(n - start, 0), length)


def _inside(place: Array, n: int, border: Border) -> Array:
    """Give the pixel of n that stands for a place on an axis, which may be the same; -1 for the fill."""
    if border == "constant":
        return np.where((place >= 0) & (place < n), place, -1)
    if border == "edge":
        return np.clip(place, 0, n - 1)
    if border == "wrap":
        return place % n
    period = 2 * n if border == "symmetric" else max(2 * n - 2, 1)
    there = place % period
    return np.where(there < n, there, period - (border == "symmetric") - there)
