"""Choose the scorers of searches."""

import logging
from collections.abc import Sequence

from tmatch._arrays.geometry import describe_shape
from tmatch._engine import select
from tmatch._scoring.batch.batch import make_batches
from tmatch._scoring.general.scorer import GeneralScorer
from tmatch._scoring.mixed import MixedScorer
from tmatch._scoring.scorer import Scorer
from tmatch._scoring.search import Search
from tmatch._scoring.signals import SignalScorer
from tmatch._scoring.volumes.scorer import VolumeScorer

_log = logging.getLogger("tmatch.engine")


def plan(searches: Sequence[Search]) -> list[Scorer]:
    """Assign scorers to searches in one image."""
    batches = make_batches(searches)
    assigned = {number for batch in batches for number in batch.templates}
    others = [(i, search) for i, search in enumerate(searches) if i not in assigned]
    return [*batches, *(_scorer(number, search) for number, search in others)]


def log_plan(scorers: Sequence[Scorer], searches: Sequence[Search]) -> None:
    """Tell which engine scores how many templates, and in which tiles."""
    if _log.isEnabledFor(logging.DEBUG):
        for scorer in scorers:
            search, tiling = searches[scorer.templates[0]], scorer.tiling
            shape = search.shape[1:] if isinstance(scorer, VolumeScorer) else search.shape
            fft = tiling.fft_shape
            how = f"by transforms of {describe_shape(fft)}" if fft else "without transforms"
            _log.debug(
                "templates scored together: %d; tiles: %d of %s positions, %s; engine: %s",
                len(scorer.templates), tiling.count, describe_shape(tiling.block), how,
                select.explain(shape, len(search.image)),
            )  # fmt: skip


def _scorer(number: int, search: Search) -> Scorer:
    """Choose the scorer of a search that no batch supports."""
    return (
        MixedScorer.of(number, search)
        or VolumeScorer.of(number, search)
        or SignalScorer.of(number, search)
        or GeneralScorer(number, search)
    )
