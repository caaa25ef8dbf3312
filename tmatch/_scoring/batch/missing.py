"""Scores of a search in blocks in which some pixels are missing."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Region
from tmatch._engine.tiling import Tiling
from tmatch._scoring.batch.batch import TemplateBatch
from tmatch._scoring.batch.floats import FloatTemplate
from tmatch._scoring.batch.integers import IntegerTemplate
from tmatch._scoring.batch.missing_tile import MissingFloatTile, MissingIntegerTile
from tmatch._scoring.batch.tile import BatchTemplate
from tmatch._scoring.general.scorer import check_overlap
from tmatch._scoring.scorer import NO_FLOOR, Grid, ScoredBlock
from tmatch._scoring.search import PASSES, Search


class MissingScorer:
    """Scores one search; see `scorer.Scorer`."""

    passes = 2.0 * PASSES

    def __init__(self, number: int, search: Search, template: BatchTemplate, kind: Any) -> None:
        self.templates: Sequence[int] = [number]
        self.search, self._template, self._kind = search, template, kind

    @classmethod
    def of(cls, number: int, search: Search, batch: TemplateBatch) -> "MissingScorer | None":
        """Prepare a search on the tiles of a batch that scores it without missing pixels; None if it has a mask."""
        [(_, template)] = batch.members
        if isinstance(template, IntegerTemplate):  # in single precision, too: with exact sums it is faster
            return cls(number, search, template, MissingIntegerTile) if template.mask is None else None
        floats = FloatTemplate.of(search, batch.transforms, batch.engine)
        return cls(number, search, floats, MissingFloatTile) if floats.box else None

    @property
    def tiling(self) -> Tiling:
        """The blocks to score."""
        return self._template.transforms.tiling

    def score(
        self,
        block: Region,
        *,
        floor: float = NO_FLOOR,
        grids: Mapping[int, Grid] | None = None,  # noqa: ARG002
    ) -> Iterator[ScoredBlock]:
        """Score a block of positions; there are no summaries."""
        region = self.tiling.needs(block)
        channels, valid = self._read(region)
        shape = tuple(part.stop - part.start for part in block)
        scores: Array = np.zeros(shape)
        norms, overlap = scores, 0.0
        if valid.any():
            corner = self.search.start_of([part.start for part in region])
            tile = self._kind(channels, self._template, corner, shared=False, valid=valid)
            single = self.search.single and self._kind is MissingFloatTile
            scored = tile.score_single(self._template, floor, None) if single else None
            scores, norms = (scored or tile.score_double(self._template, None))[:2]
            overlap = float(tile.missing.most_valid * len(channels))
        part = tuple(map(slice, shape))
        yield ScoredBlock(self.templates[0], block, scores[part], norms[part], overlap=overlap)

    def _read(self, region: Region) -> tuple[list[Array], Array]:
        """Read a tile: its channels, with any value where no pixel is valid, and which are."""
        search = self.search
        starts = search.start_of([part.start for part in region])
        part = tuple(slice(s, s + r.stop - r.start) for s, r in zip(starts, region, strict=True))
        inside = all(s.start >= 0 and s.stop <= n for s, n in zip(part, search.image[0].shape, strict=True))
        if search.valid is not None and inside:
            native = search.image[0].dtype.newbyteorder("=")
            channels = [c[part].astype(native, copy=False) for c in search.image]
            return channels, np.ascontiguousarray(search.valid[part])
        channels, valid = search.read(region)
        return channels, np.ones(channels[0].shape, bool) if valid is None else valid

    def finish(self, overlap: float) -> None:
        """Raise if no position has enough overlap."""
        check_overlap(self.search, overlap)
