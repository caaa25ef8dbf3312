"""Candidate peaks, found tile by tile: of the scores only those are kept that could be a match."""

import math
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tmatch._arrays.typing import Array, Places, Region
from tmatch._detection.criterion import SINGLE_MARGIN, Candidates, Criterion
from tmatch._detection.false_alarms import NullDistribution, effective_pixels, fit_null
from tmatch._detection.peaks import LOWEST, settle
from tmatch._detection.summary import SummaryBuilder
from tmatch._engine import threads
from tmatch._engine.numpy import maxima
from tmatch._engine.progress import Meter, Work
from tmatch._scoring.general.scorer import GeneralScorer
from tmatch._scoring.integer.batch import TemplateBatch, make_batches
from tmatch._scoring.integer.template import IntegerTemplate
from tmatch._scoring.integer.tile import score_places
from tmatch._scoring.maps import places_of, plan
from tmatch._scoring.metrics import HAS_NULL_MODEL
from tmatch._scoring.search import Search

_BAND_PLACES = 2**22  # at least so many are scored before peaks are looked for
_KEPT_PLACES = 2**23  # no more scores are kept until it is known which are enough; others are made again
_FEW_WINDOWS = 100  # are scored sooner than it is found out which of them are the same
Band = tuple[int, Array]


def find(searches: Sequence[Search], rule: Criterion, work: Work) -> list[Candidates]:
    """Find the peaks that the rule asks for.

    Plain searches are scored in single precision first. Scores of what may be a peak, and of the places around it,
    are made anew by definition, so that the result is that of double precision.
    """
    scorers = plan([_double(search) for search in searches])
    meter = Meter(work.progress, sum(scorer.tiling.count for scorer in scorers))
    found: dict[int, Candidates] = {}
    for scorer in scorers:
        if isinstance(scorer, GeneralScorer):
            found[scorer.number] = _find_in_bands(scorer, searches[scorer.number], rule, work, meter)
            continue
        hopes = {
            n: CandidateCollector(scorer, pattern, searches[n], rule, meter) for n, pattern in scorer.patterns
        }
        _look(replace(scorer, single=True), hopes, work, meter)
        for number, pattern in scorer.patterns:
            hope = hopes[number]
            if hope.crowded:  # so many that it is better to score all places in double
                alone = replace(scorer, patterns=[(number, pattern)])
                found[number] = _find_in_bands(alone, searches[number], rule, work, meter)
            else:
                places = np.concatenate(hope.places)
                found[number] = rule.choose(_settle(scorer, pattern, places, hope.floor, hope.chance))
    return [found[i] for i in range(len(searches))]


def score_at(search: Search, places: Places) -> Array:
    """Score some places of a search."""
    scores = np.zeros(len(places))
    if len(places):
        [scorer] = plan([_double(search)])
        for i, place in enumerate(places.tolist()):
            [(_, _, score, *_)] = scorer.score(tuple(slice(p, p + 1) for p in place))
            scores[i] = score.item()
    return scores


def find_best(searches: Sequence[Search], work: Work) -> list[Candidates]:
    """Find the best place of each search, the first of equal ones."""
    best: list[Candidates] = []
    scorers: list[TemplateBatch | GeneralScorer] = []
    for i, search in enumerate(searches):
        groups = make_batches([_double(search)])
        scorers.append(groups[0] if groups else GeneralScorer(i, _double(search)))
    meter = Meter(work.progress, sum(scorer.tiling.count for scorer in scorers))
    for scorer, search in zip(scorers, searches, strict=True):
        top, place = -np.inf, (0,) * len(scorer.tiling.places)
        survey = _survey(search)
        for first, heights in _surveyed(_bands(scorer, work, meter), survey):
            here = np.unravel_index(heights.argmax(), heights.shape)
            if heights[here] > top:
                top, place = float(heights[here]), (int(here[0]) + first, *map(int, here[1:]))
        nothing = -1.0 if search.metric == "nssd" else 0.0
        score = top if top > -np.inf else nothing
        best.append(Candidates(np.array([place]), np.array([score]), _learn(survey, search)))
    return best


def _double(search: Search) -> Search:
    return replace(search, single=False) if search.single else search


def _survey(search: Search) -> SummaryBuilder | None:
    return (
        SummaryBuilder(places_of(search), search.template[0].shape)
        if search.metric in HAS_NULL_MODEL
        else None
    )


def _learn(survey: SummaryBuilder | None, search: Search) -> NullDistribution | None:
    if survey is None:
        return None

    def count() -> float:
        weights = np.broadcast_to(search.weights[0], search.template[0].shape)
        pixels: float = search.remember("pixels", lambda: effective_pixels(search.template, weights))
        return pixels

    return fit_null(survey.cells(), count)


