"""Windows that slide over arrays of any dimension: correlation, sums and maxima.

Work is cut into tiles whose transforms stay in the processor's cache, and tiles are shared out to
threads. Tiles depend on shapes alone, never on the number of threads.
"""

import collections
import functools
import itertools
import math
import operator
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]
Region = tuple[slice, ...]

_CACHE_POINTS = 2**17  # points of one tile's transform that still stay near the core
_TILE_OVERHEAD = 20_000  # what starting one more tile costs, as points of a transform
_FAIR_SHARE = 4  # tiles come in multiples of this, so that few cores stay idle at the end
_ROW_TAPS = 9  # np.correlate unrolls its loop for so many taps, and is slow for 12 and more
_TRANSFORM_PASSES = 45  # what a pair of transforms costs, as passes of adding or multiplying over a tile
_THREAD_WORK = (
    10_000_000  # passes times points, about 2 ms: below this starting threads costs more than it saves
)
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

    @property
    def work(self) -> int:
        """Points transformed in all."""
        return math.prod(self.fft_shape) * math.prod(
            -(-n // b) for n, b in zip(self.places, self.block, strict=True)
        )

    def needs(self, block: Region) -> Region:
        """Give the region of the image that the results of `block` are computed from."""
        return tuple(slice(s.start, s.stop + k - 1) for s, k in zip(block, self.window, strict=True))


@functools.cache
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


def plan_blocks(image_shape: Shape, window: Shape) -> Tiling:
    """Cut into equal blocks small enough for the cache, for work without transforms."""
    places = tuple(n - k + 1 for n, k in zip(image_shape, window, strict=True))
    block: list[int] = []
    points = float(_CACHE_POINTS)
    for axis, n in reversed(list(enumerate(places))):
        size = min(n, math.ceil(points ** (1 / (axis + 1))))
        block.insert(0, -(-n // -(-n // size)))  # no last block much smaller than the others
        points = max(1.0, points / size)
    return Tiling(places, window, tuple(block), ())


def run_tiles(work: Callable[[Region], None], tiling: Tiling, passes: float) -> None:
    """Call `work` on every block, on a thread per core if so many passes over all places are worth it."""
    pending = collections.deque(enumerate(tiling.blocks()))
    errors: list[tuple[int, BaseException]] = []

    def drain() -> None:
        while pending:
            try:
                number, block = pending.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                work(block)
            except BaseException as error:  # noqa: BLE001  also Ctrl-C: tiles not yet begun are dropped
                pending.clear()
                errors.append((number, error))

    many = passes * math.prod(tiling.places) > _THREAD_WORK
    helpers = [
        threading.Thread(target=drain) for _ in range(min(len(pending), available_cores()) - 1 if many else 0)
    ]
    for thread in helpers:
        thread.start()
    drain()
    for thread in helpers:
        thread.join()
    if errors:  # the first tile's, whichever thread was first
        raise min(errors, key=operator.itemgetter(0))[1]


def available_cores() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --- correlation ----------------------------------------------------------------------------------


Border = Literal["constant", "edge", "reflect", "symmetric", "wrap"]


class Extended:
    """An image that goes on outside itself, read tile by tile; no whole copy of it is made."""

    def __init__(
        self, image: Array, margins: Sequence[tuple[int, int]], border: Border = "constant", fill: float = 0
    ) -> None:
        self.image, self.margins, self.border, self.fill = image, margins, border, fill
        self.shape = tuple(
            n + before + after for n, (before, after) in zip(image.shape, margins, strict=True)
        )
        self.whole = image.dtype.kind in "biu" and fill == int(fill)

    def largest(self) -> int:
        """Largest magnitude the pixels, being integers, can have."""
        return max(_largest(self.image), abs(int(self.fill)))

    def read(self, region: Region, dtype: np.dtype[Any]) -> Array:
        """Copy a tile."""
        starts = [part.start - before for part, (before, _) in zip(region, self.margins, strict=True)]
        shape = [part.stop - part.start for part in region]
        tile = np.empty(shape, dtype)
        parts = [self._parts(*axis) for axis in zip(starts, shape, self.image.shape, strict=True)]
        for pieces in itertools.product(*parts):
            source: Array | float = self.image
            for axis, (_, inside) in enumerate(pieces):
                source = (
                    self.fill if inside is None else np.asarray(source)[(slice(None),) * axis + (inside,)]
                )
                if inside is None:
                    break
            tile[tuple(target for target, _ in pieces)] = source
        if not _is_finite(tile):
            msg = "`image` has NaN or infinite values; replace them first, for instance with np.nan_to_num"
            if np.isfinite(self.image).all():
                msg = f"`image` or `fill_value` passes the largest {dtype.name}; scale it down"
            raise ValueError(msg)
        return tile

    def _parts(self, start: int, length: int, n: int) -> list[tuple[slice, slice | Array | None]]:
        """Cut a tile's axis where the image begins and ends; say what is read for each part, None for the fill."""
        first, last = min(max(-start, 0), length), min(max(n - start, 0), length)
        parts: list[tuple[slice, slice | Array | None]] = []
        for low, high in ((0, first), (last, length)):
            if low < high:
                filled = self.border == "constant"
                parts.append(
                    (
                        slice(low, high),
                        None if filled else _inside(np.arange(start + low, start + high), n, self.border),
                    )
                )
        if first < last:
            parts.append((slice(first, last), slice(start + first, start + last)))
        return parts


def _inside(place: Array, n: int, border: Border) -> Array:
    """Give the pixel of n that stands for a place on an axis."""
    if border == "edge":
        return np.clip(place, 0, n - 1)
    if border == "wrap":
        return place % n
    period = 2 * n if border == "symmetric" else max(2 * n - 2, 1)
    there = place % period
    return np.where(there < n, there, period - (border == "symmetric") - there)


def correlate_valid(image: Array | Extended, kernel: Array, dtype: np.dtype[Any] | None = None) -> Array:
    """Correlate over all windows that lie inside the image: ``sum(window * conj(kernel))``.

    `dtype` is the result's, float or complex of 32 or 64 bits a part, which is also the precision of the
    work; by default `result_dtype`. Integers times whole numbers give exact integers below 2**53.
    """
    if not isinstance(image, Extended):
        image = Extended(image, [(0, 0)] * image.ndim)
    places = tuple(n - k + 1 for n, k in zip(image.shape, kernel.shape, strict=True))
    out = np.empty(places, dtype or result_dtype(image.image.dtype, kernel.dtype))
    if kernel.dtype.kind == "c" and image.image.dtype.kind != "c":  # two real correlations
        _correlate_into(out.real, image, kernel.real)
        _correlate_into(out.imag, image, -kernel.imag)
    else:
        _correlate_into(out, image, np.conj(kernel))
    return out


def result_dtype(image: np.dtype[Any], kernel: np.dtype[Any]) -> np.dtype[Any]:
    """Give float64, or float32 for a float32 image; complex if one of the two is."""
    single = image.newbyteorder("=") in (np.float32, np.complex64)
    if "c" in (image.kind, kernel.kind):
        return np.dtype(np.complex64 if single else np.complex128)
    return np.dtype(np.float32 if single else np.float64)


def _correlate_into(out: Array, image: Extended, weights: Array) -> None:
    """Sum window times weight by the cheapest way: tap by tap, axis by axis, or by transforms."""
    weights = weights.astype(np.result_type(weights, np.float64))
    whole = image.whole and _is_whole(weights)
    tiling = plan_tiles(image.shape, weights.shape)
    factors = _separate(weights, float(np.finfo(out.dtype).eps), whole=whole)
    direct, separable = _passes(weights), sum(map(_passes, factors)) if factors else math.inf
    transforms = _TRANSFORM_PASSES * tiling.work / math.prod(tiling.places)
    work = out.dtype
    if whole:
        largest = image.largest()
        norms = largest * math.sqrt(math.prod(tiling.fft_shape)) * float(np.linalg.norm(weights))
        if rounding_bound(norms, tiling) >= 0.25:  # too large to be rounded to the right integer
            transforms = math.inf
        small = largest * float(np.abs(weights).sum()) < 2**24 and min(direct, separable) <= transforms
        work = np.dtype(
            np.float32 if small else np.float64
        )  # float32 holds these integers, in half the memory
    spectrum = None
    if transforms < min(direct, separable):
        spectrum = tile_spectrum(np.conj(weights).astype(work), tiling)
    else:
        tiling = plan_blocks(image.shape, weights.shape)

    def compute(block: Region) -> None:
        tile = image.read(tiling.needs(block), work)
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # of sums across rows, which lie outside the result
            if spectrum is not None:
                result = correlate_tile([tile], [spectrum], tiling, block)
            elif factors and separable < direct:
                result = _sum_along_axes(tile, factors)
            else:
                result = _sum_taps(tile, weights)
            if not _is_finite(result):
                msg = f"sums of `image` times `kernel` pass the largest {work.name}; scale one of them down"
                raise ValueError(msg)
        out[block] = np.rint(result) if whole and spectrum is not None else result

    run_tiles(compute, tiling, min(direct, separable, transforms))


def _is_finite(array: Array) -> bool:
    """Tell whether all values are finite; a sum is the quickest sign of it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())


def _passes(weights: Array) -> float:
    """Count the passes over a tile, of adding or multiplying, that summing its weighted copies takes."""
    if _is_box(weights):
        return 2 * math.log2(len(weights)) + 1
    return min(_passes_by_weight(weights), _passes_by_row(weights))


def _passes_by_weight(weights: Array) -> float:
    return float(np.count_nonzero(weights) + len(np.unique(np.abs(weights[weights != 0]))))


def _passes_by_row(weights: Array) -> float:
    """Count them for `np.correlate`, which takes short rows of real weights at about a pass a tap."""
    rows = weights.size // weights.shape[-1] * -(-weights.shape[-1] // _ROW_TAPS)
    return math.inf if weights.dtype.kind == "c" else float(weights.size + rows)


def _rows(weights: Array) -> list[tuple[tuple[int, ...], Array]]:
    """Cut a kernel into short rows along its last axis, each with its place; rows of zeros are left out."""
    pieces = []
    for lead in np.ndindex(weights.shape[:-1]):
        for start in range(0, weights.shape[-1], _ROW_TAPS):
            taps = weights[lead][start : start + _ROW_TAPS]
            if taps.any():
                pieces.append(((*lead, start), taps))
    return pieces


def _is_box(weights: Array) -> bool:
    return weights.ndim == 1 and len(weights) > 3 and bool((weights == weights[0]).all())


def _separate(kernel: Array, precision: float, *, whole: bool) -> list[Array] | None:
    """Take a kernel of rank 1 apart into one factor for each axis; None if it is of higher rank.

    The lines through its largest element are the factors, but for scale. Whole numbers give whole factors.
    """
    peak = tuple(int(i) for i in np.unravel_index(np.abs(kernel).argmax(), kernel.shape))
    largest = kernel[peak]
    if kernel.ndim == 1 or largest == 0:
        return None
    lines = [np.moveaxis(kernel, axis, -1)[(*peak[:axis], *peak[axis + 1 :])] for axis in range(kernel.ndim)]
    if whole:
        factors = [line / np.gcd.reduce(line.astype(np.int64)) for line in lines]
        factors[0] = factors[0] * (largest / math.prod(f[p] for f, p in zip(factors, peak, strict=True)))
    else:
        factors = [lines[0], *(line / largest for line in lines[1:])]
    product = functools.reduce(np.multiply.outer, factors)
    allowed = 0 if whole else 2 * precision * np.abs(largest)
    return factors if np.abs(product - kernel).max() <= allowed else None


def _sum_taps(tile: Array, weights: Array) -> Array:
    """Sum copies of a tile, shifted and weighted."""
    steps = _steps(tile.shape)
    line = _sum_line(tile.ravel(), weights, steps)
    return _as_windows(line, tile.shape, weights.shape)


def _sum_line(line: Array, weights: Array, steps: Sequence[int]) -> Array:
    """Sum copies of a line; `steps` says how far it is shifted from one weight to the next on each axis."""
    size = line.size - sum((k - 1) * step for k, step in zip(weights.shape, steps, strict=True))
    if steps[-1] == 1 and _passes_by_row(weights) < _passes_by_weight(weights):
        total = np.zeros(size, line.dtype)
        for place, taps in _rows(weights.astype(line.dtype)):
            start = sum(p * step for p, step in zip(place, steps, strict=True))
            total += np.correlate(line[start : start + size + len(taps) - 1], taps)
        return total
    taps = np.argwhere(weights)
    return _sum_shifted(line, taps @ np.array(steps), weights[tuple(taps.T)], size)


def _sum_along_axes(tile: Array, factors: Sequence[Array]) -> Array:
    """Correlate with one factor after another, each along its axis."""
    line = tile.ravel()
    for factor, step in zip(factors, _steps(tile.shape), strict=True):
        if _is_box(factor):
            line = _sweep(line, len(factor), step, np.add) * line.dtype.type(factor[0])
        else:
            line = _sum_line(line, factor, [step])
    return _as_windows(line, tile.shape, tuple(map(len, factors)))


def _sum_shifted(line: Array, shifts: Array, weights: Array, size: int) -> Array:
    """Sum shifted copies of a line times their weights; copies of equal weight are summed before multiplying."""
    copies = [line[shift : shift + size] for shift in shifts.tolist()]
    groups: dict[complex, list[int]] = {}
    for i, weight in enumerate(weights.tolist()):
        groups.setdefault(-weight if -weight in groups else weight, []).append(i)
    total, term = np.zeros_like(copies[0]) if copies else np.zeros(size, line.dtype), None
    for weight, members in groups.items():
        first, *others = members
        if others:
            term = np.add(copies[first], 0, out=term)
            for i in others:
                (np.add if weights[i] == weight else np.subtract)(term, copies[i], out=term)
            if weight != 1:
                term *= line.dtype.type(weight)
        else:
            term = np.multiply(copies[first], line.dtype.type(weight), out=term)
        total += term
    return total


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


def _is_whole(kernel: Array) -> bool:
    """Tell whether every weight is an integer, though it may be written as a float."""
    if kernel.dtype.kind in "biu":
        return True
    return kernel.dtype.kind == "f" and bool(
        (np.rint(kernel) == kernel).all() and np.abs(kernel).max() < _EXACT
    )


def _largest(array: Array) -> int:
    """Largest magnitude an array of integers can hold; looked up only where the dtype says nothing."""
    if array.dtype.kind == "b":
        return 1
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 2:
        return int(max(-int(np.iinfo(array.dtype).min), np.iinfo(array.dtype).max))
    return max(abs(int(array.min())), abs(int(array.max())))


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
    line = np.ascontiguousarray(array).ravel()
    with np.errstate(over="ignore", invalid="ignore"):  # of sums across rows, which lie outside the result
        for length, step in zip(shape, _steps(array.shape), strict=True):
            line = _sweep(line, length, step, combine)
    return _as_windows(line, array.shape, shape)


def _sweep(line: Array, length: int, step: int, combine: np.ufunc) -> Array:
    """Combine so many elements, `step` apart: windows of 1, 2, 4, ... first, then those that make up the length."""
    reach = line.size - (length - 1) * step
    result, done = None, 0  # of the `done` first elements
    power, size = line, 1  # of `size` elements each
    while size <= length:
        if length & size:
            later = power[done * step :][:reach]
            result = later if result is None else combine(result, later)
            done += size
        power = combine(power[: -size * step], power[size * step :]) if 2 * size <= length else power
        size *= 2
    return np.asarray(result)


# An array is worked on as one long line: a step along an axis is a shift by that axis's step, and whole lines are
# added fastest. What wraps from one row to the next falls outside the windows.


def _steps(shape: Shape) -> list[int]:
    """Distance on the line between neighbours along each axis."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _as_windows(line: Array, shape: Shape, window: Shape) -> Array:
    """See the line's first elements as the array of all windows inside an array of the given shape."""
    places = tuple(n - k + 1 for n, k in zip(shape, window, strict=True))
    return np.lib.stride_tricks.as_strided(line, places, [step * line.itemsize for step in _steps(shape)])
