"""An image padded lazily, read tile by tile."""

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tmatch._arrays.finite import is_finite, largest_magnitude
from tmatch._arrays.geometry import Margins, runs_of, start_of
from tmatch._arrays.lazy import gather, is_lazy
from tmatch._arrays.options import Border
from tmatch._arrays.typing import Array, Region
from tmatch._arrays.validation import describe_not_finite


class PaddedImage:
    """An image padded lazily, read tile by tile; no whole copy of it is made."""

    def __init__(self, image: Array, margins: Margins, border: Border = "constant", fill: float = 0) -> None:
        self.image, self.margins, self.border, self.fill = image, margins, border, fill
        self.shape = tuple(
            n + before + after for n, (before, after) in zip(image.shape, margins, strict=True)
        )
        self.is_integer = image.dtype.kind in "biu" and fill == int(fill)

    def largest(self) -> int:
        """Return the largest magnitude that the pixels, if they are integers, and the fill can have."""
        return max(largest_magnitude(self.image), abs(int(self.fill)))

    def tile(self, region: Region, dtype: np.dtype[Any]) -> Array:
        """Return a tile that must not be written to: a view of the image if possible, otherwise a copy."""
        starts, shape = self._extent(region)
        stops = list(map(operator.add, starts, shape))
        inside = min(starts) >= 0 and all(map(operator.le, stops, self.image.shape))
        if inside and self.image.dtype == dtype and (is_lazy(self.image) or self.image.flags.c_contiguous):
            return self.image[tuple(map(slice, starts, stops))]
        return self.read(region, dtype)

    def read(self, region: Region, dtype: np.dtype[Any]) -> Array:
        """Copy a tile."""
        starts, shape = self._extent(region)
        tile = np.empty(shape, dtype)
        parts = [self._parts(*axis) for axis in zip(starts, shape, self.image.shape, strict=True)]
        for pieces in itertools.product(*parts):
            target, source = tuple(part for part, _ in pieces), self._pixels_of([p for _, p in pieces])
            with np.errstate(over="ignore"):  # found by `check`
                tile[target] = source
        return tile

    def _pixels_of(self, parts: Sequence[slice | Array | None]) -> Array | float:
        """Select pixels axis by axis; return the fill if they are outside on any axis."""
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return self.fill
        source = self.image
        if is_lazy(source) and all(isinstance(part, slice) for part in known):
            return source[tuple(known)]
        if is_lazy(source):
            indices = (
                part if isinstance(part, np.ndarray) else np.arange(part.start, part.stop) for part in known
            )
            source, places = gather(source, [*indices])
            return source[np.ix_(*places)]
        for axis, part in enumerate(known):
            source = source[(slice(None),) * axis + (part,)]
        return source

    def pixels(self, region: Region) -> list[Array]:
        """Return the image's pixel for each position of a tile, axis by axis; -1 for the fill."""
        starts, shape = self._extent(region)
        axes = zip(starts, shape, self.image.shape, strict=True)
        return [_inside(np.arange(start, start + length), n, self.border) for start, length, n in axes]

    def inside(self, region: Region) -> list[tuple[int, int]]:
        """Return the first position of a tile inside the image and the one after the last, on each axis."""
        return list(map(_overlap, *self._extent(region), self.image.shape))

    def loaded(self, region: Region, dtype: np.dtype[Any]) -> tuple["PaddedImage", Region]:
        """Return an image in memory that has the pixels of a tile, and where these are in it; itself if it is."""
        if not is_lazy(self.image):
            return self, region
        # Of its own dtype, for which loops may be compiled, if that holds the fill.
        native = self.image.dtype.newbyteorder("=")
        tile = self.read(region, dtype if self.fill else native)
        return PaddedImage(tile, [(0, 0)] * tile.ndim), tuple(map(slice, [0] * tile.ndim, tile.shape))

    def check(self, tile: Array, region: Region) -> None:
        """Refuse a tile that has values that are not finite."""
        if not is_finite(tile):
            msg = f"`image` or `fill_value` passes the largest {tile.dtype.name}; scale it down"
            if is_lazy(self.image):
                first = tuple(np.argwhere(~np.isfinite(tile))[0])
                pixel = [int(axis[i]) for axis, i in zip(self.pixels(region), first, strict=True)]
                if not np.isfinite(self.image[tuple(slice(i, i + 1) for i in pixel)]).all():
                    msg = describe_not_finite("image", tile, pixel)
            elif not np.isfinite(self.image).all():
                msg = describe_not_finite("image", self.image)
            raise ValueError(msg)

    def _extent(self, region: Region) -> tuple[tuple[int, ...], list[int]]:
        """Return the pixel at which a tile starts, and its shape."""
        starts = start_of([part.start for part in region], self.margins)
        return starts, [part.stop - part.start for part in region]

    def _parts(self, start: int, length: int, n: int) -> list[tuple[slice, slice | Array | None]]:
        """Split a tile's axis where the image starts and ends; pair each part with its pixels, None for the fill."""
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


def intervals_needed(start: int, length: int, n: int, border: Border) -> list[tuple[int, int]]:
    """Return the intervals of the n pixels of an axis that positions take their values from, in order and apart."""
    pixels = np.unique(_inside(np.arange(start, start + length), n, border))
    return [(run.start, run.stop) for run in runs_of(pixels[pixels >= 0])] if pixels[-1] >= 0 else []


def _overlap(start: int, length: int, n: int) -> tuple[int, int]:
    """Return the first of `length` positions that lies on an axis of n pixels, and the one after the last."""
    return min(max(-start, 0), length), min(max(n - start, 0), length)


def _inside(position: Array, n: int, border: Border) -> Array:
    """Return the pixel of n that a position on an axis takes its value from; -1 for the fill."""
    if border == "constant":
        return np.where((position >= 0) & (position < n), position, -1)
    if border == "edge":
        return np.clip(position, 0, n - 1)
    if border == "wrap":
        return position % n
    period = 2 * n if border == "symmetric" else max(2 * n - 2, 1)
    offset = position % period
    return np.where(offset < n, offset, period - (border == "symmetric") - offset)
