"""Sums, maxima and minima over windows of arrays of any dimension."""

import math
from typing import Any

import numpy as np

from tmatch._arrays.finite import largest_magnitude
from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Shape


# An array is worked on as one long line: a step along an axis is a shift by that axis's step, and whole lines are
# added fastest. What wraps from one row to the next falls outside the windows.
def steps_of(shape: Shape) -> list[int]:
    """Distance on the line between neighbours along each axis."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def as_windows(line: Array, shape: Shape, window: Shape) -> Array:
    """See the line's first elements as the array of all windows inside an array of the given shape."""
    places = valid_shape(shape, window)
    return np.lib.stride_tricks.as_strided(line, places, [step * line.itemsize for step in steps_of(shape)])


def sweep(line: Array, length: int, step: int, combine: np.ufunc) -> Array:
    """Combine so many elements, `step` apart: windows of 1, 2, 4, ... first, then those that make up the length."""
    reach = line.size - (length - 1) * step
    result, done = None, 0  # of the `done` first elements
    power, size = line, 1  # of `size` elements each
    while size <= length:
        if length & size:
            later = power[done * step :][:reach]
            result = later if result is None else combine(result, later)
            done += size
        power = combine(power[: -size * step], power[size * step :]) if 2 * size <= length else power
        size *= 2
    return np.asarray(result)


def sliding_sum(array: Array, shape: Shape) -> Array:
    """Sum over every window of the given shape.

    Integers are added as integers, in the narrowest type that holds any sum, so they are exact. Floats are added in
    float64 pairwise (sums of 1, 2, 4, ... pixels), so the error grows with the logarithm of the window.
    """
    return sliding(array.astype(_sum_dtype(array, math.prod(shape)), copy=False), shape, np.add)


def sliding_max(array: Array, shape: Shape) -> Array:
    """Find the maximum of every window of the given shape."""
    return sliding(array, shape, np.maximum)


def sliding_min(array: Array, shape: Shape) -> Array:
    """Find the minimum of every window of the given shape."""
    return sliding(array, shape, np.minimum)


def _sum_dtype(array: Array, count: int) -> np.dtype[Any]:
    if array.dtype.kind == "c":
        return np.dtype(np.complex128)
    if array.dtype.kind == "f" or array.size == 0:
        return np.dtype(np.float64)
    bound = largest_magnitude(array) * count
    for dtype in (np.int32, np.int64):
        if bound <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.float64)  # only 64-bit integers can come here


def sliding(array: Array, shape: Shape, combine: np.ufunc) -> Array:
    """Combine the values of every window of the given shape, in the array's own type."""
    line = np.ascontiguousarray(array).ravel()
    with np.errstate(over="ignore", invalid="ignore"):  # of sums across rows, which lie outside the result
        for length, step in zip(shape, steps_of(array.shape), strict=True):
            line = sweep(line, length, step, combine)
    return as_windows(line, array.shape, shape)
