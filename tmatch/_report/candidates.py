"""Candidates as columns of plain values: what the stages of `decide` ask of them, and what is told of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._detection.criterion import Criterion
from tmatch._detection.near_misses import fitting
from tmatch._detection.recorded import Recorded
from tmatch._results.formats import pose_row
from tmatch._results.matches import Match
from tmatch._search.recipe import SearchResult
from tmatch._search.subpixel import refine_places

MOST = 1000  # candidates of an image that are recorded, and more only if more are accepted
_CROWDED = 5000  # candidates among which side lobes are not sought, if a threshold alone was asked for
_COMPARED = 1000  # candidates that are compared with their template at once


@dataclass(frozen=True)
class Limits:
    """How far down candidates are recorded: to a score, and to a number of false alarms; None for any."""

    score: float | None
    false_alarms: float | None


def columns_of(
    result: SearchResult, in_image: Callable[[Match], Match], pixel_ratio: float, *, poses: bool
) -> dict[str, Any]:
    """Return the recorded candidates of a search, by columns, and the parts of them that templates and stages have."""
    recorded, limits = _chosen(result)
    count = sum(len(each.least_false_alarms) for each in recorded)
    by_score = result.criterion.false_alarms is None and count > _CROWDED
    parts = [_part_of(each, result.criterion, by_score=by_score) for each in recorded]
    matches = [match for each in recorded for match in each.found.matches()]
    if result.poses.subpixel and result.poses.exact:
        matches = refine_places(matches, result.searches)
    rows = [pose_row(in_image(match), pixel_ratio) for match in matches] if poses else None
    first = 0
    for part in parts:
        part["lobes"] = [[i + first, k + first, number] for i, k, number in part["lobes"]]
        first += part["count"]
    several = len(recorded) > 1
    columns: dict[str, list[Any]] = {
        name: [value for part in parts for value in part.pop(name)]
        for name in (
            "decision",
            "chance",
            "alike",
            "copy",
            "fits",
            "kind",
            "expected_score",
            "outline",
            "place",
        )
    }
    evidence = (
        [e for each in recorded for e in each.found.evidence().tolist()] if several else [0.0] * len(matches)
    )
    told = {
        "start": [[*match.box.start] for match in matches],
        "shape": [[*match.box.shape] for match in matches],
        "score": [match.score for match in matches],
        "false_alarms": [match.false_alarms for match in matches],
        "second_best": [match.second_best for match in matches],
        "evidence": evidence,
        **({} if rows is None else {"pose": rows}),
    }
    return {"parts": parts, "limits": vars(limits), "columns": {**columns, **told}}


def _chosen(result: SearchResult) -> tuple[list[Recorded], Limits]:
    """Choose what is recorded: all that is accepted, and the best of what is not."""
    looser = result.looser or result.criterion
    within = [_select(each, looser) for each in result.recorded]
    limits = Limits(looser.threshold, looser.false_alarms)
    accepted = np.concatenate([_accepts(each, result.criterion) for each in within])
    by_chance = looser.false_alarms is not None
    worth = np.concatenate([_cost(each) if by_chance else -each.found.peaks.scores for each in within])
    if len(accepted) <= MOST or accepted.all():
        return within, limits
    worth[accepted] = -math.inf
    last = np.sort(worth)[max(MOST, int(np.count_nonzero(accepted)))]  # the best that is left out
    limits = (
        Limits(limits.score, float(last * (1 - 1e-9)))
        if by_chance
        else Limits(float(np.nextafter(-last, math.inf)), limits.false_alarms)
    )
    ends = np.cumsum([len(each.least_false_alarms) for each in within])[:-1]
    kept = np.split(worth < last, ends)
    return [each.select(np.flatnonzero(which)) for each, which in zip(within, kept, strict=True)], limits


def _select(recorded: Recorded, criterion: Criterion) -> Recorded:
    return recorded.select(np.flatnonzero(_accepts(recorded, criterion)))


def _accepts(recorded: Recorded, criterion: Criterion) -> Array:
    """Check which candidates a criterion accepts, as `decide` does first."""
    peaks, number = recorded.found.peaks, recorded.false_alarms()
    reached = criterion.reaches_threshold(peaks)
    if criterion.false_alarms is None or number is None:
        return reached
    few = number <= criterion.false_alarms / recorded.found.n_tests
    return np.asarray(reached & few & (peaks.decision_scores >= 0))


def _cost(recorded: Recorded) -> Array:
    """Return the false alarms of candidates in all tests; -1 where there is no null distribution."""
    number = recorded.false_alarms()
    n = len(recorded.least_false_alarms)
    return np.full(n, -1.0) if number is None else number * recorded.found.n_tests


def _part_of(recorded: Recorded, criterion: Criterion, *, by_score: bool) -> dict[str, Any]:
    """Return what is decided by of the candidates of one template in one stage, or the scores alone decide."""
    found = recorded.found
    peaks, n = found.peaks, len(found.peaks.positions)
    number, null = recorded.false_alarms(), peaks.null
    asked = criterion.prefilter not in ("auto", "none")
    compared = [
        pair for i in range(0, n, _COMPARED) for pair in found.compare(range(i, min(i + _COMPARED, n)))
    ]
    near = criterion.min_distance > 1
    copies = [None] * n if null is None else _finite(null.as_copies(peaks.positions, peaks.decision_scores))
    return {
        "label": found.label,
        "prefilter": found.prefilter,
        "n_tests": found.n_tests,
        "count": n,
        "has_null": null is not None and not by_score,
        "lobes": [] if by_score else [*_beside(recorded)],
        "decision": [None] * n if peaks.filtered_scores is None else peaks.filtered_scores.tolist(),
        "chance": [None] * n if number is None else number.tolist(),
        "alike": [int(each) for each in found.alike(asked_to_filter=asked).tolist()],
        "copy": copies,
        "fits": [int(each) for each in fitting(found).tolist()],
        "kind": [kind for kind, _ in compared],
        "expected_score": [expected for _, expected in compared],
        "outline": [
            None if outline is None else [[*point] for point in outline] for outline in found.outlines
        ],
        "place": found.places.tolist() if near else [None] * n,
    }


def _finite(values: Array) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def _beside(recorded: Recorded) -> Iterator[tuple[int, int, float]]:
    """Find which candidates lie beside better ones, and the false alarms of what they add to these."""
    peaks = recorded.found.peaks
    if peaks.null is None or len(peaks.positions) < 2:
        return
    order = np.argsort(-peaks.decision_scores, kind="stable")
    positions, scores = peaks.positions[order], peaks.decision_scores[order]
    numbers: Sequence[int] = order.tolist()
    for i in range(1, len(order)):
        for k, expected in peaks.null.beside(positions, scores, i, range(i)):
            yield numbers[i], numbers[k], expected
