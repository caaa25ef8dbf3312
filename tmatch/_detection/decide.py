"""Decide which candidates are matches, in stages, with a record for each candidate."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tmatch._arrays.options import Prefilter
from tmatch._arrays.typing import Array
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.peaks import better_near
from tmatch._results.boxes import Box, iou
from tmatch._results.decisions import CandidateDecision, Position, Reason
from tmatch._results.matches import Match, better_overlapping
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class TemplateCandidates:
    """Candidates of one template, and the search they were found in.

    The false alarms allowed are shared by `n_tests`.
    """

    search: Search
    peaks: Candidates
    n_tests: float = 1.0
    prefilter: Prefilter = "none"

    @property
    def label(self) -> str:
        """The template's label."""
        return self.search.label

    @cached_property
    def boxes(self) -> list[Box]:
        """The windows of the candidates."""
        return [self.search.box_at(position) for position in self.peaks.positions.tolist()]

    def at(self, position: Position, score: float, decision_score: float) -> "TemplateCandidates":
        """Return the same with one position of the score map, candidate or not, instead of the candidates."""
        filtered = None if self.prefilter == "none" else np.array([decision_score])
        one = Candidates(np.array([position], np.intp), np.array([score]), self.peaks.null, filtered)
        return replace(self, peaks=one)

    def alike(self) -> Array:
        """Check which candidates have some similarity before filtering, too."""
        unfiltered = self.peaks.filtered_scores is None
        return np.ones(len(self.peaks.positions), bool) if unfiltered else self.peaks.scores > 0

    def evidence(self) -> Array:
        """Compute the evidence of candidates, comparable between templates; their scores if there is no null."""
        peaks = self.peaks
        if peaks.null is None:
            return peaks.scores
        return peaks.null.evidence(peaks.positions, peaks.decision_scores)

    def false_alarms(self, at_least: float = 0.0) -> list[float] | None:
        """Compute the expected number of false alarms of candidates; None if there is no null distribution."""
        null, positions, scores = self.peaks.null, self.peaks.positions, self.peaks.decision_scores
        if null is None:
            return None
        expected = null.false_alarms(positions, scores, n_tests=self.n_tests, at_least=at_least)
        return [*map(float, expected)]

    def matches(self, at_least: float = 0.0) -> list[Match]:
        """Make a match of each candidate, with no fewer false alarms than `at_least`."""
        boxes, scores = self.boxes, self.peaks.scores.tolist()
        expected = self.false_alarms(at_least)
        if expected is None or self.peaks.null is None:
            return [Match(box, score, self.label) for box, score in zip(boxes, scores, strict=True)]
        elsewhere = self.peaks.null.cells.best_elsewhere(self.peaks.positions).tolist()
        pairs = zip(elsewhere, self.peaks.decision_scores.tolist(), strict=True)
        second_best = [round(other / score, 4) if score > 0 else None for other, score in pairs]
        columns = zip(boxes, scores, expected, second_best, strict=True)
        return [
            Match(box, score, self.label, false_alarms=number, second_best=ratio)
            for box, score, number, ratio in columns
        ]


def decide(
    found: Sequence[TemplateCandidates], criterion: Criterion, *, first: float = 1.0
) -> list[CandidateDecision]:
    """Decide on the candidates of all templates, in the order given.

    With `first` below 1, a later search stage follows: then one match at least must have no more than this share of
    the false alarms allowed, or none is accepted.
    """
    records = _Records(found, criterion)
    _check_scores(records)
    _check_similarity(records)
    _check_distance(records)
    _check_overlap(records)
    if first < 1 and criterion.false_alarms is not None:
        _check_first_share(records, first)
    _check_overlap_between(records)
    _check_count(records)
    return records.decisions()


