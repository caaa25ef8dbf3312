"""What is found in one block of scores: a summary, and peaks that may be accepted once the whole map is known."""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Positions, Region, Shape
from tmatch._detection.criterion import SINGLE_MARGIN
from tmatch._detection.null.summary import SummaryBuilder
from tmatch._engine import execution
from tmatch._engine.numpy import maxima
from tmatch._scoring.batch.batch import TemplateBatch
from tmatch._scoring.scorer import NO_FLOOR, ScoredBlock, Scorer

_LEAST_BAR = 0.02  # no score below it is kept while the floor is not known
_MOST_KEPT = 2**21  # peaks of a map, about
_SAMPLED = 2**15  # scores from which the bar of a block is estimated, about
_PIECES = 8  # of a block, for each peak that is meant to be kept
_EXCESS = 4  # peaks that are kept at most, for each that is meant to be
_RECENT = 64  # blocks by whose minima the next one is judged
_USUAL = 0.9  # share of them that are not as low


@dataclass(frozen=True)
class BlockPeaks:
    """What was found in one block of the score map of one template.

    All peaks that reach the `bar` are kept, by their `places`, indices into the flattened score map, in order. Those of
    double precision are known to exceed all neighbours inside the block: `level` tells which of these are equal, and
    `edge_places` and `edge_scores` are the scores beside other blocks that reach the bar.
    """

    template: int
    region: Region
    bar: float
    places: NDArray[np.int64]
    scores: Array
    summary: Array | None
    level: NDArray[np.bool_] | None = None
    edge_places: NDArray[np.int64] | None = None
    edge_scores: Array | None = None
    overlap: float = math.inf

    @property
    def start(self) -> Shape:
        """Where the block begins."""
        return tuple(part.start for part in self.region)


@dataclass(frozen=True)
class Wanted:
    """What is wanted of one template's scores: summaries, and the peaks that reach a bar.

    Without a `bar` each block has its own, which about as many peaks reach as templates fit in. If false alarms are
    `rare`, far fewer are allowed than there are blocks, so that most blocks need not keep any peak.
    """

    map_shape: Shape
    window: Shape
    count: int  # of pixels that are compared
    summary: bool
    bar: float | None = None
    rare: bool = False

    @cached_property
    def builder(self) -> SummaryBuilder | None:
        """Summarises one block; None if there is no null model."""
        return SummaryBuilder(self.map_shape, self.window) if self.summary else None

    def bar_of(self, scores: Array, summary: Array | None = None) -> float:
        """Return the bar of a block, rounded as its scores are."""
        bar = self.bar
        if bar is None:
            most = self.most(scores)
            bar = _high_score(scores, most) if summary is None else _high_maximum(summary[0].ravel(), most)
        return float(scores.dtype.type(bar))

    def most(self, scores: Array) -> int:
        """Return how many peaks of a block should be kept."""
        share = scores.size / math.prod(self.map_shape)
        return max(execution.current().block_peaks, int(min(scores.size / self.count, _MOST_KEPT * share)))

    def kept(self, scores: Array, found: Array, bar: float) -> tuple[Array, float]:
        """Choose the best of too many peaks, found at these scores; return the bar that they reach, too."""
        limit = _EXCESS * self.most(scores)
        if self.bar is not None or len(found) <= limit:
            return np.ones(len(found), bool), bar
        bar = float(np.partition(found, -limit)[-limit])
        return found >= bar, bar


@dataclass(frozen=True)
class SinglePeaks:
    """Finds peaks of a batch of templates in single precision: also those near ones that are hardly higher.

    As long as the bar is not known, and false alarms are rare, a block keeps none if its highest score is one that
    chance reaches in others: `minima` are the lowest scores of the last blocks, negated.
    """

    wanted: Mapping[int, Wanted]
    minima: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def __call__(self, batch: TemplateBatch, block: Region) -> list[BlockPeaks]:
        """Score a block for all templates."""
        builders = {number: wanted.builder for number, wanted in self.wanted.items()}
        grids = {number: builder.grid for number, builder in builders.items() if builder is not None}
        floor = min(NO_FLOOR if wanted.bar is None else wanted.bar for wanted in self.wanted.values())
        single = batch if batch.single else replace(batch, single=True)
        return [self._peaks(batch, scored) for scored in single.score(block, floor=floor, grids=grids)]

    def _peaks(self, batch: TemplateBatch, scored: ScoredBlock) -> BlockPeaks:
        wanted = self.wanted[scored.template]
        bar, reaches = wanted.bar, scored.reaches_floor
        if bar is None:
            bar, reaches = self._by_chance(scored)
        if not reaches:
            nothing = np.empty(0, np.int64), np.empty(0, scored.scores.dtype)
            return BlockPeaks(scored.template, scored.region, bar, *nothing, scored.summary)
        bar = wanted.bar_of(scored.scores, scored.summary)
        scores = scored.scores if wanted.bar is None else masked(scored.scores, scored.norms, bar)
        positions = batch.engine.candidates(scores, bar, 2 * SINGLE_MARGIN)
        found = scores[tuple(positions.T)]
        kept, bar = wanted.kept(scores, found, bar)
        places = _places(positions[kept], scored.region, wanted.map_shape)
        return BlockPeaks(scored.template, scored.region, bar, places, found[kept], scored.summary)

    def _by_chance(self, scored: ScoredBlock) -> tuple[float, bool]:
        """Return a score that chance rarely reaches in a block, as minima tell, and whether this block reaches it."""
        if scored.summary is None or not self.wanted[scored.template].rare:
            return 0.0, True
        recent = self.minima[scored.template]
        recent.append(float(scored.summary[1].max()))
        del recent[:-_RECENT]
        ordered = sorted(recent)  # a copy, as other threads add to the list
        least = ordered[int(_USUAL * len(ordered))] if len(ordered) > _RECENT // 4 else 0.0
        return least, bool(scored.summary[0].max() >= least)


