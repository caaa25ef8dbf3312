"""Exact window sums of integers."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.casting import subtract_offset
from tmatch._arrays.lazy import facts_of
from tmatch._arrays.typing import Array, Region
from tmatch._engine.interface import Transforms
from tmatch._engine.tiling import Tiling, rounding_bound
from tmatch._scoring.general.sums import SumBlock, TileValues, WeightedTemplate, WindowSums, sum_windows
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class IntegerRange:
    """Offsets that are subtracted from each channel, and dtypes that hold window sums and their products exactly."""

    offsets: tuple[int, ...]
    template_offsets: tuple[int, ...]
    sum_dtype: Any
    product_dtype: Any

    @classmethod
    def of(cls, search: Search, tiling: Tiling) -> "IntegerRange | None":
        """Find the range; None for floats, if a sum could exceed 2**63, or if transforms could err by half a unit."""
        weights, channels = search.weights, len(search.weights)
        equal_weights = search.joint or not search.metric.centred or all(w is weights[0] for w in weights)
        if weights[0].dtype != bool or not equal_weights:
            return None
        if any(c.dtype.kind not in "biu" for c in (*search.image, *search.template)):
            return None
        separate = search.metric.centred and not search.joint  # otherwise all channels need one offset
        offsets, spreads = zip(
            *(_offset_of(c, search.limit, centred=separate) for c in search.image), strict=True
        )
        template_offsets, template_spreads = zip(
            *(_offset_of(c, search.limit, centred=separate) for c in search.template), strict=True
        )
        count = weights[0].size * (channels if search.joint else 1)
        spread = max(1, *spreads, *template_spreads)
        largest = 2 * channels * (count * spread**2) * (count if search.metric.centred else 2)
        points = math.prod(tiling.fft_shape) * channels
        rounding = rounding_bound(spread**2 * math.sqrt(points * count * channels), tiling)
        if largest >= 2**63 or rounding >= 0.25:
            return None
        # Squares of all channels may be summed together.
        sum_dtype = np.int32 if weights[0].size * channels * spread**2 < 2**31 else np.int64
        product_dtype = np.float64 if largest < 2**53 else np.int64
        return cls(offsets, template_offsets, sum_dtype, product_dtype)

    def round_sums(self, sums: Array) -> Array:
        """Round sums that transforms computed, and convert them to the dtype of products."""
        if sums.dtype.kind == "f":
            np.rint(sums, out=sums)
            sums += 0.0  # minus zero becomes zero
        return sums.astype(self.product_dtype, copy=False)


def prepare_exact(search: Search, transforms: Transforms) -> SumBlock | None:
    """Prepare exact sums of integers; None if they are impossible.

    Sums about a mean become integers when they are multiplied by the weight.
    """
    ranges = IntegerRange.of(search, transforms.tiling)
    if ranges is None:
        return None
    sum_dtype, product_dtype = ranges.sum_dtype, ranges.product_dtype
    values = [
        subtract_offset(t, m).astype(np.int64)
        for t, m in zip(search.template, ranges.template_offsets, strict=True)
    ]
    weights = {id(w): w.astype(np.int64) for w in search.weights}
    template = WeightedTemplate.of(values, [weights[id(w)] for w in search.weights], transforms)

    def sum_block(block: Region) -> WindowSums:
        channels, valid = search.read(transforms.tiling.needs(block))
        tiles = [
            subtract_offset(c, m).astype(sum_dtype, copy=False)
            for c, m in zip(channels, ranges.offsets, strict=True)
        ]
        if valid is not None:
            tiles = [np.where(valid, tile, sum_dtype(0)) for tile in tiles]
        valid_values = None if valid is None else TileValues(valid.astype(sum_dtype), transforms, reused=True)
        planes = [TileValues(t, transforms) for t in tiles]
        sums = sum_windows(search, template, planes, valid_values, ranges.round_sums)
        weight = search.groups([np.asarray(w).astype(product_dtype) for w in sums.weight])
        total_weight = sum(weight[1:], weight[0])
        if not search.metric.centred:
            return WindowSums(total_weight, sums.product, sums.image_square, sums.template_square, 1)
        factor, product, image_square = weight[0], sums.product, sums.image_square
        product *= factor
        image_square *= factor
        template_square = np.asarray(sums.template_square).astype(product_dtype) * factor
        template_sums = search.groups([np.asarray(t).astype(product_dtype) for t in sums.template])
        for image_sum, t in zip(search.groups(sums.image), template_sums, strict=True):
            product -= image_sum * t
            template_square = template_square - t * t
            image_square -= np.square(image_sum, out=image_sum)
        return WindowSums(total_weight, product, image_square, template_square, factor)

    return sum_block


def _offset_of(channel: Array, limit: int | None, *, centred: bool) -> tuple[int, int]:
    """Return the middle of a channel's range, or 0, and the maximum distance from it, which keeps squares small."""
    if limit is not None:
        return 0, limit
    if channel.dtype.kind == "b":
        return 0, 1
    if channel.dtype.itemsize <= 2:
        low, high = int(np.iinfo(channel.dtype).min), int(np.iinfo(channel.dtype).max)
    else:
        facts = facts_of(channel)
        low, high = int(facts.low), int(facts.high)
    offset = (low + high + 1) // 2 if centred else 0
    return offset, max(high - offset, offset - low)
