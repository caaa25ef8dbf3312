"""Filters that make templates stand out from noise and texture."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.casting import as_float
from tmatch._arrays.options import Prefilter
from tmatch._arrays.typing import Array
from tmatch._filtering.filters import correlate
from tmatch._scoring.cache import Cache
from tmatch._scoring.search import Search

_SIDE = 32  # of the parts whose spectra are averaged
_PARTS = 16  # maximum number of them along an axis
_REACH = 8  # of the filter
_MIN_NOISE = 1 / 8  # of the template's contrast: weaker details are not amplified
_STEPS = 2**12  # filtered pixels are integers up to this: precise enough, and fast to score
_MAX_EXPONENT = 400  # of the power of two above the pixels, for sums of their squares to be finite
_FINE = 1.0  # standard deviations of the two Gaussians of the band, in pixels and template sides
_COARSE = 1 / 6


def filtered(searches: Sequence[Search], how: Prefilter) -> list[Search]:
    """Filter the image and the templates of searches in the same way.

    Borders are extended symmetrically; masked and missing pixels are filled with the mean of the others. Filtered
    pixels are rounded to integers, which are scored fast and exactly.
    """
    image = _scaled([_filled(channel, searches[0].valid) for channel in searches[0].image])
    templates = [
        _scaled([_filled(t, w > 0) for t, w in zip(search.template, search.weights, strict=True)])
        for search in searches
    ]
    if how == "whiten":
        kernels = [_whitening_kernel(image, min(_contrast(channels) for channels in templates))]
    else:
        kernels = _band_kernels([min(sides) for sides in zip(*(t[0].shape for t in templates), strict=True)])
    planes, image_cache = _apply(kernels, image), Cache()
    return [
        replace(
            search,
            image=planes,
            template=_apply(kernels, channels),
            cache=Cache(),
            image_cache=image_cache,
            unfiltered=search,
        )
        for search, channels in zip(searches, templates, strict=True)
    ]


def _apply(kernels: Sequence[NDArray[np.float64]], channels: Sequence[Array]) -> list[Array]:
    """Filter channels, subtract the result of a second kernel, and round to integers."""
    results = [correlate(channel, kernels[0], border="symmetric") for channel in channels]
    for kernel in kernels[1:]:
        results = [
            r - correlate(c, kernel, border="symmetric") for r, c in zip(results, channels, strict=True)
        ]
    largest = max(float(np.abs(result).max()) for result in results) or 1.0
    return [np.rint(result * (_STEPS / largest)).astype(np.int16) for result in results]


def _filled(channel: Array, valid: NDArray[np.bool_] | None) -> Array:
    """Fill invalid pixels with the mean of the valid ones."""
    if valid is None or valid.all():
        return channel
    return np.where(valid, channel, channel[valid].mean() if valid.any() else 0)


def _scaled(channels: list[Array]) -> list[Array]:
    """Scale by a power of two if squares could overflow; filtered pixels have no scale of their own."""
    exponent = int(np.frexp(max(np.abs(channel).max() for channel in channels))[1])
    if exponent < _MAX_EXPONENT:
        return channels
    return [np.ldexp(as_float(c), -exponent).astype(np.float64, copy=False) for c in channels]


def _contrast(channels: Sequence[Array]) -> float:
    return math.sqrt(sum(float(np.var(channel)) for channel in channels) / len(channels))


def _whitening_kernel(channels: Sequence[Array], contrast: float) -> NDArray[np.float64]:
    """Compute a filter after which all frequencies are about equally strong in the image."""
    from scipy import fft  # noqa: PLC0415

    side = tuple(min(_SIDE, n) for n in channels[0].shape)
    window = _hann(side)
    axes = tuple(range(-len(side), 0))
    power, count = np.zeros((*side[:-1], side[-1] // 2 + 1)), 0
    for channel in channels:
        for parts in _parts(channel, side):
            around = parts - (parts * window).sum(axes, keepdims=True) / window.sum()
            power += (np.abs(fft.rfftn(around * window, axes=axes)) ** 2).sum(axis=0)
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


def _parts(channel: Array, side: tuple[int, ...]) -> Iterator[NDArray[np.float64]]:
    """Cut out overlapping parts, evenly spread, some at a time."""
    starts = []
    for n, k in zip(channel.shape, side, strict=True):
        count = min(_PARTS, 1 + math.ceil((n - k) / max(k // 2, 1)))
        starts.append(np.unique(np.linspace(0, n - k, count).astype(int)))
    windows = np.lib.stride_tricks.sliding_window_view(channel, side)
    for first in starts[0]:
        yield windows[np.ix_([first], *starts[1:])].reshape(-1, *side).astype(np.float64)


def _hann(shape: Sequence[int]) -> NDArray[np.float64]:
    window = np.ones(shape)
    for axis, n in enumerate(shape):
        sides = [1] * len(shape)
        sides[axis] = n
        window = window * np.hanning(n + 2)[1:-1].reshape(sides)
    result: NDArray[np.float64] = window / window.max()
    return result
