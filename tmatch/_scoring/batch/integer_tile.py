"""A tile of an integer image, which is scored for one template after another."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Shape
from tmatch._engine import execution
from tmatch._engine.interface import DirectProducts, SummaryGrid
from tmatch._scoring.batch.integers import IntegerTemplate
from tmatch._scoring.batch.tile import ImageTile, InverseNorms, Scored, check_range


class IntegerTile(ImageTile[IntegerTemplate]):
    """A tile of an integer image; window sums are exact."""

    def __init__(
        self, channels: list[Array], like: IntegerTemplate, corner: Sequence[int], **options: bool
    ) -> None:
        super().__init__([np.array(channel, order="C") for channel in channels], like, corner, **options)
        self.offsets = like.ranges.offsets

    # --- scores -----------------------------------------------------------------------------------

    def score_double(self, template: IntegerTemplate, grid: SummaryGrid | None) -> Scored:
        """Score with exact sums; only the normalisation is rounded."""
        shape = valid_shape(self.shape, template.window)
        product, variance = self._products(template, shape), float(template.variance)
        if self.shared or template.mask is not None:
            sums, norms = self._exact_moments(template)
            out_of_range = self.engine.score_exactly(
                product, sums, template.sums, norms, variance, template.count
            )
        else:
            norms = np.empty(shape, template.ranges.product_dtype)
            windows = self._windows(template)
            out_of_range = self.engine.score_alone(product, *windows, template.sums, norms, variance)
        check_range(out_of_range)
        return product, norms, True, grid and self._summarise(product, norms, grid)

    def _products(self, template: IntegerTemplate, shape: Shape) -> Array:
        if self.direct_values is not None:
            products, values = self.direct_values
            return products.correlate(values, template.direct, shape)
        return self.transforms.correlate(zip(self.spectra, template.spectra, strict=True))

    # --- window sums, cached until another shape is needed ------------------------------------------

    def _exact_moments(self, template: IntegerTemplate) -> tuple[Array, Array]:
        """Return the sums and variances of windows."""

        def compute() -> tuple[Array, Array]:
            shape, product_dtype = valid_shape(self.shape, template.window), template.ranges.product_dtype
            sums = np.empty((len(self.channels), *shape), product_dtype)
            if template.mask is not None:
                variance = np.zeros(shape, product_dtype)
                self._sum_masked(template, sums, variance)
                return sums, variance
            variance = np.empty(shape, product_dtype)
            self.engine.moments(*self._windows(template), sums, variance)
            return sums, variance

        result: tuple[Array, Array] = self._cached("exact", template, compute)
        return result

    def _inverse_norms(self, template: IntegerTemplate) -> InverseNorms:
        """Return the inverse norms of windows."""

        def compute() -> InverseNorms:
            shape, product_dtype = valid_shape(self.shape, template.window), template.ranges.product_dtype
            if template.mask is not None:
                values = np.zeros(shape, np.float32)
                self._sum_masked(template, np.empty((len(self.channels), 0, 0), product_dtype), values)
                return InverseNorms(values, self.engine.invert(values), template.window)
            values = np.empty(shape, np.float32)
            row = np.empty(shape[1], product_dtype)
            largest = self.engine.inverse_norms(*self._windows(template), row, values)
            return InverseNorms(values, largest, template.window)

        result: InverseNorms = self._cached("single", template, compute)
        return result

    def _windows(
        self, template: IntegerTemplate
    ) -> tuple[tuple[Array, ...], int, int, tuple[int, ...], Array]:
        """Return the leading arguments of `Engine.moments`: channels, window size, offsets and scratch memory."""
        height, width = template.window
        work = np.zeros((len(self.channels) + 1, self.shape[1] + 1), template.ranges.sum_dtype)
        return tuple(self.channels), height, width, self.offsets, work

    def _sum_masked(self, template: IntegerTemplate, sums: Array, variance: Array) -> None:
        count, max_runs = template.count, execution.current().mask_runs
        max_runs = self.engine.max_mask_runs if max_runs is None else max_runs
        for i, (channel, centre, channel_sums) in enumerate(
            zip(self.channels, self.offsets, sums, strict=True)
        ):
            if len(template.runs) <= max_runs:
                work = np.zeros((2, self.shape[0], self.shape[1] + 1), template.ranges.sum_dtype)
                self.engine.add_masked_moments(
                    channel, template.runs, count, centre, work, channel_sums, variance
                )
            else:  # also exact: sums of squares over a mask are no larger than products with the template
                total, squares = (
                    self.transforms.correlate([(spectra[i], template.mask_spectrum)])
                    for spectra in (self.spectra, self.spectra_of_squares)
                )
                self.engine.round_moments(total, squares, count, channel_sums, variance)

    # --- spectra ----------------------------------------------------------------------------------

    @cached_property
    def spectra_single(self) -> tuple[list[Array], float]:
        """Spectra of the channels minus their means, and the largest sums of squares of a row or column, added."""
        spectra, squares = [], 0.0
        for channel in self.channels:
            values = self.transforms.empty_tile(np.float32)
            squares += self.engine.load(channel, values)
            spectra.append(self.transforms.transform(values, overwrite=True))
        return spectra, squares

    @cached_property
    def spectra(self) -> list[Array]:
        """Spectra of the channels minus their offsets."""
        return self._transform(squared=False)

    @cached_property
    def spectra_of_squares(self) -> list[Array]:
        """Spectra of the squares of the channels minus their offsets."""
        return self._transform(squared=True)

    def _transform(self, *, squared: bool) -> list[Array]:
        spectra = []
        for channel, centre in zip(self.channels, self.offsets, strict=True):
            values = self.transforms.empty_tile(np.float64)
            self.engine.place(channel, centre, squared, values)
            spectra.append(self.transforms.transform(values, overwrite=True))
        return spectra

    @cached_property
    def direct_values(self) -> tuple[DirectProducts, Array] | None:
        """What correlates without transforms, and the channels minus their offsets; None if transforms do."""
        products = self.engine.direct_products if self.direct else None
        if products is None:
            return None
        tile = products.empty_tile(len(self.channels), self.shape)
        for channel, centre, values in zip(self.channels, self.offsets, tile, strict=True):
            self.engine.place(channel, centre, False, values)  # noqa: FBT003
        return products, tile
