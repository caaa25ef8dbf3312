"""Candidates of an image that is read in parts: each block is read and scored once.

What may be accepted is not known before all blocks are scored. So each keeps its highest peaks; blocks that may have
others, which is rare, are scored again.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Positions, Region, Shape
from tmatch._detection.block_peaks import BestPeak, BlockPeaks, DoublePeaks, SinglePeaks, Wanted, inside
from tmatch._detection.collector import Collector, null_of, summary_builder
from tmatch._detection.criterion import SINGLE_MARGIN, Candidates, Criterion
from tmatch._detection.extremes import Extremes
from tmatch._detection.false_alarms import NullDistribution
from tmatch._detection.null.summary import columns_of
from tmatch._detection.peaks import settle
from tmatch._engine.numpy import maxima
from tmatch._engine.progress import Progress, Resources
from tmatch._scoring.batch.batch import TemplateBatch
from tmatch._scoring.scorer import Scorer
from tmatch._scoring.search import Search
from tmatch._scoring.sweep import Task, sweep

_RARE = 0.02  # false alarms that are allowed for each block, below which they are rare


def find_in_blocks(
    searches: Sequence[Search], scorers: Sequence[Scorer], criterion: Criterion, resources: Resources
) -> dict[int, Candidates]:
    """Find the peaks of each search that may meet the criterion; scorers are those planned for the searches."""
    passes: list[_BatchPass | _DoublePass] = []
    for scorer in scorers:
        if isinstance(scorer, TemplateBatch):
            passes.append(_BatchPass(searches, scorer, criterion))
        else:
            passes += [_DoublePass(searches, scorer, number, criterion) for number in scorer.templates]
    found = _complete(passes, resources)
    left = [(scorer, number) for scorer in scorers for number in scorer.templates if number not in found]
    again = [_DoublePass(searches, scorer, number, criterion) for scorer, number in left]
    return found | _complete(again, resources)


def best_in_blocks(
    searches: Sequence[Search], scorers: Sequence[Scorer], resources: Resources
) -> list[Candidates]:
    """Find the position of the maximum score of each search, the first of equal ones; each search has its scorer."""
    passes = [_BestPass(*pair) for pair in zip(searches, scorers, strict=True)]
    sweep([each.task() for each in passes], resources)
    return [each.result() for each in passes]


def _complete(passes: "Sequence[_BatchPass | _DoublePass]", resources: Resources) -> dict[int, Candidates]:
    """Score all blocks, then, as long as there are any, those again that may have more candidates than they kept."""
    tasks = [each.task() for each in passes]
    while tasks:
        sweep(tasks, resources)
        tasks = [each.task(blocks) for each in passes if (blocks := each.incomplete())]
    results: dict[int, Candidates] = {}
    for each in passes:
        results |= each.results()
    return results


def _wanted(search: Search, count: int, bar: float | None = None, *, rare: bool = False) -> Wanted:
    return Wanted(search.map_shape, search.window, count, search.metric.has_null_model, bar, rare)


class _BatchPass:
    """The peaks of a batch, in single precision and then by definition."""

    def __init__(self, searches: Sequence[Search], batch: TemplateBatch, criterion: Criterion) -> None:
        self._searches, self._batch = searches, batch
        self._collectors: dict[int, Collector] = {}
        self._wanted: dict[int, Wanted] = {}
        rare = criterion.false_alarms is not None and criterion.false_alarms < _RARE * batch.tiling.count
        for number, template in batch.members:
            collector = Collector(batch, template, searches[number], criterion, Progress())
            floor = collector.floor - SINGLE_MARGIN
            self._collectors[number] = collector
            bar = floor if floor < math.inf else None
            self._wanted[number] = _wanted(searches[number], template.count, bar, rare=rare)
        self._extremes = {n: Extremes(searches[n], batch.tiling.count) for n in batch.templates}
        self._kept: dict[tuple[int, Shape], BlockPeaks] = {}
        self._fitted = False

    def task(self, blocks: Sequence[Region] | None = None) -> Task:
        """Return how blocks are scored."""
        single = replace(self._batch, single=True)  # one for all blocks, as it keeps what it computes
        return Task(self._searches, single, SinglePeaks(self._wanted), self._use, blocks)

    def _use(self, found: list[BlockPeaks]) -> None:
        for peaks in found:
            collector, wanted = self._collectors[peaks.template], self._wanted[peaks.template]
            if collector.builder is not None and not self._fitted and peaks.summary is not None:
                collector.builder.store(peaks.region, peaks.summary)
                self._extremes[peaks.template].take(peaks)
            if wanted.bar is not None and not self._fitted:  # a threshold decides: most peaks are needed
                collector.take(peaks, wanted.map_shape)
            else:
                self._kept[peaks.template, peaks.start] = peaks

    def incomplete(self) -> list[Region]:
        """Return the blocks that may have more candidates than they kept, which are then scored with the final bar."""
        if self._fitted:
            return []
        self._fitted = True
        for number, collector in self._collectors.items():
            collector.fit()
            self._wanted[number] = replace(
                self._wanted[number], summary=False, bar=collector.floor - SINGLE_MARGIN
            )
        lacking = {
            peaks.start for peaks in self._kept.values() if self._collectors[peaks.template].lacks(peaks)
        }
        return _starting_at(lacking, self._batch)

    def results(self) -> dict[int, Candidates]:
        """Return the candidates of each template that has not too many."""
        for peaks in self._kept.values():
            self._collectors[peaks.template].take(peaks, self._wanted[peaks.template].map_shape)
        return {n: each.chosen(self._batch) for n, each in self._collectors.items() if not each.overflowed}


class _Pass:
    """What is found of one template in double precision."""

    def __init__(self, searches: Sequence[Search], scorer: Scorer, number: int) -> None:
        self._searches, self._scorer, self._number = searches, scorer, number
        self._search = searches[number]
        self._builder = summary_builder(self._search)
        self._extremes = Extremes(self._search, scorer.tiling.count)
        self._kept: dict[Shape, BlockPeaks] = {}

    def _use(self, peaks: BlockPeaks | None) -> None:
        if peaks is not None:
            if self._builder is not None and peaks.summary is not None:
                self._builder.store(peaks.region, peaks.summary)
                self._extremes.take(peaks)
            self._kept[peaks.start] = peaks

    def _finish(self) -> None:
        self._scorer.finish(max(peaks.overlap for peaks in self._kept.values()))


class _BestPass(_Pass):
    """The best position of one template."""

    def __init__(self, search: Search, scorer: Scorer) -> None:
        super().__init__([search], scorer, scorer.templates[0])

    def task(self) -> Task:
        """Return how blocks are scored."""
        visit = BestPeak(self._number, _wanted(self._search, 1))
        return Task(self._searches, self._scorer, visit, self._use)

    def result(self) -> Candidates:
        """Return the best position."""
        self._finish()
        score, place = max((peaks.scores[0], -peaks.places[0]) for peaks in self._kept.values())
        shape = self._search.map_shape
        position = columns_of(np.array([-place if score > -np.inf else 0]), shape)
        known = float(score) if score > -np.inf else self._search.metric.no_score
        return Candidates(position, np.array([known]), null_of(self._builder, self._search))


class _DoublePass(_Pass):
    """The peaks of one template. Those on the edges of blocks are settled with what is known of other blocks."""

    def __init__(self, searches: Sequence[Search], scorer: Scorer, number: int, criterion: Criterion) -> None:
        super().__init__(searches, scorer, number)
        self._criterion = criterion
        bar = criterion.floor(None) if criterion.false_alarms is None else None
        self._wanted = _wanted(self._search, self._search.weights[0].size, bar)

    def task(self, blocks: Sequence[Region] | None = None) -> Task:
        """Return how blocks are scored."""
        return Task(self._searches, self._scorer, DoublePeaks(self._number, self._wanted), self._use, blocks)

    @cached_property
    def _null(self) -> NullDistribution | None:
        self._finish()
        return null_of(self._builder, self._search)

    @cached_property
    def _floors(self) -> Array | None:
        return self._criterion.floors(self._null)

    @cached_property
    def _floor(self) -> float:
        return self._criterion.floor(self._null)

    def incomplete(self) -> list[Region]:
        """Return the blocks that may have more candidates than they kept; they are scored again with the final bar."""
        if self._floor == math.inf or self._criterion.false_alarms is None:
            return []
        lacking = {start for start, peaks in self._kept.items() if self._lacks(peaks)}
        lacking |= self._beside_candidates()
        self._wanted = replace(self._wanted, summary=False, bar=self._floor)
        return _starting_at(lacking, self._scorer)

    def _lacks(self, peaks: BlockPeaks) -> bool:
        if self._floors is None or self._builder is None:
            return False
        pairs = zip(peaks.region, self._builder.size, strict=True)
        cells = tuple(slice(part.start // n, (part.stop - 1) // n + 1) for part, n in pairs)
        return bool(self._floors[cells].min() < peaks.bar)

    def _beside_candidates(self) -> set[Shape]:
        """Find the blocks whose bar is above a candidate in a block beside them: it may be no peak."""
        found = self._candidates()
        accepted = self._criterion.accepts(Candidates(found.positions, found.scores, self._null))
        level = (found.around == found.scores[:, None]).any(
            axis=1
        )  # of a plateau, which may have a higher part
        which = (accepted | level)[found.at]
        block = np.array(self._scorer.tiling.block)
        starts, index = np.unique(found.beside[which] // block * block, axis=0, return_inverse=True)
        blocks = [*map(tuple, starts.tolist())]
        bars = np.array([self._kept[start].bar for start in blocks])
        lacking = np.unique(index.ravel()[bars[index.ravel()] > found.scores[found.at[which]]])
        return {blocks[i] for i in lacking.tolist()}

    def _candidates(self) -> "_Found":
        """Return the candidates that reach the floor in row-major order, with the scores of their neighbours."""
        kept = [*self._kept.values()]
        edges = [_or_empty(each.edge_places, each.edge_scores) for each in kept]
        edge_places, edge_scores = (np.concatenate(each) for each in zip(*edges, strict=True))
        order = np.argsort(edge_places)
        return _Found.of(
            [(each, each.scores >= self._floor) for each in kept],
            self._search.map_shape, (edge_places[order], edge_scores[order]),
        )  # fmt: skip

    def results(self) -> dict[int, Candidates]:
        """Return the candidates."""
        if self._floor == math.inf:
            nothing = np.empty((0, len(self._search.map_shape)), np.intp)
            return {self._number: Candidates(nothing, np.empty(0), self._null)}
        found = self._candidates()
        peaks = settle(found.positions, found.scores, found.around)
        chosen = Candidates(found.positions[peaks], found.scores[peaks], self._null)
        return {self._number: self._criterion.choose(chosen)}


@dataclass(frozen=True)
class _Found:
    """Candidates of all blocks in row-major order, and the scores of their neighbours; minus infinity if lower.

    `beside` are the neighbours in other blocks, and `at` whose they are.
    """

    positions: Positions
    scores: Array
    around: Array
    beside: Positions
    at: NDArray[np.intp]

    @classmethod
    def of(
        cls, parts: Sequence[tuple[BlockPeaks, Array]], shape: Shape, edges: tuple[Array, Array]
    ) -> "_Found":
        """Put the candidates of blocks together, those that are chosen, with the scores on the edges of blocks."""
        places = np.concatenate([each.places[which] for each, which in parts])
        order = np.argsort(places)
        scores = np.concatenate([each.scores[which] for each, which in parts])[order]
        level = np.concatenate([each.level[which] for each, which in parts if each.level is not None])[order]
        counts = [np.count_nonzero(which) for _, which in parts]
        own = np.array([[(s.start, s.stop) for s in each.region] for each, _ in parts]).repeat(
            counts, axis=0
        )[order]
        positions = columns_of(places[order], shape)
        around = np.where(level, scores[:, None], -np.inf)
        on_edge = np.flatnonzero(((positions == own[..., 0]) | (positions == own[..., 1] - 1)).any(axis=1))
        near = positions[on_edge, None] + maxima.shifts(len(shape))
        first, stop = own[on_edge, None, :, 0], own[on_edge, None, :, 1]
        other = ~((near >= first) & (near < stop)).all(axis=-1) & inside(
            near, tuple(slice(0, n) for n in shape)
        )
        at, direction = np.nonzero(other)
        around[on_edge[at], direction] = _look_up(near[other], shape, *edges)
        return cls(positions, scores, around, near[other], on_edge[at])


def _look_up(positions: Positions, shape: Shape, places: Array, scores: Array) -> Array:
    """Return the scores of some positions, as far as they are among sorted places; others are minus infinity."""
    wanted = np.ravel_multi_index(tuple(positions.T), shape)
    index = np.searchsorted(places, wanted)
    known = np.append(places, -1)[index] == wanted
    return np.where(known, np.append(scores, -np.inf)[index], -np.inf)


def _or_empty(places: Array | None, scores: Array | None) -> tuple[Array, Array]:
    if places is None or scores is None:
        return np.empty(0, np.int64), np.empty(0)
    return places, scores


def _starting_at(starts: Iterable[Shape], scorer: Scorer) -> list[Region]:
    """Return the blocks of a scorer that begin at some positions, in their order."""
    wanted = set(starts)
    return [block for block in scorer.tiling.blocks() if tuple(s.start for s in block) in wanted]
