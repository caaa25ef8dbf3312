"""Decide which candidates are matches, in stages, with a record for each candidate."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property

import numpy as np

from tmatch._arrays.options import Prefilter
from tmatch._arrays.typing import Array, Positions
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.null.certificate import leaves_noise, leaves_rounding
from tmatch._detection.null.noise import noise_levels
from tmatch._detection.null.residual import (
    beyond_noise,
    independent_pixels,
    residuals,
    rounding_of,
    window_variances,
)
from tmatch._detection.null.tails import MAX_SCORE, logs_of
from tmatch._detection.peaks import better_near
from tmatch._results.boxes import Box
from tmatch._results.decisions import CandidateDecision, Position, Reason
from tmatch._results.matches import Kind, Match, better_overlapping, overlap_of
from tmatch._results.poses import Outline
from tmatch._scoring.search import Search, comparable

_SAME_OVERLAP = 0.3  # of boxes of one template in two stages that are the same match, whatever may overlap
LEAST_LIKENESS = 0.7  # beyond the noise: half of what is seen there is the template's


@dataclass(frozen=True)
class TemplateCandidates:
    """Candidates of one template, and the search they were found in.

    The false alarms allowed are shared by `n_tests`. `lost` are candidates that another template explains better.
    """

    search: Search
    peaks: Candidates
    n_tests: float = 1.0
    prefilter: Prefilter = "none"
    lost: "TemplateCandidates | None" = None

    @property
    def label(self) -> str:
        """The template's label."""
        return self.search.label

    @cached_property
    def boxes(self) -> list[Box]:
        """The windows of the candidates."""
        return self.peak_boxes(self.peaks.positions)

    @cached_property
    def outlines(self) -> Sequence[Outline | None]:
        """The outlines of candidates that are turned, which their boxes bound; None for others."""
        return [None] * len(self.boxes)

    @property
    def places(self) -> Positions:
        """Where candidates are, in pixels of the score map as large as those of the image."""
        return self.peaks.positions

    def peak_boxes(self, positions: Positions) -> list[Box]:
        """Return the windows at some positions of the score map."""
        return [self.search.box_at(position) for position in positions.tolist()]

    @cached_property
    def comparable(self) -> Search:
        """The search, for windows to be compared with the template."""
        return comparable(self.search)

    def select(self, which: Array) -> "TemplateCandidates":
        """Return the same with some of the candidates."""
        return replace(self, peaks=self.peaks.select(which))

    def at(self, position: Position, score: float, decision_score: float) -> "TemplateCandidates":
        """Return the same with one position of the score map, candidate or not, instead of the candidates."""
        filtered = None if self.prefilter == "none" else np.array([decision_score])
        one = Candidates(np.array([position], np.intp), np.array([score]), self.peaks.null, filtered)
        return replace(self, peaks=one)

    def alike(self, which: Array | slice = slice(None), *, asked_to_filter: bool = False) -> Array:
        """Check which candidates, of some, are similar to the template in the image as it is, beyond the noise.

        Where it was asked for filtered arrays to decide, a positive score is enough.
        """
        null, scores = self.peaks.null, self.peaks.scores[which]
        if null is None or not len(scores):
            return np.ones(len(scores), bool)
        if asked_to_filter:
            return np.asarray(scores > 0)
        if self.search.metric.directions:
            return np.ones(len(scores), bool)
        positions = self.peaks.positions[which]
        alike = np.zeros(len(scores), bool)
        if self.peaks.filtered_scores is None:
            alike = null.as_copies(positions, scores) <= 1
        rest = ~alike
        if rest.any():
            noise, variance = (
                noise_levels(self.comparable).any,
                window_variances(self.comparable, positions[rest]),
            )
            alike[rest] = beyond_noise(scores[rest], variance, noise) >= LEAST_LIKENESS
        return np.asarray(alike)

    def likeness(self) -> Array | None:
        """Compute how similar candidates are beyond white noise; None if they are only those that may be accepted."""
        return None

    def compare(
        self, which: Sequence[int], white_noise: float | None = None
    ) -> list[tuple[Kind | None, float | None]]:
        """Compare some candidates with the template: what kind of match they are, and the score of a copy there."""
        if self.search.metric.directions or not len(which):
            return [(None, None)] * len(which)
        left = residuals(self.comparable, self.peaks.positions[np.array(which, np.intp)], slopes=True)
        noise = noise_levels(self.comparable).white if white_noise is None else white_noise
        noisy = leaves_noise(left, noise) & (left.likeness >= LEAST_LIKENESS)  # noise alone leaves noise, too
        copies = leaves_rounding(left, rounding_of(self.comparable)) | noisy
        known = (left.variance > left.left).tolist()  # a flat window has no kind
        kinds: list[Kind | None] = [
            ("copy" if copy else "alike") if there else None
            for copy, there in zip(copies.tolist(), known, strict=True)
        ]
        if self.search.metric.name != "zncc":
            return [(kind, None) for kind in kinds]
        there = np.where(copies, np.minimum(left.left, noise), noise)  # clipped noise is weaker
        expected = np.sqrt(np.clip(1 - there / np.maximum(np.maximum(left.variance, there), 1e-300), 0, 1))
        return [*zip(kinds, expected.round(4).tolist(), strict=True)]

    def evidence(self) -> Array:
        """Compute how much of the image candidates explain, comparable between templates; scores without a null.

        For n independent pixels and a score r this is ``-n / 2 * log(1 - r^2)``, the logarithm of the likelihood ratio
        of the template in noise and noise alone. Of two templates of one size the one with the higher score has more.
        """
        if self.peaks.null is None:
            return self.peaks.scores
        scores = np.minimum(np.maximum(self.peaks.scores, 0.0), MAX_SCORE)
        return np.asarray(independent_pixels(self.comparable) / 2 * logs_of(scores))

    def false_alarms(self) -> list[float] | None:
        """Compute the expected number of false alarms of candidates; None if there is no null distribution."""
        null, positions, scores = self.peaks.null, self.peaks.positions, self.peaks.decision_scores
        if null is None:
            return None
        expected = null.false_alarms(positions, scores, n_tests=self.n_tests)
        return [*map(float, expected)]

    def matches(self) -> list[Match]:
        """Make a match of each candidate, in the pose of the template."""
        return [self.in_pose(match) for match in self._upright_matches()]

    def in_pose(self, match: Match) -> Match:
        """Add the pose of the template to a match."""
        posed = self.search.posed
        if posed is None:
            return match
        angle, scale, flip = astuple(posed.pose)
        return replace(match, angle=angle, scale=scale, flip=flip, template_shape=posed.shape)

    def _upright_matches(self) -> list[Match]:
        boxes, scores = self.boxes, self.peaks.scores.tolist()
        expected = self.false_alarms()
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


