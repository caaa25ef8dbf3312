"""Copies of a template that need no interpolation: right angles, mirrors, and whole-number scales."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.casting import cast_pixels
from tmatch._arrays.typing import Array
from tmatch._detection.candidates import score_at
from tmatch._poses.options import PoseOptions, wrapped
from tmatch._poses.plan import Plan
from tmatch._poses.refine import Candidate
from tmatch._poses.transform import transform
from tmatch._results.poses import Pose
from tmatch._scoring.cache import Cache
from tmatch._scoring.search import Search

_PLANE = 2  # axes of an image without channels
_EXACT_REACH = 0.25  # pixels of a corner: exact copies that are nearer are tried
_EQUAL = 1e-9  # difference of scores that may be rounding
Copy = tuple[Pose, Array, Array | None]


def exact_copies(
    template: Array, mask: Array | None, options: PoseOptions, channel_axis: int | None
) -> Iterator[Copy]:
    """Return the copies of a template, and of its mask, in poses that are exact or listed.

    A scale of 2, 3, ... repeats pixels, or interpolates them linearly: both are copies. One of 1/2, 1/3, ... averages
    blocks of pixels; what is left over at the end of an axis is cut off.
    """
    axes = tuple(a for a in range(template.ndim) if channel_axis is None or a != channel_axis % template.ndim)
    if options.listed:
        yield from _interpolated_copies(template, mask, options, channel_axis)
        return
    mask_axes = axes if mask is None or mask.ndim == template.ndim else tuple(range(2))
    for scale in options.scales.values:
        masks = None if mask is None else _scaled(mask, scale, mask_axes)[0]
        for scaled in _scaled(template, scale, axes):
            for flip in options.flips:
                for angle in options.angles.values:
                    turned = _turned(scaled, angle, flip, axes)
                    turned_mask = None if masks is None else _turned(masks, angle, flip, mask_axes)
                    yield Pose(angle, scale, flip), turned, turned_mask


def _interpolated_copies(
    template: Array, mask: Array | None, options: PoseOptions, channel_axis: int | None
) -> Iterator[Copy]:
    """Return copies that are interpolated where they must be; their arrays hold what they bound, and masks say what."""

    def moved(values: Array, source: int, target: int) -> Array:
        return (
            values if channel_axis is None or values.ndim == _PLANE else np.moveaxis(values, source, target)
        )

    axis = channel_axis or 0
    for scale in options.scales.values:
        for angle in options.angles.values:
            for flip in options.flips:
                pose = Pose(angle, scale, flip)
                whole = None if mask is None else moved(mask, axis, -1)
                turned, turned_mask = transform(moved(template, axis, -1), whole, pose)
                yield (
                    pose,
                    moved(turned, -1, axis),
                    None if turned_mask is None else moved(turned_mask, -1, axis),
                )


def _exact_search(search: Search, pose: Pose) -> Search:
    """Return a search for an exact copy of a template; of a larger one, with its pixels repeated."""
    axes = (0, 1)

    def copied(values: Array) -> Array:
        return _turned(_scaled(values, pose.scale, axes)[0], pose.angle, pose.flip, axes)

    weights = [np.broadcast_to(w, search.window) for w in search.weights]
    return replace(
        search, template=[*map(copied, search.template)], weights=[*map(copied, weights)], cache=Cache()
    )  # fmt: skip


def exact_beside(search: Search, plan: Plan, candidate: Candidate) -> Candidate:
    """Return the exact copy beside a candidate, if it fits as well; its score is that of the plain definition."""
    pose = candidate.pose
    near = Pose(wrapped(90.0 * round(pose.angle / 90)), _nearest_exact(pose.scale), pose.flip)
    radius = math.hypot(*plan.shape) / 2 * pose.scale
    off = radius * max(np.radians(abs(wrapped(pose.angle - near.angle))), abs(pose.scale / near.scale - 1))
    if off > _EXACT_REACH or candidate.sign < 0 or not plan.allows(near, 1):
        return candidate
    copy = _exact_search(search, near)
    middle = (np.array(copy.window) - 1) / 2
    start = np.asarray(np.round(np.array(candidate.center) - middle), np.intp)
    if np.any(start < 0) or np.any(start + np.array(copy.window) > np.array(search.image[0].shape)):
        return candidate
    score = float(score_at(copy, start[None])[0])
    if score < candidate.score - _EQUAL:
        return candidate
    y, x = (start + middle).tolist()
    return replace(candidate, center=(y, x), pose=near, score=score)


def _nearest_exact(scale: float) -> float:
    return float(max(round(scale), 1)) if scale >= 1 else 1 / round(1 / scale)


def _turned(values: Array, angle: float, flip: bool, axes: tuple[int, ...]) -> Array:  # noqa: FBT001
    if flip:
        values = np.flip(values, axes[1])
    return np.rot90(values, round(angle / 90), (axes[0], axes[1]))


def _scaled(values: Array, scale: float, axes: tuple[int, ...]) -> list[Array]:
    """Return an array at a scale that is exact: a larger one with repeated pixels, and interpolated if that differs."""
    if scale == 1:
        return [values]
    if scale > 1:
        factor = round(scale)
        repeated = values
        for axis in axes:
            repeated = np.repeat(repeated, factor, axis)
        smooth = values.astype(np.float64)
        for axis in axes:
            smooth = _interpolated(smooth, factor, axis)
        both = [repeated, _like(smooth, values)]
        return both[:1] if np.array_equal(both[0], both[1]) else both
    factor = round(1 / scale)
    if min(values.shape[axis] for axis in axes) < factor:
        msg = f"`scales` holds {scale:g}, which leaves no pixel of a template of shape {values.shape}; use larger ones"
        raise ValueError(msg)
    means = values.astype(np.float64)
    for axis in axes:
        n = values.shape[axis] // factor
        whole = np.take(means, range(n * factor), axis)
        means = whole.reshape(*whole.shape[:axis], n, factor, *whole.shape[axis + 1 :]).mean(axis + 1)
    return [_like(means, values)]


def _interpolated(values: NDArray[np.float64], factor: int, axis: int) -> NDArray[np.float64]:
    """Interpolate linearly between the middles of pixels; beyond the first and the last one they are repeated."""
    n = values.shape[axis]
    at = np.clip((np.arange(n * factor) + 0.5) / factor - 0.5, 0, n - 1)
    low = np.minimum(at.astype(int), max(n - 2, 0))
    share = (at - low).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return np.asarray(
        np.take(values, low, axis) * (1 - share) + np.take(values, np.minimum(low + 1, n - 1), axis) * share
    )


def _like(values: NDArray[np.float64], original: Array) -> Array:
    """Round to the dtype of the original if that holds integers; masks of bool count where at least half does."""
    if original.dtype.kind == "b":
        return values >= 0.5
    return cast_pixels(values, original.dtype) if original.dtype.kind in "iu" else values
