"""One search of one image, stage by stage: find candidates, let templates compete, decide."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tmatch._detection.candidates import best_in_map, find_best
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.decide import TemplateCandidates, decide
from tmatch._detection.near_misses import best_besides, is_open, near_misses
from tmatch._detection.null.fit import COPY_SCORE
from tmatch._engine.progress import Resources
from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match, order_of
from tmatch._scoring.maps import ScoreMap
from tmatch._scoring.search import Search
from tmatch._search.competition import compete
from tmatch._search.stages import StageResult, find_candidates, find_in_maps, score_all, stages_of

Keep = Literal["candidates", "maps", "peaks"]


@dataclass(frozen=True)
class SearchResult:
    """What one search of an image has found, stage by stage; the last stage decides."""

    searches: list[Search]
    stages: list[StageResult]
    maps: list[ScoreMap]  # of the image as it is; empty if they were not kept
    criterion: Criterion

    @property
    def decisions(self) -> list[CandidateDecision]:
        """The decisions on the candidates of all stages."""
        return [decision for stage in self.stages for decision in stage.decisions]

    @property
    def matches(self) -> list[Match]:
        """The matches, best first."""
        return sorted((each.match for each in self.decisions if each.reported), key=order_of)

    @property
    def near_misses(self) -> list[CandidateDecision]:
        """Up to five positions that nearly are matches."""
        return near_misses(self._found, self.decisions, self.criterion)

    @property
    def best_besides(self) -> float | None:
        """The highest score of a peak that is no match and that none explains; None if there is none."""
        return best_besides(self._found, self.decisions)

    @property
    def _found(self) -> list[TemplateCandidates]:
        return [found for stage in self.stages for found in stage.found]

    def best(self, resources: Resources) -> Match:
        """Find the best position: in the maps if they were kept, otherwise by scoring once more."""
        maps = [best_in_map(made) for made in self.maps]
        peaks = maps or find_best(self.searches, resources)
        return _best_of(self.searches, peaks, self.stages[0].stage.n_tests)


def search(
    searches: list[Search], criterion: Criterion, resources: Resources, *, keep: Keep = "candidates"
) -> SearchResult:
    """Search one image for templates.

    With `keep` "maps" and "peaks", score maps are made in double precision, and candidates found in them. "peaks"
    decides on all peaks of the maps, "maps" and "candidates" only on those that the criterion may accept.
    """
    stages, several = stages_of(criterion, searches[0].metric.name), len(searches) > 1
    unscored = keep != "candidates" and stages[0].how != "none"  # then one more map is made
    parts = resources.split(len(stages) + unscored)
    maps = [] if keep == "candidates" else score_all(searches, parts[0])
    results: list[StageResult] = []
    found: list[TemplateCandidates] = []
    for stage, part in zip(stages, parts[unscored:], strict=True):
        n_tests = len(searches) * stage.n_tests
        shared = criterion.shared_by(n_tests, copy_score=COPY_SCORE if several else math.inf)
        decided_by = maps[:0]
        if keep == "candidates":
            peaks = find_candidates(searches, stage.how, shared, part)
        else:
            peaks, decided_by = find_in_maps(maps, stage.how, None if keep == "peaks" else shared, part)
        pairs = zip(searches, peaks, strict=True)
        new = compete([TemplateCandidates(*each, n_tests, stage.how) for each in pairs], criterion)
        found += new
        results.append(StageResult(stage, new, [], decided_by))
        decisions = iter(decide(found, criterion))
        results = [
            replace(each, decisions=[*itertools.islice(decisions, sum(len(f.boxes) for f in each.found))])
            for each in results
        ]
        if not is_open(new, results[-1].decisions, criterion):
            break
    if len(results) < len(stages):
        resources.progress.finish()
    return SearchResult(searches, results, maps, criterion)


def best_of(searches: Sequence[Search], resources: Resources) -> Match:
    """Find the best position of all templates, with its false alarms in a search by default."""
    name = searches[0].metric.name
    n_stages = stages_of(Criterion.of(name), name)[0].n_tests if searches[0].metric.has_null_model else 1
    return _best_of(searches, find_best(searches, resources), n_stages)


def _best_of(searches: Sequence[Search], peaks: Sequence[Candidates], n_stages: int) -> Match:
    n_tests = len(searches) * n_stages
    found = [TemplateCandidates(*each, n_tests) for each in zip(searches, peaks, strict=True)]
    best = min((match for each in found for match in each.matches()), key=order_of)
    one = next(each for each in found if best.label == each.label)
    [(kind, expected)] = one.compare([one.boxes.index(best.box)])
    return replace(best, kind=kind, expected_score=expected)
