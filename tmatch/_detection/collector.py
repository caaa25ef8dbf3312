"""Candidate peaks of batches of templates, from a pass in single precision.

The scores of candidates and of their neighbours are then computed by definition, so that the result is that of double
precision.
"""

import functools
import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tmatch._arrays.geometry import within
from tmatch._arrays.lazy import is_lazy, windows_at
from tmatch._arrays.typing import Array, Positions, Region, Shape
from tmatch._detection.block_peaks import BlockPeaks, inside, masked
from tmatch._detection.criterion import SINGLE_MARGIN, Candidates, Criterion
from tmatch._detection.false_alarms import NullDistribution, effective_pixels
from tmatch._detection.null.certificate import CERTIFIED_LIKENESS
from tmatch._detection.null.fit import ImageFacts, TemplateFacts, fit_null
from tmatch._detection.null.footprint import Footprint
from tmatch._detection.null.noise import noise_levels
from tmatch._detection.null.residual import (
    independent_pixels,
    least_alike_score,
    patterns,
    residuals,
    rounding_of,
    template_variance,
    window_variances,
)
from tmatch._detection.null.summary import SummaryBuilder, columns_of
from tmatch._detection.null.windows import scores_at
from tmatch._detection.peaks import settle
from tmatch._engine import execution, threads
from tmatch._engine.numpy import maxima
from tmatch._engine.progress import Progress, Resources
from tmatch._scoring.batch.batch import TemplateBatch
from tmatch._scoring.batch.tile import BatchTemplate
from tmatch._scoring.search import Search, comparable

_READ = 2**22  # pixels of windows that are read at once
_FEW_WINDOWS = 100  # are scored faster than duplicates among them are found


def find_in_batch(
    batch: TemplateBatch, searches: Sequence[Search], criterion: Criterion, resources: Resources
) -> dict[int, Candidates]:
    """Find the peaks of a batch's templates; templates with too many candidates are omitted."""
    collectors = {
        n: Collector(batch, t, searches[n], criterion, resources.progress) for n, t in batch.members
    }
    _collect(replace(batch, single=True), collectors, resources)
    return {
        number: collectors[number].chosen(batch)
        for number in batch.templates
        if not collectors[number].overflowed
    }


def summary_builder(search: Search) -> SummaryBuilder | None:
    """Return a builder of the summary to which the null distribution is fitted; None without a null model."""
    return SummaryBuilder(search.map_shape, search.window) if search.metric.has_null_model else None


def null_of(builder: SummaryBuilder | None, search: Search) -> NullDistribution | None:
    """Fit the null distribution to a summary."""
    if builder is None:
        return None
    cells, shape, search = builder.merged(), search.window, comparable(search)
    weights = [np.broadcast_to(w, shape) for w in search.weights]
    template = TemplateFacts(
        lambda: search.cache.get("effective pixels", lambda: effective_pixels(search.template, weights[0])),
        lambda: search.cache.get("footprint", lambda: Footprint(search.template, weights)),
    )
    seen = search if search.unfiltered is None else comparable(search.unfiltered)
    image = ImageFacts(
        lambda: noise_levels(seen),
        lambda positions: window_variances(seen, positions),
        functools.partial(residuals, seen),
        functools.partial(patterns, seen),
        None if seen is search else lambda positions: scores_at(seen, positions),
        lambda: template_variance(seen),
        pixels=independent_pixels(seen),
        least_score=lambda: least_alike_score(search, CERTIFIED_LIKENESS),
        certifies=seen is search and not search.metric.directions,
        rounding=rounding_of(seen),
    )
    return fit_null(cells, template, image)


