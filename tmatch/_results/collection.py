"""The matches of one image, and what was sought there."""

from collections.abc import Iterable, Mapping
from typing import Any

from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match


class Matches(list[Match]):
    """The matches of one image, best first: a list that knows what was sought, and where.

    Parameters
    ----------
    matches : iterable of Match
        Best first.
    shape : tuple of int
        Shape of the image in pixels, without channels; empty if not known.
    labels : iterable of str
        All labels that were sought, in the order of the templates.
    best : mapping of str to Match
        The best position of labels without a match, where it is known.
    near_misses : iterable of CandidateDecision
        Positions that nearly are matches.
    decision : mapping of str
        How it was decided; JSON-serializable.
    """

    def __init__(
        self,
        matches: Iterable[Match] = (),
        /,
        *,
        shape: Iterable[int] = (),
        labels: Iterable[str] = (),
        best: Mapping[str, Match] | None = None,
        near_misses: Iterable[CandidateDecision] = (),
        decision: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(matches)
        self.shape = tuple(shape)
        self.labels = tuple(dict.fromkeys(labels))
        self.best = dict(best or {})
        self.near_misses = tuple(near_misses)
        self.decision = dict(decision or {})

    @property
    def missing(self) -> list[str]:
        """The labels that were sought and not found."""
        found = {match.label for match in self}
        return [label for label in self.labels if label not in found]
