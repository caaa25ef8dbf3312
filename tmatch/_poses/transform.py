"""Transform templates and images by a pose: a flip, a change of size and a rotation."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.casting import cast_pixels
from tmatch._arrays.typing import Array
from tmatch._results.poses import Pose

Values = NDArray[np.float64]
Point = Sequence[float] | Values


def transform(template: Array, mask: Array | None, pose: Pose) -> tuple[Array, Array | None]:
    """Return a template, (H, W) or (H, W, C), and its mask in another pose.

    Flips and multiples of 90 degrees are exact. Another scale makes each side ``round(n * scale)`` pixels, at least 1.
    Another angle makes the array as large as it takes to hold all, and a mask says which of it is the template.
    Pixels that do not count have no influence on those that do. Integers stay integers, and masks of 0 and 1 are
    bool where they had to be interpolated.
    """
    if pose.flip:
        template, mask = template[:, ::-1], None if mask is None else mask[:, ::-1]
    if pose.scale != 1:
        template, mask = _resize(template, mask, pose.scale)
    if pose.angle % 90:
        return _rotate(template, mask, Pose(pose.angle))
    quarters = round(pose.angle / 90)
    return np.rot90(template, quarters), None if mask is None else np.rot90(mask, quarters)


def warp(image: Array, pose: Pose, centre: Sequence[float]) -> Values:
    """Transform an image, (H, W) or (H, W, C), about a point of it; its size stays, and its border is repeated."""
    from scipy import ndimage  # noqa: PLC0415

    if pose.scale < 1:  # blurred first: made smaller, an image keeps the camera's blur of about half a pixel
        sigma = math.sqrt(1 / pose.scale**2 - 1) / 2
        image = ndimage.gaussian_filter(image.astype(np.float64), sigma, mode="nearest", axes=(0, 1))
    return _sample(image, pose, (centre, centre), image.shape[:2])


def _sample(image: Array, pose: Pose, centres: tuple[Point, Point], shape: Sequence[int]) -> Values:
    """Interpolate an image by cubic splines; `centres` is the same point in the image and in the result."""
    from scipy import ndimage  # noqa: PLC0415

    offset = np.array(centres[0]) - pose.inverse @ centres[1]
    sampled = np.empty((*shape, *image.shape[2:]))
    for channel in np.ndindex(image.shape[2:]):
        plane = image[(..., *channel)].astype(np.float64)
        sampled[(..., *channel)] = ndimage.affine_transform(
            plane, pose.inverse, offset, tuple(shape), order=3, mode="nearest"
        )
    return sampled


def resample(template: Array, mask: Array, function: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Resample a template and its mask: each pixel becomes a weighted mean of those that count.

    `function` averages an array locally. Masks of 0 and 1 become bool.
    """
    weights = mask.reshape(mask.shape + (1,) * (template.ndim - mask.ndim))
    total, weight = function(np.where(weights > 0, template, 0.0) * weights), function(weights)
    pixels = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    return pixels, _as_mask(function(mask), mask)


def _resize(template: Array, mask: Array | None, scale: float) -> tuple[Array, Array | None]:
    if mask is None:
        return _as_pixels(_resize_array(template, scale), template.dtype), None
    pixels, resized = resample(template, mask, lambda values: _resize_array(values, scale))
    return _as_pixels(pixels, template.dtype), resized


def _resize_array(values: Array, scale: float) -> Values:
    """Resize as scikit-image does: smoothed by a Gaussian if made smaller, then interpolated linearly."""
    from scipy import ndimage  # noqa: PLC0415

    values = values.astype(np.float64)
    shape = [*(max(1, round(n * scale)) for n in values.shape[:2]), *values.shape[2:]]
    ratios = np.divide(values.shape, shape)
    smooth = values
    if scale < 1:
        smooth = ndimage.gaussian_filter(values, np.maximum(0, (ratios - 1) / 2), mode="nearest")
    resized = ndimage.zoom(smooth, 1 / ratios, order=1, mode="nearest", grid_mode=True)
    return np.asarray(np.clip(resized, values.min(), values.max()))  # rounding may leave the range


def _rotate(template: Array, mask: Array | None, pose: Pose) -> tuple[Array, Array]:
    """Rotate a template by any angle, into an array that holds all of it."""
    sides = np.array(template.shape[:2])
    shape = np.ceil(np.abs(pose.inverse) @ sides - 1e-9).astype(int)
    centres = (sides - 1) / 2, (shape - 1) / 2
    offsets = np.moveaxis(np.indices(shape), 0, -1) - centres[1]
    inside = (np.abs(offsets @ pose.inverse.T) <= sides / 2).all(axis=-1)
    if mask is None:
        return _as_pixels(_sample(template, pose, centres, shape), template.dtype), inside
    pixels = _sample(filled(template, mask), pose, centres, shape)
    weights = np.clip(_sample(mask, pose, centres, shape), 0, mask.max())
    weights *= inside.reshape(inside.shape + (1,) * (mask.ndim - 2))
    return _as_pixels(pixels, template.dtype), _as_mask(weights, mask)


def filled(template: Array, mask: Array) -> Array:
    """Replace pixels that do not count by the nearest that do, so that they do not spread."""
    from scipy import ndimage  # noqa: PLC0415

    counts = np.broadcast_to(
        mask.reshape(mask.shape + (1,) * (template.ndim - mask.ndim)) > 0, template.shape
    )
    filled = template.copy()
    for channel in np.ndindex(template.shape[2:]):
        at = (..., *channel)
        nearest = ndimage.distance_transform_edt(~counts[at], return_distances=False, return_indices=True)
        filled[at] = template[at][tuple(nearest)]
    return filled


def _as_pixels(values: Values, dtype: np.dtype[np.generic]) -> Array:
    """Round interpolated pixels if those of the original were integers, which are scored faster."""
    return cast_pixels(values, dtype) if dtype.kind in "iu" else values


def _as_mask(weights: Values, mask: Array) -> Array:
    """Round interpolated weights to bool if those of the original were all 0 or 1."""
    return weights > 0.5 if ((mask == 0) | (mask == 1)).all() else weights
