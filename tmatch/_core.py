"""Windows that slide over arrays of any dimension: correlation, sums and maxima, tile by tile."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch import _engine, _tiles
from tmatch._borders import Array, Extended, is_finite, largest_magnitude
from tmatch._spectra import correlate_spectra, rounding_bound, tile_spectrum, transform
from tmatch._tiles import Job, Region, Shape, Tiling

_REMEMBERED_WEIGHTS = 2**12  # of a kernel about which is kept what was found out
_REMEMBERED_POINTS = 2**19  # of a spectrum that is kept, as the next call may be with the same kernel
_ROW_TAPS = 9  # np.correlate unrolls its loop for so many taps, and is slow for 12 and more
_TRANSFORM_PASSES = 42  # what a pair of transforms costs, as passes of adding or multiplying over a tile
_SHARED = 1.5  # as many taps for two rows as for one, at most, if two are summed at a time
_COMPILED_TAP = 0.18  # what a tap costs compiled code, as such passes
_COMPILED_TRANSFORM_PASSES = 16  # and a pair of transforms


# --- correlation ----------------------------------------------------------------------------------


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
    correlate_planes([image], [kernel], [out])
    return out


def correlate_planes(
    images: Sequence[Extended], kernels: Sequence[Array], outs: Sequence[Array], *, workers: int | None = None
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
    _tiles.run(*jobs, workers=workers)


def result_dtype(image: np.dtype[Any], kernel: np.dtype[Any]) -> np.dtype[Any]:
    """Give float64, or float32 for a float32 image; complex if one of the two is."""
    single = image.newbyteorder("=") in (np.float32, np.complex64)
    if "c" in (image.kind, kernel.kind):
        return np.dtype(np.complex64 if single else np.complex128)
    return np.dtype(np.float32 if single else np.float64)


def _plan(images: Sequence[Extended], weights: Array, outs: Sequence[Array]) -> list[Job]:
    """Choose the cheapest way to sum window times weight: tap by tap, axis by axis, or by transforms."""
    weights = weights.astype(np.result_type(weights, np.float64))
    shape, dtype = images[0].shape, outs[0].dtype
    whole = images[0].whole and _is_whole(weights)
    work = dtype
    if whole:
        largest = max(image.largest() for image in images)
        small = largest * float(np.abs(weights).sum()) < 2**24
        # Float32 holds integers below 2**24, in half the memory.
        work = np.dtype(np.float32 if small else np.float64)
    tiling = _tiles.plan_blocks(shape, weights.shape)
    passes, sum_tile = _choose_sums(weights, work, math.prod(tiling.places) * len(images), whole=whole)
    if passes > _COMPILED_TRANSFORM_PASSES:  # transforms cost at least that
        is_complex = "c" in (weights.dtype.kind, work.kind)
        compiled = not is_complex and _engine.compiled(0) is not None
        tiles = _tiles.plan_tiles(shape, weights.shape, compiled=compiled)
        each = _COMPILED_TRANSFORM_PASSES if tiles.compiled else _TRANSFORM_PASSES
        transforms = (
            each * tiles.work * (1 + 1 / (2 * tiles.count)) / math.prod(tiles.places)
        )  # and the kernel's
        points = math.prod(tiles.fft_shape)
        norms = largest * math.sqrt(points) * float(np.linalg.norm(weights)) if whole else 0.0
        # Else it is not sure that rounding gives the integer.
        if transforms < passes and rounding_bound(norms, tiles) < 0.25:
            work = np.dtype(np.float64) if whole else work
            kernel = np.conj(weights).astype(work)
            remember = math.prod(tiles.fft_shape) <= _REMEMBERED_POINTS
            make = _remembered_spectrum if remember else _remembered_spectrum.__wrapped__
            spectrum = make(kernel.tobytes(), kernel.shape, work, tiles)
            passes, tiling = transforms, tiles
            sum_tile = functools.partial(_sum_by_transform, spectrum, tiling, whole)

    full = bool(weights.all())

    def compute(image: Extended, out: Array, block: Region) -> None:
        tile, part = image.tile(tiling.needs(block), work), out[block]
        # Sums across the ends of rows may overflow, but lie outside the result.
        with np.errstate(over="ignore", invalid="ignore"):
            finite = sum_tile(tile, part)
        # What is not finite in a tile shows in its sums, but for pixels that have no weight.
        if not finite or not full:
            image.check(tile)
        if not finite:
            msg = f"sums of `image` times `kernel` pass the largest {part.dtype.name}; scale one of them down"
            raise ValueError(msg)

    return [Job(functools.partial(compute, *pair), tiling, passes) for pair in zip(images, outs, strict=True)]


def _choose_sums(
    weights: Array, work: np.dtype[Any], places: int, *, whole: bool
) -> tuple[float, Callable[[Array, Array], bool]]:
    """Choose between all taps at once and axis after axis, and the engine; say how many passes over a tile it takes."""
    ways_of = _ways if weights.size <= _REMEMBERED_WEIGHTS else _ways.__wrapped__
    ways = ways_of(weights.tobytes(), weights.shape, weights.dtype, work, whole)
    best = min(ways, key=lambda way: way.passes)
    engine = None if "c" in (weights.dtype.kind, work.kind) else _engine.compiled(best.passes * places)
    if engine:
        sparing = min(ways, key=lambda way: way.compiled_passes)
        if sparing.compiled_passes < best.passes:
            return sparing.compiled_passes, functools.partial(_sum_compiled, engine.sum_shifted, sparing.taps)
    return best.passes, functools.partial(_sum_by_numpy, best.parts)


@functools.lru_cache(maxsize=4)
def _remembered_spectrum(data: bytes, shape: Shape, dtype: np.dtype[Any], tiling: Tiling) -> Array:
    return tile_spectrum(np.frombuffer(data, dtype).reshape(shape), tiling)


@dataclass(frozen=True)
class _Way:
    """Kernels to correlate with one after another, and the passes over a tile that takes NumPy and compiled code."""

    parts: list[Array]
    work: np.dtype[Any]
    passes: float
    compiled_passes: float

    @functools.cached_property
    def taps(self) -> "list[_Taps]":
        return [_Taps(part, self.work) for part in self.parts]


@functools.lru_cache(maxsize=32)
def _ways(data: bytes, shape: Shape, dtype: np.dtype[Any], work: np.dtype[Any], whole: bool) -> list[_Way]:  # noqa: FBT001
    """Give the ways to sum with a kernel, which are remembered: often many images are filtered with one."""
    weights = np.frombuffer(data, dtype).reshape(shape)
    factors = _separate(weights, float(np.finfo(work).eps), whole=whole)
    ways = []
    for parts in [[weights], *([factors] if factors else [])]:
        passes = sum(_passes(part, single=work in (np.float32, np.complex64)) for part in parts)
        compiled = sum(1 + _COMPILED_TAP * np.count_nonzero(part) for part in parts)
        ways.append(_Way(parts, work, passes, compiled))
    return ways


def _passes(weights: Array, *, single: bool) -> float:
    """Count the passes over a tile, of adding or multiplying, that summing its weighted copies takes NumPy."""
    if _is_box(weights):
        return 2 * math.log2(weights.size) + 1
    return min(_passes_by_weight(weights), _passes_by_row(weights, single=single))


def _passes_by_weight(weights: Array) -> float:
    count = np.count_nonzero(weights)
    if count > 2 * _TRANSFORM_PASSES:  # more than anyone would sum so
        return float(count)
    return float(count + len(np.unique(np.abs(weights[weights != 0]))))


def _passes_by_row(weights: Array, *, single: bool) -> float:
    """Count them for `np.correlate`, measured: it sums a short row of real weights in one go."""
    if weights.dtype.kind == "c" or weights.shape[-1] == 1:
        return math.inf
    taps = min(weights.shape[-1], _ROW_TAPS)
    rows = weights.size // weights.shape[-1] * -(-weights.shape[-1] // _ROW_TAPS)
    return float(rows * (1 + (max(7.0, 1.5 * taps) if single else 0.8 * taps)))


def _is_box(weights: Array) -> bool:
    """Tell whether a kernel is a plain sum along one axis."""
    return 3 < weights.size == max(weights.shape) and bool((weights == weights.flat[0]).all())


def _separate(kernel: Array, precision: float, *, whole: bool) -> list[Array] | None:
    """Take a kernel of rank 1 apart into one kernel along each axis; None if it is of higher rank.

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
    shaped = [
        np.expand_dims(f, [a for a in range(kernel.ndim) if a != axis]) for axis, f in enumerate(factors)
    ]
    allowed = 0 if whole else 2 * precision * np.abs(largest)
    return shaped if np.abs(math.prod(shaped) - kernel).max() <= allowed else None


