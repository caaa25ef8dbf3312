"""Scores of a search in which some pixels are missing: most windows may be complete, and are scored faster."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tmatch._arrays.typing import Region
from tmatch._engine.tiling import Tiling
from tmatch._scoring.batch.batch import TemplateBatch, make_batches
from tmatch._scoring.batch.missing import MissingScorer
from tmatch._scoring.general.scorer import GeneralScorer
from tmatch._scoring.scorer import NO_FLOOR, Grid, ScoredBlock, Scorer
from tmatch._scoring.search import Search


class MixedScorer:
    """Scores one search; see `scorer.Scorer`. Blocks without a missing pixel are left to a batch."""

    def __init__(self, number: int, search: Search, batch: TemplateBatch) -> None:
        self.templates: Sequence[int] = [number]
        self.search, self._batch = search, batch
        self._others: Scorer = MissingScorer.of(number, search, batch) or GeneralScorer(
            number, search, batch.transforms
        )
        self.passes = self._others.passes

    @classmethod
    def of(cls, number: int, search: Search) -> "MixedScorer | None":
        """Prepare a search; None if no pixel can be missing, or if batches do not support it."""
        if search.all_valid:
            return None
        complete = replace(search, valid=None, margins=[(0, 0)] * len(search.margins))
        batches = make_batches([complete], search.shape)
        return cls(number, search, batches[0]) if batches else None

    @property
    def tiling(self) -> Tiling:
        """The blocks to score."""
        return self._others.tiling

    def score(
        self, block: Region, *, floor: float = NO_FLOOR, grids: Mapping[int, Grid] | None = None
    ) -> Iterator[ScoredBlock]:
        """Score a block of positions; there are no summaries."""
        inside = self._complete(block)
        if inside is None:
            yield from self._others.score(block, floor=floor, grids=grids)
            return
        for scored in self._batch.score(inside):
            yield replace(scored, template=self.templates[0], region=block)

    def _complete(self, block: Region) -> Region | None:
        """Return the block in the map of complete windows; None if a pixel of its windows is missing."""
        search = self.search
        starts = search.start_of([part.start for part in block])
        inside = tuple(
            slice(start, start + part.stop - part.start) for start, part in zip(starts, block, strict=True)
        )
        needed = self.tiling.needs(inside)
        pairs = zip(needed, search.image[0].shape, strict=True)
        if not all(part.start >= 0 and part.stop <= n for part, n in pairs):
            return None
        return inside if search.valid is None or bool(search.valid[needed].all()) else None

    def finish(self, overlap: float) -> None:
        """Raise if no position has enough overlap."""
        self._others.finish(overlap)
