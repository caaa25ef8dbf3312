"""What scores the positions of a search, block by block; one scorer may do several templates."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Region
from tmatch._engine import threads
from tmatch._engine.interface import SummaryGrid
from tmatch._engine.progress import Work
from tmatch._engine.tiling import Tiling

NO_FLOOR = 2.0  # no score reaches it
Grid = Callable[[Region], SummaryGrid]


@dataclass(frozen=True, slots=True)
class ScoredBlock:
    """Scores of one template in one block of positions."""

    template: int  # its number
    region: Region  # of its score map
    scores: Array
    norms: Array  # above 0 where the score is valid
    reaches_floor: bool = True  # perhaps
    summary: Array | None = None

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which positions have a score."""
        return np.greater(self.norms, 0)


class Scorer(Protocol):
    """A way to score the templates whose numbers are `templates`."""

    @property
    def templates(self) -> Sequence[int]:
        """Numbers of the templates."""

    @property
    def tiling(self) -> Tiling:
        """The blocks to be scored."""

    @property
    def passes(self) -> float:
        """Cost of a block, as passes over its positions."""

    def score(
        self, block: Region, *, floor: float = NO_FLOOR, grids: Mapping[int, Grid] | None = None
    ) -> Iterator[ScoredBlock]:
        """Score a block of positions, template by template; summarise the scores of templates that have a grid."""

    def finish(self) -> None:
        """Raise what was found while scoring: known once all blocks are scored."""


def run(scorers: Sequence[Scorer], use: Callable[[ScoredBlock], None], work: Work) -> None:
    """Score all positions and use each block, in any order, on several threads."""

    def score(scorer: Scorer, block: Region) -> None:
        for scored in scorer.score(block):
            use(scored)

    jobs = [threads.Job(partial(score, scorer), scorer.tiling, scorer.passes) for scorer in scorers]
    threads.run(*jobs, workers=work.workers, progress=work.progress)
    for scorer in scorers:
        scorer.finish()
