"""Expected number of false alarms, estimated from the score map."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.channels import split_channels, without_channel_axis
from tmatch._arrays.typing import Array, Positions
from tmatch._arrays.validation import check_numbers
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

_LOCAL = 0.5  # how much the surroundings of a place count for what is usual there, beside the whole map
_OUTLIER = 1e-4  # false alarms of peaks that are taken for matches, and not learnt from
COPY_SCORE = 0.7  # least score of such peaks: half of what is seen is the template's
_APART = 3.0  # how far they stand out from all others, in scales of the tail
_EQUAL = 1.001  # nor is it certain then which of equal peaks is the highest
_MIN_FALSE_ALARMS = 1e-300  # false alarms


@dataclass(frozen=True)
class Chance:
    """What chance gives in one search: how often it reaches a score at a place.

    Made by `estimate_chance`.

    Parameters
    ----------
    effective_pixels : float
        Independent pixels that a score seems to be made of, from the mean square of all scores.
    learnt_from : int
        Number of peaks and hollows that were learnt from; 0 if there were too few, see `estimate_chance`.
    cells, usual, tail, pixels
        The map summed up in cells, the mean square of scores around each, and what was learnt.
    """

    effective_pixels: float
    learnt_from: int
    cells: ScoreSummary
    usual: Array  # mean square of scores around each cell
    tail: "FittedTail | AnalyticTail"
    pixels: Callable[[], float]

    def false_alarms(self, places: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
        """Give the number of peaks as good as these that chance would give in the whole search.

        Parameters
        ----------
        places : (N, ndim) array of int
            Indices into the score map.
        scores : (N,) array of real numbers
            The scores there.

        Returns
        -------
        (N,) array of float64
            Rounded to three digits, as it is an estimate. Large where a score is worth nothing.

        Examples
        --------
        >>> import numpy as np
        >>> import tmatch
        >>> image = np.random.default_rng(0).normal(size=(200, 200))
        >>> chance = tmatch.estimate_chance(tmatch.match_template(image, image[:12, :12]), image[:12, :12])
        >>> chance.false_alarms([[50, 50], [50, 50]], [0.4, 1.0]) < [1, 1e-6]
        array([ True,  True])
        """
        evidence = self._evidence(np.asarray(places, np.intp), np.asarray(scores, np.float64))
        return _round(np.maximum(self.tail.expect(evidence), _MIN_FALSE_ALARMS))

    def least_scores(self, false_alarms: float) -> NDArray[np.float64]:
        """Give the scores that so many false alarms ask for, in each cell of the map; 1 where perhaps none is enough.

        Parameters
        ----------
        false_alarms : float
            The number that is allowed, above 0.

        Returns
        -------
        array of float64
            One for each cell of `cell_shape` places.
        """
        usual = clip(self.usual, *VARIANCE_BOUNDS)
        exponent = 2 * self.tail.needed(false_alarms) * usual / (1 - usual)
        least: NDArray[np.float64] = np.sqrt(-np.expm1(-exponent))
        return least

    def without(self, places: Positions) -> "Chance":
        """Learn once more, but not from these places."""
        explained = np.zeros(self.usual.shape, bool)
        explained[self.cells.of(places)] = True
        return fit_null(self.cells, self.pixels, explained)

    def evidence(self, places: Positions, scores: Array) -> Array:
        """Tell how unlikely scores are at places, the same way for all templates."""
        return self._evidence(places, scores) * self.tail.weight

    def _evidence(self, places: Positions, scores: Array) -> Array:
        return evidence_of(np.minimum(scores, self.tail.most), self.usual[self.cells.of(places)])

    @property
    def cell_shape(self) -> tuple[int, ...]:
        """Positions in a cell, on each axis."""
        return self.cells.size


def estimate_chance(
    scores: ArrayLike,
    template: ArrayLike,
    /,
    *,
    valid: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    channel_axis: int | None = None,
) -> Chance:
    """Learn from a score map what scores chance gives in it.

    Parameters
    ----------
    scores : array of real numbers in [-1, 1]
        A score map of "zncc" or "orientation".
    template : array of real numbers
        The template that was sought.
    valid : array of bool or None
        Which scores mean something, see `score_validity`; None: those that are not 0.
    mask : array of bool or of weights, of the template's shape, or None
        The template's mask.
    channel_axis : int or None
        The template's axis of channels.

    Returns
    -------
    Chance
        It tells how many false alarms a score at a place means, and which scores are enough.

    Raises
    ------
    ValueError
        If the shapes do not go together, or scores are outside [-1, 1].

    Notes
    -----
    A score r is judged by its evidence ``q = -(1 - v) / (2 v) log(1 - r^2)``, where v is the mean square of the scores
    around it, averaged with that of the whole map: 1 / v independent pixels would give such scores by chance, and q
    is then the logarithm of how seldom they reach r. Surroundings in which scores are high anyway, as slopes and
    other smooth things, thus count less.

    What is rare in this very image is learnt from the peaks of the map, a cell of a quarter of the template's side
    holding one at most, and from its hollows, which are the peaks of the inverted template: it is not there,
    and no match can spoil what it tells. Of all the k most unlikely ones (3 %, at least 20), with u the least of them,
    the mean of ``q^0.8 - u^0.8`` gives the scale b of the tail: ``k / 2 (1 + (q^0.8 - u^0.8) / (k b))^-k`` false
    alarms. Peaks that the hollows call rarer than 1e-4, and the best one, are left out, as they may be matches.

    Where there are fewer than 40 peaks and hollows, the score is taken for that of as many independent pixels as the
    template has, by its autocorrelation (M. S. Bartlett, 1935), or 1 / v if less; false alarms are
    then ``N P(R > r)`` for N places, and R^2 has the beta distribution of correlations of white noise.

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
    values, sought = check_numbers("scores", scores), check_numbers("template", template)
    window = without_channel_axis(sought.shape, channel_axis)
    if values.size == 0 or len(window) != values.ndim or values.max() > 1 + 1e-6 or values.min() < -1 - 1e-6:
        msg = (
            f"`scores` has shape {values.shape} and values from {values.min(initial=0):.3g} to "
            f"{values.max(initial=0):.3g}; it must be a map of scores in [-1, 1] with the axes of the template"
        )
        raise ValueError(msg)
    told = values != 0 if valid is None else np.asarray(valid, bool)
    if told.shape != values.shape:
        msg = f"`valid` has shape {told.shape}; it must have that of `scores`, {values.shape}"
        raise ValueError(msg)
    channels = split_channels(sought, channel_axis)
    weights = np.ones(channels[0].shape) if mask is None else np.asarray(mask, np.float64)
    survey = SummaryBuilder(values.shape, channels[0].shape)
    survey.add(tuple(slice(0, n) for n in values.shape), values, told)
    return fit_null(survey.cells(), lambda: effective_pixels(channels, weights))