class Collector:
    """Candidate peaks of one template."""

    def __init__(
        self,
        batch: TemplateBatch,
        template: BatchTemplate,
        search: Search,
        criterion: Criterion,
        progress: Progress,
    ) -> None:
        self._template, self._search, self._criterion, self._progress = template, search, criterion, progress
        self._engine = batch.engine
        self._blocks, self._lock = batch.tiling.count, threading.Lock()
        self._capacity = 2 * math.prod(batch.map_shape(template.window)) // template.count
        self._count = 0
        self.positions: list[Positions] = [np.empty((0, 2), np.intp)]
        self.overflowed = False
        self.builder = summary_builder(search)
        self.null: NullDistribution | None = None
        # Minimum accepted score.
        self.floor = math.inf if criterion.false_alarms is not None else criterion.floor(None)
        self._floors: Array | None = None  # of each cell

    def fit(self) -> None:
        """Fit the null distribution to all scores, and compute the floor of each cell."""
        self.null = null_of(self.builder, self._search)
        self._floors = self._criterion.floors(self.null)
        if self._floors is not None:
            self.floor = float(self._floors.min())

    def may_be_in(self, part: Region) -> bool:
        """Return whether any score in a part of the map may reach its floor."""
        return self._active(part)[0] < math.inf

    def collect(self, part: Region, scores: Array, norms: Array | None = None) -> None:
        """Collect the candidates of a part of the map."""
        if self.overflowed:
            return
        floor, active = self._active(part)
        if floor == math.inf:
            return
        pairs = zip(part, active, strict=True)
        around = tuple(slice(max(a.start - 1, p.start), min(a.stop + 1, p.stop)) for p, a in pairs)
        around_part = within(around, part)
        values = scores[around_part]
        if norms is not None:
            values = masked(values, norms[around_part], floor - SINGLE_MARGIN)
        found = self._engine.candidates(values, floor - SINGLE_MARGIN, 2 * SINGLE_MARGIN)
        found += [s.start for s in around]
        self.add(found if around == active else found[inside(found, active)])

    def add(self, positions: Positions) -> None:
        """Add candidates, unless there are too many."""
        with self._lock:
            self.positions.append(positions)
            self._count += len(positions)
            if self._count > self._capacity and not self.overflowed:
                self.overflowed = True
                self._progress.expect(self._blocks)  # all blocks are scored again

    def lacks(self, peaks: BlockPeaks) -> bool:
        """Return whether the candidates kept of a block are fewer than may be accepted."""
        floor, _ = self._active(peaks.region)
        return floor < math.inf and peaks.bar > peaks.scores.dtype.type(floor - SINGLE_MARGIN)

    def take(self, peaks: BlockPeaks, shape: Shape) -> None:
        """Collect the candidates that were kept of a block, those that it would yield now."""
        floor, active = self._active(peaks.region)
        if floor < math.inf and not self.overflowed:
            high = peaks.scores >= peaks.scores.dtype.type(floor - SINGLE_MARGIN)
            positions = columns_of(peaks.places[high], shape)
            self.add(positions if active == peaks.region else positions[inside(positions, active)])

    def chosen(self, batch: TemplateBatch) -> Candidates:
        """Return the peaks that the criterion accepts, with scores by definition."""
        return self._criterion.choose(_rescore(batch, self._template, self))

    def _active(self, part: Region) -> tuple[float, Region]:
        """Return the minimum floor in a part of the map, and the subregion where scores may reach their floors."""
        if self.null is None or self._floors is None or self.builder is None:
            # A threshold decides, or the null is not fitted yet.
            return self.floor, part
        size = self.builder.size
        cells = tuple(slice(s.start // n, (s.stop - 1) // n + 1) for s, n in zip(part, size, strict=True))
        floor = float(self._floors[cells].min())
        reached = np.nonzero(self.null.cells.high[cells] >= floor - SINGLE_MARGIN)
        if not len(reached[0]):
            return math.inf, part
        active = (
            slice(
                max((first.start + int(index.min())) * n, s.start),
                min((first.start + int(index.max()) + 1) * n, s.stop),
            )
            for first, index, n, s in zip(cells, reached, size, part, strict=True)
        )
        return floor, tuple(active)


def _collect(batch: TemplateBatch, collectors: Mapping[int, Collector], resources: Resources) -> None:
    """Collect candidates: immediately if a threshold decides, otherwise once all scores are known."""
    floor = min(collector.floor for collector in collectors.values()) - SINGLE_MARGIN
    has_floor = floor < math.inf
    positions = sum(math.prod(batch.map_shape(template.window)) for _, template in batch.members)
    keep_all = positions <= execution.current().kept_positions
    kept: list[tuple[Collector, Region, Array]] = []
    grids = {number: c.builder.grid for number, c in collectors.items() if c.builder is not None}

    def score(block: Region) -> None:
        for scored in batch.score(block, floor=floor, grids=grids):
            collector = collectors[scored.template]
            if scored.summary is not None and collector.builder is not None:
                collector.builder.store(scored.region, scored.summary)
            if has_floor and scored.reaches_floor:
                collector.collect(scored.region, scored.scores, scored.norms)
            elif keep_all and not has_floor:
                kept.append((collector, scored.region, scored.scores.copy()))

    threads.run(threads.Job(score, batch.tiling, batch.passes), resources=resources)
    for collector in collectors.values():
        collector.fit()
    for collector, region, scores in kept:
        collector.collect(region, scores)
    if not has_floor and not keep_all:
        _collect_again(batch, collectors, resources)


def _collect_again(batch: TemplateBatch, collectors: Mapping[int, Collector], resources: Resources) -> None:
    """Rescore the blocks where a floor may be reached, and collect their candidates."""
    blocks = [
        block
        for block in batch.tiling.blocks()
        if any(collector.may_be_in(block) for collector in collectors.values())
    ]

    def collect(block: Region) -> None:
        for scored in batch.score(block):
            collectors[scored.template].collect(scored.region, scored.scores)

    if blocks:
        resources.progress.expect(len(blocks))
        threads.run(threads.Job(collect, batch.tiling, batch.passes, blocks), resources=resources)


def _rescore(batch: TemplateBatch, template: BatchTemplate, collector: Collector) -> Candidates:
    """Score candidates and their neighbours by definition, and select the peaks."""
    positions = np.concatenate(collector.positions)
    if not len(positions):
        return Candidates(positions, np.empty(0), collector.null)
    positions = positions[np.lexsort(positions.T[::-1])]
    scores = _score(batch, template, positions)
    high = scores >= collector.floor
    positions, scores = positions[high], scores[high]
    neighbours = positions[:, None] + maxima.shifts(2)
    known = inside(neighbours, tuple(slice(0, n) for n in batch.map_shape(template.window)))
    neighbour_scores = np.full(known.shape, -np.inf)
    neighbour_scores[known] = _score_distinct(batch, template, neighbours[known])
    peaks = settle(positions, scores, neighbour_scores)
    return Candidates(positions[peaks], scores[peaks], collector.null)


def _score_distinct(batch: TemplateBatch, template: BatchTemplate, positions: Positions) -> Array:
    """Score positions by definition; score duplicates among many only once."""
    if len(positions) <= _FEW_WINDOWS:
        return _score(batch, template, positions)
    shape = batch.map_shape(template.window)
    unique, inverse = np.unique(np.ravel_multi_index(tuple(positions.T), shape), return_inverse=True)
    distinct = np.stack(np.unravel_index(unique, shape), axis=1)
    return _score(batch, template, distinct)[inverse]


def _score(batch: TemplateBatch, template: BatchTemplate, positions: Positions) -> Array:
    """Score positions in row-major order by definition; of images that are read in parts few windows at a time."""
    size = max(1, _READ // template.count) if is_lazy(batch.image[0]) else max(1, len(positions))
    parts = [positions[i : i + size] for i in range(0, max(1, len(positions)), size)]
    windows = (windows_at(batch.image, part, template.window) for part in parts)
    return np.concatenate([template.score_positions(*each) for each in windows])
