"""An integer template, prepared for the tiles of one tiling."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.casting import subtract_offset
from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.interface import Engine, Transforms
from tmatch._scoring.batch.hidden import Plane
from tmatch._scoring.batch.tile import contiguous, groups_of
from tmatch._scoring.general.exact import IntegerRange
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class IntegerTemplate:
    """Values minus their offsets, 0 where the mask is 0; sums and spectra are computed when first needed.

    `min_count` is how many pixels of each channel must be compared.
    """

    values: list[Array]
    min_count: float
    mask: Array | None
    ranges: IntegerRange
    transforms: Transforms
    engine: Engine

    @classmethod
    def of(cls, search: Search, transforms: Transforms, engine: Engine) -> "IntegerTemplate | None":
        """Prepare a template and cache it with the search; None if its sums could overflow integers."""

        def prepare() -> "IntegerTemplate | None":
            ranges = IntegerRange.of(search, transforms.tiling)
            if ranges is None:
                return None
            mask = search.weights[0]
            pairs = zip(search.template, ranges.template_offsets, strict=True)
            values = [np.where(mask, subtract_offset(t, m), 0).astype(np.int64) for t, m in pairs]
            min_count = search.min_weight / len(values)
            return cls(values, min_count, None if mask.all() else mask, ranges, transforms, engine)

        key = ("integer template", transforms, search.image[0].dtype)
        template: IntegerTemplate | None = search.cache.get(key, prepare)
        return template

    @property
    def window(self) -> Shape:
        """Shape of the template."""
        return self.values[0].shape

    @cached_property
    def count(self) -> int:
        """Number of compared pixels in each channel."""
        return self.values[0].size if self.mask is None else int(np.count_nonzero(self.mask))

    @cached_property
    def sums_key(self) -> tuple[Any, ...]:
        """What window sums depend on."""
        mask = b"" if self.mask is None else self.mask.tobytes()
        return self.window, mask, self.ranges.sum_dtype, self.ranges.product_dtype

    @property
    def small(self) -> bool:
        """Whether sums of products fit in 32 bits."""
        return self.ranges.sum_dtype is np.int32

    @cached_property
    def runs(self) -> Array:
        """Runs of compared pixels: row, first column and end column."""
        edges = np.diff(np.pad(self.compared.astype(np.int8), [(0, 0), (1, 1)]), axis=1)
        starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
        return np.ascontiguousarray(np.column_stack([starts, stops[:, 1]]))

    @property
    def compared(self) -> Array:
        """Which pixels are compared."""
        return np.ones(self.window, bool) if self.mask is None else self.mask

    @cached_property
    def by_definition(self) -> tuple[Any, ...]:
        """The template's arguments of `Engine.score_windows`."""
        mask, values = self.compared.astype(np.float64), np.array(self.values, np.float64)
        return mask, values, self.ranges.offsets, self.sums, float(self.variance), self.count

    @cached_property
    def sums(self) -> Array:
        """The sum of each channel, in the dtype of products."""
        return np.array([v.sum() for v in self.values], self.ranges.product_dtype)

    @cached_property
    def variance(self) -> int:
        """``n sum(t^2) - sum(t)^2``, added over the channels."""
        squares = sum(int(np.square(v).sum()) for v in self.values)
        return self.count * squares - sum(int(s) ** 2 for s in self.sums)

    @cached_property
    def planes(self) -> list[Plane]:
        """The channels."""
        return [Plane(values, functools.partial(self._spectrum, i)) for i, values in enumerate(self.values)]

    def _spectrum(self, channel: int) -> Array:
        return self.spectra[channel]

    @cached_property
    def squares(self) -> Plane:
        """The squares of all channels together."""
        values = np.square(self.values).sum(axis=0).astype(np.float64)
        return Plane(values, functools.partial(self.transforms.kernel_spectrum, values))

    @cached_property
    def spectra(self) -> list[Array]:
        """Spectra of the channels, in double precision."""
        return [self.transforms.kernel_spectrum(v.astype(np.float64)) for v in self.values]

    @cached_property
    def direct(self) -> Any:
        """The template prepared for correlation without transforms; None if the engine has none."""
        products = self.engine.direct_products
        return products and products.prepare(self.values)

    @cached_property
    def mask_spectrum(self) -> Array:
        """Spectrum of the mask."""
        return self.transforms.kernel_spectrum(self.compared.astype(np.float64))

    @cached_property
    def spectra_single(self) -> list[Array]:
        """Spectra of the normalised template in single precision: products times windows' inverse norms are scores."""
        norm = math.sqrt(self.variance) / self.count
        centred = [(v - v.sum() / self.count) / norm for v in self.values]
        if self.mask is not None:
            centred = [np.where(self.mask, v, 0) for v in centred]
        return [self.transforms.kernel_spectrum(v.astype(np.float32)) for v in centred]

    def score_positions(self, channels: Sequence[Array], positions: Positions) -> Array:
        """Score single positions by definition; minus infinity where the window is constant."""
        scores = np.empty(len(positions))
        for part in groups_of(len(positions), self.window):
            arrays, starts = contiguous(channels, positions[part], self.window)
            scores[part] = self.engine.score_windows(arrays, starts, *self.by_definition)
        return scores
