"""Windows that slide over arrays of any dimension: correlation, sums and maxima.

Work is cut into tiles whose transforms stay in the processor's cache, and tiles are shared out to
threads. Tiles depend on shapes alone, never on the number of threads.
"""

import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]
Region = tuple[slice, ...]

_CACHE_POINTS = 2**17  # points of one tile's transform that still stay near the core
_TILE_OVERHEAD = 20_000  # what starting one more tile costs, as points of a transform
_FAIR_SHARE = 4  # tiles come in multiples of this, so that few cores stay idle at the end
_DIRECT_TAPS = 24  # up to here adding shifted pictures is cheaper than a transform pair
_THREAD_POINTS = 2**16  # below this many results starting threads costs more than it saves
_EXACT = 2**53  # integers up to here are exact in float64


# --- tiles and threads ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tiling:
    """How the valid places of a window are cut into blocks, and the transform each block needs."""

    places: Shape
    window: Shape
    block: Shape
    fft_shape: Shape

    def blocks(self) -> Iterator[Region]:
        """Regions of the result, in row-major order."""
        starts = (range(0, n, b) for n, b in zip(self.places, self.block, strict=True))
        for corner in itertools.product(*starts):
            ends = map(min, zip(map(sum, zip(corner, self.block, strict=True)), self.places, strict=True))
            yield tuple(itertools.starmap(slice, zip(corner, ends, strict=True)))

    def needs(self, block: Region) -> Region:
        """Give the region of the image that the results of `block` are computed from."""
        return tuple(slice(s.start, s.stop + k - 1) for s, k in zip(block, self.window, strict=True))


