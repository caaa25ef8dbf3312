"""The protocol of a scorer, which scores the positions of a search block by block, for one or several templates."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Region
from tmatch._engine import threads
from tmatch._engine.interface import SummaryGrid
from tmatch._engine.progress import Resources
from tmatch._engine.tiling import Tiling

NO_FLOOR = 2.0  # no score reaches it
Grid = Callable[[Region], SummaryGrid]


@dataclass(frozen=True, slots=True)
class ScoredBlock:
    """Scores of one template in one block of positions.

    `overlap` is the largest weight of the template on valid pixels at any of them; infinity if no pixel can be missing.
    """

    template: int  # number of the template
    region: Region  # of the template's score map
    scores: Array
    norms: Array  # above 0 where a score is valid
    reaches_floor: bool = True  # whether a score may reach the floor
    summary: Array | None = None
    overlap: float = math.inf

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which positions have a valid score."""
        return np.greater(self.norms, 0)


class Scorer(Protocol):
    """Scores the templates whose numbers are `templates`."""

    @property
    def templates(self) -> Sequence[int]:
        """Numbers of the templates."""

    @property
    def tiling(self) -> Tiling:
        """The blocks to score."""

    @property
    def passes(self) -> float:
        """Cost of a block, in passes over its positions."""

    def score(
        self, block: Region, *, floor: float = NO_FLOOR, grids: Mapping[int, Grid] | None = None
    ) -> Iterator[ScoredBlock]:
        """Score a block of positions, template by template; summarise scores of templates with a grid."""

    def finish(self, overlap: float) -> None:
        """Raise an error that is known only once all blocks are scored: their largest overlap is too small."""


def run(scorers: Sequence[Scorer], use: Callable[[ScoredBlock], None], resources: Resources) -> None:
    """Score all positions and pass each block to `use`, in any order, on several threads."""
    overlaps: list[list[float]] = [[] for _ in scorers]

    def score(number: int, block: Region) -> None:
        for scored in scorers[number].score(block):
            use(scored)
            overlaps[number].append(scored.overlap)

    jobs = [threads.Job(partial(score, i), each.tiling, each.passes) for i, each in enumerate(scorers)]
    resources.progress.expect(sum(scorer.tiling.count for scorer in scorers))
    threads.run(*jobs, resources=resources)
    for scorer, found in zip(scorers, overlaps, strict=True):
        scorer.finish(max(found))
