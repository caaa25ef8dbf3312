"""An explanation in a few sentences."""

import math
from collections.abc import Callable

from tmatch._detection.criterion import DEFAULT_FALSE_ALARMS
from tmatch._results.decisions import MANY, PASSED, Decision, Place
from tmatch._results.explanation import Explanation, Hint
from tmatch._results.matches import Match

Naming = Callable[[Place], str]
_RARE = 1e-3  # false alarms below are told as such
_FILTERED = {"whiten": "whitened", "bandpass": "band-passed"}


def describe_explanation(explanation: Explanation, name: Naming | None = None) -> str:
    """Tell an explanation in a few sentences; `name` names places by their first pixel."""
    name = name or name_place
    peak = explanation.nearest_peak
    lines = [_told(explanation, explanation, name)]
    if peak is not None and not (explanation.removed_by and peak.box == explanation.removed_by.box):
        lines.append("A better peak is near. " + _told(peak, explanation, name))
    lines.append(_other(explanation, name))
    if (peak or explanation).rule not in PASSED:
        lines += [_changes(explanation, name), _noise(explanation)]
    return "\n".join(line for line in lines if line)


def name_place(start: Place) -> str:
    """Name a place by its first pixel: by x and y in images of two axes, else by its index."""
    return f"x={start[1]}, y={start[0]}" if len(start) == 2 else str(start)


def _told(verdict: Decision, explanation: Explanation, name: Naming) -> str:
    """Tell what became of a place, and what would change that."""
    at = name(verdict.box.start)
    if verdict.rule == "reported":
        which = f"match number {verdict.number} of {explanation.matches}"
        return f"{at} is reported, {which}: {_enough(verdict, explanation)}"
    if verdict.rule == "count":
        return (
            f"{at} is not reported: it is good enough, but would be match number {verdict.number}, and max_count is "
            f"{explanation.matches}. Raise max_count to {verdict.number} to have it."
        )
    by = verdict.removed_by or verdict.higher
    if by is not None:
        return f"{at} is not reported: {_beaten(verdict, by, name(by.box.start))}"
    if verdict.rule in ("outside", "no score"):
        return f"{at} has no score: {_nothing(verdict)}"
    if verdict.rule == "unlike":
        return (
            f"{at} is not reported: in the {_FILTERED[verdict.prefilter]} image, which decides, it is good enough, but "
            f"in the image as it is its score is {verdict.score:.2f}, and must be above 0."
        )
    return f"{at} is not reported: {_too_little(verdict, explanation)}"


def _enough(verdict: Decision, explanation: Explanation) -> str:
    """Tell why a place is reported."""
    if explanation.threshold is None:
        return f"{_judged(verdict)}. {_chance(verdict).capitalize()}; {explanation.allowed:g} are allowed."
    if verdict.false_alarms is None:
        return f"{_judged(verdict)}."
    doubt = "" if verdict.false_alarms <= DEFAULT_FALSE_ALARMS else ": it may be an accident, so look at it"
    return f"{_judged(verdict)}. {_chance(verdict).capitalize()}{doubt}."


def _too_little(verdict: Decision, explanation: Explanation) -> str:
    """Tell why a peak is not good enough."""
    told = f"{_judged(verdict)}."
    if verdict.false_alarms is None:
        return (
            told if explanation.threshold is None else f"{told} If the place is right, lower the threshold."
        )
    chance = _chance(verdict).capitalize()
    if explanation.threshold is None:
        told = f"{told} {chance}; {explanation.allowed:g} are allowed."
        if verdict.false_alarms >= MANY:
            return told
        return (
            f"{told} If the place is right, allow {_up(verdict.false_alarms):g} false alarms, or decide by the score "
            "with a threshold."
        )
    if verdict.false_alarms > DEFAULT_FALSE_ALARMS:
        return f"{told} {chance}: a lower threshold would let accidents in."
    return f"{told} {chance}: it is hardly an accident. Lower the threshold, or decide by false alarms."


def _beaten(verdict: Decision, by: Match, there: str) -> str:
    """Tell what is better than a place."""
    score = verdict.score or 0.0
    if verdict.rule == "not a peak":
        if verdict.filtered_score is not None:
            return f"in the {_FILTERED[verdict.prefilter]} image, which decides, its neighbour {there} does better."
        own, other = _apart(score, by.score)
        if own == other:
            return (
                f"its neighbour {there} has the same score, {own}, and of equal ones only the middle counts."
            )
        return f"its score is {own}, and its neighbour {there} has {other}."
    told = f"its score of {score:.2f} is enough, but"
    if verdict.rule == "distance":
        away = max(abs(s - t) for s, t in zip(verdict.box.start, by.box.start, strict=True))
        return (
            f"{told} the better match at {there} (score {by.score:.2f}) is {away} pixels away, and min_distance is "
            f"more. Lower it to {away} to have both."
        )
    overlap = verdict.iou or 0.0
    return (
        f"{told} it overlaps the better match at {there} (score {by.score:.2f}) by {overlap:.2f} (intersection over "
        f"union), and max_overlap is less. Raise it to {math.ceil(overlap * 100) / 100:g} to have both."
    )


