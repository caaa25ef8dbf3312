"""Maps of the best score over poses, and of the pose that has it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Shape
from tmatch._poses.candidates import PosedCandidates
from tmatch._results.poses import Point, Pose
from tmatch._scoring.maps import ScoreMap
from tmatch._search.recipe import SearchResult


@dataclass(frozen=True)
class BestPoses:
    """The best score over poses with the middle of a template on each pixel, and which pose has it.

    Scores are those in an image that is `reduction` times smaller, and minus infinity where there is none. The middles
    of templates with even sides lie half a pixel further to the right and the bottom.
    """

    label: str
    scores: Array
    which: NDArray[np.integer]
    poses: Sequence[Pose]
    reduction: int = 1

    @property
    def best(self) -> tuple[float, Point]:
        """The highest score, and where it is in the image itself (row, column)."""
        at = np.unravel_index(self.scores.argmax(), self.scores.shape)
        row, column = ((int(i) + 0.5) * self.reduction - 0.5 for i in at)
        return float(self.scores[at]), (row, column)


def best_poses(result: SearchResult) -> list[BestPoses]:
    """Return the best poses of each template of a search that kept its maps."""
    if result.poses.exact:
        return best_of_maps(result.maps)
    [stage] = result.stages
    found = [each for each in stage.found if isinstance(each, PosedCandidates)]
    parts: dict[str, list[BestPoses]] = {}
    for each, made in zip(found, stage.pose_maps, strict=True):
        scores = np.where(made.valid, made.high, -np.inf)
        part = BestPoses(each.label, scores, made.pose, each.plan.poses, made.factor)
        parts.setdefault(each.label, []).append(part)
    return [
        each[0] if len(each) == 1 else _together(each, result.searches[0].image[0].shape)
        for each in parts.values()
    ]


def _together(parts: Sequence[BestPoses], shape: Shape) -> BestPoses:
    """Return the best of parts that were searched in images of several sizes, at the size of the image itself."""
    best, which, poses = np.full(shape, -np.inf), np.zeros(shape, np.intp), list[Pose]()
    for part in parts:
        scores, numbers = (
            values.repeat(part.reduction, 0).repeat(part.reduction, 1)[: shape[0], : shape[1]]
            for values in (part.scores, part.which)
        )
        better = scores > best
        best[better], which[better] = scores[better], numbers[better] + len(poses)
        poses += part.poses
    return BestPoses(parts[0].label, best, which, poses)


def best_of_maps(maps: Sequence[ScoreMap]) -> list[BestPoses]:
    """Return the best poses of each template from the score maps of its copies, exact or upright."""
    labels = dict.fromkeys(made.label for made in maps)
    return [_best_of_one([made for made in maps if made.label == label]) for label in labels]


def _best_of_one(maps: Sequence[ScoreMap]) -> BestPoses:
    shape = maps[0].search.image[0].shape
    best, which = np.full(shape, -np.inf), np.zeros(shape, np.intp)
    for number, made in enumerate(maps):
        place, part = _places(made, shape)
        scores = made.masked_scores[part]
        better = scores > best[place]
        best[place][better], which[place][better] = scores[better], number
    poses = [Pose() if made.search.posed is None else made.search.posed.pose for made in maps]
    return BestPoses(maps[0].label, best, which, poses)


def _places(made: ScoreMap, shape: Shape) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return where in an image the middles of windows lie, and the part of the map for which they lie in it."""
    first = [f + (n - 1) // 2 for f, n in zip(made.first, made.search.window, strict=True)]
    bounds = [(max(-f, 0), min(n - f, k)) for f, n, k in zip(first, shape, made.scores.shape, strict=True)]
    place = tuple(slice(f + start, f + stop) for f, (start, stop) in zip(first, bounds, strict=True))
    return place, tuple(slice(*each) for each in bounds)
