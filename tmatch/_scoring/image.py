"""An image, prepared once for any number of templates."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.casting import convert, narrowed, subtract_offset
from tmatch._arrays.channels import check_channels
from tmatch._arrays.kept import Kept
from tmatch._arrays.lazy import LazyArray, all_in, as_array, computed, facts_of, is_lazy
from tmatch._arrays.options import Missing
from tmatch._arrays.typing import Array, Shape
from tmatch._arrays.validation import check_numbers
from tmatch._scoring.cache import Cache
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.orientation import image_directions


@dataclass(frozen=True)
class PreparedImage:
    """The channels of an image, and which pixels are valid; None for all.

    Channels are gradient directions where the metric compares these; `n_channels` counts those of the array.
    """

    channels: list[Array]
    valid: Array | None
    n_channels: int
    cache: Cache = field(default_factory=Cache)

    @property
    def shape(self) -> Shape:
        """The image's shape without channels."""
        return self.channels[0].shape

    @cached_property
    def largest(self) -> Any:
        """Largest magnitude of the pixels."""
        return largest_value(self.channels)


def prepare_image(image: ArrayLike, image_mask: ArrayLike | None, options: ScoringOptions) -> PreparedImage:
    """Check an image, split it into channels and find its valid pixels."""
    channels = check_channels("image", image, options.channel_axis)
    n_channels = len(channels)
    if options.info.offset == "each":
        channels = held_by_floats(channels)
    channels = narrowed(channels, centred=options.info.offset == "each")
    valid = _valid_pixels(channels, image_mask, options.missing)
    if options.info.directions:
        channels, valid = image_directions(channels, valid, overhangs=options.output != "valid")
    return PreparedImage([*map(_kept, channels)], valid, n_channels)


def _kept(channel: Array) -> Array:
    """Let a channel that is read in parts keep what will be needed again."""
    return as_array(Kept(channel)) if isinstance(channel, LazyArray) and channel.keeps else channel


def _valid_pixels(image: list[Array], image_mask: ArrayLike | None, missing: Missing) -> Array | None:
    """Find the valid pixels of an image, None for all."""
    valid: Array | None = None
    if image_mask is not None:
        valid = check_numbers("image_mask", image_mask, "b")
        if valid.shape != image[0].shape:
            msg = f"`image_mask` has shape {valid.shape}; it must have the image's without channels: {image[0].shape}"
            raise ValueError(msg)
    if missing == "ignore" and image[0].dtype.kind == "f":
        there = computed(_are_numbers, bool, *image)
        valid = there if valid is None else computed(np.logical_and, bool, valid, there)
    return None if valid is None or all_in(valid) else valid


def _are_numbers(*channels: Array) -> Array:
    """Find the pixels that are NaN in no channel."""
    gone = np.isnan(channels[0])
    for channel in channels[1:]:
        gone |= np.isnan(channel)
    return ~gone


def find_offset(channels: list[Array]) -> int:
    """Return the minimum of 64-bit integers that float64 can hold only without it; 0 for all others."""
    if not all(c.dtype.kind in "iu" and c.dtype.itemsize == 8 for c in channels):
        return 0
    facts = [facts_of(channel) for channel in channels]
    low, high = min(each.low for each in facts), max(each.high for each in facts)
    return 0 if max(-low, high) < 2**53 or high - low >= 2**63 else low


def without_offset(channels: list[Array], offset: int) -> list[Array]:
    """Subtract what `find_offset` found; the channels themselves if that is 0."""
    return [subtract_offset(channel, offset) for channel in channels] if offset else channels


def held_by_floats(channels: list[Array]) -> list[Array]:
    """Subtract what `find_offset` finds; 64-bit integers that float64 cannot hold even so become long doubles."""
    channels = without_offset(channels, find_offset(channels))
    if any(c.dtype.kind in "iu" and c.dtype.itemsize == 8 and not _is_below(c, 2**53) for c in channels):
        return [convert(channel, np.longdouble) for channel in channels]
    return channels


def _is_below(channel: Array, limit: int) -> bool:
    facts = facts_of(channel)
    return bool(-limit < facts.low and facts.high < limit)


def largest_value(channels: list[Array]) -> Any:
    """Find the largest magnitude of all values that are no NaN, in their dtype: float64 may be too narrow."""
    if any(map(is_lazy, channels)):
        ends = [end for each in map(facts_of, channels) for end in (each.low, each.high) if end is not None]
        return max(map(abs, ends), default=0)
    with np.errstate(invalid="ignore"):
        return max(np.nanmax(np.abs(c), initial=0) for c in channels)
