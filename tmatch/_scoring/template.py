"""The template's weights and contrast."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.channels import with_channel_axis
from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_numbers


def template_weights(
    mask: ArrayLike | None,
    template: list[Array],
    channel_axis: int | None,
    channel_weights: Sequence[float] | None,
) -> list[Array]:
    """Give the weights of the template's pixels for each channel: bools, if all are 0 or 1."""
    count, shape = len(template), template[0].shape
    weights = [np.ones(shape, bool)] * count
    if mask is not None:
        array = check_numbers("mask", mask)
        if array.shape == shape:
            weights = [_as_bool(array)] * count
        elif channel_axis is not None and array.shape == with_channel_axis(shape, channel_axis, count):
            array = np.moveaxis(_as_bool(array), channel_axis, 0)
            weights = [array[0]] * count if (array == array[:1]).all() else list(array)
        else:
            msg = f"`mask` has shape {array.shape}; it must have the template's: {shape}, with or without channels"
            raise ValueError(msg)
        if array.min() < 0 or not array.any():
            msg = "`mask` has negative weights, or none above 0; it must say how much each pixel counts"
            raise ValueError(msg)
    if channel_weights is None:
        return weights
    factors = check_numbers("channel_weights", channel_weights)
    if channel_axis is None or factors.shape != (count,) or factors.min() < 0 or not factors.any():
        msg = (
            f"`channel_weights` is {channel_weights}; with channel_axis it must be {count} numbers, one for each "
            "channel, none below 0 and one above"
        )
        raise ValueError(msg)
    return weights if (factors == 1).all() else [w * float(f) for w, f in zip(weights, factors, strict=True)]


def _as_bool(weights: Array) -> Array:
    return weights.astype(bool) if ((weights == 0) | (weights == 1)).all() else weights.astype(np.float64)
