"""Gradient directions instead of values, for the metric "orientation"."""

import numpy as np

from tmatch._arrays.finite import check_finite
from tmatch._arrays.typing import Array
from tmatch._engine import select

_PASSES = 10  # approximate cost of the gradients of an image, in passes over it


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


def _unit_gradient(channel: Array) -> Array:
    is_wide = channel.dtype.itemsize > 8
    engine = select.reference() if is_wide else select.choose(_PASSES * channel.size, channel.shape)
    return engine.unit_gradient(channel)


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
