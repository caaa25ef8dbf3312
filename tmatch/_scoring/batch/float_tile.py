"""A tile of an image of any real numbers; window sums are in fixed point.

Pixels are a constant of the tile plus an integer number of small units, so that sums are exact whatever their order.
Windows whose contrast is too low for these units, or for the rounding of transforms, are doubtful. Constant ones score
0. Where there are many others, pixels far from their values are replaced; that leaves a tile with a smaller range, and
the same scores where no pixel was replaced. The rest is scored by definition.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from tmatch._arrays.casting import compilable
from tmatch._arrays.finite import check_finite
from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Positions, Region, Shape
from tmatch._engine.interface import SummaryGrid
from tmatch._engine.real_tiles import DOUBTFUL, HIDDEN
from tmatch._engine.tiling import rounding_bound
from tmatch._scoring.batch.bands import contain, range_of_most, sample_of
from tmatch._scoring.batch.floats import FloatTemplate
from tmatch._scoring.batch.tile import ImageTile, InverseNorms, Scored, check_range

_EPS = float(np.finfo(np.float64).eps)
_TRUSTED = 3e-10  # scores that may have a larger error are computed otherwise
_TRUSTED_UNITS = 2e-5  # error of scores in single precision that the units of fixed point may cause
_SAMPLED_ROWS = 16  # one row in so many says where the values of a tile lie
_MAX_EXPONENT = 900  # of the factor of a tile, which is finite times the units too
# Of doubtful windows for each pixel of a tile; with more, other bands of values are faster.
_WINDOW_PIXELS = 60
_BANDS = 24  # maximum number of tiles that one is scored in again

_T = TypeVar("_T")
Band = tuple[list[Array], FloatTemplate, Array]


@dataclass(frozen=True)
class FixedPoint:
    """The digits of a tile, the tile about its constants, and norms: of its largest row or column, and its own."""

    digits: Array
    values: list[Array]
    scales: tuple[float, float]
    line_squares: float
    squares: float


@dataclass
class _Doubtful:
    """How doubtful windows are scored: in other tiles or by other templates, each some windows, or by definition."""

    bands: list[tuple["FloatTile", FloatTemplate, Array]]
    positions: Positions


class FloatTile(ImageTile[FloatTemplate]):
    """A tile of an image of any real numbers."""

    valid: Array | None = None  # which pixels are valid; None for all

    def __init__(
        self, channels: list[Array], like: FloatTemplate, corner: Sequence[int], **options: Any
    ) -> None:
        self._wanted: Array | None = options.pop("wanted", None)
        self._budget: list[int] | None = options.pop("budget", None)
        self.centred = like.centred
        self._constants: dict[tuple[int, bool], tuple[list[float], float]] = {}
        super().__init__([_with_rows(compilable(c)) for c in channels], like, corner, **options)

    def score_double(self, template: FloatTemplate, grid: SummaryGrid | None) -> Scored:
        """Score in double precision."""
        norms = self._norms_double(template)
        product = self.transforms.correlate(zip(self._spectra, template.spectra, strict=True))
        scores = product[tuple(map(slice, norms.values.shape))]
        check_range(self.engine.scale_double(product, norms.values, norms.shift))
        if norms.largest >= DOUBTFUL:
            self._settle(template, norms, scores)
        return product, norms.values, True, grid and self._summarise(product, norms.values, grid)

    # --- norms and spectra ------------------------------------------------------------------------

    @cached_property
    def spectra_single(self) -> tuple[list[Array], float]:
        """Spectra of the channels about a constant, and the largest sums of squares of a row or column, added."""
        tile = self._single
        return [self.transforms.transform(v, overwrite=True) for v in tile.values], tile.line_squares

    @cached_property
    def _spectra(self) -> list[Array]:
        return [self.transforms.transform(v, overwrite=True) for v in self._double.values]

    @cached_property
    def _spectra_of_squares(self) -> list[Array]:
        """Spectra of the squares of the channels about their constants."""
        squares = [np.square(values, out=values) for values in self._split(np.float64, 1).values]
        return [self.transforms.transform(values, overwrite=True) for values in squares]

    def _inverse_norms(self, template: FloatTemplate) -> InverseNorms:
        """Return the inverse norms of windows in single precision, with low digits if high ones are too coarse."""

        def compute() -> InverseNorms:
            if template.box is None:
                return self._without_constant(self._weighted_norms(template, np.float32), template)
            norms = self._norms(
                template, self._single, np.float32, self._limits(self._single, _TRUSTED_UNITS)
            )
            if norms.largest < DOUBTFUL:
                return norms
            fine = self._split(np.float32, 2)
            return self._without_constant(
                self._norms(template, fine, np.float32, self._limits(fine, _TRUSTED_UNITS)), template
            )

        result: InverseNorms = self._cached("single", template, compute)
        return result

    def _norms_double(self, template: FloatTemplate) -> InverseNorms:
        def compute() -> InverseNorms:
            if template.box is not None:
                norms = self._norms(template, self._double, np.float64, self._limits_double(self._double))
            else:
                norms = self._weighted_norms(template, np.float64)
            return self._without_constant(norms, template)

        result: InverseNorms = self._cached("double", template, compute)
        return result

    def _norms(
        self, template: FloatTemplate, tile: FixedPoint, dtype: Any, limits: tuple[float, float]
    ) -> InverseNorms:
        values = np.empty(valid_shape(self.shape, template.window), dtype)
        largest = self.engine.fixed_norms(
            tile.digits, template.bounds, template.centred, tile.scales, limits, values
        )
        return InverseNorms(values, largest, template.window)

    def _weighted_norms(self, template: FloatTemplate, dtype: Any) -> InverseNorms:
        """Compute norms by transforms in double precision."""
        sums, squares = (
            tuple(
                self.transforms.correlate([pair])
                for pair in zip(spectra, template.weight_spectra, strict=True)
            )
            for spectra in (self._spectra, self._spectra_of_squares)
        )
        values = np.empty(valid_shape(self.shape, template.window), dtype)
        # Both sums are rounded, and so is the product; pixels are at most 1, so that squares have no larger norm.
        norm, (weight_norm, value_norm) = math.sqrt(self._double.squares), template.norms
        tiling = self.transforms.tiling
        least = max(
            (rounding_bound(norm * value_norm, tiling) / _TRUSTED) ** 2,
            rounding_bound(3 * norm * weight_norm, tiling) / _TRUSTED,
        )
        largest = self.engine.weighted_norms(
            sums, squares, template.totals, float(template.count), least, values
        )
        return InverseNorms(values, largest, template.window)

    def _without_constant(self, norms: InverseNorms, template: FloatTemplate) -> InverseNorms:
        """Set the inverse norms of constant windows to 0."""
        if norms.largest < DOUBTFUL:
            return norms
        constant = norms.values >= DOUBTFUL
        top, left, height, width = template.bounds
        rows, columns = constant.shape
        part = slice(top, top + rows + height - 1), slice(left, left + columns + width - 1)
        for channel in self.channels:
            constant &= self._constant_windows(channel, part, (height, width))
        norms.values[constant] = 0
        return replace(norms, largest=float(norms.values.max()))

    def _constant_windows(self, channel: Array, part: Region, window: Shape) -> Array:
        """Find the windows in a part of a channel whose pixels are all equal, or 0 if means are not subtracted."""
        boxes = channel[part]
        found = np.empty(valid_shape(boxes.shape, window), bool)
        self.engine.constant_windows(boxes, window[0], window[1], found)
        if not self.centred:
            found &= boxes[tuple(map(slice, found.shape))] == 0
        return found

    def _limits_double(self, tile: FixedPoint) -> tuple[float, float]:
        least, share = self._limits(tile, _TRUSTED)
        rounding = rounding_bound(math.sqrt(tile.squares), self.transforms.tiling) / _TRUSTED  # of transforms
        return max(rounding**2, least), share

    def _limits(self, tile: FixedPoint, trusted: float) -> tuple[float, float]:
        """Return the limits of `Engine.fixed_norms` above which window sums cost scores less than what is trusted.

        These are limits by half of the last digit in every pixel, by the squares of low digits that are cut off, and,
        as a share of the sum of squares, by the rounding of the last subtraction.
        """
        unit, parts = tile.scales
        smallest = unit * (parts if len(tile.digits) > 1 else 1)
        digits, squares = 1 / (smallest * trusted) ** 2, 1 / (smallest * unit * trusted)
        return self._points * max(digits, squares), 8 * _EPS / trusted

    # --- fixed point ------------------------------------------------------------------------------

    @property
    def _points(self) -> int:
        """Number of pixels in the largest window, all channels together."""
        return math.prod(self.transforms.tiling.window) * len(self.channels)

    @cached_property
    def _single(self) -> FixedPoint:
        return self._split(np.float32, 1)

    @cached_property
    def _double(self) -> FixedPoint:
        return self._split(np.float64, 2)

    def _split(self, dtype: type[np.floating[Any]], limbs: int) -> FixedPoint:
        """Split pixels into digits about constants that a sample suggests; if they do not fit, that all suggest."""
        channels = self.channels
        for every in (_SAMPLED_ROWS, 1):
            tile = self._try_to_split(channels, every, dtype, limbs)
            if tile is not None:
                return tile
        check_finite("image", channels, self.corner)
        largest = max(float(np.abs(channel).max()) for channel in channels)
        near_one = [np.ldexp(channel.astype(np.float64), -math.frexp(largest)[1]) for channel in channels]
        tile = self._try_to_split(near_one, 1, dtype, limbs)
        if tile is None:
            msg = "a finite tile has no fixed point: this is a bug in tmatch, please report it"
            raise ArithmeticError(msg)
        return tile

    def _try_to_split(
        self, channels: list[Array], every: int, dtype: type[np.floating[Any]], limbs: int
    ) -> FixedPoint | None:
        """Split pixels into digits; None if one does not fit, or is not finite."""
        # Sums of squares must stay below 2**62.
        unit_bits = min(30, int((62 - math.log2(self._points)) / 2))
        scales = 2.0**unit_bits, 2.0 ** min(24, unit_bits)
        # The same for all digits: what is to be subtracted from products depends on them.
        key = every, channels is self.channels
        if key not in self._constants:
            self._constants[key] = constants_of(channels, every, centred=self.centred)
        constants, factor = self._constants[key]
        self._fill(channels, constants)
        digits = np.empty((limbs, len(channels), *self.shape), np.int32)
        values = [self.transforms.empty_tile(dtype) for _ in channels]
        found = [
            self.engine.split(*parts[:2], factor, scales, *parts[2:])
            for parts in zip(channels, constants, values, np.moveaxis(digits, 1, 0), strict=True)
        ]
        lines, squares = (sum(column) for column in list(zip(*found, strict=True))[:2])
        fits = max(digit for _, _, digit in found) <= scales[0] and math.isfinite(lines + squares)
        return FixedPoint(digits, values, scales, lines, squares) if fits else None

    def _fill(self, channels: list[Array], constants: list[float]) -> None:
        """Write the constants where pixels are missing."""

    # --- doubtful windows -------------------------------------------------------------------------

    def _settle(self, template: FloatTemplate, norms: InverseNorms, scores: Array) -> None:
        """Score the windows whose scores in double precision are doubtful."""
        doubtful: _Doubtful = self._cached("doubtful", template, lambda: self._plan_doubtful(template, norms))
        for band, other, windows in doubtful.bands if self.shared else _drain(doubtful.bands):
            found, band_norms = band.score_double(other, None)[:2]
            scores[windows] = found[tuple(map(slice, scores.shape))][windows]
            norms.values[windows & (band_norms == 0)] = 0
        self._rescore(template, scores, norms, doubtful.positions)

    def _plan_doubtful(self, template: FloatTemplate, norms: InverseNorms) -> _Doubtful:
        doubtful, hidden = norms.values >= DOUBTFUL, norms.values >= HIDDEN
        if self._wanted is not None:
            doubtful &= self._wanted
        found = _Doubtful([], np.empty((0, 2), np.intp))
        budget = self._budget or [_BANDS]  # of one shape of windows, with its bands of bands
        for band, left in ((self._band, doubtful & ~hidden), (self._band_of_template, doubtful & hidden)):
            found.bands.extend(self._plan_bands(template, band, left, budget))
            found.positions = np.concatenate([found.positions, np.argwhere(left)])
        return found

    def _plan_bands(
        self, template: FloatTemplate, band: Callable[..., Band | None], left: Array, budget: list[int]
    ) -> Iterator[tuple["FloatTile", FloatTemplate, Array]]:
        """Return bands for most of the windows that are left, if these are many, and take them off."""
        limit = _WINDOW_PIXELS * math.prod(self.shape) // (template.count * len(self.channels))
        while (count := np.count_nonzero(left)) > limit and budget[0] > 0:
            budget[0] -= 1
            found = band(template, left)
            if found is None:
                break
            channels, other, windows = found
            windows &= left
            if np.count_nonzero(windows) * 16 < count:
                break
            left &= ~windows
            options = {"shared": self.shared, "wanted": windows, "budget": budget}
            yield self._with_other(channels, other, options), other, windows

    def _with_other(
        self, channels: list[Array], template: FloatTemplate, options: dict[str, Any]
    ) -> "FloatTile":
        """Return the same tile with other pixels."""
        return FloatTile(channels, template, self.corner, **options)

    @np.errstate(over="ignore", invalid="ignore")  # ranges beyond floats are no smaller than the tile's
    def _band(self, template: FloatTemplate, doubtful: Array) -> Band | None:
        """Replace pixels far from the values of some doubtful windows.

        Return the channels, the template, and the windows without a replaced pixel; None if no range of values is much
        smaller than that of the tile.
        """
        positions = sample_of(doubtful, template.window)
        windows = np.stack([self._windows(c, template, positions) for c in self.channels], axis=1)
        counted = None if self.valid is None else self._windows(self.valid, template, positions)[:, None] > 0
        best = range_of_most(windows, counted, self.channels, centred=self.centred)
        if best is None:
            return None
        channels, replaced = [], np.zeros(self.shape, bool)
        for channel, centre in zip(self.channels, best[0], strict=True):
            far = np.abs(channel - centre) > best[1]
            far &= True if self.valid is None else self.valid
            channels.append(np.where(far, channel.dtype.type(centre), channel))
            replaced |= far
        return channels, template, ~contain(replaced, template.window)

    def _band_of_template(self, template: FloatTemplate, doubtful: Array) -> Band | None:  # noqa: ARG002
        """Do the same with pixels of the template, where those are hidden; None if none can be."""
        return None

    @staticmethod
    def _windows(values: Array, template: FloatTemplate, positions: Positions) -> Array:
        view = np.lib.stride_tricks.sliding_window_view(values, template.window)
        return np.asarray(view[tuple(positions.T)], np.float64)


def _drain(items: list[_T]) -> Iterator[_T]:
    """Take items from a list, one by one, so that none is kept once it was used."""
    while items:
        yield items.pop(0)


def _with_rows(channel: Array) -> Array:
    """Return an array of which compiled code knows that rows are contiguous, and that can be written to."""
    pitch, step = channel.strides
    known = step == channel.itemsize and pitch % step == 0 and pitch >= channel.shape[1] * step
    return channel if known and channel.flags.writeable else channel.copy()


def constants_of(channels: list[Array], every: int, *, centred: bool) -> tuple[list[float], float]:
    """Return a constant near the values of each channel, and a power of two that brings the rest below a half.

    They are those of a sample: one row in `every`. Constants are 0 if not `centred`.
    """
    constants, largest = [], 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # found when pixels are split
        for channel in channels:
            rows = channel[::every]
            low, high, constant = float(rows.min()), float(rows.max()), float(rows.mean(dtype=np.float64))
            above, below = high - constant, constant - low
            if not centred:
                constant, above, below = 0.0, high, -low
            elif not max(above, below) <= 20 * min(above, below):  # a few huge values drag the mean
                constant = float(np.median(rows[:, ::8]))
                above, below = high - constant, constant - low
            # Differences from a constant of the dtype of the pixels are exact, if they are near it.
            constant = float(np.float32(constant)) if channel.dtype == np.float32 else constant
            constants.append(constant)
            largest = max(largest, above, below)
    exponent = math.frexp(2 * largest)[1] if 0 < largest < math.inf else 0
    return constants, 2.0 ** -max(-_MAX_EXPONENT, min(_MAX_EXPONENT, exponent))
