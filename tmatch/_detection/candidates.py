"""Candidate peaks, found tile by tile; only scores that could be a match are kept."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tmatch._arrays.lazy import as_lazy, is_lazy
from tmatch._arrays.typing import Array, Positions, Region
from tmatch._detection.collector import find_in_batch, null_of, summary_builder
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.false_alarms import NullDistribution
from tmatch._detection.null.summary import SummaryBuilder
from tmatch._detection.one_pass import best_in_blocks, find_in_blocks
from tmatch._detection.peaks import LOWEST, settle
from tmatch._engine import execution, threads
from tmatch._engine.numpy import maxima
from tmatch._engine.progress import Resources
from tmatch._scoring.batch.batch import TemplateBatch
from tmatch._scoring.maps import ScoreMap
from tmatch._scoring.planning import log_plan, plan
from tmatch._scoring.scorer import Scorer
from tmatch._scoring.search import Search
from tmatch._scoring.sweep import pixels_needed, with_pieces

Band = tuple[int, Array]
_READ = 64  # windows of a dask array that are read at once


def find(searches: Sequence[Search], criterion: Criterion, resources: Resources) -> list[Candidates]:
    """Find the peaks of each search that may meet the criterion."""
    searches = [_double(search) for search in searches]
    scorers = plan(searches)
    log_plan(scorers, searches)
    if is_lazy(searches[0].image[0]):
        found = find_in_blocks(searches, scorers, criterion, resources)
        return [found[i] for i in range(len(searches))]
    resources.progress.expect(sum(scorer.tiling.count for scorer in scorers))
    found = {}
    for scorer in scorers:
        if isinstance(scorer, TemplateBatch):
            found |= find_in_batch(scorer, searches, criterion, resources)
        for number in scorer.templates:
            if number not in found:  # no pass in single precision, or too many candidates
                single = scorer.only(number) if isinstance(scorer, TemplateBatch) else scorer
                found[number] = _find_in_bands(single, searches[number], criterion, resources)
    return [found[i] for i in range(len(searches))]


def score_at(search: Search, positions: Positions) -> Array:
    """Compute the scores of a search at some positions."""
    if not len(positions):
        return np.zeros(0)
    [scorer] = plan([_double(search)])
    at = [tuple(slice(p, p + 1) for p in position) for position in positions.tolist()]
    if as_lazy(search.image[0]).keeps:
        return _scores_at(scorer, at)
    found: list[Array] = []
    for first in range(0, len(at), _READ):
        some = at[first : first + _READ]
        regions = [pixels_needed(search, scorer.tiling, position) for position in some]
        [here] = plan([_double(with_pieces(search, regions))])
        found.append(_scores_at(here, some))
    return np.concatenate(found)


def _scores_at(scorer: Scorer, positions: Sequence[Region]) -> Array:
    return np.array([next(scorer.score(position)).scores.item() for position in positions])


def find_best(searches: Sequence[Search], resources: Resources) -> list[Candidates]:
    """Find the position of the maximum score of each search, the first of equal ones."""
    best: list[Candidates] = []
    scorers: list[Scorer] = []
    for search in searches:
        scorers += plan([_double(search)])
    if is_lazy(searches[0].image[0]):
        return best_in_blocks([_double(search) for search in searches], scorers, resources)
    resources.progress.expect(sum(scorer.tiling.count for scorer in scorers))
    for scorer, search in zip(scorers, searches, strict=True):
        best_score, best_position = -np.inf, (0,) * len(scorer.tiling.positions)
        builder = summary_builder(search)
        for first, scores in _bands(scorer, resources, builder):
            position = np.unravel_index(scores.argmax(), scores.shape)
            if scores[position] > best_score:
                best_score = float(scores[position])
                best_position = int(position[0]) + first, *map(int, position[1:])
        score = best_score if best_score > -np.inf else search.metric.no_score
        best.append(Candidates(np.array([best_position]), np.array([score]), null_of(builder, search)))
    return best


def _double(search: Search) -> Search:
    return replace(search, single=False) if search.single else search


def _find_in_bands(scorer: Scorer, search: Search, criterion: Criterion, resources: Resources) -> Candidates:
    """Find peaks in scores of double precision."""
    builder = summary_builder(search)
    bands = _bands(scorer, resources, builder)
    if criterion.false_alarms is None:
        positions, scores = _peaks_in_bands(bands, scorer.tiling.positions, criterion.floor(None))
        return Candidates(positions, scores, null_of(builder, search))
    keep_all = math.prod(scorer.tiling.positions) <= execution.current().kept_positions
    kept = [band for band in bands if keep_all]
    null = null_of(builder, search)
    floor = criterion.floor(null)
    if floor < math.inf and not keep_all:  # all blocks are scored again
        resources.progress.expect(scorer.tiling.count)
    positions, scores = _peaks_in_bands(kept or _bands(scorer, resources), scorer.tiling.positions, floor)
    return criterion.choose(Candidates(positions, scores, null))


def _peaks_in_bands(bands: Iterable[Band], shape: tuple[int, ...], floor: float) -> tuple[Positions, Array]:
    """Find peaks band by band; a row is searched once the next one is known."""
    positions_found, scores_found, neighbours_found = [], [], []
    ndim, rows = len(shape), shape[0]
    if floor == math.inf:
        return np.empty((0, ndim), np.intp), np.empty(0)
    last_rows = np.empty((0, *shape[1:]))
    for first, band in bands:
        scores = np.concatenate([last_rows, band])
        start = first - len(last_rows)
        positions, band_scores, neighbours = maxima.candidates(scores, floor)
        last = first + len(band) == rows
        is_new = positions[:, 0] >= max(len(last_rows) - 1, 0)
        complete = is_new & (last | (positions[:, 0] < len(scores) - 1))
        positions[:, 0] += start
        positions_found.append(positions[complete])
        scores_found.append(band_scores[complete])
        neighbours_found.append(neighbours[complete])
        last_rows = scores[-2:].copy()
    positions, scores = np.concatenate(positions_found).reshape(-1, ndim), np.concatenate(scores_found)
    peaks = settle(positions, scores, np.concatenate(neighbours_found))
    return positions[peaks], scores[peaks]


def _bands(scorer: Scorer, resources: Resources, builder: SummaryBuilder | None = None) -> Iterator[Band]:
    """Score a search band by band; return each band with its first row, minus infinity where not valid.

    Blocks are added to the summary one by one.
    """
    rows: dict[int, list[Region]] = defaultdict(list)
    for block in scorer.tiling.blocks():
        rows[block[0].start].append(block)
    pending: list[Region] = []
    overlaps: list[float] = []
    for blocks in rows.values():
        pending += blocks
        stop = blocks[0][0].stop
        first = pending[0][0].start
        shape = (stop - first, *scorer.tiling.positions[1:])
        if math.prod(shape) < execution.current().band_positions and stop < scorer.tiling.positions[0]:
            continue
        scores = np.full(shape, -np.inf)  # in a batch with smaller templates, a template has fewer positions

        def fill(block: Region, scores: Array = scores, first: int = first) -> None:
            for scored in scorer.score(block):
                lead, *others = scored.region
                part = scores[(slice(lead.start - first, lead.stop - first), *others)]
                part[...] = scored.scores
                part[~scored.valid] = -np.inf
                overlaps.append(scored.overlap)
                if builder is not None:
                    builder.add(scored.region, scored.scores, scored.norms)

        job = threads.Job(fill, scorer.tiling, scorer.passes, pending)
        threads.run(job, resources=resources)
        yield first, scores
        pending = []
    scorer.finish(max(overlaps))


def candidates_in_map(made: ScoreMap, criterion: Criterion | None = None) -> Candidates:
    """Find the peaks of a score map that is made already: those that a criterion accepts, or all."""
    null = null_of_map(made)
    floor = LOWEST if criterion is None else criterion.floor(null)
    found = Candidates(*_peaks_in_bands(_bands_of_map(made), made.scores.shape, floor), null)
    return found if criterion is None else criterion.choose(found)


def best_in_map(made: ScoreMap) -> Candidates:
    """Find the best position of a score map that is made already, the first of equal ones."""
    best = made.best
    position = made.search.position_of(best.box.start)
    return Candidates(np.array([position], np.intp), np.array([best.score]), null_of_map(made))


def null_of_map(made: ScoreMap) -> NullDistribution | None:
    """Fit the null distribution to a score map that is made already."""
    summary = summary_builder(made.search)
    if summary is not None:
        for first, scores in _bands_of_map(made):
            part = (slice(first, first + len(scores)), *(slice(0, n) for n in scores.shape[1:]))
            summary.add(part, scores, scores > -np.inf)
    return null_of(summary, made.search)


def _bands_of_map(made: ScoreMap) -> Iterator[Band]:
    """Cut a score map into bands of rows; minus infinity where there is no score."""
    scores, valid = made.scores, made.valid
    rows = max(1, execution.current().band_positions // max(1, math.prod(scores.shape[1:])))
    for first in range(0, len(scores), rows):
        part = slice(first, first + rows)
        yield first, np.where(valid[part], scores[part], -np.inf)
