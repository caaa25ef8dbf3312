"""Correlation with small kernels: sums of weighted shifted copies of images and lines. Compiled."""

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from tmatch._arrays.finite import is_finite
from tmatch._arrays.lazy import is_lazy
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import execution
from tmatch._engine.interface import TapPlan
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, inline, instructions
from tmatch._engine.numba.vectors import VECTOR_BYTES, Code, Vector, full_rows
from tmatch._engine.numpy.taps import sum_tile

_VECTORS = 4  # of results summed at once, which hides the latency of an addition
_MAX_SHARED_RATIO = 1.5  # maximum ratio of the taps of two rows to those of one, for two to be summed at once
_LINE_BYTES = 64  # of the cache; lengths of rows are multiples of it
# Dtypes of images that are read directly; loops are compiled for each.
_READABLE = [np.dtype(name) for name in ("u1", "u2", "f4", "f8")]
_CACHED_WEIGHTS = 2**12  # maximum size of a kernel whose taps are cached
_TAP_PASSES = 0.07  # cost of a weight, in passes over a tile
_FIXED_PASSES = 1.5  # cost of reading and writing, in passes


def _sum_taps(rows: int) -> Any:
    """Generate the sums of vectors of `rows` rows of results; each tap has a weight for every row."""

    @instructions
    def sum_taps(
        code: Code, line: Any, at: Any, shifts: Any, weights: Any, count: Any, sums: Any, to: Any, pitch: Any
    ) -> None:
        positions = [i * code.lanes for i in range(_VECTORS)]

        def weighted(tap: Any) -> list[Vector]:
            start, first = code.sum(code.item(shifts, tap), at), code.product(tap, rows)
            vectors = [code.load(line, code.sum(start, position)) for position in positions]
            factors = [code.broadcast(code.item(weights, code.sum(first, row))) for row in range(rows)]
            return [vector * factor for factor in factors for vector in vectors]

        targets = [
            code.sum(to, code.product(pitch, row), position) for row in range(rows) for position in positions
        ]
        start = [code.zero() + product for product in weighted(0)]  # so that a sum is never minus zero
        for vector, target in zip(code.accumulate(start, count, weighted), targets, strict=True):
            code.store(vector, sums, target)

    return sum_taps


_sum_row, _sum_two_rows = _sum_taps(1), _sum_taps(2)


@inline
def _sum_scalars(line: Array, shifts: Array, weights: Array, sums: Array) -> None:
    for x in range(sums.size):
        total = line.dtype.type(0)
        for i in range(shifts.size):
            total += weights[i] * line[x + shifts[i]]
        sums[x] = total


@inline
def _sum_vectors(line: Array, at: int, shifts: Array, weights: Array, out: Array, width: int) -> None:
    """Sum one or two rows of results; `weights` has a column for each."""
    rows, step, pitch = weights.shape[1], _VECTORS * VECTOR_BYTES // line.itemsize, out.shape[1]
    if width < step:
        for row in range(rows):
            _sum_scalars(line[at:], shifts, weights[:, row], out[row, :width])
        return
    for start in range(0, width, step):
        x = min(start, width - step)
        if rows == 1:
            _sum_row(line, at + x, shifts, weights, shifts.size, out, x, pitch)
        else:
            _sum_two_rows(line, at + x, shifts, weights, shifts.size, out, x, pitch)


@compiled_reassociating
def _zero_or_nan(rows: Array, width: int) -> float:
    """Return 0 if all values are finite, else NaN."""
    total = rows.dtype.type(0)
    for y in range(rows.shape[0]):
        row = rows[y]
        for x in range(width):
            total += row[x] - row[x]
    return float(total)


