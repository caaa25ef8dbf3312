"""Expected number of false alarms, estimated from the score map."""

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Positions
from tmatch._detection.summary import ScoreSummary, with_neighbours
from tmatch._detection.tails import (
    MAX_FITTED_SCORE,
    MIN_TAIL,
    POWER,
    VARIANCE_BOUNDS,
    AnalyticTail,
    FittedTail,
    clip,
    evidence_of,
)

_LOCAL = 0.5  # weight of the surroundings in the local variance of scores, beside that of the whole map
# Peaks below the best one are not fitted either if they can only be matches, see `estimate_chance`.
_MAX_COPY_FALSE_ALARMS = 1e-4
COPY_SCORE = 0.7  # minimum score of such peaks: half of the window's variance is the template's
_MIN_GAP = 3.0  # minimum distance from all lower peaks, in scales of the tail
_EQUAL = 1.001  # in single precision it is not certain which of equal peaks is the highest
_MIN_FALSE_ALARMS = 1e-300
ROUNDING = 1.006  # numbers above a limit by more than this factor stay above it when rounded to three digits


@dataclass(frozen=True)
class NullDistribution:
    """The distribution of the scores of one map at positions where the template is not.

    `cells` summarise the map, `local_variance` is the mean square of the scores around each cell, and
    `template_pixels` computes the template's own effective pixels, if they are needed.
    """

    effective_pixels: float
    n_fitted: int  # peaks and minima; 0 if there were too few
    cells: ScoreSummary
    local_variance: Array
    tail: FittedTail | AnalyticTail
    template_pixels: Callable[[], float]

    def false_alarms(
        self, positions: Positions, scores: Array, *, n_tests: float = 1.0, at_least: float = 0.0
    ) -> NDArray[np.float64]:
        """Compute the expected number of false alarms at these scores, in this map or in so many tests like it.

        All false alarms are computed and rounded here. They are rounded before they are multiplied, too, as limits
        are shared among tests.
        """
        expected = self.tail.expect(self._evidence(positions, scores))
        rounded = _round(np.maximum(expected, _MIN_FALSE_ALARMS))
        if n_tests == 1 and at_least == 0:
            return rounded
        return _round(np.maximum(rounded * n_tests, at_least))

    def least_scores(self, false_alarms: float) -> NDArray[np.float64]:
        """Compute the score in each cell at which so many false alarms are expected; 1 where there may be none."""
        variance = clip(self.local_variance, *VARIANCE_BOUNDS)
        exponent = 2 * self.tail.needed(false_alarms) * variance / (1 - variance)
        least: NDArray[np.float64] = np.sqrt(-np.expm1(-exponent))
        return least

    def without(self, positions: Positions) -> "NullDistribution":
        """Fit the tail once more, without the peaks at these positions."""
        excluded = np.zeros(self.local_variance.shape, bool)
        excluded[self.cells.of(positions)] = True
        return fit_null(self.cells, self.template_pixels, excluded)

    def evidence(self, positions: Positions, scores: Array) -> Array:
        """Compute the evidence of scores, which is comparable between templates."""
        return self._evidence(positions, scores) * self.tail.weight

    def _evidence(self, positions: Positions, scores: Array) -> Array:
        variance = self.local_variance[self.cells.of(positions)]
        return evidence_of(np.minimum(scores, self.tail.max_score), variance)


def check_false_alarms(false_alarms: float) -> None:
    """Check that a number of false alarms can be allowed."""
    if not (isinstance(false_alarms, numbers.Real) and 0 < false_alarms <= 1e300):
        msg = (
            f"`false_alarms` is {false_alarms!r}; it must be a number above 0, as 0.01 for one false match "
            "in a hundred searches"
        )
        raise ValueError(msg)


