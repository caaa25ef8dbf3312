"""The scores that a copy of a template leaves around itself."""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Shape

REACH = 5  # cells around a copy that it may explain
HEIGHTS = (1.0, 0.95, 0.85, 0.7, 0.5, 0.35)  # scores of copies that footprints are computed for
_CLEAN = 2e-3  # least variance of the noise around a copy, in units of the template's


class Footprint:
    """The scores expected around a copy of a template, at all shifts at which the two overlap.

    A copy of score h lies in noise of ``1 / h^2 - 1`` times the template's variance. The ground beside it is as high as
    the template's mean, or as the median of its rim, or like more of the template: then scores are h times the
    autocorrelation. The highest of the three is expected at most, the lowest at least.
    """

    def __init__(self, channels: Sequence[Array], weights: Sequence[Array]) -> None:
        self.window = channels[0].shape
        self._own, self._grounds = _correlations(channels, weights)
        self._in_cells: dict[Shape, Array] = {}

    def at(self, height: float) -> tuple[Array, Array]:
        """Compute the highest and the lowest expected score for each shift; the lowest are negated, none is below 0."""
        noise = max(1 / height**2 - 1, _CLEAN)
        each = [numerator / np.sqrt(variance + noise) for numerator, variance in self._grounds]
        each.append(height * self._own)
        highest, lowest = functools.reduce(np.maximum, each), functools.reduce(np.minimum, each)
        return np.clip(highest, 0, 1), np.clip(-lowest, 0, 1)

    def in_cells(self, size: Shape) -> Array:
        """Compute the highest expected scores for each difference of cells, up to REACH: of heights and both signs."""
        if size not in self._in_cells:
            parts = [[_highest_in_cells(part, size) for part in self.at(height)] for height in HEIGHTS]
            self._in_cells[size] = np.array(parts)
        return self._in_cells[size]

    def beside(self, height: float, shift: Sequence[int]) -> float:
        """Compute the highest score expected within a pixel of a shift from a copy with a score."""
        at = [d + n - 1 for d, n in zip(shift, self.window, strict=True)]
        near = tuple(slice(max(i - 1, 0), i + 2) for i in at)
        noise = max(1 / height**2 - 1, _CLEAN)
        each = [(num[near] / np.sqrt(var[near] + noise)).max() for num, var in self._grounds]
        return float(max(*each, height * self._own[near].max(), 0.0))


def _correlations(
    channels: Sequence[Array], weights: Sequence[Array]
) -> tuple[Array, list[tuple[Array, Array]]]:
    """Correlate a template with itself, and with itself on two grounds.

    Return the autocorrelation, 1 at shift 0; and for each ground the numerators of scores and the variances of windows,
    in units of the template's.
    """
    from scipy import fft  # noqa: PLC0415

    shape = channels[0].shape
    points = [fft.next_fast_len(2 * n - 1, real=True) for n in shape]

    def spectrum(values: Array) -> Array:
        return np.asarray(fft.rfftn(values, points))

    def correlation(first: Array, second: Array) -> Array:
        values = fft.irfftn(np.conj(first) * second, points)
        for axis, n in enumerate(shape):  # shifts from -(n - 1) to n - 1
            values = np.take(values, np.arange(1 - n, n), axis=axis)
        return values

    own: Array | float = 0.0
    numerators: list[Array | float] = [0.0, 0.0]
    variances: list[Array | float] = [0.0, 0.0]
    energy = 0.0
    for channel, weight in zip(channels, weights, strict=True):
        weight = np.broadcast_to(weight, shape).astype(np.float64)  # noqa: PLW2901
        there = (weight > 0).astype(np.float64)
        if not weight.any():
            continue
        mean = float((weight * channel).sum() / weight.sum())
        centred = (channel - mean) * there
        rim = _rim_median(centred, there > 0)
        weighted, weights_spectrum, there_spectrum = map(spectrum, (weight * centred, weight, there))
        content, content_squares = spectrum(centred), spectrum(centred * centred)
        products, on_there = correlation(weighted, content), correlation(weighted, there_spectrum)
        mass, first, second = (
            correlation(weights_spectrum, s) for s in (there_spectrum, content, content_squares)
        )
        own = own + products
        energy += float((weight * centred * centred).sum())
        for i, ground in enumerate((0.0, rim)):
            numerators[i] = numerators[i] + products - ground * on_there
            sum_of_squares = second - 2 * ground * first + ground * ground * mass
            deviation = first - ground * mass
            variances[i] = variances[i] + np.maximum(sum_of_squares - deviation * deviation / weight.sum(), 0)
    energy = energy or 1.0  # directions may all be the same: then nothing is expected beside a copy
    grounds = [
        (np.asarray(n) / energy, np.asarray(v) / energy) for n, v in zip(numerators, variances, strict=True)
    ]
    return np.asarray(own) / energy, grounds


def _rim_median(values: Array, there: NDArray[np.bool_]) -> float:
    """Return the median of the pixels at the edge of a template; 0 if none of them counts."""
    rim = there.copy()
    rim[tuple(slice(1, -1) if n > 2 else slice(None) for n in values.shape)] = False
    return float(np.median(values[rim])) if rim.any() else 0.0


def _highest_in_cells(values: Array, size: Shape) -> Array:
    """Find the maximum over all shifts between two positions in cells so many cells apart."""
    for axis, side in enumerate(size):
        moved = np.moveaxis(values, axis, 0)
        reach, middle = (REACH + 1) * side, len(moved) // 2
        padded = np.zeros((2 * reach + 1, *moved.shape[1:]))
        known = min(reach, middle)
        padded[reach - known : reach + known + 1] = moved[middle - known : middle + known + 1]
        between = padded[:-1].reshape(2 * (REACH + 1), side, *moved.shape[1:]).max(axis=1)
        between = np.maximum(between, padded[side::side])
        values = np.moveaxis(np.maximum(between[:-1], between[1:]), 0, axis)
    return values
