"""Decisions of one stage of a search, looked up by position."""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from tmatch._detection.criterion import Criterion
from tmatch._engine.numpy.maxima import shifts
from tmatch._results.boxes import Box, iou
from tmatch._results.decisions import MANY, Decision, Position
from tmatch._results.matches import Match
from tmatch._scoring.maps import ScoreMap
from tmatch._scoring.search import Search
from tmatch._search.stages import StageResult


class StageRecords:
    """Decisions of one stage: of peaks those of the search; of other positions they are made here.

    Parameters
    ----------
    unfiltered : ScoreMap
        The score map of image and template as they are.
    result : StageResult
        All peaks of this stage, the decisions on them, and the map of the scores that decide.
    criterion : Criterion
        How it was decided.
    """

    def __init__(self, unfiltered: ScoreMap, result: StageResult, criterion: Criterion) -> None:
        [self._found], [decided_by] = result.found, result.maps
        self._search, self._criterion, self._stage = unfiltered.search, criterion, result.stage
        self._successful, self.how = result.successful, result.stage.how
        self._unfiltered, self._scores = unfiltered.masked_scores, decided_by.masked_scores
        self._records = {record.box.start: record for record in result.decisions}
        peaks = self._found.peaks
        order = np.argsort(-peaks.decision_scores, kind="stable")
        self.peaks: NDArray[np.intp] = peaks.positions[order]  # best first
        expected = self._found.false_alarms()
        self._expected = None if expected is None else np.array(expected)[order]
        self._ranks = {tuple(position): rank for rank, position in enumerate(self.peaks.tolist(), 1)}
        numbers = (record.false_alarms or 0.0 for record in result.decisions)
        # Nothing has fewer false alarms than the best match of a first stage.
        self._at_least = min(numbers, default=0.0) if result.stage.first < 1 else 0.0

    def box(self, position: Position) -> Box:
        """Return the window at a position."""
        return self._search.box_at(position)

    @property
    def first(self) -> Position:
        """The first pixel of the first window."""
        return self._search.start_of((0,) * self._scores.ndim)

    def position(self, start: Position) -> Position:
        """Return the position of a window by its first pixel."""
        return self._search.position_of(start)

    def holds(self, position: Position) -> bool:
        """Check that a position is on the score map."""
        return all(0 <= p < n for p, n in zip(position, self._scores.shape, strict=True))

    def about(self, start: Position) -> Decision:
        """Look up what was decided about a window by its first pixel."""
        position = self.position(start)
        if not self.holds(position):
            return Decision(
                box=Box(start, self._search.window), reported=False, rule="outside", prefilter=self.how
            )
        least, record = self._least_score(position), self._records.get(start)
        if record is not None:
            known = {field.name: getattr(record, field.name) for field in fields(Decision)}
            return replace(Decision(**known), rank=self._ranks[position], least_score=least)
        if self._scores[position] == -np.inf:
            return replace(self._without_score(position), least_score=least)
        return replace(self._beside_a_peak(position), least_score=least)

    def nearest(self) -> Position | None:
        """Find the peak that came nearest to acceptance: the best one, if all have many false alarms."""
        if not len(self.peaks):
            return None
        first = 0
        if self._expected is not None and self._criterion.false_alarms is not None:
            first = int(np.minimum(self._expected, MANY).argmin())
        return tuple(self.peaks[first].tolist())

    def peak_near(self, position: Position, reach: NDArray[np.intp]) -> Position | None:
        """Find the best peak so near; None if it is not above this position."""
        near = self.peaks[(np.abs(self.peaks - position) <= reach).all(axis=1)]
        if not len(near) or (near[0] == position).all():
            return None
        peak = tuple(near[0].tolist())
        here = self._scores[position] if self.holds(position) else -np.inf
        level = self._scores[peak] == here and position in self._ranks
        return peak if self._scores[peak] >= here and not level else None

    def best(self, count: int) -> Iterator[Box]:
        """Find the best peaks that do not overlap each other too much."""
        kept: list[Box] = []
        for position in self.peaks.tolist():
            box = self.box(position)
            if len(kept) == count:
                return
            if all(iou(box, other) <= self._criterion.max_overlap for other in kept):
                kept.append(box)
                yield box

    def _without_score(self, position: Position) -> Decision:
        seen, enough = _seen(self._search, position)
        return Decision(
            box=self.box(position), reported=False, rule="no score", prefilter=self.how, seen=seen,
            lacks="contrast" if enough else "overlap",
        )  # fmt: skip

    def _beside_a_peak(self, position: Position) -> Decision:
        near = position + shifts(len(position))
        near = near[((near >= 0) & (near < self._scores.shape)).all(axis=1)]
        higher = self._match(tuple(near[self._scores[tuple(near.T)].argmax()].tolist()))
        match = self._match(position)
        return Decision(
            box=match.box, reported=False, rule="not a peak", score=match.score, higher=higher,
            filtered_score=None if self.how == "none" else float(self._scores[position]), prefilter=self.how,
            false_alarms=match.false_alarms,
        )  # fmt: skip

    def _match(self, position: Position) -> Match:
        """Make a match of any position that has a score; where only the filtered image has one it is 0."""
        score = float(self._unfiltered[position]) if self._unfiltered[position] > -np.inf else 0.0
        [match] = self._found.at(position, score, float(self._scores[position])).matches(self._at_least)
        return match

    def _least_score(self, position: Position) -> float | None:
        """Return the score that would be accepted at a position."""
        null, allowed = self._found.peaks.null, self._criterion.false_alarms
        if null is None or allowed is None:
            return self._criterion.threshold
        share = self._stage.first if not self._successful else 1.0
        least = null.least_scores(allowed / self._found.n_tests * share)
        return float(least[null.cells.of(np.array([position]))][0])


def _seen(search: Search, position: Position) -> tuple[float, bool]:
    """Compute the share of the template's weight that lies on valid pixels, and check that it is large enough."""
    window = tuple(slice(p, p + n) for p, n in zip(position, search.window, strict=True))
    _, valid = search.read(window)
    if valid is None:
        return 1.0, True
    weight = float(sum(np.sum(w * valid, dtype=np.float64) for w in search.weights))
    return weight / search.total, weight >= search.min_weight