def _nothing(verdict: Decision) -> str:
    """Tell why there is nothing to compare."""
    if verdict.rule == "outside":
        size = " x ".join(map(str, reversed(verdict.box.shape)))
        return (
            f"the template of {size} pixels reaches beyond the image. Name the first pixel of a window that does not, "
            'or search with output "full" for what the border cuts.'
        )
    if verdict.lacks == "overlap":
        return (
            f"only {100 * (verdict.seen or 0):.0f} % of the template lies on pixels that exist, and min_overlap asks "
            "for more. Lower it to have the place searched."
        )
    return (
        "the image is flat there, or what is seen of the template, so that there is nothing to compare. "
        'The metric "ssd" scores such places, too.'
    )


def _judged(verdict: Decision) -> str:
    """Tell the score, and the one that is enough."""
    rank = "the best peak" if verdict.rank == 1 else f"peak number {verdict.rank}"
    judged, before = verdict.score or 0.0, ""
    if verdict.filtered_score is not None:
        before = f"its score is {judged:.2f}; in the {_FILTERED[verdict.prefilter]} image, which decides, "
        judged = verdict.filtered_score
    if verdict.least_score is None:
        return f"{before}its score is {judged:.2f} ({rank})"
    if verdict.least_score > 1 - 1e-9:
        return f"{before}its score is {judged:.2f} ({rank}), and perhaps no score is enough there"
    own, least = _apart(judged, verdict.least_score)
    return f"{before}its score is {own} ({rank}), and {least} is enough there"


def _chance(judged: Decision | Match) -> str:
    """Tell what chance gives."""
    if judged.false_alarms is None:
        return "what chance gives is not known"
    rounded = float(f"{judged.false_alarms:.2g}")
    number = f"{rounded:g}" if judged.false_alarms >= _RARE else f"less than {_RARE:g}"
    return f"chance gives {number} as good in such a search"


def _other(explanation: Explanation, name: Naming) -> str:
    """Tell the best place besides those that are told already."""
    near = (explanation, explanation.nearest_peak, explanation.removed_by, explanation.higher)
    told = [each.box for each in near if each is not None]
    other = next((verdict for verdict in explanation.best if verdict.box not in told), None)
    if other is None:
        return ""
    at = f"{name(other.box.start)} ({'reported' if other.reported else 'not reported'})"
    chance = f"; {_chance(other)}" if other.false_alarms is not None else ""
    score, where = other.score or 0.0, ""
    if other.filtered_score is not None:
        score, where = other.filtered_score, f" in the {_FILTERED[other.prefilter]} image"
    return f"The best place besides is {at}, with a score of {score:.2f}{where}{chance}."


def _changes(explanation: Explanation, name: Naming) -> str:
    """Tell which change of the template does better."""
    hints = [hint for hint in (explanation.scale_hint, explanation.turn_hint) if hint is not None]
    main = explanation.nearest_peak or explanation
    if hints:
        return "\n".join(_change(hint, name) for hint in hints)
    if not explanation.tried or (main.false_alarms is not None and main.false_alarms <= DEFAULT_FALSE_ALARMS):
        return ""
    there, place = (" there", "there") if explanation.asked else ("", "in the image")
    return (
        f"No other size from half to twice, no right-angle turn and no mirror image does clearly better{there}. "
        f"If what is sought is {place}, it looks different: try a template cut from this image."
    )


def _change(hint: Hint, name: Naming) -> str:
    if hint.turn:
        how = f"{hint.turn} degrees counter-clockwise" if hint.turn.startswith("turned") else hint.turn
    else:
        how = f"at {hint.factor:.3g} times its size"
    return (
        f"The template does much better {how}: its score is {hint.match.score:.2f} at "
        f"{name(hint.match.box.start)}; {_chance(hint.match)}. Search with it changed like that."
    )


def _noise(explanation: Explanation) -> str:
    if not explanation.noise:
        return ""
    return (
        f"The noise in the image is about {explanation.noise:.2g} (standard deviation; fine texture counts)."
    )


def _apart(a: float, b: float) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to tell them apart."""
    digits = next((n for n in range(2, 12) if f"{a:.{n}f}" != f"{b:.{n}f}"), 2)
    return f"{a:.{digits}f}", f"{b:.{digits}f}"


def _up(number: float) -> float:
    """Round up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit - 1e-9) * unit
