"""Why a position was reported or was not."""

from dataclasses import dataclass

from tmatch._results.decisions import Decision
from tmatch._results.matches import Match
from tmatch._results.poses import SearchedPoses


@dataclass(frozen=True, slots=True)
class Hint:
    """A change of the template that fits clearly better.

    Parameters
    ----------
    match : Match
        Where the changed template fits, and how well. Its false alarms are those of the search for all changes, at
        reduced resolution if that is where they were searched for.
    factor : float
        Factor of the template's size.
    turn : str
        How it was rotated or flipped: "turned 90", "turned 180", "turned 270" (degrees, counter-clockwise),
        "mirrored left-right", "mirrored up-down"; empty if it was not.

    Examples
    --------
    >>> from tmatch import Box, Match
    >>> Hint(Match(Box((3, 4), (5, 5)), 0.98), factor=0.5).turn
    ''
    """

    match: Match
    factor: float = 1.0
    turn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Decision):
    """Why a position was reported or was not. Fields are JSON-serializable.

    Parameters
    ----------
    box, reported, rule, score, filtered_score, prefilter, rank, number
        What was decided about the position, as in `Decision`.
    false_alarms, least_score, lacks, seen, higher, removed_by, iou, kind, expected_score, posed
        As in `Decision`, too.
    asked : bool
        Whether this position was asked for with `at`; otherwise it is the best one.
    allowed : float or None
        False alarms allowed in a search; None if a threshold decides.
    threshold : float or None
        Minimum score of a match; None if false alarms decide.
    matches : int
        Number of matches that `locate` returns.
    nearest_peak : Decision or None
        What was decided about the best peak within a quarter of the template's side, if this position was asked for
        and is not reported; None if no such peak has a higher score.
    near_misses : tuple of Decision
        Up to five positions that nearly are matches, with the rule that excluded them.
    best : tuple of Decision
        What was decided about up to five best positions, best first: peaks that do not overlap each other by more than
        `max_overlap`.
    scale_hint, turn_hint : Hint or None
        If neither the position nor its nearest peak is accepted, or the best of them is only alike: a change of the
        template's size, or a rotation or flip, that fits clearly better; if the position was asked for, only one whose
        centre lies in its box. Otherwise None.
    tried : int
        Number of changes of the template that were tried.
    noise : float or None
        Standard deviation of the noise in the image, see `estimate_noise`; None if it cannot be estimated.
    poses : SearchedPoses or None
        How many poses were searched, and in how much smaller an image; None if the template was as it is. Of a wide
        range of scales all poses, and the largest of the images.
    pose_parts : tuple of SearchedPoses
        The same for each part of a wide range of scales; empty if it was not divided.
    text : str
        All this in a few sentences, and what to do next.

    Examples
    --------
    >>> import tmatch
    >>> explanation = tmatch.explain([[0, 1, 0, 0], [5, 9, 0, 3]], [[1, 2]], threshold=0.5, at=(0, 2))
    >>> explanation.rule, explanation.lacks, explanation.matches
    ('no score', 'contrast', 2)
    """

    asked: bool
    allowed: float | None
    threshold: float | None
    matches: int
    nearest_peak: Decision | None = None
    near_misses: tuple[Decision, ...] = ()
    best: tuple[Decision, ...] = ()
    scale_hint: Hint | None = None
    turn_hint: Hint | None = None
    tried: int = 0
    noise: float | None = None
    poses: SearchedPoses | None = None
    pose_parts: tuple[SearchedPoses, ...] = ()
    text: str = ""
