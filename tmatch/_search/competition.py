"""Several templates in one image: places explained by one are excluded from the null of the others."""

from collections.abc import Sequence

import numpy as np

from tmatch._detection.criterion import Candidates, Criterion
from tmatch._results.matches import Match, stronger


def compete(
    matches: Sequence[Sequence[Match]], found: Sequence[Candidates], rule: Criterion, max_overlap: float
) -> list[Candidates]:
    """Choose among peaks that may be enough: learn what chance gives without the places that fit another template.

    `matches` has a match for each of the peaks in `found`. Where they overlap, the one with most evidence explains the
    place: as good as the others may fit there, it is no accident.
    """
    flat = [
        (-weight, match.box.start, match.label, template, number)
        for template, (own, peaks) in enumerate(zip(matches, found, strict=True))
        for number, (match, weight) in enumerate(zip(own, evidence(peaks), strict=True))
    ]
    flat.sort()
    ordered = [matches[template][number] for *_, template, number in flat]
    explained: list[list[int]] = [[] for _ in found]
    for by, match, (*_, template, number) in zip(stronger(ordered, max_overlap), ordered, flat, strict=True):
        if by is not None and by.label != match.label:
            explained[template].append(number)
    alone = Criterion(rule.threshold, rule.false_alarms)
    return [alone.choose(_without(peaks, numbers)) for peaks, numbers in zip(found, explained, strict=True)]


def evidence(found: Candidates) -> list[float]:
    """Tell how unlikely peaks are, the same way for all templates; their scores if that is not known."""
    if found.chance is None:
        return [float(score) for score in found.scores]
    return [float(value) for value in found.chance.evidence(found.places, found.judged)]


def _without(found: Candidates, numbers: Sequence[int]) -> Candidates:
    if not numbers or found.chance is None:
        return found
    rest = np.delete(np.arange(len(found.places)), numbers)
    return Candidates(
        found.places, found.scores, found.chance.without(found.places[numbers]), found.judged
    ).chosen(rest)
