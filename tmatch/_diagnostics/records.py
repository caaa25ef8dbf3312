"""Decisions of one stage of a search, looked up by place."""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from tmatch._detection.criterion import Criterion
from tmatch._engine.numpy.maxima import shifts
from tmatch._results.boxes import Box, iou
from tmatch._results.decisions import MANY, Decision, Place
from tmatch._results.matches import Match
from tmatch._scoring.maps import ScoreMap
from tmatch._scoring.search import Search
from tmatch._search.stages import StageResult


class StageRecords:
    """Decisions of one stage: of peaks those of the search; of other places they are made here.

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
        self.peaks: NDArray[np.intp] = peaks.places[order]  # best first
        expected = self._found.false_alarms()
        self._expected = None if expected is None else np.array(expected)[order]
        self._ranks = {tuple(place): rank for rank, place in enumerate(self.peaks.tolist(), 1)}
        numbers = (record.false_alarms or 0.0 for record in result.decisions)
        # Nothing has fewer false alarms than the best match of a first stage.
        self._at_least = min(numbers, default=0.0) if result.stage.first < 1 else 0.0

    def box(self, place: Place) -> Box:
        """Return the window at a place."""
        return self._search.box_at(place)

    @property
    def first(self) -> Place:
        """The first pixel of the first window."""
        return self._search.start_of((0,) * self._scores.ndim)

    def place(self, start: Place) -> Place:
        """Return the place of a window by its first pixel."""
        return self._search.position_of(start)

    def holds(self, place: Place) -> bool:
        """Check that a place is on the score map."""
        return all(0 <= p < n for p, n in zip(place, self._scores.shape, strict=True))

    def about(self, start: Place) -> Decision:
        """Look up what was decided about a window by its first pixel."""
        place = self.place(start)
        if not self.holds(place):
            return Decision(
                box=Box(start, self._search.window), reported=False, rule="outside", prefilter=self.how
            )
        least, record = self._least_score(place), self._records.get(start)
        if record is not None:
            known = {field.name: getattr(record, field.name) for field in fields(Decision)}
            return replace(Decision(**known), rank=self._ranks[place], least_score=least)
        if self._scores[place] == -np.inf:
            return replace(self._without_score(place), least_score=least)
        return replace(self._beside_a_peak(place), least_score=least)

    def nearest(self) -> Place | None:
        """Find the peak that came nearest to acceptance: the best one, if all have many false alarms."""
        if not len(self.peaks):
            return None
        first = 0
        if self._expected is not None and self._criterion.false_alarms is not None:
            first = int(np.minimum(self._expected, MANY).argmin())
        return tuple(self.peaks[first].tolist())

    def peak_near(self, place: Place, reach: NDArray[np.intp]) -> Place | None:
        """Find the best peak so near; None if it is not above this place."""
        near = self.peaks[(np.abs(self.peaks - place) <= reach).all(axis=1)]
        if not len(near) or (near[0] == place).all():
            return None
        peak = tuple(near[0].tolist())
        here = self._scores[place] if self.holds(place) else -np.inf
        level = self._scores[peak] == here and place in self._ranks
        return peak if self._scores[peak] >= here and not level else None

    def best(self, count: int) -> Iterator[Box]:
        """Find the best peaks that do not overlap each other too much."""
        kept: list[Box] = []
        for place in self.peaks.tolist():
            box = self.box(place)
            if len(kept) == count:
                return
            if all(iou(box, other) <= self._criterion.max_overlap for other in kept):
                kept.append(box)
                yield box

    def _without_score(self, place: Place) -> Decision:
        seen, enough = _seen(self._search, place)
        return Decision(
            box=self.box(place), reported=False, rule="no score", prefilter=self.how, seen=seen,
            lacks="contrast" if enough else "overlap",
        )  # fmt: skip

    def _beside_a_peak(self, place: Place) -> Decision:
        near = place + shifts(len(place))
        near = near[((near >= 0) & (near < self._scores.shape)).all(axis=1)]
        higher = self._match(tuple(near[self._scores[tuple(near.T)].argmax()].tolist()))
        match = self._match(place)
        return Decision(
            box=match.box, reported=False, rule="not a peak", score=match.score, higher=higher,
            filtered_score=None if self.how == "none" else float(self._scores[place]), prefilter=self.how,
            false_alarms=match.false_alarms,
        )  # fmt: skip

    def _match(self, place: Place) -> Match:
        """Make a match of any place that has a score; where only the filtered image has one it is 0."""
        score = float(self._unfiltered[place]) if self._unfiltered[place] > -np.inf else 0.0
        [match] = self._found.at(place, score, float(self._scores[place])).matches(self._at_least)
        return match

    def _least_score(self, place: Place) -> float | None:
        """Return the score that would be accepted at a place."""
        null, allowed = self._found.peaks.null, self._criterion.false_alarms
        if null is None or allowed is None:
            return self._criterion.threshold
        share = self._stage.first if not self._successful else 1.0
        least = null.least_scores(allowed / self._found.n_tests * share)
        return float(least[null.cells.of(np.array([place]))][0])


def _seen(search: Search, place: Place) -> tuple[float, bool]:
    """Compute the share of the template's weight that lies on valid pixels, and check that it is large enough."""
    window = tuple(slice(p, p + n) for p, n in zip(place, search.window, strict=True))
    _, valid = search.read(window)
    if valid is None:
        return 1.0, True
    weight = float(sum(np.sum(w * valid, dtype=np.float64) for w in search.weights))
    return weight / search.total, weight >= search.least
