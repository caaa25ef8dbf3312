"""How much of the variance of windows is noise of the image."""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.kept import Kept, Probe
from tmatch._arrays.lazy import as_array, as_lazy, gather, is_lazy
from tmatch._arrays.quantiles import median, quantile
from tmatch._arrays.typing import Array, Shape
from tmatch._detection.null.summary import cell_shape
from tmatch._engine import select
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
    block = _block_of(search, largest)
    levels = search.image_cache.get(
        ("noise", block), lambda: [_levels(channel, search.valid, block) for channel in search.image]
    )
    if len(levels) == 1:
        return levels[0]
    shares = np.array([np.broadcast_to(w, search.window).sum(dtype=np.float64) for w in search.weights])
    white, quiet = shares @ np.array([(each.white, each.any) for each in levels]) / shares.sum()
    return NoiseLevels(float(white), float(quiet))


def reserve_for_noise(search: Search) -> None:
    """Let an image that is read in parts keep what its noise will be estimated from."""
    for channel in search.image:
        if isinstance(channel, Kept):
            probe = Probe(channel.shape, channel.dtype)
            _levels(as_array(probe), None, _block_of(search))
            channel.reserve(probe.asked)


def _block_of(search: Search, largest: float = math.inf) -> Shape:
    return tuple(
        int(min(max(3, side), n, largest))
        for side, n in zip(cell_shape(search.window), search.image[0].shape, strict=True)
    )


def _levels(channel: Array, valid: NDArray[np.bool_] | None, block: Shape) -> NoiseLevels:
    white = _white_noise(channel, valid)
    return NoiseLevels(white, max(white, _quiet_variance(channel, valid, block)))


def _white_noise(channel: Array, valid: NDArray[np.bool_] | None) -> float:
    """Estimate the variance of white noise by second differences, as `estimate_noise` does; 0 if it is unknown."""
    axes = [axis for axis, n in enumerate(channel.shape) if n >= 3]
    if not axes:
        return 0.0
    n = channel.shape[axes[0]]
    middles = _spread(1, n - 2, min(n - 2, max(1, _PIXELS * n // channel.size)))
    rows = [np.arange(n) for n in channel.shape]
    rows[axes[0]] = (middles[:, None] + np.arange(-1, 2)).ravel()
    channel, valid, places = _gathered(channel, valid, rows)
    known = select.choose().second_differences(channel, valid, places[axes[0]][1::3])
    return (median(known) / _NORMAL_MEDIAN) ** 2 / 6 ** len(axes) if known.size else 0.0


def _quiet_variance(channel: Array, valid: NDArray[np.bool_] | None, block: Shape) -> float:
    """Find the variance that one in ten blocks is below."""
    per_axis = max(1, round(_BLOCKS ** (1 / channel.ndim)))
    starts = tuple(
        _spread(0, n - side, min(per_axis, -(-2 * n // side)))
        for n, side in zip(channel.shape, block, strict=True)
    )
    count = math.prod(block)
    pixels = [(each[:, None] + np.arange(side)).ravel() for each, side in zip(starts, block, strict=True)]
    channel, valid, places = _gathered(channel, valid, pixels)
    starts = tuple(each[::side] for each, side in zip(places, block, strict=True))
    variances = select.choose().block_variances(channel, valid, block, starts)
    return quantile(variances, _QUIET) * count / max(count - 1, 1) if variances.size else 0.0


def _gathered(
    channel: Array, valid: NDArray[np.bool_] | None, indices: list[Array]
) -> tuple[Array, NDArray[np.bool_] | None, list[Array]]:
    """Return what holds some pixels of a channel in memory, which of them are valid, and where they are in it."""
    pixels, places = gather(channel, indices)
    if valid is None or (pixels is channel and not is_lazy(valid)):
        return pixels, valid, places
    return pixels, np.asarray(gather(as_lazy(valid), indices)[0]), places


@functools.lru_cache(maxsize=64)
def _spread(first: int, last: int, count: int) -> NDArray[np.intp]:
    """Spread so many indices evenly; equal ones count once."""
    return np.unique(np.linspace(first, last, count).astype(np.intp))
