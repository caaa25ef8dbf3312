"""A tile of an integer image, scored for one template after the other."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine.numpy import scoring as numpy_scoring
from tmatch._engine.numpy import transforms
from tmatch._scoring.integer.template import IntegerTemplate, direct_products
from tmatch._scoring.search import TRUSTED_SINGLE, single_error

SummaryGrid = tuple[Shape, Shape, Shape]  # a shape, where the first cells end, and their size
Grid = Callable[[Region], SummaryGrid]
Scored = tuple[Array, Array, bool, Array | None]
_GROUP_PIXELS = 2**20  # of windows scored together one by one
_SELDOM = 1 / 16  # of the largest errors, those of pictures none of whose rows or columns are alike, measured
_SAMPLED = 2**13  # places of a tile that a sample is drawn from
_LOW_CONTRAST_SHARE = (
    10  # pixels of such windows for each place of a tile; beyond, double precision is faster
)


@dataclass(frozen=True)
class InverseNorms:
    """Inverse norms of the windows of a tile, 0 where there is none, and the largest of them."""

    inverse: Array
    largest: float
    window: Shape

    @cached_property
    def _some(self) -> tuple[Array, list[int]]:
        """Those on a grid, and its steps; windows that have most pixels in common are about as faint."""
        coarser = math.ceil(math.sqrt(self.inverse.size / _SAMPLED))
        steps = [max(coarser, k // 8) for k in self.window]
        return self.inverse[:: steps[0], :: steps[1]].copy(), steps

    def sample(self, least: float, most: float, count: int) -> Array:
        """Choose places where they lie between two values, from everywhere."""
        if self.largest <= least:
            return np.empty((0, 2), np.intp)
        some, steps = self._some
        found = np.flatnonzero((some > least) & (some <= most))
        if not len(found):  # few, and between the places of the grid
            some, steps = self.inverse, [1, 1]
            found = np.flatnonzero((some > least) & (some <= most))
        chosen = found[:: 1 + len(found) // count]
        return np.stack(np.unravel_index(chosen, some.shape), axis=1) * steps


class ImageTile:
    """A tile of an image, and what several templates want to know of it."""

    def __init__(self, plain: Any, channels: list[Array]) -> None:
        self.channels, self.tiling, self.engine = channels, plain.tiling, plain.engine
        self.direct = plain.direct
        self.alone = len(plain.patterns) == 1 and plain.engine is not numpy_scoring
        self.shape = channels[0].shape
        self.centres = plain.patterns[0][1].whole.centres
        self._moments: dict[object, Any] = {}

    def score_single(
        self, pattern: IntegerTemplate, floor: float, cells: SummaryGrid | None
    ) -> Scored | None:
        """Score by transforms in single precision; give nothing if double precision is called for."""
        norms: InverseNorms = self.moments(pattern, single=True)
        spectra, squares = self.spectra_single
        lines = math.sqrt(squares * pattern.count)
        if self._faint(pattern, norms, lines) is None:
            return None
        pairs = zip(spectra, pattern.spectra_single, strict=True)
        product, found, summed = self.engine.score(pairs, self.tiling, norms.inverse, floor, cells)
        of_products, high, broken = found
        lines += math.sqrt(of_products)
        if single_error(lines) * norms.largest <= TRUSTED_SINGLE:
            _check(broken)
            return product, norms.inverse, high > 0, summed
        scores = product[tuple(map(slice, norms.inverse.shape))]
        faint = self._faint(pattern, norms, lines)
        if faint is None or not self._are_good(pattern, scores, norms, lines):
            return None
        top = -1.0
        if len(faint):
            top = self._anew(pattern, scores, faint)[0]
            summed = cells and self._sum_up(product, norms.inverse, cells)
        return product, norms.inverse, high > 0 or top >= floor, summed

    def _faint(self, pattern: IntegerTemplate, norms: InverseNorms, lines: float) -> Array | None:
        """Find windows too faint for single precision; None if to score them one by one takes too long."""
        if norms.largest <= _low_contrast_from(lines):
            return np.empty((0, 2), np.intp)
        faint = norms.inverse > _low_contrast_from(lines)
        few = np.count_nonzero(faint) * pattern.count <= _LOW_CONTRAST_SHARE * faint.size
        return np.argwhere(faint) if few else None

    def _are_good(self, pattern: IntegerTemplate, scores: Array, norms: InverseNorms, lines: float) -> bool:
        """Score a sample of those in doubt anew: some that are nearly faint, and some from everywhere."""
        most = max(8, min(128, 2**16 // pattern.count))
        bounds = [(_low_contrast_from(lines) * share, _low_contrast_from(lines)) for share in (0.5, _SELDOM)]
        sample = np.concatenate([norms.sample(*between, most) for between in bounds])
        return self._anew(pattern, scores, sample)[1] <= TRUSTED_SINGLE / 16

    def _anew(self, pattern: IntegerTemplate, scores: Array, places: Array) -> tuple[float, float]:
        """Score some places by definition; give the highest score, and how much one has changed at most."""
        at = tuple(places.T)
        exact = score_places(self.channels, pattern, places, self.engine)
        change = np.abs(scores[at] - exact)
        scores[at] = exact
        return float(exact.max(initial=-1)), float(change.max(initial=0))

    def _sum_up(self, scores: Array, norms: Array, cells: SummaryGrid) -> Array:
        shape, leads, size = cells
        part = tuple(map(slice, shape))
        summed: Array = self.engine.summarise(scores[part], norms[part], leads, size)
        return summed

    def score_exactly(self, pattern: IntegerTemplate, cells: SummaryGrid | None) -> Scored:
        """Score without rounding but for the last steps."""
        places = valid_shape(self.shape, pattern.window)
        if self.direct:
            product = direct_products().correlate(self.values, pattern.pairs, places)
        else:
            pairs = zip(self.spectra, pattern.spectra, strict=True)
            product = transforms.correlate_spectra(pairs, self.tiling)
        template = float(pattern.variance)
        if self.alone and pattern.mask is None:
            variance = np.empty(places, pattern.whole.wide)
            windows = self._windows(pattern)
            broken = self.engine.score_alone(product, *windows, pattern.sums, variance, template)
        else:
            sums, variance = self.moments(pattern, single=False)
            broken = self.engine.score_exactly(product, sums, pattern.sums, variance, template, pattern.count)
        _check(broken)
        return product, variance, True, cells and self._sum_up(product, variance, cells)

    def moments(self, pattern: IntegerTemplate, *, single: bool) -> Any:
        """Give the windows' inverse norms, or their sums and their squares about the mean.

        They are kept until another shape is asked for.
        """
        key = pattern.shape, pattern.whole.narrow, pattern.whole.wide
        if (key, single) not in self._moments:
            if (key, not single) not in self._moments:
                self._moments = {}
            self._moments[key, single] = self._sum(pattern, single=single)
        return self._moments[key, single]

    def _sum(self, pattern: IntegerTemplate, *, single: bool) -> Any:
        places, wide = valid_shape(self.shape, pattern.window), pattern.whole.wide
        sums = np.empty((len(self.channels), *([0, 0] if single else places)), wide)
        room = np.empty if pattern.mask is None else np.zeros
        variance = room(places, np.float32 if single else wide)
        if pattern.mask is None:
            windows = self._windows(pattern)
            if single:
                largest = self.engine.inverse_norms(*windows, np.empty(places[1], wide), variance)
                return InverseNorms(variance, largest, pattern.window)
            self.engine.moments(*windows, sums, variance)
        else:
            self._sum_masked(pattern, sums, variance)
            if single:
                return InverseNorms(variance, self.engine.invert(variance), pattern.window)
        return sums, variance

    def _windows(self, pattern: IntegerTemplate) -> tuple[Any, ...]:
        """Give what compiled code sums windows of, their size, and room for that."""
        work = np.zeros((len(self.channels) + 1, self.shape[1] + 1), pattern.whole.narrow)
        return tuple(self.channels), *pattern.window, self.centres or (), work

    def _sum_masked(self, pattern: IntegerTemplate, sums: Array, variance: Array) -> None:
        count = pattern.count
        for i, (channel, centre, own) in enumerate(zip(self.channels, self.centres or (), sums, strict=True)):
            if len(pattern.runs) <= self.engine.MOST_RUNS:
                work = np.zeros((2, self.shape[0], self.shape[1] + 1), pattern.whole.narrow)
                self.engine.add_masked_moments(channel, pattern.runs, count, centre, work, own, variance)
            else:  # exact too: products of squares by 0 or 1 are no larger than those with the template
                products = (
                    transforms.correlate_spectra([(spectra[i], pattern.mask_spectrum)], self.tiling)
                    for spectra in (self.spectra, self.spectra_of_squares)
                )
                self.engine.round_moments(*products, count, own, variance)

    @cached_property
    def spectra_single(self) -> tuple[list[Array], float]:
        """Of the channels about their means, and the largest sum of squares of a row or a column, added up."""
        spectra, squares = [], 0.0
        for channel in self.channels:
            values = transforms.empty_tile(self.tiling, np.float32)
            squares += self.engine.load(channel, values)
            spectra.append(transforms.transform(values, self.tiling, overwrite=True))
        return spectra, squares

    @cached_property
    def spectra(self) -> list[Array]:
        return self._transform(squared=False)

    @cached_property
    def spectra_of_squares(self) -> list[Array]:
        return self._transform(squared=True)

    def _transform(self, *, squared: bool) -> list[Array]:
        """Spectra of the channels about their centres, or of the squares of that."""
        spectra = []
        for channel, centre in zip(self.channels, self.centres or (), strict=True):
            values = transforms.empty_tile(self.tiling, np.float64)
            self.engine.place(channel, centre, squared, values)
            spectra.append(transforms.transform(values, self.tiling, overwrite=True))
        return spectra

    @cached_property
    def values(self) -> Array:
        """The channels about their centres, for products without transforms."""
        tile: Array = direct_products().empty_tile(len(self.channels), self.shape)
        for channel, centre, values in zip(self.channels, self.centres or (), tile, strict=True):
            self.engine.place(channel, centre, squared=False, out=values)
        return tile


def _low_contrast_from(lines: float) -> float:
    """Give the inverse norm beyond which windows are too faint for single precision."""
    return TRUSTED_SINGLE / (_SELDOM * single_error(lines)) if lines else math.inf


def score_places(channels: Sequence[Array], pattern: IntegerTemplate, places: Array, engine: Any) -> Array:
    """Score single places by definition; minus infinity where a window has no contrast."""
    if not len(places):
        return np.empty(0)
    many = max(1, _GROUP_PIXELS // pattern.count)
    if len(places) > many:
        parts = (places[start : start + many] for start in range(0, len(places), many))
        return np.concatenate([score_places(channels, pattern, part, engine) for part in parts])
    scores: Array = engine.score_windows(*_ready(channels, places, pattern.window), *pattern.by_definition)
    return scores


def _ready(channels: Sequence[Array], places: Array, window: Shape) -> tuple[tuple[Array, ...], Array]:
    """Give channels as compiled code takes them, tiles as they are, and of others the windows one below the other."""
    if all(channel.flags.carray and channel.dtype.isnative for channel in channels):
        return tuple(channels), places
    views = (np.lib.stride_tricks.sliding_window_view(channel, window) for channel in channels)
    windows = (
        np.ascontiguousarray(view[tuple(places.T)], view.dtype.newbyteorder("=")).reshape(-1, window[1])
        for view in views
    )
    starts = np.zeros_like(places)
    starts[:, 0] = np.arange(len(places)) * window[0]
    return tuple(windows), starts


def _check(broken: int) -> None:
    if broken:
        msg = f"{broken} scores are outside [-1, 1]: this is a bug in tmatch, please report it"
        raise ArithmeticError(msg)
