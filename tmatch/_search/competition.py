"""Several templates in one image: positions explained by one are excluded from the null of the others."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tmatch._detection.criterion import Criterion
from tmatch._detection.decide import TemplateCandidates
from tmatch._results.matches import better_overlapping


def compete(found: Sequence[TemplateCandidates], criterion: Criterion) -> list[TemplateCandidates]:
    """Remove candidates that another template explains, and fit the null distributions without these positions.

    Of candidates that overlap, the one with the most evidence explains the position. That the others fit there as well
    is no false alarm.
    """
    if len(found) == 1 or criterion.false_alarms is None:
        return list(found)
    boxes = [each.boxes for each in found]
    flat = sorted(
        (-evidence, boxes[template][number].start, each.label, template, number)
        for template, each in enumerate(found)
        for number, (evidence, alike) in enumerate(
            zip(each.evidence().tolist(), each.alike().tolist(), strict=True)
        )
        if alike
    )
    ordered = [boxes[template][number] for *_, template, number in flat]
    outlines = [found[template].outlines[number] for *_, template, number in flat]
    explained: list[list[int]] = [[] for _ in found]
    removed: list[list[int]] = [[] for _ in found]
    for (*_, label, template, number), by in zip(
        flat, better_overlapping(ordered, criterion.max_overlap, outlines), strict=True
    ):
        if by is not None and flat[by][3] != template:
            explained[template].append(number)
            if flat[by][2] != label:  # in another pose of the same template it stays
                removed[template].append(number)
    return [_without(*each) for each in zip(found, explained, removed, strict=True)]


def _without(
    found: TemplateCandidates, explained: Sequence[int], removed: Sequence[int]
) -> TemplateCandidates:
    """Remove candidates, and fit the null distribution without the positions of those that are explained."""
    peaks = found.peaks
    if not explained or peaks.null is None:
        return found
    others = found.select(np.delete(np.arange(len(peaks.positions)), removed))
    lost = found.select(np.array(removed, np.intp))
    null = peaks.null.without(peaks.positions[explained])
    return replace(others, peaks=replace(others.peaks, null=null), lost=lost)
