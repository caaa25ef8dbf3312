"""Conversions between dtypes, in which no value wraps."""

import functools
import math
import mmap
import operator
from functools import partial
from operator import methodcaller
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tmatch._arrays.lazy import LazyArray, computed, facts_of, is_lazy
from tmatch._arrays.typing import Array

_BAND_VALUES = 2**20  # that are checked at once
# Dtypes that loops over any numbers are compiled for.
COMPILED = {np.dtype(name) for name in ("f4", "f8", "u1", "u2")}


def cast_pixels(values: Array, dtype: np.dtype[np.generic]) -> Array:
    """Convert values to a dtype; they are clipped to what it holds, and for integers rounded."""
    if dtype.kind == "f":
        limits = np.finfo(dtype)  # type: ignore[type-var]
        return np.clip(values, limits.min, limits.max).astype(dtype)
    if dtype.kind not in "iu":
        return values.astype(dtype)
    bounds = np.iinfo(dtype)  # type: ignore[type-var]
    # The float next to the greatest integer of 64 bits would wrap.
    highest = float(bounds.max) if bounds.max < 2**53 else math.nextafter(bounds.max, 0)
    return np.clip(np.rint(values), float(bounds.min), highest).astype(dtype)


def subtract_offset(array: Array, offset: int) -> Array:
    """Subtract an offset from integers or bools without overflow, if the differences fit in int64."""
    if is_lazy(array):
        dtype = np.int32 if array.dtype.itemsize <= 2 else np.int64
        return computed(partial(subtract_offset, offset=offset), dtype, array)
    if array.dtype.itemsize <= 2:
        return array.astype(np.int32) - np.int32(offset)
    return (array.astype(np.uint64) - np.uint64(offset % 2**64)).astype(np.int64)  # two's complement


def as_float(array: Array) -> Array:
    """Convert to float64 or wider."""
    return convert(array, np.result_type(array.dtype, np.float64))


def convert(array: Array, dtype: DTypeLike) -> Array:
    """Convert to a dtype; the array itself if it has it."""
    if array.dtype == dtype:
        return array
    return computed(methodcaller("astype", dtype), dtype, array)


def narrowed(channels: list[Array], *, centred: bool) -> list[Array]:
    """Convert whole numbers of a wide dtype to integers of 8 or 16 bits, whose sums are exact, if these hold them.

    An offset is subtracted where one does not matter, as the means of channels are. Return the channels themselves if
    they are narrow already, not all whole, or mapped from a file: a copy might not fit in memory.
    """
    dtype = channels[0].dtype
    if (
        dtype.kind not in "iuf"
        or (dtype.kind != "f" and dtype.itemsize <= 2)
        or any(map(is_mapped, channels))
    ):
        return channels
    # A few rows tell most images of other numbers.
    if not all(map(_may_be_whole, channels)):
        return channels
    found = _extremes_of_whole(channels)
    if found is None:
        return channels
    low, high = found
    least, most = int(low), int(high)
    for narrow in (np.uint8, np.uint16, np.int16):
        if np.iinfo(narrow).min <= least and most <= np.iinfo(narrow).max:
            return [computed(methodcaller("astype", narrow), narrow, channel) for channel in channels]
    if centred and most - least < 2**16 and max(-least, most) < 2**53:
        return [computed(partial(_less, offset=least), np.uint16, channel) for channel in channels]
    return channels


def _may_be_whole(channel: Array) -> bool:
    """Return whether a few rows, or the first region of what is read in parts, hold whole numbers."""
    if isinstance(channel, LazyArray):
        known = channel.known_facts()
        return known.whole if known else _is_whole(channel.read(next(channel.regions())))
    return _is_whole(channel[:: 1 + len(channel) // 4])


def _extremes_of_whole(channels: list[Array]) -> tuple[Any, Any] | None:
    """Find the least and the greatest of whole numbers; None if one is not whole, or not finite."""
    if any(map(is_lazy, channels)):
        facts = functools.reduce(operator.or_, map(facts_of, channels))
        is_whole = facts.whole and not facts.missing
        low, high = facts.low, facts.high
        return (low, high) if is_whole and math.isfinite(low) and math.isfinite(high) else None
    low, high = min(c.min() for c in channels), max(c.max() for c in channels)
    is_finite = math.isfinite(low) and math.isfinite(high)
    return (low, high) if is_finite and all(map(_is_whole, channels)) else None


def _less(channel: Array, offset: int) -> Array:
    if channel.dtype.kind != "f":
        return subtract_offset(channel, offset).astype(np.uint16)
    # Half precision does not hold all differences of its whole numbers.
    return np.subtract(channel, offset, dtype=np.result_type(channel.dtype, np.float32)).astype(np.uint16)


def _is_whole(values: Array) -> bool:
    if values.dtype.kind in "iu":
        return True
    rows = max(1, _BAND_VALUES * len(values) // values.size)
    bands = (values[start : start + rows] for start in range(0, len(values), rows))
    with np.errstate(invalid="ignore"):
        return all(bool((np.rint(band) == band).all()) for band in bands)


def is_mapped(values: Array) -> bool:
    """Return whether an array is mapped from a file."""
    base: object = values
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return isinstance(base, (np.memmap, mmap.mmap))


def compilable(channel: Array) -> Array:
    """Return an array with the same values in a dtype that loops are compiled for; the array itself if it has one."""
    if channel.dtype in COMPILED:
        return channel
    if channel.dtype == bool:
        return channel.view(np.uint8)
    return channel.astype(np.float32 if channel.dtype.itemsize <= 2 else np.float64)


def displayable(pixels: Array) -> Array:
    """Stretch anything but 8-bit pixels to 0..255; grey is without an axis of channels, and without alpha."""
    several = pixels.ndim == 3 and pixels.shape[2] in (1, 2, 3, 4)
    if not (several or pixels.ndim == 2) or pixels.size == 0 or pixels.dtype.kind not in "biuf":
        msg = (
            f"`image` has shape {pixels.shape} and dtype {pixels.dtype}; "
            "an image has rows, columns and real numbers, and up to 4 channels on a last axis"
        )
        raise ValueError(msg)
    if several and pixels.shape[2] < 3:
        pixels = pixels[..., 0]
    if pixels.dtype == np.uint8:
        return pixels
    real = np.nan_to_num(pixels.astype(np.float64), posinf=0, neginf=0)
    span = np.ptp(real) or 1.0
    shown: Array = ((real - real.min()) * (255 / span)).round().astype(np.uint8)
    return shown
