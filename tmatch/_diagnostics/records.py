"""Decisions of a search for one template, looked up by the first pixel of a window."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from tmatch._detection.criterion import Criterion
from tmatch._engine.numpy.maxima import shifts
from tmatch._results.boxes import Box
from tmatch._results.decisions import MANY, PASSED, Decision, Position
from tmatch._results.matches import Match, better_overlapping
from tmatch._scoring.maps import ScoreMap
from tmatch._scoring.search import Search
from tmatch._search.recipe import SearchResult
from tmatch._search.stages import StageResult

BEST = 5  # best positions that are listed
NEAR = 4  # a near peak lies within the template's side divided by this


class SearchRecords:
    """Decisions of all stages of a search that kept its peaks."""

    def __init__(self, result: SearchResult, criterion: Criterion) -> None:
        [scores] = result.maps
        self._first = scores.first
        self._stages = [_StageRecords(scores, stage, criterion) for stage in result.stages]
        self._matches = [match.box.start for match in result.matches]

    def explained(self, asked: Position | None) -> tuple[Decision, Decision | None]:
        """Look up the window that was asked for, with the better peak near it, or the best one."""
        if asked is None:
            return self.about(self.best_start()), None
        decision = self.about(asked)
        return decision, self.nearest_peak(decision)

    def about(self, start: Position, stages: Sequence["_StageRecords"] = ()) -> Decision:
        """Look up a window in the stage in which it did best."""
        return max((stage.about(start) for stage in stages or self._stages), key=success)

    def best_start(self) -> Position:
        """Find the best match, or the position that came nearest to acceptance."""
        if self._matches:
            return self._matches[0]
        starts = [start for stage in self._stages if (start := stage.nearest()) is not None]
        return max(starts, key=lambda start: success(self.about(start)), default=self._first)

    def nearest_peak(self, decision: Decision) -> Decision | None:
        """Look up the best peak within a quarter of the template's side, if it is above this position."""
        if decision.reported:
            return None
        near = [stage.peak_near(decision.box) for stage in self._stages]
        return max((self.about(start) for start in near if start is not None), key=success, default=None)

    def best(self, decision: Decision) -> tuple[Decision, ...]:
        """Look up the best positions of the stage in which a position did best."""
        [stage] = [stage for stage in self._stages if stage.how == decision.prefilter]
        return tuple(self.about(start, [stage]) for start in stage.best())


def success(decision: Decision) -> tuple[int, float]:
    """Rank a position by how close it came to acceptance; all with many false alarms are equal."""
    passed = PASSED.index(decision.rule) + 1 if decision.rule in PASSED else 0
    expected = MANY if decision.false_alarms is None else decision.false_alarms
    return passed, -min(expected, MANY)


def fields_of(decision: Decision) -> dict[str, Any]:
    """Return the fields of a decision, without those that a kind of decision adds."""
    return {field.name: getattr(decision, field.name) for field in fields(Decision)}


class _StageRecords:
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
        self._search, self._criterion = unfiltered.search, criterion
        self.how = result.stage.how
        self._unfiltered, self._scores = unfiltered.masked_scores, decided_by.masked_scores
        peaks = self._found.peaks
        self._order = np.argsort(-peaks.decision_scores, kind="stable")  # best first
        self._peaks = peaks.positions[self._order]
        ranked = enumerate((result.decisions[i] for i in self._order.tolist()), 1)
        self._records = {record.box.start: (rank, record) for rank, record in ranked}

    def about(self, start: Position) -> Decision:
        """Return what was decided about a window."""
        position = self._search.position_of(start)
        if not self._holds(position):
            box = Box(start, self._search.window)
            return Decision(box=box, reported=False, rule="outside", prefilter=self.how)
        if start in self._records:
            rank, record = self._records[start]
            decision = replace(Decision(**fields_of(record)), rank=rank)
        elif self._scores[position] == -np.inf:
            decision = self._without_score(position)
        else:
            decision = self._beside_a_peak(position)
        return replace(decision, least_score=self._least_score(position))

    def nearest(self) -> Position | None:
        """Find the peak that came nearest to acceptance: the best one, if all have many false alarms."""
        if not len(self._peaks):
            return None
        first, expected = 0, self._found.false_alarms()
        if expected is not None and self._criterion.false_alarms is not None:
            first = int(np.minimum(np.array(expected)[self._order], MANY).argmin())
        return self._search.start_of(self._peaks[first])

    def peak_near(self, box: Box) -> Position | None:
        """Find the best peak within a quarter of a window's side; None if it is not above this window."""
        position, reach = self._search.position_of(box.start), np.maximum(np.array(box.shape) // NEAR, 1)
        near = self._peaks[(np.abs(self._peaks - position) <= reach).all(axis=1)]
        if not len(near):
            return None
        best, here = self._scores[tuple(near[0])], -np.inf
        if self._holds(position):
            here = self._scores[position]
        above = best > here or (best == here and box.start not in self._records)
        return self._search.start_of(near[0]) if above else None

    def best(self) -> Iterator[Position]:
        """Find the best peaks that do not overlap each other too much."""
        boxes = [record.box for _, record in self._records.values()]
        better = better_overlapping(boxes, self._criterion.max_overlap)
        kept = (box.start for box, other in zip(boxes, better, strict=False) if other is None)
        return itertools.islice(kept, BEST)

    def _holds(self, position: Position) -> bool:
        """Check that a position is on the score map."""
        return all(0 <= p < n for p, n in zip(position, self._scores.shape, strict=True))

    def _without_score(self, position: Position) -> Decision:
        seen, enough = _seen(self._search, position)
        return Decision(
            box=self._search.box_at(position), reported=False, rule="no score", prefilter=self.how, seen=seen,
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
        [match] = self._found.at(position, score, float(self._scores[position])).matches()
        return match

    def _least_score(self, position: Position) -> float | None:
        """Return the score that would be accepted at a position."""
        null, allowed = self._found.peaks.null, self._criterion.false_alarms
        if null is None or allowed is None:
            return self._criterion.threshold
        least = null.least_scores(allowed / self._found.n_tests)
        here = float(least[null.cells.of(np.array([position]))][0])
        return here if self.how != "none" else max(here, self._criterion.threshold or -1.0)


def _seen(search: Search, position: Position) -> tuple[float, bool]:
    """Compute the share of the template's weight that lies on valid pixels, and check that it is large enough."""
    window = tuple(slice(p, p + n) for p, n in zip(position, search.window, strict=True))
    _, valid = search.read(window)
    if valid is None:
        return 1.0, True
    weight = float(sum(np.sum(w * valid, dtype=np.float64) for w in search.weights))
    return weight / search.total, weight >= search.min_weight
