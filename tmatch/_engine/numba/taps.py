"""Filters, compiled: sums of weighted copies of pictures and lines."""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tmatch._arrays.finite import is_finite
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import execution
from tmatch._engine.interface import TapPlan
from tmatch._engine.numba.compiler import inline, instructions, machine_code, machine_code_for_sums
from tmatch._engine.numba.vectors import VECTOR_BYTES, Code, Vector, whole_rows
from tmatch._engine.numpy.taps import sum_tile

_VECTORS = 4  # summed side by side: as many as it takes until a sum is ready for the next
_SHARED = 1.5  # as many taps for two rows as for one, at most, if two are summed at a time
_LINE_BYTES = 64  # of the cache, that rows are made multiples of
_READ = [np.dtype(name) for name in ("u1", "u2", "f4", "f8")]  # images; loops are compiled for each
_CACHED_WEIGHTS = 2**12  # of a kernel whose taps are cached
_TAP = 0.07  # cost of a weight, as passes of adding or multiplying over a tile
_KERNEL = 1.5  # cost of reading and writing


def _sum_taps(rows: int) -> Any:
    """Write how vectors of so many rows of results are summed; each of the taps has a weight for every row."""

    @instructions
    def sum_taps(
        code: Code, line: Any, at: Any, shifts: Any, weights: Any, count: Any, sums: Any, to: Any, pitch: Any
    ) -> None:
        places = [i * code.lanes for i in range(_VECTORS)]

        def weighted(tap: Any) -> list[Vector]:
            start, first = code.sum(code.item(shifts, tap), at), code.product(tap, rows)
            vectors = [code.load(line, code.sum(start, place)) for place in places]
            factors = [code.spread(code.item(weights, code.sum(first, row))) for row in range(rows)]
            return [vector * factor for factor in factors for vector in vectors]

        targets = [code.sum(to, code.product(pitch, row), place) for row in range(rows) for place in places]
        start = [code.zero() + product for product in weighted(0)]  # no sum of zeros is minus zero
        for vector, target in zip(code.accumulate(start, count, weighted), targets, strict=True):
            code.store(vector, sums, target)

    return sum_taps


_sum_row, _sum_two_rows = _sum_taps(1), _sum_taps(2)


@inline
def _sum_few(line: Array, shifts: Array, weights: Array, sums: Array) -> None:
    for x in range(sums.size):
        total = line.dtype.type(0)
        for i in range(shifts.size):
            total += weights[i] * line[x + shifts[i]]
        sums[x] = total


@inline
def _sum_beside(line: Array, at: int, shifts: Array, weights: Array, out: Array, width: int) -> None:
    """Sum one row or two, with as many columns of weights."""
    rows, together, pitch = weights.shape[1], _VECTORS * VECTOR_BYTES // line.itemsize, out.shape[1]
    if width < together:
        for row in range(rows):
            _sum_few(line[at:], shifts, weights[:, row], out[row, :width])
        return
    for start in range(0, width, together):
        x = min(start, width - together)
        if rows == 1:
            _sum_row(line, at + x, shifts, weights, shifts.size, out, x, pitch)
        else:
            _sum_two_rows(line, at + x, shifts, weights, shifts.size, out, x, pitch)


@machine_code_for_sums
def _nothing(rows: Array, width: int) -> float:
    """Give 0 if all values are finite, else NaN."""
    nothing = rows.dtype.type(0)
    for y in range(rows.shape[0]):
        row = rows[y]
        for x in range(width):
            nothing += row[x] - row[x]
    return float(nothing)


class Taps:
    """The weights of a kernel that are not 0, where they are, and how far along a line that is."""

    def __init__(self, weights: Array, dtype: np.dtype[Any]) -> None:
        weights = np.atleast_2d(weights)
        self.shape, self.places = weights.shape, np.argwhere(weights)
        with np.errstate(over="ignore"):  # told of the sums
            self.weights = weights[weights != 0].astype(dtype)

    def of_row(self, steps: Sequence[int]) -> tuple[Array, Array]:
        """Give shifts and weights, for neighbours so many steps apart on each axis."""
        return self.places @ np.array(steps), self.weights[:, None]

    def of_rows(self, height: int, steps: tuple[int, ...]) -> tuple[Array, Array]:
        """Give those of two rows of results; of one, if there is but one, or they have little in common."""
        return self.of_row(steps) if height == 1 else _of_two_rows(self, steps)


