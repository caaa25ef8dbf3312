"""Which peaks are accepted."""

import math
import numbers
from dataclasses import dataclass, field

import numpy as np

from tmatch._arrays.typing import Array, Positions
from tmatch._detection.false_alarms import Chance
from tmatch._scoring.metrics import METRICS

SINGLE_MARGIN = 2e-4  # twice what `match_template` promises for single precision
_ROUNDED = 1.006  # false alarms are rounded to three digits


@dataclass(frozen=True)
class Candidates:
    """Peaks of one search, in row-major order, with their scores, those that they are judged by, and chance's."""

    places: Positions
    scores: Array
    chance: Chance | None
    judged: Array = field(default_factory=lambda: np.empty(0))  # the scores, but for filtered pictures

    def __post_init__(self) -> None:
        if not self.judged.size:
            object.__setattr__(self, "judged", self.scores)

    def chosen(self, which: Array) -> "Candidates":
        """Leave others out."""
        return Candidates(self.places[which], self.scores[which], self.chance, self.judged[which])


@dataclass(frozen=True)
class Criterion:
    """Which peaks to find: those of a least score, or those of which chance would give no more than so many.

    With `also`, those that reach this score are found besides.
    """

    threshold: float | None = None
    false_alarms: float | None = None
    also: float = math.inf

    def choose(self, found: Candidates) -> Candidates:
        """Choose among peaks that may be enough."""
        if self.false_alarms is None or found.chance is None:
            return found
        return found.chosen(
            (found.chance.false_alarms(found.places, found.judged) <= self.false_alarms)
            | (found.judged >= self.also)
        )

    def floors(self, chance: Chance) -> Array:
        """Give the scores that are enough in each cell, if only just; infinity where none is."""
        if self.false_alarms is None:  # a threshold is known beforehand
            raise AssertionError
        floors = np.minimum(chance.least_scores(self.false_alarms * _ROUNDED), self.also)
        return np.where(chance.cells.high >= floors - SINGLE_MARGIN, floors, math.inf)


DEFAULT_FALSE_ALARMS = 0.01  # a match by chance in a hundred searches, where nothing else is asked for


def allowed_by(false_alarms: float | None, threshold: float | None) -> float | None:
    """Give the false alarms that are allowed; None if a threshold decides."""
    if threshold is not None:
        return None
    return DEFAULT_FALSE_ALARMS if false_alarms is None else false_alarms


def check_decision(false_alarms: float | None, threshold: float | None, metric: str) -> None:
    """Refuse two ways to decide, and one that could not."""
    if threshold is not None and false_alarms is not None:
        msg = f"`false_alarms` is {false_alarms!r} and `threshold` is {threshold!r}: two ways to decide, give one"
        raise ValueError(msg)
    if threshold is not None:
        check_threshold(threshold, metric)
        return
    if not METRICS[metric].has_null_model:
        known = " and ".join(name for name, info in METRICS.items() if info.has_null_model)
        msg = f'`metric` is "{metric}", but what chance gives is known for {known} only; give a `threshold`'
        raise ValueError(msg)
    if false_alarms is not None and not (
        isinstance(false_alarms, numbers.Real) and 0 < false_alarms <= 1e300
    ):
        msg = (
            f"`false_alarms` is {false_alarms!r}; it must be a number above 0, as 0.01 for one false match "
            "in a hundred searches"
        )
        raise ValueError(msg)


def check_threshold(threshold: float, metric: str) -> None:
    """Refuse a threshold that no score could reach, or that is none."""
    low, high = METRICS[metric].bounds
    if not isinstance(threshold, numbers.Real) or not (low <= threshold <= high and np.isfinite(threshold)):
        bounds = {(-1.0, 1.0): "from -1 to 1", (-np.inf, 0.0): "at most 0, for a perfect fit"}
        known = bounds.get((low, high), "finite numbers")
        msg = (
            f"`threshold` is {threshold!r}; {metric} scores are {known}: name one that some place could reach"
        )
        raise ValueError(msg)
