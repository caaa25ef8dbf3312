"""Extrema of a score map that stronger ones explain: side lobes of copies."""

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array
from tmatch._detection.null.footprint import HEIGHTS
from tmatch._engine import select
from tmatch._engine.numpy.peaks import raise_to_footprint

STRONG = 2.5  # root mean squares of the scores: what is higher explains, and is explained
_SLACK = 2.5  # root mean squares by which a side lobe may be higher than expected
_LEAST_LOBE = 2.0  # root mean squares: lower ones drown
_FACTOR = 1.1  # by which they may be higher
_MINIMUM = 0.9  # by which the heights of minima are multiplied, for a peak to come before its own side lobe
_MOST = 3000  # of the strongest extrema


def explained_by_stronger(
    heights: Array, tops: NDArray[np.bool_], root: float, footprints: Array, copies: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Find the extrema that are no higher than expected beside a stronger one, and no peaks of copies.

    `heights` holds the maxima and the negated minima of cells, `tops` marks those that are local extrema, and `root` is
    the root mean square of the scores.
    """
    explained = np.zeros_like(tops)
    strong = np.argwhere(tops & (heights >= STRONG * root))
    height = heights[tuple(strong.T)] * np.where(strong[:, 0] == 1, _MINIMUM, 1.0)
    strong = strong[np.argsort(-height, kind="stable")[:_MOST]]
    is_copy = (strong[:, 0] == 0) & copies[tuple(strong[:, 1:].T)]
    limits = _LEAST_LOBE * root, _FACTOR, _SLACK * root
    found = select.choose().explained_by_stronger(
        heights, strong, footprints, np.array(HEIGHTS), limits, is_copy
    )
    explained[tuple(strong[found].T)] = True
    return explained


def footprints_of(cells: NDArray[np.intp], heights: Array, footprints: Array) -> Array:
    """Compute the highest scores expected around some peaks, of either sign."""
    expected, both = np.zeros(heights.shape[1:]), footprints.max(axis=1)
    rows: list[list[int]] = cells.tolist()
    for cell in rows:
        raise_to_footprint(expected, cell, float(heights[0][tuple(cell)]), both, np.array(HEIGHTS))
    return expected
