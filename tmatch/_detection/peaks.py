"""Local maxima of a score map."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_count
from tmatch._engine.numpy.maxima import candidates, shifts

LOWEST = -float(np.finfo(np.float64).max)  # lower than any score, but not minus infinity, which is none


@own_errstate
def find_peaks(
    scores: ArrayLike,
    /,
    *,
    threshold: float | None = None,
    min_distance: int = 1,
    max_count: int | None = None,
) -> NDArray[np.intp]:
    """Find the local maxima of a score map.

    A peak is a position none of whose neighbours (diagonal ones too) is higher. A plateau of equal
    scores is one peak, at the plateau's middle. The border counts like any other position.

    Parameters
    ----------
    scores : array of real numbers, any dimension
        A score map. Minus infinity marks positions that are no peaks; NaN is refused.
    threshold : float or None
        Minimum score of a peak; None for no limit.
    min_distance : int
        Minimum distance of peaks in pixels, on the axis where they are farthest apart; of nearer ones the better is
        kept. 1 keeps all.
    max_count : int or None
        At most so many peaks, the best ones; None for no limit.

    Returns
    -------
    peaks : (N, ndim) array of intp
        Indices into `scores`, best first; equal scores in row-major order.

    Raises
    ------
    ValueError
        If `scores` is empty or holds NaN, or an option is out of range.
    TypeError
        If `scores` is masked or does not hold real numbers.

    See Also
    --------
    match_template : make a score map.
    locate : find matches, with the number of false alarms expected at their scores.

    Examples
    --------
    >>> import tmatch
    >>> tmatch.find_peaks([[0, 0, 0, 0], [0, 9, 0, 7], [0, 0, 0, 7]], threshold=1)
    array([[1, 1],
           [1, 3]])
    """
    if np.ma.isMaskedArray(scores):
        msg = "`scores` is a masked array; fill it first, for instance with `scores.filled(-np.inf)`"
        raise TypeError(msg)
    array = np.asarray(scores)
    _check(array, threshold)
    check_count("max_count", max_count, or_none=True)
    check_count("min_distance", min_distance)
    floats, floor = _as_floats(array, threshold)
    positions, tops, around = candidates(floats, floor)
    peaks = settle(positions, tops, around)
    peaks = peaks[better_near(positions[peaks], tops[peaks], min_distance) < 0]
    return positions[peaks[np.argsort(-tops[peaks], kind="stable")]][:max_count]


def _check(array: Array, threshold: float | None) -> None:
    if array.dtype.kind not in "biuf":
        msg = f"`scores` has dtype {array.dtype}; it must hold real numbers"
        raise TypeError(msg)
    if array.size == 0 or array.ndim == 0:
        msg = f"`scores` has shape {array.shape}; it must have at least one axis and one position"
        raise ValueError(msg)
    if array.dtype.kind == "f" and np.isnan(array.max()):
        msg = "`scores` holds NaN; replace it, for instance with np.nan_to_num(scores, nan=-1)"
        raise ValueError(msg)
    if threshold is not None and math.isnan(threshold):
        msg = "`threshold` is NaN; it must be a number, or None for no limit"
        raise ValueError(msg)


def _as_floats(array: Array, threshold: float | None) -> tuple[Array, float]:
    """Return floats in the order of the array's values, and the least one that reaches the threshold.

    They are the values themselves, or ranks of integers that floats lack the digits for.
    """
    floor = LOWEST if threshold is None else max(threshold, LOWEST)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        values, ranks = np.unique(array, return_inverse=True)
        rank = np.count_nonzero(values < math.ceil(floor)) if math.isfinite(floor) else len(values)
        return ranks.reshape(array.shape).astype(np.float64), float(rank)
    return array.astype(np.result_type(array.dtype, np.float64), copy=False), floor


def settle(positions: NDArray[np.intp], scores: Array, around: Array) -> NDArray[np.intp]:
    """Find the peaks among positions in row-major order: of a plateau its middle.

    All positions that no neighbour is higher than must be among them; `around` holds the scores of the neighbours.
    """
    highest: Array = np.all(around <= scores[:, None], axis=1)
    level = (around == scores[:, None]) & highest[:, None]
    flat = level.any(axis=1)
    alone = np.flatnonzero(highest & ~flat)
    if not flat.any():
        return alone
    middles = np.flatnonzero(flat)[_plateau_middles(positions[flat], level[flat])]
    return np.sort(np.concatenate([alone, middles]))


def _plateau_middles(positions: NDArray[np.intp], level: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Find one position for each plateau that no higher position touches: the one nearest to its centroid.

    `level` marks the neighbours of a position that are as high as it is.
    """
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    corner, shape = positions.min(axis=0) - 1, np.ptp(positions, axis=0) + 3
    keys = np.ravel_multi_index(tuple((positions - corner).T), tuple(shape))
    one, direction = np.nonzero(level)
    wanted = np.ravel_multi_index(
        tuple((positions[one] + shifts(positions.shape[1])[direction] - corner).T), tuple(shape)
    )
    other = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    known = keys[other] == wanted
    links = coo_array((known[known], (one[known], other[known])), shape=(len(positions),) * 2)
    count, labels = connected_components(links, directed=False)
    # A neighbour with an equal score that is not among the positions has a higher neighbour; the plateau is no peak.
    sloping = np.zeros(count, bool)
    sloping[labels[one[~known]]] = True
    middles = [np.bincount(labels, axis)[labels] / np.bincount(labels)[labels] for axis in positions.T]
    distance = np.square(positions - np.stack(middles, axis=1)).sum(axis=1).round(9)  # equal ones stay equal
    order = np.lexsort((np.arange(len(positions)), distance, labels))
    first = order[np.unique(labels[order], return_index=True)[1]]
    return np.asarray(first[~sloping[labels[first]]])


def better_near(positions: NDArray[np.intp], scores: Array, min_distance: int) -> NDArray[np.intp]:
    """Find for each peak the best one that is kept and nearer than `min_distance`; -1 where there is none.

    Peaks are kept best first, equal ones in the order given.
    """
    better = np.full(len(positions), -1, np.intp)
    if min_distance == 1:
        return better
    kept: dict[tuple[int, ...], int] = {}  # by cells that hold no two peaks that are far enough apart
    around = np.vstack([np.zeros((1, positions.shape[1]), np.intp), shifts(positions.shape[1])])
    for i in np.argsort(-scores, kind="stable").tolist():
        position = positions[i]
        cells = map(tuple, (position // min_distance + around).tolist())
        others = [kept[cell] for cell in cells if cell in kept]
        near = [j for j in others if np.abs(position - positions[j]).max() < min_distance]
        if near:
            better[i] = min(near, key=lambda j: (-scores[j], j))
        else:
            kept[tuple((position // min_distance).tolist())] = i
    return better