# The ways to do it, all alike: sum windows of a tile into `out`, and tell whether all sums are finite.


def _sum_by_transform(spectrum: Array, tiling: Tiling, rounds: bool, tile: Array, out: Array) -> bool:  # noqa: FBT001
    pair = transform(tile, tiling), spectrum
    full = correlate_spectra([pair], tiling, is_complex=np.iscomplexobj(tile), overwrite=True)
    sums = full[tuple(map(slice, out.shape))]
    out[...] = np.rint(sums, out=sums) if rounds else sums
    return is_finite(out)


def _sum_by_numpy(parts: Sequence[Array], tile: Array, out: Array) -> bool:
    """Correlate with one kernel after another."""
    line, steps = tile.ravel(), _steps(tile.shape)
    for weights in parts:
        if _is_box(weights):
            step = steps[weights.shape.index(weights.size)]
            line = _sweep(line, weights.size, step, np.add) * line.dtype.type(weights.flat[0])
        else:
            line = _sum_line(line, weights, steps)
    window = tuple(n - m + 1 for n, m in zip(tile.shape, out.shape, strict=True))
    out[...] = _as_windows(line, tile.shape, window)
    return is_finite(out)


def _sum_line(line: Array, weights: Array, steps: Sequence[int]) -> Array:
    """Sum copies of a line; `steps` says how far it is shifted from one weight to the next on each axis."""
    size = line.size - _reach(weights.shape, steps)
    if _passes_by_row(weights, single=line.dtype == np.float32) < _passes_by_weight(weights):
        total = np.zeros(size, line.dtype)
        for place, taps in _rows(weights.astype(line.dtype)):
            start = sum(p * step for p, step in zip(place, steps, strict=True))
            total += np.correlate(line[start : start + size + len(taps) - 1], taps)
        return total
    shifts = np.argwhere(weights) @ np.array(steps)
    return _sum_shifted(line, shifts, weights[weights != 0], size)


