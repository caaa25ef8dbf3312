"""Local maxima of arrays."""

import functools

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array


@functools.cache
def shifts(ndim: int) -> NDArray[np.intp]:
    """Give the way to each neighbour, in row-major order: (3**ndim - 1, ndim)."""
    around = np.indices((3,) * ndim).reshape(ndim, -1).T - 1
    others = np.delete(around, len(around) // 2, axis=0)
    others.flags.writeable = False
    return others


def candidates(scores: Array, floor: float, slack: float = 0) -> tuple[NDArray[np.intp], Array, Array]:
    """Find places of at least the floor with no neighbour higher by more than the slack, in row-major order.

    Give them with their scores, and those of their neighbours; minus infinity outside.
    """
    high = np.flatnonzero(scores >= floor)  # much faster than np.argwhere
    places = np.stack(np.unravel_index(high, scores.shape), axis=1)
    if not len(places):
        return places, np.empty(0), np.empty((0, 3**scores.ndim - 1))
    line, at, steps = _line(scores, places)
    left = np.arange(len(at))
    for step in steps:  # most places drop out at the first neighbours
        left = left[line[at[left] + step] <= line[at[left]] + slack]
    return places[left], line[at[left]], line[at[left, None] + steps]


def _line(scores: Array, places: NDArray[np.intp]) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """Give what is around places, with a rim of minus infinity, as one line; places and ways to neighbours on it."""
    first, last = np.maximum(places.min(axis=0) - 1, 0), places.max(axis=0) + 2
    part = scores[tuple(map(slice, first, last))]
    padded = np.full([n + 2 for n in part.shape], -np.inf, scores.dtype)
    padded[(slice(1, -1),) * part.ndim] = part
    at = np.asarray(np.ravel_multi_index(tuple((places - first + 1).T), padded.shape))
    steps = shifts(scores.ndim) @ (np.array(padded.strides) // padded.itemsize)
    return padded.ravel(), at, steps
