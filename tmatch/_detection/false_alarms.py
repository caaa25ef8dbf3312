"""Expected number of false alarms, estimated from the score map."""

import math
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.channels import split_channels
from tmatch._arrays.typing import Array, Positions
from tmatch._arrays.validation import check_axis, check_numbers
from tmatch._detection.summary import ScoreSummary, SummaryBuilder, with_neighbours
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


class Chance:
    """Expected numbers of false alarms in one search.

    Made by `estimate_chance`.

    Parameters
    ----------
    null : NullDistribution
        What was estimated; private.

    Attributes
    ----------
    effective_pixels : float
        Independent pixels whose scores have the same variance: 1 over the mean square of all scores. With too few
        peaks, 1 over that of the scores away from the best, but no more than the template has by its autocorrelation.
    learnt_from : int
        Number of peaks and minima that the tail was fitted to; 0 if there were too few, see `estimate_chance`.
    cell_shape : tuple of int
        Positions in a cell, on each axis: the null distribution has one local variance per cell.

    See Also
    --------
    locate : decides by these numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.random.default_rng(0).normal(size=(200, 200))
    >>> tmatch.estimate_chance(tmatch.match_template(image, image[:12, :12]), image[:12, :12]).cell_shape
    (3, 3)
    """

    def __init__(self, null: NullDistribution) -> None:
        self._null = null

    def __repr__(self) -> str:
        return f"Chance(effective_pixels={self.effective_pixels:.4g}, learnt_from={self.learnt_from})"

    @property
    def effective_pixels(self) -> float:
        """Independent pixels whose scores have the same variance."""
        return self._null.effective_pixels

    @property
    def learnt_from(self) -> int:
        """Number of peaks and minima that the tail was fitted to."""
        return self._null.n_fitted

    @property
    def cell_shape(self) -> tuple[int, ...]:
        """Positions in a cell, on each axis."""
        return self._null.cells.size

    def false_alarms(self, places: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
        """Compute the expected number of false alarms: of peaks as good as these where the template is absent.

        Parameters
        ----------
        places : (N, ndim) array of int
            Indices into the score map.
        scores : (N,) array of real numbers
            The scores there.

        Returns
        -------
        (N,) array of float64
            Expected in the whole search; rounded to three digits, as it is an estimate. Large where a score is no
            evidence.

        Examples
        --------
        >>> import numpy as np
        >>> import tmatch
        >>> image = np.random.default_rng(0).normal(size=(200, 200))
        >>> chance = tmatch.estimate_chance(tmatch.match_template(image, image[:12, :12]), image[:12, :12])
        >>> chance.false_alarms([[50, 50], [50, 50]], [0.4, 1.0]) < [1, 1e-6]
        array([ True,  True])
        """
        return self._null.false_alarms(np.asarray(places, np.intp), np.asarray(scores, np.float64))

    def least_scores(self, false_alarms: float) -> NDArray[np.float64]:
        """Compute the score at which so many false alarms are expected, in each cell of the map.

        Parameters
        ----------
        false_alarms : float
            The number that is allowed, above 0.

        Returns
        -------
        array of float64
            One score for each cell of `cell_shape` positions; 1 where perhaps no score is high enough.

        Raises
        ------
        ValueError
            If `false_alarms` is not above 0.

        Examples
        --------
        >>> import numpy as np
        >>> import tmatch
        >>> image = np.random.default_rng(0).normal(size=(200, 200))
        >>> chance = tmatch.estimate_chance(tmatch.match_template(image, image[:12, :12]), image[:12, :12])
        >>> (chance.least_scores(0.01) > chance.least_scores(1)).all()
        np.True_
        """
        check_false_alarms(false_alarms)
        return self._null.least_scores(false_alarms)


@own_errstate
def estimate_chance(
    scores: ArrayLike,
    template: ArrayLike,
    /,
    *,
    valid: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    channel_axis: int | None = None,
) -> Chance:
    """Estimate the null distribution of a score map: its scores where the template is absent.

    Parameters
    ----------
    scores : array of real numbers in [-1, 1]
        A score map of "zncc" or "orientation".
    template : array of real numbers
        The template that was sought.
    valid : array of bool or None
        Which scores are valid, see `score_validity`; None: those that are not 0.
    mask : array of bool or of weights, of the template's shape (with or without channels), or None
        The template's mask; of several channels that of the first.
    channel_axis : int or None
        The template's axis of channels.

    Returns
    -------
    Chance
        Computes the false alarms expected at a score, and the scores for a number of false alarms.

    Raises
    ------
    ValueError
        If the shapes do not go together, scores are outside [-1, 1], or the template has no axis `channel_axis`.
    TypeError
        If an array does not hold real numbers.

    See Also
    --------
    locate : estimates this from its own scores, and decides by it.

    Notes
    -----
    The evidence of a score r is ``q = -(1 - v) / (2 v) log(1 - r^2)``, where v is the local variance: the mean square
    of the scores around it, averaged with that of the whole map. 1 / v independent pixels have scores of this variance,
    and q is the negative logarithm of how rarely they reach r. Where scores are high in general, as on slopes and other
    smooth surfaces, the same score thus counts less.

    The tail of the null distribution is fitted to the peaks of the map (at most one per cell, a quarter of the
    template's side) and to its minima, which are the peaks of the negated template: it is absent from the image, so
    that no match contaminates them. Of all the k largest q (3 %, at least 20), with u the next one below them, the
    mean of ``q^0.8 - u^0.8`` is the scale b of the tail: ``k / 2 (1 + (q^0.8 - u^0.8) / (k b))^-k`` false alarms.

    The best peak is left out of the fit, as it may be a match. Further peaks, from the best on down, are left out only
    if they can be nothing else, that is if each of them has a score of at least 0.7 and fewer than 1e-4 false alarms by
    the tail of the minima alone, and they stand apart from all lower peaks, by more than three scales b of that tail.

    With fewer than 20 minima, or 40 peaks and minima, scores are taken for those of independent pixels, as many as the
    template has by its autocorrelation (M. S. Bartlett, 1935), but no more than 1 over the mean square of the scores
    away from the best one. The false alarms are then ``N P(R > r)`` for N positions, and R^2 has the beta distribution
    of correlations of white noise.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.random.default_rng(0).normal(size=(200, 200))
    >>> template = image[90:102, 40:52] + np.random.default_rng(1).normal(size=(12, 12))
    >>> scores = tmatch.match_template(image, template)
    >>> chance = tmatch.estimate_chance(scores, template)
    >>> bool(chance.false_alarms([[90, 40]], scores[90:91, 40])[0] < 0.01)
    True
    """
    values, pixels = check_numbers("scores", scores), check_numbers("template", template)
    channels = split_channels(pixels, check_axis("template", pixels, channel_axis))
    if (
        values.size == 0
        or channels[0].ndim != values.ndim
        or values.max() > 1 + 1e-6
        or values.min() < -1 - 1e-6
    ):
        msg = (
            f"`scores` has shape {values.shape} and values from {values.min(initial=0):.3g} to "
            f"{values.max(initial=0):.3g}; it must be a map of scores in [-1, 1] with the axes of the template"
        )
        raise ValueError(msg)
    is_valid = values != 0 if valid is None else np.asarray(valid, bool)
    if is_valid.shape != values.shape:
        msg = f"`valid` has shape {is_valid.shape}; it must have that of `scores`, {values.shape}"
        raise ValueError(msg)
    weights = np.ones(channels[0].shape) if mask is None else _mask_weights(mask, pixels, channel_axis)
    summary = SummaryBuilder(values.shape, channels[0].shape)
    summary.add(tuple(slice(0, n) for n in values.shape), values, is_valid)
    return Chance(fit_null(summary.merged(), lambda: effective_pixels(channels, weights)))


def _mask_weights(mask: ArrayLike, template: Array, channel_axis: int | None) -> Array:
    """Check a mask, and return its weights as floats, those of the first channel."""
    weights = check_numbers("mask", mask).astype(np.float64)
    if weights.shape == template.shape:
        return split_channels(weights, channel_axis)[0]
    shape = split_channels(template, channel_axis)[0].shape
    if weights.shape != shape:
        msg = f"`mask` has shape {weights.shape}; it must have the template's: {shape}, with or without channels"
        raise ValueError(msg)
    return weights


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
    best = np.unravel_index(high.argmax(), high.shape)
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
