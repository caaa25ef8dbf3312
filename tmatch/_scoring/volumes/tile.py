"""A tile of a volume of any real numbers; window sums are in fixed point, as those of `batch.float_tile` are."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.casting import compilable
from tmatch._arrays.finite import check_finite
from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array
from tmatch._engine.numpy.sliding import sliding
from tmatch._engine.real_tiles import DOUBTFUL
from tmatch._engine.tiling import rounding_bound
from tmatch._scoring.batch.bands import range_of_most, sample_of
from tmatch._scoring.batch.float_tile import constants_of
from tmatch._scoring.batch.tile import check_range
from tmatch._scoring.search import TRUSTED_SINGLE, single_error
from tmatch._scoring.volumes.template import ExactTemplate, VolumeTemplate

Scored = tuple[Array, Array]  # scores, and norms, 0 for constant windows
Band = tuple[Array, Array]  # pixels, some of which are replaced, and the windows that have none of these

_EPS = float(np.finfo(np.float64).eps)
_TRUSTED = 3e-10  # scores that may have a larger error are computed otherwise
_TRUSTED_UNITS = 2e-5  # error of scores in single precision that the units of fixed point may cause
_SAMPLED_SLICES = 16  # one slice in so many says where the values of a tile lie
# Pixels of doubtful windows for each pixel of a tile; with more, double precision or other bands of values are faster.
_WINDOW_PIXELS_SINGLE, _WINDOW_PIXELS = 10, 60
_BANDS = 24  # maximum number of tiles that one is scored in again


@dataclass(frozen=True)
class _FixedPoint:
    """The spectrum of a tile about a constant, its digits, and its sums of squares: the largest line's, and its own."""

    spectrum: Array
    digits: Array
    scales: tuple[float, float]
    line_squares: float
    squares: float


