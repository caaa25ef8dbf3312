"""An explanation in a few sentences."""

import math
from collections.abc import Callable

from tmatch._arrays.geometry import describe_shape
from tmatch._detection.criterion import DEFAULT_FALSE_ALARMS
from tmatch._results.decisions import MANY, PASSED, Decision, Position
from tmatch._results.explanation import Explanation, Hint
from tmatch._results.matches import Match
from tmatch._search.wording import describe_allowed, describe_expected, describe_pose, describe_poses

Naming = Callable[[Position], str]
_RARE = 1e-3  # fewer false alarms are not counted
_FILTERED = {"whiten": "whitened", "bandpass": "band-passed"}


def describe_explanation(explanation: Explanation, name: Naming | None = None) -> str:
    """Write an explanation in a few sentences; `name` names windows by their first pixel."""
    name = name or name_position
    peak = explanation.nearest_peak
    there = "Nearest to that place: " if explanation.asked and explanation.poses else ""
    lines = [there + _describe(explanation, explanation, name)]
    if peak is not None and not (explanation.removed_by and peak.box == explanation.removed_by.box):
        lines.append("A better peak is near. " + _describe(peak, explanation, name))
    lines += [_other(explanation, name), _near_misses(explanation, name)]
    if (peak or explanation).rule not in PASSED:
        lines += [_changes(explanation, name), _noise(explanation)]
    else:
        lines += [_change(hint, name) for hint in _hints(explanation)]
    lines.append(_searched(explanation))
    return "\n".join(line for line in lines if line)


def name_position(start: Position) -> str:
    """Name a window by its first pixel: by x and y in images of two axes, else by its index."""
    return f"x={start[1]}, y={start[0]}" if len(start) == 2 else str(start)


def _describe(decision: Decision, explanation: Explanation, name: Naming) -> str:
    """Write what was decided about a position, and what would change that."""
    at = _at(decision, name)
    if decision.rule == "reported":
        which = f"match number {decision.number} of {explanation.matches}"
        return f"{at} is reported, {which}: {_enough(decision, explanation)}"
    if decision.rule == "count":
        return (
            f"{at} is not reported: it is accepted, but would be match number {decision.number}, and max_count is "
            f"{explanation.matches}. Raise max_count to {decision.number} to have it."
        )
    by = decision.removed_by or decision.higher
    if by is not None:
        return f"{at} is not reported: {_beaten(decision, by, _at(by, name))}"
    if decision.rule in ("outside", "no score"):
        return f"{at} has no score: {_nothing(decision)}"
    reasons = {"unlike": _unlike, "alike": _alike}
    reason = (
        reasons[decision.rule](decision) if decision.rule in reasons else _too_little(decision, explanation)
    )
    return f"{at} is not reported: {reason}"


def _at(position: Decision | Match, name: Naming) -> str:
    """Name a position, with its pose if it is in one."""
    pose = _pose(position)
    return name(position.box.start) + (f" ({pose})" if pose else "")


def _pose(position: Decision | Match) -> str:
    match = position.posed if isinstance(position, Decision) else position
    return "" if match is None else describe_pose(match)


def _alike(decision: Decision) -> str:
    """Write why a position is no copy."""
    return (
        f"its score of {decision.score or 0:.2f} is high enough, but more than noise is left there without the "
        "template, so that it is no copy. Search without copies_only to have what is similar, too."
    )


def _unlike(decision: Decision) -> str:
    """Write why a position is too different from the template."""
    where = "its score is rare in this image, but"
    if decision.filtered_score is not None:
        where = f"in the {_FILTERED[decision.prefilter]} image its score is high enough, but in the unfiltered one"
    return (
        f"{where} it is {decision.score or 0:.2f}, and the noise does not explain what a copy lacks: something else is "
        "seen there. Decide by the score with a threshold to have it reported."
    )


def _enough(decision: Decision, explanation: Explanation) -> str:
    """Write why a position is reported."""
    described = _score_and_chance(decision, explanation)
    if explanation.threshold is None or (decision.false_alarms or 0.0) <= DEFAULT_FALSE_ALARMS:
        return f"{described}."
    return f"{described}: it may be a false match, so look at it."


