"""Fit the null distribution of a score map, without copies and what they explain."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.quantiles import median, quantile
from tmatch._arrays.typing import Array
from tmatch._detection.false_alarms import CERTAIN, NullDistribution, Others
from tmatch._detection.null.certificate import Noise, certify, least_score, may_be_exact, may_leave_noise
from tmatch._detection.null.explained import STRONG, explained_by_stronger, footprints_of
from tmatch._detection.null.footprint import Footprint
from tmatch._detection.null.groups import LEAST_OTHERS, find_group, may_be_group, others_of_a_kind
from tmatch._detection.null.noise import NoiseLevels
from tmatch._detection.null.residual import Residuals, beyond_noise
from tmatch._detection.null.summary import ScoreSummary, columns_of, variance_in_ring, with_neighbours
from tmatch._detection.null.tails import (
    MAX_FITTED_SCORE,
    POWER,
    AnalyticTail,
    FittedTail,
    logs_of,
    weight_of,
)

_LOCAL = 0.5  # weight of the surroundings in the local variance of scores, beside that of the whole map
_RING = 4, 8  # cells: surroundings lie farther away than the first, and no farther than the second
_SMOOTH = 0.1  # median variance of scores with fewer than ten degrees of freedom: of slopes
_FOOTPRINT = 0.15, 1.5  # a cell is free if copies explain less there, or less than root mean squares
_LEAST_FREE = 0.01  # share of the positions that must be free of copies
_QUIET = 0.1  # share of the cells that are taken for free otherwise
LEAST_MEASURED = 0.02  # score
MEASURED = 1000  # of the highest peaks, and of the minima, are compared with the template
# Peaks that can only be copies are not fitted.
_MAX_COPY_FALSE_ALARMS = 1e-4
COPY_SCORE = 0.7  # minimum likeness of such peaks: half of what is seen beyond the noise is the template's
_FITTING_GROUP, FITTING = 0.85, 0.9  # likeness beyond white noise of copies, where others are certified
_MOST = 0.5  # share of a group
_MIN_GAP = 3.0  # minimum distance from all lower peaks, in scales of the tail
_EQUAL = 1.001  # in single precision it is not certain which of equal peaks is the highest
_MORE_PIXELS = 4.0  # times the template's own, that few places may show


@dataclass(frozen=True)
class TemplateFacts:
    """What the fit asks about a template; both are computed when they are needed."""

    pixels: Callable[[], float]  # effective ones
    footprint: Callable[[], Footprint]


@dataclass(frozen=True)
class ImageFacts:
    """What the fit asks about an image: its noise, the variance of windows, and what is left without the template.

    Windows that leave noise are copies if `certifies`. Where filtered arrays decide, it is the image as it is, `scores`
    computes its scores, and nothing is certified: filtered noise is not white.
    """

    noise: Callable[[], NoiseLevels]
    variances: Callable[[Array], Array]
    residuals: Callable[..., Residuals]
    patterns: Callable[[Array], Array]
    scores: Callable[[Array], Array] | None
    template_variance: Callable[[], float]
    pixels: float  # independent ones of a window of white noise
    least_score: Callable[[], float]  # of windows that are alike enough to be certified
    certifies: bool
    rounding: float  # variance of what rounding leaves of exact copies


def fit_null(
    cells: ScoreSummary,
    template: TemplateFacts,
    image: ImageFacts | None = None,
    excluded: NDArray[np.bool_] | None = None,
) -> NullDistribution:
    """Fit the null distribution to a score map summarised in cells.

    Peaks in `excluded` cells are not fitted: another template explains them.
    """
    return _Fit(cells, template, image, excluded).null()


class _Fit:
    """One fit; each step removes what does not belong to the null distribution."""

    def __init__(
        self,
        cells: ScoreSummary,
        template: TemplateFacts,
        image: ImageFacts | None,
        excluded: NDArray[np.bool_] | None,
    ) -> None:
        self.cells, self.template, self.image, self.excluded = cells, template, image, excluded
        self.heights = np.minimum(cells.extrema, MAX_FITTED_SCORE).astype(np.float64)
        shape = self.heights.shape[1:]
        self.copies, self.members = np.full(shape, np.inf), np.zeros(shape, bool)
        self.free = np.ones(shape, bool)
        self.in_ring = True
        self.variance = self.local_variance()
        middle = median(self.variance)
        self.smooth = middle > _SMOOTH
        self.in_ring = (image is None or image.certifies) and not self.smooth
        if not self.in_ring:
            self.variance = self.local_variance()
            middle = median(self.variance)
        self.root = math.sqrt(middle)
        self.likeness, self.sure_likeness = np.zeros(shape), np.zeros(shape)
        self.own_variance, self.noise_share = math.inf, np.zeros(shape)
        self.measured, self.windows = np.zeros(shape, bool), np.full(self.heights.shape, np.nan)
        self.all_tops = _local_maxima(self.heights)

    def null(self) -> NullDistribution:
        """Certify copies, find a group, and fit the tail to the rest."""
        if self.image is None:
            self.likeness = self.sure_likeness = self.heights[0]
        elif self.image.certifies:
            self.certify(self.image)
        certified = self.copies <= CERTAIN
        if certified.any():
            self.free = self.free_of(certified)
            self.variance = self.local_variance()
        self.tops = self.unexplained()
        if self.image is not None:
            self.measure(self.image)
        rest, minima = self.tops[0] & ~certified, self.tops[1]
        if (
            np.count_nonzero(minima) < LEAST_OTHERS // 2
            or np.count_nonzero(rest) + np.count_nonzero(minima) <= LEAST_OTHERS
        ):
            return self.analytic(certified)
        if not self.smooth:
            while self.find_group(rest & ~self.members, minima):
                pass
            rest &= ~self.members
        peaks, lows = self.evidence(0, rest), self.evidence(1, minima)
        if certified.any():  # others are copies only if they fit as well
            n_copies = _count_copies(peaks, np.where(self.sure_likeness[rest] >= FITTING, 1.0, 0.0), lows, 0)
        else:
            n_copies = _count_copies(peaks, self.likeness[rest], lows, 1)
        both = np.concatenate([peaks[~self.best_of(peaks, rest, n_copies)], lows])
        if len(both) < LEAST_OTHERS:
            return self.analytic(certified)
        squares, count = self.cells.totals
        effective = max(count, 1) / max(squares, 1e-9 * max(count, 1))
        return self.distribution(effective, len(both), self.variance, FittedTail.of(both))

    def distribution(
        self, effective: float, n_fitted: int, variance: Array, tail: FittedTail | AnalyticTail
    ) -> NullDistribution:
        """Return the distribution with what else was found."""
        return NullDistribution(
            effective, n_fitted, self.cells, variance, tail, self.copies, self.members, self.others,
            self.template.footprint, partial(fit_null, self.cells, self.template, self.image),
        )  # fmt: skip

    def local_variance(self) -> Array:
        """Estimate the local variance of scores from the cells that are free of copies."""
        if self.in_ring:
            return variance_in_ring(self.cells.sums, self.free, *_RING, _LOCAL)
        return _variance_nearby(self.cells, self.free)

    def evidence(self, sign: int, which: NDArray[np.bool_]) -> Array:
        """Compute the evidence of some peaks, or of minima, among the scores around them."""
        return logs_of(self.heights[sign][which]) * weight_of(self.variance[which])

    def unexplained(self) -> NDArray[np.bool_]:
        """Mark the extrema that no stronger one explains, and no other template."""
        tops = self.all_tops & self.free
        if float(self.heights.max()) >= STRONG * self.root:
            footprints = self.template.footprint().in_cells(self.cells.size)
            tops &= ~explained_by_stronger(
                self.heights, self.all_tops, self.root, footprints, self.copies <= CERTAIN
            )
        if self.excluded is not None:
            tops[0] &= ~self.excluded
        return tops

    def others(self, least: float = -math.inf) -> Others:
        """Return the peaks that nothing explains and that were compared with the template, from a likeness on."""
        marked = np.zeros(self.heights.shape, bool)
        marked[0] = self.tops[0] & self.measured & (self.sure_likeness >= least)
        scores = self.cells.high[marked[0]].astype(np.float64)
        return Others(self.cells.positions(marked), scores, self.sure_likeness[marked[0]])

    def certify(self, image: ImageFacts) -> None:
        """Certify copies among the highest peaks."""
        positions = max(self.cells.totals[1], 1.0)
        least = max(least_score(positions, image.pixels), image.least_score())
        noise = Noise(image.noise().white, image.rounding)

        def compare(
            tops: NDArray[np.bool_], sign: int, noise: Noise
        ) -> tuple[NDArray[np.bool_], Residuals, Noise]:
            marked = self.highest(tops, sign, least)
            scores = self.cells.extrema[marked].astype(np.float64)
            variances = self.window_variances(image, marked)
            exact = may_be_exact(scores, variances, noise.rounding) & (sign == 0)
            if exact.any():
                noise = replace(noise, template=image.template_variance())
            marked[marked] = exact | may_leave_noise(scores, variances, noise)
            return marked[sign], image.residuals(self.cells.positions(marked)), noise

        peaks, left, noise = compare(self.all_tops, 0, noise)
        self.own_variance = noise.template
        self.copies[peaks] = certify(
            left, lambda: compare(self.unexplained(), 1, noise)[1], positions=positions, pixels=self.template.pixels(),
            noise=noise,
        )  # fmt: skip

    def window_variances(self, image: ImageFacts, marked: NDArray[np.bool_]) -> Array:
        """Return the variance of the windows of some extrema; each is computed once."""
        new = marked & np.isnan(self.windows)
        self.windows[new] = image.variances(self.cells.positions(new))
        return np.asarray(self.windows[marked])

    def measure(self, image: ImageFacts) -> None:
        """Compute the likeness of the highest peaks beyond the noise."""
        marked = self.highest(self.tops, 0)
        peaks = marked[0]
        variance, noise = self.window_variances(image, marked), image.noise()
        scores = self.cells.high[peaks].astype(np.float64)
        if image.scores is not None:
            scores = image.scores(self.cells.positions(marked))
        self.likeness[peaks] = beyond_noise(scores, variance, noise.any, self.own_variance)
        self.sure_likeness[peaks] = beyond_noise(scores, variance, noise.white, self.own_variance)
        self.noise_share[peaks] = noise.any / np.maximum(variance, max(noise.any, 1e-300))
        self.measured |= peaks

    def highest(self, tops: NDArray[np.bool_], sign: int, least: float = LEAST_MEASURED) -> NDArray[np.bool_]:
        """Mark the highest peaks, or the lowest minima."""
        marked = np.zeros(self.heights.shape, bool)
        chosen = tops[sign] & (self.heights[sign] >= least)
        values = self.heights[sign][chosen]
        if len(values) > MEASURED:
            chosen &= self.heights[sign] >= np.partition(values, -MEASURED)[-MEASURED]
        marked[sign] = chosen
        return marked

    def free_of(self, copies: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the cells that copies do not explain; the quietest ones if these are hardly any."""
        footprints = self.template.footprint().in_cells(self.cells.size)
        expected = footprints_of(columns_of(np.flatnonzero(copies), copies.shape), self.heights, footprints)
        free = expected < max(_FOOTPRINT[0], _FOOTPRINT[1] * self.root)
        squares, count = self.cells.sums
        if float(count[free].sum()) >= _LEAST_FREE * self.cells.totals[1]:
            return np.asarray(free)
        mean = squares / np.maximum(count, 1)
        return np.asarray(mean <= quantile(mean[count > 0], _QUIET))

    def find_group(self, rest: NDArray[np.bool_], minima: NDArray[np.bool_]) -> bool:
        """Find a group of copies that leave structure, beside those found before; return whether there is one."""
        likeness = self.likeness[rest]
        if not may_be_group(likeness):
            return False
        squares, count = (self.cells.sums * self.free).reshape(2, -1).sum(axis=1)
        flat = weight_of(squares / max(count, 1))
        measures = [
            (self.evidence(0, rest), self.evidence(1, minima)),
            (logs_of(self.heights[0][rest]) * flat, logs_of(self.heights[1][minima]) * flat),
        ]
        group = find_group(measures, likeness, self.sure_likeness[rest], self.noise_share[rest])
        if group is None:
            return False
        marked = np.zeros(self.heights.shape, bool)
        marked[(0, *np.argwhere(rest)[group.members].T)] = True
        certified = np.count_nonzero(self.copies <= CERTAIN)
        marked[0] &= ~self.of_another_kind(marked)
        if not marked.any():
            return False
        if certified and self.image is not None:
            fitting = self.image.residuals(self.cells.positions(marked), slopes=True).level
            if certified == 1:  # the template may have been cut out there
                fitting |= self.sure_likeness[marked[0]] >= _FITTING_GROUP
            if fitting.mean() < _MOST:
                return False  # look-alikes of the copies
        self.members |= marked[0]
        self.members |= self.as_good_as(self.members)
        self.copies[self.members] = np.minimum(self.copies[self.members], group.chance)
        return True

    def of_another_kind(self, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the cells of some peaks that are copies of something else."""
        others = marked[0] | self.members
        if self.image is None or not (self.image.certifies or self.image.scores):
            others[:] = False
        else:
            together = np.stack([others, np.zeros_like(others)])
            left = self.image.patterns(self.cells.positions(together))
            others[others] = others_of_a_kind(left, self.likeness[others])
        return np.asarray(others & marked[0])

    def best_of(self, peaks: Array, rest: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
        """Choose the best of some peaks by evidence, but those of another kind."""
        chosen = np.zeros(len(peaks), bool)
        chosen[np.argsort(-peaks, kind="stable")[:count]] = True
        if count > 1:
            marked = np.zeros(self.heights.shape, bool)
            marked[0][rest] = chosen
            chosen &= ~self.of_another_kind(marked)[rest]
        return chosen

    def as_good_as(self, members: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mark the peaks beside members of a group that are as good as they are: their footprint does not matter."""
        beside = self.all_tops[0] & self.free & ~self.tops[0]
        if self.excluded is not None:
            beside &= ~self.excluded
        beside &= self.heights[0] >= self.heights[0][members].min()
        beside[beside] = self.evidence(0, beside) >= self.evidence(0, members).min()
        return np.asarray(beside)

    def analytic(self, certified: NDArray[np.bool_]) -> NullDistribution:
        """Return the null distribution of white noise, where there is too little to fit."""
        high, (squares, count) = self.cells.high, self.cells.sums
        free = self.free
        if not certified.any():
            best = (_EQUAL * high >= high.max()) | (self.tops[0] & (self.likeness >= COPY_SCORE))
            there = self.free_of(best & (high > 0)) if high.any() else free
            free = there if (count * there).sum() >= _LEAST_FREE * count.sum() else free
        variance = float((squares * free).sum() / max((count * free).sum(), 1))
        n_free = int(np.count_nonzero(free & (count > 0)))
        own = self.template.pixels()
        measured = max(1 - 2 / math.sqrt(max(n_free, 1)), 0) / max(variance, 1e-9)
        effective = max(min(1 / max(variance, 1e-9), max(own, min(measured, _MORE_PIXELS * own))), 1.1)
        tail = AnalyticTail(max(float(count.sum()), 1.0), effective)
        return self.distribution(effective, 0, np.full(high.shape, 0.5), tail)


def _variance_nearby(cells: ScoreSummary, free: NDArray[np.bool_]) -> Array:
    """Average the squared scores of each cell and its neighbours, and of the whole map."""
    sums = cells.sums * free
    squares, count = sums.reshape(2, -1).sum(axis=1).tolist()
    everywhere = squares / max(count, 1)
    near_squares, near_count = with_neighbours(sums, largest=False)
    near = np.divide(
        near_squares, near_count, out=np.full(near_count.shape, everywhere), where=near_count > 0
    )
    return np.asarray(_LOCAL * near + (1 - _LOCAL) * everywhere)


def _count_copies(peaks: Array, likeness: Array, minima: Array, at_least: int) -> int:
    """Count the best peaks, by evidence, that are not to be fitted, as they can only be copies."""
    if np.count_nonzero(likeness >= COPY_SCORE) <= at_least or len(minima) < 2:
        return at_least
    order = np.argsort(-peaks, kind="stable")
    tail, powers = FittedTail.of(minima), peaks[order] ** POWER
    expected = 2 * tail.expect(
        peaks[order]
    )  # half of what a tail is fitted to are peaks, but here all are minima
    copies = (expected < _MAX_COPY_FALSE_ALARMS) & (likeness[order] >= COPY_SCORE)
    apart = powers - np.append(powers[1:], 0) > _MIN_GAP * tail.scale
    last = np.flatnonzero(np.logical_and.accumulate(copies) & apart)
    return int(last[-1]) + 1 if len(last) else at_least


def _local_maxima(heights: Array) -> NDArray[np.bool_]:
    """Find the cells that are no lower than their neighbours, among peaks and among minima."""
    return np.asarray((heights > 0) & (_EQUAL * heights >= with_neighbours(heights, largest=True)))