def decide(found: Sequence[TemplateCandidates], criterion: Criterion) -> list[CandidateDecision]:
    """Decide on the candidates of all templates, in the order given."""
    records = _Records(found, criterion)
    _check_scores(records)
    _check_similarity(records)
    _check_kind(records)
    _check_distance(records)
    _check_side_lobes(records)
    _check_overlap(records)
    _check_stages(records)
    _check_overlap_between(records)
    _check_count(records)
    return records.decisions()


class _Records:
    """The rule that decided on each candidate so far, and the better candidate that removed it."""

    def __init__(self, found: Sequence[TemplateCandidates], criterion: Criterion) -> None:
        self.found, self.criterion = found, criterion
        self.boxes = [box for each in found for box in each.boxes]
        self.outlines = [outline for each in found for outline in each.outlines]
        self.scores = [score for each in found for score in each.peaks.scores.tolist()]
        self.labels = [each.label for each in found for _ in each.peaks.positions]
        self.rules: list[Reason] = ["reported"] * len(self.boxes)
        self.better: dict[int, int] = {}
        self.numbers: dict[int, int] = {}
        ends = np.cumsum([0, *(len(each.peaks.positions) for each in found)]).tolist()
        self.parts = [range(*bounds) for bounds in itertools.pairwise(ends)]
        self.evidence = self._evidence()

    def remaining(self, part: Iterable[int] | None = None) -> list[int]:
        """Return the candidates that no rule has removed yet."""
        return [i for i in (range(len(self.rules)) if part is None else part) if self.rules[i] == "reported"]

    def overlap(self, i: int, j: int) -> float:
        """Compute how much two candidates overlap."""
        return overlap_of(self.boxes[i], self.boxes[j], self.outlines[i], self.outlines[j])

    def remove(self, which: Iterable[int], rule: Reason) -> None:
        """Remove candidates by a rule."""
        for i in which:
            self.rules[i] = rule

    def best_first(self, *, by_evidence: bool = True) -> list[int]:
        """Sort what remains: where templates compete, a score of many pixels is worth more than one of few."""

        def order(i: int) -> tuple[float | str | tuple[int, ...], ...]:
            box = self.boxes[i]
            return -self.evidence[i] * by_evidence, -self.scores[i], box.start, box.shape, self.labels[i]

        return sorted(self.remaining(), key=order)

    def decisions(self) -> list[CandidateDecision]:
        """Make the records."""
        matches = [match for each in self.found for match in each.matches()]
        records = []
        for each, part in zip(self.found, self.parts, strict=True):
            filtered = None if each.prefilter == "none" else each.peaks.filtered_scores
            reported = self.remaining(part)
            compared = dict(zip(reported, each.compare([i - part.start for i in reported]), strict=True))
            for k, i in enumerate(part):
                kind, expected = compared.get(i, (None, None))
                match, rule = matches[i], self.rules[i]
                by = matches[self.better[i]] if rule in ("distance", "overlap", "side lobe") else None
                record = CandidateDecision(
                    box=match.box, reported=rule == "reported", rule=rule, score=match.score,
                    filtered_score=None if filtered is None else float(filtered[k]), prefilter=each.prefilter,
                    number=self.numbers.get(i), false_alarms=match.false_alarms, removed_by=by,
                    iou=self.overlap(i, self.better[i]) if by is not None and rule == "overlap" else None,
                    label=match.label, second_best=match.second_best, kind=kind, expected_score=expected,
                    posed=match if match.template_shape else None,
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
    for each, part in zip(records.found, records.parts, strict=True):
        reached = records.criterion.reaches_threshold(each.peaks)
        few = records.criterion.has_few_false_alarms(each.peaks, each.n_tests)
        records.remove((part[i] for i in np.flatnonzero(~few).tolist()), "false alarms")
        records.remove((part[i] for i in np.flatnonzero(~reached).tolist()), "threshold")


def _check_similarity(records: _Records) -> None:
    """Remove candidates that noise does not explain: they are not alike, or only after filtering."""
    if records.criterion.false_alarms is None or not records.criterion.must_be_alike:
        return
    asked = records.criterion.prefilter not in ("auto", "none")
    for each, part in zip(records.found, records.parts, strict=True):
        remaining = np.array(records.remaining(part), np.intp)
        alike = each.alike(remaining - part.start, asked_to_filter=asked)
        records.remove(remaining[~alike].tolist(), "unlike")


def _check_side_lobes(records: _Records) -> None:
    """Remove candidates that are no higher than expected beside a better one of the same template."""
    for each, part in zip(records.found, records.parts, strict=True):
        null = each.peaks.null
        allowed = records.criterion.false_alarms
        remaining = np.array(records.remaining(part), np.intp)
        if null is None or allowed is None or len(remaining) < 2:
            continue
        scores = each.peaks.decision_scores[remaining - part.start]
        order = np.argsort(-scores, kind="stable")
        remaining, scores = remaining[order], scores[order]
        positions = each.peaks.positions[remaining - part.start]
        better = null.side_lobes(positions, scores, allowed / each.n_tests)
        lobes = np.flatnonzero(better >= 0)
        records.better |= {int(remaining[i]): int(remaining[better[i]]) for i in lobes.tolist()}
        records.remove(remaining[lobes].tolist(), "side lobe")


def _check_kind(records: _Records) -> None:
    """Remove candidates that are no copies, if only copies are asked for."""
    if not records.criterion.copies_only:
        return
    for each, part in zip(records.found, records.parts, strict=True):
        remaining = records.remaining(part)
        compared = each.compare([i - part.start for i in remaining])
        alike = (i for i, (kind, _) in zip(remaining, compared, strict=True) if kind != "copy")
        records.remove([*alike], "alike")


def _check_distance(records: _Records) -> None:
    """Remove candidates too near to a better one of the same template."""
    if records.criterion.min_distance == 1:
        return
    for each, part in zip(records.found, records.parts, strict=True):
        remaining = records.remaining(part)
        which = np.array(remaining, np.intp) - part.start
        better = better_near(each.places[which], each.peaks.scores[which], records.criterion.min_distance)
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


def _check_stages(records: _Records) -> None:
    """Remove what another stage of the search has found for the same template, on better evidence."""
    if len({each.prefilter for each in records.found}) < 2:
        return
    limit = min(records.criterion.max_overlap, _SAME_OVERLAP)
    expected = [number for each in records.found for number in each.false_alarms() or [0.0] * len(each.boxes)]
    for (one, first), (other, second) in itertools.combinations(
        zip(records.found, records.parts, strict=True), 2
    ):
        if one.label != other.label or one.prefilter == other.prefilter:
            continue
        for i, j in itertools.product(records.remaining(first), records.remaining(second)):
            if "reported" == records.rules[i] == records.rules[j] and records.overlap(i, j) > limit:
                better, worse = (i, j) if expected[i] <= expected[j] else (j, i)
                records.better[worse] = better
                records.remove([worse], "overlap")


def _check_overlap_between(records: _Records) -> None:
    """Remove candidates that overlap a better one of another template."""
    if len(records.parts) > 1:
        _remove_overlapping(records, records.best_first())


def _remove_overlapping(records: _Records, ordered: Sequence[int]) -> None:
    if len(ordered) < 2:
        return
    boxes = [records.boxes[i] for i in ordered]
    outlines = [records.outlines[i] for i in ordered]
    better = zip(ordered, better_overlapping(boxes, records.criterion.max_overlap, outlines), strict=True)
    overlapping = {i: ordered[other] for i, other in better if other is not None}
    records.better |= overlapping
    records.remove(overlapping, "overlap")


def _check_count(records: _Records) -> None:
    """Assign numbers to the matches, best first, and remove those after the first `max_count`."""
    ordered = records.best_first(by_evidence=len({*records.labels}) > 1)
    records.numbers = {i: number for number, i in enumerate(ordered, 1)}
    if records.criterion.max_count is not None:
        records.remove(ordered[records.criterion.max_count :], "count")
