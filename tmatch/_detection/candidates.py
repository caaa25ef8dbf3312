"""Candidate peaks, found tile by tile: of the scores only those are kept that could be a match."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tmatch._arrays.typing import Array, Positions, Region
from tmatch._detection.collector import find_in_batch, null_of, summary_builder
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.false_alarms import NullDistribution
from tmatch._detection.peaks import LOWEST, settle
from tmatch._detection.summary import SummaryBuilder
from tmatch._engine import execution, threads
from tmatch._engine.numpy import maxima
from tmatch._engine.progress import Meter, Work
from tmatch._scoring.integer.batch import TemplateBatch
from tmatch._scoring.maps import ScoreMap, plan
from tmatch._scoring.scorer import Scorer
from tmatch._scoring.search import Search

Band = tuple[int, Array]


def find(searches: Sequence[Search], rule: Criterion, work: Work) -> list[Candidates]:
    """Find the peaks that the rule asks for."""
    scorers = plan([_double(search) for search in searches])
    meter = Meter(work.progress, sum(scorer.tiling.count for scorer in scorers))
    found: dict[int, Candidates] = {}
    for scorer in scorers:
        quick = (
            find_in_batch(scorer, searches, rule, work, meter) if isinstance(scorer, TemplateBatch) else {}
        )
        for number in scorer.templates:
            peaks = quick.get(number)
            if peaks is None:  # none in single precision, or too many candidates
                alone = scorer.only(number) if isinstance(scorer, TemplateBatch) else scorer
                peaks = _find_in_bands(alone, searches[number], rule, work, meter)
            found[number] = peaks
    return [found[i] for i in range(len(searches))]


def score_at(search: Search, places: Positions) -> Array:
    """Score some places of a search."""
    scores = np.zeros(len(places))
    if len(places):
        [scorer] = plan([_double(search)])
        for i, position in enumerate(places.tolist()):
            [block] = scorer.score(tuple(slice(p, p + 1) for p in position))
            scores[i] = block.scores.item()
    return scores


def find_best(searches: Sequence[Search], work: Work) -> list[Candidates]:
    """Find the best place of each search, the first of equal ones."""
    best: list[Candidates] = []
    scorers: list[Scorer] = []
    for search in searches:
        scorers += plan([_double(search)])
    meter = Meter(work.progress, sum(scorer.tiling.count for scorer in scorers))
    for scorer, search in zip(scorers, searches, strict=True):
        top, place = -np.inf, (0,) * len(scorer.tiling.places)
        survey = summary_builder(search)
        for first, heights in _surveyed(_bands(scorer, work, meter), survey):
            here = np.unravel_index(heights.argmax(), heights.shape)
            if heights[here] > top:
                top, place = float(heights[here]), (int(here[0]) + first, *map(int, here[1:]))
        nothing = search.metric.no_score
        score = top if top > -np.inf else nothing
        best.append(Candidates(np.array([place]), np.array([score]), null_of(survey, search)))
    return best


def _double(search: Search) -> Search:
    return replace(search, single=False) if search.single else search


def _find_in_bands(scorer: Scorer, search: Search, rule: Criterion, work: Work, meter: Meter) -> Candidates:
    """Look for peaks in scores of double precision."""
    survey = summary_builder(search)
    bands = _surveyed(_bands(scorer, work, meter), survey)
    if rule.threshold is not None:
        places, scores = _peaks_of(bands, scorer.tiling.places, rule.threshold)
        return Candidates(places, scores, null_of(survey, search))
    few = math.prod(scorer.tiling.places) <= execution.current().kept_positions
    kept = [band for band in bands if few]
    chance = null_of(survey, search)
    if chance is None:  # refused before
        raise AssertionError
    floor = float(rule.floors(chance).min())
    if floor == math.inf:
        return Candidates(np.empty((0, len(scorer.tiling.places)), np.intp), np.empty(0), chance)
    if not few:
        meter.total += scorer.tiling.count
    places, scores = _peaks_of(kept or _bands(scorer, work, meter), scorer.tiling.places, floor)
    return rule.choose(Candidates(places, scores, chance))


def _peaks_of(bands: Iterable[Band], shape: tuple[int, ...], floor: float) -> tuple[Positions, Array]:
    """Look for peaks band by band; a row is looked at once the next one is known."""
    found, tops, arounds = [], [], []
    ndim, rows = len(shape), shape[0]
    before = np.empty((0, *shape[1:]))
    for first, band in bands:
        heights = np.concatenate([before, band])
        start = first - len(before)
        places, top, around = maxima.candidates(heights, floor)
        last = first + len(band) == rows
        fresh = places[:, 0] >= max(len(before) - 1, 0)
        known = fresh & (last | (places[:, 0] < len(heights) - 1))
        places[:, 0] += start
        found.append(places[known])
        tops.append(top[known])
        arounds.append(around[known])
        before = heights[-2:].copy()
    places, heights = np.concatenate(found).reshape(-1, ndim), np.concatenate(tops)
    peaks = settle(places, heights, np.concatenate(arounds))
    return places[peaks], heights[peaks]


def _surveyed(bands: Iterable[Band], survey: SummaryBuilder | None) -> Iterator[Band]:
    """Take scores in as they pass."""
    for first, heights in bands:
        if survey is not None:
            lead, *others = survey.places  # a template sought together with smaller ones has fewer
            part = (slice(first, min(first + len(heights), lead)), *(slice(0, n) for n in others))
            own = heights[(slice(0, part[0].stop - first), *part[1:])]
            if own.size:
                survey.add(part, own, own > -np.inf)
        yield first, heights


def _bands(scorer: Scorer, work: Work, meter: Meter) -> Iterator[Band]:
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
        if math.prod(shape) < execution.current().band_positions and stop < scorer.tiling.places[0]:
            continue
        heights = np.full(shape, -np.inf)  # a template sought together with smaller ones has fewer places

        def fill(block: Region, heights: Array = heights, first: int = first) -> None:
            for scored in scorer.score(block):
                lead, *others = scored.region
                part = heights[(slice(lead.start - first, lead.stop - first), *others)]
                part[...] = scored.scores
                part[scored.norms <= 0] = -np.inf

        job = threads.Job(fill, scorer.tiling, scorer.passes, waiting)
        threads.run(job, workers=work.workers, meter=meter)
        yield first, heights
        waiting = []
    scorer.finish()


def candidates_in_map(made: ScoreMap, criterion: Criterion | None = None) -> Candidates:
    """Find the peaks of a score map that is made already: those that a criterion accepts, or all."""
    shape, null, floor = made.scores.shape, null_of_map(made), LOWEST
    if criterion is not None and criterion.threshold is not None:
        floor = criterion.threshold
    elif criterion is not None and null is not None:
        floor = float(criterion.floors(null).min())
    if floor == math.inf:
        return Candidates(np.empty((0, len(shape)), np.intp), np.empty(0), null)
    found = Candidates(*_peaks_of(_bands_of_map(made), shape, floor), null)
    return found if criterion is None else criterion.choose(found)


def best_in_map(made: ScoreMap) -> Candidates:
    """Find the best place of a score map that is made already, the first of equal ones."""
    best = made.best
    place = made.search.position_of(best.box.start)
    return Candidates(np.array([place], np.intp), np.array([best.score]), null_of_map(made))


def null_of_map(made: ScoreMap) -> NullDistribution | None:
    """Fit the null distribution to a score map that is made already."""
    summary = summary_builder(made.search)
    for _ in _surveyed(_bands_of_map(made), summary):
        pass
    return null_of(summary, made.search)


def _bands_of_map(made: ScoreMap) -> Iterator[Band]:
    """Cut a score map into bands of rows; minus infinity where there is no score."""
    scores, valid = made.scores, made.valid
    rows = max(1, execution.current().band_positions // max(1, math.prod(scores.shape[1:])))
    for first in range(0, len(scores), rows):
        part = slice(first, first + rows)
        yield first, np.where(valid[part], scores[part], -np.inf)
