"""Sum window times weight over an image, tile by tile."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tmatch._arrays.channels import interleaved
from tmatch._arrays.finite import is_finite
from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import select, threads
from tmatch._engine import tiling as _tiling
from tmatch._engine.numpy.transforms import correlate_spectra, rounding_bound, tile_spectrum, transform
from tmatch._engine.threads import Job
from tmatch._engine.tiling import Tiling
from tmatch._filtering.methods import SumWindows, choose_method, sum_tile

_REMEMBERED_POINTS = 2**19  # of a spectrum that is kept, as the next call may be with the same kernel
_TRANSFORM_PASSES = 42  # what a pair of transforms costs, as passes of adding or multiplying over a tile
_COMPILED_TRANSFORM_PASSES = 16  # and if they are compiled


def correlate_valid(image: Array | PaddedImage, kernel: Array, *, out: Array | None = None) -> Array:
    """Correlate over all windows that lie inside the image: ``sum(window * conj(kernel))``.

    `out` takes the result; its dtype, float or complex of 32 or 64 bits a part, is also the precision of the work.
    Without it the dtype is `result_dtype`. Integers times whole numbers give exact integers below 2**53.
    """
    if not isinstance(image, PaddedImage):
        image = PaddedImage(image, [(0, 0)] * image.ndim)
    if out is None:
        places = valid_shape(image.shape, kernel.shape)
        out = np.empty(places, result_dtype(image.image.dtype, kernel.dtype))
    correlate_planes([image], [kernel], [out])
    return out


def correlate_planes(
    images: Sequence[PaddedImage],
    kernels: Sequence[Array],
    outs: Sequence[Array],
    *,
    workers: int | None = None,
) -> None:
    """Correlate images of one shape and dtype, all with one kernel or each with its own."""
    jobs: list[Job] = []
    shared = len(kernels) == 1
    for i, kernel in enumerate(kernels):
        members, targets = (images, outs) if shared else (images[i : i + 1], outs[i : i + 1])
        if kernel.dtype.kind == "c" and images[0].image.dtype.kind != "c":  # two real correlations
            jobs += _plan(members, kernel.real, [out.real for out in targets])
            jobs += _plan(members, -kernel.imag, [out.imag for out in targets])
        else:
            jobs += _plan(members, np.conj(kernel), targets)
    threads.run(*jobs, workers=workers)


def result_dtype(image: np.dtype[Any], kernel: np.dtype[Any]) -> np.dtype[Any]:
    """Give float64, or float32 for a float32 image; complex if one of the two is."""
    single = image.newbyteorder("=") in (np.float32, np.complex64)
    if "c" in (image.kind, kernel.kind):
        return np.dtype(np.complex64 if single else np.complex128)
    return np.dtype(np.float32 if single else np.float64)


def _plan(images: Sequence[PaddedImage], weights: Array, outs: Sequence[Array]) -> list[Job]:
    """Choose the cheapest way to sum window times weight: tap by tap, axis by axis, or by transforms."""
    weights = weights.astype(np.result_type(weights, np.float64))
    shape, work, largest = images[0].shape, outs[0].dtype, None
    if images[0].is_integer and _is_whole(weights):
        largest = max(image.largest() for image in images)
        # Float32 holds integers below 2**24, in half the memory.
        work = np.dtype(np.float32 if largest * float(np.abs(weights).sum()) < 2**24 else np.float64)
    places = sum(out.size for out in outs)
    whole = largest is not None
    passes, sum_windows, compiled = choose_method(images[0].image, weights, work, places, whole=whole)
    tiling = _tiling.plan_blocks(shape, weights.shape, compiled=compiled)
    if passes > _COMPILED_TRANSFORM_PASSES and (found := _transforms(shape, weights, work, largest, passes)):
        (passes, sum_windows, tiling), compiled = found, False
    elif compiled:
        images, outs, tiling = _interleave(images, outs, tiling)

    def compute(image: PaddedImage, out: Array, block: Region) -> None:
        region, part = tiling.needs(block), out[block]
        # Sums across the ends of rows may overflow, but lie outside the result.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = sum_windows(image, region, part)
        if not finite:
            image.check(image.tile(region, work))
            msg = f"sums of `image` times `kernel` pass the largest {part.dtype.name}; scale one of them down"
            raise ValueError(msg)

    pairs = zip(images, outs, strict=True)
    return [Job(functools.partial(compute, *pair), tiling, passes, compiled=compiled) for pair in pairs]


def _transforms(
    shape: Shape, weights: Array, work: np.dtype[Any], largest: int | None, most: float
) -> tuple[float, SumWindows, Tiling] | None:
    """Sum by transforms, if that takes fewer passes, and rounding gives the integers if there is a largest of them."""
    tiling = _tiling.plan_tiles(
        shape, weights.shape, compiled=work.kind == "f" and select.compiled(0) is not None
    )
    each = _COMPILED_TRANSFORM_PASSES if tiling.compiled else _TRANSFORM_PASSES
    passes = each * tiling.work * (1 + 1 / (2 * tiling.count)) / math.prod(tiling.places)  # and the kernel's
    points = math.prod(tiling.fft_shape)
    norms = (largest or 0) * math.sqrt(points) * float(np.linalg.norm(weights))
    if passes >= most or rounding_bound(norms, tiling) >= 0.25:
        return None
    work = work if largest is None else np.dtype(np.float64)
    kernel = np.conj(weights).astype(work)
    make = _remembered_spectrum if points <= _REMEMBERED_POINTS else _remembered_spectrum.__wrapped__
    spectrum = make(kernel.tobytes(), kernel.shape, work, tiling)
    by_transform = functools.partial(_sum_by_transform, spectrum, tiling, rounds=largest is not None)
    return passes, functools.partial(sum_tile, by_transform, work, full=True), tiling


def _interleave(
    images: Sequence[PaddedImage], outs: Sequence[Array], tiling: Tiling
) -> tuple[Sequence[PaddedImage], Sequence[Array], Tiling]:
    """Make one image of channels that alternate in memory."""
    pixels, sums = interleaved([image.image for image in images]), interleaved(outs)
    if len(images) == 1 or pixels is None or sums is None:
        return images, outs, tiling
    first, n = images[0], len(images)
    together = PaddedImage(pixels, [*first.margins, (0, 0)], first.border, first.fill)
    flat = _tiling.plan_blocks(first.shape, tiling.window, compiled=True, channels=n)
    return [together], [sums], Tiling((*flat.places, n), (*flat.window, 1), (*flat.block, n), ())


@functools.lru_cache(maxsize=4)
def _remembered_spectrum(data: bytes, shape: Shape, dtype: np.dtype[Any], tiling: Tiling) -> Array:
    return tile_spectrum(np.frombuffer(data, dtype).reshape(shape), tiling)


def _sum_by_transform(spectrum: Array, tiling: Tiling, tile: Array, out: Array, *, rounds: bool) -> bool:
    """Sum windows of a tile into `out`, and tell whether all sums are finite, which no sum is if a pixel is not."""
    pair = transform(tile, tiling), spectrum
    full = correlate_spectra([pair], tiling, is_complex=np.iscomplexobj(tile), overwrite=True)
    sums = full[tuple(map(slice, out.shape))]
    out[...] = np.rint(sums, out=sums) if rounds else sums
    return is_finite(out)


def _is_whole(kernel: Array) -> bool:
    """Tell whether every weight is an integer, as far as floats can tell."""
    return kernel.dtype.kind == "f" and bool(
        (np.rint(kernel) == kernel).all() and np.abs(kernel).max() < 2**53
    )
