"""Expected number of false alarms, estimated from the score map."""

import math
import numbers
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.casting import as_float
from tmatch._arrays.typing import Array, Positions
from tmatch._detection.null.footprint import Footprint
from tmatch._detection.null.summary import ScoreSummary
from tmatch._detection.null.tails import (
    MIN_FALSE_ALARMS,
    VARIANCE_BOUNDS,
    AnalyticTail,
    FittedTail,
    clip,
    evidence_of,
)

_LOBE_SHARE = 0.98  # side lobes are lower than this share of the score of the copy
_LOBE_FACTOR = 1.1  # by which the scores around a copy may be higher than expected
CERTAIN = 0.005  # false alarms of certified copies that are no part of the null distribution, at most
_MAX_KEPT = 100  # positions whose false alarms are kept
_SINGLE_ERROR = 2e-4  # by which the score of a cell's peak may be off in single precision, twice
ROUNDING = 1.006  # numbers above a limit by more than this factor stay above it when rounded to three digits


@dataclass(frozen=True)
class Others:
    """Peaks of a score map that nothing explains: their positions, scores, and likeness beyond white noise."""

    positions: Positions
    scores: Array
    likeness: Array


@dataclass(frozen=True)
class NullDistribution:
    """The distribution of the scores of one map at positions where the template is not.

    Parameters
    ----------
    effective_pixels : float
        Independent pixels whose scores have the same variance.
    n_fitted : int
        Peaks and minima that the tail was fitted to; 0 if there were too few.
    cells : ScoreSummary
        The map.
    local_variance : array
        Mean square of the scores around each cell.
    tail : FittedTail or AnalyticTail
        The upper tail.
    copies : array
        False alarms of the peak of each cell as a copy, certified or one of a group; infinite if it is no such.
    group : array of bool
        The cells whose peaks are a group.
    others : callable
        Returns the highest peaks that nothing explains; those of a likeness, at least, if one is given.
    footprint : callable
        Computes the scores around a copy.
    fit_without : callable
        Fits once more, without the peaks of some cells.
    """

    effective_pixels: float
    n_fitted: int
    cells: ScoreSummary
    local_variance: Array
    tail: FittedTail | AnalyticTail
    copies: Array
    group: NDArray[np.bool_]
    others: Callable[..., Others]
    footprint: Callable[[], Footprint]
    fit_without: Callable[[NDArray[np.bool_]], "NullDistribution"]
    kept: dict[tuple[bytes, bytes], NDArray[np.float64]] = field(
        init=False, default_factory=dict, compare=False, repr=False
    )

    def false_alarms(
        self, positions: Positions, scores: Array, *, n_tests: float = 1.0
    ) -> NDArray[np.float64]:
        """Compute the expected number of false alarms at these scores, in this map or in so many tests like it.

        All false alarms are computed and rounded here. They are rounded before they are multiplied, too, as limits
        are shared among tests.
        """
        if not len(scores):
            return np.empty(0)
        rounded = self._rounded(positions, scores)
        return rounded if n_tests == 1 else _round(rounded * n_tests)

    def _rounded(self, positions: Positions, scores: Array) -> NDArray[np.float64]:
        """Compute and round the false alarms in one map; those of few positions, asked for often, are kept."""
        if len(scores) > _MAX_KEPT:
            return self._computed(positions, scores)
        key = positions.tobytes(), scores.tobytes()
        if key not in self.kept:
            self.kept.clear()
            self.kept[key] = self._computed(positions, scores)
        return self.kept[key]

    def _computed(self, positions: Positions, scores: Array) -> NDArray[np.float64]:
        expected = self.tail.expect(self._evidence(positions, scores))
        expected = np.minimum(expected, self.as_copies(positions, scores))
        return _round(np.maximum(expected, MIN_FALSE_ALARMS))

    def expected(self, positions: Positions, scores: Array) -> NDArray[np.float64]:
        """Compute the expected number of false alarms by the tail alone, not rounded."""
        return np.asarray(self.tail.expect(self._evidence(positions, scores)))

    @property
    def has_copies(self) -> bool:
        """Whether some peaks are certified copies."""
        return bool((self.copies[~self.group] <= CERTAIN).any())

    def least_scores(
        self, false_alarms: float, which: NDArray[np.intp] | slice = slice(None)
    ) -> NDArray[np.float64]:
        """Compute the score in each cell at which so many false alarms are expected; 1 where there may be none.

        `which` are the indices of some cells on the flattened map.
        """
        least = self._least_of(self.local_variance.ravel()[which], false_alarms)
        copies, high = self.copies.ravel()[which], self.cells.high.ravel()[which]
        least = np.minimum(least, np.where(copies <= false_alarms, high - _SINGLE_ERROR, np.inf))
        return least.reshape(self.copies.shape) if isinstance(which, slice) else least

    def may_reach(self, false_alarms: float, margin: float) -> NDArray[np.intp]:
        """Find the few cells, as indices on the flattened map, whose best score may have so few false alarms."""
        [least] = self._least_of(self.local_variance.min(keepdims=True).ravel(), false_alarms)
        return np.flatnonzero((self.cells.high >= least - margin) | (self.copies <= false_alarms))

    def _least_of(self, variance: Array, false_alarms: float) -> NDArray[np.float64]:
        """Compute the score at which so many false alarms are expected among scores of some variance."""
        bounded = clip(variance, *VARIANCE_BOUNDS)
        exponent = 2 * self.tail.needed(false_alarms) * bounded / (1 - bounded)
        return np.asarray(np.sqrt(-np.expm1(-exponent)))

    def as_copies(self, positions: Positions, scores: Array) -> Array:
        """Return the false alarms of positions as copies; infinite for those that are none."""
        cells = self.cells.of(positions)
        return np.where(scores >= self.cells.high[cells] - _SINGLE_ERROR, self.copies[cells], np.inf)

    def side_lobes(self, positions: Positions, scores: Array, false_alarms: float) -> NDArray[np.intp]:
        """Find for each peak, best first, a better one beside which it is no evidence; -1 where there is none.

        What counts is by how much the score is above the one expected there. Copies are no side lobes.
        """
        better = np.full(len(positions), -1, np.intp)
        is_copy = self.as_copies(positions, scores) <= false_alarms
        kept: list[int] = []
        for i in range(len(positions)):
            if kept and not is_copy[i]:
                for k, expected in self.beside(positions, scores, i, kept):
                    if expected > false_alarms:
                        better[i] = k
                        break
            if better[i] < 0:
                kept.append(i)
        return better

    def beside(
        self, positions: Positions, scores: Array, i: int, others: Sequence[int]
    ) -> Iterator[tuple[int, float]]:
        """Find the better ones beside which a peak lies, and the false alarms of what it adds to their side lobes."""
        footprint = self.footprint()
        shifts = positions[i] - positions[others]
        near = (np.abs(shifts) < footprint.window).all(axis=1) & (scores[i] < _LOBE_SHARE * scores[others])
        for k in np.flatnonzero(near).tolist():
            expected = footprint.beside(float(scores[others[k]]), shifts[k].tolist())
            excess = np.array([max(scores[i] - _LOBE_FACTOR * expected, 0.0)])
            yield others[k], float(self.tail.expect(self._evidence(positions[i : i + 1], excess))[0])

    def without(self, positions: Positions) -> "NullDistribution":
        """Fit the tail once more, without the peaks at these positions."""
        excluded = np.zeros(self.local_variance.shape, bool)
        excluded[self.cells.of(positions)] = True
        return self.fit_without(excluded)

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


def effective_pixels(channels: Sequence[Array], weights: Array) -> float:
    """Count the independent pixels of a template: ``N / sum(a^2)`` with its autocorrelation a, 1 at shift 0."""
    from scipy import fft  # noqa: PLC0415

    channels = [as_float(channel) for channel in channels]
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
