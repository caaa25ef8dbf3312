"""Images that go on outside themselves, read tile by tile."""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tmatch._tiles import Region

Array = NDArray[Any]

Border = Literal["constant", "edge", "reflect", "symmetric", "wrap"]


class Extended:
    """An image that goes on outside itself, read tile by tile; no whole copy of it is made."""

    def __init__(
        self, image: Array, margins: Sequence[tuple[int, int]], border: Border = "constant", fill: float = 0
    ) -> None:
        self.image, self.margins, self.border, self.fill = image, margins, border, fill
        self.shape = tuple(
            n + before + after for n, (before, after) in zip(image.shape, margins, strict=True)
        )
        self.whole = image.dtype.kind in "biu" and fill == int(fill)
        self.channels: Sequence[Extended] = [self]
        self.rows = image

    def largest(self) -> int:
        """Largest magnitude the pixels, being integers, can have."""
        return max(largest_magnitude(self.image), abs(int(self.fill)))

    def tile(self, region: Region, dtype: np.dtype[Any]) -> Array:
        """Give a tile to look at: a part of the image where that will do, or else a copy."""
        starts = [part.start - before for part, (before, _) in zip(region, self.margins, strict=True)]
        stops = [start + part.stop - part.start for start, part in zip(starts, region, strict=True)]
        inside = all(i >= 0 and j <= n for i, j, n in zip(starts, stops, self.image.shape, strict=True))
        if inside and self.image.dtype == dtype and self.image.flags.c_contiguous:
            return self.image[tuple(map(slice, starts, stops))]
        return self.read(region, dtype)

    def read(self, region: Region, dtype: np.dtype[Any]) -> Array:
        """Copy a tile."""
        starts = [part.start - before for part, (before, _) in zip(region, self.margins, strict=True)]
        shape = [part.stop - part.start for part in region]
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
        found = []
        for part, (before, _), n in zip(region, self.margins, self.image.shape, strict=True):
            place = np.arange(part.start - before, part.stop - before)
            beyond = -1 if self.border == "constant" else _inside(place, n, self.border)
            found.append(np.where((place >= 0) & (place < n), place, beyond))
        return found

    def inside(self, region: Region) -> tuple[int, int]:
        """Tell which of the places of a tile along the last axis, from one to before another, lie inside the image."""
        part, (before, _), n = region[-1], self.margins[-1], self.image.shape[-1]
        start, length = part.start - before, part.stop - part.start
        return min(max(-start, 0), length), min(max(n - start, 0), length)

    def check(self, tile: Array) -> None:
        """Refuse a tile that has values that are not finite."""
        if not is_finite(tile):
            msg = "`image` has NaN or infinite values; replace them first, for instance with np.nan_to_num"
            if np.isfinite(self.rows).all():
                msg = f"`image` or `fill_value` passes the largest {tile.dtype.name}; scale it down"
            raise ValueError(msg)

    def _parts(self, start: int, length: int, n: int) -> list[tuple[slice, slice | Array | None]]:
        """Cut a tile's axis where the image begins and ends; say what is read for each part, None for the fill."""
        first, last = min(max(-start, 0), length), min(max(n - start, 0), length)
        parts: list[tuple[slice, slice | Array | None]] = []
        for low, high in ((0, first), (last, length)):
            if low < high:
                filled = self.border == "constant"
                parts.append(
                    (
                        slice(low, high),
                        None if filled else _inside(np.arange(start + low, start + high), n, self.border),
                    )
                )
        if first < last:
            parts.append((slice(first, last), slice(start + first, start + last)))
        return parts


class Interleaved(Extended):
    """Channels that alternate in memory, read as one image with rows as much longer."""

    def __init__(self, channels: Sequence[Extended], together: Array) -> None:
        first = channels[0]
        super().__init__(first.image, first.margins, first.border, first.fill)
        self.channels, self.rows = channels, together.reshape(len(together), -1)

    def tile(self, region: Region, dtype: np.dtype[Any]) -> Array:
        """Give a tile of every channel."""
        return np.stack([channel.tile(region, dtype) for channel in self.channels], axis=-1)

    def places(self, region: Region) -> list[Array]:
        """Give the pixels that stand for the places of a tile, as `rows` hold them."""
        rows, columns = super().places(region)
        count = len(self.channels)
        each = np.where(columns >= 0, columns * count, -count)[:, None] + np.arange(count)
        return [rows, np.maximum(each, -1).ravel()]

    def inside(self, region: Region) -> tuple[int, int]:
        """Tell which of them lie inside the image."""
        first, stop = super().inside(region)
        return first * len(self.channels), stop * len(self.channels)


def interleaved(planes: Sequence[Array]) -> Array | None:
    """See planes as one array with channels last, if that is how they lie in memory."""
    first, step = planes[0], planes[0].itemsize
    here = [plane.__array_interface__["data"][0] for plane in planes]
    there = [here[0] + i * step for i in range(len(planes))]
    alike = all((plane.shape, plane.strides) == (first.shape, first.strides) for plane in planes)
    if here != there or not alike or first.strides[-1] != len(planes) * step:
        return None
    return np.lib.stride_tricks.as_strided(first, (*first.shape, len(planes)), (*first.strides, step))


def _inside(place: Array, n: int, border: Border) -> Array:
    """Give the pixel of n that stands for a place on an axis."""
    if border == "edge":
        return np.clip(place, 0, n - 1)
    if border == "wrap":
        return place % n
    period = 2 * n if border == "symmetric" else max(2 * n - 2, 1)
    there = place % period
    return np.where(there < n, there, period - (border == "symmetric") - there)


def is_finite(array: Array) -> bool:
    """Tell whether all values are finite: they are where their sum is, else their ends tell it if there are any."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):
            return True
    if array.dtype.kind == "c":
        return bool(np.isfinite(array).all())
    return bool(np.isfinite(array.max()) and np.isfinite(array.min()))


def largest_magnitude(array: Array) -> int:
    """Largest magnitude an array of integers can hold; looked up only where the dtype says nothing."""
    if array.dtype.kind == "b":
        return 1
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return int(max(-int(np.iinfo(array.dtype).min), np.iinfo(array.dtype).max))
    return max(abs(int(array.min())), abs(int(array.max())))
