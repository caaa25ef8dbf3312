"""A tile of an integer image, scored for one template after the other."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine import execution
from tmatch._engine.interface import SummaryGrid
from tmatch._scoring.integer.template import IntegerTemplate
from tmatch._scoring.search import TRUSTED_SINGLE, single_error

Scored = tuple[Array, Array, bool, Array | None]  # scores, norms, whether one may reach the floor, summary

_GROUP_PIXELS = 2**20  # of windows scored together one by one
_USUAL_ERROR = 1 / 16  # of the largest, in images none of whose rows or columns are alike; measured
_SAMPLED = 2**13  # positions of a tile that a sample is drawn from
_LOW_CONTRAST_SHARE = (
    10  # pixels of such windows for each position of a tile; beyond, double precision is faster
)


@dataclass(frozen=True)
class InverseNorms:
    """Inverse norms of the windows of a tile, 0 where a window has none, and the largest of them."""

    values: Array
    largest: float
    window: Shape

    @cached_property
    def _coarse(self) -> tuple[Array, list[int]]:
        """Those on a grid, and its steps; windows that have most pixels in common have about the same contrast."""
        coarser = math.ceil(math.sqrt(self.values.size / _SAMPLED))
        steps = [max(coarser, k // 8) for k in self.window]
        return self.values[:: steps[0], :: steps[1]].copy(), steps

    def sample(self, low: float, high: float, count: int) -> Positions:
        """Choose positions where they lie between two values, from everywhere."""

        def between(values: Array) -> Array:
            return np.flatnonzero((values > low) & (values <= high))

        if self.largest <= low:
            return np.empty((0, 2), np.intp)
        values, steps = self._coarse
        found = between(values)
        if not len(found):  # few, and between the positions of the grid
            values, steps = self.values, [1, 1]
            found = between(values)
        chosen = found[:: 1 + len(found) // count]
        return np.stack(np.unravel_index(chosen, values.shape), axis=1) * steps


class ImageTile:
    """A tile of an image, and what several templates need of it.

    `like` is any of the templates. With `direct`, products are summed without transforms; if the tile is `shared`,
    other templates need its window sums.
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
        """Score by transforms in single precision; None if double precision is called for."""
        norms = self._inverse_norms(template)
        spectra, squares = self.spectra_single
        lines = math.sqrt(squares * template.count)
        if self._low_contrast(template, norms, lines) is None:
            return None
        pairs = zip(spectra, template.spectra_single, strict=True)
        product, found, summary = self.engine.score(pairs, self.transforms, norms.values, floor, grid)
        of_products, high, broken = found
        lines += math.sqrt(of_products)
        if single_error(lines) * norms.largest <= TRUSTED_SINGLE:
            _check(broken)
            return product, norms.values, high > 0, summary
        scores = product[tuple(map(slice, norms.values.shape))]
        low = self._low_contrast(template, norms, lines)
        if low is None or not self._sample_agrees(template, scores, norms, lines):
            return None
        top = -1.0
        if len(low):
            top = self._rescore(template, scores, low)[0]
            summary = grid and self._summarise(product, norms.values, grid)
        return product, norms.values, high > 0 or top >= floor, summary

    def score_exactly(self, template: IntegerTemplate, grid: SummaryGrid | None) -> Scored:
        """Score without rounding but for the last steps."""
        places = valid_shape(self.shape, template.window)
        product, variance = self._products(template, places), float(template.variance)
        if self.shared or template.mask is not None:
            sums, norms = self._exact_moments(template)
            broken = self.engine.score_exactly(product, sums, template.sums, norms, variance, template.count)
        else:
            norms = np.empty(places, template.ranges.wide)
            windows = self._windows(template)
            broken = self.engine.score_alone(product, *windows, template.sums, norms, variance)
        _check(broken)
        return product, norms, True, grid and self._summarise(product, norms, grid)

    def _products(self, template: IntegerTemplate, places: Shape) -> Array:
        products = self.engine.direct_products
        if self.direct and products is not None:
            return products.correlate(self.values, template.direct, places)
        return self.transforms.correlate(zip(self.spectra, template.spectra, strict=True))

    def _low_contrast(self, template: IntegerTemplate, norms: InverseNorms, lines: float) -> Positions | None:
        """Find windows whose contrast is too low for single precision; None if to rescore them takes too long."""
        if norms.largest <= _low_contrast_from(lines):
            return np.empty((0, 2), np.intp)
        low = norms.values > _low_contrast_from(lines)
        few = np.count_nonzero(low) * template.count <= _LOW_CONTRAST_SHARE * low.size
        return np.argwhere(low) if few else None

    def _sample_agrees(
        self, template: IntegerTemplate, scores: Array, norms: InverseNorms, lines: float
    ) -> bool:
        """Rescore a sample of those in doubt: some of nearly too low a contrast, and some from everywhere."""
        most = max(8, min(128, 2**16 // template.count))
        bounds = [
            (_low_contrast_from(lines) * share, _low_contrast_from(lines)) for share in (0.5, _USUAL_ERROR)
        ]
        sample = np.concatenate([norms.sample(*between, most) for between in bounds])
        return self._rescore(template, scores, sample)[1] <= TRUSTED_SINGLE / 16

    def _rescore(self, template: IntegerTemplate, scores: Array, positions: Positions) -> tuple[float, float]:
        """Score some positions by definition; return the highest score, and the largest change of one."""
        at = tuple(positions.T)
        exact = score_positions(self.channels, template, positions)
        change = np.abs(scores[at] - exact)
        scores[at] = exact
        return float(exact.max(initial=-1)), float(change.max(initial=0))

    def _summarise(self, scores: Array, norms: Array, grid: SummaryGrid) -> Array:
        shape, leads, size = grid
        part = tuple(map(slice, shape))
        return self.engine.summarise(scores[part], norms[part], leads, size)

    # --- window sums, kept until another shape is asked for ---------------------------------------

    def _exact_moments(self, template: IntegerTemplate) -> tuple[Array, Array]:
        """Return the windows' sums and variances."""

        def compute() -> tuple[Array, Array]:
            places, wide = valid_shape(self.shape, template.window), template.ranges.wide
            sums = np.empty((len(self.channels), *places), wide)
            if template.mask is not None:
                variance = np.zeros(places, wide)
                self._sum_masked(template, sums, variance)
                return sums, variance
            variance = np.empty(places, wide)
            self.engine.moments(*self._windows(template), sums, variance)
            return sums, variance

        result: tuple[Array, Array] = self._kept("exact", template, compute)
        return result

    def _inverse_norms(self, template: IntegerTemplate) -> InverseNorms:
        """Return the windows' inverse norms."""

        def compute() -> InverseNorms:
            places, wide = valid_shape(self.shape, template.window), template.ranges.wide
            if template.mask is not None:
                values = np.zeros(places, np.float32)
                self._sum_masked(template, np.empty((len(self.channels), 0, 0), wide), values)
                return InverseNorms(values, self.engine.invert(values), template.window)
            values = np.empty(places, np.float32)
            row = np.empty(places[1], wide)
            largest = self.engine.inverse_norms(*self._windows(template), row, values)
            return InverseNorms(values, largest, template.window)

        result: InverseNorms = self._kept("single", template, compute)
        return result

    def _kept(self, kind: str, template: IntegerTemplate, compute: Any) -> Any:
        key = template.summed_over, template.ranges.narrow, template.ranges.wide
        if (key, kind) not in self._moments:
            if not any(known == key for known, _ in self._moments):  # type: ignore[misc, has-type]
                self._moments = {}
            self._moments[key, kind] = compute()
        return self._moments[key, kind]

    def _windows(
        self, template: IntegerTemplate
    ) -> tuple[tuple[Array, ...], int, int, tuple[int, ...], Array]:
        """Return what windows are summed of, their size, and memory for that."""
        height, width = template.window
        work = np.zeros((len(self.channels) + 1, self.shape[1] + 1), template.ranges.narrow)
        return tuple(self.channels), height, width, self.offsets, work

    def _sum_masked(self, template: IntegerTemplate, sums: Array, variance: Array) -> None:
        count, limit = template.count, execution.current().mask_runs
        limit = self.engine.max_mask_runs if limit is None else limit
        for i, (channel, centre, own) in enumerate(zip(self.channels, self.offsets, sums, strict=True)):
            if len(template.runs) <= limit:
                work = np.zeros((2, self.shape[0], self.shape[1] + 1), template.ranges.narrow)
                self.engine.add_masked_moments(channel, template.runs, count, centre, work, own, variance)
            else:  # exact too: products of squares by 0 or 1 are no larger than those with the template
                total, squares = (
                    self.transforms.correlate([(spectra[i], template.mask_spectrum)])
                    for spectra in (self.spectra, self.spectra_of_squares)
                )
                self.engine.round_moments(total, squares, count, own, variance)

    # --- spectra ----------------------------------------------------------------------------------

    @cached_property
    def spectra_single(self) -> tuple[list[Array], float]:
        """Of the channels about their means, and the largest sum of squares of a row or a column, added up."""
        spectra, squares = [], 0.0
        for channel in self.channels:
            values = self.transforms.empty_tile(np.float32)
            squares += self.engine.load(channel, values)
            spectra.append(self.transforms.transform(values, overwrite=True))
        return spectra, squares

    @cached_property
    def spectra(self) -> list[Array]:
        """Of the channels about their offsets."""
        return self._transform(squared=False)

    @cached_property
    def spectra_of_squares(self) -> list[Array]:
        """Of the squares of the channels about their offsets."""
        return self._transform(squared=True)

    def _transform(self, *, squared: bool) -> list[Array]:
        spectra = []
        for channel, centre in zip(self.channels, self.offsets, strict=True):
            values = self.transforms.empty_tile(np.float64)
            self.engine.place(channel, centre, squared, values)
            spectra.append(self.transforms.transform(values, overwrite=True))
        return spectra

    @cached_property
    def values(self) -> Array:
        """The channels about their offsets, for products without transforms."""
        products = self.engine.direct_products
        assert products is not None  # noqa: S101  asked before
        tile = products.empty_tile(len(self.channels), self.shape)
        for channel, centre, values in zip(self.channels, self.offsets, tile, strict=True):
            self.engine.place(channel, centre, False, values)  # noqa: FBT003
        return tile


def _low_contrast_from(lines: float) -> float:
    """Return the inverse norm beyond which the contrast of windows is too low for single precision."""
    return TRUSTED_SINGLE / (_USUAL_ERROR * single_error(lines)) if lines else math.inf


def score_positions(channels: Sequence[Array], template: IntegerTemplate, positions: Positions) -> Array:
    """Score single positions by definition; minus infinity where a window has no contrast."""
    if not len(positions):
        return np.empty(0)
    many = max(1, _GROUP_PIXELS // template.count)
    if len(positions) > many:
        parts = (positions[start : start + many] for start in range(0, len(positions), many))
        return np.concatenate([score_positions(channels, template, part) for part in parts])
    ready = _contiguous(channels, positions, template.window)
    return template.engine.score_windows(*ready, *template.by_definition)


def _contiguous(
    channels: Sequence[Array], positions: Positions, window: Shape
) -> tuple[tuple[Array, ...], Positions]:
    """Return channels as compiled code takes them: as they are, or else the windows one below the other."""
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


def _check(broken: int) -> None:
    if broken:
        msg = "scores are outside [-1, 1]: this is a bug in tmatch, please report it"
        raise ArithmeticError(msg)
