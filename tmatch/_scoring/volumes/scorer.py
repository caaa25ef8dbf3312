"""Scores of a template in a volume, block by block: "zncc" without masks."""

import math
from collections.abc import Iterator, Mapping, Sequence

from tmatch._arrays.typing import Array, Region
from tmatch._engine import select
from tmatch._engine.tiling import Tiling
from tmatch._scoring.scorer import NO_FLOOR, Grid, ScoredBlock
from tmatch._scoring.search import PASSES, Search
from tmatch._scoring.volumes.template import ExactTemplate, VolumeTemplate
from tmatch._scoring.volumes.tile import Scored, VolumeTile, score_exactly


class VolumeScorer:
    """Scores one search; see `scorer.Scorer`."""

    passes = float(PASSES)

    def __init__(self, number: int, search: Search) -> None:
        self.templates: Sequence[int] = [number]
        self.search = search
        engine = select.choose(PASSES * math.prod(search.shape), search.shape[1:])
        transforms = engine.transforms(search.shape, search.window)
        self._template = VolumeTemplate.of(search, transforms, engine)
        self._exact = ExactTemplate.of(search, transforms)

    @classmethod
    def of(cls, number: int, search: Search) -> "VolumeScorer | None":
        """Prepare a search; None if it is of another kind."""
        return cls(number, search) if _is_supported(search) else None

    @property
    def tiling(self) -> Tiling:
        """The blocks to score."""
        return self._template.transforms.tiling

    def score(
        self,
        block: Region,
        *,
        floor: float = NO_FLOOR,  # noqa: ARG002
        grids: Mapping[int, Grid] | None = None,  # noqa: ARG002
    ) -> Iterator[ScoredBlock]:
        """Score a block of positions; there are no summaries."""
        region = self.tiling.needs(block)
        [image] = self.search.image
        pixels = image[region].astype(image.dtype.newbyteorder("="), copy=False)
        scores, norms = self._score(pixels, [part.start for part in region])
        yield ScoredBlock(self.templates[0], block, scores, norms)

    def _score(self, pixels: Array, corner: Sequence[int]) -> Scored:
        if self._exact is not None:  # single precision saves little, or nothing
            return score_exactly(pixels, self._template, self._exact)
        tile = VolumeTile(pixels, self._template, corner)
        return (tile.score_single() if self.search.single else None) or tile.score_double()

    def finish(self, overlap: float) -> None:
        """Raise nothing: every window of these searches is valid or constant."""


def _is_supported(search: Search) -> bool:
    metric = search.metric
    return (
        metric.bounded
        and metric.centred
        and len(search.window) == 3
        and len(search.image) == 1
        and search.all_valid
        and search.weights[0].dtype == bool
        and bool(search.weights[0].all())
        and all(c.dtype.kind in "biu" or c.dtype.itemsize <= 8 for c in (*search.image, *search.template))
    )
