"""Correlation of images from which pixels are missing."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from tmatch._arrays.geometry import Margins
from tmatch._arrays.lazy import computed
from tmatch._arrays.options import Border
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array
from tmatch._engine.targets import Target
from tmatch._engine.threads import Job
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


def plan_present(
    planes: Sequence[Array],
    kernels: Sequence[Array],
    outs: Sequence[Target],
    margins: Margins,
    border: Border,
    fill: float,
) -> tuple[list[Job], Callable[[], None]]:
    """Plan to correlate the pixels that are no NaN, and then to divide by the share of the weights that they have."""
    is_complex = any(array.dtype.kind == "c" for array in (planes[0], kernels[0]))
    sums = [_like(out, np.complex128 if is_complex else np.float64) for out in outs]
    lost = [_like(out, np.result_type(kernels[0], np.float64)) for out in outs]
    present = [computed(_zero_for_nan, plane.dtype, plane, increasing=False) for plane in planes]
    images = [PaddedImage(plane, margins, border, fill) for plane in present]
    gone = [PaddedImage(computed(np.isnan, bool, plane), margins, border) for plane in planes]
    jobs = correlation.plan_planes(images, kernels, sums) + correlation.plan_planes(gone, kernels, lost)
    weights = [*kernels] * (len(outs) if len(kernels) == 1 else 1)

    def divide() -> None:
        for out, total, missed, kernel in zip(outs, sums, lost, weights, strict=True):
            _divide(out.array, total.array, missed.array, kernel)

    return jobs, divide


def _like(out: Target, dtype: DTypeLike) -> Target:
    return replace(out, array=np.empty(out.array.shape, dtype))


def _zero_for_nan(plane: Array) -> Array:
    return np.where(np.isnan(plane), plane.dtype.type(0), plane)


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
