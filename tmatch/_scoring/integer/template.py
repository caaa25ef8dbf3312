"""A template of integers, prepared for the tiles of one tiling."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine.numpy import transforms
from tmatch._engine.tiling import Tiling
from tmatch._scoring.general.exact import IntegerRange, subtract_offset
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class IntegerTemplate:
    """A template of a plain search, ready for the tiles of one tiling."""

    values: list[Array]
    mask: Array | None
    whole: IntegerRange
    tiling: Tiling

    @classmethod
    def of(cls, search: Search, tiling: Tiling) -> "IntegerTemplate | None":
        """Make it, and remember it with the template; None if its sums could pass the largest integers."""

        def make() -> "IntegerTemplate | None":
            whole = IntegerRange.of(replace(search, single=False), tiling)
            if whole is None:
                return None
            mask = search.weights[0]
            pairs = zip(search.template, whole.middles, strict=True)
            values = [np.where(mask, subtract_offset(t, m), 0).astype(np.int64) for t, m in pairs]
            return cls(values, None if mask.all() else mask, whole, tiling)

        pattern: IntegerTemplate | None = search.cached(("pattern", tiling, search.image[0].dtype), make)
        return pattern

    @property
    def window(self) -> Shape:
        return self.values[0].shape

    @cached_property
    def count(self) -> int:
        """How many pixels of each channel are compared."""
        return self.values[0].size if self.mask is None else int(np.count_nonzero(self.mask))

    @cached_property
    def shape(self) -> tuple[Shape, bytes]:
        """What windows are summed over."""
        return self.window, b"" if self.mask is None else self.mask.tobytes()

    @cached_property
    def runs(self) -> Array:
        """Where the mask begins and ends to count: row, first column, and the one after the last."""
        return _runs(self.counted)

    @property
    def counted(self) -> Array:
        """Which pixels are compared."""
        return np.ones(self.window, bool) if self.mask is None else self.mask

    @cached_property
    def by_definition(self) -> tuple[Any, ...]:
        """What `score_windows` wants to know of it."""
        mask, values = self.counted.astype(np.float64), np.array(self.values, np.float64)
        return mask, values, self.whole.centres, self.sums, float(self.variance), self.count

    @cached_property
    def sums(self) -> Array:
        """The sum of each channel, in the type that sums are multiplied in."""
        return np.array([v.sum() for v in self.values], self.whole.wide)

    @cached_property
    def variance(self) -> int:
        """``n sum(t^2) - sum(t)^2``, added up over the channels."""
        squares = sum(int(np.square(v).sum()) for v in self.values)
        return self.count * squares - sum(int(s) ** 2 for s in self.sums)

    @cached_property
    def spectra(self) -> list[Array]:
        return [transforms.tile_spectrum(v.astype(np.float64), self.tiling) for v in self.values]

    @cached_property
    def pairs(self) -> Any:
        """Its values, for products without transforms."""
        return direct_products().Pairs.of(self.values)

    @cached_property
    def mask_spectrum(self) -> Array:
        return transforms.tile_spectrum(self.counted.astype(np.float64), self.tiling)

    @cached_property
    def spectra_single(self) -> list[Array]:
        """Of the template about its means, such that times `inverse` the products are scores."""
        norm = math.sqrt(self.variance) / self.count
        around = [(v - v.sum() / self.count) / norm for v in self.values]
        if self.mask is not None:
            around = [np.where(self.mask, v, 0) for v in around]
        return [transforms.tile_spectrum(v.astype(np.float32), self.tiling) for v in around]


def direct_products() -> Any:
    from tmatch._engine.numba import pairs  # noqa: PLC0415

    return pairs


def _runs(mask: Array) -> Array:
    edges = np.diff(np.pad(mask.astype(np.int8), [(0, 0), (1, 1)]), axis=1)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return np.ascontiguousarray(np.column_stack([starts, stops[:, 1]]))
