"""One search of one image, stage by stage: find candidates, let templates compete, decide."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tmatch._detection.candidates import best_in_map, find_best
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.decide import TemplateCandidates, decide
from tmatch._detection.near_misses import is_open
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

    @property
    def decisions(self) -> list[CandidateDecision]:
        """The decisions on the candidates of all stages."""
        return [decision for stage in self.stages for decision in stage.decisions]

    @property
    def matches(self) -> list[Match]:
        """The matches, best first."""
        return sorted((each.match for each in self.decisions if each.reported), key=order_of)

    def best(self, resources: Resources) -> Match:
        """Find the best position: in the maps if they were kept, otherwise by scoring once more."""
        if self.maps:
            return _best_of(self.searches, [best_in_map(made) for made in self.maps])
        return best_of(self.searches, resources)


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
    return SearchResult(searches, results, maps)


def best_of(searches: Sequence[Search], resources: Resources) -> Match:
    """Find the best position of all templates."""
    return _best_of(searches, find_best(searches, resources))


def _best_of(searches: Sequence[Search], peaks: Sequence[Candidates]) -> Match:
    found = [TemplateCandidates(*each, n_tests=len(searches)) for each in zip(searches, peaks, strict=True)]
    return min((match for each in found for match in each.matches()), key=order_of)
