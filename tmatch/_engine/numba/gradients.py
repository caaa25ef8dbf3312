"""Directions of gradients. Compiled."""

from typing import Any

import numpy as np

from tmatch._arrays.casting import compilable
from tmatch._arrays.typing import Array
from tmatch._engine.numba.compiler import compiled, inline


def unit_gradient(channel: Array) -> Array:
    """Compute the unit vectors along the gradient of a two-dimensional channel."""
    out = np.zeros((2, *channel.shape))
    _unit_gradient(np.ascontiguousarray(compilable(channel)), out[0], out[1])
    return out


@compiled
def _unit_gradient(channel: Array, down: Array, across: Array) -> None:
    rows, columns = channel.shape
    for y in range(rows):
        row, vertical, horizontal = channel[y], down[y], across[y]
        if 0 < y < rows - 1:
            above, below = channel[y - 1], channel[y + 1]
            for x in range(columns):
                vertical[x] = np.float64(below[x]) / 2 - np.float64(above[x]) / 2
        for x in range(1, columns - 1):
            horizontal[x] = np.float64(row[x + 1]) / 2 - np.float64(row[x - 1]) / 2
        for x in range(columns):
            vertical[x], horizontal[x] = _unit(vertical[x], horizontal[x])


@inline
def _unit(a: Any, b: Any) -> tuple[Any, Any]:
    """Scale a vector to a length of 1, unless it is 0; before, near 1, so that no square is too small or too large."""
    lift = 2.0**200 if max(abs(a), abs(b)) < 1e-200 else 1.0  # the inverse of smaller numbers is infinite
    a, b = a * lift, b * lift
    largest = max(abs(a), abs(b))
    factor = 1 / largest if largest > 0 else 0.0
    a, b = a * factor, b * factor
    length = np.sqrt(a * a + b * b)
    scale = 1 / length if length > 0 else 0.0
    return a * scale, b * scale