def fit_null(
    cells: ScoreSummary, template_pixels: Callable[[], float], excluded: NDArray[np.bool_] | None = None
) -> NullDistribution:
    """Fit the null distribution to a score map summarised in cells.

    Peaks in `excluded` cells are not fitted: another template explains them.
    """
    squares, count = cells.sums.reshape(2, -1).sum(axis=1).tolist()
    everywhere = squares / max(count, 1)
    variance = _LOCAL * cells.mean_square() + (1 - _LOCAL) * everywhere
    effective = 1 / max(everywhere, 1e-9)
    extrema = np.minimum(cells.extrema, MAX_FITTED_SCORE)
    highest = _local_maxima(extrema, variance)
    if excluded is not None:
        highest[0] &= ~excluded
    scores, n_peaks = extrema[highest], np.count_nonzero(highest[0])  # those of peaks come first
    evidence = evidence_of(scores, np.broadcast_to(variance, highest.shape)[highest])
    peaks, minima = evidence[:n_peaks], evidence[n_peaks:]
    if len(minima) >= MIN_TAIL:
        n_kept = max(len(peaks) - _count_matches(peaks, scores[:n_peaks], minima), 0)
        kept = np.partition(peaks, max(n_kept - 1, 0))[:n_kept] if n_kept else peaks[:0]
        both = np.concatenate([kept, minima])
        if len(both) >= 2 * MIN_TAIL:
            tail = FittedTail.of(both)
            return NullDistribution(effective, len(both), cells, variance, tail, template_pixels)
    return _analytic_null(cells, template_pixels)


def _count_matches(peaks: Array, scores: Array, minima: Array) -> int:
    """Count the best peaks, by evidence, that are not to be fitted: the first, and those that can only be copies."""
    if np.count_nonzero(scores >= COPY_SCORE) < 2:
        return 1
    order = np.argsort(-peaks, kind="stable")
    tail, powers = FittedTail.of(minima), peaks[order] ** POWER
    expected = 2 * tail.expect(
        peaks[order]
    )  # half of what a tail is fitted to are peaks, but here all are minima
    copies = (expected < _MAX_COPY_FALSE_ALARMS) & (scores[order] >= COPY_SCORE)
    apart = powers - np.append(powers[1:], 0) > _MIN_GAP * tail.scale
    last = np.flatnonzero(np.logical_and.accumulate(copies) & apart)
    return int(last[-1]) + 1 if len(last) else 1


def _analytic_null(cells: ScoreSummary, template_pixels: Callable[[], float]) -> NullDistribution:
    """Return the null distribution of white noise with as many pixels, where there is too little to fit."""
    high, (squares, count) = cells.high, cells.sums
    # The first of equal ones: which of them is the highest depends on rounding.
    best = np.unravel_index(np.argmax(_EQUAL * high >= high.max()), high.shape)
    far = np.ones(high.shape, bool)
    far[tuple(slice(max(b - 1, 0), b + 2) for b in best)] = False  # it may be a match
    n_far = count[far].sum()
    variance = squares[far].sum() / n_far if n_far else 0.0
    effective = max(min(template_pixels(), 1 / max(variance, 1e-9)), 1.1)
    tail = AnalyticTail(max(float(count.sum()), 1.0), effective)
    return NullDistribution(effective, 0, cells, np.full(high.shape, 0.5), tail, template_pixels)


def _local_maxima(extrema: Array, variance: Array) -> NDArray[np.bool_]:
    """Find the cells with no less evidence than their neighbours, among peaks and among minima."""
    # Up to a factor.
    evidence = -np.log(1 - extrema * extrema) / np.maximum(variance, VARIANCE_BOUNDS[0], dtype=np.float32)
    top: NDArray[np.bool_] = (evidence > 0) & (_EQUAL * evidence >= with_neighbours(evidence, largest=True))
    return top


def effective_pixels(channels: Sequence[Array], weights: Array) -> float:
    """Count the independent pixels of a template: ``N / sum(a^2)`` with its autocorrelation a, 1 at shift 0."""
    from scipy import fft  # noqa: PLC0415

    if not math.isfinite(weights.size * max(float(np.abs(channel).max()) for channel in channels)):
        channels = [channel * 2.0**-100 for channel in channels]  # their sums could overflow
    values = [channel - float((weights * channel).sum() / weights.sum()) for channel in channels]
    largest = max(float(np.abs(value).max()) for value in values) or 1.0
    points = [fft.next_fast_len(2 * n - 1) for n in weights.shape]
    power = sum(np.abs(fft.fftn(value / largest * weights, points)) ** 2 for value in values)
    if not np.any(power):
        return 1.0
    squares = np.mean(np.square(power)) / np.mean(power) ** 2  # by Parseval: of the autocorrelations
    n_alike = weights.sum() ** 2 / np.square(weights).sum()  # pixels of equal weight that are worth as much
    return max(1.0, float(n_alike / squares))


def _round(values: Array) -> NDArray[np.float64]:
    """Round to three digits."""
    return np.array([float(f"{value:.3g}") for value in values.tolist()])
