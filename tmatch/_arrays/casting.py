"""Conversions between dtypes, in which no value wraps."""

import math

import numpy as np

from tmatch._arrays.typing import Array


def cast_pixels(values: Array, dtype: np.dtype[np.generic]) -> Array:
    """Convert values to a dtype; for integers they are rounded, and clipped to what it holds."""
    if dtype.kind not in "iu":
        return values.astype(dtype)
    bounds = np.iinfo(dtype)  # type: ignore[type-var]
    # The float next to the greatest integer of 64 bits would wrap.
    highest = float(bounds.max) if bounds.max < 2**53 else math.nextafter(bounds.max, 0)
    return np.clip(np.rint(values), float(bounds.min), highest).astype(dtype)


def subtract_offset(array: Array, offset: int) -> Array:
    """Subtract an offset from integers or bools without overflow, if the differences fit in int64."""
    if array.dtype.itemsize <= 2:
        return array.astype(np.int32) - np.int32(offset)
    return (array.astype(np.uint64) - np.uint64(offset % 2**64)).astype(np.int64)  # two's complement


def as_float(array: Array) -> Array:
    """Convert to float64 or wider."""
    return array.astype(np.result_type(array.dtype, np.float64), copy=False)
