"""An image and a template as callers have them: where their colours are, and which pixels count."""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.channels import split_channels, without_channel_axis
from tmatch._arrays.lazy import LazyArray, Part, as_array, computed, is_lazy
from tmatch._arrays.options import ChannelAxis
from tmatch._arrays.typing import Array, Shape
from tmatch._arrays.validation import check_numbers
from tmatch._io.given import VALID_OPACITY, ImageLike, read_given, read_later, read_mask
from tmatch._io.images import opaque_pixels

_OPAQUE = 1.0  # opacity of the pixels of a template that count
_COLOURS, _WITH_ALPHA = 3, 4  # channels


class Layout(NamedTuple):
    """The axis of channels, None if there is none; and whether the last of four is alpha."""

    axis: int | None
    alpha: bool = False


@dataclass(frozen=True)
class Inputs:
    """An image and a template as arrays of one layout, and which of their pixels count."""

    image: Array
    image_mask: ArrayLike | None
    template: Array
    mask: ArrayLike | None
    channel_axis: int | None

    @classmethod
    def of(
        cls,
        image: ImageLike,
        image_mask: ImageLike | None,
        template: ImageLike,
        mask: ImageLike | None,
        channel_axis: ChannelAxis,
    ) -> "Inputs":
        """Read what a caller has passed."""
        pixels, valid = read_given("image", image, VALID_OPACITY)
        pattern, counts = read_given("template", template, _OPAQUE)
        layout = layout_of(channel_axis, pixels.shape, [pattern.shape])
        return cls(
            *image_in(layout, pixels, valid, image_mask),
            *template_in(layout, pattern, counts, mask),
            layout.axis,
        )


def layout_of(channel_axis: ChannelAxis, image: Shape, templates: Sequence[Shape]) -> Layout:
    """Find the axis of channels of an image and templates.

    "auto" takes the last of three axes if that has 2 to 4 pixels, equally many in all, or 3 in some and 4 in others:
    then, and if there are 4 in all, the fourth is alpha. Of an axis that is named it is alpha only where 3 meet 4.
    """
    shapes = [image, *templates]
    if channel_axis == "auto":
        lengths = {shape[-1] if len(shape) == 3 else 0 for shape in shapes}
        if lengths in ({2}, {_COLOURS}, {_WITH_ALPHA}, {_COLOURS, _WITH_ALPHA}):
            return Layout(2, _WITH_ALPHA in lengths)
        return Layout(None)
    if channel_axis is None:
        return Layout(None)
    if not isinstance(channel_axis, numbers.Integral):
        msg = f'`channel_axis` is {channel_axis!r}; it must be "auto", the number of an axis, or None'
        raise ValueError(msg)  # noqa: TRY004  (as an axis that is not there)
    axis = int(channel_axis)
    lengths = {shape[axis] if -len(shape) <= axis < len(shape) else 0 for shape in shapes}
    return Layout(axis, lengths == {_COLOURS, _WITH_ALPHA})


def read_template(template: ImageLike) -> tuple[Array, Array | None]:
    """Read a template, and which of its pixels count; None for all."""
    return read_given("template", template, _OPAQUE)


def image_in(
    layout: Layout, pixels: Array, valid: Array | None, image_mask: ImageLike | None
) -> tuple[Array, ArrayLike | None]:
    """Return an image without alpha, and which of its pixels are valid by alpha, its own mask and `image_mask`."""
    pixels, valid = _without_alpha(layout, pixels, valid, VALID_OPACITY)
    if valid is not None and layout.axis is not None and valid.ndim == pixels.ndim:
        valid = _in_all(valid, layout.axis)
    if image_mask is None:
        return pixels, valid
    mask = read_image_mask(image_mask, in_parts=is_lazy(pixels))
    if valid is None:
        return pixels, mask
    checked = check_numbers("image_mask", mask, "b")
    return pixels, computed(np.logical_and, bool, checked, valid) if checked.shape == valid.shape else checked


def _above_black(mask: Array) -> Array:
    return np.asarray(mask > 0)


def _in_all(valid: Array, axis: int) -> Array:
    """Find the pixels that are valid in all channels."""
    channels = split_channels(valid, axis)
    return computed(_all_of, bool, *channels) if is_lazy(valid) else np.asarray(valid.all(axis=axis))


def _all_of(*channels: Array) -> Array:
    return np.asarray(np.logical_and.reduce(channels))


def read_image_mask(given: ImageLike, *, in_parts: bool = False) -> ArrayLike:
    """Return which pixels of an image count; of grey levels all but 0."""
    given = read_later("image_mask", given) if in_parts else given
    mask = read_mask("image_mask", given, in_parts=in_parts)
    return mask if mask is given else computed(_above_black, bool, check_numbers("image_mask", mask))


def template_in(
    layout: Layout, pixels: Array, counts: Array | None, mask: ImageLike | None
) -> tuple[Array, ArrayLike | None]:
    """Return a template without alpha, and the weights of its pixels by alpha, by its own mask and by `mask`."""
    pixels, counts = _without_alpha(layout, pixels, counts, _OPAQUE)
    weights = None if mask is None else read_mask("mask", mask)
    if counts is None:
        return pixels, weights
    if weights is not None:
        checked = check_numbers("mask", weights)
        if checked.shape not in (pixels.shape, without_channel_axis(pixels.shape, layout.axis)):
            return pixels, checked  # refused later
        counts = _product(layout, counts, checked)
    if not counts.any():
        msg = "`template` has no pixel that counts; one must be opaque, not masked, and not 0 in `mask`"
        raise ValueError(msg)
    return pixels, counts


def _without_alpha(
    layout: Layout, pixels: Array, counts: Array | None, least: float
) -> tuple[Array, Array | None]:
    """Split alpha off, and let only pixels count that are so opaque."""
    axis = layout.axis
    if axis is None or not layout.alpha or pixels.shape[axis] != _WITH_ALPHA:
        return pixels, counts
    if isinstance(pixels, LazyArray):
        return _without_lazy_alpha(pixels, axis % pixels.ndim, counts, least)
    colours = (*(slice(None),) * (axis % pixels.ndim), slice(_COLOURS))
    opaque = opaque_pixels(pixels.take(_COLOURS, axis), least)
    if counts is None or opaque is None:
        return pixels[colours], opaque if counts is None else counts[colours]
    return pixels[colours], _product(layout, counts[colours], opaque)


def _without_lazy_alpha(
    pixels: LazyArray, axis: int, counts: Array | None, least: float
) -> tuple[Array, Array | None]:
    """Split alpha off an image that is read in parts."""
    region = [slice(0, n) for n in pixels.shape]
    region[axis] = slice(0, _COLOURS)
    alpha = split_channels(as_array(pixels), axis)[_COLOURS]
    opaque = opaque_pixels(alpha, least)
    if counts is not None and opaque is not None:
        opaque = computed(
            np.logical_and, bool, opaque, counts if counts.ndim == opaque.ndim else _in_all(counts, axis)
        )
    return as_array(Part(pixels, tuple(region))), opaque


def _product(layout: Layout, first: Array, second: Array) -> Array:
    """Multiply weights, with or without channels."""
    if first.ndim != second.ndim and layout.axis is not None:
        first, second = (
            a if a.ndim > b.ndim else np.expand_dims(a, layout.axis)
            for a, b in ((first, second), (second, first))
        )
    return np.asarray(first * second)
