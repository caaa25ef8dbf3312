"""Candidates in many poses, as the decision sees them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tmatch._arrays.typing import Array, Positions
from tmatch._detection.decide import TemplateCandidates
from tmatch._detection.null.noise import noise_levels
from tmatch._detection.null.residual import beyond_noise
from tmatch._engine import select
from tmatch._poses.levels import LEAST_SHARE, ImageLevels
from tmatch._poses.options import wrapped
from tmatch._poses.plan import Plan
from tmatch._poses.refine import Candidate
from tmatch._results.boxes import Box
from tmatch._results.matches import Kind, Match
from tmatch._results.poses import Outline, bounding_box, corners_of
from tmatch._scoring.cache import Cache
from tmatch._scoring.search import Search

_NOISE_ERROR = 1.25  # factor by which the variance of noise may be larger than estimated
LEAST_POSED_LIKENESS = 0.6  # beyond the noise: interpolation loses some of the finest details
NOISE_BLOCK = 16.0  # pixels: largest side of the blocks that noise is estimated from


@dataclass(frozen=True, kw_only=True)
class PosedCandidates(TemplateCandidates):
    """Candidates of one template in many poses.

    `peaks` are their positions on the coarse map. Their scores are those of the fits in the image itself; those at the
    level that decides, with the null distribution of that level, give the false alarms. Of a certified search `opened`
    is the share of the positions that could not be ruled out.
    """

    candidates: Sequence[Candidate]
    plan: Plan
    levels: ImageLevels
    opened: float | None = None

    @cached_property
    def boxes(self) -> list[Box]:
        """The boxes that bound the outlines, within the image."""
        return [self._within(bounding_box(self._outline(c))) for c in self.candidates]

    @cached_property
    def outlines(self) -> Sequence[Outline | None]:
        """The outlines of candidates that are turned."""
        return [self._outline(c) if c.pose.angle % 90 else None for c in self.candidates]

    @property
    def places(self) -> Positions:
        """The middles of the candidates, in pixels of the image."""
        return np.array([c.center for c in self.candidates]).reshape(-1, 2).round().astype(np.intp)

    def peak_boxes(self, positions: Positions) -> list[Box]:
        """Return boxes about positions of the coarse map, as high and wide as the template."""
        factor, shape = self.plan.factor, self.plan.shape
        middles = positions * factor + (factor - 1) / 2
        starts = np.round(middles - (np.array(shape) - 1) / 2).astype(int)
        return [Box(tuple(start), shape) for start in starts.tolist()]

    def select(self, which: Array) -> "PosedCandidates":
        """Return the same with some of the candidates."""
        chosen = [self.candidates[i] for i in which.tolist()]
        return replace(self, peaks=self.peaks.select(which), candidates=chosen)

    def alike(self, which: Array | slice = slice(None), *, asked_to_filter: bool = False) -> Array:  # noqa: ARG002
        """Check which candidates, of some, are similar to the template beyond the noise."""
        if self.peaks.null is None:
            return np.ones(len(self.candidates), bool)[which]
        return np.asarray(
            self._beyond(noise_levels(self.comparable, NOISE_BLOCK).any)[which] >= LEAST_POSED_LIKENESS
        )

    def likeness(self) -> Array:
        """Compute how similar candidates are beyond white noise, also of those with too many false alarms."""
        return self._beyond(noise_levels(self.comparable, NOISE_BLOCK).white)

    def _beyond(self, noise: float) -> Array:
        scores = np.array([c.score for c in self.candidates])
        variances = np.array([c.image_variance for c in self.candidates]) * self.levels.variance_unit
        return beyond_noise(scores, variances, noise)

    def compare(
        self,
        which: Sequence[int],
        white_noise: float | None = None,  # noqa: ARG002
    ) -> list[tuple[Kind | None, float | None]]:
        """Compare some candidates with the template in their poses; white noise is that of the image."""
        return [self._compare_one(self.candidates[i]) for i in which]

    def evidence(self) -> Array:
        """Compute how much of the image candidates explain: larger ones have more pixels."""
        scales = np.array([c.pose.scale for c in self.candidates])
        return np.asarray(super().evidence() * (scales**2 if self.peaks.null is not None else 1.0))

    def matches(self) -> list[Match]:
        """Make a match of each candidate."""
        return [
            replace(
                match, offset=tuple(float(c - m) for c, m in zip(one.center, match.box.center, strict=True)),
                angle=wrapped(one.pose.angle), scale=one.pose.scale, flip=one.pose.flip,
                template_shape=self.plan.shape, errors=one.errors,
            )
            for match, one in zip(super().matches(), self.candidates, strict=True)
        ]  # fmt: skip

    def _outline(self, candidate: Candidate) -> Outline:
        return corners_of(candidate.center, self.plan.shape, candidate.pose)

    def _within(self, box: Box) -> Box:
        """Cut off what sub-pixel places leave outside the image."""
        shape = self.search.image[0].shape
        start = [min(max(s, 0), n - 1) for s, n in zip(box.start, shape, strict=True)]
        stop = [max(min(e, n), s + 1) for e, n, s in zip(box.stop, shape, start, strict=True)]
        return Box(tuple(start), tuple(e - s for s, e in zip(start, stop, strict=True)))

    def _compare_one(self, candidate: Candidate) -> tuple[Kind | None, float | None]:
        turned, position = turned_search(self.comparable, self.levels, self.plan, candidate)
        one = replace(
            self.peaks,
            positions=np.array([position], np.intp),
            scores=np.array([candidate.score]),
            filtered_scores=None,
        )
        unit, noise = noise_unit(self.levels, self.plan), noise_levels(self.comparable, NOISE_BLOCK)
        [(kind, expected)] = TemplateCandidates(turned, one, self.n_tests).compare([0], noise.white / unit)
        white = noise.white / self.levels.variance_unit
        if kind == "alike" and lacks_only_details(candidate, self.plan, white):
            kind = "copy"
        return kind, expected


def lacks_only_details(candidate: Candidate, plan: Plan, white_noise: float) -> bool:
    """Check whether white noise, and the finest details that interpolation loses, are all that a candidate lacks.

    Where the template lies pixel on pixel nothing is interpolated, and nothing lost.
    """
    noise = _NOISE_ERROR * white_noise / max(candidate.image_variance, 1e-300)
    return not candidate.is_exact(plan.shape) and 1 - candidate.score**2 <= noise + plan.interpolation_loss


def turned_search(
    search: Search, levels: ImageLevels, plan: Plan, candidate: Candidate
) -> tuple[Search, tuple[int, int]]:
    """Return a search for the template as it lies in the image, at the detail level, and its position there."""
    factor = plan.detail_factor
    middle = [(c - (factor - 1) / 2) / factor for c in candidate.center]
    pose = replace(candidate.pose, scale=candidate.pose.scale / factor)
    box = bounding_box(corners_of(middle, plan.shape, pose))
    sides = [-(-n // factor) for n in levels.shape]
    start = [min(max(s, 0), n - 1) for s, n in zip(box.start, sides, strict=True)]
    stop = [max(min(e, n), s + 1) for e, n, s in zip(box.stop, sides, start, strict=True)]
    smaller = plan.template_factor(candidate.pose.scale, factor)
    template = plan.template.at(smaller).for_fit(flip=pose.flip)
    angle, log_scale = math.radians(pose.angle), math.log(pose.scale * smaller)
    place = np.array([middle[0] - start[0], middle[1] - start[1], angle, log_scale])
    shape = stop[0] - start[0], stop[1] - start[1]
    values, weights = select.choose(50.0 * math.prod(shape)).drawn(template, place, shape)
    seen = search.image_cache.get(("detail", factor), lambda: _at_level(search, levels, factor))
    turned = replace(seen, template=[*values], weights=[*weights], margins=[(0, 0), (0, 0)], cache=Cache())
    return turned, (start[0], start[1])


def _at_level(search: Search, levels: ImageLevels, factor: int) -> Search:
    """Return the search with a level instead of the image."""
    if factor == 1:
        return search
    channels, share = levels.at(factor)
    return replace(
        search, image=channels, valid=None if share is None else share >= LEAST_SHARE, image_cache=Cache()
    )


def noise_unit(levels: ImageLevels, plan: Plan) -> float:
    """Return the variance of noise of the image where that of the detail level is 1."""
    return 1.0 if plan.detail_factor == 1 else levels.variance_unit * plan.detail_factor**2
