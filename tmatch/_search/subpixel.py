"""Sub-pixel places of matches that are upright, or in exact poses."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tmatch._detection.candidates import score_at
from tmatch._engine.progress import Resources
from tmatch._poses.levels import ImageLevels
from tmatch._poses.options import PoseOptions
from tmatch._poses.plan import plan_of
from tmatch._poses.refine import Candidate, Refiner
from tmatch._results.boxes import Box
from tmatch._results.matches import Match
from tmatch._results.poses import Pose
from tmatch._scoring.search import Search, comparable

_REACH = 1.0  # pixels by which a place may move: farther away is another peak


def refine_places(matches: Sequence[Match], searches: Sequence[Search]) -> list[Match]:
    """Add the sub-pixel part of the places of matches, and its standard errors, where a fit stays beside the peak."""
    return [_refined(match, _search_of(match, searches)) for match in matches]


def _search_of(match: Match, searches: Sequence[Search]) -> Search:
    """Find the search for the template of a match, in its pose; of several with its label the one with its score."""
    pose = Pose(match.angle, match.scale, match.flip)
    found = [
        each
        for each in searches
        if each.label == match.label and each.window == match.box.shape
        if each.posed is None or each.posed.pose == pose
    ]
    if len(found) == 1:
        return found[0]
    return min(found, key=lambda each: abs(_score_of(each, match.box) - match.score))


def _score_of(search: Search, box: Box) -> float:
    return float(score_at(search, np.array([search.position_of(box.start)]))[0])


def _refined(match: Match, search: Search) -> Match:
    search = comparable(search)
    levels = search.image_cache.get("levels", lambda: ImageLevels(search))
    refiner = Refiner(levels, plan_of(search, PoseOptions(search="exhaustive")), Resources())
    y, x = match.box.center
    start = Candidate((y, x), Pose(), match.score, (0, 0))
    [fitted] = refiner.with_errors(refiner.refine([start], [1]))
    if fitted.distance(start) > _REACH or fitted.fit is None:
        return match
    return replace(match, offset=(fitted.center[0] - y, fitted.center[1] - x), errors=fitted.errors)
