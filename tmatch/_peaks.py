"""Peaks of a score map: its local maxima."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._borders import Array
from tmatch._match import check_count


def find_peaks(
    scores: ArrayLike,
    /,
    *,
    threshold: float | None = None,
    min_distance: int = 1,
    max_count: int | None = None,
) -> NDArray[np.intp]:
    """Find the local maxima of a score map.

    A peak is a place none of whose neighbours (diagonal ones too) is higher. A plateau of equal
    scores is one peak, at the plateau's middle. The border counts like any other place.

    Parameters
    ----------
    scores : array of real numbers, any dimension
        A score map. Minus infinity marks places that are no peaks; NaN is refused.
    threshold : float or None
        Least score of a peak; None for no limit.
    min_distance : int
        Peaks nearer than so many pixels (on the axis where they are farthest apart) to a better or equal
        one that is kept are left out. 1 leaves all.
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

    Examples
    --------
    >>> find_peaks([[0, 0, 0, 0], [0, 9, 0, 7], [0, 0, 0, 7]], threshold=1)
    array([[1, 1],
           [1, 3]])
    """
    if np.ma.isMaskedArray(scores):
        msg = "`scores` is a masked array; fill it first, for instance with `scores.filled(-np.inf)`"
        raise TypeError(msg)
    array = np.asarray(scores)
    _check(array, threshold)
    check_count("max_count", max_count)
    check_count("min_distance", min_distance)
    above = np.argwhere(array > -np.inf if threshold is None else array >= threshold)
    heights = _heights(array)
    places = _local_maxima(heights, above)
    places = places[np.argsort(-heights[tuple(places.T)], kind="stable")]
    return _spaced(places, array.shape, min_distance)[:max_count]


def _check(array: Array, threshold: float | None) -> None:
    if array.dtype.kind not in "biuf":
        msg = f"`scores` has dtype {array.dtype}; it must hold real numbers"
        raise TypeError(msg)
    if array.size == 0 or array.ndim == 0:
        msg = f"`scores` has shape {array.shape}; it must have at least one axis and one place"
        raise ValueError(msg)
    if array.dtype.kind == "f" and np.isnan(array.max()):
        msg = "`scores` holds NaN; replace it, for instance with np.nan_to_num(scores, nan=-1)"
        raise ValueError(msg)
    if threshold is not None and np.isnan(threshold):
        msg = "`threshold` is NaN; it must be a number, or None for no limit"
        raise ValueError(msg)


def _heights(array: Array) -> Array:
    """Give floats in the same order as the array's values: themselves, or ranks where floats lack the digits."""
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        return np.unique(array, return_inverse=True)[1].reshape(array.shape).astype(np.float64)
    return array.astype(np.result_type(array.dtype, np.float64), copy=False)


def _local_maxima(heights: Array, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of the chosen places those with no higher neighbour, plateaus reduced to their middle, in row-major order."""
    if not len(chosen):
        return chosen
    padded = np.pad(heights, 1, constant_values=-np.inf)
    line = padded.ravel()
    at = np.asarray(np.ravel_multi_index(tuple(chosen.T + 1), padded.shape))
    neighbours = np.indices((3,) * heights.ndim).reshape(heights.ndim, -1)
    shifts = np.asarray(np.ravel_multi_index(tuple(neighbours), padded.shape))
    shifts = np.delete(shifts - shifts[len(shifts) // 2], len(shifts) // 2)
    for shift in shifts:  # most places drop out at the first neighbours
        at = at[line[at + shift] <= line[at]]
    level = np.zeros(len(at), bool)
    for shift in shifts:
        level |= line[at + shift] == line[at]
    single, plateau = at[~level], at[level]
    if len(plateau):
        single = np.concatenate([single, _plateau_middles(line, plateau, shifts, padded.shape)])
    return np.stack(np.unravel_index(np.sort(single), padded.shape), axis=1) - 1


def _plateau_middles(line: Array, at: Array, shifts: Array, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """One place for each plateau that no higher place touches: the one nearest to its centroid."""
    from scipy.ndimage import label  # noqa: PLC0415

    marked = np.zeros(line.size, bool)
    marked[at] = True
    labels = label(marked.reshape(shape), np.ones((3,) * len(shape)))[0].ravel()[at]
    # A neighbour of equal score that is no maximum itself touches something higher: a slope's terrace.
    terrace = np.zeros(len(at), bool)
    for shift in shifts:
        terrace |= (line[at + shift] == line[at]) & ~marked[at + shift]
    sloping = np.zeros(labels.max() + 1, bool)
    sloping[labels[terrace]] = True
    places = np.stack(np.unravel_index(at, shape), axis=1)
    middles = [np.bincount(labels, axis)[labels] / np.bincount(labels)[labels] for axis in places.T]
    distance = np.square(places - np.stack(middles, axis=1)).sum(axis=1).round(9)  # equal ones stay equal
    order = np.lexsort((at, distance, labels))
    first = order[np.unique(labels[order], return_index=True)[1]]
    return np.asarray(at[first[~sloping[labels[first]]]])


def _spaced(places: NDArray[np.intp], shape: tuple[int, ...], min_distance: int) -> NDArray[np.intp]:
    """Go through the places, best first, and leave out those too near to one already taken."""
    if min_distance == 1 or not len(places):
        return places
    taken = np.zeros(shape, bool)
    reach = min(min_distance, max(shape)) - 1
    kept = []
    for i, place in enumerate(map(tuple, places)):
        if not taken[place]:
            kept.append(i)
            taken[tuple(slice(max(p - reach, 0), p + reach + 1) for p in place)] = True
    return places[kept]
