"""Which peaks of a score map are accepted as matches."""

import math
import numbers
from dataclasses import dataclass, replace

import numpy as np

from tmatch._arrays.options import Prefilter
from tmatch._arrays.typing import Array, Positions
from tmatch._arrays.validation import check_count, check_name
from tmatch._detection.false_alarms import ROUNDING, NullDistribution, check_false_alarms
from tmatch._detection.peaks import LOWEST
from tmatch._results.matches import check_overlap
from tmatch._scoring.metrics import METRICS, MetricInfo

SINGLE_MARGIN = 2e-4  # twice the error bound of `match_template` in single precision
DEFAULT_FALSE_ALARMS = 0.01  # one false match in a hundred searches
_LOOSER = 10.0  # false alarms of what is recorded beside matches, at least, and factor of those allowed
_LOWER = 0.2  # by which a score that is recorded may be below the threshold; a share of it where scores have no bounds


@dataclass(frozen=True)
class Candidates:
    """Peaks of one score map in row-major order, with the null distribution of its scores.

    After filtering, `scores` are those of the arrays as they are, and `filtered_scores` decide.
    """

    positions: Positions
    scores: Array
    null: NullDistribution | None
    filtered_scores: Array | None = None

    @property
    def decision_scores(self) -> Array:
        """The scores that decide."""
        return self.scores if self.filtered_scores is None else self.filtered_scores

    def select(self, which: Array) -> "Candidates":
        """Return some of the candidates."""
        filtered = None if self.filtered_scores is None else self.filtered_scores[which]
        return Candidates(self.positions[which], self.scores[which], self.null, filtered)


@dataclass(frozen=True)
class Criterion:
    """Which peaks are matches: by their false alarms, a threshold or both, then by distance, overlap and number.

    Made and validated by `Criterion.of`. `false_alarms` is None if a threshold alone decides. Candidates
    whose score reaches `copy_score` are kept whatever their false alarms: where templates compete, these are estimated
    once more. With `must_be_alike`, noise must explain how far a score is below that of a copy.
    """

    false_alarms: float | None = None
    threshold: float | None = None
    max_count: int | None = None
    max_overlap: float = 0.3
    min_distance: int = 1
    prefilter: Prefilter = "auto"
    copies_only: bool = False
    must_be_alike: bool = True
    copy_score: float = math.inf

    @classmethod
    def of(
        cls,
        metric: str,
        *,
        false_alarms: float | None = None,
        threshold: float | None = None,
        max_count: int | None = None,
        max_overlap: float = 0.3,
        min_distance: int = 1,
        prefilter: Prefilter = "auto",
        copies_only: bool = False,
    ) -> "Criterion":
        """Validate the options of `locate` that decide; by default 0.01 false alarms are allowed."""
        _check_decision(false_alarms, threshold, metric)
        _check_prefilter(prefilter, threshold if false_alarms is None else None, metric)
        check_count("min_distance", min_distance)
        check_count("max_count", max_count, or_none=True)
        check_overlap(max_overlap)
        if threshold is None and false_alarms is None:
            false_alarms = DEFAULT_FALSE_ALARMS
        _check_copies(metric, copies_only)
        return cls(
            false_alarms, threshold, max_count, max_overlap, min_distance, prefilter, bool(copies_only)
        )

    def shared_by(self, n_tests: float, *, copy_score: float = math.inf) -> "Criterion":
        """Return the criterion of one of so many tests that share the false alarms allowed."""
        if self.false_alarms is None or (n_tests == 1 and copy_score == self.copy_score):
            return self
        return replace(self, false_alarms=self.false_alarms / n_tests, copy_score=copy_score)

    def loosened(self, metric: MetricInfo) -> "Criterion":
        """Return a criterion that accepts more, for reports that ask what other limits would accept."""
        allowed, threshold = self.false_alarms, self.threshold
        if allowed is not None:
            allowed = max(_LOOSER, _LOOSER * allowed)
        if threshold is not None:
            step = _LOWER if metric.bounded else _LOWER * abs(threshold)
            threshold = max(round(threshold - step, 9), metric.bounds[0])
        return replace(self, false_alarms=allowed, threshold=threshold)

    def accepts(self, found: Candidates) -> Array:
        """Check which candidates have a score that is high enough."""
        return self.reaches_threshold(found) & self.has_few_false_alarms(found)

    def reaches_threshold(self, found: Candidates) -> Array:
        """Check which candidates reach the threshold, in the arrays as they are."""
        if self.threshold is None:
            return np.ones(len(found.positions), bool)
        return np.asarray(found.scores >= self.threshold)

    def has_few_false_alarms(self, found: Candidates, n_tests: float = 1) -> Array:
        """Check which candidates have no more false alarms than are allowed in one of so many tests."""
        if self.false_alarms is None or found.null is None:
            return np.ones(len(found.positions), bool)
        scores = found.decision_scores
        few = found.null.false_alarms(found.positions, scores) <= self.false_alarms / n_tests
        return np.asarray((few & (scores >= 0)) | (scores >= self.copy_score))

    def choose(self, found: Candidates) -> Candidates:
        """Return the candidates whose score is high enough."""
        return found.select(self.accepts(found))

    def floors(self, null: NullDistribution | None) -> Array | None:
        """Return the minimum score that may be accepted in each cell; infinity where no score is that high.

        None if cells do not differ, as a threshold decides or there is no null distribution.
        """
        if self.false_alarms is None or null is None:
            return None
        allowed, high = self.false_alarms * ROUNDING, null.cells.high
        floors = np.full(high.size, math.inf)
        which: Array | slice = slice(None)
        if self.copy_score == math.inf:
            which = null.may_reach(allowed, SINGLE_MARGIN)
        least = np.minimum(null.least_scores(allowed, which).ravel(), self.copy_score)
        floors[which] = np.where(high.ravel()[which] >= least - SINGLE_MARGIN, least, math.inf)
        return floors.reshape(high.shape)

    def floor(self, null: NullDistribution | None) -> float:
        """Return the minimum score that may be accepted anywhere; infinity if no score is that high."""
        floors = self.floors(null)
        if floors is not None:
            return float(floors.min())
        return LOWEST if self.threshold is None else self.threshold


