"""Peaks found tile by tile: of the scores only those are kept that could be a peak."""

import math
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tmatch import _peaks, _tiles
from tmatch._borders import Array
from tmatch._general import General
from tmatch._plain import Pattern, Plain, gather, score_places
from tmatch._score import Work, plan
from tmatch._sums import Search
from tmatch._tiles import Meter, Region

_SINGLE = 2e-4  # twice what `match_template` promises for single precision
_BAND_PLACES = 2**22  # at least so many are scored before peaks are looked for

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Found:
    """Peaks of one search, in row-major order, with their scores."""

    places: Places
    scores: Array


def find(searches: Sequence[Search], threshold: float, work: Work) -> list[Found]:
    """Find the peaks that reach the threshold.

    Plain searches are scored in single precision first. Scores of what may be a peak, and of the places around it,
    are made anew by definition, so that the result is that of double precision.
    """
    scorers = plan([_double(search) for search in searches])
    meter = Meter(work.progress, sum(scorer.tiling.count for scorer in scorers))
    found: dict[int, Found] = {}
    for scorer in scorers:
        if isinstance(scorer, General):
            found[scorer.number] = _find_in_bands(scorer, threshold, work, meter)
            continue
        places = _candidates(replace(scorer, single=True), threshold, work, meter)
        for number, pattern in scorer.patterns:
            if number in places:
                found[number] = _settle(scorer, pattern, places[number], threshold)
            else:  # so many that it is better to score all places in double
                alone = replace(scorer, patterns=[(number, pattern)])
                found[number] = _find_in_bands(alone, threshold, work, meter)
    return [found[i] for i in range(len(searches))]


def find_best(searches: Sequence[Search], work: Work) -> list[tuple[tuple[int, ...], float]]:
    """Find the best place of each search, the first of equal ones, and its score."""
    best: list[tuple[tuple[int, ...], float]] = []
    scorers: list[Plain | General] = []
    for i, search in enumerate(searches):
        groups = gather([_double(search)])
        scorers.append(groups[0] if groups else General(i, _double(search)))
    meter = Meter(work.progress, sum(scorer.tiling.count for scorer in scorers))
    for scorer in scorers:
        top, place = -np.inf, (0,) * len(scorer.tiling.places)
        for first, heights in _bands(scorer, work, meter):
            here = np.unravel_index(heights.argmax(), heights.shape)
            if heights[here] > top:
                top, place = float(heights[here]), (int(here[0]) + first, *map(int, here[1:]))
        nothing = -1.0 if searches[len(best)].metric == "nssd" else 0.0
        best.append((place, top if top > -np.inf else nothing))
    return best


def _double(search: Search) -> Search:
    return replace(search, single=False)


# --- plain searches -------------------------------------------------------------------------------


def _candidates(group: Plain, threshold: float, work: Work, meter: Meter) -> dict[int, Places]:
    """Find what may be a peak; templates for which that is too much to look at one by one are left out."""
    floor = threshold - _SINGLE
    room = {number: 2 * math.prod(group.places(p.window)) // p.count for number, p in group.patterns}
    kept: dict[int, list[Places]] = {number: [np.empty((0, 2), np.intp)] for number in room}
    crowded, lock = set(), threading.Lock()

    def look(block: Region) -> None:
        for number, part, scores, norms, high in group.score(block, floor=floor):
            if high and number not in crowded:
                heights = np.where(norms > 0, scores, -np.inf) if floor <= 0 else scores
                places, *_ = _peaks.candidates(heights, floor, 2 * _SINGLE)
                kept[number].append(places + [s.start for s in part])
                with lock:
                    if sum(map(len, kept[number])) > room[number] and number not in crowded:
                        crowded.add(number)
                        meter.total += group.tiling.count  # all is to be done again

    _tiles.run(_tiles.Job(look, group.tiling, group.passes), workers=work.workers, meter=meter)
    return {number: np.concatenate(places) for number, places in kept.items() if number not in crowded}


def _settle(group: Plain, pattern: Pattern, places: Places, threshold: float) -> Found:
    """Score candidates and the places around them by definition, and choose the peaks."""
    places = places[np.lexsort(places.T[::-1])]
    scores = score_places(group.image, pattern, places, group.engine)
    places, scores = places[scores >= threshold], scores[scores >= threshold]
    near = places[:, None] + _peaks.shifts(2)
    shape = group.places(pattern.window)
    inside = ((near >= 0) & (near < shape)).all(axis=-1)
    around = np.full(inside.shape, -np.inf)
    unique, which = np.unique(np.ravel_multi_index(tuple(near[inside].T), shape), return_inverse=True)
    near = np.stack(np.unravel_index(unique, shape), axis=1)
    around[inside] = score_places(group.image, pattern, near, group.engine)[which]
    peaks = _peaks.settle(places, scores, around)
    return Found(places[peaks], scores[peaks])


# --- all others -----------------------------------------------------------------------------------


def _find_in_bands(scorer: Plain | General, threshold: float, work: Work, meter: Meter) -> Found:
    """Look for peaks band by band; a row is looked at once the next one is known."""
    found, tops, arounds = [], [], []
    ndim, rows = len(scorer.tiling.places), scorer.tiling.places[0]
    before = np.empty((0, *scorer.tiling.places[1:]))
    for first, band in _bands(scorer, work, meter):
        heights = np.concatenate([before, band])
        start = first - len(before)
        places, top, around = _peaks.candidates(heights, threshold)
        last = first + len(band) == rows
        fresh = places[:, 0] >= max(len(before) - 1, 0)
        known = fresh & (last | (places[:, 0] < len(heights) - 1))
        places[:, 0] += start
        found.append(places[known])
        tops.append(top[known])
        arounds.append(around[known])
        before = heights[-2:].copy()
    places, heights = np.concatenate(found).reshape(-1, ndim), np.concatenate(tops)
    peaks = _peaks.settle(places, heights, np.concatenate(arounds))
    return Found(places[peaks], heights[peaks])


def _bands(scorer: Plain | General, work: Work, meter: Meter) -> Iterator[tuple[int, Array]]:
    """Score a search band by band: each with its first row; minus infinity where there is no score."""
    rows: dict[int, list[Region]] = defaultdict(list)
    for block in scorer.tiling.blocks():
        rows[block[0].start].append(block)
    waiting: list[Region] = []
    for blocks in rows.values():
        waiting += blocks
        stop = blocks[0][0].stop
        first = waiting[0][0].start
        shape = (stop - first, *scorer.tiling.places[1:])
        if math.prod(shape) < _BAND_PLACES and stop < scorer.tiling.places[0]:
            continue
        heights = np.full(shape, -np.inf)  # a template sought together with smaller ones has fewer places

        def fill(block: Region, heights: Array = heights, first: int = first) -> None:
            for _, (lead, *others), scores, norms, *_ in scorer.score(block):
                part = heights[(slice(lead.start - first, lead.stop - first), *others)]
                part[...] = scores
                part[norms <= 0] = -np.inf

        job = _tiles.Job(fill, scorer.tiling, scorer.passes, waiting)
        _tiles.run(job, workers=work.workers, meter=meter)
        yield first, heights
        waiting = []
    scorer.check()
