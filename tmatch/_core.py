"""Windows that slide over arrays of any dimension: correlation, sums and maxima, tile by tile."""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tmatch import _tiles
from tmatch._tiles import Region, Shape, Tiling

Array = NDArray[Any]

_ROW_TAPS = 9  # np.correlate unrolls its loop for so many taps, and is slow for 12 and more
_TRANSFORM_PASSES = 42  # what a pair of transforms costs, as passes of adding or multiplying over a tile


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
            with np.errstate(over="ignore"):  # told below
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


def correlate_valid(image: Array | Extended, kernel: Array, *, out: Array | None = None) -> Array:
    """Correlate over all windows that lie inside the image: ``sum(window * conj(kernel))``.

    `out` takes the result; its dtype, float or complex of 32 or 64 bits a part, is also the precision of the work.
    Without it the dtype is `result_dtype`. Integers times whole numbers give exact integers below 2**53.
    """
    if not isinstance(image, Extended):
        image = Extended(image, [(0, 0)] * image.ndim)
    if out is None:
        places = tuple(n - k + 1 for n, k in zip(image.shape, kernel.shape, strict=True))
        out = np.empty(places, result_dtype(image.image.dtype, kernel.dtype))
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
    factors = _separate(weights, float(np.finfo(out.dtype).eps), whole=whole)
    work = out.dtype
    if whole:
        largest = image.largest()
        small = largest * float(np.abs(weights).sum()) < 2**24
        # Float32 holds integers below 2**24, in half the memory.
        work = np.dtype(np.float32 if small else np.float64)
    single = work in (np.float32, np.complex64)
    direct = _passes(weights, single=single)
    separable = sum(_passes(factor, single=single) for factor in factors) if factors else math.inf
    passes = min(direct, separable)
    tiling, spectrum = _tiles.plan_blocks(image.shape, weights.shape), None
    if passes > _TRANSFORM_PASSES:  # transforms cost at least that
        tiles = _tiles.plan_tiles(image.shape, weights.shape)
        transforms = _TRANSFORM_PASSES * tiles.work / math.prod(tiles.places)
        norms = (
            largest * math.sqrt(math.prod(tiles.fft_shape)) * float(np.linalg.norm(weights)) if whole else 0.0
        )
        if (
            transforms < passes and rounding_bound(norms, tiles) < 0.25
        ):  # else not sure to round to the integer
            work = np.dtype(np.float64) if whole else work
            passes, tiling, spectrum = transforms, tiles, tile_spectrum(np.conj(weights).astype(work), tiles)

    def compute(block: Region) -> None:
        tile = image.read(tiling.needs(block), work)
        # Sums across the ends of rows may overflow, but lie outside the result.
        with np.errstate(over="ignore", invalid="ignore"):
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

    _tiles.run_tiles(compute, tiling, passes)


def _is_finite(array: Array) -> bool:
    """Tell whether all values are finite; where they are ordered, their ends tell it."""
    if array.dtype.kind == "c":
        return bool(np.isfinite(array).all())
    return math.isfinite(array.max()) and math.isfinite(array.min())


def _passes(weights: Array, *, single: bool) -> float:
    """Count the passes over a tile, of adding or multiplying, that summing its weighted copies takes."""
    if _is_box(weights):
        return 2 * math.log2(len(weights)) + 1
    return min(_passes_by_weight(weights), _passes_by_row(weights, single=single))


def _passes_by_weight(weights: Array) -> float:
    return float(np.count_nonzero(weights) + len(np.unique(np.abs(weights[weights != 0]))))


def _passes_by_row(weights: Array, *, single: bool) -> float:
    """Count them for `np.correlate`, measured: it sums a short row of real weights in one go."""
    if weights.dtype.kind == "c":
        return math.inf
    taps = min(weights.shape[-1], _ROW_TAPS)
    rows = weights.size // weights.shape[-1] * -(-weights.shape[-1] // _ROW_TAPS)
    return float(rows * (1 + (max(7.0, 1.5 * taps) if single else 0.8 * taps)))


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
    single = line.dtype == np.float32
    if steps[-1] == 1 and _passes_by_row(weights, single=single) < _passes_by_weight(weights):
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
    """Tell whether every weight is an integer, as far as floats can tell."""
    return kernel.dtype.kind == "f" and bool(
        (np.rint(kernel) == kernel).all() and np.abs(kernel).max() < 2**53
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
