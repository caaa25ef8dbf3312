"""A search over poses: from a coarse map over all of them to refined candidates, and the decision."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Positions
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.decide import TemplateCandidates, decide
from tmatch._detection.false_alarms import NullDistribution
from tmatch._detection.null.noise import noise_levels
from tmatch._detection.null.residual import beyond_noise
from tmatch._engine import select
from tmatch._engine.progress import Resources
from tmatch._poses.candidates import (
    LEAST_POSED_LIKENESS,
    NOISE_BLOCK,
    PosedCandidates,
)
from tmatch._poses.certified import at_full_size, score_bounds
from tmatch._poses.chance import PoseChance
from tmatch._poses.coarse import PoseMap, pose_map
from tmatch._poses.exact import exact_beside
from tmatch._poses.levels import ImageLevels, steps_down
from tmatch._poses.options import PoseOptions
from tmatch._poses.plan import ALIKE, Plan, plan_of
from tmatch._poses.refine import Candidate, Refiner
from tmatch._results.matches import Match, order_of
from tmatch._results.poses import Pose, bounding_box, corners_of
from tmatch._scoring.search import Search, comparable
from tmatch._search.competition import compete
from tmatch._search.stages import Stage, StageResult

_REFINED = 100  # peaks, and minima, at least
_LEAST_REFINED = 32  # peaks, whatever the threshold
_MOST_EXPECTED = 10.0  # false alarms of a further peak that is refined
_FAINTLY_ALIKE = 0.45  # correlation of a template with itself in another pose that is tried at the best peaks
_TRIED_OTHERWISE = 12  # best peaks that are tried in poses that are only faintly alike, and at all scales
_TRIED_BESIDE = 6  # best candidates that are refined from several poses
_MOST_REFINED = 3000  # peaks, and minima, however many may be matches
_STILL_OPEN = 10.0  # false alarms of a candidate that is refined to the end
_KEPT = 3  # best candidates that are refined to the end, however low they are
_LEVEL_SHARE = 0.9  # of the score that a match needs in the end, at coarser levels
_OUTSIDE = 1.0  # pixels by which an outline may leave the image


def search_poses(
    searches: Sequence[Search], poses: PoseOptions, criterion: Criterion, resources: Resources,
    *, keep_maps: bool = False,
) -> StageResult:  # fmt: skip
    """Search one image for templates in many poses, and decide."""
    parts = [
        (search, plan)
        for search in map(comparable, searches)
        for plan in (plan_of(search, part) for part in poses.by_size())
        if plan.fits(search.image[0].shape)
    ]
    if not parts:
        msg = "no pose of the template lies inside the image; use smaller scales, or a larger image"
        raise ValueError(msg)
    found, maps = [], []
    for (search, plan), part in zip(parts, resources.split(len(parts)), strict=True):
        pose_search = _PoseSearch(search, plan, criterion, part)
        found.append(pose_search.candidates(len(parts)))
        maps += [pose_search.map] * keep_maps
    competing = compete(found, criterion)
    return StageResult(Stage("none"), [*competing], decide(competing, criterion), [], maps)


def best_posed(found: Sequence[TemplateCandidates]) -> Match:
    """Return the candidate with the highest score, with its kind."""
    pairs = [(match, each, i) for each in found for i, match in enumerate(each.matches())]
    if not pairs:
        return min((_best_unrefined(each) for each in found), key=order_of)
    best, one, i = min(pairs, key=lambda pair: order_of(pair[0]))
    [(kind, expected)] = one.compare([i])
    return replace(best, kind=kind, expected_score=expected)


def _best_unrefined(found: TemplateCandidates) -> Match:
    """Return the best position before the refinement, in no pose: what was refined is in none that was asked for."""
    best = best_summarised(found)
    if best is not None:
        return best
    [box] = found.peak_boxes(np.zeros((1, 2), np.intp))  # nothing is alike at all
    return Match(replace(box, start=(0, 0)), 0.0, found.label)


def best_summarised(found: TemplateCandidates) -> Match | None:
    """Return the best position that the summary of a score map knows; None if no score is above 0.

    Its score is in single precision, and in ranges of poses that of the reduced image.
    """
    null = found.peaks.null
    if null is None or not null.cells.high.any():
        return None
    best = np.zeros(null.cells.extrema.shape, bool)
    best.flat[null.cells.high.argmax()] = True
    position, scores = null.cells.positions(best), null.cells.extrema[best]
    expected = null.false_alarms(position, scores, n_tests=found.n_tests)
    [box] = found.peak_boxes(position)
    score = round(float(scores[0]), 4)
    return found.in_pose(Match(box, score, found.label, false_alarms=float(expected[0])))


class _PoseSearch:
    """The search for one template."""

    def __init__(self, search: Search, plan: Plan, criterion: Criterion, resources: Resources) -> None:
        self.search, self.plan, self.criterion = search, plan, criterion
        self.levels = search.image_cache.get("levels", lambda: ImageLevels(search, resources.workers))
        self.noise = noise_levels(search, NOISE_BLOCK)
        self.opened: float | None = None
        searching, certifying, *refining = resources.split(4)
        self.map = pose_map(self.levels, plan, search.cache, searching)
        self.certified = self._certified(certifying) if plan.options.search == "certified" else None
        self.refiners = [Refiner(self.levels, plan, part) for part in refining]

    def _certified(self, resources: Resources) -> PoseMap:
        """Search at full size where the threshold may be reached, by a bound on all scores."""
        plan = plan_of(self.search, replace(self.plan.options, search="exhaustive"))
        bounding, searching = resources.split(2)
        opened = score_bounds(self.levels, self.plan, bounding) >= (self.criterion.threshold or 0.0)
        self.opened = float(opened.mean())
        opened = at_full_size(opened, self.plan, self.levels.shape)
        return pose_map(self.levels, plan, self.search.cache, searching, opened)

    def _certified_starts(self) -> list[Candidate]:
        """Return the peaks at full size that may reach the threshold."""
        if self.certified is None:
            return []
        plan = plan_of(self.search, replace(self.plan.options, search="exhaustive"))
        scores = np.where(self.certified.valid, self.certified.high, -np.inf)
        found = select.choose().candidates(scores, plan.coarse_score(self.criterion.threshold or 0.0), 0.0)
        factor = self.plan.factor
        return [
            Candidate(
                (float(y), float(x)), plan.poses[int(self.certified.pose[y, x])], float(scores[y, x]),
                (y // factor, x // factor), decision_score=float(scores[y, x]),
            )
            for y, x in found.tolist()
        ]  # fmt: skip

    def candidates(self, n_tests: int) -> PosedCandidates:
        """Find the candidates: from peaks of the coarse map to poses in the image."""
        made, factors = self.map, steps_down(self.plan.factor)
        first = factors.index(self.plan.decision_factor) + 1
        chance = PoseChance(self.search, self.levels, self.plan, made, self.noise)
        coarse = chance.of_map()
        peaks, minima = self._choose_peaks(coarse), self._choose(coarse, -made.low)
        starts = [start for peak in peaks.tolist() for start in self._starts(peak, ALIKE)]
        for peak in peaks[:_TRIED_OTHERWISE].tolist():
            starts += [*self._starts(peak, _FAINTLY_ALIKE)[1:], *self._at_other_scales(peak)]
        starts += [self._start(minimum, -1) for minimum in minima.tolist()]
        decided = self.refiners[0].refine(starts, factors[:first])
        null = chance.of_refined(decided, coarse)
        still = self._still_open(decided, chance, null)
        left = factors[first:]
        beside = self._tried_beside(still)
        final = self.refiners[1].refine([*still, *beside] if left else beside, left or [1], self._promising)
        final += [] if left else still
        final += self.refiners[1].refine(self._certified_starts(), [1], self._promising)
        final = [
            exact_beside(self.search, self.plan, c)
            for c in final
            if self._is_inside(c) and self.plan.allows(c.pose, 1)
        ]
        null = chance.with_copies(final, null)
        final = sorted((c for c in final if c.sign > 0), key=lambda c: (c.peak, c.center))
        final = self.refiners[1].with_errors(final)
        found = Candidates(
            np.array([c.peak for c in final], np.intp).reshape(-1, 2), np.array([c.score for c in final]), null,
            np.array([c.decision_score for c in final]),
        )  # fmt: skip
        return PosedCandidates(
            self.search,
            found,
            n_tests,
            candidates=final,
            plan=self.plan,
            levels=self.levels,
            opened=self.opened,
        )

    def _choose_peaks(self, null: NullDistribution) -> Positions:
        """Choose the peaks that are refined."""
        chosen = self._choose(null, self.map.high)
        if self.criterion.threshold is None:
            return chosen
        scores = self.map.high[tuple(chosen.T)]
        reaches = scores >= self.plan.coarse_score(self.criterion.threshold)
        return np.asarray(chosen[reaches | (np.arange(len(chosen)) < _LEAST_REFINED)], np.intp)

    def _choose(self, null: NullDistribution, scores: Array) -> Positions:
        """Choose the local maxima with the fewest false alarms expected."""
        there = np.where(self.map.valid, scores, -np.inf)
        found = select.choose().candidates(there, 1e-6, 0.0)
        if not len(found):  # nothing is alike at all
            inside = np.argwhere(self.map.valid)
            found = inside[np.argsort(((inside - inside.mean(axis=0)) ** 2).sum(axis=1), kind="stable")[:1]]
        values = scores[tuple(found.T)].astype(np.float64)
        expected = null.expected(found, values)
        order = np.lexsort((-values, expected))
        wanted = max(_REFINED, int(np.count_nonzero(expected <= _MOST_EXPECTED)))
        if wanted > _MOST_REFINED:
            warnings.warn(
                f"{wanted} peaks may be matches; the best {_MOST_REFINED} are looked at, the others are not: raise the "
                "threshold, allow fewer false alarms, or search parts of the image",
                stacklevel=2,
            )
        return np.asarray(found[order[: min(wanted, _MOST_REFINED)]])

    def _start(self, peak: Sequence[int], sign: int = 1) -> Candidate:
        """Return a peak or a minimum as a candidate."""
        at, factor = (peak[0], peak[1]), self.map.factor
        which, scores = (self.map.pose, self.map.high) if sign > 0 else (self.map.low_pose, -self.map.low)
        center = tuple(p * factor + (factor - 1) / 2 for p in at)
        return Candidate((center[0], center[1]), self.plan.poses[int(which[at])], float(scores[at]), at, sign)

    def _starts(self, peak: Sequence[int], alike: float) -> list[Candidate]:
        """Return a peak as a candidate, and in the poses in which the template looks alike."""
        first = self._start(peak)
        pose, others = first.pose, []
        for turn, flip in self.plan.alternatives_of(alike):
            other = Pose(pose.angle + (-turn if pose.flip else turn), pose.scale, pose.flip != flip)
            if self.plan.allows(other, self.plan.factor):
                others.append(replace(first, pose=other))
        return [first, *others]

    def _at_other_scales(self, peak: Sequence[int]) -> list[Candidate]:
        """Return a peak at all other scales: smooth templates fit nearly as well where they are smaller."""
        first = self._start(peak)
        scales = {pose.scale for pose in self.plan.poses} - {first.pose.scale}
        return [replace(first, pose=replace(first.pose, scale=scale)) for scale in sorted(scales)]

    def _tried_beside(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the best candidates a step of angle or scale beside: in noise the nearest optimum may be another."""
        factor = self.plan.decision_factor
        best = sorted((c for c in candidates if c.sign > 0), key=lambda c: -c.score)[:_TRIED_BESIDE]
        beside = []
        for candidate in best:
            pose, step = candidate.pose, self.plan.angle_step(factor, candidate.pose.scale)
            poses = [replace(pose, angle=pose.angle + side * step) for side in (-1, 1)]
            poses += [
                replace(pose, scale=pose.scale * math.exp(side * math.radians(step))) for side in (-1, 1)
            ]
            beside += [replace(candidate, pose=each) for each in poses if self.plan.allows(each, factor)]
        return beside

    def _still_open(
        self, candidates: Sequence[Candidate], chance: PoseChance, null: NullDistribution
    ) -> list[Candidate]:
        """Return the candidates that may be matches, the best few, and the minima that may leave noise."""
        scores = np.array([c.score for c in candidates])
        peaks = np.array([c.sign > 0 for c in candidates], bool)
        factor = self.plan.decision_factor
        still = chance.may_be_copies(candidates, factor)
        if self.criterion.false_alarms is not None:
            positions = np.array([c.peak for c in candidates], np.intp).reshape(-1, 2)
            still |= peaks & (null.expected(positions, scores) <= _STILL_OPEN)
        else:
            still |= peaks
        still = (still & self._promising(candidates, factor)) | _are_best(candidates)
        return [c for c, kept in zip(candidates, still.tolist(), strict=True) if kept]

    def _promising(self, candidates: Sequence[Candidate], factor: int) -> NDArray[np.bool_]:
        """Check which candidates may be matches, or controls, by their score at a level; the best few may."""
        scores, variances = (
            np.array([getattr(c, name) for c in candidates]) for name in ("score", "image_variance")
        )
        kept = np.ones(len(scores), bool)
        if self.criterion.false_alarms is not None:
            noise = self.noise.any / self.levels.variance_unit / factor**2
            kept = beyond_noise(scores, variances, noise) >= _LEVEL_SHARE * LEAST_POSED_LIKENESS
        if self.criterion.threshold is not None:
            kept &= scores >= _LEVEL_SHARE * self.criterion.threshold
        return np.asarray(kept | _are_best(candidates), bool)

    def _is_inside(self, candidate: Candidate) -> bool:
        """Check that an outline lies in the image."""
        box = bounding_box(corners_of(candidate.center, self.plan.shape, candidate.pose))
        return all(
            s >= -_OUTSIDE and e <= n + _OUTSIDE
            for s, e, n in zip(box.start, box.stop, self.levels.shape, strict=True)
        )


def _are_best(candidates: Sequence[Candidate]) -> NDArray[np.bool_]:
    """Mark the few candidates with the highest scores, which are refined to the end however low they are."""
    scores = np.array([c.score if c.sign > 0 else -np.inf for c in candidates])
    marked = np.zeros(len(scores), bool)
    marked[np.argsort(-scores, kind="stable")[:_KEPT]] = True
    return marked & (scores > -np.inf)
