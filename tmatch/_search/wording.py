"""What a search has found, in a sentence or two."""

from collections.abc import Sequence

from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match
from tmatch._results.poses import SearchedPoses
from tmatch._search.recipe import SearchResult

REASONS = {
    "false alarms": "too many false alarms",
    "unlike": "noise does not explain what a copy lacks",
    "alike": "no copy",
}


def describe_found(result: SearchResult) -> str:
    """Write how many matches were found, and how they stand apart; empty if there is nothing to say."""
    matches = result.matches
    if not matches:
        return ""
    scores = [match.score for match in matches]
    kinds = [match.kind for match in matches if match.kind is not None]
    copies, alike = kinds.count("copy"), kinds.count("alike")
    parts = [f"{copies} cop{'y' if copies == 1 else 'ies'}"] * bool(copies) + [f"{alike} alike"] * bool(alike)
    low, high = f"{min(scores):.2f}", f"{max(scores):.2f}"
    span = low if low == high else f"{low} to {high}"
    counted = f"{len(matches)} found" + (f" ({', '.join(parts)})" if parts else "")
    besides = result.best_besides
    other = "" if besides is None else f"; the best position besides scores {besides:.2f}"
    return f"{counted}, score {span}{other}"


def describe_poses(searched: Sequence[SearchedPoses]) -> str:
    """Write how many poses were searched, and at which size of the image; empty if none were."""
    if not searched:
        return ""
    labels = dict.fromkeys(each.label for each in searched)
    number = _span([poses_of_template(searched, label).number for label in labels])
    poses = f"{number} pose{'' if number == '1' else 's'}{' of each template' if len(labels) > 1 else ''}"
    reduction = _span([each.reduction for each in searched])
    if reduction != "1":
        opened = max((each.opened for each in searched if each.opened is not None), default=None)
        certified = (
            "" if opened is None else f"; {_percent(opened)} of the positions were not ruled out there"
        )
        return f"{poses} searched, in an image {reduction} times smaller{certified}"
    limited = next((each for each in searched if each.limit), None)
    if limited is None:
        return f"{poses} searched, at full size"
    which = f'"{limited.label}"' if len(labels) > 1 else "the template"
    what = {"size": f"{which} is too small", "detail": f"the details of {which} are too fine"}
    why = what[limited.limit or "size"]
    return f"{poses} searched, all at full size, which takes longer: {why} for a smaller image"


def poses_of_template(searched: Sequence[SearchedPoses], label: str) -> SearchedPoses:
    """Sum up in how many poses one template was searched for."""
    return SearchedPoses.of_parts([each for each in searched if each.label == label])


def describe_pose(match: Match) -> str:
    """Write how a match is rotated, scaled and mirrored; empty if it is upright."""
    parts = [f"rotated by {match.angle:.4g} degrees"] * bool(match.angle)
    parts += [f"{match.scale:.4g} times the size"] * (match.scale != 1)
    return ", ".join(parts + ["mirrored"] * match.flip)


def describe_near_miss(miss: CandidateDecision) -> str:
    """Write where a near miss lies, without its position, and why it is none."""
    score = miss.score if miss.filtered_score is None else miss.filtered_score
    where = "" if miss.filtered_score is None else f" in the {miss.prefilter}ed image"
    expected = "" if miss.false_alarms is None else f", {_false_alarms(f'{miss.false_alarms:.2g}')}"
    return f"score {score or 0:.2f}{where}{expected}: {REASONS[miss.rule]}"


def describe_expected(number: str) -> str:
    """Write that so many false alarms are expected."""
    return f"{_false_alarms(number)} {_are(number)} expected at this score"


def describe_allowed(false_alarms: float) -> str:
    """Write how many false alarms are allowed."""
    number = f"{false_alarms:g}"
    return f"at most {number} {_are(number)} allowed"


def _false_alarms(number: str) -> str:
    return f"{number} false alarm{'' if number == '1' else 's'}"


def _span(numbers: Sequence[int]) -> str:
    low, high = f"{min(numbers):,}", f"{max(numbers):,}"
    return low if low == high else f"{low} to {high}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _are(number: str) -> str:
    return "is" if number == "1" else "are"
