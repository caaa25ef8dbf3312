"""What was decided about a place, and by which rule."""

from dataclasses import dataclass
from typing import Literal

from tmatch._arrays.options import Prefilter
from tmatch._results.boxes import Box
from tmatch._results.matches import Match

Reason = Literal[
    "reported", "outside", "no score", "not a peak", "threshold", "false alarms", "unlike", "distance", "overlap",
    "count",
]  # fmt: skip
PASSED = ("distance", "overlap", "count", "reported")  # the place itself was good enough
HOPELESS = 0.1  # false alarms: as much as that is nothing to go by
Place = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of a place. Fields are built-in values, boxes and matches: JSON as they stand.

    Parameters
    ----------
    box : Box
        The window.
    reported : bool
        Whether `locate` gives a match with this box.
    rule : str
        The rule that decided: "reported", or the first that left the place out. "outside": the template does not fit
        into the image there; "no score": nothing can be compared; "not a peak": a neighbour is better; "threshold":
        the score is below it; "false alarms": chance would give more matches as good than are allowed; "unlike": it is
        good enough in the filtered pictures, but its score before is not above 0; "distance": it is nearer than
        `min_distance` to a better match; "overlap": it overlaps a better match by more than `max_overlap`; "count": it
        comes after the first `max_count`.
    score : float or None
        How well the template fits there; None if there is no score.
    filtered_score : float or None
        The same in the filtered pictures, by which such a place is judged; None if nothing is filtered.
    prefilter : {"none", "whiten", "bandpass"}
        How both were filtered. Of several ways that were tried the one in which the place did best.
    rank : int or None
        Which peak of the image it is, 1 for the one with the highest score; None if it is no peak.
    number : int or None
        Which match it would be without `max_count`, 1 for the best; None if it would be none.
    false_alarms : float or None
        How many peaks as good chance would give in the whole search; None if that is not known.
    least_score : float or None
        The score that is enough there, of filtered pictures if they are; 1 where perhaps none is enough. None if
        that is not known.
    lacks : {"contrast", "overlap"} or None
        Why there is no score: what the metric compares is flat, the window or the part of the template that is
        seen; or less than `min_overlap` of the template is seen.
    seen : float or None
        Share of the template's weight that lies on existing pixels, if there is no score.
    higher : Match or None
        The best neighbour of what is not a peak. On a plateau it is as high; only the middle of one is a peak.
    removed_by : Match or None
        The better match that is too near or overlaps too much.
    iou : float or None
        How much it overlaps: intersection over union.

    Examples
    --------
    >>> Verdict(box=Box((3, 4), (5, 5)), reported=False, rule="outside").score is None
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
