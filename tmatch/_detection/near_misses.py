"""Positions that stand apart and are no matches."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._detection.criterion import Criterion
from tmatch._detection.decide import LEAST_LIKENESS, TemplateCandidates
from tmatch._detection.null.fit import FITTING
from tmatch._results.boxes import Box, iou
from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match, better_overlapping

_NEAR = 10.0  # false alarms of what may be a match, at most
_MOST = 5  # near misses that are listed


def is_open(
    found: Sequence[TemplateCandidates], decisions: Sequence[CandidateDecision], criterion: Criterion
) -> bool:
    """Check whether a stage leaves a question open: it found nothing, or a peak that fits is not accepted."""
    reported = [decision.box for decision in decisions if decision.reported]
    return not reported or any(True for each in found for _ in _peaks_apart(each, reported, criterion))


def near_misses(
    found: Sequence[TemplateCandidates], decisions: Sequence[CandidateDecision], criterion: Criterion
) -> list[CandidateDecision]:
    """Find up to five positions that nearly are matches, those with the fewest false alarms first."""
    reported = [decision.box for decision in decisions if decision.reported]
    near = [decision for decision in decisions if decision.rule in ("unlike", "alike")]
    near += [miss for each in found for miss in _peaks_apart(each, reported, criterion)]
    near += _candidates_apart(found, decisions)
    near.sort(key=lambda miss: (miss.false_alarms or 0.0, miss.rule == "false alarms", miss.box.start))
    near = [miss for miss in near if not _overlaps(miss.box, reported, criterion)]
    better = better_overlapping([miss.box for miss in near], min(criterion.max_overlap, 0.3))
    return [miss for miss, by in zip(near, better, strict=False) if by is None][:_MOST]


def best_besides(found: Sequence[TemplateCandidates], decisions: Sequence[CandidateDecision]) -> float | None:
    """Find the highest score of a peak that no match overlaps or explains; None if there is none."""
    reported = [decision.box for decision in decisions if decision.reported]
    for score, box in sorted(
        ((score, box) for each in found if each.prefilter == "none" for score, box in _others(each)),
        key=lambda pair: (-pair[0], pair[1].start),
    ):
        if not any(iou(box, other) > 0 for other in reported):
            return score
    return None


def fitting(found: TemplateCandidates) -> Array:
    """Check which candidates fit the template so well that they are near misses, if they have too many false alarms."""
    null, likeness = found.peaks.null, found.likeness()
    if null is None:
        return np.zeros(len(found.peaks.positions), bool)
    least = _least_likeness(found)
    if likeness is not None:
        return np.asarray(likeness >= least)
    others = {*map(tuple, null.others(least).positions.tolist())}
    return np.array([tuple(position) in others for position in found.peaks.positions.tolist()], bool)


def _others(found: TemplateCandidates) -> Iterator[tuple[float, Box]]:
    null = found.peaks.null
    if null is not None:
        others = null.others()
        yield from zip(others.scores.tolist(), found.peak_boxes(others.positions), strict=True)


def _peaks_apart(
    found: TemplateCandidates, reported: Sequence[Box], criterion: Criterion
) -> Iterator[CandidateDecision]:
    """Find the peaks that fit, and are neither reported nor overlap what is."""
    null, allowed = found.peaks.null, criterion.false_alarms
    if null is None or allowed is None or found.likeness() is not None:
        return
    others = null.others(_least_likeness(found))
    if not len(others.scores):
        return
    expected = null.false_alarms(others.positions, others.scores, n_tests=found.n_tests).tolist()
    boxes = found.peak_boxes(others.positions)
    for score, number, box in zip(others.scores.tolist(), expected, boxes, strict=True):
        if allowed < number <= _NEAR and not _overlaps(box, reported, criterion):
            filtered = found.prefilter != "none"
            match = found.in_pose(Match(box, score, found.label, false_alarms=number))
            yield CandidateDecision(
                box=box, reported=False, rule="false alarms", score=None if filtered else score,
                filtered_score=score if filtered else None, prefilter=found.prefilter, false_alarms=number,
                label=found.label, posed=match if match.template_shape else None,
            )  # fmt: skip


def _candidates_apart(
    found: Sequence[TemplateCandidates], decisions: Sequence[CandidateDecision]
) -> Iterator[CandidateDecision]:
    """Find the candidates that fit and have too many false alarms, of templates whose candidates hold such."""
    left = iter(decisions)
    for each in found:
        own, likeness = [*itertools.islice(left, len(each.boxes))], each.likeness()
        if likeness is not None:
            fitting = itertools.compress(own, (likeness >= _least_likeness(each)).tolist())
            yield from (
                miss
                for miss in fitting
                if miss.rule == "false alarms" and (miss.false_alarms or 0.0) <= _NEAR
            )


def _least_likeness(found: TemplateCandidates) -> float:
    """Return how similar to the template a near miss must be: where there are copies, there is less doubt."""
    null = found.peaks.null
    return FITTING if null is not None and null.has_copies else LEAST_LIKENESS


def _overlaps(box: Box, others: Sequence[Box], criterion: Criterion) -> bool:
    return any(iou(box, other) > criterion.max_overlap for other in others)
