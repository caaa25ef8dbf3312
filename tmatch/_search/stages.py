"""Search stages: the image as it is, then filtered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tmatch._arrays.options import Prefilter
from tmatch._detection.candidates import candidates_in_map, find, score_at
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.decide import TemplateCandidates
from tmatch._detection.recorded import Recorded
from tmatch._engine import select
from tmatch._engine.progress import Resources
from tmatch._poses.coarse import PoseMap
from tmatch._results.decisions import CandidateDecision
from tmatch._scoring.maps import ScoreMap, score_maps
from tmatch._scoring.search import PASSES, Search
from tmatch._search.prefilter import filtered

_DECISION_WORK = (
    1e7  # approximate cost to decide on the peaks of a template, besides as many passes as scores take
)


@dataclass(frozen=True)
class Stage:
    """How image and templates are filtered, and among how many stages the false alarms allowed are shared."""

    how: Prefilter
    n_tests: int = 1


@dataclass(frozen=True)
class StageResult:
    """Candidates and decisions of one stage; with the maps of the scores that decide, where maps are kept.

    `pose_maps` are those of the best scores over poses, where poses are not exact; `recorded` are the candidates of a
    looser criterion, where they were asked for.
    """

    stage: Stage
    found: list[TemplateCandidates]
    decisions: list[CandidateDecision]
    maps: list[ScoreMap]
    pose_maps: list[PoseMap] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)


def stages_of(criterion: Criterion, metric: str) -> Sequence[Stage]:
    """Return the stages of a search; the second one is needed if the first leaves a question open."""
    if criterion.prefilter != "auto":
        return (Stage(criterion.prefilter),)
    if criterion.false_alarms is not None and metric == "zncc":
        return (Stage("none", 2), Stage("whiten", 2))
    return (Stage("none"),)


def find_candidates(
    searches: Sequence[Search], how: Prefilter, criterion: Criterion, resources: Resources
) -> list[Candidates]:
    """Find candidates in filtered arrays; their scores are those of the arrays as they are."""
    count_decisions(searches)
    if how == "none":
        return find(searches, criterion, resources)
    prepared = _filter(searches, how, resources.workers)
    results = [_nothing(search) for search in searches]
    for i, peaks in zip(prepared, find([*prepared.values()], criterion, resources), strict=True):
        scores = score_at(searches[i], peaks.positions)
        results[i] = replace(peaks, scores=scores, filtered_scores=peaks.scores)
    return results


def count_decisions(searches: Sequence[Search]) -> None:
    """Count the work to decide on the peaks of some searches, for the choice of the engine."""
    for search in searches:
        select.choose(_DECISION_WORK + PASSES * math.prod(search.shape), search.shape, len(search.image))


def find_in_maps(
    maps: Sequence[ScoreMap], how: Prefilter, criterion: Criterion | None, resources: Resources
) -> tuple[list[Candidates], list[ScoreMap]]:
    """Find candidates, or all peaks, in score maps: those given, or those of filtered arrays, which are returned."""
    if how == "none":
        return [candidates_in_map(made, criterion) for made in maps], [*maps]
    searches = [made.search for made in maps]
    prepared = _filter(searches, how, resources.workers)
    results, filtered_maps = (
        [_nothing(search) for search in searches],
        [_without_scores(made) for made in maps],
    )
    for i, made in zip(prepared, score_all([*prepared.values()], resources), strict=True):
        peaks = candidates_in_map(made, criterion)
        at = tuple(peaks.positions.T)
        scores = np.where(maps[i].valid[at], maps[i].scores[at], 0.0)
        results[i], filtered_maps[i] = replace(peaks, scores=scores, filtered_scores=peaks.scores), made
    return results, filtered_maps


def score_all(searches: Sequence[Search], resources: Resources) -> list[ScoreMap]:
    """Score all positions of searches, in double precision."""
    return score_maps([replace(search, single=False) for search in searches], resources)


def _without_scores(made: ScoreMap) -> ScoreMap:
    return replace(made, scores=np.zeros_like(made.scores), valid=np.zeros_like(made.valid))


def _filter(searches: Sequence[Search], how: Prefilter, workers: int | None) -> dict[int, Search]:
    """Filter searches; those whose template is constant then are left out."""
    prepared = enumerate(filtered(searches, how, workers))
    return {i: search for i, search in prepared if any(np.ptp(channel) for channel in search.template)}


def _nothing(search: Search) -> Candidates:
    return Candidates(np.empty((0, search.image[0].ndim), np.intp), np.empty(0), None, np.empty(0))
