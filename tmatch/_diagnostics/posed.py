"""Decisions of a search for one template in several poses, looked up by the middle of the template."""

import itertools
import math
from dataclasses import replace

from tmatch._diagnostics.records import BEST, NEAR, fields_of, success
from tmatch._engine.progress import Resources
from tmatch._results.decisions import Decision, Position
from tmatch._results.matches import better_overlapping, outline_of
from tmatch._search.recipe import SearchResult
from tmatch._search.stages import StageResult


class PosedRecords:
    """Decisions of all stages of a search over poses; in each they have a rank, the one with the best score 1."""

    def __init__(self, result: SearchResult) -> None:
        self._max_overlap, self._threshold = result.criterion.max_overlap, result.criterion.threshold
        ranked = [each for stage in result.stages for each in self._ranked(stage)]
        alike = [each for each in ranked if each.score]  # of a constant image none
        self._decisions = sorted(alike, key=_order) or [_unrefined(result)]

    def explained(self, asked: Position | None) -> tuple[Decision, None]:
        """Look up the best candidate, or the best one of those near the place that was asked for."""
        if asked is None:
            return self._decisions[0], None
        away = [math.dist(_middle(decision), asked) for decision in self._decisions]
        reach = max(min(away), min(self._decisions[0].box.shape) / NEAR)
        near = (each for each, distance in zip(self._decisions, away, strict=True) if distance <= reach)
        return next(near), None

    def best(self, _: Decision) -> tuple[Decision, ...]:
        """Return the best candidates that do not overlap each other too much."""
        boxes = [decision.box for decision in self._decisions]
        outlines = [None if each.posed is None else outline_of(each.posed) for each in self._decisions]
        better = better_overlapping(boxes, self._max_overlap, outlines)
        kept = (each for each, other in zip(self._decisions, better, strict=False) if other is None)
        return tuple(itertools.islice(kept, BEST))

    def _ranked(self, stage: StageResult) -> list[Decision]:
        ordered = sorted(stage.decisions, key=lambda each: -(each.filtered_score or each.score or 0.0))
        return [
            replace(Decision(**fields_of(each)), rank=rank, least_score=self._threshold)
            for rank, each in enumerate(ordered, 1)
        ]


def _order(decision: Decision) -> tuple[float, ...]:
    """Sort decisions: matches by their numbers, others by how close they came to acceptance and by their scores."""
    passed, few = success(decision)
    return -passed, decision.number or 0, -few, -(decision.score or 0.0), *decision.box.start


def _middle(decision: Decision) -> tuple[float, ...]:
    return decision.box.center if decision.posed is None else decision.posed.center


def _unrefined(result: SearchResult) -> Decision:
    """Return what is known of the best position where no candidate is left."""
    best = result.best(Resources())
    if not best.score:
        return Decision(box=best.box, reported=False, rule="no score", lacks="contrast")
    return Decision(
        box=best.box,
        reported=False,
        rule="false alarms",
        score=best.score,
        rank=1,
        false_alarms=best.false_alarms,
    )