@functools.lru_cache(maxsize=32)
def _of_two_rows(taps: Taps, steps: tuple[int, ...]) -> tuple[Array, Array]:
    shifts, weights = taps.of_row(steps)
    both = np.union1d(shifts, shifts + steps[-2])
    if len(both) > _SHARED * len(shifts):
        return shifts, weights
    pairs = np.zeros((len(both), 2), weights.dtype)
    for row in range(2):
        pairs[np.searchsorted(both, shifts + row * steps[-2]), row] = taps.weights
    return both, pairs


def tap_passes(weights: Array, dtype: np.dtype[Any]) -> float:
    """Count the passes over a tile that summing its weighted copies takes; complex ones are not compiled."""
    return math.inf if dtype.kind == "c" else float(_KERNEL + _TAP * np.count_nonzero(weights))


def plan_taps(parts: Sequence[Array], dtype: np.dtype[Any], image: Array, *, full: bool) -> TapPlan:
    """Plan to correlate with one kernel after another, straight from the image where that can be done."""
    passes, taps = sum(tap_passes(part, dtype) for part in parts), _taps_of(parts, dtype)
    if image.ndim == 2 and image.dtype in _READ and image.flags.aligned:
        return TapPlan(passes, functools.partial(filter_image, taps, full=full), fused=True)
    sum_windows = functools.partial(sum_tile, functools.partial(sum_lines, taps), dtype, full=full)
    return TapPlan(passes, sum_windows)


def _taps_of(parts: Sequence[Array], dtype: np.dtype[Any]) -> list[Taps]:
    """Return the taps of kernels, which are cached: often many images are filtered with one."""
    make = _make_taps if sum(part.size for part in parts) <= _CACHED_WEIGHTS else _make_taps.__wrapped__
    return [make(part.tobytes(), part.shape, part.dtype, dtype) for part in parts]


@functools.lru_cache(maxsize=64)
def _make_taps(data: bytes, shape: Shape, kind: np.dtype[Any], dtype: np.dtype[Any]) -> Taps:
    return Taps(np.frombuffer(data, kind).reshape(shape), dtype)


