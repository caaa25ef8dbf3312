"""Filters that make templates stand out from noise and texture."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tmatch._arrays.casting import as_float
from tmatch._arrays.lazy import all_in, any_in, gather, is_lazy
from tmatch._arrays.options import Prefilter
from tmatch._arrays.typing import Array, Shape
from tmatch._filtering.bands import BandFilter, bands_of
from tmatch._scoring.cache import Cache
from tmatch._scoring.image import largest_value
from tmatch._scoring.search import Search

_SIDE = 32  # of the parts whose spectra are averaged
_PARTS = 16  # maximum number of them along an axis
_PART_PIXELS = 2**18  # of parts that are cut out at a time, about
_REACH = 8  # of the filter
_MIN_NOISE = 1 / 8  # of the template's contrast: weaker details are not amplified
_MAX_EXPONENT = 400  # of the power of two above the pixels, or minus that, for sums of their squares to hold
_NARROW_FLOAT = 4  # bytes of floats whose squares always hold
_FINE = 1.0  # standard deviations of the two Gaussians of the band, in pixels and template sides
_COARSE = 1 / 6


def filtered(searches: Sequence[Search], how: Prefilter, workers: int | None = None) -> list[Search]:
    """Filter the image and the templates of searches in the same way.

    Borders are extended symmetrically; masked and missing pixels are filled with the mean of the others. Filtered
    pixels are rounded to integers, which are scored fast and exactly.
    """
    image = _Source(searches[0].image, [searches[0].valid] * len(searches[0].image))
    templates = [_Source(search.template, [weight > 0 for weight in search.weights]) for search in searches]
    if how == "whiten":
        kernels = [_whitening_kernel(image, min(template.contrast for template in templates))]
    else:
        kernels = _band_kernels([min(sides) for sides in zip(*(t.shape for t in templates), strict=True)])
    by_band, image_cache = BandFilter(kernels, workers), Cache()
    planes, limit = image.filter(by_band)
    filtered_templates = [template.filter(by_band) for template in templates]
    limit = max(limit, *(template_limit for _, template_limit in filtered_templates))
    return [
        replace(
            search,
            image=planes,
            template=template,
            limit=limit,
            cache=Cache(),
            image_cache=image_cache,
            unfiltered=search,
        )
        for search, (template, _) in zip(searches, filtered_templates, strict=True)
    ]


class _Source:
    """Channels as they are filtered: filled with the mean of their valid pixels, and scaled if need be."""

    def __init__(self, channels: Sequence[Array], valid: Sequence[NDArray[np.bool_] | None]) -> None:
        self.channels, self.shape = channels, channels[0].shape
        self.valid = [None if v is None or all_in(v) else _whole(v, self.shape) for v in valid]
        self._exponent = max(map(_exponent_of, channels))
        self._fills = [
            self._mean(channel, valid) for channel, valid in zip(channels, self.valid, strict=True)
        ]

    def read(self, number: int, rows: slice) -> Array:
        """Return some rows of a channel."""
        valid = self.valid[number]
        return self.prepared(number, self.channels[number][rows], None if valid is None else valid[rows])

    def prepared(self, number: int, pixels: Array, valid: NDArray[np.bool_] | None) -> Array:
        """Return pixels of a channel, filled and scaled by a power of two if squares could overflow, or vanish."""
        pixels = self._scaled(pixels)
        return pixels if valid is None else np.where(valid, pixels, self._fills[number])

    def _scaled(self, pixels: Array) -> Array:
        if abs(self._exponent) < _MAX_EXPONENT:  # filtered pixels have no scale of their own
            return pixels
        return np.ldexp(as_float(pixels), -self._exponent).astype(np.float64, copy=False)

    def _mean(self, channel: Array, valid: NDArray[np.bool_] | None) -> float:
        """Return the mean of the valid pixels; 0 if there are none, or all are valid."""
        if valid is None or not any_in(valid):
            return 0.0
        total, count = 0.0, 0  # band by band, so that the sum is the same where the image is read in parts
        for rows in bands_of(self.shape):
            there = valid[rows]
            total += float(np.sum(self._scaled(channel[rows]), dtype=np.float64, where=there))
            count += int(np.count_nonzero(there))
        return total / count

    def filter(self, by_band: BandFilter) -> tuple[list[Array], int]:
        """Filter all channels; return their largest magnitude, too."""
        in_parts = is_lazy(self.channels[0])
        return by_band.apply(self.read, len(self.channels), self.shape, in_parts=in_parts)

    @property
    def contrast(self) -> float:
        """The standard deviation, of all channels together; of arrays as small as templates."""
        variances = [float(np.var(as_float(self.read(i, slice(None))))) for i in range(len(self.channels))]
        return math.sqrt(sum(variances) / len(variances))


def _whole(valid: NDArray[np.bool_], shape: Shape) -> NDArray[np.bool_]:
    return valid if is_lazy(valid) else np.broadcast_to(valid, shape)


def _exponent_of(channel: Array) -> int:
    """Return the exponent of the power of two above all pixels; these never need a scale: integers, narrow floats."""
    if channel.dtype.kind in "biu" or channel.dtype.itemsize <= _NARROW_FLOAT:
        return 0
    if is_lazy(channel):
        return int(np.frexp(largest_value([channel]))[1])
    largest = max(np.fmax.reduce(channel, None), -np.fmin.reduce(channel, None))  # some may be missing
    return int(np.frexp(largest)[1])


def _whitening_kernel(image: _Source, contrast: float) -> NDArray[np.float64]:
    """Compute a filter after which all frequencies are about equally strong in the image."""
    from scipy import fft  # noqa: PLC0415

    side = tuple(min(_SIDE, n) for n in image.shape)
    window = _hann(side)
    axes = tuple(range(-len(side), 0))
    power, count = np.zeros((*side[:-1], side[-1] // 2 + 1)), 0
    for number in range(len(image.channels)):
        for parts in _parts(image, number, side):
            means = parts.reshape(len(parts), -1) @ (window.ravel() / window.sum())
            parts -= means.reshape(-1, *(1 for _ in side))  # noqa: PLW2901
            parts *= window  # noqa: PLW2901
            spectra = fft.rfftn(parts, axes=axes, overwrite_x=True).view(np.float64)
            squares = np.einsum("i...,i...->...", spectra, spectra)  # of real and imaginary parts
            power += squares.reshape(*power.shape, 2).sum(axis=-1)
            count += len(parts)
    power /= count
    lowest = [
        power[tuple(int(a == axis) for a in range(power.ndim))]
        for axis in range(power.ndim)
        if side[axis] > 1
    ]
    power.flat[0] = max(lowest, default=1.0)  # the mean was subtracted
    power += (_MIN_NOISE * contrast) ** 2 * np.square(window).sum()
    response = fft.fftshift(fft.irfftn(1 / np.sqrt(np.maximum(power, 1e-30)), side))
    reach = [min(_REACH, (n - 1) // 2) for n in side]
    kernel = response[tuple(slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(side, reach, strict=True))]
    window = _hann(kernel.shape)
    kernel = kernel * window
    result: NDArray[np.float64] = kernel - window * (
        kernel.sum() / window.sum()
    )  # the filter removes the mean
    return result


def _band_kernels(side: Sequence[int]) -> list[NDArray[np.float64]]:
    """Compute two filters whose difference removes the finest details and those coarser than templates."""
    kernels = []
    for sigmas in ([_FINE] * len(side), [max(2 * _FINE, _COARSE * n) for n in side]):
        kernel = np.ones((1,) * len(side))
        for axis, sigma in enumerate(sigmas):
            reach = math.ceil(3 * sigma)
            line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
            kernel = kernel * np.expand_dims(
                line / line.sum(), tuple(a for a in range(len(side)) if a != axis)
            )
        kernels.append(kernel)
    return kernels


def _parts(image: _Source, number: int, side: tuple[int, ...]) -> Iterator[NDArray[np.float64]]:
    """Cut out overlapping parts of a channel, evenly spread, some at a time."""
    starts = []
    for n, k in zip(image.shape, side, strict=True):
        count = min(_PARTS, 1 + math.ceil((n - k) / max(k // 2, 1)))
        starts.append(np.unique(np.linspace(0, n - k, count).astype(int)))
    valid = image.valid[number]
    step = max(1, _PART_PIXELS // (math.prod(map(len, starts[1:])) * math.prod(side)))
    for first in range(0, len(starts[0]), step):
        at = [starts[0][first : first + step], *starts[1:]]
        pixels = _cut(image.channels[number], at, side)
        known = None if valid is None else _cut(valid, at, side)
        yield image.prepared(number, pixels, known).reshape(-1, *side).astype(np.float64)


def _cut(array: Array, starts: Sequence[Array], side: tuple[int, ...]) -> Array:
    """Cut parts of an array out, at all combinations of starts on each axis."""
    indices = [(each[:, None] + np.arange(n)).ravel() for each, n in zip(starts, side, strict=True)]
    held, places = gather(array, indices)
    at = [starts, [each[::n] for each, n in zip(places, side, strict=True)]][held is not array]
    return np.asarray(sliding_window_view(held, side)[np.ix_(*at)])


def _hann(shape: Sequence[int]) -> NDArray[np.float64]:
    window = np.ones(shape)
    for axis, n in enumerate(shape):
        sides = [1] * len(shape)
        sides[axis] = n
        window = window * np.hanning(n + 2)[1:-1].reshape(sides)
    result: NDArray[np.float64] = window / window.max()
    return result
