"""Choose the scorers of searches."""

from collections.abc import Sequence

from tmatch._scoring.batch.batch import make_batches
from tmatch._scoring.general.scorer import GeneralScorer
from tmatch._scoring.mixed import MixedScorer
from tmatch._scoring.scorer import Scorer
from tmatch._scoring.search import Search
from tmatch._scoring.signals import SignalScorer
from tmatch._scoring.volumes.scorer import VolumeScorer


def plan(searches: Sequence[Search]) -> list[Scorer]:
    """Assign scorers to searches in one image."""
    batches = make_batches(searches)
    assigned = {number for batch in batches for number in batch.templates}
    others = [(i, search) for i, search in enumerate(searches) if i not in assigned]
    return [*batches, *(_scorer(number, search) for number, search in others)]


def _scorer(number: int, search: Search) -> Scorer:
    """Choose the scorer of a search that no batch supports."""
    return (
        MixedScorer.of(number, search)
        or VolumeScorer.of(number, search)
        or SignalScorer.of(number, search)
        or GeneralScorer(number, search)
    )
