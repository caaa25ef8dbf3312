"""Resized, rotated and flipped variants of a template that match better than it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tmatch._arrays.options import Prefilter
from tmatch._arrays.typing import Array
from tmatch._detection.criterion import DEFAULT_FALSE_ALARMS
from tmatch._results.boxes import Box
from tmatch._results.decisions import Decision
from tmatch._results.explanation import Hint
from tmatch._results.matches import Match
from tmatch._scoring.maps import Preparing
from tmatch._search.matcher import Matcher
from tmatch._search.poses import Pose, transform

FACTORS = (1 / 2, 2 / 3, 3 / 4, 4 / 5, 9 / 10, 11 / 10, 5 / 4, 4 / 3, 3 / 2, 2.0)
TURNS = {
    "turned 90": Pose(angle=90),
    "turned 180": Pose(angle=180),
    "turned 270": Pose(angle=270),
    "mirrored left-right": Pose(flip=True),
    "mirrored up-down": Pose(angle=180, flip=True),
}
_MIN_SIDE = 3  # smaller templates match nearly everywhere
_BETTER = 10  # times fewer false alarms


@dataclass(frozen=True)
class Variant:
    """A transformed template, (H, W) or (H, W, C), with its mask."""

    template: Array
    mask: Array | None
    factor: float = 1.0
    turn: str = ""


def find_hints(
    image: Array,
    changes: Sequence[Variant],
    verdict: Decision,
    near: Box | None,
    *,
    prefilter: Prefilter,
    preparing: Preparing,
    **of_image: Any,
) -> tuple[Hint | None, Hint | None]:
    """Seek changed templates together: give the best change of size, and the best turn or mirror image.

    `locate` must find them among all that are tried, with a tenth of the false alarms of the place that they are to be
    better than, and a higher score; with their middle in the box `near`, if there is one.
    """
    numbered = {str(number): each for number, each in enumerate(changes)}
    matcher = Matcher(
        {number: each.template for number, each in numbered.items()},
        masks={number: each.mask for number, each in numbered.items() if each.mask is not None},
        **preparing,
    )
    matches = matcher.locate(
        image, false_alarms=DEFAULT_FALSE_ALARMS, max_overlap=1, prefilter=prefilter, **of_image
    )  # all of them: the best is chosen here, and is to be near
    return choose(matches, numbered, verdict, near)


def choose(
    matches: Sequence[Match], changes: Mapping[str, Variant], verdict: Decision, near: Box | None
) -> tuple[Hint | None, Hint | None]:
    """Choose what does clearly better than a place, and of that what chance would give least often."""
    better = [match for match in matches if _is_better(match, verdict) and _is_near(match, near)]
    hints = []
    for match in sorted(better, key=lambda match: match.false_alarms or 0.0):
        change = changes[match.label]
        hints.append(Hint(replace(match, label=""), change.factor, change.turn))
    scale = next((hint for hint in hints if not hint.turn), None)
    return scale, next((hint for hint in hints if hint.turn), None)


def variants_of(
    template: Array, mask: Array | None, room: tuple[int, ...] | None, preparing: Preparing
) -> list[Variant]:
    """Resize, rotate and flip a template, as far as the results fit into `room` and can be searched for at all."""
    changes = [Variant(*transform(template, mask, Pose(scale=factor)), factor) for factor in FACTORS]
    changes += [Variant(*transform(template, mask, pose), turn=name) for name, pose in TURNS.items()]
    return [each for each in changes if _fits(each.template.shape, room) and _can_be_sought(each, preparing)]


def _fits(shape: tuple[int, ...], room: tuple[int, ...] | None) -> bool:
    height, width, *_ = shape
    return min(height, width) >= _MIN_SIDE and (room is None or (height <= room[0] and width <= room[1]))


def _can_be_sought(changed: Variant, preparing: Preparing) -> bool:
    """Check whether a variant has anything to compare: when made smaller it may be constant."""
    try:
        Matcher(changed.template, masks=changed.mask, **preparing)
    except ValueError:
        return False
    return True


def _is_better(match: Match, verdict: Decision) -> bool:
    """Tell whether a match does clearly better than a place."""
    if verdict.score is None or verdict.false_alarms is None or match.false_alarms is None:
        return True
    return match.score > verdict.score and match.false_alarms * _BETTER <= verdict.false_alarms


def _is_near(match: Match, near: Box | None) -> bool:
    """Tell whether the middle of a match lies in a box."""
    if near is None:
        return True
    return all(s <= m < e for s, m, e in zip(near.start, match.box.center, near.stop, strict=True))
