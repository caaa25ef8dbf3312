"""What was decided about a position, and by which rule."""

from dataclasses import dataclass, replace
from typing import Literal

from tmatch._arrays.options import Prefilter
from tmatch._results.boxes import Box
from tmatch._results.matches import Kind, Match

Reason = Literal[
    "reported", "outside", "no score", "not a peak", "threshold", "false alarms", "unlike", "alike", "distance",
    "side lobe", "overlap", "count",
]  # fmt: skip
PASSED = (
    "distance",
    "side lobe",
    "overlap",
    "count",
    "reported",
)  # the score of the position was high enough
MANY = 0.1  # false alarms: positions with as many are no evidence of a match
Position = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about a position. Fields are JSON-serializable.

    Parameters
    ----------
    box : Box
        The window.
    reported : bool
        Whether `locate` returns a match with this box.
    rule : str
        The rule that decided: "reported", or the first that excluded the position. "outside": the template does not fit
        into the image there; "no score": nothing can be compared; "not a peak": a neighbour is better; "threshold":
        the score is below it; "false alarms": more are expected than allowed; "unlike": noise does not explain by how
        much its score in the unfiltered image is below that of a copy; "alike": no copy, and only copies are asked for;
        "distance": nearer than `min_distance` to a better match; "side lobe": no higher than a better match makes the
        scores around it; "overlap": overlaps a better match by more than `max_overlap`; "count": comes after the first
        `max_count`.
    score : float or None
        How well the template fits there; None if there is no score.
    filtered_score : float or None
        The score after filtering, which decides; None if nothing is filtered.
    prefilter : {"none", "whiten", "bandpass"}
        How image and template were filtered. Of several stages of the search, the one in which the position did best.
    rank : int or None
        Which peak of the image it is, 1 for the one with the highest score; None if it is no peak.
    number : int or None
        Which match it would be without `max_count`, 1 for the best; None if it would be none.
    false_alarms : float or None
        Expected number of equally good peaks in the whole search if the template were absent; None if not known.
    least_score : float or None
        The score that would be accepted there, after filtering if that decides; 1 where perhaps no score would. None
        if not known.
    lacks : {"contrast", "overlap"} or None
        Why there is no score: what the metric compares is flat, the window or the part of the template that lies on
        valid pixels; or less than `min_overlap` of the template lies on valid pixels.
    seen : float or None
        Share of the template's weight that lies on valid pixels, if there is no score.
    higher : Match or None
        The best neighbour of what is not a peak. On a plateau it is as high; only the middle of one is a peak.
    removed_by : Match or None
        The better match that is too near or overlaps too much.
    iou : float or None
        How much it overlaps: intersection over union.
    kind, expected_score
        As in `Match`, of what is reported.
    posed : Match or None
        The position in the pose of its template, before its kind was found, where poses were searched.

    Examples
    --------
    >>> Decision(box=Box((3, 4), (5, 5)), reported=False, rule="outside").score is None
    True
    """

    box: Box
    reported: bool
    rule: Reason
    score: float | None = None
    filtered_score: float | None = None
    prefilter: Prefilter = "none"
    rank: int | None = None
    number: int | None = None
    false_alarms: float | None = None
    least_score: float | None = None
    lacks: Literal["contrast", "overlap"] | None = None
    seen: float | None = None
    higher: Match | None = None
    removed_by: Match | None = None
    iou: float | None = None
    kind: Kind | None = None
    expected_score: float | None = None
    posed: Match | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateDecision(Decision):
    """What was decided about a candidate, with what its match says besides.

    Parameters
    ----------
    label : str
        Which template, when there are several.
    second_best : float or None
        As in `Match`.
    """

    label: str = ""
    second_best: float | None = None

    @property
    def match(self) -> Match:
        """The candidate as a match."""
        if self.posed is not None:
            return replace(self.posed, kind=self.kind, expected_score=self.expected_score)
        return Match(
            self.box,
            self.score or 0.0,
            self.label,
            false_alarms=self.false_alarms,
            second_best=self.second_best,
            expected_score=self.expected_score,
            kind=self.kind,
        )
