"""A search over poses: from a coarse map over all of them to refined candidates, and the decision."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Positions
from tmatch._detection.candidates import score_at
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.decide import TemplateCandidates, decide
from tmatch._detection.false_alarms import CERTAIN, NullDistribution, effective_pixels
from tmatch._detection.null.certificate import Noise, certify, may_be_exact, may_leave_noise
from tmatch._detection.null.fit import TemplateFacts, fit_null
from tmatch._detection.null.footprint import Footprint
from tmatch._detection.null.noise import noise_levels
from tmatch._detection.null.residual import Residuals, beyond_noise, comparable, residuals, rounding_of
from tmatch._detection.null.summary import ScoreSummary
from tmatch._engine import select
from tmatch._engine.progress import Resources
from tmatch._poses.candidates import (
    LEAST_POSED_LIKENESS,
    NOISE_BLOCK,
    PosedCandidates,
    noise_unit,
    turned_search,
)
from tmatch._poses.certified import at_full_size, score_bounds
from tmatch._poses.coarse import PoseMap, pose_map
from tmatch._poses.exact import exact_search
from tmatch._poses.levels import ImageLevels, steps_down
from tmatch._poses.options import PoseOptions, wrapped
from tmatch._poses.plan import Plan, plan_of
from tmatch._poses.refine import Candidate, Refiner
from tmatch._results.matches import Match, order_of
from tmatch._results.poses import Pose, bounding_box, corners_of
from tmatch._scoring.search import Search
from tmatch._search.competition import compete
from tmatch._search.stages import Stage, StageResult

_REFINED = 100  # peaks, and minima
_LEAST_REFINED = 32  # peaks, whatever the threshold
_MOST_EXPECTED = 10.0  # false alarms of a further peak that is refined
_TRIED_TURNED = 6  # best candidates that are refined from several angles
_MOST_REFINED = 3000
_STILL_OPEN = 10.0  # false alarms of a candidate that is refined to the end
_KEPT = 3  # best candidates that are refined to the end, however low they are
_LEVEL_SHARE = 0.9  # of the score that a match needs in the end, at coarser levels
_EXACT_REACH = 0.25  # pixels of a corner: exact copies that are nearer are tried
_EQUAL = 1e-9  # difference of scores that may be rounding
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
    null = found.peaks.null
    if null is None or not null.cells.high.any():  # nothing is alike at all
        [box] = found.peak_boxes(np.zeros((1, 2), np.intp))
        return Match(replace(box, start=(0, 0)), 0.0, found.label)
    best = np.zeros(null.cells.extrema.shape, bool)
    best.flat[null.cells.high.argmax()] = True
    position, scores = null.cells.positions(best), null.cells.extrema[best]
    expected = null.false_alarms(position, scores, n_tests=found.n_tests)
    [box] = found.peak_boxes(position)
    return Match(box, float(scores[0]), found.label, false_alarms=float(expected[0]))


class _PoseSearch:
    """The search for one template."""

    def __init__(self, search: Search, plan: Plan, criterion: Criterion, resources: Resources) -> None:
        self.search, self.plan, self.criterion = search, plan, criterion
        self.levels = search.image_cache.get("levels", lambda: ImageLevels(search))
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
                (y // factor, x // factor),
            )
            for y, x in found.tolist()
        ]  # fmt: skip

    def candidates(self, n_tests: int) -> PosedCandidates:
        """Find the candidates: from peaks of the coarse map to poses in the image."""
        made, factors = self.map, steps_down(self.plan.factor)
        first = factors.index(self.plan.decision_factor) + 1
        coarse = self._fit_null(made.summary(self._window(made.factor), len(self.plan.poses)), made.factor)
        peaks, minima = self._choose_peaks(coarse), self._choose(coarse, -made.low)
        starts = [start for peak in peaks.tolist() for start in self._starts(peak)]
        starts += [self._start(minimum, -1) for minimum in minima.tolist()]
        decided = self.refiners[0].refine(starts, factors[:first])
        null = self._null_of(decided, coarse)
        still = self._still_open(decided, null)
        if factors[first:]:
            still = self._also_turned(still)
        final = self.refiners[1].refine(still, factors[first:], self._promising)
        final += self.refiners[1].refine(self._certified_starts(), [1], self._promising)
        final = [self._exact(c) for c in final if self._is_inside(c) and self.plan.allows(c.pose, 1)]
        null = self._with_copies(final, null)
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

    def _with_copies(self, candidates: Sequence[Candidate], null: NullDistribution) -> NullDistribution:
        """Certify copies by what is left of them, with minima as controls, and fit the null without them."""
        noise = Noise(self.noise.white, rounding_of(self.search))
        may_be = self._may_be_copies(candidates, noise)
        chosen = [c for c, may in zip(candidates, may_be.tolist(), strict=True) if may]
        peaks, minima = ([c for c in chosen if c.sign == sign] for sign in (1, -1))
        if not peaks:
            return null
        unit = noise_unit(self.levels, self.plan)
        positions = float(null.cells.sums[1].sum())
        pixels = self.search.cache.get(
            "effective pixels", lambda: effective_pixels(self.search.template, self.plan.template.weights[0])
        )
        expected = certify(
            self._residuals(peaks),
            lambda: self._residuals(minima),
            positions=positions,
            pixels=pixels,
            noise=Noise(noise.white / unit, noise.rounding / unit),
        )
        certified = np.flatnonzero(expected <= CERTAIN)
        if not len(certified):
            return null
        at = np.array([peaks[i].peak for i in certified])
        cells = null.cells.of(at)
        copies, are_copies = null.copies.copy(), np.zeros(null.copies.shape, bool)
        np.minimum.at(copies, cells, expected[certified])
        are_copies[cells] = True
        return _with_known_copies(null, copies, are_copies)

    def _may_be_copies(self, candidates: Sequence[Candidate], noise: Noise) -> NDArray[np.bool_]:
        """Check by their score and variance which candidates may leave no more than noise or rounding."""
        scores = np.array([c.score for c in candidates])
        variances = np.array([c.image_variance for c in candidates]) * self.levels.variance_unit
        exact = may_be_exact(scores, variances, noise.rounding)
        return np.asarray(exact | may_leave_noise(scores, variances, noise), bool)

    def _residuals(self, candidates: Sequence[Candidate]) -> Residuals:
        """Compute what is left of the image without the template in the poses of candidates."""
        parts = []
        for candidate in candidates:
            turned, position = turned_search(self.search, self.levels, self.plan, candidate)
            parts.append(residuals(turned, np.array([position], np.intp)))
        if not parts:
            return residuals(self.search, np.empty((0, 2), np.intp))
        return Residuals(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Residuals)))

    def _exact(self, candidate: Candidate) -> Candidate:
        """Return the exact copy beside a candidate, if it fits as well; its score is that of the plain definition."""
        pose = candidate.pose
        near = Pose(wrapped(90 * round(pose.angle / 90)), _nearest_exact(pose.scale), pose.flip)
        radius = math.hypot(*self.plan.shape) / 2 * pose.scale
        off = radius * max(
            np.radians(abs(wrapped(pose.angle - near.angle))), abs(pose.scale / near.scale - 1)
        )
        if off > _EXACT_REACH or candidate.sign < 0 or not self.plan.allows(near, 1):
            return candidate
        search = exact_search(self.search, near)
        middle = (np.array(search.window) - 1) / 2
        start = np.asarray(np.round(np.array(candidate.center) - middle), np.intp)
        if np.any(start < 0) or np.any(start + np.array(search.window) > np.array(self.levels.shape)):
            return candidate
        score = float(score_at(search, start[None])[0])
        if score < candidate.score - _EQUAL:
            return candidate
        y, x = (start + middle).tolist()
        return replace(candidate, center=(y, x), pose=near, score=score)

    def _fit_null(self, summary: ScoreSummary, factor: int) -> NullDistribution:
        level = self.plan.template.at(max(1, min(factor, min(self.plan.shape) // 2)))
        channels, weights = [*level.values], [*level.weights]
        cache = self.search.cache
        facts = TemplateFacts(
            lambda: cache.get(("effective pixels", factor), lambda: effective_pixels(channels, weights[0])),
            lambda: cache.get(("footprint", factor), lambda: Footprint(channels, weights)),
        )
        return fit_null(summary, facts)

    def _window(self, factor: int) -> tuple[int, int]:
        height, width = (max(1, n // factor) for n in self.plan.shape)
        return height, width

    def _null_of(self, refined: Sequence[Candidate], coarse: NullDistribution) -> NullDistribution:
        """Fit the null distribution to refined peaks and minima."""
        cells, ratio = coarse.cells, self.map.factor / self.plan.decision_factor
        extrema = np.zeros_like(cells.extrema)
        shares = []
        for candidate in refined:
            cell = tuple(p // s for p, s in zip(candidate.peak, cells.size, strict=True))
            at = (0 if candidate.sign > 0 else 1, *cell)
            extrema[at] = max(extrema[at], candidate.score)
            before = abs(float((self.map.high if candidate.sign > 0 else self.map.low)[candidate.peak]))
            shares.append(max(candidate.score, 0.0) / max(before, 1e-6))
        share = float(np.median(shares)) ** 2 if shares else 1.0
        sums = cells.sums * np.array([share, 1.0]).reshape(2, *(1 for _ in cells.size)) * ratio**2
        return self._fit_null(replace(cells, extrema=extrema, sums=sums), self.plan.decision_factor)

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

    def _starts(self, peak: Sequence[int]) -> list[Candidate]:
        """Return a peak as a candidate, and in the poses in which the template looks much the same."""
        first = self._start(peak)
        pose, others = first.pose, []
        for turn, flip in self.plan.alternatives:
            other = Pose(pose.angle + (-turn if pose.flip else turn), pose.scale, pose.flip != flip)
            if self.plan.allows(other, self.plan.factor):
                others.append(replace(first, pose=other))
        return [first, *others]

    def _also_turned(self, candidates: list[Candidate]) -> list[Candidate]:
        """Add the best candidates turned by a step either way: in noise the nearest optimum may be another one."""
        factor = self.plan.decision_factor
        best = sorted((c for c in candidates if c.sign > 0), key=lambda c: -c.score)[:_TRIED_TURNED]
        turned = [
            replace(
                c,
                pose=replace(c.pose, angle=c.pose.angle + side * self.plan.angle_step(factor, c.pose.scale)),
            )
            for c in best
            for side in (-1, 1)
        ]
        return candidates + [c for c in turned if self.plan.allows(c.pose, factor)]

    def _still_open(self, candidates: Sequence[Candidate], null: NullDistribution) -> list[Candidate]:
        """Return the candidates that may be matches, the best few, and the minima that may leave noise."""
        scores = np.array([c.score for c in candidates])
        peaks = np.array([c.sign > 0 for c in candidates], bool)
        factor = self.plan.decision_factor
        noise = Noise(self.noise.white / factor**2, rounding_of(self.search))
        still = self._may_be_copies(candidates, noise)
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


def _with_known_copies(
    null: NullDistribution, copies: Array, excluded: NDArray[np.bool_]
) -> NullDistribution:
    """Fit a null distribution without some cells, and keep the false alarms of copies whatever is excluded later."""
    return replace(
        null.fit_without(excluded), copies=copies,
        fit_without=lambda others: _with_known_copies(null, copies, excluded | others),
    )  # fmt: skip


def _nearest_exact(scale: float) -> float:
    return float(max(round(scale), 1)) if scale >= 1 else 1 / round(1 / scale)


def _are_best(candidates: Sequence[Candidate]) -> NDArray[np.bool_]:
    """Mark the few candidates with the highest scores, which are refined to the end however low they are."""
    scores = np.array([c.score if c.sign > 0 else -np.inf for c in candidates])
    marked = np.zeros(len(scores), bool)
    marked[np.argsort(-scores, kind="stable")[:_KEPT]] = True
    return marked & (scores > -np.inf)