class Taps:
    """The nonzero weights of a kernel and their positions."""

    def __init__(self, weights: Array, dtype: np.dtype[Any]) -> None:
        weights = np.atleast_2d(weights)
        self.shape, self.positions = weights.shape, np.argwhere(weights)
        with np.errstate(over="ignore"):  # reported when sums are checked
            self.weights = weights[weights != 0].astype(dtype)

    def for_row(self, steps: Sequence[int]) -> tuple[Array, Array]:
        """Return shifts and weights for one row; `steps` are the distances between neighbours on each axis."""
        return self.positions @ np.array(steps), self.weights[:, None]

    def for_rows(self, height: int, steps: tuple[int, ...]) -> tuple[Array, Array]:
        """Return shifts and weights for two rows; for one if `height` is 1 or the rows share few taps."""
        return self.for_row(steps) if height == 1 else _for_two_rows(self, steps)


@functools.lru_cache(maxsize=32)
def _for_two_rows(taps: Taps, steps: tuple[int, ...]) -> tuple[Array, Array]:
    shifts, weights = taps.for_row(steps)
    both = np.union1d(shifts, shifts + steps[-2])
    if len(both) > _MAX_SHARED_RATIO * len(shifts):
        return shifts, weights
    pairs = np.zeros((len(both), 2), weights.dtype)
    for row in range(2):
        pairs[np.searchsorted(both, shifts + row * steps[-2]), row] = taps.weights
    return both, pairs


def tap_passes(weights: Array, dtype: np.dtype[Any]) -> float:
    """Return the cost in passes; complex tiles are not supported."""
    return math.inf if dtype.kind == "c" else float(_FIXED_PASSES + _TAP_PASSES * np.count_nonzero(weights))


def plan_taps(parts: Sequence[Array], dtype: np.dtype[Any], image: Array, *, full: bool) -> TapPlan:
    """Plan to correlate with one kernel after another, if possible directly from the image."""
    passes, taps = sum(tap_passes(part, dtype) for part in parts), _taps_of(parts, dtype)
    if image.ndim == 2 and image.dtype in _READABLE and (is_lazy(image) or image.flags.aligned):
        return TapPlan(passes, functools.partial(filter_image, taps, full=full), fused=True)
    sum_windows = functools.partial(sum_tile, functools.partial(sum_lines, taps), dtype, full=full)
    return TapPlan(passes, sum_windows)


def _taps_of(parts: Sequence[Array], dtype: np.dtype[Any]) -> list[Taps]:
    """Return the taps of kernels, cached because many images are often filtered with one kernel."""
    build = _make_taps if sum(part.size for part in parts) <= _CACHED_WEIGHTS else _make_taps.__wrapped__
    return [build(part.tobytes(), part.shape, part.dtype, dtype) for part in parts]


@functools.lru_cache(maxsize=64)
def _make_taps(data: bytes, shape: Shape, kind: np.dtype[Any], dtype: np.dtype[Any]) -> Taps:
    return Taps(np.frombuffer(data, kind).reshape(shape), dtype)