def _check_decision(false_alarms: float | None, threshold: float | None, metric: str) -> None:
    """Check that it can be decided, and that something could be found."""
    if threshold is not None:
        _check_threshold(threshold, metric)
        if false_alarms is None:
            return
    if not METRICS[metric].has_null_model:
        known = " and ".join(name for name, info in METRICS.items() if info.has_null_model)
        msg = f'`metric` is "{metric}", but false alarms can be estimated for {known} only; give a `threshold` alone'
        raise ValueError(msg)
    if false_alarms is not None:
        check_false_alarms(false_alarms)


def _check_copies(metric: str, copies_only: bool) -> None:  # noqa: FBT001
    """Check that copies can be distinguished."""
    if copies_only and METRICS[metric].directions:
        msg = f'`copies_only` is {copies_only!r} and `metric` is "{metric}", which does not compare pixels; use "zncc"'
        raise ValueError(msg)


def _check_threshold(threshold: float, metric: str) -> None:
    """Check that some score could reach the threshold."""
    low, high = METRICS[metric].bounds
    if not isinstance(threshold, numbers.Real) or not (low <= threshold <= high and np.isfinite(threshold)):
        bounds = {(-1.0, 1.0): "from -1 to 1", (-np.inf, 0.0): "at most 0, for a perfect fit"}
        known = bounds.get((low, high), "finite numbers")
        msg = (
            f"`threshold` is {threshold!r}; {metric} scores are {known}: name one that some place could reach"
        )
        raise ValueError(msg)


def _check_prefilter(prefilter: Prefilter, threshold: float | None, metric: str) -> None:
    """Check that filtered arrays can be decided on."""
    check_name("prefilter", prefilter, Prefilter)
    if prefilter not in ("auto", "none") and (threshold is not None or metric != "zncc"):
        given = f"`threshold` is {threshold!r}" if threshold is not None else f'`metric` is "{metric}"'
        msg = (
            f'`prefilter` is "{prefilter}" and {given}: filtered images are decided on by zncc and `false_alarms`; '
            'leave one of them out, or use "none"'
        )
        raise ValueError(msg)
