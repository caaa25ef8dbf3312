"""Images and templates made smaller by block means."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.finite import check_finite
from tmatch._arrays.lazy import LazyArray, gather, is_lazy
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import select, threads
from tmatch._engine.posed import FitTemplate
from tmatch._engine.progress import Resources
from tmatch._engine.tiling import Tiling
from tmatch._poses.transform import filled
from tmatch._scoring.search import Search

FACTORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_NARROW = "u1", "i1", "u2", "i2"  # integers whose means and squares fit into single precision
_KEPT_FACTOR = 4  # levels that are at least so much smaller are kept as a whole
LEAST_SHARE = 0.5  # of a block that is valid
_BAND_PIXELS = 2**20  # that one thread averages at a time
_PART_PIXELS = 2**22  # of an image that is read in parts, at a time, about
_SAMPLED = 256  # pixels along an axis that a median is taken of
_EXPONENT = 10  # pixels of other types are scaled to lie below 2 to this power


def steps_down(factor: int) -> list[int]:
    """Return the factors of the levels from a coarse one to the image itself."""
    levels = [factor]
    while levels[-1] > 1:
        levels.append(levels[-1] // (3 if levels[-1] % 3 == 0 else 2))
    return levels


class ImageLevels:
    """An image and its block means; of pixels that are valid, and 0 where none is.

    Levels are made when they are needed, one from the other. A pixel at (y, x) of the level with factor k is centred
    at ``k y + (k - 1) / 2`` of the image.
    """

    def __init__(self, search: Search, workers: int | None = None) -> None:
        self.channels, self.valid, self._workers = search.image, search.valid, workers
        self.shape = search.image[0].shape
        self._bands = [*self._bands_of(self.shape[0])]
        for rows in self._bands if search.image[0].dtype.kind == "f" else ():
            known, pixels = (
                self.valid if self.valid is None else self.valid[rows],
                [c[rows] for c in self.channels],
            )
            pixels = pixels if known is None else [np.where(known, c, c.dtype.type(0)) for c in pixels]
            check_finite("image", pixels, (rows.start, 0))
        self._levels: dict[int, tuple[list[Array], Array | None]] = {}
        self._narrow = search.image[0].dtype.str[1:] in _NARROW
        self._offsets = [0.0 if self._narrow else self._middle(channel) for channel in self.channels]
        self._exponent = 0 if self._narrow else self._find_exponent()

    @property
    def variance_unit(self) -> float:
        """Variance of the image where that of a level is 1."""
        return 4.0**self._exponent

    def at(self, factor: int) -> tuple[list[Array], Array | None]:
        """Return the channels of a level, in single precision, and the share of each block that is valid."""
        if factor not in self._levels:
            finer = next((n for n in steps_down(factor)[1:2] if n >= _KEPT_FACTOR), 1)
            if finer > 1:
                self._levels[factor] = _averaged(*self.at(finer), factor // finer, self._workers)
            else:
                self._levels[factor] = self._averaged_bands(factor)
        return self._levels[factor]

    def _bands_of(self, rows: int, factor: int = 1) -> Iterator[slice]:
        """Divide rows into bands, of whole blocks: one, but for an image that is read in parts."""
        size = rows
        if is_lazy(self.channels[0]):
            size = -(-max(1, _PART_PIXELS // self.shape[1]) // factor) * factor
        for first in range(0, rows, size):
            yield slice(first, min(first + size, rows))

    def _averaged_bands(self, factor: int) -> tuple[list[Array], Array | None]:
        """Average blocks of the image."""
        select.choose(2.0 * math.prod(self.shape))  # for the whole, not for each band
        columns = slice(0, self.shape[1])
        parts = [
            _averaged(*self._source((rows, columns)), factor, self._workers)
            for rows in self._bands_of(self.shape[0], factor)
        ]
        channels = [
            np.concatenate(each) if len(each) > 1 else each[0]
            for each in zip(*(p for p, _ in parts), strict=True)
        ]
        shares = [share for _, share in parts if share is not None]
        return channels, np.concatenate(shares) if shares else None

    def spread(self, factor: int) -> list[Array]:
        """Compute the variances of the pixels within the blocks of a level."""
        parts = []
        for rows in self._bands_of(self.shape[0], factor):
            pixels, _ = self.window(1, rows.start, 0, (rows.stop - rows.start, self.shape[1]))
            short = [-n % factor for n in pixels.shape[1:]]
            padded = np.pad(pixels, [(0, 0), *((0, n) for n in short)], mode="edge")
            channels, height, width = padded.shape
            blocks = padded.reshape(channels, height // factor, factor, width // factor, factor)
            parts.append(blocks.var(axis=(2, 4)))
        return [*np.concatenate(parts, axis=1)]

    def window(self, factor: int, top: int, left: int, shape: Shape) -> tuple[Array, Array]:
        """Cut out a window in double precision, and which of its pixels are valid: empty if all are."""
        part = slice(top, top + shape[0]), slice(left, left + shape[1])
        if factor > 1:
            if (
                factor < _KEPT_FACTOR and factor not in self._levels
            ):  # a large level, of which little is needed
                inner = tuple(slice(s.start * factor, s.stop * factor) for s in part)
                channels, share = _averaged(*self._source(inner), factor, self._workers)
            else:
                kept, known_share = self.at(factor)
                channels = [channel[part] for channel in kept]
                share = None if known_share is None else known_share[part]
            pixels = np.stack(channels, dtype=np.float64)
            valid = np.zeros((0, 0), bool) if share is None else share >= LEAST_SHARE
            return pixels, valid
        known = None if self.valid is None else self.valid[part]
        channels = [c[part] for c in self.channels]
        if not self._narrow:
            channels = [self._scaled(c, offset) for c, offset in zip(channels, self._offsets, strict=True)]
        pixels = np.stack(channels, dtype=np.float64)
        if known is None or known.all():
            return pixels, np.zeros((0, 0), bool)
        pixels[:, ~known] = 0
        return pixels, known

    def _source(self, part: tuple[slice, ...]) -> tuple[list[Array], Array | None]:
        """Return a part of the image, of which blocks are averaged, and which of its pixels are valid."""
        channels, share = [c[part] for c in self.channels], None
        if self.valid is not None:
            share = self.valid[part].astype(np.float32)
        if not self._narrow:
            pairs = zip(channels, self._offsets, strict=True)
            channels = [self._scaled(channel, offset).astype(np.float32) for channel, offset in pairs]
        return channels, share

    def _scaled(self, pixels: Array, offset: float) -> Array:
        values = pixels.astype(np.float64)
        if self._narrow:
            return values
        values = np.where(np.isfinite(values), values - offset, 0)
        return np.ldexp(values, -self._exponent)

    def _middle(self, channel: Array) -> float:
        """Return the median of some pixels, which a few extreme ones do not move."""
        if self.valid is None:
            steps = [np.arange(0, n, max(1, n // _SAMPLED)) for n in channel.shape]
            held, places = gather(channel, steps)
            counted = held[np.ix_(*places)]
        else:
            counted = self._counted(channel, max(1, channel.size // _SAMPLED**2))
        return float(np.median(counted.astype(np.float64))) if counted.size else 0.0

    def _counted(self, channel: Array, step: int) -> Array:
        """Return every so many of the valid pixels, in their order."""
        parts, seen = [], 0
        for rows in self._bands:
            pixels = channel[rows][self.valid[rows]]  # type: ignore[index]  # asked for where some are not valid
            parts.append(pixels[-seen % step :: step])
            seen += len(pixels)
        return np.concatenate(parts)

    def _find_exponent(self) -> int:
        largest = 0.0
        for channel, offset in zip(self.channels, self._offsets, strict=True):
            for rows in self._bands:
                counted = channel[rows] if self.valid is None else channel[rows][self.valid[rows]]
                if counted.size:
                    ends = float(counted.max()), float(counted.min())
                    largest = max(largest, *(abs(end - offset) for end in ends))
        return int(np.frexp(largest)[1]) - _EXPONENT if largest > 0 else 0


def _averaged(
    channels: list[Array], share: Array | None, factor: int, workers: int | None
) -> tuple[list[Array], Array | None]:
    """Average blocks of channels, of the pixels that are valid; those at the end hold what there is."""
    if share is None:
        return [_means(channel, factor, workers) for channel in channels], None
    known = _means(share, factor, workers)
    least = np.maximum(known, 1e-6)
    return [_means(np.where(share > 0, c, 0) * share, factor, workers) / least for c in channels], known


def _means(channel: Array, factor: int, workers: int | None) -> Array:
    """Average blocks, also the incomplete ones at the end of both axes; bands of rows on several threads."""
    short = [-n % factor for n in channel.shape]
    if any(short):
        channel = np.pad(channel, [(0, n) for n in short], mode="edge")
    if channel.dtype.byteorder not in "=|":
        channel = channel.astype(channel.dtype.newbyteorder("="))
    rows, columns = (n // factor for n in channel.shape)
    engine, at_once = select.choose(2.0 * channel.size), max(1, _BAND_PIXELS // (columns * factor * factor))
    if rows <= at_once:
        return np.asarray(engine.block_means(channel, factor))
    means = np.empty((rows, columns), np.float32)

    def average(block: tuple[slice, ...]) -> None:
        band = block[0]
        means[band] = engine.block_means(channel[band.start * factor : band.stop * factor], factor)

    tiling = Tiling((rows,), (1,), (at_once,))
    job = threads.Job(average, tiling, 2.0 * columns * factor * factor)
    threads.run(job, resources=Resources(workers))
    return means


class FullSize(LazyArray):
    """A channel of an image that is read in parts, or which of its pixels are valid, in single precision."""

    dtype = np.dtype(np.float32)

    def __init__(self, levels: ImageLevels, channel: int | None) -> None:
        self._levels, self._channel, self.shape = levels, channel, levels.shape

    def read(self, region: Region) -> Array:
        """Read a region."""
        shape = tuple(part.stop - part.start for part in region)
        pixels, valid = self._levels.window(1, region[0].start, region[1].start, shape)
        if self._channel is not None:
            return np.asarray(pixels[self._channel].astype(np.float32))
        return valid.astype(np.float32) if valid.size else np.ones(shape, np.float32)


@dataclass(frozen=True)
class TemplateLevel:
    """A template made smaller: its channels without their means, and the weights of its pixels.

    `centre` is the middle of the template, and `radius` the distance of its corners from it, in pixels of the level.
    """

    values: Array
    weights: Array
    centre: tuple[float, float]
    even: bool  # all weights are equal
    radius: float

    def for_fit(self, *, flip: bool) -> FitTemplate:
        """Return the template for fits."""
        weights = np.zeros((0, 0, 0)) if self.even else self.weights
        return FitTemplate(self._coefficients, weights, self.centre, -1.0 if flip else 1.0, self.radius)

    @cached_property
    def _coefficients(self) -> NDArray[np.float64]:
        """Coefficients of a cubic B-spline, with a rim of two."""
        from scipy import ndimage  # noqa: PLC0415

        planes = [
            ndimage.spline_filter(plane, 3, mode="mirror") if min(plane.shape) > 1 else plane
            for plane in self.values
        ]
        return np.stack(
            [np.pad(plane, 2, mode="reflect" if min(plane.shape) > 2 else "symmetric") for plane in planes]
        )


class TemplateLevels:
    """A template and its block means."""

    def __init__(self, search: Search) -> None:
        self.shape = search.window
        weights = np.stack([np.broadcast_to(w, self.shape) for w in search.weights]).astype(np.float64)
        values = np.stack(
            [filled(t.astype(np.float64), w) for t, w in zip(search.template, weights, strict=True)]
        )
        axes = (0, 1, 2) if search.joint else (1, 2)
        totals = weights.sum(axis=axes, keepdims=True)
        values = values - (weights * values).sum(axis=axes, keepdims=True) / np.maximum(totals, 1e-300)
        largest = float(np.abs(values).max())
        self.values, self.weights = np.ldexp(values, -int(np.frexp(largest)[1])), weights
        self.even = bool((weights == weights.flat[0]).all())
        self._levels: dict[int, TemplateLevel] = {}

    def at(self, factor: int) -> TemplateLevel:
        """Return the template made smaller by a factor."""
        if factor not in self._levels:
            height, width = self.shape
            values, weights = (self.means(each, factor) for each in (self.values, self.weights))
            centre = tuple(((n - 1) / 2 - (factor - 1) / 2) / factor for n in self.shape)
            radius = float(np.hypot(height, width)) / 2 / factor
            self._levels[factor] = TemplateLevel(values, weights, (centre[0], centre[1]), self.even, radius)
        return self._levels[factor]

    def energy(self, factor: int) -> float:
        """Compute the share of the zero-mean energy that block means keep."""
        whole = float((self.weights * self.values**2).sum())
        level = self.at(factor)
        kept = level.weights * level.values**2
        return float(kept.sum()) * factor**2 / whole if whole > 0 else 0.0

    @staticmethod
    def means(values: Array, factor: int) -> Array:
        """Average whole blocks of each channel."""
        channels, height, width = values.shape
        rows, columns = height // factor, width // factor
        whole = values[:, : rows * factor, : columns * factor]
        return np.asarray(whole.reshape(channels, rows, factor, columns, factor).mean(axis=(2, 4)))
