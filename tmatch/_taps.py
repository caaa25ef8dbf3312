"""Sums of windows tap by tap, all at once or along one axis after the other, in NumPy or compiled."""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch import _engine
from tmatch._borders import Array, Extended, is_finite
from tmatch._tiles import Region, Shape, valid_shape

_REMEMBERED_WEIGHTS = 2**12  # of a kernel about which is kept what was found out
_ROW_TAPS = 9  # np.correlate unrolls its loop for so many taps, and is slow for 12 and more
_MANY_TAPS = 84  # more than anyone would sum one by one
_COMPILED_TAP = 0.07  # what a tap costs compiled code, as passes of adding or multiplying over a tile
_COMPILED_KERNEL = 1.5  # and reading and writing
_READ = [np.dtype(name) for name in ("u1", "u2", "f4", "f8")]  # by compiled code, which is made for each

# Sums into an array, and tells whether sums and pixels are finite.
SumWindows = Callable[[Extended, Region, Array], bool]


def choose_sums(
    image: Array, weights: Array, work: np.dtype[Any], places: int, *, whole: bool
) -> tuple[float, SumWindows, bool]:
    """Choose between all taps at once and axis after axis, and the engine.

    Say how many passes over a tile it takes, and whether compiled code does all of a block in one go.
    """
    full = bool(weights.all())
    ways_of = _ways if weights.size <= _REMEMBERED_WEIGHTS else _ways.__wrapped__
    ways = ways_of(weights.tobytes(), weights.shape, weights.dtype, work, whole)
    best, sparing = (min(ways, key=operator.attrgetter(cost)) for cost in ("passes", "compiled_passes"))
    dear = work.kind == "c" or sparing.compiled_passes > best.passes
    if dear or not _engine.compiled(best.passes * places):
        by_numpy = functools.partial(_sum_by_numpy, best.parts)
        return best.passes, functools.partial(sum_tile, by_numpy, work, full=full), False
    from tmatch import _taps_numba  # noqa: PLC0415

    if image.ndim == 2 and image.dtype in _READ and image.flags.aligned:
        filter_picture = functools.partial(_taps_numba.filter_picture, sparing.taps, full=full)
        return sparing.compiled_passes, filter_picture, True
    sum_lines = functools.partial(_taps_numba.sum_lines, sparing.taps)
    return sparing.compiled_passes, functools.partial(sum_tile, sum_lines, work, full=full), False


@dataclass(frozen=True)
class _Way:
    """Kernels to correlate with one after another, and the passes over a tile that takes NumPy and compiled code."""

    parts: list[Array]
    work: np.dtype[Any]
    passes: float
    compiled_passes: float

    @functools.cached_property
    def taps(self) -> list[Any]:
        from tmatch._taps_numba import Taps  # noqa: PLC0415

        return [Taps(part, self.work) for part in self.parts]


@functools.lru_cache(maxsize=32)
def _ways(data: bytes, shape: Shape, dtype: np.dtype[Any], work: np.dtype[Any], whole: bool) -> list[_Way]:  # noqa: FBT001
    """Give the ways to sum with a kernel, which are remembered: often many images are filtered with one."""
    weights = np.frombuffer(data, dtype).reshape(shape)
    factors = _separate(weights, float(np.finfo(work).eps), whole=whole)
    ways = []
    for parts in [[weights], *([factors] if factors else [])]:
        passes = sum(_passes(part, single=work in (np.float32, np.complex64)) for part in parts)
        compiled = sum(_COMPILED_KERNEL + _COMPILED_TAP * np.count_nonzero(part) for part in parts)
        ways.append(_Way(parts, work, passes, compiled))
    return ways


def _passes(weights: Array, *, single: bool) -> float:
    """Count the passes over a tile, of adding or multiplying, that summing its weighted copies takes NumPy."""
    if _is_box(weights):
        return 2 * math.log2(weights.size) + 1
    return min(_passes_by_weight(weights), _passes_by_row(weights, single=single))


def _passes_by_weight(weights: Array) -> float:
    count = np.count_nonzero(weights)
    if count > _MANY_TAPS:
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


def sum_tile(
    sum_windows: Callable[[Array, Array], bool],
    work: np.dtype[Any],
    image: Extended,
    region: Region,
    out: Array,
    *,
    full: bool,
) -> bool:
    """Sum windows of a tile."""
    tile = image.tile(region, work)
    # What is not finite in a tile shows in its sums, but for pixels that have no weight.
    return sum_windows(tile, out) and (full or is_finite(tile))


def _sum_by_numpy(parts: Sequence[Array], tile: Array, out: Array) -> bool:
    """Correlate with one kernel after another."""
    line, steps = tile.ravel(), steps_of(tile.shape)
    for weights in parts:
        if _is_box(weights):
            step = steps[weights.shape.index(weights.size)]
            line = sweep(line, weights.size, step, np.add) * line.dtype.type(weights.flat[0])
        else:
            line = _sum_line(line, weights, steps)
    window = tuple(n - m + 1 for n, m in zip(tile.shape, out.shape, strict=True))
    out[...] = as_windows(line, tile.shape, window)
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


# An array is worked on as one long line: a step along an axis is a shift by that axis's step, and whole lines are
# added fastest. What wraps from one row to the next falls outside the windows.


def steps_of(shape: Shape) -> list[int]:
    """Distance on the line between neighbours along each axis."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def as_windows(line: Array, shape: Shape, window: Shape) -> Array:
    """See the line's first elements as the array of all windows inside an array of the given shape."""
    places = valid_shape(shape, window)
    return np.lib.stride_tricks.as_strided(line, places, [step * line.itemsize for step in steps_of(shape)])


def sweep(line: Array, length: int, step: int, combine: np.ufunc) -> Array:
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
