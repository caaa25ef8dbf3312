"""A search: a prepared image and a prepared template, paired."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from tmatch._arrays.casting import as_float
from tmatch._arrays.finite import check_finite
from tmatch._arrays.geometry import Margins, output_margins, position_of, start_of, valid_shape
from tmatch._arrays.lazy import computed
from tmatch._arrays.options import Output
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._results.boxes import Box
from tmatch._results.poses import PosedShape
from tmatch._scoring.cache import Cache
from tmatch._scoring.image import PreparedImage, find_offset, largest_value, without_offset
from tmatch._scoring.metrics import MetricInfo
from tmatch._scoring.template import PreparedTemplate, check_contrast, without_unweighted

PASSES = 100  # approximate cost of the scores of a tile, in passes over it
_MAX_EXPONENT_DIFFERENCE = 980  # powers of two; sums of squares of so different scales fit into float64
_MAX_COLOURS = 4  # with alpha
_NARROW_FLOAT = 4  # bytes of floats whose squares always fit into float64
_MAX_EXPONENT = 200  # powers of two of pixels whose squares and their products fit into float64
TRUSTED_SINGLE = 8e-5  # scores in single precision that may have a larger error are computed in double
_EPS_SINGLE = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Search:
    """A template and the image that it is sought in.

    Parameters
    ----------
    label : str
        The template's label.
    metric : MetricInfo
        The metric.
    image, valid
        The image's channels, and which of its pixels are valid; None for all.
    template, weights
        The template's channels, and the weights of their pixels.
    margins : list of (int, int)
        By how much windows reach beyond the image, where no pixel is valid.
    total, min_weight : float
        Weight of the whole template, and how much of it must lie on valid pixels.
    joint : bool
        All channels have one mean.
    single : bool
        Products may be done in single precision where that is good enough.
    cache : Cache
        What was made of the template alone.
    image_cache : Cache
        What was made of the image alone.
    unfiltered : Search or None
        The search before image and template were filtered; None if they were not.
    posed : PosedShape or None
        The pose of which the template is an exact copy; None if none was asked for.
    limit : int or None
        The largest magnitude of the pixels, of filtered ones; None if only their dtype is known.
    """

    label: str
    metric: MetricInfo
    image: list[Array]
    valid: Array | None
    template: list[Array]
    weights: list[Array]
    margins: Margins
    total: float
    min_weight: float
    joint: bool
    single: bool
    cache: Cache
    image_cache: Cache
    unfiltered: "Search | None" = None
    posed: PosedShape | None = None
    limit: int | None = None

    @property
    def window(self) -> Shape:
        """The template's shape without channels."""
        return self.template[0].shape

    @cached_property
    def shape(self) -> Shape:
        """Shape of the image with its margins."""
        return PaddedImage(self.image[0], self.margins).shape

    @cached_property
    def map_shape(self) -> Shape:
        """Shape of the score map."""
        return valid_shape(self.shape, self.window)

    @property
    def all_valid(self) -> bool:
        """Whether no pixel of any window is missing."""
        return self.valid is None and not any(map(any, self.margins))

    def start_of(self, position: Sequence[int]) -> tuple[int, ...]:
        """Return the first pixel of the window at a position of the score map."""
        return start_of(position, self.margins)

    def position_of(self, start: Sequence[int]) -> tuple[int, ...]:
        """Return the position on the score map of the window that starts at a pixel."""
        return position_of(start, self.margins)

    def box_at(self, position: Sequence[int]) -> Box:
        """Return the window at a position of the score map."""
        return Box(self.start_of(position), self.window)

    def read(self, region: Region) -> tuple[list[Array], Array | None]:
        """Read a tile: its channels, 0 where no pixel is valid, and which are; None for all."""
        valid: Array | None = None
        if not self.all_valid:
            whole = np.broadcast_to(True, self.image[0].shape) if self.valid is None else self.valid  # noqa: FBT003
            valid = PaddedImage(whole, self.margins).read(region, np.dtype(bool))
            valid = None if valid.all() else valid
        native = self.image[0].dtype.newbyteorder("=")
        tiles = [PaddedImage(channel, self.margins).read(region, native) for channel in self.image]
        if valid is not None:
            for tile in tiles:
                tile[~valid] = 0
        check_finite("image", tiles, self.start_of([part.start for part in region]))
        return tiles, valid

    def groups(self, values: list[Any]) -> list[Any]:
        """Add up what has one mean."""
        return [sum(values[1:], values[0])] if self.joint else values


def single_error(lines: float) -> float:
    """Estimate the largest error of a correlation by transforms in single precision.

    It grows with the largest norm of a row or a column, of tile (times the template's norm) and result (also where it
    wraps round): where rows are alike so are their errors, which then add up. Measured over photographs and synthetic
    images: at most 3.3 times.
    """
    return 8 * _EPS_SINGLE * lines


