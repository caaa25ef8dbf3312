"""Local maxima of arrays of any dimension."""

import functools

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array


@functools.cache
def shifts(ndim: int) -> NDArray[np.intp]:
    """Return the offset of each neighbour, in row-major order: (3**ndim - 1, ndim)."""
    offsets = np.indices((3,) * ndim).reshape(ndim, -1).T - 1
    neighbours = np.delete(offsets, len(offsets) // 2, axis=0)
    neighbours.flags.writeable = False
    return neighbours


def candidates(scores: Array, floor: float, slack: float = 0) -> tuple[NDArray[np.intp], Array, Array]:
    """Find positions, in row-major order, that reach the floor and that no neighbour exceeds by more than the slack.

    Return them, their scores, and the scores of their neighbours: minus infinity outside the array.
    """
    high = np.flatnonzero(scores >= floor)  # much faster than np.argwhere
    positions = np.stack(np.unravel_index(high, scores.shape), axis=1)
    if not len(positions):
        return positions, np.empty(0), np.empty((0, 3**scores.ndim - 1))
    padded, index, steps = _padded_line(scores, positions)
    remaining = np.arange(len(index))
    for step in steps:  # the first neighbours exclude most positions
        remaining = remaining[padded[index[remaining] + step] <= padded[index[remaining]] + slack]
    return positions[remaining], padded[index[remaining]], padded[index[remaining, None] + steps]


def _padded_line(
    scores: Array, positions: NDArray[np.intp]
) -> tuple[Array, NDArray[np.intp], NDArray[np.intp]]:
    """Return the part around some positions, padded by minus infinity and flattened.

    Return also the indices of the positions in it, and the steps to their neighbours.
    """
    first, last = np.maximum(positions.min(axis=0) - 1, 0), positions.max(axis=0) + 2
    part = scores[tuple(map(slice, first, last))]
    padded = np.full([n + 2 for n in part.shape], -np.inf, scores.dtype)
    padded[(slice(1, -1),) * part.ndim] = part
    index = np.asarray(np.ravel_multi_index(tuple((positions - first + 1).T), padded.shape))
    steps = shifts(scores.ndim) @ (np.array(padded.strides) // padded.itemsize)
    return padded.ravel(), index, steps