def sum_lines(parts: Sequence[Taps], tile: Array, out: Array) -> bool:
    """Correlate with one kernel after another: the tile as a flat line, and the last kernel row by row into `out`.

    Return whether all results are finite.
    """
    if len(parts) > 1:
        tile = np.ascontiguousarray(tile)
    tile, out = np.atleast_2d(tile, out)
    steps = tuple(step // tile.itemsize for step in tile.strides)
    size = 1 + int(np.subtract(tile.shape, 1) @ steps)
    line = np.lib.stride_tricks.as_strided(tile, (size,), (tile.itemsize,), writeable=False)
    for taps in parts[:-1]:
        sums = np.empty((1, line.size - int(np.subtract(taps.shape, 1) @ steps)), line.dtype)
        _sum_rows(line, 0, *taps.for_row(steps), sums, sums.size)
        line = sums[0]
        line.flags.writeable = False  # a writable array would be compiled for separately
    shifts, weights = parts[-1].for_rows(out.shape[-2], steps)
    for lead in np.ndindex(out.shape[:-2]):
        start = sum(map(operator.mul, lead, steps))
        _sum_rows(line[start:], steps[-2], shifts, weights, full_rows(out[lead]), out.shape[-1])
    return is_finite(out)


def filter_image(
    parts: Sequence[Taps], image: PaddedImage, region: Region, out: Array, *, full: bool
) -> bool:
    """Correlate an image with a kernel, or with a vertical and a horizontal one, without copying it.

    Channels are interleaved in its rows. Return whether all results, and pixels of weight 0, are finite.
    """
    height, width, *channels = out.shape
    step, dtype = math.prod(channels), parts[0].weights.dtype
    pixels = full_rows(image.image.reshape(len(image.image), -1))
    pixels.flags.writeable = False  # a writable array would be compiled for separately
    rows, columns = image.pixels(region)[:2]
    columns = np.add.outer(columns * step, np.arange(step)).ravel()
    first, stop = image.inside(region)[1]
    # Odd, so that columns do not share cache sets.
    n_lines = -(-columns.size * dtype.itemsize // _LINE_BYTES) | 1
    pitch = n_lines * _LINE_BYTES // dtype.itemsize
    overlap = len(rows) - height
    strip = max(execution.current().strip_bytes // (pitch * dtype.itemsize) - overlap, overlap, 8)
    taps = [part.for_rows(height, (pitch, step)) for part in parts]
    vertical, horizontal = [(taps[0][0][:0], taps[0][1][:0]), *taps][-2:]
    return bool(
        _filter_rows(
            pixels,
            rows,
            columns,
            (first * step, stop * step),
            float(image.fill),
            min(strip // 2 * 2, height),
            pitch,
            vertical,
            horizontal,
            full_rows(out.reshape(height, -1)),
            width * step,
            not full,
        )
        == 0
    )


@compiled
def _sum_rows(line: Array, row_step: int, shifts: Array, weights: Array, out: Array, width: int) -> None:
    """Sum weighted copies of a line into `width` columns: row y of copy i begins at ``y * row_step + shifts[i]``.

    `weights` has one column, or two: then two rows are summed at once from the same pixels.
    """
    if shifts.size == 0:
        out[:, :width] = 0
        return
    height, rows = out.shape[0], weights.shape[1]
    direct = out.flags.c_contiguous and out.itemsize == line.itemsize
    buffer = np.empty((0 if direct else rows, width), line.dtype)
    for first in range(0, height, rows):
        y = min(first, height - rows)
        if direct:
            _sum_vectors(line, y * row_step, shifts, weights, out[y : y + rows], width)
        else:
            _sum_vectors(line, y * row_step, shifts, weights, buffer, width)
            out[y : y + rows, :width] = buffer


@compiled
def _filter_rows(
    image: Array,
    rows: Array,
    columns: Array,
    inside: tuple[int, int],
    fill: float,
    strip: int,
    pitch: int,
    vertical: tuple[Array, Array],
    horizontal: tuple[Array, Array],
    out: Array,
    width: int,
    check_pixels: bool,  # noqa: FBT001
) -> float:
    height, overlap = len(out), len(rows) - len(out)
    # No strip has one row, unless the image has only one: two are summed at once.
    read = np.empty((strip + 1 + overlap, pitch), horizontal[1].dtype)
    summed = np.empty((strip + 1 if vertical[0].size else 0, pitch), read.dtype)
    first, not_finite = 0, 0.0
    while first < height:
        stop = first + strip if first + strip < height - 1 else height
        kept = overlap if first else 0
        for y in range(kept):
            read[y] = read[strip + y]
        for y in range(kept, stop - first + overlap):
            _read_row(image, rows[first + y], columns, inside, fill, read[y])
        if check_pixels:
            not_finite += _zero_or_nan(read[kept : stop - first + overlap], columns.size)
        line = read.ravel()
        if summed.size:
            _sum_rows(line, pitch, vertical[0], vertical[1], summed[: stop - first], columns.size)
            line = summed.ravel()
        _sum_rows(line, pitch, horizontal[0], horizontal[1], out[first:stop], width)
        not_finite += _zero_or_nan(out[first:stop], width)
        first = stop
    return not_finite


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
