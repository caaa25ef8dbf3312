"""Gradient directions instead of values, for the metric "orientation"."""

import numpy as np

from tmatch._arrays.finite import check_finite
from tmatch._arrays.typing import Array


def image_directions(
    image: list[Array], valid: Array | None, *, overhangs: bool
) -> tuple[list[Array], Array | None]:
    """Compute for each channel the components of unit vectors along its gradient, and where these are valid.

    `overhangs` says that windows may reach beyond the image.
    """
    if valid is not None:
        image = [np.where(valid, channel, channel.dtype.type(0)) for channel in image]
    check_finite("image", image)
    directions = [part for channel in image for part in _unit_gradient(channel)]
    if valid is None and not overhangs:
        return directions, None  # windows' rims do not count, so the image's rim does not matter
    return directions, _surrounded(np.ones(image[0].shape, bool) if valid is None else valid)


def template_directions(template: list[Array], weights: list[Array]) -> tuple[list[Array], list[Array]]:
    """Compute the same for a template, whose pixels without a gradient have no weight."""
    directions = [part for channel in template for part in _unit_gradient(channel)]
    inner = {id(w): np.where(_surrounded(w > 0), w, w.dtype.type(0)) for w in weights}
    if not any(w.any() for w in inner.values()):
        msg = (
            f"`template` of shape {template[0].shape} has no pixel whose neighbours count too, and so no gradient "
            'for metric="orientation"; use a larger one'
        )
        raise ValueError(msg)
    return directions, [inner[id(w)] for w in weights for _ in range(template[0].ndim)]


def _unit_gradient(channel: Array) -> list[Array]:
    """Compute central differences along each axis over their common length; 0 where all are 0 or on the rim."""
    values = channel.astype(np.result_type(channel.dtype, np.float64), copy=False)
    parts = []
    for axis, n in enumerate(values.shape):
        part = np.zeros(values.shape, values.dtype)
        inside = [slice(None)] * values.ndim
        later, before = list(inside), list(inside)
        inside[axis], later[axis], before[axis] = slice(1, -1), slice(2, None), slice(None, -2)
        if n > 2:
            part[tuple(inside)] = values[tuple(later)] / 2 - values[tuple(before)] / 2
        parts.append(part)
    largest = np.maximum.reduce([np.abs(part) for part in parts])
    largest[largest == 0] = 1
    parts = [part / largest for part in parts]  # so that no square is too small or too large
    length = np.sqrt(sum(part * part for part in parts))
    length[length == 0] = 1
    return [(part / length).astype(np.float64) for part in parts]


def _surrounded(valid: Array) -> Array:
    """Find the pixels that are valid and have both neighbours valid on every axis."""
    padded = np.pad(valid, 1)
    inside = valid.copy()
    for axis in range(valid.ndim):
        for start in (0, 2):
            cut = [slice(1, -1)] * valid.ndim
            cut[axis] = slice(start, start + valid.shape[axis])
            inside &= padded[tuple(cut)]
    return inside
