"""Extrema of a score map that stronger ones explain: side lobes of copies."""

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array
from tmatch._detection.null.footprint import HEIGHTS
from tmatch._detection.null.summary import columns_of
from tmatch._engine import select

STRONG = 2.5  # root mean squares of the scores: what is higher explains, and is explained
_SLACK = 2.5  # root mean squares by which a side lobe may be higher than expected
_LEAST_LOBE = 2.0  # root mean squares: lower ones drown
_FACTOR = 1.1  # by which they may be higher
_MINIMUM = 0.9  # by which the heights of minima are multiplied, for a peak to come before its own side lobe
_MOST = 3000  # of the strongest extrema
_HEIGHTS = np.array(HEIGHTS)


def explained_by_stronger(
    heights: Array, tops: NDArray[np.bool_], root: float, footprints: Array, copies: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Find the extrema that are no higher than expected beside a stronger one, and no peaks of copies.

    `heights` holds the maxima and the negated minima of cells, `tops` marks those that are local extrema, and `root` is
    the root mean square of the scores.
    """
    explained = np.zeros(heights.size, bool)
    strong = np.flatnonzero(tops & (heights >= STRONG * root))
    n_cells = copies.size
    is_minimum = strong >= n_cells
    height = heights.ravel()[strong] * np.where(is_minimum, _MINIMUM, 1.0)
    order = np.argsort(-height, kind="stable")[:_MOST]
    strong, is_minimum = strong[order], is_minimum[order]
    is_copy = ~is_minimum & copies.ravel()[strong % n_cells]
    limits = _LEAST_LOBE * root, _FACTOR, _SLACK * root
    found = select.choose().explained_by_stronger(
        heights, columns_of(strong, heights.shape), footprints, _HEIGHTS, limits, is_copy
    )
    explained[strong[found]] = True
    return explained.reshape(heights.shape)


def footprints_of(cells: NDArray[np.intp], heights: Array, footprints: Array) -> Array:
    """Compute the highest scores expected around the peaks of some cells, of either sign."""
    both = np.maximum(footprints[:, 0], footprints[:, 1])
    return select.choose().expected_beside(heights[0], cells, both, _HEIGHTS)
