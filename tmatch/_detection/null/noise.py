"""How much of the variance of windows is noise of the image."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Shape
from tmatch._detection.null.summary import cell_shape
from tmatch._scoring.search import Search

_PIXELS = 2**13  # are enough to estimate white noise from, about
_BLOCKS = 2**7  # are enough to find quiet ones among, about
_QUIET = 0.1  # share of the blocks of an image that show its noise alone
_NORMAL_MEDIAN = 0.6745  # of the magnitude of normal noise, in standard deviations


@dataclass(frozen=True)
class NoiseLevels:
    """Variance of the noise of an image: of white noise, and of noise of any kind, which is no less."""

    white: float
    any: float


def noise_levels(search: Search, largest: float = math.inf) -> NoiseLevels:
    """Estimate the noise from a part of the pixels; that of any kind is the variance of the quietest blocks.

    Blocks are as large as the cells of a score map, with sides of `largest` pixels at most. Channels are averaged by
    the weights of the template's.
    """
    block = tuple(
        int(min(max(3, side), n, largest))
        for side, n in zip(cell_shape(search.window), search.image[0].shape, strict=True)
    )
    channels = search.image_cache.get(
        ("noise", block), lambda: [_levels(c, search.valid, block) for c in search.image]
    )
    shares = np.array([np.broadcast_to(w, search.window).sum(dtype=np.float64) for w in search.weights])
    white, quiet = shares @ np.array(channels) / shares.sum()
    return NoiseLevels(float(white), float(quiet))


def _levels(channel: Array, valid: NDArray[np.bool_] | None, block: Shape) -> tuple[float, float]:
    white = _white_noise(channel, valid)
    return white, max(white, _quiet_variance(channel, valid, block))


def _white_noise(channel: Array, valid: NDArray[np.bool_] | None) -> float:
    """Estimate the variance of white noise by second differences, as `estimate_noise` does; 0 if it is unknown."""
    axes = [axis for axis, n in enumerate(channel.shape) if n >= 3]
    if not axes:
        return 0.0
    n = channel.shape[axes[0]]
    count = min(n - 2, max(1, _PIXELS * n // channel.size))
    middles = np.unique(np.linspace(1, n - 2, count).astype(np.intp))
    parts = [np.take(channel, middles + step, axis=axes[0]).astype(np.float64) for step in (-1, 0, 1)]
    if valid is not None:
        for part, step in zip(parts, (-1, 0, 1), strict=True):
            part[~np.take(valid, middles + step, axis=axes[0])] = np.nan
    rest = parts[0] - 2 * parts[1] + parts[2]
    for axis in axes[1:]:
        rest = np.diff(rest, 2, axis=axis)
    known = np.abs(rest) if valid is None else np.abs(rest[~np.isnan(rest)])
    return float(np.median(known) / _NORMAL_MEDIAN) ** 2 / 6 ** len(axes) if known.size else 0.0


def _quiet_variance(channel: Array, valid: NDArray[np.bool_] | None, block: Shape) -> float:
    """Find the variance that one in ten blocks is below."""
    per_axis = max(1, round(_BLOCKS ** (1 / channel.ndim)))
    starts = [
        np.unique(np.linspace(0, n - side, min(per_axis, -(-2 * n // side))).astype(np.intp))
        for n, side in zip(channel.shape, block, strict=True)
    ]
    count = math.prod(block)
    blocks = _blocks_at(channel, block, starts).astype(np.float64).reshape(-1, count)
    if valid is not None:  # others may hold anything
        blocks = blocks[_blocks_at(valid, block, starts).reshape(-1, count).all(axis=1)]
    blocks -= blocks.mean(axis=1, keepdims=True)
    variances = np.vecdot(blocks, blocks) / count
    return float(np.quantile(variances, _QUIET)) * count / max(count - 1, 1) if variances.size else 0.0


def _blocks_at(values: Array, block: Shape, starts: list[NDArray[np.intp]]) -> Array:
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, block)[np.ix_(*starts)])