def _too_little(decision: Decision, explanation: Explanation) -> str:
    """Write why the score of a peak is not high enough."""
    described, expected = _score_and_chance(decision, explanation), decision.false_alarms
    if expected is None:
        return f"{described}. If the position is right, lower the threshold."
    if explanation.threshold is not None:
        if expected > DEFAULT_FALSE_ALARMS:
            return f"{described}: a lower threshold would accept false matches."
        return f"{described}: it is hardly a false match. Lower the threshold, or decide by false alarms."
    if expected >= MANY:
        return f"{described}."
    return (
        f"{described}. If the position is right, allow {_up(expected):g} false alarms, or decide by the score with a "
        "threshold."
    )


def _score_and_chance(decision: Decision, explanation: Explanation) -> str:
    """Write the score and the expected number of false alarms, each with the one that is required."""
    if decision.false_alarms is None:
        return _score(decision)
    expected = f"{_score(decision)}. {_expected(decision.false_alarms).capitalize()}"
    return expected if explanation.allowed is None else f"{expected}; {describe_allowed(explanation.allowed)}"


def _beaten(decision: Decision, by: Match, there: str) -> str:
    """Write what is better than a position."""
    score = decision.score or 0.0
    if decision.rule == "not a peak":
        if decision.filtered_score is not None:
            return f"in the {_FILTERED[decision.prefilter]} image, which decides, its neighbour {there} fits better."
        here, other = _apart(score, by.score)
        if here == other:
            return (
                f"its neighbour {there} has the same score, {here}, and of equal ones only the middle counts."
            )
        return f"its score is {here}, and its neighbour {there} has {other}."
    described = f"its score of {score:.2f} is high enough, but"
    if decision.rule == "distance":
        away = max(abs(s - t) for s, t in zip(decision.box.start, by.box.start, strict=True))
        return (
            f"{described} the better match at {there} (score {by.score:.2f}) is {away} pixels away, and min_distance "
            f"is more. Lower it to {away} to have both."
        )
    if decision.rule == "side lobe":
        return (
            f"its score of {score:.2f} is what the better match at {there} (score {by.score:.2f}) leads to around it, "
            "a side lobe. Decide by the score with a threshold to have it reported."
        )
    overlap = decision.iou or 0.0
    return (
        f"{described} it overlaps the better match at {there} (score {by.score:.2f}) by {overlap:.2f} (intersection "
        f"over union), and max_overlap is less. Raise it to {math.ceil(overlap * 100) / 100:g} to have both."
    )


def _nothing(decision: Decision) -> str:
    """Write why there is nothing to compare."""
    if decision.rule == "outside":
        size = describe_shape(reversed(decision.box.shape))
        return (
            f"the template of {size} pixels reaches beyond the image. Name the first pixel of a window that does not, "
            'or search with output "full" for what the border cuts.'
        )
    if decision.lacks == "overlap":
        return (
            f"only {100 * (decision.seen or 0):.0f} % of the template lies on valid pixels, and min_overlap asks for "
            "more. Lower it to have the position searched."
        )
    return (
        "the image is constant there, or the part of the template on valid pixels, so that there is nothing to "
        'compare. The metric "ssd" scores such positions, too.'
    )


def _score(decision: Decision) -> str:
    """Write the score, and the one that is required."""
    rank = "the best peak" if decision.rank == 1 else f"peak number {decision.rank}"
    deciding, before = decision.score or 0.0, ""
    if decision.filtered_score is not None:
        before = f"its score is {deciding:.2f}; in the {_FILTERED[decision.prefilter]} image, which decides, "
        deciding = decision.filtered_score
    if decision.least_score is None:
        return f"{before}its score is {deciding:.2f} ({rank})"
    if decision.least_score > 1 - 1e-9:
        return f"{before}its score is {deciding:.2f} ({rank}), and perhaps no score is high enough there"
    reached, least = _apart(deciding, decision.least_score)
    return f"{before}its score is {reached} ({rank}), and at least {least} is required there"


