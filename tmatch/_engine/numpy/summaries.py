"""Summaries of score maps, in NumPy's passes. `interface.Engine` describes each function."""

import functools

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine.numpy import maxima


def candidates(scores: Array, floor: float, slack: float) -> Array:
    """Find positions of at least the floor with no neighbour higher by more than the slack."""
    return maxima.candidates(scores, floor, slack)[0]


def summarise(scores: Array, norms: Array, leads: Shape, size: Shape) -> Array:
    """Summarise scores in cells: maximum, negated minimum, sum of squares, count."""
    there = norms > 0
    counted = scores if there.all() else np.where(there, scores, 0)
    parts = [
        (np.maximum, counted),
        (np.maximum, -counted),
        (np.add, np.square(counted)),
        (np.add, there.astype(np.float32)),
    ]
    out = np.stack([_gather(ufunc, values, leads, size).astype(np.float64) for ufunc, values in parts])
    np.maximum(out[:2], 0, out=out[:2])
    return out


def _gather(ufunc: np.ufunc, values: Array, leads: Shape, size: Shape) -> Array:
    """Reduce the values of each cell; many times faster than `reduceat`."""
    for axis, (lead, side) in enumerate(zip(leads, size, strict=True)):
        line = np.moveaxis(values, axis, 0)
        lead = min(lead, len(line))  # noqa: PLW2901
        whole = lead + (len(line) - lead) // side * side
        pieces = [line[lead:whole].reshape(-1, side, *line.shape[1:])]
        pieces += [line[None, a:b] for a, b in ((0, lead), (whole, len(line))) if b > a]
        done = [functools.reduce(ufunc, np.moveaxis(piece, 1, 0)) for piece in pieces if len(piece)]
        order = [*done[1:2], done[0], *done[2:]] if lead and whole > lead else done
        values = np.moveaxis(np.concatenate(order), 0, axis)
    return values


def with_neighbours(values: Array, largest: bool) -> Array:  # noqa: FBT001
    """Return the sum, or the maximum, of each value and its neighbours, in arrays of any dimension."""
    ufunc = np.maximum if largest else np.add
    for axis in range(1, values.ndim):
        first, last = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        around = values.copy()
        ufunc(around[last], values[first], out=around[last])
        ufunc(around[first], values[last], out=around[first])
        values = around
    return values
