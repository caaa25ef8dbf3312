"""Channels: apart, and side by side in memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_axis, check_numbers


def interleaved(planes: Sequence[Array]) -> Array | None:
    """See planes as one array with channels last, if that is how they lie in memory."""
    first, step = planes[0], planes[0].itemsize
    here = [plane.__array_interface__["data"][0] for plane in planes]
    there = [here[0] + i * step for i in range(len(planes))]
    alike = all((plane.shape, plane.strides) == (first.shape, first.strides) for plane in planes)
    if here != there or not alike or first.strides[-1] != len(planes) * step:
        return None
    return np.lib.stride_tricks.as_strided(first, (*first.shape, len(planes)), (*first.strides, step))


def split_channels(name: str, values: ArrayLike, channel_axis: int | None) -> list[Array]:
    """Check one array and take it apart into channels."""
    array = check_numbers(name, values, finite=False)
    axis = check_axis(name, array, channel_axis)
    if array.size == 0:
        msg = f"`{name}` is empty: shape {array.shape}; it must have at least one pixel"
        raise ValueError(msg)
    channels = [array] if axis is None else list(np.moveaxis(array, axis, 0))
    if channels[0].ndim == 0:
        msg = f"`{name}` has shape {array.shape}; it must have at least one axis besides that of channels"
        raise ValueError(msg)
    return channels


def with_channel_axis(shape: tuple[int, ...], channel_axis: int, count: int) -> tuple[int, ...]:
    axis = channel_axis % (len(shape) + 1)
    return (*shape[:axis], count, *shape[axis:])
