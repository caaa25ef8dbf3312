"""Plan a search over poses: how coarse it begins, in which poses, and the copies of the template in them."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Shape
from tmatch._engine import select
from tmatch._poses.levels import FACTORS, TemplateLevels, steps_down
from tmatch._poses.options import PoseOptions, Values, wrapped
from tmatch._results.poses import Pose
from tmatch._scoring.search import Search

_CERTIFIED_FACTOR = 2  # of the level at which positions are ruled out
_LEAST_SIDE = 12  # pixels of the template at a coarse level
_LEAST_ENERGY = 0.5  # share that block means keep
_LEAST_BESIDE = math.cos(math.radians(62))  # correlation of a copy with those half a cell of poses away
_DECISION_PIXELS = 1000  # of the template at the level that decides
_DETAIL_PIXELS = 40_000  # of the template whose residuals are looked at
_LEAST_SHIFTED = 12  # pixels of a template whose loss by interpolation is estimated
_MOST_LOST = 0.2  # share of the variance that interpolation may lose
_COARSER = 1.1  # factor by which pixels of a template may be coarser than those of the image
_LEAST_FITTED = 4  # pixels of a level of the template that is fitted
_ROUND = 1.5  # ratio of the sides up to which the inscribed disc is compared
_POINTS = 4  # points along a pixel of a copy, of a level of the template that is as many times finer
_SLACK = 1.0  # coarse pixels by which an outline may reach beyond the image
_TURNED_SIDE = 32  # pixels of the template that is compared with itself, turned
_SAME = 0.95  # correlation of a template with all its turned copies that has no angle
_SAME_POSE = 1e-6  # difference of angles in degrees, or of scales as a share, that is rounding
ALIKE = 0.8  # correlation of a template with itself in another pose that is tried, too


@dataclass(frozen=True)
class Copies:
    """The template in many poses, on squares of ``side`` pixels: kernels and masks, channels first.

    Kernels have no mean and unit length on their masks. `which` is for each pose the number of its mask.
    """

    kernels: NDArray[np.float32]
    masks: NDArray[np.float32]
    which: NDArray[np.intp]


class Plan:
    """How one template is searched in many poses."""

    def __init__(self, search: Search, options: PoseOptions) -> None:
        self.options = options
        self.template = TemplateLevels(search)
        self.joint = search.joint
        self.shape = search.window
        self.has_own_masks = not self.template.even or max(self.shape) > _ROUND * min(self.shape)
        if options.search == "certified" and self.has_own_masks:
            msg = (
                '`search` is "certified", which compares inscribed discs; use a template without a mask, less than 1.5 '
                'times as long as wide, or "exhaustive"'
            )
            raise ValueError(msg)
        fixed = {"exhaustive": 1, "certified": _CERTIFIED_FACTOR}
        self.factor = fixed.get(options.search) or self._choose_factor()
        self.poses = self.poses_at(self.factor)

    @property
    def decision_factor(self) -> int:
        """The level whose scores decide: the finest at which the template still has few pixels."""
        pixels = math.prod(self.shape) * self.options.scales.low * self.options.scales.high
        return next(
            (f for f in reversed(steps_down(self.factor)) if pixels / f**2 <= _DECISION_PIXELS), self.factor
        )

    @property
    def detail_factor(self) -> int:
        """The level at which what is left of the image without the template is looked at."""
        return next(f for f in FACTORS if math.prod(self.shape) / f**2 <= _DETAIL_PIXELS or f == FACTORS[-1])

    @property
    def side(self) -> int:
        """Side of the squares that hold the copies."""
        return self._side(self.factor)

    def _side(self, factor: int) -> int:
        return math.ceil(math.hypot(*self.shape) * self.options.scales.high / factor) | 1

    def poses_at(self, factor: int) -> list[Pose]:
        """List the poses that are searched at a level: no pixel moves by more than one from one to the next."""
        poses = []
        for scale in _spread(self.options.scales, self._scale_steps(factor)):
            for angle in self._angles(factor, scale):
                poses += [Pose(angle, scale, flip) for flip in self.options.flips]
        return poses

    def _scale_steps(self, factor: int) -> float:
        scales = self.options.scales
        return math.log(scales.high / scales.low) * self._radius * scales.high / factor

    def _angles(self, factor: int, scale: float) -> list[float]:
        angles = self.options.angles
        step = self.angle_step(factor, scale)
        if self.options.full_circle:
            count = 4 * math.ceil(90 / step)  # right angles are among them
            return [360 * i / count for i in range(count)]
        return _spread(angles, (angles.high - angles.low) / step, even=True)

    def angle_step(self, factor: int, scale: float) -> float:
        """Compute the angle, in degrees, that moves the farthest pixel that is compared by a pixel of a level."""
        return math.degrees(2 * math.asin(min(factor / (2 * scale * self._radius), 1.0)))

    @property
    def _radius(self) -> float:
        """Distance of the farthest pixel that is compared, from the middle: of a corner, or on the inscribed disc."""
        return (math.hypot(*self.shape) if self.has_own_masks else min(self.shape)) / 2

    def _choose_factor(self) -> int:
        """Choose the coarsest level at which the template is still told from others."""
        smallest = self.options.scales.low
        factors = [f for f in FACTORS if f > 1 and min(self.shape) * smallest / f >= _LEAST_SIDE]
        for factor in reversed(factors):
            if self.energy(factor) >= _LEAST_ENERGY and self._least_alike(factor) >= _LEAST_BESIDE:
                return factor
        return 1

    @property
    def _middle_scale(self) -> float:
        return math.sqrt(self.options.scales.low * self.options.scales.high)

    def energy(self, factor: int) -> float:
        """Compute the share of the template's energy that a level keeps."""
        smaller = max(1, round(factor / self._middle_scale))
        return self.template.energy(smaller) if min(self.shape) >= smaller else 0.0

    @property
    def limit(self) -> Literal["size", "detail"] | None:
        """Why the search does not begin at a coarser level, if it begins in the image itself and need not."""
        if self.factor > 1 or self.options.search == "exhaustive":
            return None
        return "size" if min(self.shape) * self.options.scales.low / FACTORS[1] < _LEAST_SIDE else "detail"

    def _least_alike(self, factor: int) -> float:
        """Compute the least correlation of a copy with those half a cell away: half a pixel, and half a step."""
        scale = self._middle_scale
        half = self.half_steps(scale, factor)[0]
        return min(
            self.likeness(Pose(0.0, scale), Pose(angle, scale), (0.5, dx), factor)
            for angle in (half, -half)
            for dx in (0.5, -0.5)
        )

    def half_steps(self, scale: float, factor: int) -> tuple[float, float]:
        """Return half a step of the angle, in degrees, and of the logarithm of the scale; 0 where these are fixed."""
        half = self.angle_step(factor, scale) / 2
        return half * self.options.angles.is_range, math.radians(half) * self.options.scales.is_range

    def likeness(self, pose: Pose, other: Pose, shift: tuple[float, float], factor: int) -> float:
        """Correlate a copy with one in another pose that is moved by some pixels of a level, where both are."""
        side = self._side(factor) + 2
        first, weights = self._copy(pose, factor, side)
        second, moved_weights = self._copy(other, factor, side, shift)
        shared = self._counted(weights, factor, pose.scale, side) * (moved_weights > 0)
        both = (_normalised(copy, shared, joint=self.joint) for copy in (first, second))
        return float(np.multiply(*both).sum())

    def kept_energy(self, scale: float) -> float:
        """Compute the share of the energy on the inscribed disc that a level keeps of a copy."""
        factor, side = self.factor, self.side
        disc = self._disc(factor, scale, side)
        fine, _ = self._copy(Pose(0.0, scale), 1, side * factor)
        blocks = fine.reshape(len(fine), side, factor, side, factor)
        means = blocks.mean(axis=(2, 4))
        axes = (0, 1, 2) if self.joint else (1, 2)
        middle = (means * disc).sum(axis=axes, keepdims=True) / disc.sum(axis=axes, keepdims=True)
        kept = float((disc * (means - middle) ** 2).sum())
        return kept / max(kept + float((disc * blocks.var(axis=(2, 4))).sum()), 1e-300)

    def copies_of(self, numbers: range) -> Copies:
        """Draw the template in some of the poses of the coarse level."""
        kernels: list[Array] = []
        masks: list[Array] = []
        which: list[int] = []
        known: dict[tuple[float, ...], int] = {}
        for pose in self.poses[numbers.start : numbers.stop]:
            values, weights = self._copy(pose, self.factor, self.side)
            key = self._mask_of(pose)
            if key not in known:
                known[key] = len(masks)
                masks.append(self._counted(weights, self.factor, pose.scale, self.side))
            which.append(known[key])
            kernels.append(_normalised(values, masks[which[-1]], joint=self.joint, weighted=True))
        return Copies(
            np.asarray(kernels, np.float32), np.asarray(masks, np.float32), np.asarray(which, np.intp)
        )  # fmt: skip

    def _mask_of(self, pose: Pose) -> tuple[float, ...]:
        """Return what poses with the same mask have in common."""
        if not self.has_own_masks:
            return (pose.scale,)
        if self.template.even:  # a rectangle is the same after half a turn
            return pose.scale, round(pose.angle % 180, 9)
        return pose.scale, pose.angle, pose.flip

    def _counted(self, weights: Array, factor: int, scale: float, side: int) -> Array:
        """Restrict weights to the inscribed disc, of templates that are about as wide as high."""
        if self.has_own_masks:
            return weights
        return self._disc(factor, scale, side)

    def _copy(
        self, pose: Pose, factor: int, side: int, shift: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[Array, Array]:
        """Draw the template in a pose at a level, moved by some pixels: values and weights, channels first."""
        finer = max(1, int(factor / pose.scale / _POINTS))
        level = self.template.at(finer)
        inverse = pose.inverse * (factor / finer)
        y, x = np.asarray(level.centre) - inverse @ shift
        points = max(2, math.ceil(factor / pose.scale / finer))
        draw = select.choose(60.0 * (side * points) ** 2).turned
        if self.template.even or (level.weights == level.weights[:1]).all():
            drawn = draw(level.values, level.weights[0], inverse, (y, x), side, points)
            return drawn[:-1], np.broadcast_to(drawn[-1], drawn[:-1].shape)
        each = [
            draw(level.values[c : c + 1], level.weights[c], inverse, (y, x), side, points)
            for c in range(len(level.values))
        ]
        return np.stack([d[0] for d in each]), np.stack([d[1] for d in each])

    def coarse_score(self, score: float) -> float:
        """Compute the score at the coarse level that a match of some score may have in the nearest pose searched.

        Copies half a cell of poses away are alike by an angle; on average half of it is lost. Measured.
        """
        return math.cos(min(math.acos(min(max(score, -1.0), 1.0)) + self._lost_angle, math.pi / 2))

    @cached_property
    def _lost_angle(self) -> float:
        """Half the angle between copies half a cell of poses apart."""
        return math.acos(max(self._least_alike(self.factor), 0.0)) / 2

    def allows(self, pose: Pose, factor: int) -> bool:
        """Check that a pose is among those that are searched; at the ends of ranges by half a step of a level."""
        if pose.flip not in self.options.flips:
            return False
        angles, scales = self.options.angles, self.options.scales
        step = self.angle_step(factor, pose.scale) / 2
        if scales.is_range and not (
            scales.low * (1 - math.radians(step)) <= pose.scale <= scales.high * (1 + math.radians(step))
        ):
            return False
        if not scales.is_range and all(abs(pose.scale / scale - 1) > _SAME_POSE for scale in scales.values):
            return False
        if not angles.is_range:
            return any(abs(wrapped(pose.angle - angle)) < _SAME_POSE for angle in angles.values)
        middle, half = (angles.low + angles.high) / 2, (angles.high - angles.low) / 2
        return half >= 180 or abs(wrapped(pose.angle - middle)) <= half + step

    def bounds(self, pose: Pose, shape: Shape) -> tuple[int, int, int, int]:
        """Compute where the middle of a copy may lie at the coarse level of an image: rows and columns, half open."""
        ends = []
        for n, reach in zip(shape, self.reach(pose), strict=True):
            side, half = n / self.factor, reach / self.factor
            first = max(math.ceil(half - 0.5 - _SLACK), 0)
            last = min(math.floor(side - 0.5 - half + _SLACK), math.ceil(side) - 1)
            ends += [first, max(last + 1, first)]
        return ends[0], ends[1], ends[2], ends[3]

    def fits(self, shape: Shape) -> bool:
        """Check that the template lies inside an image of some shape in some pose."""
        bounds = (self.bounds(pose, shape) for pose in self.poses)
        return any(top < bottom and left < right for top, bottom, left, right in bounds)

    def reach(self, pose: Pose) -> tuple[float, float]:
        """Compute how far the outline reaches from its middle, in pixels along rows and columns."""
        (height, width), angle = self.shape, math.radians(pose.angle)
        cosine, sine = abs(math.cos(angle)) * pose.scale / 2, abs(math.sin(angle)) * pose.scale / 2
        return height * cosine + width * sine, height * sine + width * cosine

    def template_factor(self, scale: float, factor: int) -> int:
        """Choose the level of the template whose pixels are about as large as those of a level of the image.

        Rather a finer one: interpolation takes points of it, and a coarser one has lost details.
        """
        usable = [f for f in FACTORS if f == 1 or min(self.shape) // f >= _LEAST_FITTED]
        return max(f for f in usable if f == 1 or f <= _COARSER * factor / scale)

    @cached_property
    def interpolation_loss(self) -> float:
        """Estimate the share of a copy's variance that interpolation leaves, at most.

        At half the size, what lies half a pixel beside is known, and its interpolation is compared with it. Measured:
        templates drawn from finer images lose an eighth to three quarters as much at full size.
        """
        from scipy import ndimage  # noqa: PLC0415

        if min(self.shape) < _LEAST_SHIFTED:
            return 0.0
        values = self.template.values
        here, beside = (TemplateLevels.means(values[:, n:, n:], 2) for n in (0, 1))
        left = total = 0.0
        for plane, truth in zip(here, beside, strict=True):
            shifted = ndimage.shift(plane, -0.5, order=3, mode="mirror")[: len(truth), : truth.shape[1]]
            left += float((truth - shifted)[1:-2, 1:-2].var())
            total += float(truth[1:-2, 1:-2].var())
        return min(left / total, _MOST_LOST) if total > 0 else 0.0

    @property
    def unknown_share(self) -> float:
        """The same for standard errors: of a template that is too small for an estimate, the most."""
        return _MOST_LOST if min(self.shape) < _LEAST_SHIFTED else self.interpolation_loss

    @property
    def alternatives(self) -> list[tuple[float, bool]]:
        """Turns and flips after which the template looks much as before: a candidate may be meant so, too."""
        return self.alternatives_of(ALIKE)

    def alternatives_of(self, least: float) -> list[tuple[float, bool]]:
        """Return the turns and flips after which the template correlates with itself so much."""
        if not self.options.angles.is_range and self.options.flips == (False,):
            return []
        return [(turn, flip) for turn, flip, alike in self._own_turns[0] if alike >= least]

    @cached_property
    def has_angle(self) -> bool:
        """Whether the template is not the same at all angles."""
        return self._own_turns[1] < _SAME

    @cached_property
    def _own_turns(self) -> tuple[list[tuple[float, bool, float]], float]:
        """Correlate the template with its own turned copies on the inscribed disc, in a small image.

        Return the local maxima: turn, flip and correlation; and the least correlation.
        """
        scale = self.options.scales.low
        small = (f for f in FACTORS if min(self.shape) * scale / f <= _TURNED_SIDE or f == FACTORS[-1])
        factor = max(self.factor, next(small))
        side = self._side(factor)
        count = max(8, 2 * math.ceil(180 / self.angle_step(factor, scale)))
        disc = self._disc(factor, scale, side)
        base = _normalised(self._copy(Pose(0.0, scale), factor, side)[0], disc, joint=self.joint)
        found, least = [], 1.0
        for flip in self.options.flips:
            alike = np.empty(count)
            for i in range(count):
                copy, _ = self._copy(Pose(360 * i / count, scale, flip), factor, side)
                alike[i] = float((base * _normalised(copy, disc, joint=self.joint)).sum())
            least = min(least, float(alike.min()))
            peaks = (alike >= np.roll(alike, 1)) & (alike >= np.roll(alike, -1))
            found += [
                (360 * i / count, flip, float(alike[i])) for i in np.flatnonzero(peaks).tolist() if i or flip
            ]
        return found, least

    def _disc(self, factor: int, scale: float, side: int) -> Array:
        """Return the inscribed disc of a copy, for each channel."""
        middle, radius = (side - 1) / 2, min(self.shape) * scale / 2 / factor
        rows, columns = np.ogrid[:side, :side]
        inside = np.hypot(rows - middle, columns - middle) <= radius
        return np.broadcast_to(inside, (len(self.template.values), side, side)).astype(np.float64)


def plan_of(search: Search, options: PoseOptions) -> Plan:
    """Plan the search for a template once."""
    return search.cache.get(("poses", options), lambda: Plan(search, options))


def _spread(given: Values, steps: float, *, even: bool = False) -> list[float]:
    """Spread values over a range, a step apart or less, with both ends; or return those that are listed."""
    if not given.is_range:
        return list(given.values)
    count = math.ceil(steps - 1e-9) + 1
    spread = np.linspace if even else np.geomspace
    return [float(value) for value in spread(given.low, given.high, max(count, 2))]


def _normalised(values: Array, mask: Array, *, joint: bool, weighted: bool = False) -> Array:
    """Remove the mean on a mask and divide by the norm; multiply by the mask if `weighted`, or by its root."""
    axes = (0, 1, 2) if joint else (1, 2)
    total = np.maximum(mask.sum(axis=axes, keepdims=True), 1e-300)
    centred = values - (mask * values).sum(axis=axes, keepdims=True) / total
    norm = math.sqrt(max(float((mask * centred * centred).sum()), 1e-300))
    return np.asarray(centred * (mask if weighted else np.sqrt(mask)) / norm)
