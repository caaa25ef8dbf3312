"""Chance in a search over poses: null distributions of the best scores over all poses, and certified copies."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array
from tmatch._detection.false_alarms import CERTAIN, NullDistribution, effective_pixels
from tmatch._detection.null.certificate import Noise, certify, may_be_exact, may_leave_noise
from tmatch._detection.null.fit import TemplateFacts, fit_null
from tmatch._detection.null.footprint import Footprint
from tmatch._detection.null.noise import NoiseLevels
from tmatch._detection.null.residual import Residuals, residuals, rounding_of
from tmatch._detection.null.summary import ScoreSummary
from tmatch._detection.null.tails import AnalyticTail
from tmatch._poses.candidates import lacks_only_details, noise_unit, turned_search
from tmatch._poses.coarse import PoseMap
from tmatch._poses.levels import ImageLevels
from tmatch._poses.plan import Plan
from tmatch._poses.refine import Candidate
from tmatch._scoring.search import Search


@dataclass(frozen=True)
class PoseChance:
    """Estimates chance for one template in one image, whose noise is known."""

    search: Search
    levels: ImageLevels
    plan: Plan
    made: PoseMap
    noise: NoiseLevels

    def of_map(self) -> NullDistribution:
        """Fit the null distribution to the coarse map: peaks of the best scores, minima of the worst."""
        height, width = (max(1, n // self.made.factor) for n in self.plan.shape)
        return self._fit(self.made.summary((height, width), len(self.plan.poses)), self.made.factor)

    def of_refined(self, refined: Sequence[Candidate], coarse: NullDistribution) -> NullDistribution:
        """Fit the null distribution to refined peaks and minima."""
        cells, ratio = coarse.cells, self.made.factor / self.plan.decision_factor
        extrema = np.zeros_like(cells.extrema)
        shares = []
        for candidate in refined:
            cell = tuple(p // s for p, s in zip(candidate.peak, cells.size, strict=True))
            at = (0 if candidate.sign > 0 else 1, *cell)
            extrema[at] = max(extrema[at], candidate.score)
            before = abs(float((self.made.high if candidate.sign > 0 else self.made.low)[candidate.peak]))
            shares.append(max(candidate.score, 0.0) / max(before, 1e-6))
        share = float(np.median(shares)) ** 2 if shares else 1.0
        sums = cells.sums * np.array([share, 1.0]).reshape(2, *(1 for _ in cells.size)) * ratio**2
        return self._fit(replace(cells, extrema=extrema, sums=sums), self.plan.decision_factor)

    def with_copies(self, candidates: Sequence[Candidate], null: NullDistribution) -> NullDistribution:
        """Certify copies by what is left of them, with minima as controls, and fit the null without them."""
        positions = float(null.cells.sums[1].sum())
        expected = np.minimum(
            self._leaving_noise(candidates, positions), self._lacking_details(candidates, positions)
        )
        certified = np.flatnonzero(expected <= CERTAIN).tolist()
        if not certified:
            return null
        cells = null.cells.of(np.array([candidates[i].peak for i in certified]))
        copies, are_copies = null.copies.copy(), np.zeros(null.copies.shape, bool)
        np.minimum.at(copies, cells, expected[certified])
        are_copies[cells] = True
        return _with_known_copies(null, copies, are_copies)

    def _leaving_noise(self, candidates: Sequence[Candidate], positions: float) -> Array:
        """Compute the false alarms of candidates that leave noise or rounding, as copies; infinite for others."""
        expected = np.full(len(candidates), np.inf)
        may_be, signs = self.may_be_copies(candidates), np.array([c.sign for c in candidates])
        peaks, minima = (np.flatnonzero(may_be & (signs == sign)).tolist() for sign in (1, -1))
        if peaks:
            unit = noise_unit(self.levels, self.plan)
            expected[peaks] = certify(
                self._residuals([candidates[i] for i in peaks]),
                lambda: self._residuals([candidates[i] for i in minima]),
                positions=positions,
                pixels=self._pixels,
                noise=Noise(self.noise.white / unit, rounding_of(self.search) / unit),
            )
        return expected

    def _lacking_details(self, candidates: Sequence[Candidate], positions: float) -> Array:
        """Compute the false alarms, as copies, of candidates that lack nothing but noise and details."""
        white = self.noise.white / self.levels.variance_unit
        lacking = np.array([lacks_only_details(c, self.plan, white) for c in candidates], bool)
        if any(c.sign < 0 for c, there in zip(candidates, lacking.tolist(), strict=True) if there):
            lacking[:] = False  # what no copy does is no evidence of one
        tail = AnalyticTail(positions, max(self._pixels, 1.1))
        expected = tail.expect_scores(np.array([c.score for c in candidates]))
        return np.where(lacking, expected, np.inf)

    @property
    def _pixels(self) -> float:
        """Effective pixels of the template."""
        search = self.search
        weights = self.plan.template.weights[0]
        return search.cache.get("effective pixels", lambda: effective_pixels(search.template, weights))

    def may_be_copies(self, candidates: Sequence[Candidate], factor: int = 1) -> NDArray[np.bool_]:
        """Check by their score and variance at a level which candidates may leave no more than noise or rounding."""
        noise = Noise(self.noise.white / factor**2, rounding_of(self.search))
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

    def _fit(self, summary: ScoreSummary, factor: int) -> NullDistribution:
        level = self.plan.template.at(max(1, min(factor, min(self.plan.shape) // 2)))
        channels, weights = [*level.values], [*level.weights]
        cache = self.search.cache
        facts = TemplateFacts(
            lambda: cache.get(("effective pixels", factor), lambda: effective_pixels(channels, weights[0])),
            lambda: cache.get(("footprint", factor), lambda: Footprint(channels, weights)),
        )
        return fit_null(summary, facts)


def _with_known_copies(
    null: NullDistribution, copies: Array, excluded: NDArray[np.bool_]
) -> NullDistribution:
    """Fit a null distribution without some cells, and keep the false alarms of copies whatever is excluded later."""
    return replace(
        null.fit_without(excluded), copies=copies,
        fit_without=lambda others: _with_known_copies(null, copies, excluded | others),
    )  # fmt: skip
