"""A search of a part of an image."""

from dataclasses import dataclass, replace
from typing import Any

import tmatch
from tmatch._arrays.typing import Array
from tmatch._detection.criterion import Criterion
from tmatch._engine.progress import Resources
from tmatch._io import pairs
from tmatch._plotting.poses import plot_best_poses
from tmatch._results.decisions import CandidateDecision
from tmatch._scoring.maps import ScoreMap, score_maps
from tmatch._scoring.search import Search
from tmatch._search.matcher import Matcher, check_poses, poses_of, searches_of
from tmatch._search.pose_maps import BestPoses, best_poses
from tmatch._search.recipe import Keep, SearchResult, search
from tmatch.cli.console import Console


@dataclass(frozen=True)
class PartSearch:
    """A search for templates in a part of an image; its matches are in pixels of the whole image."""

    console: Console
    matcher: Matcher
    image: Array
    image_mask: Array | None
    part: tuple[slice, slice]

    @classmethod
    def of(
        cls, console: Console, pair: pairs.Pair, part: tuple[slice, slice], **preparing: Any
    ) -> "PartSearch":
        """Prepare the templates that were read."""
        matcher = Matcher(pair.templates, masks=pair.masks, channel_axis=pair.channel_axis, **preparing)
        return cls(console, matcher, pair.image, pair.image_mask, part)

    def locate(
        self, criterion: Criterion, *, keep_maps: bool
    ) -> tuple[SearchResult, list[tmatch.Match], tmatch.Match | None]:
        """Search once: return the result, the matches and, if there are none, the best position."""
        keep: Keep = "maps" if keep_maps else "candidates"
        poses = poses_of(self.matcher)
        check_poses(poses, criterion)
        with self.console.progress("searching") as progress:
            result = search(self._searches(), criterion, Resources.of(None, progress), keep=keep, poses=poses)
        best = None
        if not result.matches:
            with self.console.progress("looking for the best position") as progress:
                best = self.in_image(result.best(Resources.of(None, progress)))
        return result, [self.in_image(match) for match in result.matches], best

    def _searches(self) -> list[Search]:
        return searches_of(self.matcher, self.image, self.image_mask)

    def score_maps(self) -> list[ScoreMap]:
        """Score every position with each template, or each exact copy of it."""
        with self.console.progress("scoring every position") as progress:
            return score_maps(self._searches(), Resources.of(None, progress))

    def in_image(self, match: tmatch.Match) -> tmatch.Match:
        """Return a match in the part as one in the whole image."""
        return replace(match, box=self.box_in_image(match.box))

    def box_in_image(self, box: tmatch.Box) -> tmatch.Box:
        """Return a box in the part as one in the whole image."""
        return replace(box, start=tuple(s + p.start for s, p in zip(box.start, self.part, strict=True)))

    def decision_in_image(self, decision: CandidateDecision) -> CandidateDecision:
        """Return what was decided about a box in the part as one about a box in the whole image."""
        posed = None if decision.posed is None else self.in_image(decision.posed)
        return replace(decision, box=self.box_in_image(decision.box), posed=posed)

    def draw(self, result: SearchResult, matches: list[tmatch.Match]) -> Any:
        """Draw the score maps of a search that kept them, or those of the best poses."""
        if result.poses.upright:
            return self.draw_scores(result.maps, matches)
        return self.draw_poses(best_poses(result), matches)

    def draw_scores(self, maps: list[ScoreMap], matches: list[tmatch.Match]) -> Any:
        """Draw score maps of templates as they are."""
        first = {m.label: tuple(f + p.start for f, p in zip(m.first, self.part, strict=True)) for m in maps}
        return tmatch.plot_heatmap({m.label: m.masked_scores for m in maps}, matches, first=first)

    def draw_poses(self, maps: list[BestPoses], matches: list[tmatch.Match]) -> Any:
        """Draw the best scores over poses, and which pose has them."""
        rows, columns = self.part
        return plot_best_poses(maps, matches, first=(rows.start, columns.start))
