"""Correlation of images from which pixels are missing."""

from collections.abc import Sequence

import numpy as np

from tmatch._arrays.geometry import Margins
from tmatch._arrays.options import Border
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array
from tmatch._filtering import correlation

_LEAST = 1e-6  # share of the magnitudes of all weights: with less of them the result is NaN
_ROUNDING = 1e-12  # share of the same that transforms may add


def check_sums(kernels: Sequence[Array]) -> None:
    """Refuse kernels of whose weights no share can be taken."""
    if any(abs(kernel.sum()) <= _LEAST * np.abs(kernel).sum() for kernel in kernels):
        msg = (
            "`kernel` has weights that add up to 0, of which no share is left where pixels are missing; with "
            'missing="ignore" it must have another sum: fill the missing pixels first'
        )
        raise ValueError(msg)


def correlate_present(
    planes: Sequence[Array],
    gone: Sequence[Array],
    kernels: Sequence[Array],
    outs: Sequence[Array],
    margins: Margins,
    border: Border,
    fill: float,
    workers: int | None,
) -> None:
    """Correlate the pixels that are not gone, and divide by the share of the weights that they have."""
    is_complex = any(array.dtype.kind == "c" for array in (planes[0], kernels[0]))
    sums = [np.empty(out.shape, np.complex128 if is_complex else np.float64) for out in outs]
    lost = [np.empty(out.shape, np.result_type(kernels[0], np.float64)) for out in outs]
    present = [np.where(g, plane.dtype.type(0), plane) for g, plane in zip(gone, planes, strict=True)]
    images = [PaddedImage(plane, margins, border, fill) for plane in present]
    correlation.correlate_planes(images, kernels, sums, workers=workers)
    images = [PaddedImage(g, margins, border) for g in gone]
    correlation.correlate_planes(images, kernels, lost, workers=workers)
    weights = [*kernels] * (len(outs) if len(kernels) == 1 else 1)
    for parts in zip(outs, sums, lost, weights, strict=True):
        _divide(*parts)


def _divide(out: Array, sums: Array, lost: Array, kernel: Array) -> None:
    """Divide sums by the share of the weights that is left; NaN where that is next to nothing."""
    whole, magnitude = kernel.sum(dtype=lost.dtype), np.abs(kernel).sum(dtype=np.float64)
    lost[np.abs(lost) <= _ROUNDING * magnitude] = 0
    left = np.subtract(whole, lost, out=lost)
    enough = np.abs(left) > _LEAST * magnitude
    share = np.divide(left, whole, out=left)
    with np.errstate(over="ignore", invalid="ignore"):
        np.divide(sums, share, out=sums, where=enough)
        out[...] = np.where(enough, sums, np.nan)
    if not np.isfinite(out[enough]).all():
        msg = f"sums of `image` times `kernel` pass the largest {out.dtype.name}; scale one of them down"
        raise ValueError(msg)
