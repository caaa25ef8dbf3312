"""Bands of values: a tile whose pixels far from the values of some windows are replaced has a smaller range."""

import math
from dataclasses import dataclass

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine.numpy.sliding import sliding

_SAMPLED_WINDOWS = 64  # doubtful windows that say where their values lie, fewer if they have more pixels than
_SAMPLED_PIXELS = 2**22
_NARROWER = 8  # by how much a band of values must be narrower than the tile's


@dataclass(frozen=True)
class Band:
    """A tile with replaced pixels, and the windows that have none of these."""

    pixels: Array
    windows: Array


@np.errstate(over="ignore", invalid="ignore")  # ranges beyond floats are no smaller than the tile's
def find_band(pixels: Array, doubtful: Array, window: Shape) -> Band | None:
    """Replace pixels far from the values of most doubtful windows; None if no range of values is much smaller."""
    positions = np.argwhere(doubtful)
    count = max(4, min(_SAMPLED_WINDOWS, _SAMPLED_PIXELS // math.prod(window)))
    positions = positions[:: -(-len(positions) // count)]
    views = np.lib.stride_tricks.sliding_window_view(pixels, window)
    windows = views[tuple(positions.T)].reshape(len(positions), -1).astype(np.float64)
    low, high, middle = windows.min(axis=1), windows.max(axis=1), windows.mean(axis=1)
    reach = 2 * np.maximum(high - middle, middle - low)
    # Of the ranges about each sampled window, take the one that holds most others.
    inside = (low >= (middle - reach)[:, None]) & (high <= (middle + reach)[:, None])
    largest = float(pixels.max()) / _NARROWER - float(pixels.min()) / _NARROWER
    held = np.where(reach <= largest, inside.sum(axis=1), 0)
    best = int(held.argmax())
    if not held[best]:
        return None
    far = np.abs(pixels - middle[best]) > reach[best]
    replaced = np.where(far, pixels.dtype.type(middle[best]), pixels)
    return Band(replaced, doubtful & ~sliding(far, window, np.logical_or))
