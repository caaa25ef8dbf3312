"""A template, prepared once for any number of images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.casting import narrowed
from tmatch._arrays.channels import check_channels, split_channels, with_channel_axis
from tmatch._arrays.finite import check_finite
from tmatch._arrays.typing import Array, Shape
from tmatch._arrays.validation import check_numbers
from tmatch._results.poses import PosedShape
from tmatch._scoring.cache import Cache
from tmatch._scoring.image import held_by_floats, largest_value
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.orientation import template_directions

_ROUNDING = 1e-9  # an overlap this much below the minimum is still enough


@dataclass(frozen=True)
class PreparedTemplate:
    """The channels of a template, 0 where a pixel has no weight, and the weights of their pixels.

    Channels are gradient directions where the metric compares these; `n_channels` counts those of the array. `posed` is
    the pose that it is an exact copy in; None if none was asked for.
    """

    options: ScoringOptions
    channels: list[Array]
    weights: list[Array]
    n_channels: int
    label: str = ""
    posed: PosedShape | None = None
    cache: Cache = field(default_factory=Cache)

    @property
    def shape(self) -> Shape:
        """The template's shape without channels."""
        return self.channels[0].shape

    @property
    def joint(self) -> bool:
        """Whether all channels have one mean."""
        options = self.options
        return options.info.centred and options.channel_means == "joint" and len(self.channels) > 1

    @cached_property
    def total(self) -> float:
        """Weight of the whole template."""
        weights = self.weights
        return float(
            sum(np.count_nonzero(w) if w.dtype == bool else np.sum(w, dtype=np.float64) for w in weights)
        )

    @property
    def min_weight(self) -> float:
        """Weight that must lie on valid pixels."""
        return self.total * self.options.min_overlap * (1 - _ROUNDING)

    def counted(self) -> list[Array]:
        """Select the pixels that have weight, channel by channel."""
        pairs = zip(self.channels, self.weights, strict=True)
        return [t.ravel() if w.all() else t[w > 0] for t, w in pairs if w.any()]

    @cached_property
    def largest(self) -> Any:
        """Largest magnitude of the pixels."""
        return largest_value(self.channels)


def prepare_template(
    template: ArrayLike, mask: ArrayLike | None, options: ScoringOptions, label: str = ""
) -> PreparedTemplate:
    """Check a template and split it into channels; refuse one that could match no image."""
    info = options.info
    channels = check_channels("template", template, options.channel_axis)
    n_channels = len(channels)
    weights = _template_weights(mask, channels, options.channel_axis, options.channel_weights)
    if info.offset == "each":
        channels = held_by_floats(channels)
    channels = without_unweighted(channels, weights)
    check_finite("template", channels)
    channels = narrowed(channels, centred=info.offset == "each")
    if info.directions:
        channels, weights = template_directions(channels, weights)
    if info.normalised:
        weights = _normalise_weights(weights)
    prepared = PreparedTemplate(options, channels, weights, n_channels, label)
    check_contrast(prepared)
    return prepared


def without_unweighted(channels: list[Array], weights: list[Array]) -> list[Array]:
    """Set pixels without weight to 0."""
    pairs = zip(channels, weights, strict=True)
    return [t if w.all() else np.where(w > 0, t, t.dtype.type(0)) for t, w in pairs]


def check_contrast(template: PreparedTemplate) -> None:
    """Refuse a template that has nothing the metric could compare."""
    info = template.options.info
    if not info.normalised:
        return
    counted = template.counted()
    if info.centred:
        if template.joint:
            counted = [np.concatenate(counted)]
        if all((t == t[0]).all() for t in counted):
            where = "" if all(w.all() for w in template.weights) else " where its mask counts"
            msg = f"`template` is constant{where}: every window would fit as well; use one with some contrast"
            raise ValueError(msg)
    elif not any(t.any() for t in counted):
        what = "no gradient" if info.directions else "no pixel that is not 0"
        msg = f'`template` has {what} where its mask counts, and "{info.name}" compares nothing else; use another one'
        raise ValueError(msg)


def _template_weights(
    mask: ArrayLike | None,
    template: list[Array],
    channel_axis: int | None,
    channel_weights: Sequence[float] | None,
) -> list[Array]:
    """Return the weights of the template's pixels for each channel: bools, if all are 0 or 1."""
    count, shape = len(template), template[0].shape
    weights = [np.ones(shape, bool)] * count
    if mask is not None:
        array = check_numbers("mask", mask)
        if array.shape == shape:
            weights = [_as_bool(array)] * count
        elif channel_axis is not None and array.shape == with_channel_axis(shape, channel_axis, count):
            weights = split_channels(_as_bool(array), channel_axis)
            if all((w == weights[0]).all() for w in weights):
                weights = weights[:1] * count
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


def _normalise_weights(weights: list[Array]) -> list[Array]:
    """Scale weights by a power of two if they are far from 1; normalised scores do not change."""
    if all(w.dtype == bool for w in weights):
        return weights
    exponent = int(np.frexp(max(float(w.max()) for w in weights))[1])
    if abs(exponent) < 30:
        return weights
    near = {id(w): np.ldexp(w.astype(np.float64), -exponent) for w in weights}
    return [near[id(w)] for w in weights]