@cache
def plan_tiles(image_shape: Shape, window: Shape) -> Tiling:
    """Choose blocks for the least work: a transform costs so much a point, more beyond the cache."""
    from scipy.fft import next_fast_len  # noqa: PLC0415

    places = tuple(n - k + 1 for n, k in zip(image_shape, window, strict=True))
    options = []
    for n, k in zip(places, window, strict=True):
        counts = sorted({min(n, max(1, round(1.2**step))) for step in range(60)})
        blocks = [-(-n // count) for count in counts if -(-n // count) >= min(n, k // 2 + 1, 64)]
        options.append(sorted({(b, next_fast_len(b + k - 1, real=True), -(-n // b)) for b in blocks}))

    def cost(choice: Sequence[tuple[int, int, int]]) -> float:
        points = math.prod(size for _, size, _ in choice)
        beyond = max(0.0, math.log2(points / _CACHE_POINTS))
        count = math.prod(count for _, _, count in choice)
        return (points * (1 + 0.25 * beyond) + _TILE_OVERHEAD) * -(-count // _FAIR_SHARE)

    # Axis by axis, twice round: a full product would be too long in many dimensions.
    best = [axis[len(axis) // 2] for axis in options]
    for axis in (*range(len(window)), *range(len(window))):
        best[axis] = min(options[axis], key=lambda o, a=axis: (cost([*best[:a], o, *best[a + 1 :]]), o))  # type: ignore[misc]
    return Tiling(places, window, tuple(b for b, _, _ in best), tuple(size for _, size, _ in best))


def run_tiles(work: Callable[[Region], None], tiling: Tiling) -> None:
    """Call `work` on every block of `tiling`, on a thread per core when there is enough to do."""
    blocks = list(tiling.blocks())
    workers = min(len(blocks), available_cores())
    if workers == 1 or math.prod(tiling.places) < _THREAD_POINTS:
        for block in blocks:
            work(block)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        for _ in pool.map(work, blocks):
            pass
    finally:  # also on Ctrl-C: tiles not yet begun are dropped
        pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --- correlation ----------------------------------------------------------------------------------


def correlate_valid(image: Array, kernel: Array) -> Array:
    """Correlate over all windows that lie inside the image: ``sum(window * conj(kernel))``.

    Float64 (or complex128) whatever goes in, but float32 for a float32 image and complex64 for a
    complex64 one or for a float32 one under a complex kernel. Integers times whole numbers give the exact integers
    as long as these stay below 2**53.
    """
    tiling = plan_tiles(image.shape, kernel.shape)
    single = image.dtype in (np.float32, np.complex64)
    is_complex = np.iscomplexobj(image) or np.iscomplexobj(kernel)
    dtype = np.dtype(("c8" if single else "c16") if is_complex else ("f4" if single else "f8"))
    whole = _is_whole(image) and _is_whole(kernel)
    out = np.empty(tiling.places, dtype)
    direct = np.count_nonzero(kernel) <= _DIRECT_TAPS or (
        whole and not _rounds_exactly(image, kernel, tiling)
    )
    weights = np.conj(kernel).astype(dtype)
    spectrum = None if direct else tile_spectrum(kernel.astype(dtype), tiling)

    def work(block: Region) -> None:
        tile = image[tiling.needs(block)].astype(dtype)
        if spectrum is None:
            _add_shifted(tile, weights, out[block])
        else:
            result = correlate_tile([tile], [spectrum], tiling, block)
            np.rint(result, out=out[block]) if whole else np.copyto(out[block], result)

    run_tiles(work, tiling)
    return out


def tile_spectrum(kernel: Array, tiling: Tiling) -> Array:
    """Spectrum of a kernel, conjugated so that multiplying by it correlates."""
    from scipy import fft  # noqa: PLC0415

    if np.iscomplexobj(kernel):
        return np.asarray(np.conj(fft.fftn(kernel, tiling.fft_shape)))
    return np.asarray(np.conj(fft.rfftn(kernel, tiling.fft_shape)))


def correlate_tile(tiles: Sequence[Array], spectra: Sequence[Array], tiling: Tiling, block: Region) -> Array:
    """Correlate each tile with its kernel's spectrum and add them up (channels share one inverse)."""
    from scipy import fft  # noqa: PLC0415

    is_complex = np.iscomplexobj(tiles[0])
    forward, inverse = (fft.fftn, fft.ifftn) if is_complex else (fft.rfftn, fft.irfftn)
    total = forward(tiles[0], tiling.fft_shape)
    total *= spectra[0]
    for tile, spectrum in zip(tiles[1:], spectra[1:], strict=True):
        product = forward(tile, tiling.fft_shape)
        product *= spectrum
        total += product
    full: Array = inverse(total, tiling.fft_shape, overwrite_x=True)
    return full[tuple(slice(s.stop - s.start) for s in block)]


def rounding_bound(norms: float, tiling: Tiling) -> float:
    """Bound the error of a correlation by transforms: machine epsilon, log of the size, both norms."""
    return float(np.finfo(np.float64).eps * (2 + math.log2(math.prod(tiling.fft_shape))) * norms)


def _rounds_exactly(image: Array, kernel: Array, tiling: Tiling) -> bool:
    points = math.prod(min(n, f) for n, f in zip(image.shape, tiling.fft_shape, strict=True))
    norms = _largest(image) * math.sqrt(points) * float(np.linalg.norm(kernel.astype(np.float64).ravel()))
    return rounding_bound(norms, tiling) < 0.25  # half a unit would be enough


def _is_whole(array: Array) -> bool:
    """Tell whether every value is an integer: by dtype, or by value for kernels written as floats."""
    if array.dtype.kind in "biu":
        return True
    small = array.size <= 2**16  # an image of floats is not worth the look
    return small and array.dtype.kind == "f" and bool(np.all(np.rint(array) == array))


def _largest(array: Array) -> int:
    """Largest magnitude an array of integers can hold; looked up only where the dtype says nothing."""
    if array.dtype.kind == "b":
        return 1
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return int(max(-int(np.iinfo(array.dtype).min), np.iinfo(array.dtype).max))
    return int(max(abs(array.min().item()), abs(array.max().item())))


def _add_shifted(tile: Array, weights: Array, out: Array) -> None:
    """Add up the tile shifted by each tap, times its weight."""
    out[...] = 0
    product = np.empty_like(out)
    for tap in zip(*np.nonzero(weights), strict=True):
        shifted = tile[tuple(slice(t, t + n) for t, n in zip(tap, out.shape, strict=True))]
        out += np.multiply(shifted, weights[tap], out=product)


# --- sums and maxima ------------------------------------------------------------------------------


def sliding_sum(array: Array, shape: Shape) -> Array:
    """Sum over every window of the given shape.

    Integers are added as integers, in the narrowest type that holds any sum, so they are exact. Floats are added in
    float64 pairwise (sums of 1, 2, 4, ... pixels), so the error grows with the logarithm of the window.
    """
    return _doubling(array.astype(_sum_dtype(array, math.prod(shape)), copy=False), shape, np.add)


def sliding_max(array: Array, shape: Shape) -> Array:
    """Find the maximum of every window of the given shape."""
    return _doubling(array, shape, np.maximum)


def sliding_min(array: Array, shape: Shape) -> Array:
    """Find the minimum of every window of the given shape."""
    return _doubling(array, shape, np.minimum)


def _sum_dtype(array: Array, count: int) -> np.dtype[Any]:
    if array.dtype.kind == "c":
        return np.dtype(np.complex128)
    if array.dtype.kind == "f" or array.size == 0:
        return np.dtype(np.float64)
    bound = _largest(array) * count
    for dtype in (np.int32, np.int64):
        if bound <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.float64)  # only 64-bit integers can come here


def _doubling(array: Array, shape: Shape, combine: np.ufunc) -> Array:
    """Combine windows of 1, 2, 4, ... elements, then those that make up the window's length.

    The array is taken as one long line: a step along an axis is a shift by that axis's stride, and
    adding whole lines is fastest. What wraps from one row to the next falls outside the result.
    """
    line = np.ascontiguousarray(array).ravel()
    for axis, length in enumerate(shape):
        step = math.prod(array.shape[axis + 1 :])
        power, result, done = line, None, 0  # windows of `size` elements; of the `done` first ones
        size = 1
        while size <= length:
            if length & size:
                result = power if result is None else _overlay(result, power, done * step, combine)
                done += size
            size *= 2
            if size <= length:
                power = combine(power[: -size // 2 * step], power[size // 2 * step :])
        assert result is not None  # noqa: S101  (a window has at least one element)
        line = result[: line.size - (length - 1) * step]
    out_shape = tuple(n - k + 1 for n, k in zip(array.shape, shape, strict=True))
    strides = tuple(line.itemsize * math.prod(array.shape[a + 1 :]) for a in range(array.ndim))
    return np.lib.stride_tricks.as_strided(line, out_shape, strides)


def _overlay(first: Array, second: Array, shift: int, combine: np.ufunc) -> Array:
    later = second[shift:]
    return np.asarray(combine(first[: later.size], later[: first.size]))