class VolumeTile:
    """A tile of a volume, which begins at `corner`. Of a `wanted` part of windows, doubtful ones are scored."""

    def __init__(
        self,
        pixels: Array,
        template: VolumeTemplate,
        corner: Sequence[int],
        wanted: Array | None = None,
        budget: list[int] | None = None,
    ) -> None:
        self.pixels, self.template, self.corner = np.ascontiguousarray(compilable(pixels)), template, corner
        self.transforms, self.engine, self.window = template.transforms, template.engine, template.window
        self.positions = valid_shape(pixels.shape, self.window)
        self._corner_part = tuple(map(slice, self.positions))
        self._wanted, self._budget = wanted, [_BANDS] if budget is None else budget

    def score_single(self) -> Scored | None:
        """Score in single precision; None if double precision is needed."""
        tile = self._split(np.float32, 1)
        norms, largest = self._norms(tile, np.float32, _limits(tile, self.template.count, _TRUSTED_UNITS))
        product = self.transforms.correlate([(tile.spectrum, self.template.spectrum_single)], overwrite=True)
        width = self.transforms.tiling.fft_shape[2]
        line_squares, out_of_range = self.engine.scale_volume(product, width, norms)
        # As many lines as a window is deep are summed up.
        lines = math.sqrt(self.window[0] * tile.line_squares * self.template.count) + math.sqrt(line_squares)
        error, scores = single_error(lines), product[self._corner_part]
        # Doubtful windows are scored otherwise also where the squares of a tile vanish.
        trusted = min(TRUSTED_SINGLE / error, DOUBTFUL / 2) if error else DOUBTFUL / 2
        if largest <= trusted:
            check_range(out_of_range)
            return scores, norms
        left = norms > trusted
        if np.count_nonzero(left) * self.template.count > _WINDOW_PIXELS_SINGLE * self.pixels.size:
            return None
        self._score_by_definition(left, scores, norms)
        return scores, norms

    def score_double(self) -> Scored:
        """Score in double precision."""
        tile = self._split(np.float64, 2)
        least, share = _limits(tile, self.template.count, _TRUSTED)
        rounding = rounding_bound(math.sqrt(tile.squares), self.transforms.tiling) / _TRUSTED
        norms, largest = self._norms(tile, np.float64, (max(rounding**2, least), share))
        product = self.transforms.correlate([(tile.spectrum, self.template.spectrum)], overwrite=True)
        for values, inverse in zip(product[: len(norms)], norms, strict=True):
            check_range(self.engine.scale_double(values, inverse))
        scores = product[self._corner_part]
        if largest >= DOUBTFUL:
            self._settle(scores, norms)
        return scores, norms

    def _norms(self, tile: _FixedPoint, dtype: Any, limits: tuple[float, float]) -> tuple[Array, float]:
        """Return the inverse norms of windows, 0 for constant ones, and the largest."""
        norms = np.empty(self.positions, dtype)
        largest = self.engine.volume_norms(tile.digits, self.window, tile.scales, limits, norms)
        if largest < DOUBTFUL:
            return norms, largest
        norms[self._constant_windows() & (norms >= DOUBTFUL)] = 0
        return norms, float(norms.max())

    def _constant_windows(self) -> Array:
        """Find the windows whose pixels are all equal: in each slice, and at one corner from slice to slice."""
        depth, height, width = self.window
        flat = np.empty((len(self.pixels), *self.positions[1:]), bool)
        for pixels, found in zip(self.pixels, flat, strict=True):
            self.engine.constant_windows(pixels, height, width, found)
        corners = self.pixels[:, : self.positions[1], : self.positions[2]]
        found = np.array(sliding(flat, (depth, 1, 1), np.logical_and))
        if depth > 1:
            found &= sliding(corners[1:] == corners[:-1], (depth - 1, 1, 1), np.logical_and)
        return found

    # --- fixed point ------------------------------------------------------------------------------

    def _split(self, dtype: type[np.floating[Any]], limbs: int) -> _FixedPoint:
        """Split pixels into digits about a constant that a sample suggests; if they do not fit, that all suggest."""
        for every in (_SAMPLED_SLICES, 1):
            tile = self._try_to_split(self.pixels, every, dtype, limbs)
            if tile is not None:
                return tile
        check_finite("image", [self.pixels], self.corner)
        largest = float(np.abs(self.pixels).max())
        near_one = np.ldexp(self.pixels.astype(np.float64), -math.frexp(largest)[1])
        tile = self._try_to_split(near_one, 1, dtype, limbs)
        if tile is None:
            msg = "a finite tile has no fixed point: this is a bug in tmatch, please report it"
            raise ArithmeticError(msg)
        return tile

    def _try_to_split(
        self, pixels: Array, every: int, dtype: type[np.floating[Any]], limbs: int
    ) -> _FixedPoint | None:
        """Split pixels into digits; None if one does not fit, or is not finite."""
        # Sums of squares must stay below 2**62.
        unit_bits = min(30, int((62 - math.log2(self.template.count)) / 2))
        scales = 2.0**unit_bits, 2.0 ** min(24, unit_bits)
        [constant], factor = constants_of([pixels], every, centred=True)
        digits = np.empty((limbs, *pixels.shape), np.int32)
        values = self.transforms.empty_tile(dtype)[: len(pixels)]
        found = [
            self.engine.split(pixels[z], constant, factor, scales, values[z], digits[:, z])
            for z in range(len(pixels))
        ]
        lines, squares, largest = (np.array(part) for part in zip(*found, strict=True))
        total = float(squares.sum())
        if not (largest.max() <= scales[0] and math.isfinite(float(lines.max()) + total)):
            return None
        spectrum = self.transforms.transform(values, overwrite=True)
        return _FixedPoint(spectrum, digits, scales, float(lines.max()), total)

    # --- doubtful windows -------------------------------------------------------------------------

    def _settle(self, scores: Array, norms: Array) -> None:
        """Score the windows whose scores in double precision are doubtful: in other tiles, or by definition."""
        left = norms >= DOUBTFUL
        if self._wanted is not None:
            left &= self._wanted
        for pixels, windows in self._bands(left):
            tile = VolumeTile(pixels, self.template, self.corner, windows, self._budget)
            found, band_norms = tile.score_double()
            scores[windows] = found[windows]
            norms[windows & (band_norms == 0)] = 0
        self._score_by_definition(left, scores, norms)

    def _bands(self, left: Array) -> Iterator[Band]:
        """Return bands for most of the windows that are left, while these are many, and take them off."""
        limit = _WINDOW_PIXELS * self.pixels.size // self.template.count
        while (count := np.count_nonzero(left)) > limit and self._budget[0] > 0:
            self._budget[0] -= 1
            band = self._band(left)
            if band is None or np.count_nonzero(band[1]) * 16 < count:
                return
            left &= ~band[1]
            yield band

    @np.errstate(over="ignore", invalid="ignore")  # ranges beyond floats are no smaller than the tile's
    def _band(self, doubtful: Array) -> Band | None:
        """Replace pixels far from the values of most doubtful windows; None if no range of values is much smaller."""
        pixels, positions = self.pixels, sample_of(doubtful, self.window)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, self.window)[tuple(positions.T)]
        rows = windows.reshape(len(positions), 1, -1, self.window[2]).astype(np.float64)
        best = range_of_most(rows, None, [pixels], centred=True)
        if best is None:
            return None
        [centre], reach = best
        far = np.abs(pixels - centre) > reach
        replaced = np.where(far, pixels.dtype.type(centre), pixels)
        return replaced, doubtful & ~sliding(far, self.window, np.logical_or)

    def _score_by_definition(self, left: Array, scores: Array, norms: Array) -> None:
        positions = np.argwhere(left)
        exact = self.template.score_positions(self.pixels, positions)
        constant = exact == -np.inf
        norms[tuple(positions[constant].T)] = exact[constant] = 0
        scores[tuple(positions.T)] = exact