def sum_lines(parts: Sequence[Taps], tile: Array, out: Array) -> bool:
    """Correlate with one kernel after another: tiles as long lines, but the last one row by row into `out`.

    Tells whether all results are finite.
    """
    tile, out = np.atleast_2d(np.ascontiguousarray(tile) if len(parts) > 1 else tile, out)
    steps = tuple(step // tile.itemsize for step in tile.strides)
    size = 1 + int(np.subtract(tile.shape, 1) @ steps)
    line = np.lib.stride_tricks.as_strided(tile, (size,), (tile.itemsize,), writeable=False)
    for taps in parts[:-1]:
        sums = np.empty((1, line.size - int(np.subtract(taps.shape, 1) @ steps)), line.dtype)
        _sum_rows(line, 0, *taps.of_row(steps), sums, sums.size)
        line = sums[0]
        line.flags.writeable = False  # else it would be compiled for that type too
    shifts, weights = parts[-1].of_rows(out.shape[-2], steps)
    for lead in np.ndindex(out.shape[:-2]):
        start = sum(map(operator.mul, lead, steps))
        _sum_rows(line[start:], steps[-2], shifts, weights, whole_rows(out[lead]), out.shape[-1])
    return is_finite(out)


def filter_image(
    parts: Sequence[Taps], image: PaddedImage, region: Region, out: Array, *, full: bool
) -> bool:
    """Correlate a picture with a kernel, or with one down the columns and one along the rows, without a copy of it.

    Channels follow each other in its rows. Tells whether all results, and pixels of no weight, are finite.
    """
    height, width, *channels = out.shape
    step, dtype = math.prod(channels), parts[0].weights.dtype
    pixels = whole_rows(image.image.reshape(len(image.image), -1))
    pixels.flags.writeable = False  # else it would be compiled for that type too
    rows, columns = image.pixels(region)[:2]
    columns = np.add.outer(columns * step, np.arange(step)).ravel()
    first, stop = image.inside(region)[1]
    lines = -(-columns.size * dtype.itemsize // _LINE_BYTES) | 1  # odd, for the cache
    pitch = lines * _LINE_BYTES // dtype.itemsize
    reach = len(rows) - height
    strip = max(execution.current().strip_bytes // (pitch * dtype.itemsize) - reach, reach, 8)
    taps = [part.of_rows(height, (pitch, step)) for part in parts]
    down, across = [(taps[0][0][:0], taps[0][1][:0]), *taps][-2:]
    return bool(
        _filter_rows(
            pixels,
            rows,
            columns,
            (first * step, stop * step),
            float(image.fill),
            min(strip // 2 * 2, height),
            pitch,
            down,
            across,
            whole_rows(out.reshape(height, -1)),
            width * step,
            not full,
        )
        == 0
    )


@machine_code
def _sum_rows(line: Array, row_step: int, shifts: Array, weights: Array, out: Array, width: int) -> None:
    """Sum weighted copies of a line into so many columns: row y of copy i begins at ``y * row_step + shifts[i]``.

    There is a column of weights, or one for each of two rows of which the second is summed from the same pixels as the
    first.
    """
    if shifts.size == 0:
        out[:, :width] = 0
        return
    height, rows = out.shape[0], weights.shape[1]
    straight = out.flags.c_contiguous and out.itemsize == line.itemsize
    beside = np.empty((0 if straight else rows, width), line.dtype)
    for first in range(0, height, rows):
        y = min(first, height - rows)
        if straight:
            _sum_beside(line, y * row_step, shifts, weights, out[y : y + rows], width)
        else:
            _sum_beside(line, y * row_step, shifts, weights, beside, width)
            out[y : y + rows, :width] = beside


@machine_code
def _filter_rows(
    image: Array,
    rows: Array,
    columns: Array,
    inside: tuple[int, int],
    fill: float,
    strip: int,
    pitch: int,
    down: tuple[Array, Array],
    across: tuple[Array, Array],
    out: Array,
    width: int,
    careful: bool,  # noqa: FBT001
) -> float:
    height, reach = len(out), len(rows) - len(out)
    # No strip is of one row, unless there is but one: two are summed at a time.
    read = np.empty((strip + 1 + reach, pitch), across[1].dtype)
    summed = np.empty((strip + 1 if down[0].size else 0, pitch), read.dtype)
    first, nothing = 0, 0.0
    while first < height:
        stop = first + strip if first + strip < height - 1 else height
        kept = reach if first else 0
        for y in range(kept):
            read[y] = read[strip + y]
        for y in range(kept, stop - first + reach):
            _read_row(image, rows[first + y], columns, inside, fill, read[y])
        if careful:
            nothing += _nothing(read[kept : stop - first + reach], columns.size)
        line = read.ravel()
        if summed.size:
            _sum_rows(line, pitch, down[0], down[1], summed[: stop - first], columns.size)
            line = summed.ravel()
        _sum_rows(line, pitch, across[0], across[1], out[first:stop], width)
        nothing += _nothing(out[first:stop], width)
        first = stop
    return nothing


@inline
def _read_row(image: Array, y: int, columns: Array, inside: tuple[int, int], fill: float, out: Array) -> None:
    if y < 0:
        out[: columns.size] = fill
        return
    row = image[y]
    first, stop = inside
    for start, end in ((0, first), (stop, columns.size)):
        for x in range(start, end):
            out[x] = row[columns[x]] if columns[x] >= 0 else fill
    if first < stop:
        source, target = row[columns[first] : columns[first] + stop - first], out[first:stop]
        for x in range(target.size):
            target[x] = source[x]
