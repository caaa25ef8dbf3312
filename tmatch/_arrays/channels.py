"""Channels of an array: split, joined, and interleaved in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.lazy import Channel, LazyArray, as_array
from tmatch._arrays.typing import Array, Shape
from tmatch._arrays.validation import check_axis, check_numbers


def split_channels(array: Array, channel_axis: int | None) -> list[Array]:
    """Return views of the channels; the array itself if it has no axis of channels."""
    if isinstance(array, LazyArray) and channel_axis is not None:
        axis = channel_axis % array.ndim
        return [as_array(Channel(array, axis, number)) for number in range(array.shape[axis])]
    return [array] if channel_axis is None else list(np.moveaxis(array, channel_axis, 0))


def check_channels(name: str, values: ArrayLike, channel_axis: int | None) -> list[Array]:
    """Check an array that is to be scored, and split it into channels."""
    array = check_numbers(name, values, finite=False)
    axis = check_axis(name, array, channel_axis)
    if array.size == 0:
        msg = f"`{name}` is empty: shape {array.shape}; it must have at least one pixel"
        raise ValueError(msg)
    channels = split_channels(array, axis)
    if channels[0].ndim == 0:
        msg = f"`{name}` has shape {array.shape}; it must have at least one axis besides that of channels"
        raise ValueError(msg)
    return channels


def channels_last(array: Array, channel_axis: int | None) -> Array:
    """Return a view whose last axis is that of channels; the array itself if it has none."""
    return array if channel_axis is None else np.moveaxis(array, channel_axis, -1)


def with_channel_axis(shape: Shape, channel_axis: int, n_channels: int) -> Shape:
    """Insert the axis of channels into a shape."""
    axis = channel_axis % (len(shape) + 1)
    return (*shape[:axis], n_channels, *shape[axis:])


def without_channel_axis(shape: Shape, channel_axis: int | None) -> Shape:
    """Leave the axis of channels out of a shape."""
    if channel_axis is None:
        return shape
    axis = channel_axis % len(shape)
    return (*shape[:axis], *shape[axis + 1 :])


def interleaved(channels: Sequence[Array]) -> Array | None:
    """View channels as one array with channels last, if that is how they lie in memory, or are read."""
    if isinstance(channels[0], LazyArray):
        return _source_of(channels)
    first, step = channels[0], channels[0].itemsize
    addresses = [channel.__array_interface__["data"][0] for channel in channels]
    expected = [addresses[0] + i * step for i in range(len(channels))]
    alike = all((channel.shape, channel.strides) == (first.shape, first.strides) for channel in channels)
    if addresses != expected or not alike or first.strides[-1] != len(channels) * step:
        return None
    return np.lib.stride_tricks.as_strided(first, (*first.shape, len(channels)), (*first.strides, step))


def _source_of(channels: Sequence[Any]) -> Array | None:
    """Return the array of which these are all channels, if they are its last axis."""
    first = channels[0]
    if not isinstance(first, Channel) or first.axis < first.source.ndim - 1:
        return None
    whole = [Channel(first.source, first.axis, number) for number in range(first.source.shape[-1])]
    return as_array(first.source) if list(channels) == whole else None