def fit_null(
    cells: ScoreSummary, pixels: Callable[[], float], explained: NDArray[np.bool_] | None = None
) -> Chance:
    """Learn from the cells of a score map.

    `pixels` tells the template's own effective pixels, if that is needed. What is `explained` by another template is
    not learnt from.
    """
    squares, count = cells.sums.reshape(2, -1).sum(axis=1).tolist()
    everywhere = squares / max(count, 1)
    usual = _LOCAL * cells.mean_square() + (1 - _LOCAL) * everywhere
    effective = 1 / max(everywhere, 1e-9)
    heights = np.minimum(cells.heights, MAX_FITTED_SCORE)
    tops = _local_maxima(heights, usual)
    if explained is not None:
        tops[0] &= ~explained
    scores, number = heights[tops], np.count_nonzero(tops[0])  # those of peaks come first
    evidence = evidence_of(scores, np.broadcast_to(usual, tops.shape)[tops])
    peaks, hollows = evidence[:number], evidence[number:]
    if len(hollows) >= MIN_TAIL:
        rest = max(len(peaks) - _count_matches(peaks, scores[:number], hollows), 0)
        learnable = np.partition(peaks, max(rest - 1, 0))[:rest] if rest else peaks[:0]
        both = np.concatenate([learnable, hollows])
        if len(both) >= 2 * MIN_TAIL:
            return Chance(effective, len(both), cells, usual, FittedTail.of(both), pixels)
    return _analytic_null(cells, pixels)


def _count_matches(peaks: Array, scores: Array, hollows: Array) -> int:
    """Count the first peaks that are not to be learnt from: the best one, and those which can only be copies."""
    if np.count_nonzero(scores >= COPY_SCORE) < 2:
        return 1
    order = np.argsort(-peaks, kind="stable")
    tail, heights = FittedTail.of(hollows), peaks[order] ** POWER
    copies = (2 * tail.expect(peaks[order]) < _OUTLIER) & (scores[order] >= COPY_SCORE)
    apart = heights - np.append(heights[1:], 0) > _APART * tail.scale
    last = np.flatnonzero(np.logical_and.accumulate(copies) & apart)
    return int(last[-1]) + 1 if len(last) else 1


def _analytic_null(cells: ScoreSummary, pixels: Callable[[], float]) -> Chance:
    """Where there is too little to learn from: as if of white noise with so many pixels."""
    high, (squares, count) = cells.high, cells.sums
    best = np.unravel_index(high.argmax(), high.shape)
    far = np.ones(high.shape, bool)
    far[tuple(slice(max(b - 1, 0), b + 2) for b in best)] = False  # it may be a match
    there = count[far].sum()
    usual = squares[far].sum() / there if there else 0.0
    effective = max(min(pixels(), 1 / max(usual, 1e-9)), 1.1)
    tail = AnalyticTail(max(float(count.sum()), 1.0), effective)
    return Chance(effective, 0, cells, np.full(high.shape, 0.5), tail, pixels)


def _local_maxima(heights: Array, usual: Array) -> NDArray[np.bool_]:
    """Find the cells that hold no less evidence than their neighbours, among peaks and among hollows."""
    evidence = -np.log(1 - heights * heights) / np.maximum(
        usual, VARIANCE_BOUNDS[0], dtype=np.float32
    )  # nearly
    top: NDArray[np.bool_] = (evidence > 0) & (_EQUAL * evidence >= with_neighbours(evidence, largest=True))
    return top


def effective_pixels(channels: Sequence[Array], weights: Array) -> float:
    """Count the independent pixels of a template: ``N / sum(a^2)`` with its autocorrelation a, 1 at shift 0."""
    from scipy import fft  # noqa: PLC0415

    values = [channel - float((weights * channel).sum() / weights.sum()) for channel in channels]
    largest = max(float(np.abs(value).max()) for value in values) or 1.0
    points = [fft.next_fast_len(2 * n - 1) for n in weights.shape]
    power = sum(np.abs(fft.fftn(value / largest * weights, points)) ** 2 for value in values)
    if not np.any(power):
        return 1.0
    squares = np.mean(np.square(power)) / np.mean(power) ** 2  # by Parseval: of the autocorrelations
    pixels = weights.sum() ** 2 / np.square(weights).sum()  # as many as count alike
    return max(1.0, float(pixels / squares))


def _round(values: Array) -> NDArray[np.float64]:
    """Round to three digits."""
    return np.array([float(f"{value:.3g}") for value in values.tolist()])