class _Records:
    """The rule that decided on each candidate so far, and the better candidate that removed it."""

    def __init__(self, found: Sequence[TemplateCandidates], criterion: Criterion) -> None:
        self.found, self.criterion = found, criterion
        self.boxes = [box for each in found for box in each.boxes]
        self.scores = [score for each in found for score in each.peaks.scores.tolist()]
        self.labels = [each.label for each in found for _ in each.peaks.positions]
        self.rules: list[Reason] = ["reported"] * len(self.boxes)
        self.better: dict[int, int] = {}
        self.numbers: dict[int, int] = {}
        self.at_least = 0.0
        ends = np.cumsum([0, *(len(each.peaks.positions) for each in found)]).tolist()
        self.parts = [range(*bounds) for bounds in itertools.pairwise(ends)]
        self.evidence = self._evidence()

    def remaining(self, part: Iterable[int] | None = None) -> list[int]:
        """Return the candidates that no rule has removed yet."""
        return [i for i in (range(len(self.rules)) if part is None else part) if self.rules[i] == "reported"]

    def remove(self, which: Iterable[int], rule: Reason) -> None:
        """Remove candidates by a rule."""
        for i in which:
            self.rules[i] = rule

    def best_first(self) -> list[int]:
        """Sort what remains: where templates compete, a score of many pixels is worth more than one of few."""

        def order(i: int) -> tuple[float | str | tuple[int, ...], ...]:
            box = self.boxes[i]
            return -self.evidence[i], -self.scores[i], box.start, box.shape, self.labels[i]

        return sorted(self.remaining(), key=order)

    def decisions(self) -> list[CandidateDecision]:
        """Make the records."""
        matches = [match for each in self.found for match in each.matches(self.at_least)]
        records = []
        for each, part in zip(self.found, self.parts, strict=True):
            filtered = each.peaks.filtered_scores
            for k, i in enumerate(part):
                match, rule = matches[i], self.rules[i]
                by = matches[self.better[i]] if rule in ("distance", "overlap") else None
                record = CandidateDecision(
                    box=match.box, reported=rule == "reported", rule=rule, score=match.score,
                    filtered_score=None if filtered is None else float(filtered[k]), prefilter=each.prefilter,
                    number=self.numbers.get(i), false_alarms=match.false_alarms, removed_by=by,
                    iou=iou(match.box, by.box) if by is not None and rule == "overlap" else None,
                    label=match.label, second_best=match.second_best,
                )  # fmt: skip
                records.append(record)
        return records

    def _evidence(self) -> list[float]:
        """Compute the evidence of all candidates; 0 if there is one template."""
        if len(self.found) == 1:
            return [0.0] * len(self.boxes)
        return [value for each in self.found for value in each.evidence().tolist()]


def _check_scores(records: _Records) -> None:
    """Remove candidates below the threshold, or with more false alarms than are allowed."""
    rule: Reason = "false alarms" if records.criterion.threshold is None else "threshold"
    for each, part in zip(records.found, records.parts, strict=True):
        accepted = records.criterion.shared_by(each.n_tests).accepts(each.peaks)
        records.remove((part[i] for i in np.flatnonzero(~accepted).tolist()), rule)


def _check_similarity(records: _Records) -> None:
    """Remove candidates that are only similar after filtering."""
    for each, part in zip(records.found, records.parts, strict=True):
        only_filtered = {part[i] for i in np.flatnonzero(~each.alike()).tolist()}
        records.remove(only_filtered.intersection(records.remaining(part)), "unlike")


def _check_distance(records: _Records) -> None:
    """Remove candidates too near to a better one of the same template."""
    for each, part in zip(records.found, records.parts, strict=True):
        remaining = records.remaining(part)
        peaks = each.peaks.select(np.array(remaining, np.intp) - part.start)
        better = better_near(peaks.positions, peaks.scores, records.criterion.min_distance)
        near = np.flatnonzero(better >= 0)
        records.better |= {remaining[i]: remaining[better[i]] for i in near.tolist()}
        records.remove((remaining[i] for i in near.tolist()), "distance")


def _check_overlap(records: _Records) -> None:
    """Remove candidates that overlap a better one of the same template."""
    for part in records.parts:
        remaining = records.remaining(part)
        _remove_overlapping(
            records, sorted(remaining, key=lambda i: (-records.scores[i], records.boxes[i].start))
        )


def _check_overlap_between(records: _Records) -> None:
    """Remove candidates that overlap a better one of another template."""
    if len(records.parts) > 1:
        _remove_overlapping(records, records.best_first())


def _remove_overlapping(records: _Records, ordered: Sequence[int]) -> None:
    boxes = [records.boxes[i] for i in ordered]
    better = zip(ordered, better_overlapping(boxes, records.criterion.max_overlap), strict=True)
    overlapping = {i: ordered[other] for i, other in better if other is not None}
    records.better |= overlapping
    records.remove(overlapping, "overlap")


def _check_first_share(records: _Records, first: float) -> None:
    """Remove all unless one match has no more than a share of the false alarms allowed.

    A later stage has the rest. If that is not run, its share falls to this stage, so that as many false alarms are
    expected in all as are allowed. No match is reported with fewer than the best one, divided by its share.
    """
    expected = [number for each in records.found for number in each.false_alarms() or ()]
    counted = records.remaining() or range(len(expected))
    records.at_least = min((expected[i] for i in counted), default=math.inf) / first
    if records.criterion.false_alarms is not None and records.at_least > records.criterion.false_alarms:
        records.remove((i for i, rule in enumerate(records.rules) if rule != "unlike"), "false alarms")


def _check_count(records: _Records) -> None:
    """Assign numbers to the matches, best first, and remove those after the first `max_count`."""
    ordered = records.best_first()
    records.numbers = {i: number for number, i in enumerate(ordered, 1)}
    if records.criterion.max_count is not None:
        records.remove(ordered[records.criterion.max_count :], "count")
