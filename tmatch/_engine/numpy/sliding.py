"""Sums, maxima and minima over windows of arrays of any dimension."""

import math
from typing import Any

import numpy as np

from tmatch._arrays.finite import largest_magnitude
from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Shape


# An array is treated as one flat line: a step along an axis is a shift by the stride of that axis, and adding long
# lines is fastest. Sums that wrap from one row to the next are outside the windows.
def steps_of(shape: Shape) -> list[int]:
    """Return the distance on the line between neighbours along each axis."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def as_windows(line: Array, shape: Shape, window: Shape) -> Array:
    """View the first elements of a line as the array of all windows in an array of the given shape."""
    positions = valid_shape(shape, window)
    return np.lib.stride_tricks.as_strided(
        line, positions, [step * line.itemsize for step in steps_of(shape)]
    )


def sweep(line: Array, length: int, step: int, combine: np.ufunc) -> Array:
    """Combine `length` elements, `step` apart: windows of 1, 2, 4, ... elements, whose sizes add up to the length."""
    n_results = line.size - (length - 1) * step
    result, done = None, 0  # combines the first `done` elements
    power, size = line, 1  # combines `size` elements
    while size <= length:
        if length & size:
            shifted = power[done * step :][:n_results]
            result = shifted if result is None else combine(result, shifted)
            done += size
        power = combine(power[: -size * step], power[size * step :]) if 2 * size <= length else power
        size *= 2
    return np.asarray(result)


def sliding_sum(array: Array, shape: Shape) -> Array:
    """Sum over every window of the given shape.

    Integers are added exactly, in the smallest dtype that holds any sum. Floats are added pairwise in float64 (sums of
    1, 2, 4, ... pixels), so the error grows with the logarithm of the window size.
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
    return np.dtype(np.float64)  # reached by 64-bit integers only


def sliding(array: Array, shape: Shape, combine: np.ufunc) -> Array:
    """Combine the values of every window of the given shape, in the array's dtype."""
    line = np.ascontiguousarray(array).ravel()
    # Sums that wrap between rows may overflow, but are outside the result.
    with np.errstate(over="ignore", invalid="ignore"):
        for length, step in zip(shape, steps_of(array.shape), strict=True):
            line = sweep(line, length, step, combine)
    return as_windows(line, array.shape, shape)
