"""Ranges of values in which many windows lie, when few values decide the scale of a tile or of a template."""

from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Shape

SAMPLED_WINDOWS = 64  # that say where their values lie, fewer if they have more pixels than
_SAMPLED_PIXELS = 2**22
_NARROWER = 8  # by how much a range must be narrower than that of all values


def sample_of(marked: Array, window: Shape) -> Array:
    """Choose some of the marked windows."""
    positions = np.argwhere(marked)
    count = max(4, min(SAMPLED_WINDOWS, _SAMPLED_PIXELS // int(np.prod(window))))
    return positions[:: -(-len(positions) // count)]


def range_of_most(
    windows: Array, counted: Array | None, channels: list[Array], *, centred: bool
) -> tuple[Array, float] | None:
    """Of the ranges about each of some windows, find the one that holds most others: centres, and how far it reaches.

    Windows have an axis of channels, and count where `counted` says so, if it does. None if no range is much smaller
    than that of the whole channels, or all are of one value.
    """
    where: Any = True if counted is None else counted
    low = np.min(windows, axis=(2, 3), initial=np.inf, where=where)
    high = np.max(windows, axis=(2, 3), initial=-np.inf, where=where)
    middle = np.mean(windows, axis=(2, 3), where=where) if centred else np.zeros_like(low)
    reach = 2 * np.maximum(high - middle, middle - low).max(axis=1)
    inside = (low >= (middle - reach[:, None])[:, None]) & (high <= (middle + reach[:, None])[:, None])
    largest = max(float(c.max()) / _NARROWER - float(c.min()) / _NARROWER for c in channels)
    held = np.where((reach <= largest) & (reach > 0), inside.all(axis=2).sum(axis=1), 0)
    best = int(held.argmax())
    return (middle[best], float(reach[best])) if held[best] else None


def contain(marked: Array, window: Shape) -> Array:
    """Find the windows that contain a marked pixel."""
    counts = np.zeros([n + 1 for n in marked.shape], np.int32)
    np.cumsum(np.cumsum(marked, axis=0, out=counts[1:, 1:]), axis=1, out=counts[1:, 1:])
    height, width = window
    rows = counts[height:] - counts[:-height]
    return np.asarray(rows[:, width:] != rows[:, :-width])