def pair(image: PreparedImage, template: PreparedTemplate, scale: float = 1.0) -> Search:
    """Check what an image and a template, at this scale, must have in common, and make a search of them."""
    options = template.options
    _check_pair(image, template, options.output, scale)
    channels, template = _rescale_together(image, template)
    return Search(
        label=template.label,
        metric=options.info,
        image=channels,
        valid=image.valid,
        template=template.channels,
        weights=template.weights,
        margins=output_margins(template.shape, options.output),
        total=template.total,
        min_weight=template.min_weight,
        joint=template.joint,
        single=options.precision == "single",
        cache=template.cache,
        posed=template.posed,
        image_cache=image.cache if channels is image.channels else Cache(),
    )


def _check_pair(image: PreparedImage, template: PreparedTemplate, output: Output, scale: float) -> None:
    outer, inner = image.shape, template.shape
    if len(outer) != len(inner):
        msg = (
            f"`template` has shape {inner} and `image` {outer}; they must have as many dimensions: "
            f"{_how_to_agree(outer, inner, template.options.channel_axis)}"
        )
        raise ValueError(msg)
    if image.n_channels != template.n_channels:
        msg = f"`template` has {template.n_channels} channels and `image` has {image.n_channels}; they must be equal"
        raise ValueError(msg)
    too_long = [axis for axis, (n, k) in enumerate(zip(outer, inner, strict=True)) if k * scale > n]
    if too_long and output == "valid":
        axes = ", ".join(map(str, too_long))
        msg = (
            f"`template` has shape {inner}, larger than `image` {outer} on axes {axes}; "
            "crop or shrink it, or swap the two if they are in the wrong order"
        )
        raise ValueError(msg)


def _how_to_agree(outer: Shape, inner: Shape, channel_axis: int | None) -> str:
    """Write how to make arrays agree whose dimensions, besides that of channels, are not as many."""
    grey = channel_axis is not None and min(len(outer), len(inner)) == 1
    if grey or max(outer, inner, key=len)[-1] <= _MAX_COLOURS:
        return "make both grey, or both colour with channel_axis"
    if len(outer) < len(inner):
        return (
            "search for the parts of the template one by one, or name its axis of channels with channel_axis"
        )
    return (
        "search the images of a stack one by one, with `tmatch.locate_many` or `Matcher.locate_many`, or give the "
        "template an axis of length 1, as in template[None]; name an axis of channels with channel_axis"
    )


def _rescale_together(
    image: PreparedImage, template: PreparedTemplate
) -> tuple[list[Array], PreparedTemplate]:
    """Apply one offset or one gain to both where the metric allows for it and float64 needs it."""
    info, n = template.options.info, len(image.channels)
    if info.offset == "both" and (offset := find_offset([*image.channels, *template.counted()])):
        channels = without_unweighted(without_offset(template.channels, offset), template.weights)
        shifted = replace(template, channels=channels, cache=Cache())
        return without_offset(image.channels, offset), shifted
    if info.gain == "both" and (exponent := _shared_exponent(image, template)):
        both = [scaled_down(c, exponent) for c in (*image.channels, *template.channels)]
        scaled = replace(template, channels=both[n:], cache=Cache())
        check_contrast(scaled)
        return both[:n], scaled
    return image.channels, template


def _shared_exponent(image: PreparedImage, template: PreparedTemplate) -> int:
    """Find the power of two by which both are scaled; 0 where squares fit as they are.

    It is the mean of those of the two: where their scales are far apart, the squares of either fit.
    """
    if image.channels[0].dtype.kind != "f" and template.channels[0].dtype.kind != "f":
        return 0
    largest = image.largest, template.largest
    exponents = [int(np.frexp(value)[1]) for value in largest if value > 0 and np.isfinite(value)]
    if len(exponents) == 2 and abs(exponents[0] - exponents[1]) > _MAX_EXPONENT_DIFFERENCE:
        msg = (
            f"`template` has values up to {largest[1]:.3g} and `image` up to {largest[0]:.3g}; their squares do not fit"
            " into float64 together: scale one of them"
        )
        raise ValueError(msg)
    return sum(exponents) // 2 if len(exponents) == 2 and max(map(abs, exponents)) >= 100 else 0


def comparable(search: Search) -> Search:
    """Return a search with images and templates whose squares fit into float64; scores do not depend on their scale."""
    if all(channel.dtype.kind in "biu" for channel in (*search.image, *search.template)):
        return search
    image = search.image_cache.get("comparable", lambda: _rescaled(search.image))
    template = search.cache.get("comparable", lambda: _rescaled(search.template))
    return replace(search, image=image, template=template)


def _rescaled(channels: list[Array]) -> list[Array]:
    """Scale channels by one power of two if their squares would not fit."""
    if channels[0].dtype.kind in "biu" or channels[0].dtype.itemsize <= _NARROW_FLOAT:
        return channels
    exponent = int(np.frexp(largest_value(channels))[1])
    return channels if abs(exponent) < _MAX_EXPONENT else [scaled_down(each, exponent) for each in channels]


def scaled_down(array: Array, exponent: int) -> Array:
    """Divide by a power of two, in double precision."""
    return computed(partial(_scaled_down, exponent=exponent), np.float64, array)


def _scaled_down(array: Array, exponent: int) -> Array:
    return np.ldexp(as_float(array), -exponent).astype(np.float64, copy=False)
