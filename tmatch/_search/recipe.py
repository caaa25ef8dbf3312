"""One search of one image, stage by stage: find candidates, let templates compete, decide."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from tmatch._detection.candidates import best_in_map, find_best
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.decide import TemplateCandidates, decide
from tmatch._detection.near_misses import best_besides, is_open, near_misses
from tmatch._detection.null.fit import COPY_SCORE
from tmatch._detection.recorded import Recorded, record, record_all
from tmatch._engine.progress import Resources
from tmatch._poses.candidates import PosedCandidates
from tmatch._poses.options import PoseOptions
from tmatch._results.collection import Matches
from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match, order_of
from tmatch._results.poses import SearchedPoses
from tmatch._scoring.maps import ScoreMap
from tmatch._scoring.search import Search
from tmatch._search.competition import compete
from tmatch._search.likeness import any_alike
from tmatch._search.logged import log_next, log_poses, log_search, log_stage
from tmatch._search.posed import best_posed, best_summarised, search_poses
from tmatch._search.stages import (
    Stage,
    StageResult,
    count_decisions,
    find_candidates,
    find_in_maps,
    score_all,
    stages_of,
)
from tmatch._search.subpixel import refine_places

Keep = Literal["matches", "candidates", "maps", "peaks"]
UPRIGHT = PoseOptions()


@dataclass(frozen=True)
class SearchResult:
    """What one search of an image has found, stage by stage; the last stage decides."""

    searches: list[Search]
    stages: list[StageResult]
    maps: list[ScoreMap]  # of the image as it is; empty if they were not kept
    criterion: Criterion
    poses: PoseOptions = field(default_factory=PoseOptions)
    looser: Criterion | None = None  # that of the candidates recorded

    @property
    def decisions(self) -> list[CandidateDecision]:
        """The decisions on the candidates of all stages."""
        return [decision for stage in self.stages for decision in stage.decisions]

    @cached_property
    def matches(self) -> list[Match]:
        """The matches, best first; with sub-pixel places if these were asked for."""
        matches = sorted((each.match for each in self.decisions if each.reported), key=order_of)
        return refine_places(matches, self.searches) if self.poses.subpixel and self.poses.exact else matches

    @property
    def searched_poses(self) -> list[SearchedPoses]:
        """In how many poses each template was searched for; empty if only as it is."""
        if self.poses.upright:
            return []
        if not self.poses.exact:
            return [_searched(each) for each in self._found if isinstance(each, PosedCandidates)]
        numbers = Counter(label for label, _ in {(each.label, each.posed) for each in self.searches})
        labels = dict.fromkeys(each.label for each in self.searches)
        return [SearchedPoses(label=label, number=numbers[label]) for label in labels]

    @property
    def near_misses(self) -> list[CandidateDecision]:
        """Up to five positions that nearly are matches."""
        return near_misses(self._found, self.decisions, self.criterion)

    @property
    def lost(self) -> list[Match]:
        """What fits, too, where another template fits better."""
        lost = [match for each in self._found if each.lost for match in each.lost.matches()]
        lost += [
            each.match for each in self.decisions if each.removed_by and each.removed_by.label != each.label
        ]
        return lost

    @property
    def best_besides(self) -> float | None:
        """The highest score of a peak that is no match and that none explains; None if there is none."""
        return best_besides(self._found, self.decisions)

    @property
    def recorded(self) -> list[Recorded]:
        """The candidates of the looser criterion, as those of all stages are decided on; empty if there was none."""
        return [recorded for stage in self.stages for recorded in stage.recorded]

    @property
    def _found(self) -> list[TemplateCandidates]:
        return [found for stage in self.stages for found in stage.found]

    def best_of_labels(self, labels: Sequence[str]) -> dict[str, Match]:
        """Find the best positions of some labels, as far as they are known without scoring once more."""
        found: dict[str, list[Match]] = {}
        for each in self.stages[0].found:
            if each.label in labels and (one := best_summarised(each)) is not None:
                found.setdefault(each.label, []).append(one)
        return {label: min(found[label], key=order_of) for label in labels if label in found}

    def to_matches(self) -> Matches:
        """Return the matches with what was sought, how it was decided, and the best positions of what is missing."""
        labels = [each.label for each in self.searches]
        shape = self.searches[0].image[0].shape
        matches = Matches(self.matches, shape=shape, labels=labels, decision=self._decision)
        matches.near_misses = tuple(self.near_misses)
        matches.best = self.best_of_labels(matches.missing)
        return matches

    @property
    def _decision(self) -> dict[str, Any]:
        """How it was decided: what was allowed in all, and in each stage."""
        criterion, told = self.criterion, {}
        for name in ("false_alarms", "threshold"):
            if getattr(criterion, name) is not None:
                told[name] = getattr(criterion, name)
        if criterion.false_alarms is not None:
            told["stages"] = [
                {"prefilter": each.stage.how, "false_alarms": criterion.false_alarms / each.stage.n_tests}
                for each in self.stages
            ]
        if self.searched_poses:
            told["poses"] = [asdict(each) for each in self.searched_poses]
        return told

    def best(self, resources: Resources) -> Match:
        """Find the best position: in the maps if they were kept, among fitted poses, otherwise by scoring once more."""
        if not self.poses.exact:
            return best_posed(self._found)
        maps = [best_in_map(made) for made in self.maps]
        peaks = maps or find_best(self.searches, resources)
        return _best_of(self.searches, peaks, self.stages[0].stage.n_tests)


def search(
    searches: list[Search],
    criterion: Criterion,
    resources: Resources,
    *,
    keep: Keep = "candidates",
    poses: PoseOptions = UPRIGHT,
    looser: Criterion | None = None,
) -> SearchResult:
    """Search one image for templates.

    With `keep` "maps" and "peaks", score maps are made in double precision, and candidates found in them. "peaks"
    decides on all peaks of the maps, the others only on those that the criterion may accept. With "matches" a stage is
    left out that can report none. Searches over `poses` that are not exact make no maps of scores; with "maps" those of
    the best over all poses are kept. The candidates of a `looser` criterion are recorded, if there is one; the result
    is the same.
    """
    stages, several = stages_of(criterion, searches[0].metric.name), len(searches) > 1
    log_search(searches, criterion, stages if poses.exact else stages[:1])
    if not poses.exact:
        posed = search_poses(searches, poses, criterion, resources, keep_maps=keep == "maps")
        return _result_of_poses(searches, posed, criterion, poses, looser)
    has_maps = keep in ("maps", "peaks")
    unscored = has_maps and stages[0].how != "none"  # then one more map is made
    parts = resources.split(len(stages) + unscored)
    maps = score_all(searches, parts[0]) if has_maps else []
    results: list[StageResult] = []
    found: list[TemplateCandidates] = []
    for stage, part in zip(stages, parts[unscored:], strict=True):
        n_tests = len(searches) * stage.n_tests
        copy_score = COPY_SCORE if several else math.inf
        shared, wide = (
            each.shared_by(n_tests, copy_score=copy_score) for each in (criterion, looser or criterion)
        )
        decided_by = maps[:0]
        if has_maps:
            peaks, decided_by = find_in_maps(maps, stage.how, None if keep == "peaks" else wide, part)
        else:
            peaks = find_candidates(searches, stage.how, wide, part)
        pairs = zip(searches, [*map(shared.choose, peaks)] if looser else peaks, strict=True)
        new = compete([TemplateCandidates(*each, n_tests, stage.how) for each in pairs], criterion)
        found += new
        recorded = [record(*each, shared.accepts(each[1])) for each in zip(new, peaks, strict=True) if looser]
        results.append(StageResult(stage, new, [], decided_by, recorded=recorded))
        decisions = iter(decide(found, criterion))
        results = [
            replace(each, decisions=[*itertools.islice(decisions, sum(len(f.boxes) for f in each.found))])
            for each in results
        ]
        log_stage(results[-1], criterion)
        if stage is stages[-1] or not _is_followed(results[-1], stages[len(results)], criterion, keep, part):
            break
    if len(results) < len(stages):
        resources.progress.finish()
    return SearchResult(searches, results, maps, criterion, poses, looser)


def _result_of_poses(
    searches: list[Search],
    only: StageResult,
    criterion: Criterion,
    poses: PoseOptions,
    looser: Criterion | None,
) -> SearchResult:
    """Return what the only stage of a search over poses has found."""
    only = replace(only, recorded=[*map(record_all, only.found)] if looser else [])
    result = SearchResult(searches, [only], [], criterion, poses, looser)
    log_poses(result.searched_poses)
    log_stage(only, criterion)
    return result


def _is_followed(
    last: StageResult, following: Stage, criterion: Criterion, keep: Keep, resources: Resources
) -> bool:
    """Check whether a stage leaves a question open, and whether the following one may answer it."""
    left_open = is_open(last.found, last.decisions, criterion)
    must_be_alike = keep == "matches" and criterion.must_be_alike
    ruled_out = left_open and must_be_alike and not any_alike(last.found, resources)
    log_next(following, last, is_open=left_open, is_ruled_out=ruled_out)
    return left_open and not ruled_out


def best_of(searches: list[Search], resources: Resources, poses: PoseOptions = UPRIGHT) -> Match:
    """Find the best position of all templates, with its false alarms in a search by default."""
    name = searches[0].metric.name
    if not poses.exact:
        return search(searches, Criterion.of(name), resources, poses=poses).best(resources)
    count_decisions(searches)
    n_stages = stages_of(Criterion.of(name), name)[0].n_tests if searches[0].metric.has_null_model else 1
    best = _best_of(searches, find_best(searches, resources), n_stages)
    return refine_places([best], searches)[0] if poses.subpixel else best


def _searched(found: PosedCandidates) -> SearchedPoses:
    plan, opened = found.plan, found.opened
    return SearchedPoses(
        label=found.label, number=len(plan.poses), reduction=plan.factor, kept=round(plan.energy(plan.factor), 4),
        limit=plan.limit, opened=None if opened is None else round(opened, 4),
    )  # fmt: skip


def _best_of(searches: Sequence[Search], peaks: Sequence[Candidates], n_stages: int) -> Match:
    n_tests = len(searches) * n_stages
    found = [TemplateCandidates(*each, n_tests) for each in zip(searches, peaks, strict=True)]
    best, one = min(((each.matches()[0], each) for each in found), key=lambda pair: order_of(pair[0]))
    [(kind, expected)] = one.compare([0])
    return replace(best, kind=kind, expected_score=expected)
