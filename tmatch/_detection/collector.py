"""Candidate peaks of integer searches, from a pass in single precision.

Scores of candidates, and of the positions around them, are then computed by definition, so that the result is that of
double precision.
"""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tmatch._arrays.typing import Array, Positions, Region
from tmatch._detection.criterion import SINGLE_MARGIN, Candidates, Criterion
from tmatch._detection.false_alarms import NullDistribution, effective_pixels, fit_null
from tmatch._detection.peaks import settle
from tmatch._detection.summary import SummaryBuilder
from tmatch._engine import execution, threads
from tmatch._engine.numpy import maxima
from tmatch._engine.progress import Meter, Work
from tmatch._scoring.integer.batch import TemplateBatch
from tmatch._scoring.integer.template import IntegerTemplate
from tmatch._scoring.integer.tile import score_positions
from tmatch._scoring.search import Search

_FEW_WINDOWS = 100  # are scored sooner than it is found out which of them are the same


def find_in_batch(
    batch: TemplateBatch, searches: Sequence[Search], rule: Criterion, work: Work, meter: Meter
) -> dict[int, Candidates]:
    """Find the peaks of a batch's templates; those with too many candidates are left out."""
    collectors = {n: _Collector(batch, t, searches[n], rule, meter) for n, t in batch.members}
    _collect(replace(batch, single=True), collectors, work, meter)
    return {
        number: rule.choose(_settle(batch, template, collectors[number]))
        for number, template in batch.members
        if not collectors[number].overflowed
    }


def summary_builder(search: Search) -> SummaryBuilder | None:
    """Return a builder of the summary that the null distribution is fitted to; None if the metric has none."""
    return SummaryBuilder(search.map_shape, search.window) if search.metric.has_null_model else None


def null_of(builder: SummaryBuilder | None, search: Search) -> NullDistribution | None:
    """Fit the null distribution to a summary."""
    if builder is None:
        return None

    def count() -> float:
        weights = np.broadcast_to(search.weights[0], search.template[0].shape)
        pixels: float = search.cached("pixels", lambda: effective_pixels(search.template, weights))
        return pixels

    return fit_null(builder.cells(), count)


