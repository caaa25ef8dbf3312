"""Why a place was reported or was not."""

from dataclasses import dataclass

from tmatch._results.decisions import Decision
from tmatch._results.matches import Match


@dataclass(frozen=True, slots=True)
class Hint:
    """A change of the template that does clearly better.

    Parameters
    ----------
    match : Match
        Where the changed template fits, and how well. Its false alarms are those of the search for all changes.
    factor : float
        How much larger the template was made.
    turn : str
        How it was turned or mirrored: "turned 90", "turned 180", "turned 270" (degrees, counter-clockwise),
        "mirrored left-right", "mirrored up-down"; empty if it was not.

    Examples
    --------
    >>> Hint(Match(Box((3, 4), (5, 5)), 0.98), factor=0.5).turn
    ''
    """

    match: Match
    factor: float = 1.0
    turn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Decision):
    """Why a place was reported or was not. Fields are built-in values, boxes and matches: JSON as they stand.

    Parameters
    ----------
    box, reported, rule, score, filtered_score, prefilter, rank, number
        What became of the place, as in `Verdict`; so are the next.
    false_alarms, least_score, lacks, seen, higher, removed_by, iou
        As in `Verdict`.
    asked : bool
        Whether this place was asked for; else it is the best one.
    allowed : float or None
        How many false alarms are allowed in a search; None if a threshold decides.
    threshold : float or None
        The least score of a match; None if false alarms decide.
    matches : int
        Number of matches that `locate` gives.
    nearest_peak : Verdict or None
        What became of the best peak within a quarter of the template's side of a place that was asked for and not
        reported; None if no such peak is above it.
    best : tuple of Verdict
        What became of up to five best places, best first: peaks that do not overlap each other by more than
        `max_overlap`.
    scale_hint, turn_hint : Hint or None
        If the place (and its nearest peak) is not good enough: a change of the template's size, or a turn or mirror
        image, that does clearly better; of a place that was asked for only if it lies within the box.
    tried : int
        So many changes were tried.
    noise : float or None
        Standard deviation of the noise in the image, see `estimate_noise`; None if it cannot be told.
    text : str
        All this in a few sentences, and what to do next.

    Examples
    --------
    >>> import tmatch
    >>> told = tmatch.explain([[0, 1, 0, 0], [5, 9, 0, 3]], [[1, 2]], threshold=0.5, at=(0, 2))
    >>> told.rule, told.lacks, told.matches
    ('no score', 'contrast', 2)
    """

    asked: bool
    allowed: float | None
    threshold: float | None
    matches: int
    nearest_peak: Decision | None = None
    best: tuple[Decision, ...] = ()
    scale_hint: Hint | None = None
    turn_hint: Hint | None = None
    tried: int = 0
    noise: float | None = None
    text: str = ""
