"""Positions that stand apart and are no matches."""

from collections.abc import Sequence

from tmatch._detection.criterion import Criterion
from tmatch._detection.decide import LEAST_LIKENESS, TemplateCandidates
from tmatch._detection.null.fit import FITTING
from tmatch._results.boxes import Box, iou
from tmatch._results.decisions import CandidateDecision

_NEAR = 100.0  # false alarms of what may be a match that another stage shows, at most


def is_open(
    found: Sequence[TemplateCandidates], decisions: Sequence[CandidateDecision], criterion: Criterion
) -> bool:
    """Check whether a stage leaves a question open: it found nothing, or what may be more."""
    reported = [decision.box for decision in decisions if decision.reported]
    return not reported or any(_stands_apart(each, reported, criterion) for each in found)


def _stands_apart(found: TemplateCandidates, reported: Sequence[Box], criterion: Criterion) -> bool:
    """Check whether a peak that fits is neither reported nor overlaps what is."""
    null = found.peaks.null
    if null is None:
        return False
    others = null.others
    near = others.likeness >= (FITTING if null.has_copies else LEAST_LIKENESS)
    near[near] = (
        null.false_alarms(others.positions[near], others.scores[near], n_tests=found.n_tests) <= _NEAR
    )
    boxes = [found.search.box_at(position) for position in others.positions[near].tolist()]
    return any(all(iou(box, other) <= criterion.max_overlap for other in reported) for box in boxes)
