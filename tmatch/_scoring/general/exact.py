"""The sums of integers: no rounding anywhere."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Region
from tmatch._engine.interface import Transforms
from tmatch._engine.tiling import Tiling, rounding_bound
from tmatch._scoring.general.sums import SumBlock, TileValues, WeightedTemplate, WindowSums, sum_windows
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class IntegerRange:
    """How integers are held: what is taken off each channel, and types wide enough for tiles and for sums.

    No offsets: each tile's own mean. Single precision, with few digits, asks for it.
    """

    offsets: tuple[int, ...] | None
    template_offsets: tuple[int, ...]
    narrow: Any
    wide: Any

    @classmethod
    def of(cls, search: Search, tiling: Tiling) -> "IntegerRange | None":
        """Find that; None for floats, if a value could pass 2**63, or transforms could be off by half a unit."""
        weights, channels = search.weights, len(search.weights)
        alike = search.joint or not search.centred or all(w is weights[0] for w in weights)
        if weights[0].dtype != bool or not alike:
            return None
        if any(c.dtype.kind not in "biu" for c in (*search.image, *search.template)):
            return None
        own = search.centred and not search.joint  # else all channels must be about one value
        offsets, spreads = zip(*(_offset_of(c, about=own) for c in search.image), strict=True)
        template_offsets, others = zip(*(_offset_of(c, about=own) for c in search.template), strict=True)
        if search.single and own:
            template_offsets = tuple(round(float(t.mean())) for t in search.template)
            spreads, others = tuple(2 * s for s in spreads), tuple(2 * s for s in others)
        count = weights[0].size * (channels if search.joint else 1)
        spread = max(1, *spreads, *others)
        largest = 2 * channels * (count * spread**2) * (count if search.centred else 2)
        points = math.prod(tiling.fft_shape) * channels
        rounding = rounding_bound(spread**2 * math.sqrt(points * count * channels), tiling)
        if largest >= 2**63 or rounding >= 0.25:
            return None
        # Squares of all channels may be summed together.
        narrow = np.int32 if weights[0].size * channels * spread**2 < 2**31 else np.int64
        wide = np.float64 if largest < 2**53 else np.int64
        return cls(None if search.single and own else offsets, template_offsets, narrow, wide)

    def keep(self, sums: Array) -> Array:
        """Round what came from transforms, and give it room."""
        if sums.dtype.kind == "f":
            np.rint(sums, out=sums)
            sums += 0.0  # minus zero becomes zero
        return sums.astype(self.wide, copy=False)


def prepare_exact(search: Search, transforms: Transforms) -> SumBlock | None:
    """Sum integers exactly: times the weight, sums about a mean are integers too. None if that cannot be."""
    ranges = IntegerRange.of(search, transforms.tiling)
    if ranges is None:
        return None
    narrow, wide = ranges.narrow, ranges.wide
    values = [
        subtract_offset(t, m).astype(np.int64)
        for t, m in zip(search.template, ranges.template_offsets, strict=True)
    ]
    weights = {id(w): w.astype(np.int64) for w in search.weights}
    template = WeightedTemplate.of(values, [weights[id(w)] for w in search.weights], transforms)

    def sum_block(block: Region, single: bool) -> WindowSums:  # noqa: FBT001
        raw, there = search.read(transforms.tiling.needs(block))
        offsets = ranges.offsets or [
            round(float(c.mean() if there is None else c[there].mean())) for c in raw
        ]
        tiles = [subtract_offset(c, m).astype(narrow, copy=False) for c, m in zip(raw, offsets, strict=True)]
        if there is not None:
            tiles = [np.where(there, tile, narrow(0)) for tile in tiles]
        exists = None if there is None else TileValues(there.astype(narrow), transforms, reused=True)
        planes = [TileValues(t, transforms) for t in tiles]
        parts = sum_windows(search, template, planes, exists, ranges.keep, single=single)
        weight = search.groups([np.asarray(w).astype(wide) for w in parts.weight])
        seen = sum(weight[1:], weight[0])
        if not search.centred:
            return WindowSums(
                seen, parts.product, parts.image_square, parts.template_square, 1, parts.error_single
            )
        factor, product, image_square = weight[0], parts.product, parts.image_square
        product *= factor
        image_square *= factor
        template_square = np.asarray(parts.template_square).astype(wide) * factor
        others = search.groups([np.asarray(t).astype(wide) for t in parts.template])
        for i, t in zip(search.groups(parts.image), others, strict=True):
            product -= i * t
            template_square = template_square - t * t
            image_square -= np.square(i, out=i)
        return WindowSums(seen, product, image_square, template_square, factor, parts.error_single)

    return sum_block


def _offset_of(channel: Array, *, about: bool) -> tuple[int, int]:
    """Give a middle value, or 0, and how far others can lie from it; sums of squares stay small about it."""
    if channel.dtype.kind == "b":
        return 0, 1
    if channel.dtype.itemsize <= 2:
        low, high = int(np.iinfo(channel.dtype).min), int(np.iinfo(channel.dtype).max)
    else:
        low, high = int(channel.min()), int(channel.max())
    middle = (low + high + 1) // 2 if about else 0
    return middle, max(high - middle, middle - low)


def subtract_offset(array: Array, middle: int) -> Array:
    """Subtract a middle value from integers, none of which wraps round."""
    if array.dtype.itemsize <= 2:
        return array.astype(np.int32) - np.int32(middle)
    return (array.astype(np.uint64) - np.uint64(middle % 2**64)).astype(np.int64)  # two's complement
