"""What a search has decided, for the logger "tmatch.search" at the level DEBUG."""

import itertools
import logging
from collections import Counter
from collections.abc import Sequence

from tmatch._detection.criterion import Criterion
from tmatch._detection.decide import TemplateCandidates
from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match, order_of
from tmatch._results.poses import SearchedPoses
from tmatch._scoring.search import Search
from tmatch._search.posed import best_summarised
from tmatch._search.stages import Stage, StageResult

_log = logging.getLogger("tmatch.search")
_LISTED = 5  # templates


def log_image(name: str) -> None:
    """Tell which of many images is searched next."""
    _log.debug('image "%s"', name)


def log_search(searches: Sequence[Search], criterion: Criterion, stages: Sequence[Stage]) -> None:
    """Tell what is searched for, and how it is decided."""
    if _log.isEnabledFor(logging.DEBUG):
        first = searches[0]
        windows = [*dict.fromkeys(f"{_named(each.label)} {each.window}" for each in searches)]
        others = [f"{len(windows) - _LISTED} more"] * (len(windows) > _LISTED)
        _log.debug(
            "image of shape %s, channels: %d; %s; metric %s; %s; prefilters: %s",
            first.image[0].shape, len(first.image), ", ".join(windows[:_LISTED] + others),
            first.metric.name, _allowed(criterion), ", ".join(stage.how for stage in stages),
        )  # fmt: skip


def log_poses(searched: Sequence[SearchedPoses]) -> None:
    """Tell in how many poses each template was searched for."""
    if _log.isEnabledFor(logging.DEBUG):
        for each in searched:
            size = f"an image {each.reduction} times smaller" if each.reduction > 1 else "the image itself"
            limit = f", as its {each.limit} allows no smaller one" if each.limit else ""
            _log.debug("%s: poses searched in %s%s: %d", _named(each.label), size, limit, each.number)


def log_stage(result: StageResult, criterion: Criterion) -> None:
    """Tell for each template what was learnt of chance in a stage, and what became of the candidates."""
    if _log.isEnabledFor(logging.DEBUG):
        left = iter(result.decisions)
        for found in result.found:
            about = f"prefilter {result.stage.how}, {_named(found.label)}"
            _log_chance(about, found, criterion)
            _log_decisions(about, found, [*itertools.islice(left, len(found.boxes))])


def log_next(stage: Stage, last: StageResult, *, is_open: bool, is_ruled_out: bool) -> None:
    """Tell why a further stage follows, or not."""
    if _log.isEnabledFor(logging.DEBUG):
        follows, why = True, "nothing is found"
        if is_ruled_out:
            follows, why = False, f"{why}, and no window is as similar as a match has to be"
        elif not is_open:
            follows, why = False, "something is found, and no other peak stands apart"
        elif any(decision.reported for decision in last.decisions):
            why = "something is found, but another peak stands apart"
        _log.debug("prefilter %s %s: %s", stage.how, "follows" if follows else "is left out", why)


def _log_chance(about: str, found: TemplateCandidates, criterion: Criterion) -> None:
    null = found.peaks.null
    if null is None:
        _log.debug("%s: chance has no part in it", about)
        return
    known = "the law of white noise, as there are few peaks"
    if null.n_fitted:
        known = f"{null.n_fitted} peaks and minima"
    told = f"chance is known from {known}, effective pixels: {null.effective_pixels:.1f}"
    if criterion.false_alarms is not None:
        allowed = criterion.false_alarms / found.n_tests
        scores = null.least_scores(allowed)
        told += f"; scores of {allowed:.3g} false alarms are {scores.min():.3f} to {scores.max():.3f}, by their place"
    _log.debug("%s: %s", about, told)


def _log_decisions(about: str, found: TemplateCandidates, decisions: Sequence[CandidateDecision]) -> None:
    rules: Counter[str] = Counter(each.rule for each in decisions)
    if found.lost is not None:
        rules["lost to another template"] = len(found.lost.boxes)
    told = ", ".join(f"{rule}: {count}" for rule, count in rules.most_common())
    told = f"{rules.total()} ({told})" if rules else "0"
    best = min((each.match for each in decisions), key=order_of, default=None) or best_summarised(found)
    _log.debug("%s: candidates: %s%s", about, told, "" if best is None else f"; the best {_described(best)}")


def _described(match: Match) -> str:
    number = "" if match.false_alarms is None else f", false alarms {match.false_alarms:.3g}"
    return f"at {match.box.start}, score {match.score:.3f}{number}"


def _allowed(criterion: Criterion) -> str:
    limits = {"false alarms at most": criterion.false_alarms, "scores at least": criterion.threshold}
    return ", ".join(f"{name} {limit:g}" for name, limit in limits.items() if limit is not None)


def _named(label: str) -> str:
    return f'"{label}"' if label else "the template"
