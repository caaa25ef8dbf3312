"""Gradient directions instead of values, for the metric "orientation"."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike

from tmatch._arrays.facts import Facts
from tmatch._arrays.finite import check_finite
from tmatch._arrays.geometry import within
from tmatch._arrays.lazy import LazyArray, as_array, as_lazy, computed, is_lazy
from tmatch._arrays.typing import Array, Region
from tmatch._engine import select
from tmatch._engine.interface import Engine

_PASSES = 10  # approximate cost of the gradients of an image, in passes over it


def image_directions(
    image: list[Array], valid: Array | None, *, overhangs: bool
) -> tuple[list[Array], Array | None]:
    """Compute for each channel the components of unit vectors along its gradient, and where these are valid.

    `overhangs` says that windows may reach beyond the image.
    """
    if valid is not None:
        image = [
            computed(_zero_where_not, channel.dtype, valid, channel, increasing=False) for channel in image
        ]
    if is_lazy(image[0]):
        directions = [
            as_array(_Direction(channel, axis)) for channel in image for axis in range(channel.ndim)
        ]
    else:
        check_finite("image", image)
        directions = [part for channel in image for part in _unit_gradient(channel)]
    if valid is None and not overhangs:
        return directions, None  # windows' rims do not count, so the image's rim does not matter
    everywhere = np.broadcast_to(True, image[0].shape)  # noqa: FBT003
    whole = everywhere if valid is None else valid
    in_parts = is_lazy(image[0]) or is_lazy(whole)
    return directions, as_array(_Surrounded(whole)) if in_parts else _surrounded(whole)


def _zero_where_not(valid: Array, channel: Array) -> Array:
    return np.where(valid, channel, channel.dtype.type(0))


class _WithNeighbours(LazyArray):
    """What is computed of the pixels of an array that is read in parts, and of their neighbours."""

    def __init__(self, source: Array, dtype: DTypeLike) -> None:
        self.source, self.shape, self.dtype = as_lazy(source), source.shape, np.dtype(dtype)

    def read(self, region: Region) -> Array:
        """Read a region with its neighbours, and compute; beside the image are none."""
        around = self._around(region)
        pixels = self.source.read(around)
        return self.compute(pixels, [part.start for part in around])[within(region, around)]

    @property
    def keeps(self) -> bool:  # type: ignore[override]
        """As the source."""
        return self.source.keeps

    def leaves(self, region: Region) -> Iterator[tuple[LazyArray, Region]]:
        """Return those of the source."""
        return self.source.leaves(self._around(region))

    def _around(self, region: Region) -> Region:
        pairs = zip(region, self.shape, strict=True)
        return tuple(slice(max(part.start - 1, 0), min(part.stop + 1, n)) for part, n in pairs)

    def compute(self, pixels: Array, corner: Sequence[int]) -> Array:
        """Compute from pixels of a region that begins at a corner."""
        raise NotImplementedError


class _Direction(_WithNeighbours):
    """The component of unit vectors along the gradient of a channel, along one axis."""

    def __init__(self, source: Array, axis: int) -> None:
        super().__init__(source, np.float64)
        self.axis = axis

    def known_facts(self) -> Facts:
        """Return the bounds of components of unit vectors."""
        return Facts(-1.0, 1.0, whole=False, missing=False)

    def compute(self, pixels: Array, corner: Sequence[int]) -> Array:
        """Compute it."""
        check_finite("image", [pixels], corner)
        return np.asarray(_engine_for(self.source).unit_gradient(pixels)[self.axis])


class _Surrounded(_WithNeighbours):
    """Which pixels are valid and have both neighbours valid on every axis."""

    def __init__(self, source: Array) -> None:
        super().__init__(source, bool)

    def compute(self, pixels: Array, corner: Sequence[int]) -> Array:  # noqa: ARG002
        """Find them; the rim of what was read is not asked for, unless it is that of the image."""
        return _surrounded(pixels)


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
    return _engine_for(channel).unit_gradient(channel)


def _engine_for(channel: Array | LazyArray) -> Engine:
    is_wide = channel.dtype.itemsize > 8
    return select.reference() if is_wide else select.choose(_PASSES * channel.size, channel.shape)


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
