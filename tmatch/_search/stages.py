"""Search stages: as the image is, then filtered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tmatch._arrays.options import Prefilter
from tmatch._arrays.validation import check_name
from tmatch._detection.candidates import find, score_at
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._engine.progress import Work
from tmatch._results.matches import Match
from tmatch._scoring.search import Search
from tmatch._search.prefilter import filtered


def find_filtered(
    searches: Sequence[Search], how: Prefilter, rule: Criterion, work: Work
) -> list[Candidates]:
    """Find peaks in filtered pictures; their scores are those of the pictures as they are."""
    if how == "none":
        return find(searches, rule, work)
    prepared = filtered(searches, how)
    visible = [i for i, search in enumerate(prepared) if any(np.ptp(channel) for channel in search.template)]
    nothing = np.empty((0, searches[0].image[0].ndim), np.intp)
    results = [Candidates(nothing, np.empty(0), None) for _ in searches]
    for i, found in zip(visible, find([prepared[i] for i in visible], rule, work), strict=True):
        scores = score_at(searches[i], found.places)
        alike = scores > 0  # what is not alike as it is was made so by the filter
        results[i] = Candidates(found.places, scores, found.chance, found.scores).chosen(alike)
    return results


_FIRST = 1 / 4  # share of the false alarms allowed with which the first of two ways has to find something


def accept_first_stage(matches: dict[Match, float], allowed: float, first: float) -> dict[Match, float]:
    """Keep the matches of the first of two ways only if one of them takes up no more than its share of what is allowed.

    The second way has the rest, and if it is not needed, all matches of the first are welcome to it: as many false
    alarms as are allowed are then expected in all. Each match is told the number at which it would be reported.
    """
    least = min((match.false_alarms or 0.0 for match in matches), default=math.inf) / first
    if least > allowed:
        return {}
    return {
        replace(match, false_alarms=float(f"{max(match.false_alarms or 0.0, least):.3g}")): weight
        for match, weight in matches.items()
    }


@dataclass(frozen=True)
class Stage:
    """How both are filtered, and by which number false alarms are multiplied where other ways have their share.

    If another way follows, something must be found with the share `first` of the false alarms allowed; then all count.
    """

    how: Prefilter
    shares: float = 1.0
    first: float = 1.0


def stages_of(prefilter: Prefilter, threshold: float | None, metric: str) -> Sequence[Stage]:
    """Tell how pictures are filtered: one way after the other, until something is found."""
    check_name("prefilter", prefilter, Prefilter)
    if prefilter == "auto":
        if threshold is None and metric == "zncc":
            return (Stage("none", first=_FIRST), Stage("whiten", shares=1 / (1 - _FIRST)))
        return (Stage("none"),)
    if prefilter != "none" and (threshold is not None or metric != "zncc"):
        given = f"`threshold` is {threshold!r}" if threshold is not None else f'`metric` is "{metric}"'
        msg = (
            f'`prefilter` is "{prefilter}" and {given}: filtered pictures are judged by zncc and `false_alarms`; '
            'leave one of them out, or use "none"'
        )
        raise ValueError(msg)
    return (Stage(prefilter),)