def _rows(weights: Array) -> list[tuple[tuple[int, ...], Array]]:
    """Cut a kernel into short rows along its last axis, each with its place; rows of zeros are left out."""
    pieces = []
    for lead in np.ndindex(weights.shape[:-1]):
        for start in range(0, weights.shape[-1], _ROW_TAPS):
            taps = weights[lead][start : start + _ROW_TAPS]
            if taps.any():
                pieces.append(((*lead, start), taps))
    return pieces


def _reach(shape: Shape, steps: Sequence[int]) -> int:
    """Distance on the line between the first and the last element of a window."""
    return sum((k - 1) * step for k, step in zip(shape, steps, strict=True))


class _Taps:
    """The weights of a kernel that are not 0, where they are, and how far along a line that is."""

    def __init__(self, weights: Array, dtype: np.dtype[Any]) -> None:
        self.shape, self.places = weights.shape, np.argwhere(weights)
        with np.errstate(over="ignore"):  # told of the sums
            self.weights = weights[weights != 0].astype(dtype)
        self.one_row = functools.lru_cache(maxsize=8)(self._one_row)
        self.two_rows = functools.lru_cache(maxsize=8)(self._two_rows)

    def _one_row(self, steps: Sequence[int]) -> tuple[Array, Array]:
        return self.places @ np.array(steps), self.weights[:, None]

    def _two_rows(self, steps: Sequence[int]) -> tuple[Array, Array]:
        """Give those of two rows of results; of one, if they have little in common."""
        shifts, _ = self.one_row(steps)
        both = np.union1d(shifts, shifts + steps[-2])
        if len(both) > _SHARED * len(shifts):
            return self.one_row(steps)
        weights = np.zeros((len(both), 2), self.weights.dtype)
        for row in range(2):
            weights[np.searchsorted(both, shifts + row * steps[-2]), row] = self.weights
        return both, weights