@dataclass(frozen=True)
class DoublePeaks:
    """Finds the peaks of one template in double precision; by a batch, as one of its templates."""

    number: int
    wanted: Wanted

    def __call__(self, scorer: Scorer, block: Region) -> BlockPeaks | None:
        """Score a block; None if the template has no position there."""
        scored = _one(scorer, self.number, block)
        return None if scored is None else self._peaks(scored)

    def _peaks(self, scored: ScoredBlock) -> BlockPeaks:
        wanted, region, shape = self.wanted, scored.region, self.wanted.map_shape
        scores = masked(scored.scores, scored.norms)
        bar = wanted.bar_of(scores)
        positions, found, around = maxima.candidates(scores, bar)
        kept, bar = wanted.kept(scores, found, bar)
        edges = np.stack(np.nonzero(_on_edges(region, shape) & (scores >= bar)), axis=1)
        return BlockPeaks(
            scored.template, region, bar, _places(positions[kept], region, shape), found[kept],
            _summary(wanted, scored), (around == found[:, None])[kept], _places(edges, region, shape),
            scores[tuple(edges.T)], scored.overlap,
        )  # fmt: skip


@dataclass(frozen=True)
class BestPeak:
    """Finds the highest score of one template in a block, the first of equal ones."""

    number: int
    wanted: Wanted

    def __call__(self, scorer: Scorer, block: Region) -> BlockPeaks | None:
        """Score a block; None if the template has no position there."""
        scored = _one(scorer, self.number, block)
        if scored is None:
            return None
        scores = masked(scored.scores, scored.norms)
        best = np.stack(np.unravel_index([scores.argmax()], scores.shape), axis=1)
        return BlockPeaks(
            scored.template, scored.region, -math.inf, _places(best, scored.region, self.wanted.map_shape),
            scores[tuple(best.T)], _summary(self.wanted, scored), overlap=scored.overlap,
        )  # fmt: skip


def _one(scorer: Scorer, number: int, block: Region) -> ScoredBlock | None:
    if isinstance(scorer, TemplateBatch) and len(scorer.members) > 1:
        scorer = scorer.only(number)
    return next(scorer.score(block), None)


def _summary(wanted: Wanted, scored: ScoredBlock) -> Array | None:
    builder = wanted.builder
    return None if builder is None else builder.summarise(scored.region, scored.scores, scored.norms)


def _high_score(scores: Array, count: int) -> float:
    """Estimate a score that so many peaks of a block reach, from the maxima of pieces of some rows."""
    step = max(1, min(len(scores), scores.size // _SAMPLED, count // _PIECES))
    rows, count = scores[::step].ravel(), max(1, count // step)
    length = -(-rows.size // (_PIECES * count))
    return _high_maximum(rows[: rows.size // length * length].reshape(-1, length).max(axis=1), count)


def _high_maximum(maxima_of_pieces: Array, count: int) -> float:
    """Return what so many of the maxima of pieces of a block reach."""
    if len(maxima_of_pieces) < count:
        return _LEAST_BAR
    return max(_LEAST_BAR, float(np.partition(maxima_of_pieces, -count)[-count]))


def masked(scores: Array, norms: Array, bar: float = -math.inf) -> Array:
    """Return scores, minus infinity where they are not valid, if such a bar needs that: they are 0."""
    if bar > 0:
        return scores
    valid = norms > 0
    return scores if valid.all() else np.where(valid, scores, -np.inf)


def inside(positions: Positions, region: Region) -> NDArray[np.bool_]:
    """Return which positions are inside a region; their coordinates are the last axis."""
    first, stop = np.array([(part.start, part.stop) for part in region]).T
    return np.asarray(((positions >= first) & (positions < stop)).all(axis=-1))


def _places(positions: Positions, region: Region, shape: Shape) -> NDArray[np.int64]:
    """Return the indices, into a flattened map, of positions in a part of it."""
    starts = np.array([part.start for part in region])
    return np.asarray(np.ravel_multi_index(tuple((positions + starts).T), shape), np.int64)


def _on_edges(region: Region, shape: Shape) -> Any:
    """Mark the positions of a block that are beside another block."""
    marked = np.ones([part.stop - part.start for part in region], bool)
    marked[
        tuple(
            slice(int(part.start > 0), part.stop - part.start - (part.stop < n))
            for part, n in zip(region, shape, strict=True)
        )
    ] = False
    return marked
