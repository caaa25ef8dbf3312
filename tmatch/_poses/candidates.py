"""Candidates in many poses, as the decision sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Positions
from tmatch._detection.decide import LEAST_LIKENESS, TemplateCandidates
from tmatch._detection.null.noise import noise_levels
from tmatch._detection.null.residual import beyond_noise
from tmatch._poses.options import wrapped
from tmatch._poses.plan import Plan
from tmatch._poses.refine import Candidate
from tmatch._results.boxes import Box
from tmatch._results.matches import Kind, Match
from tmatch._results.poses import Outline, bounding_box, corners_of
from tmatch._scoring.cache import Cache
from tmatch._scoring.search import Search


@dataclass(frozen=True, kw_only=True)
class PosedCandidates(TemplateCandidates):
    """Candidates of one template in many poses.

    `peaks` are their positions on the coarse map, with its null distribution; their scores are those of the fits, and
    the coarse ones decide on false alarms.
    """

    candidates: Sequence[Candidate]
    plan: Plan
    variance_unit: float = 1.0  # variances of fits in units of this

    @cached_property
    def boxes(self) -> list[Box]:
        """The boxes that bound the outlines, within the image."""
        return [self._within(bounding_box(self._outline(c))) for c in self.candidates]

    @property
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

    def alike(self, which: Array | slice = slice(None), *, asked_to_filter: bool = False) -> Array:  # noqa: ARG002
        """Check which candidates, of some, are similar to the template beyond the noise."""
        if self.peaks.null is None:
            return np.ones(len(self.candidates), bool)[which]
        return np.asarray(self._beyond(noise_levels(self.comparable).any)[which] >= LEAST_LIKENESS)

    def likeness(self) -> Array:
        """Compute how similar candidates are beyond white noise; some have too many false alarms."""
        return self._beyond(noise_levels(self.comparable).white)

    def _beyond(self, noise: float) -> Array:
        scores = np.array([c.score for c in self.candidates])
        variances = np.array([c.image_variance for c in self.candidates]) * self.variance_unit
        return beyond_noise(scores, variances, noise)

    def compare(self, which: Sequence[int]) -> list[tuple[Kind | None, float | None]]:
        """Compare some candidates with the template in their poses: what kind of match they are."""
        return [self._compare_one(self.candidates[i]) for i in which]

    def evidence(self) -> Array:
        """Compute how much of the image candidates explain."""
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
        turned, position = turned_search(self.comparable, self.plan, candidate)
        one = replace(
            self.peaks,
            positions=np.array([position], np.intp),
            scores=np.array([candidate.score]),
            filtered_scores=None,
        )
        [compared] = TemplateCandidates(turned, one, self.n_tests).compare([0])
        return compared


def turned_search(search: Search, plan: Plan, candidate: Candidate) -> tuple[Search, tuple[int, int]]:
    """Return a search for the template as it lies in the image, on the image's pixels, and its position there."""
    box = bounding_box(corners_of(candidate.center, plan.shape, candidate.pose))
    start = [max(s, 0) for s in box.start]
    stop = [min(e, n) for e, n in zip(box.stop, search.image[0].shape, strict=True)]
    values, weights = drawn_at(
        plan, candidate, (start[0], start[1]), (stop[0] - start[0], stop[1] - start[1])
    )
    turned = replace(search, template=[*values], weights=[*weights], margins=[(0, 0), (0, 0)], cache=Cache())
    return turned, (start[0], start[1])


def drawn_at(
    plan: Plan, candidate: Candidate, start: tuple[int, int], shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interpolate the template at the pixels of a window of the image; return weights, too, 0 beyond the template."""
    from scipy import ndimage  # noqa: PLC0415

    ratio = plan.template_factor(candidate.pose.scale, 1)
    level = plan.template.at(ratio)
    offsets = np.moveaxis(np.indices(shape), 0, -1) + np.array(start) - np.array(candidate.center)
    at = offsets @ (candidate.pose.inverse / ratio).T + np.array(level.centre)
    sides = np.array(level.values.shape[1:])
    inside = ((at >= -1e-9) & (at <= sides - 1 + 1e-9)).all(axis=-1)
    places = np.moveaxis(np.clip(at, 0, sides - 1), -1, 0)
    values = np.stack(
        [ndimage.map_coordinates(plane, places, order=3, mode="mirror") for plane in level.values]
    )
    nearest = tuple(np.floor(places + 0.5).astype(np.intp))
    weights = np.stack([plane[nearest] for plane in level.weights]) * inside
    return values * (weights > 0), weights
