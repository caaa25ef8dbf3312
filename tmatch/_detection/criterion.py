"""Which peaks of a score map are accepted as matches."""

import math
import numbers
from dataclasses import dataclass, replace

import numpy as np

from tmatch._arrays.options import Prefilter
from tmatch._arrays.typing import Array, Positions
from tmatch._arrays.validation import check_count, check_name
from tmatch._detection.false_alarms import ROUNDING, NullDistribution
from tmatch._results.matches import check_overlap
from tmatch._scoring.metrics import METRICS

SINGLE_MARGIN = 2e-4  # twice the error bound of `match_template` in single precision
DEFAULT_FALSE_ALARMS = 0.01  # one false match in a hundred searches


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
    """Which peaks are matches: by their false alarms or a threshold, then by distance, overlap and number.

    Made and validated by `Criterion.of`. `false_alarms` is None if a threshold decides. Candidates whose score reaches
    `copy_score` are kept whatever their false alarms: where templates compete, these are estimated once more.
    """

    false_alarms: float | None = None
    threshold: float | None = None
    max_count: int | None = None
    max_overlap: float = 0.3
    min_distance: int = 1
    prefilter: Prefilter = "auto"
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
    ) -> "Criterion":
        """Validate the options of `locate` that decide; by default 0.01 false alarms are allowed."""
        _check_decision(false_alarms, threshold, metric)
        _check_prefilter(prefilter, threshold, metric)
        check_count("min_distance", min_distance)
        check_count("max_count", max_count)
        check_overlap(max_overlap)
        if threshold is None and false_alarms is None:
            false_alarms = DEFAULT_FALSE_ALARMS
        return cls(false_alarms, threshold, max_count, max_overlap, min_distance, prefilter)

    def shared_by(self, n_tests: float, *, copy_score: float = math.inf) -> "Criterion":
        """Return the criterion of one of so many tests that share the false alarms allowed."""
        if self.false_alarms is None:
            return self
        return replace(self, false_alarms=self.false_alarms / n_tests, copy_score=copy_score)

    def accepts(self, found: Candidates) -> Array:
        """Check which candidates have a score that is high enough."""
        if self.threshold is not None:
            return np.asarray(found.decision_scores >= self.threshold)
        if self.false_alarms is None or found.null is None:
            return np.ones(len(found.positions), bool)
        scores = found.decision_scores
        few = found.null.false_alarms(found.positions, scores) <= self.false_alarms
        return np.asarray((few & (scores >= 0)) | (scores >= self.copy_score))

    def choose(self, found: Candidates) -> Candidates:
        """Return the candidates whose score is high enough."""
        return found.select(self.accepts(found))

    def floors(self, null: NullDistribution) -> Array:
        """Return the least scores that may be accepted in each cell; infinity where no score is that high."""
        if self.false_alarms is None:  # a threshold is known beforehand
            raise AssertionError
        floors = np.minimum(null.least_scores(self.false_alarms * ROUNDING), self.copy_score)
        return np.where(null.cells.high >= floors - SINGLE_MARGIN, floors, math.inf)


def _check_decision(false_alarms: float | None, threshold: float | None, metric: str) -> None:
    """Check that there is one way to decide, and that it could find something."""
    if threshold is not None and false_alarms is not None:
        msg = f"`false_alarms` is {false_alarms!r} and `threshold` is {threshold!r}: two ways to decide, give one"
        raise ValueError(msg)
    if threshold is not None:
        _check_threshold(threshold, metric)
        return
    if not METRICS[metric].has_null_model:
        known = " and ".join(name for name, info in METRICS.items() if info.has_null_model)
        msg = (
            f'`metric` is "{metric}", but false alarms can be estimated for {known} only; give a `threshold`'
        )
        raise ValueError(msg)
    if false_alarms is not None and not (
        isinstance(false_alarms, numbers.Real) and 0 < false_alarms <= 1e300
    ):
        msg = (
            f"`false_alarms` is {false_alarms!r}; it must be a number above 0, as 0.01 for one false match "
            "in a hundred searches"
        )
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
