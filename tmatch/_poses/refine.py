"""Refine poses from a coarse level down to the image: place, angle, scale, gain and offset by least squares."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array
from tmatch._engine import least_squares, select, threads
from tmatch._engine.posed import FitTemplate, FitWindows
from tmatch._engine.progress import Resources
from tmatch._engine.tiling import Tiling
from tmatch._poses.levels import ImageLevels
from tmatch._poses.options import wrapped
from tmatch._poses.plan import Plan
from tmatch._results.poses import Pose, PoseErrors

_TRUST = 1.5  # pixels of a level that a corner moves at most in one step
_COARSE_TOLERANCE, _TOLERANCE = 0.05, 1e-3  # pixels: smaller steps are the last ones
_PASSES = 12
_FAST_PIXELS = 10_000  # of a large template that are compared before all are
_MARGIN = 3  # pixels around a window, for it to move
_SAME_PLACE = 1.5  # pixels of a level: candidates that are nearer, and lie alike, are the same
_SAME_TURN = 0.75  # steps of the angle, and of the scale
_FLOOR = 0.0075  # pixels: standard error of the interpolation, at least
_ALIKE = (
    5.0  # times the variance by interpolation, where all pixels along an edge err alike. Measured, roughly
)
_BESIDE = 0.1  # pixels: where those of template and image lie nearer to each other, interpolation errs less
_CLUSTERED_PIXELS = 40_000  # of a large window whose blocks are summed
_CLUSTER = 5  # pixels: side of the blocks within which residuals may depend on each other
_MOST_ERROR = 0.25  # of the short side, radians, or of the scale: parameters less exact are not told
_PASS_COST, _NUMPY_COST = 40.0, 5000.0  # of a pixel, in passes: of one pass compiled, of a whole fit by NumPy
_LEAST_STRENGTHS = (1e-3, 1e-3, 0.1, 0.01)  # of derivatives, as shares of the strongest of the place
_PART, _PARTS = 16, 4  # candidates that one thread fits at a time, at most; parts, at least


class Fit(NamedTuple):
    """One of `FitResults`."""

    pose: Array
    score: float
    sums: Array
    products: Array
    passes: int

    @property
    def weight(self) -> float:
        """The weight of the pixels compared."""
        return float(self.sums[:, 0].sum())


@dataclass(frozen=True)
class Candidate:
    """A pose that may be a match: the middle of the template in the image, and its score at the level it was fitted.

    `peak` is the position on the coarse map that it comes from. With the sign -1 it is a minimum: the negated image is
    compared. `decision_score` is the score at the level that decides on false alarms.
    """

    center: tuple[float, float]
    pose: Pose
    score: float
    peak: tuple[int, int]
    sign: int = 1
    decision_score: float = 0.0
    fit: Fit | None = None
    errors: PoseErrors | None = None

    def is_exact(self, shape: tuple[int, ...]) -> bool:
        """Whether a template of a shape lies pixel on pixel: at a right angle, in its own size."""
        return self.aside(shape) == 0

    def aside(self, shape: tuple[int, ...]) -> float:
        """Return by how much pixels of a template of a shape lie beside those of the image; infinite if turned."""
        if self.pose.angle % 90 or self.pose.scale != 1:
            return math.inf
        sides = shape if self.pose.angle % 180 == 0 else shape[::-1]
        starts = (c - (n - 1) / 2 for c, n in zip(self.center, sides, strict=True))
        return max(abs(start - round(start)) for start in starts)

    @property
    def image_variance(self) -> float:
        """The variance of the image where the template lies, in units of its level."""
        if self.fit is None or not self.fit.weight > 0:
            return 0.0
        products = self.fit.products
        return float(products[least_squares.IMAGE, least_squares.IMAGE] / self.fit.weight)

    def distance(self, other: "Candidate") -> float:
        """Compute the distance of the middles."""
        return math.hypot(self.center[0] - other.center[0], self.center[1] - other.center[1])


class Refiner:
    """Fits the poses of one template in one image, level by level."""

    def __init__(self, levels: ImageLevels, plan: Plan, resources: Resources) -> None:
        self.levels, self.plan, self._resources = levels, plan, resources
        options = plan.options
        self.free = np.array(
            [True, True, options.angles.is_range and plan.has_angle, options.scales.is_range]
        )

    def refine(
        self,
        candidates: Sequence[Candidate],
        factors: Sequence[int],
        keep: Callable[[Sequence[Candidate], int], Array] | None = None,
    ) -> list[Candidate]:
        """Fit candidates at each of some levels; those that meet are merged, and those that `keep` does not mark go."""
        left = list(candidates)
        for factor in factors:
            left = self._merged(self._fit_at(left, factor), factor)
            if keep is not None and left:
                left = [c for c, kept in zip(left, keep(left, factor).tolist(), strict=True) if kept]
        return left

    def with_errors(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Add the standard errors of the poses of candidates that were fitted in the image itself."""
        return self._in_parts(candidates, lambda part: [replace(c, errors=self._errors(c)) for c in part])

    def _in_parts(
        self, candidates: Sequence[Candidate], function: Callable[[Sequence[Candidate]], list[Candidate]]
    ) -> list[Candidate]:
        """Call a function for parts of the candidates, on several threads if that is faster."""
        done = list(candidates)

        def work(block: tuple[slice, ...]) -> None:
            done[block[0]] = function(candidates[block[0]])

        if candidates:
            cost = _PASS_COST * _PASSES * min(math.prod(self.plan.shape), _FAST_PIXELS)
            part = max(1, min(_PART, len(candidates) // _PARTS))
            tiling = Tiling((len(candidates),), (1,), (part,))
            self._resources.progress.expect(tiling.count)
            threads.run(threads.Job(work, tiling, cost), resources=self._resources)
        return done

    def _merged(self, candidates: Sequence[Candidate], factor: int) -> list[Candidate]:
        """Keep the best of candidates that meet."""
        size = _SAME_PLACE * factor
        kept: list[Candidate] = []
        cells: dict[tuple[int, int], list[Candidate]] = {}
        for candidate in sorted(candidates, key=lambda c: (-c.score, c.center)):
            pose, step = candidate.pose, _SAME_TURN * self.plan.angle_step(factor, candidate.pose.scale)
            row, column = (int(c // size) for c in candidate.center)
            near = (
                other
                for y in range(row - 1, row + 2)
                for x in range(column - 1, column + 2)
                for other in cells.get((y, x), ())
            )
            if not any(
                candidate.distance(other) <= size
                and (candidate.sign, pose.flip) == (other.sign, other.pose.flip)
                and abs(wrapped(pose.angle - other.pose.angle)) <= step
                and abs(math.log(pose.scale / other.pose.scale)) <= math.radians(step)
                for other in near
            ):
                kept.append(candidate)
                cells.setdefault((row, column), []).append(candidate)
        return kept

    def _fit_at(self, candidates: Sequence[Candidate], factor: int) -> list[Candidate]:
        """Fit candidates at a level of the image."""
        groups: dict[tuple[int, bool, int], list[int]] = {}
        for i, candidate in enumerate(candidates):
            pose = candidate.pose
            pixels = math.prod(self.plan.shape) * pose.scale**2 / factor**2
            stride = max(1, int(math.sqrt(pixels / _FAST_PIXELS)))
            groups.setdefault((self.plan.template_factor(pose.scale, factor), pose.flip, stride), []).append(
                i
            )
        done = list(candidates)
        for key, members in groups.items():
            fit = functools.partial(self._fit_alike, factor, key)
            for i, fitted in zip(members, self._in_parts([candidates[i] for i in members], fit), strict=True):
                done[i] = fitted
        return done

    def _fit_alike(
        self, factor: int, key: tuple[int, bool, int], candidates: Sequence[Candidate]
    ) -> list[Candidate]:
        """Fit candidates with one level of the template; a large one first on some of its pixels."""
        template_factor, flip, stride = key
        template = self.plan.template.at(template_factor).for_fit(flip=flip)
        ratio = template_factor / factor
        tolerance = _TOLERANCE if factor == 1 else _COARSE_TOLERANCE
        if stride == 1:
            return self._fit(candidates, factor, template, ratio, (tolerance, _TRUST, _PASSES, 1))
        fast = self._fit(candidates, factor, template, ratio, (_COARSE_TOLERANCE, _TRUST, _PASSES, stride))
        if factor > 1:
            return fast
        return self._fit(fast, factor, template, ratio, (tolerance, _TRUST, 2, 1))

    def _fit(
        self, candidates: Sequence[Candidate], factor: int, template: FitTemplate, ratio: float,
        options: tuple[float, ...],
    ) -> list[Candidate]:  # fmt: skip
        """Fit candidates from where they are."""
        starts, origins, cut, masks = [], [], [], []
        for c in candidates:
            origin, pixels, valid = self._window(c, factor)
            y, x = ((p - (factor - 1) / 2) / factor - o for p, o in zip(c.center, origin, strict=True))
            starts.append((y, x, math.radians(c.pose.angle), math.log(c.pose.scale * ratio)))
            origins.append(origin)
            cut.append(pixels if c.sign > 0 else -pixels)
            masks.append(valid)
        windows = FitWindows(
            np.concatenate([w.ravel() for w in cut]), _joined(masks, cut), np.array([w.shape for w in cut])
        )
        engine = select.choose(_NUMPY_COST * windows.pixels.size)
        found = engine.fit_poses(
            windows, template, np.array(starts), self.free, (*map(float, options), float(self.plan.joint))
        )
        return [
            self._moved(c, origin, factor, ratio, Fit(*(values[i] for values in found)))
            for i, (c, origin) in enumerate(zip(candidates, origins, strict=True))
        ]

    def _moved(
        self, candidate: Candidate, origin: tuple[int, int], factor: int, ratio: float, fit: Fit
    ) -> Candidate:
        """Return a candidate where it was fitted."""
        y, x, angle, log_scale = fit.pose.tolist()
        center = ((y + origin[0]) * factor + (factor - 1) / 2, (x + origin[1]) * factor + (factor - 1) / 2)
        angle = wrapped(math.degrees(angle)) if self.free[2] else candidate.pose.angle
        scale = math.exp(log_scale) / ratio if self.free[3] else candidate.pose.scale
        pose = Pose(angle, scale, candidate.pose.flip)
        score = float(fit.score)
        decided = candidate.decision_score if factor < self.plan.decision_factor else score
        return Candidate(center, pose, score, candidate.peak, candidate.sign, decided, fit)

    def _window(self, candidate: Candidate, factor: int) -> tuple[tuple[int, int], Array, Array]:
        """Cut out the window around a candidate, with a margin; return where it begins, too."""
        reach = [r / factor + _MARGIN for r in self.plan.reach(candidate.pose)]
        middle = [(c - (factor - 1) / 2) / factor for c in candidate.center]
        sides = [-(-n // factor) for n in self.levels.shape]
        first = [min(max(math.floor(c - r), 0), n - 1) for c, r, n in zip(middle, reach, sides, strict=True)]
        last = [
            min(max(math.ceil(c + r) + 1, f + 1), n)
            for c, r, n, f in zip(middle, reach, sides, first, strict=True)
        ]
        shape = last[0] - first[0], last[1] - first[1]
        pixels, valid = self.levels.window(factor, first[0], first[1], shape)
        return (first[0], first[1]), pixels, valid

    def _errors(self, candidate: Candidate) -> PoseErrors:
        """Compute standard errors: the larger ones of independent residuals and of residuals in blocks."""
        fit = candidate.fit
        if fit is None:
            return PoseErrors()
        scale, side = candidate.pose.scale, min(self.plan.shape) * candidate.pose.scale
        errors = np.sqrt(self._variances(candidate, fit)).tolist()
        center = (errors[0], errors[1]) if max(errors[:2]) <= _MOST_ERROR * side else None
        angle = math.degrees(errors[2]) if self.free[2] and errors[2] <= _MOST_ERROR else None
        of_scale = errors[3] * scale if self.free[3] and errors[3] <= _MOST_ERROR else None
        return PoseErrors(center, angle, of_scale)

    def _radius(self, candidate: Candidate) -> float:
        """Return the root mean square distance of the template's pixels from its middle, in the image."""
        return math.hypot(*self.plan.shape) / math.sqrt(12) * candidate.pose.scale

    def _variances(self, candidate: Candidate, fit: Fit) -> NDArray[np.float64]:
        """Compute the variances of row, column, angle and logarithm of the scale."""
        products, free = fit.products, self.free
        energy, shared = (
            products[least_squares.TEMPLATE, least_squares.TEMPLATE],
            products[least_squares.TEMPLATE, least_squares.IMAGE],
        )
        result = np.where(free, np.inf, 0.0)
        if not energy > 0 or shared == 0:
            return result
        gain = shared / energy
        beside = products[:4, least_squares.TEMPLATE]
        normal = gain * gain * (products[:4, :4] - np.outer(beside, beside) / energy)
        # Weak derivatives tell nothing: along stripes, around a disc.
        radius = self._radius(candidate)
        strengths = np.diag(normal) / np.array([1.0, 1.0, radius**2, radius**2])
        used = np.flatnonzero(free & (strengths > np.array(_LEAST_STRENGTHS) * strengths[:2].max()))
        inverse = np.linalg.pinv(normal[np.ix_(used, used)], rcond=1e-10, hermitian=True)
        left = products[least_squares.IMAGE, least_squares.IMAGE] - gain * shared
        n_parameters = len(used) + 1 + len(self.levels.channels)
        classic = np.diag(inverse) * max(left, 0.0) / max(fit.weight - n_parameters, 1.0)
        spread = self._clusters(candidate, fit, gain)[np.ix_(used, used)]
        clustered = np.diag(inverse @ spread @ inverse)
        floors = _FLOOR / np.array([1.0, 1.0, radius, radius])[used]
        left = self._interpolated(candidate) * gain * shared / max(fit.weight, 1.0)
        result[used] = np.maximum(classic, clustered) + np.maximum(np.diag(inverse) * left, floors**2)
        return np.asarray(result)

    def _interpolated(self, candidate: Candidate) -> float:
        """Estimate by what share of the variance the interpolated template differs from what is in the image.

        It counts more often where edges lie along rows and columns, as all their pixels err alike; turned edges meet
        the pixels of the image in all ways. Where pixels lie on pixels, nothing is interpolated.
        """
        pose = candidate.pose
        turn = math.radians(abs(wrapped(4 * pose.angle)) / 4)  # from the nearest right angle
        crossed = min(self.plan.shape) * pose.scale * math.sin(turn)  # pixels, from end to end of an edge
        times = 1 + (_ALIKE - 1) / max(crossed, 1.0)
        beside = min(candidate.aside(self.plan.shape) / _BESIDE, 1.0) ** 2
        return self.plan.unknown_share * times * beside

    def _clusters(self, candidate: Candidate, fit: Fit, gain: float) -> Array:
        """Sum the products of derivatives times residuals, which may depend on each other within a block."""
        origin, pixels, valid = self._window(candidate, 1)
        template = self.plan.template.at(self.plan.template_factor(candidate.pose.scale, 1)).for_fit(
            flip=candidate.pose.flip
        )
        pose = np.array([*(c - o for c, o in zip(candidate.center, origin, strict=True)), *fit.pose[2:]])
        # The means of image and template, in each channel or all.
        sums = fit.sums if not self.plan.joint else np.broadcast_to(fit.sums.sum(axis=0), fit.sums.shape)
        offsets = (
            sums[:, 1 + least_squares.IMAGE] - gain * sums[:, 1 + least_squares.TEMPLATE]
        ) / np.maximum(sums[:, 0], 1e-300)
        engine = select.choose(_PASS_COST * pixels.size)
        every = max(1, pixels.size // _CLUSTERED_PIXELS)
        return engine.cluster_products(pixels, valid, template, pose, gain, offsets, _CLUSTER, every)


def _joined(masks: Sequence[Array], windows: Sequence[Array]) -> Array:
    """Join masks of windows, which are empty where all pixels count; empty if that is so for all."""
    if not any(mask.size for mask in masks):
        return np.zeros(0, bool)
    whole = [
        mask if mask.size else np.ones(w.shape[1:], bool) for mask, w in zip(masks, windows, strict=True)
    ]
    return np.concatenate([mask.ravel() for mask in whole])
