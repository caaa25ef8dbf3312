"""Images as they are embedded in a report: 8 bits, and no larger than a screen."""

from typing import TYPE_CHECKING

import numpy as np

from tmatch._arrays.casting import displayable
from tmatch._arrays.typing import Array
from tmatch._io.writing import embedded

if TYPE_CHECKING:
    from tmatch._arrays.lazy import LazyArray

MAX_SIDE = 1600  # pixels that an image has on its longer side, at most
_TEMPLATE_SIDE = 160
_BAND = 2**22  # values that are averaged at once


def embed(pixels: "Array | LazyArray") -> tuple[str, int]:
    """Return an image as a data URL, and by how much its sides were divided."""
    factor = _factor(pixels.shape, MAX_SIDE)
    return embedded(_plain(_reduced(pixels, factor))), factor


def embed_template(pixels: Array, weights: Array | None) -> str:
    """Return a template as a data URL; pixels that do not count are transparent."""
    factor = _factor(pixels.shape, _TEMPLATE_SIDE)
    shown = _plain(_reduced(pixels, factor))
    if weights is None:
        return embedded(shown)
    colours = shown if shown.ndim == 3 else np.repeat(shown[..., None], 3, axis=2)
    opacity = _reduced(np.asarray(weights, np.float32) * 255, factor).round().astype(np.uint8)
    return embedded(np.dstack([colours, opacity]))


def _factor(shape: tuple[int, ...], side: int) -> int:
    return max(1, -(-max(shape[:2]) // side))


def _plain(pixels: Array) -> Array:
    """Return pixels that can be shown, without an axis of one channel."""
    return np.ascontiguousarray(displayable(pixels))


def _reduced(pixels: "Array | LazyArray", factor: int) -> Array:
    """Average blocks of so many pixels, band by band, as the image may not fit in memory."""
    if factor == 1:
        return pixels[: pixels.shape[0]]
    height = pixels.shape[0]
    rows = max(1, _BAND // (factor * max(1, pixels.size // height))) * factor
    bands = [_averaged(pixels[top : min(top + rows, height)], factor) for top in range(0, height, rows)]
    means = np.concatenate(bands)
    return means.round().astype(np.uint8) if pixels.dtype == np.uint8 else means


def _averaged(band: Array, factor: int) -> Array:
    values: Array = np.asarray(band, np.float32)
    for axis in (0, 1):
        starts = np.arange(0, values.shape[axis], factor)
        counts = np.diff(np.append(starts, values.shape[axis]))
        shape = [-1 if a == axis else 1 for a in range(values.ndim)]
        values = np.add.reduceat(values, starts, axis=axis) / counts.reshape(shape)
    return np.asarray(values, np.float32)
