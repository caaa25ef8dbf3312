"""A tile of an integer image, which is scored for one template after another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine import execution
from tmatch._engine.interface import DirectProducts, SummaryGrid
from tmatch._scoring.integer.template import IntegerTemplate
from tmatch._scoring.search import TRUSTED_SINGLE, single_error

# Scores, norms, whether a score may reach the floor, summary.
Scored = tuple[Array, Array, bool, Array | None]

_GROUP_PIXELS = 2**20  # maximum number of pixels of windows that are scored at once by definition
# Typical error as a share of the largest, in images without repeated rows or columns; measured.
_TYPICAL_ERROR = 1 / 16
_SAMPLED = 2**13  # number of positions of a tile from which a sample is drawn
_MAX_LOW_CONTRAST = 10  # pixels of low-contrast windows per position; with more, double precision is faster


@dataclass(frozen=True)
class InverseNorms:
    """Inverse norms of the windows of a tile, 0 for constant windows, and their maximum."""

    values: Array
    largest: float
    window: Shape

    @cached_property
    def _coarse(self) -> tuple[Array, list[int]]:
        """Values on a grid, and its steps; windows that share most pixels have similar contrast."""
        min_step = math.ceil(math.sqrt(self.values.size / _SAMPLED))
        steps = [max(min_step, k // 8) for k in self.window]
        return self.values[:: steps[0], :: steps[1]].copy(), steps

    def sample(self, low: float, high: float, count: int) -> Positions:
        """Choose up to about `count` positions with values between two bounds, spread over the tile."""

        def select(values: Array) -> Array:
            return np.flatnonzero((values > low) & (values <= high))

        if self.largest <= low:
            return np.empty((0, 2), np.intp)
        values, steps = self._coarse
        selected = select(values)
        if not len(selected):  # there are few, between the grid positions
            values, steps = self.values, [1, 1]
            selected = select(values)
        chosen = selected[:: 1 + len(selected) // count]
        return np.stack(np.unravel_index(chosen, values.shape), axis=1) * steps


class ImageTile:
    """A tile of an image, with the spectra and window sums that several templates use.

    `like` is any of the templates. With `direct`, correlation is done without transforms; a `shared` tile keeps exact
    window sums for other templates.
    """

    def __init__(self, channels: list[Array], like: IntegerTemplate, *, direct: bool, shared: bool) -> None:
        self.channels, self.transforms, self.engine = channels, like.transforms, like.engine
        self.direct, self.shared = direct, shared
        self.shape, self.offsets = channels[0].shape, like.ranges.offsets or ()
        self._moments: dict[object, Any] = {}

    # --- scores -----------------------------------------------------------------------------------

    def score_single(
        self, template: IntegerTemplate, floor: float, grid: SummaryGrid | None
    ) -> Scored | None:
        """Score by transforms in single precision; None if double precision is needed."""
        norms = self._inverse_norms(template)
        spectra, squares = self.spectra_single
        line_norm = math.sqrt(squares * template.count)
        if self._low_contrast(template, norms, line_norm) is None:
            return None
        pairs = zip(spectra, template.spectra_single, strict=True)
        product, checks, summary = self.engine.score(pairs, self.transforms, norms.values, floor, grid)
        product_squares, reaching, out_of_range = checks
        line_norm += math.sqrt(product_squares)
        if single_error(line_norm) * norms.largest <= TRUSTED_SINGLE:
            _check(out_of_range)
            return product, norms.values, reaching > 0, summary
        scores = product[tuple(map(slice, norms.values.shape))]
        low_contrast = self._low_contrast(template, norms, line_norm)
        if low_contrast is None or not self._sample_agrees(template, scores, norms, line_norm):
            return None
        highest = -1.0
        if len(low_contrast):
            highest = self._rescore(template, scores, low_contrast)[0]
            summary = grid and self._summarise(product, norms.values, grid)
        return product, norms.values, reaching > 0 or highest >= floor, summary

    def score_exactly(self, template: IntegerTemplate, grid: SummaryGrid | None) -> Scored:
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
        _check(out_of_range)
        return product, norms, True, grid and self._summarise(product, norms, grid)

    def _products(self, template: IntegerTemplate, shape: Shape) -> Array:
        if self.direct_values is not None:
            products, values = self.direct_values
            return products.correlate(values, template.direct, shape)
        return self.transforms.correlate(zip(self.spectra, template.spectra, strict=True))

    def _low_contrast(
        self, template: IntegerTemplate, norms: InverseNorms, line_norm: float
    ) -> Positions | None:
        """Find windows whose contrast is too low for single precision; None if there are too many to rescore."""
        if norms.largest <= _low_contrast_from(line_norm):
            return np.empty((0, 2), np.intp)
        low = norms.values > _low_contrast_from(line_norm)
        few = np.count_nonzero(low) * template.count <= _MAX_LOW_CONTRAST * low.size
        return np.argwhere(low) if few else None

    def _sample_agrees(
        self, template: IntegerTemplate, scores: Array, norms: InverseNorms, line_norm: float
    ) -> bool:
        """Return whether rescoring a sample of windows, of nearly too low contrast and others, changes little."""
        max_count = max(8, min(128, 2**16 // template.count))
        bounds = [
            (_low_contrast_from(line_norm) * share, _low_contrast_from(line_norm))
            for share in (0.5, _TYPICAL_ERROR)
        ]
        sample = np.concatenate([norms.sample(*limits, max_count) for limits in bounds])
        return self._rescore(template, scores, sample)[1] <= TRUSTED_SINGLE / 16

    def _rescore(self, template: IntegerTemplate, scores: Array, positions: Positions) -> tuple[float, float]:
        """Rescore some positions by definition; return the highest score and the largest change."""
        at = tuple(positions.T)
        exact = score_positions(self.channels, template, positions)
        change = np.abs(scores[at] - exact)
        scores[at] = exact
        return float(exact.max(initial=-1)), float(change.max(initial=0))

    def _summarise(self, scores: Array, norms: Array, grid: SummaryGrid) -> Array:
        shape, leads, size = grid
        part = tuple(map(slice, shape))
        return self.engine.summarise(scores[part], norms[part], leads, size)

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

    def _cached(self, kind: str, template: IntegerTemplate, compute: Any) -> Any:
        key = template.summed_over, template.ranges.sum_dtype, template.ranges.product_dtype
        if (key, kind) not in self._moments:
            if not any(cached == key for cached, _ in self._moments):  # type: ignore[misc, has-type]
                self._moments = {}
            self._moments[key, kind] = compute()
        return self._moments[key, kind]

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


def _low_contrast_from(line_norm: float) -> float:
    """Return the inverse norm above which the contrast of a window is too low for single precision."""
    return TRUSTED_SINGLE / (_TYPICAL_ERROR * single_error(line_norm)) if line_norm else math.inf


def score_positions(channels: Sequence[Array], template: IntegerTemplate, positions: Positions) -> Array:
    """Score single positions by definition; minus infinity where the window is constant."""
    if not len(positions):
        return np.empty(0)
    group = max(1, _GROUP_PIXELS // template.count)
    if len(positions) > group:
        parts = (positions[start : start + group] for start in range(0, len(positions), group))
        return np.concatenate([score_positions(channels, template, part) for part in parts])
    contiguous = _contiguous(channels, positions, template.window)
    return template.engine.score_windows(*contiguous, *template.by_definition)


def _contiguous(
    channels: Sequence[Array], positions: Positions, window: Shape
) -> tuple[tuple[Array, ...], Positions]:
    """Return arrays that compiled code accepts, and positions in them: the channels, or copies of the windows."""
    if all(channel.flags.carray and channel.dtype.isnative for channel in channels):
        return tuple(channels), positions
    views = (np.lib.stride_tricks.sliding_window_view(channel, window) for channel in channels)
    windows = (
        np.ascontiguousarray(view[tuple(positions.T)], view.dtype.newbyteorder("=")).reshape(-1, window[1])
        for view in views
    )
    starts = np.zeros_like(positions)
    starts[:, 0] = np.arange(len(positions)) * window[0]
    return tuple(windows), starts


def _check(out_of_range: int) -> None:
    if out_of_range:
        msg = "scores are outside [-1, 1]: this is a bug in tmatch, please report it"
        raise ArithmeticError(msg)
