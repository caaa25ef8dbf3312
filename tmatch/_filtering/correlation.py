"""Correlate images with kernels, tile by tile."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tmatch._arrays.channels import interleaved
from tmatch._arrays.finite import is_finite
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import select
from tmatch._engine.interface import TapPlan, Transforms
from tmatch._engine.numpy.taps import sum_tile
from tmatch._engine.targets import Target
from tmatch._engine.threads import Job
from tmatch._engine.tiling import Tiling, plan_blocks, rounding_bound
from tmatch._filtering.methods import plan_taps

_MIN_TRANSFORM_PASSES = 16.0  # no pair of transforms costs less, in passes over a tile
_CACHED_POINTS = 2**19  # maximum size of a spectrum that is cached for further calls with the same kernel


def plan_planes(images: Sequence[PaddedImage], kernels: Sequence[Array], outs: Sequence[Target]) -> list[Job]:
    """Plan to correlate images of one shape and dtype with one shared kernel or a kernel each, without conjugation.

    The dtype of `outs`, float or complex in single or double precision, is also that of the computation. Integer images
    and kernels give exact integers below 2**53.
    """
    jobs: list[Job] = []
    shared = len(kernels) == 1
    for i, kernel in enumerate(kernels):
        members, targets = (images, outs) if shared else (images[i : i + 1], outs[i : i + 1])
        if kernel.dtype.kind == "c" and images[0].image.dtype.kind != "c":  # two real correlations
            jobs += _plan(members, kernel.real, [out.real for out in targets])
            jobs += _plan(members, kernel.imag, [out.imag for out in targets])
        else:
            jobs += _plan(members, kernel, targets)
    return jobs


def result_dtype(image: np.dtype[Any], kernel: np.dtype[Any]) -> np.dtype[Any]:
    """Return float64, or float32 for a single-precision image; the complex equivalent if an input is complex."""
    single = image.newbyteorder("=") in (np.float32, np.complex64)
    if "c" in (image.kind, kernel.kind):
        return np.dtype(np.complex64 if single else np.complex128)
    return np.dtype(np.float32 if single else np.float64)


def _plan(images: Sequence[PaddedImage], weights: Array, outs: Sequence[Target]) -> list[Job]:
    """Choose the cheapest method: weight by weight, axis by axis, or by transforms."""
    weights = weights.astype(np.result_type(weights, np.float64))
    shape, dtype, largest = images[0].shape, outs[0].array.dtype, None
    if images[0].is_integer and _is_integer(weights):
        largest = max(image.largest() for image in images)
        # Float32 holds integers below 2**24 in half the memory.
        dtype = np.dtype(np.float32 if largest * float(np.abs(weights).sum()) < 2**24 else np.float64)
    positions = sum(math.prod(out.shape) for out in outs)
    plan = plan_taps(images[0].image, weights, dtype, positions, integer=largest is not None)
    tiling = plan_blocks(shape, weights.shape, fused=plan.fused)
    if found := _by_transforms(shape, weights, dtype, largest, plan.passes):
        plan, tiling = found
    elif plan.fused:
        images, outs, tiling = _interleave(images, outs, tiling)

    def compute(image: PaddedImage, out: Target, block: Region) -> None:
        region, part = tiling.needs(block), out.part(block)
        loaded, where = image.loaded(region, dtype)
        # Sums that wrap between rows may overflow, but are outside the result.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = plan.sum_windows(loaded, where, part)
        if not finite:
            image.check(image.tile(region, dtype), region)
            msg = f"sums of `image` times `kernel` pass the largest {part.dtype.name}; scale one of them down"
            raise ValueError(msg)
        out.put(block, part)

    return [
        Job(
            functools.partial(compute, image, out),
            tiling,
            plan.passes,
            [*tiling.blocks(out.region)],
            fused=plan.fused,
        )
        for image, out in zip(images, outs, strict=True)
    ]


def _by_transforms(
    shape: Shape, weights: Array, dtype: np.dtype[Any], largest: int | None, max_passes: float
) -> tuple[TapPlan, Tiling] | None:
    """Plan to sum by transforms; None if that costs more, or if rounding could not restore integer sums."""
    if max_passes <= _MIN_TRANSFORM_PASSES:
        return None
    engine = select.choose(0, shape) if dtype.kind == "f" else select.reference()
    transforms = engine.transforms(shape, weights.shape)
    tiling = transforms.tiling
    # The term 1 / (2 * count) is the kernel's transform.
    passes = transforms.passes * tiling.work * (1 + 1 / (2 * tiling.count)) / math.prod(tiling.positions)
    points = math.prod(tiling.fft_shape)
    norms = (largest or 0) * math.sqrt(points) * float(np.linalg.norm(weights))
    if passes >= max_passes or rounding_bound(norms, tiling) >= 0.25:
        return None
    dtype = dtype if largest is None else np.dtype(np.float64)
    kernel = weights.astype(dtype)
    spectrum_of = _cached_spectrum if points <= _CACHED_POINTS else _cached_spectrum.__wrapped__
    spectrum = spectrum_of(kernel.tobytes(), kernel.shape, dtype, transforms)
    sum_windows = functools.partial(_sum_windows, spectrum, transforms, rounds=largest is not None)
    return TapPlan(passes, functools.partial(sum_tile, sum_windows, dtype, full=True)), tiling


def _interleave(
    images: Sequence[PaddedImage], outs: Sequence[Target], tiling: Tiling
) -> tuple[Sequence[PaddedImage], Sequence[Target], Tiling]:
    """Join channels that alternate in memory to one image."""
    pixels, sums = interleaved([image.image for image in images]), interleaved([o.array for o in outs])
    if len(images) == 1 or pixels is None or sums is None:
        return images, outs, tiling
    first, n = images[0], len(images)
    joined = PaddedImage(pixels, [*first.margins, (0, 0)], first.border, first.fill)
    flat = plan_blocks(first.shape, tiling.window, fused=True, channels=n)
    out = Target(sums, (*outs[0].region, slice(0, n)), (*outs[0].shape, n))
    return [joined], [out], Tiling((*flat.positions, n), (*flat.window, 1), (*flat.block, n))


@functools.lru_cache(maxsize=4)
def _cached_spectrum(data: bytes, shape: Shape, dtype: np.dtype[Any], transforms: Transforms) -> Array:
    return transforms.kernel_spectrum(np.frombuffer(data, dtype).reshape(shape))


def _sum_windows(spectrum: Array, transforms: Transforms, tile: Array, out: Array, *, rounds: bool) -> bool:
    """Sum windows of a tile by transforms. A pixel that is not finite makes all sums so."""
    pair = transforms.transform(tile), spectrum
    full = transforms.correlate([pair], is_complex=np.iscomplexobj(tile), overwrite=True)
    sums = full[tuple(map(slice, out.shape))]
    out[...] = np.rint(sums, out=sums) if rounds else sums
    return is_finite(out)


def _is_integer(kernel: Array) -> bool:
    """Return whether every weight is an integer that float64 represents exactly."""
    return kernel.dtype.kind == "f" and bool(
        (np.rint(kernel) == kernel).all() and np.abs(kernel).max() < 2**53
    )