class CandidateCollector:
    """What may be a peak of one template, by scores of single precision."""

    def __init__(
        self, group: TemplateBatch, pattern: IntegerTemplate, search: Search, rule: Criterion, meter: Meter
    ) -> None:
        self._search, self._rule, self._meter, self._engine = search, rule, meter, group.engine
        self._blocks, self._lock = group.tiling.count, threading.Lock()
        self._room = 2 * math.prod(group.places(pattern.window)) // pattern.count
        self._count = 0
        self.places: list[Places] = [np.empty((0, 2), np.intp)]
        self.crowded = False
        self.survey = SummaryBuilder(places_of(search), pattern.window)
        self.chance: NullDistribution | None = None
        self.floor = (
            math.inf if rule.threshold is None else rule.threshold
        )  # what a score must reach at least
        self._floors: Array | None = None

    def learn(self) -> None:
        """Learn from all scores what chance gives, and with it what is enough in each cell."""
        self.chance = _learn(self.survey, self._search)
        if self.chance is not None and self._rule.false_alarms is not None:
            self._floors = self._rule.floors(self.chance)
            self.floor = float(self._floors.min())

    def may_be_in(self, part: Region) -> bool:
        """Tell whether any place of a part of the map may be enough."""
        return self._hopeful(part)[0] < math.inf

    def look(self, part: Region, scores: Array, norms: Array | None = None) -> None:
        """Find what may be a peak in a part of the map."""
        if self.crowded:
            return
        floor, hopeful = self._hopeful(part)
        if floor == math.inf:
            return
        pairs = zip(part, hopeful, strict=True)
        own = tuple(slice(h.start - p.start, h.stop - p.start) for p, h in pairs)
        floor -= SINGLE_MARGIN
        heights = scores[own]
        if floor <= 0 and norms is not None:
            heights = np.where(norms[own] > 0, heights, -np.inf)
        places = self._engine.candidates(heights, floor, 2 * SINGLE_MARGIN)
        with self._lock:
            self.places.append(places + [s.start for s in hopeful])
            self._count += len(places)
            if self._count > self._room and not self.crowded:
                self.crowded = True
                self._meter.total += self._blocks  # all is to be done again

    def _hopeful(self, part: Region) -> tuple[float, Region]:
        """Give the least score that may be enough in a part of the map, and the part of it where scores reach it."""
        if self.chance is None or self._floors is None:  # nothing is known of single cells
            return self.floor, part
        size = self.survey.size
        cells = tuple(slice(s.start // n, (s.stop - 1) // n + 1) for s, n in zip(part, size, strict=True))
        floor = float(self._floors[cells].min())
        reached = np.nonzero(self.chance.cells.high[cells] >= floor - SINGLE_MARGIN)
        if not len(reached[0]):
            return math.inf, part
        hopeful = (
            slice(
                max((first.start + int(at.min())) * n, s.start),
                min((first.start + int(at.max()) + 1) * n, s.stop),
            )
            for first, at, n, s in zip(cells, reached, size, part, strict=True)
        )
        return floor, tuple(hopeful)


def _look(group: TemplateBatch, hopes: Mapping[int, CandidateCollector], work: Work, meter: Meter) -> None:
    """Look for what may be a peak: at once if a threshold is known, else when all scores are."""
    floor = min(hope.floor for hope in hopes.values()) - SINGLE_MARGIN
    decided = floor < math.inf
    few = sum(math.prod(group.places(pattern.window)) for _, pattern in group.patterns) <= _KEPT_PLACES
    kept: list[tuple[CandidateCollector, Region, Array]] = []
    grids = {number: hope.survey.grid for number, hope in hopes.items()}

    def survey(block: Region) -> None:
        for number, part, scores, norms, high, summed in group.score(block, floor=floor, grids=grids):
            hope = hopes[number]
            if summed is not None:
                hope.survey.take(part, summed)
            if decided and high:
                hope.look(part, scores, norms)
            elif few and not decided:
                kept.append((hope, part, scores.copy()))

    threads.run(threads.Job(survey, group.tiling, group.passes), workers=work.workers, meter=meter)
    for hope in hopes.values():
        hope.learn()
    for hope, part, scores in kept:
        hope.look(part, scores)
    if not decided and not few:
        _look_again(group, hopes, work, meter)


def _look_again(
    group: TemplateBatch, hopes: Mapping[int, CandidateCollector], work: Work, meter: Meter
) -> None:
    """Score once more where something may be enough."""
    blocks = [
        block for block in group.tiling.blocks() if any(hope.may_be_in(block) for hope in hopes.values())
    ]

    def look(block: Region) -> None:
        for number, part, scores, *_ in group.score(block):
            hopes[number].look(part, scores)

    if blocks:
        meter.total += len(blocks)
        threads.run(threads.Job(look, group.tiling, group.passes, blocks), workers=work.workers, meter=meter)


def _settle(
    group: TemplateBatch,
    pattern: IntegerTemplate,
    places: Places,
    floor: float,
    chance: NullDistribution | None,
) -> Candidates:
    """Score candidates and the places around them by definition, and choose the peaks."""
    places = places[np.lexsort(places.T[::-1])]
    scores = score_places(group.image, pattern, places, group.engine)
    places, scores = places[scores >= floor], scores[scores >= floor]
    near = places[:, None] + maxima.shifts(2)
    inside = ((near >= 0) & (near < group.places(pattern.window))).all(axis=-1)
    around = np.full(inside.shape, -np.inf)
    around[inside] = _score_once(group, pattern, near[inside])
    peaks = settle(places, scores, around)
    return Candidates(places[peaks], scores[peaks], chance)


def _score_once(group: TemplateBatch, pattern: IntegerTemplate, places: Places) -> Array:
    """Score places by definition; of many, those which are the same once."""
    if len(places) <= _FEW_WINDOWS:
        return score_places(group.image, pattern, places, group.engine)
    shape = group.places(pattern.window)
    unique, which = np.unique(np.ravel_multi_index(tuple(places.T), shape), return_inverse=True)
    once = np.stack(np.unravel_index(unique, shape), axis=1)
    return score_places(group.image, pattern, once, group.engine)[which]


def _find_in_bands(
    scorer: TemplateBatch | GeneralScorer, search: Search, rule: Criterion, work: Work, meter: Meter
) -> Candidates:
    """Look for peaks in scores of double precision."""
    survey = _survey(search)
    bands = _surveyed(_bands(scorer, work, meter), survey)
    if rule.threshold is not None:
        places, scores = _peaks_of(bands, scorer.tiling.places, rule.threshold)
        return Candidates(places, scores, _learn(survey, search))
    few = math.prod(scorer.tiling.places) <= _KEPT_PLACES
    kept = [band for band in bands if few]
    chance = _learn(survey, search)
    if chance is None:  # refused before
        raise AssertionError
    floor = float(rule.floors(chance).min())
    if floor == math.inf:
        return Candidates(np.empty((0, len(scorer.tiling.places)), np.intp), np.empty(0), chance)
    if not few:
        meter.total += scorer.tiling.count
    places, scores = _peaks_of(kept or _bands(scorer, work, meter), scorer.tiling.places, floor)
    return rule.choose(Candidates(places, scores, chance))


def _peaks_of(bands: Iterable[Band], shape: tuple[int, ...], floor: float) -> tuple[Places, Array]:
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


def _bands(scorer: TemplateBatch | GeneralScorer, work: Work, meter: Meter) -> Iterator[Band]:
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

        job = threads.Job(fill, scorer.tiling, scorer.passes, waiting)
        threads.run(job, workers=work.workers, meter=meter)
        yield first, heights
        waiting = []
    scorer.check()


def candidates_in_map(
    scores: Array, valid: Array, search: Search, criterion: Criterion | None = None
) -> Candidates:
    """Find the peaks of a score map that is made already: those that a criterion accepts, or all."""
    null = null_of_map(scores, valid, search)
    floor = LOWEST
    if criterion is not None and criterion.threshold is not None:
        floor = criterion.threshold
    elif criterion is not None and null is not None:
        floor = float(criterion.floors(null).min())
    if floor == math.inf:
        return Candidates(np.empty((0, scores.ndim), np.intp), np.empty(0), null)
    found = Candidates(*_peaks_of(_bands_of_map(scores, valid), scores.shape, floor), null)
    return found if criterion is None else criterion.choose(found)


def null_of_map(scores: Array, valid: Array, search: Search) -> NullDistribution | None:
    """Fit the null distribution to a score map that is made already."""
    summary = _survey(search)
    for _ in _surveyed(_bands_of_map(scores, valid), summary):
        pass
    return _learn(summary, search)


def _bands_of_map(scores: Array, valid: Array) -> Iterator[Band]:
    """Cut a score map into bands of rows; minus infinity where there is no score."""
    rows = max(1, _BAND_PLACES // max(1, math.prod(scores.shape[1:])))
    for first in range(0, len(scores), rows):
        part = slice(first, first + rows)
        yield first, np.where(valid[part], scores[part], -np.inf)