def _expected(false_alarms: float) -> str:
    """Write the expected number of false alarms."""
    number = f"{float(f'{false_alarms:.2g}'):g}" if false_alarms >= _RARE else f"fewer than {_RARE:g}"
    return describe_expected(number)


def _other(explanation: Explanation, name: Naming) -> str:
    """Write the best position besides those that are described already."""
    near = (explanation, explanation.nearest_peak, explanation.removed_by, explanation.higher)
    described = [each.box for each in near if each is not None]
    other = next((decision for decision in explanation.best if decision.box not in described), None)
    if other is None:
        return ""
    what = filter(None, [_pose(other), "reported" if other.reported else "not reported"])
    at = f"{name(other.box.start)} ({'; '.join(what)})"
    expected = f"; {_expected(other.false_alarms)}" if other.false_alarms is not None else ""
    score, where = other.score or 0.0, ""
    if other.filtered_score is not None:
        score, where = other.filtered_score, f" in the {_FILTERED[other.prefilter]} image"
    return f"The best position besides is {at}, with a score of {score:.2f}{where}{expected}."


def _near_misses(explanation: Explanation, name: Naming) -> str:
    """Write which other positions nearly are matches."""
    near = (explanation, explanation.nearest_peak, *explanation.best[:2])
    described = [each.box for each in near if each is not None]
    others = [_at(miss, name) for miss in explanation.near_misses if miss.box not in described]
    return f"Near misses besides: {', '.join(others)}." if others else ""


def _changes(explanation: Explanation, name: Naming) -> str:
    """Write which change of the template fits better."""
    hints = _hints(explanation)
    main = explanation.nearest_peak or explanation
    if hints:
        return "\n".join(_change(hint, name) for hint in hints)
    if not explanation.tried or (main.false_alarms is not None and main.false_alarms <= DEFAULT_FALSE_ALARMS):
        return ""
    there, where = (" there", "there") if explanation.asked else ("", "in the image")
    return (
        "No other size from half to twice, no rotation by 90, 180 or 270 degrees and no flip fits clearly better"
        f"{there}. If the object is {where}, it looks different: try a template cut from this image."
    )


def _searched(explanation: Explanation) -> str:
    """Write how many poses were searched, and what is left of the template at that size."""
    if explanation.poses is None:
        return ""
    parts = explanation.pose_parts or (explanation.poses,)
    least, most = (f"{100 * end(each.kept for each in parts):.0f}" for end in (min, max))
    kept = f", which keeps {least if least == most else f'{least} to {most}'} % of the template's variance"
    smaller = any(each.reduction > 1 for each in parts)
    return f"{describe_poses(parts)}{kept if smaller else ''}."


def _hints(explanation: Explanation) -> list[Hint]:
    return [hint for hint in (explanation.scale_hint, explanation.turn_hint) if hint is not None]


def _change(hint: Hint, name: Naming) -> str:
    if hint.turn:
        kind, how_much = hint.turn.split()
        how = f"rotated {how_much} degrees counter-clockwise" if kind == "turned" else f"flipped {how_much}"
    else:
        how = f"at {hint.factor:.3g} times its size"
    return (
        f"The template fits much better {how}: its score is {hint.match.score:.2f} at "
        f"{name(hint.match.box.start)}; {_expected(hint.match.false_alarms or 0.0)}. Search with it changed like that."
    )


def _noise(explanation: Explanation) -> str:
    if not explanation.noise:
        return ""
    return (
        f"The noise in the image is about {explanation.noise:.2g} (standard deviation; fine texture counts)."
    )


def _apart(a: float, b: float) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to distinguish them."""
    digits = next((n for n in range(2, 12) if f"{a:.{n}f}" != f"{b:.{n}f}"), 2)
    return f"{a:.{digits}f}", f"{b:.{digits}f}"


def _up(number: float) -> float:
    """Round up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit - 1e-9) * unit
