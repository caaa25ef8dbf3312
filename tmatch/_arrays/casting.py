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


def narrowed(channels: list[Array]) -> list[Array]:
    """Convert whole numbers of a wide dtype to integers of 8 or 16 bits, whose sums are exact, if these hold them.

    The channels themselves, if they are narrow already, or not all whole.
    """
    if channels[0].dtype.kind not in "iuf" or (channels[0].dtype.kind != "f" and channels[0].itemsize <= 2):
        return channels
    # A few rows tell most images of other numbers.
    if not all(_is_whole(channel[:: 1 + len(channel) // 4]) for channel in channels):
        return channels
    low, high = min(c.min() for c in channels), max(c.max() for c in channels)
    for dtype in (np.uint8, np.uint16, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            narrow = [channel.astype(dtype) for channel in channels]
            same = all(np.array_equal(a, b) for a, b in zip(narrow, channels, strict=True))
            return narrow if same else channels
    return channels


def _is_whole(values: Array) -> bool:
    return values.dtype.kind in "iu" or bool((np.rint(values) == values).all())