def _sum_compiled(sum_shifted: Callable[..., int], parts: Sequence[_Taps], tile: Array, out: Array) -> bool:
    """Correlate with one kernel after another: lines as NumPy does, but the last one row by row into `out`."""
    tile = np.ascontiguousarray(tile) if len(parts) > 1 else tile
    steps = tuple(step // tile.itemsize for step in tile.strides)
    size = 1 + _reach(tile.shape, steps)
    line = np.lib.stride_tricks.as_strided(tile, (size,), (tile.itemsize,), writeable=False)
    for taps in parts[:-1]:
        sums = np.empty((1, line.size - _reach(taps.shape, steps)), line.dtype)
        sum_shifted(line, 0, *taps.one_row(steps), sums)
        line = sums[0]
        line.flags.writeable = False  # else it would be compiled for that type too
    rows = out if out.ndim > 1 else out[None]
    shifts, weights = (parts[-1].two_rows if rows.shape[-2] > 1 else parts[-1].one_row)(steps)
    starts = (
        sum(i * step for i, step in zip(lead, steps, strict=False)) for lead in np.ndindex(rows.shape[:-2])
    )
    broken = 0
    for start, lead in zip(starts, np.ndindex(rows.shape[:-2]), strict=True):
        broken += sum_shifted(line[start:], steps[-2] if len(steps) > 1 else 0, shifts, weights, rows[lead])
    return broken == 0


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


def _is_whole(kernel: Array) -> bool:
    """Tell whether every weight is an integer, as far as floats can tell."""
    return kernel.dtype.kind == "f" and bool(
        (np.rint(kernel) == kernel).all() and np.abs(kernel).max() < 2**53
    )


# --- sums and maxima ------------------------------------------------------------------------------


def sliding_sum(array: Array, shape: Shape) -> Array:
    """Sum over every window of the given shape.

    Integers are added as integers, in the narrowest type that holds any sum, so they are exact. Floats are added in
    float64 pairwise (sums of 1, 2, 4, ... pixels), so the error grows with the logarithm of the window.
    """
    return sliding(array.astype(_sum_dtype(array, math.prod(shape)), copy=False), shape, np.add)


def sliding_max(array: Array, shape: Shape) -> Array:
    """Find the maximum of every window of the given shape."""
    return sliding(array, shape, np.maximum)


def sliding_min(array: Array, shape: Shape) -> Array:
    """Find the minimum of every window of the given shape."""
    return sliding(array, shape, np.minimum)


def _sum_dtype(array: Array, count: int) -> np.dtype[Any]:
    if array.dtype.kind == "c":
        return np.dtype(np.complex128)
    if array.dtype.kind == "f" or array.size == 0:
        return np.dtype(np.float64)
    bound = largest_magnitude(array) * count
    for dtype in (np.int32, np.int64):
        if bound <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.float64)  # only 64-bit integers can come here


def sliding(array: Array, shape: Shape, combine: np.ufunc) -> Array:
    """Combine the values of every window of the given shape, in the array's own type."""
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
