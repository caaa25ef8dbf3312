"""Directions of gradients, in NumPy operations, in any dimension."""

import numpy as np

from tmatch._arrays.casting import as_float
from tmatch._arrays.typing import Array


def unit_gradient(channel: Array) -> Array:
    """Compute the unit vectors along the gradient of a channel."""
    values = as_float(channel)
    parts = np.zeros((values.ndim, *values.shape), values.dtype)
    for axis, n in enumerate(values.shape):
        inside = [slice(None)] * values.ndim
        later, before = list(inside), list(inside)
        inside[axis], later[axis], before[axis] = slice(1, -1), slice(2, None), slice(None, -2)
        if n > 2:
            parts[axis][tuple(inside)] = values[tuple(later)] / 2 - values[tuple(before)] / 2
    largest = np.abs(parts).max(axis=0)
    largest[largest == 0] = 1
    parts /= largest  # so that no square is too small or too large
    length = np.sqrt(np.square(parts).sum(axis=0))
    length[length == 0] = 1
    parts /= length
    return parts.astype(np.float64, copy=False)
