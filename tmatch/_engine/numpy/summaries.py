"""Summaries of score maps, in NumPy operations. `interface.Engine` describes each function."""

import functools

import numpy as np

from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.numpy import maxima


def candidates(scores: Array, floor: float, slack: float) -> Positions:
    """Find positions that reach the floor and that no neighbour exceeds by more than the slack."""
    return maxima.candidates(scores, floor, slack)[0]


def summarise(scores: Array, norms: Array, leads: Shape, size: Shape) -> Array:
    """Summarise scores in cells: maximum, negated minimum, sum of squares, count."""
    valid = norms > 0
    valid_scores = scores if valid.all() else np.where(valid, scores, 0)
    reductions = [
        (np.maximum, valid_scores),
        (np.maximum, -valid_scores),
        (np.add, np.square(valid_scores)),
        (np.add, valid.astype(np.float32)),
    ]
    out = np.stack(
        [_reduce_cells(ufunc, values, leads, size).astype(np.float64) for ufunc, values in reductions]
    )
    np.maximum(out[:2], 0, out=out[:2])
    return out


def _reduce_cells(ufunc: np.ufunc, values: Array, leads: Shape, size: Shape) -> Array:
    """Reduce the values of each cell, many times faster than `reduceat`."""
    for axis, (lead, side) in enumerate(zip(leads, size, strict=True)):
        moved = np.moveaxis(values, axis, 0)
        lead = min(lead, len(moved))  # noqa: PLW2901
        end = lead + (len(moved) - lead) // side * side
        pieces = [moved[lead:end].reshape(-1, side, *moved.shape[1:])]
        pieces += [moved[None, a:b] for a, b in ((0, lead), (end, len(moved))) if b > a]
        reduced = [functools.reduce(ufunc, np.moveaxis(piece, 1, 0)) for piece in pieces if len(piece)]
        order = [*reduced[1:2], reduced[0], *reduced[2:]] if lead and end > lead else reduced
        values = np.moveaxis(np.concatenate(order), 0, axis)
    return values


def with_neighbours(values: Array, largest: bool) -> Array:  # noqa: FBT001
    """Return the sum or maximum of each value and its neighbours, in arrays of any dimension."""
    ufunc = np.maximum if largest else np.add
    for axis in range(1, values.ndim):
        first, last = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        combined = values.copy()
        ufunc(combined[last], values[first], out=combined[last])
        ufunc(combined[first], values[last], out=combined[first])
        values = combined
    return values