def _limits(tile: _FixedPoint, count: int, trusted: float) -> tuple[float, float]:
    """Return the limits of `Engine.volume_norms` above which window sums cost scores less than what is trusted.

    They are those of `FloatTile`: by half of the last digit in every pixel, by the squares of low digits that are cut
    off, and, as a share of the sum of squares, by the rounding of the last subtraction.
    """
    unit, parts = tile.scales
    smallest = unit * (parts if len(tile.digits) > 1 else 1)
    digits, squares = 1 / (smallest * trusted) ** 2, 1 / (smallest * unit * trusted)
    return count * max(digits, squares), 8 * _EPS / trusted


def score_exactly(pixels: Array, template: VolumeTemplate, exact: ExactTemplate) -> Scored:
    """Score a tile of integers with exact sums; only the normalisation is rounded."""
    transforms, engine, [centre] = template.transforms, template.engine, exact.ranges.offsets
    narrow = {"b": np.uint8, "i": np.int16}.get(
        pixels.dtype.kind, pixels.dtype
    )  # code is compiled for few dtypes
    pixels = np.ascontiguousarray(pixels, narrow)
    values = transforms.empty_tile(np.float64)[: len(pixels)]
    for z in range(len(pixels)):
        engine.place(pixels[z], centre, False, values[z])  # noqa: FBT003
    spectrum = transforms.transform(values, overwrite=True)
    product = transforms.correlate([(spectrum, exact.spectrum)], overwrite=True)
    variance = np.empty(valid_shape(pixels.shape, template.window), exact.ranges.product_dtype)
    sum_dtype = exact.ranges.sum_dtype
    check_range(
        engine.score_volume(
            product, pixels, template.window, centre, sum_dtype, exact.sum, variance, exact.variance
        )
    )
    return product[tuple(map(slice, variance.shape))], variance