class _Collector:
    """Candidate peaks of one template."""

    def __init__(
        self, batch: TemplateBatch, template: IntegerTemplate, search: Search, rule: Criterion, meter: Meter
    ) -> None:
        self._search, self._rule, self._meter, self._engine = search, rule, meter, batch.engine
        self._blocks, self._lock = batch.tiling.count, threading.Lock()
        self._capacity = 2 * math.prod(batch.places(template.window)) // template.count
        self._count = 0
        self.positions: list[Positions] = [np.empty((0, 2), np.intp)]
        self.overflowed = False
        self.builder = SummaryBuilder(search.map_shape, template.window)
        self.null: NullDistribution | None = None
        self.floor = math.inf if rule.threshold is None else rule.threshold  # least accepted score
        self._floors: Array | None = None  # of each cell

    def fit(self) -> None:
        """Fit the null distribution to all scores, and with it the floor of each cell."""
        self.null = null_of(self.builder, self._search)
        if self.null is not None and self._rule.false_alarms is not None:
            self._floors = self._rule.floors(self.null)
            self.floor = float(self._floors.min())

    def may_be_in(self, part: Region) -> bool:
        """Return whether any position of a part of the map may reach its floor."""
        return self._active(part)[0] < math.inf

    def collect(self, part: Region, scores: Array, norms: Array | None = None) -> None:
        """Collect the candidates of a part of the map."""
        if self.overflowed:
            return
        floor, active = self._active(part)
        if floor == math.inf:
            return
        pairs = zip(part, active, strict=True)
        own = tuple(slice(a.start - p.start, a.stop - p.start) for p, a in pairs)
        floor -= SINGLE_MARGIN
        values = scores[own]
        if floor <= 0 and norms is not None:
            values = np.where(norms[own] > 0, values, -np.inf)
        found = self._engine.candidates(values, floor, 2 * SINGLE_MARGIN)
        with self._lock:
            self.positions.append(found + [s.start for s in active])
            self._count += len(found)
            if self._count > self._capacity and not self.overflowed:
                self.overflowed = True
                self._meter.total += self._blocks  # all is to be done again

    def _active(self, part: Region) -> tuple[float, Region]:
        """Return the lowest floor in a part of the map, and the part of it where scores reach theirs."""
        if self.null is None or self._floors is None:  # nothing is known of single cells
            return self.floor, part
        size = self.builder.size
        cells = tuple(slice(s.start // n, (s.stop - 1) // n + 1) for s, n in zip(part, size, strict=True))
        floor = float(self._floors[cells].min())
        reached = np.nonzero(self.null.cells.high[cells] >= floor - SINGLE_MARGIN)
        if not len(reached[0]):
            return math.inf, part
        active = (
            slice(
                max((first.start + int(at.min())) * n, s.start),
                min((first.start + int(at.max()) + 1) * n, s.stop),
            )
            for first, at, n, s in zip(cells, reached, size, part, strict=True)
        )
        return floor, tuple(active)


def _collect(batch: TemplateBatch, collectors: Mapping[int, _Collector], work: Work, meter: Meter) -> None:
    """Collect candidates: at once if a threshold is given, else when all scores are known."""
    floor = min(each.floor for each in collectors.values()) - SINGLE_MARGIN
    decided = floor < math.inf
    positions = sum(math.prod(batch.places(template.window)) for _, template in batch.members)
    few = positions <= execution.current().kept_positions
    kept: list[tuple[_Collector, Region, Array]] = []
    grids = {number: each.builder.grid for number, each in collectors.items()}

    def survey(block: Region) -> None:
        for scored in batch.score(block, floor=floor, grids=grids):
            collector = collectors[scored.template]
            if scored.summary is not None:
                collector.builder.take(scored.region, scored.summary)
            if decided and scored.reaches_floor:
                collector.collect(scored.region, scored.scores, scored.norms)
            elif few and not decided:
                kept.append((collector, scored.region, scored.scores.copy()))

    threads.run(threads.Job(survey, batch.tiling, batch.passes), workers=work.workers, meter=meter)
    for collector in collectors.values():
        collector.fit()
    for collector, region, scores in kept:
        collector.collect(region, scores)
    if not decided and not few:
        _collect_again(batch, collectors, work, meter)


def _collect_again(
    batch: TemplateBatch, collectors: Mapping[int, _Collector], work: Work, meter: Meter
) -> None:
    """Score once more where a floor may be reached."""
    blocks = [
        block for block in batch.tiling.blocks() if any(each.may_be_in(block) for each in collectors.values())
    ]

    def collect(block: Region) -> None:
        for scored in batch.score(block):
            collectors[scored.template].collect(scored.region, scored.scores)

    if blocks:
        meter.total += len(blocks)
        threads.run(
            threads.Job(collect, batch.tiling, batch.passes, blocks), workers=work.workers, meter=meter
        )


def _settle(batch: TemplateBatch, template: IntegerTemplate, collector: _Collector) -> Candidates:
    """Score candidates and the positions around them by definition, and choose the peaks."""
    positions = np.concatenate(collector.positions)
    positions = positions[np.lexsort(positions.T[::-1])]
    scores = score_positions(batch.image, template, positions)
    high = scores >= collector.floor
    positions, scores = positions[high], scores[high]
    near = positions[:, None] + maxima.shifts(2)
    inside = ((near >= 0) & (near < batch.places(template.window))).all(axis=-1)
    around = np.full(inside.shape, -np.inf)
    around[inside] = _score_once(batch, template, near[inside])
    peaks = settle(positions, scores, around)
    return Candidates(positions[peaks], scores[peaks], collector.null)


def _score_once(batch: TemplateBatch, template: IntegerTemplate, positions: Positions) -> Array:
    """Score positions by definition; of many, those which are the same once."""
    if len(positions) <= _FEW_WINDOWS:
        return score_positions(batch.image, template, positions)
    shape = batch.places(template.window)
    unique, which = np.unique(np.ravel_multi_index(tuple(positions.T), shape), return_inverse=True)
    once = np.stack(np.unravel_index(unique, shape), axis=1)
    return score_positions(batch.image, template, once)[which]
