"""Candidates that are recorded beside those that may be matches, so that other limits can be tried on them later."""

from dataclasses import dataclass, replace

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._detection.criterion import Candidates
from tmatch._detection.decide import TemplateCandidates


@dataclass(frozen=True)
class Recorded:
    """Candidates of one template that a looser criterion accepts.

    `least_false_alarms` are those that each has at least, in one of the tests: of candidates that the criterion itself
    had not accepted before templates competed, the numbers of that time, so that the same limits decide the same.
    """

    found: TemplateCandidates
    least_false_alarms: Array

    def false_alarms(self) -> Array | None:
        """Compute the false alarms that decide, in one of the tests; None if there is no null distribution."""
        peaks = self.found.peaks
        if peaks.null is None:
            return None
        return np.maximum(
            peaks.null.false_alarms(peaks.positions, peaks.decision_scores), self.least_false_alarms
        )

    def select(self, which: Array) -> "Recorded":
        """Return some of the candidates."""
        return Recorded(self.found.select(which), self.least_false_alarms[which])


def record(competing: TemplateCandidates, looser: Candidates, accepted: Array) -> Recorded:
    """Record the candidates of a looser criterion; of those that were `accepted`, the ones still competing."""
    kept = {*map(tuple, competing.peaks.positions.tolist())}
    still = [tuple(position) in kept for position in looser.positions.tolist()]
    which = np.flatnonzero(~accepted | np.array(still, bool))
    chosen = looser.select(which)
    least = np.zeros(len(which))
    if looser.null is not None:
        before = looser.null.false_alarms(chosen.positions, chosen.decision_scores)
        least = np.where(accepted[which], 0.0, before)
    return Recorded(replace(competing, peaks=replace(chosen, null=competing.peaks.null)), least)


def record_all(found: TemplateCandidates) -> Recorded:
    """Record candidates as they are, where they hold those with many false alarms, too."""
    return Recorded(found, np.zeros(len(found.peaks.positions)))
