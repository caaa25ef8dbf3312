"""Window sums of integer images and the norms made of them. Compiled."""

from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.numba.compiler import inline, instructions, machine_code, machine_code_for_sums
from tmatch._engine.numba.vectors import VECTOR_BYTES, Code


@machine_code_for_sums
def load(tile: Array, out: Array) -> float:
    """Copy integers minus their mean into the corner of an array; return the largest sum of squares of a line."""
    rows, columns = tile.shape
    total, largest = np.int64(0), np.float32(0)
    for y in range(rows):
        row = tile[y]
        for x in range(columns):
            total += row[x]
    mean = np.float32(total / tile.size)
    down = np.zeros(columns, np.float32)
    for y in range(rows):
        row, target, along = tile[y], out[y], np.float32(0)
        for x in range(columns):
            value = np.float32(row[x]) - mean
            target[x] = value
            square = value * value
            along += square
            down[x] += square
        target[columns:] = 0
        largest = max(largest, along)
    out[rows:] = 0
    return float(max(largest, down.max()))


@machine_code
def place(tile: Array, centre: int, squared: bool, out: Array) -> None:  # noqa: FBT001
    """Copy integers less a centre, or the squares of that, into the corner of `out`, zeros elsewhere."""
    rows, columns = tile.shape
    for y in range(rows):
        row, target = tile[y], out[y]
        for x in range(columns):
            target[x] = row[x] - centre
        if squared:
            for x in range(columns):
                target[x] *= target[x]
        target[columns:] = 0
    out[rows:] = 0


# Numba adds integers in 64 bits: made narrow again at once, more go into a vector. Callers make `centre` narrow: done
# inside the loop, that takes a seventh longer.
@inline
def _enter(row: Array, centre: int, sums: Array, squares: Array) -> None:
    narrow = sums.dtype.type
    for x in range(row.size):
        value = narrow(narrow(row[x]) - centre)
        sums[x] += value
        squares[x] += narrow(value * value)


@inline
def _replace(old: Array, new: Array, centre: int, sums: Array, squares: Array) -> None:
    narrow = sums.dtype.type
    for x in range(new.size):
        come, gone = narrow(narrow(new[x]) - centre), narrow(narrow(old[x]) - centre)
        change = narrow(come - gone)
        sums[x] += change
        squares[x] += narrow(change * narrow(come + gone))


@instructions
def _add_up_vector(code: Code, values: Any, at: Any, before: Any, to: Any) -> None:
    total = code.spread(code.item(before, to)) + code.add_up(code.load(values, at))
    code.store(total, before, code.sum(to, 1))


@inline
def _add_up(values: Array, before: Array) -> None:
    """Sum all before each place of a row, and the last: all rows side by side, as each sum waits for the one before."""
    rows, columns = values.shape
    lanes, pitch = VECTOR_BYTES // values.itemsize, before.strides[0] // before.itemsize
    whole = columns // lanes * lanes
    for x in range(0, whole, lanes):
        for i in range(rows):
            _add_up_vector(values, i * columns + x, before, i * pitch + x)
    for i in range(rows):
        for x in range(whole, columns):
            before[i, x + 1] = before[i, x] + values[i, x]


@inline
def _difference(before: Array, width: int, out: Array) -> None:
    last, narrow = before[width : width + out.size], before.dtype.type
    for x in range(out.size):
        out[x] = narrow(last[x] - before[x])


@inline
def slide(
    tiles: tuple[Array, ...], y: int, height: int, centres: tuple[int, ...], down: Array, work: Array
) -> None:
    """Go on to the windows of row y: one value comes into each column's sums, one goes out.

    Of a row all values up to a place are summed, which may wrap round, as long as differences do not.
    """
    channels = len(tiles)
    for i in range(channels):
        tile, centre = tiles[i], down.dtype.type(centres[i])
        if y == 0:
            for row in tile[:height]:
                _enter(row, centre, down[i], down[channels])
        else:
            _replace(tile[y - 1], tile[y + height - 1], centre, down[i], down[channels])
    _add_up(down, work)


@inline
def square_sums(before: Array, width: int, first: bool, squares: Array) -> None:  # noqa: FBT001
    """Square the sums of a row of windows, and put the squares in place of what is there, or add them to it."""
    last, narrow, wide = before[width : width + squares.size], before.dtype.type, squares.dtype.type
    for x in range(squares.size):
        total = wide(narrow(last[x] - before[x]))
        squares[x] = total * total if first else squares[x] + total * total


@machine_code
def moments(
    tiles: tuple[Array, ...],
    height: int,
    width: int,
    centres: tuple[int, ...],
    work: Array,
    sums: Array,
    variance: Array,
) -> None:
    """Compute the sums and variances of all windows. Squares of all channels are summed together."""
    down = np.zeros((len(tiles) + 1, tiles[0].shape[1]), work.dtype)
    squares = np.empty(variance.shape[1], sums.dtype)
    narrow, count = work.dtype.type, sums.dtype.type(height * width)
    for y in range(len(variance)):
        slide(tiles, y, height, centres, down, work)
        for i in range(len(tiles)):
            _difference(work[i], width, sums[i, y])
            square_sums(work[i], width, i == 0, squares)
        row, before = variance[y], work[len(tiles)]
        last = before[width : width + row.size]
        for x in range(row.size):
            row[x] = narrow(last[x] - before[x]) * count - squares[x]


@machine_code
def inverse_norms(
    tiles: tuple[Array, ...],
    height: int,
    width: int,
    centres: tuple[int, ...],
    work: Array,
    squares: Array,
    inverse: Array,
) -> float:
    """Compute the inverse root of each variance; return the largest."""
    down = np.zeros((len(tiles) + 1, tiles[0].shape[1]), work.dtype)
    bits, largest = inverse.view(np.int32), np.zeros(1, np.int32)
    narrow, count = work.dtype.type, squares.dtype.type(height * width)
    for y in range(len(inverse)):
        slide(tiles, y, height, centres, down, work)
        for i in range(len(tiles)):
            square_sums(work[i], width, i == 0, squares)
        row, before = inverse[y], work[len(tiles)]
        last = before[width : width + row.size]
        for x in range(row.size):
            row[x] = _inverse_root(np.float32(narrow(last[x] - before[x]) * count - squares[x]))
        _take_in_largest(bits[y], largest)
    return float(largest.view(np.float32)[0])


@inline
def _inverse_root(variance: Any) -> Any:
    return np.float32(1) / np.sqrt(variance) if variance > 0 else np.float32(0)


@inline
def _take_in_largest(bits: Array, largest: Array) -> None:
    """Floats above 0 are ordered as their bits are, and integers are compared faster."""
    for x in range(bits.size):
        largest[0] = max(largest[0], bits[x])


@inline
def _take_in_sums(across: Array, squares: Array, pixels: int, y: int, sums: Array, variance: Array) -> None:
    """End a row of window sums: add its variances, and keep the sums if there is room."""
    row, wide = variance[y], sums.dtype.type
    count = wide(pixels)
    for x in range(row.size):
        total = wide(across[x])
        row[x] += squares[x] * count - total * total
    if sums.size:
        sums[y] = across


@inline
def _add_run(before: Array, start: int, stop: int, out: Array) -> None:
    first, last = before[start : start + out.size], before[stop : stop + out.size]
    for x in range(out.size):
        out[x] += last[x] - first[x]


@inline
def _add_4_runs(before: Array, runs: Array, out: Array) -> None:
    size = out.size
    rows = before[runs[0, 0]], before[runs[1, 0]], before[runs[2, 0]], before[runs[3, 0]]
    a0, b0 = rows[0][runs[0, 1] : runs[0, 1] + size], rows[0][runs[0, 2] : runs[0, 2] + size]
    a1, b1 = rows[1][runs[1, 1] : runs[1, 1] + size], rows[1][runs[1, 2] : runs[1, 2] + size]
    a2, b2 = rows[2][runs[2, 1] : runs[2, 1] + size], rows[2][runs[2, 2] : runs[2, 2] + size]
    a3, b3 = rows[3][runs[3, 1] : runs[3, 1] + size], rows[3][runs[3, 2] : runs[3, 2] + size]
    for x in range(size):
        out[x] += b0[x] - a0[x] + (b1[x] - a1[x]) + (b2[x] - a2[x]) + (b3[x] - a3[x])


@machine_code
def add_masked_moments(
    tile: Array, runs: Array, count: int, centre: int, work: Array, sums: Array, variance: Array
) -> None:
    """Add the moments over the runs of a mask."""
    before, before_squares = work[0], work[1]  # sums of a row before each column
    values = np.empty((2, tile.shape[1]), work.dtype)
    for y in range(tile.shape[0]):
        values[:] = 0
        _enter(tile[y], work.dtype.type(centre), values[0], values[1])
        _add_up(values, work[:, y])
    across, squares = np.empty(variance.shape[1], work.dtype), np.empty(variance.shape[1], work.dtype)
    for y in range(variance.shape[0]):
        across[:] = 0
        squares[:] = 0
        i = 0
        while i + 4 <= len(runs):
            _add_4_runs(before[y:], runs[i : i + 4], across)
            _add_4_runs(before_squares[y:], runs[i : i + 4], squares)
            i += 4
        while i < len(runs):
            _add_run(before[y + runs[i, 0]], runs[i, 1], runs[i, 2], across)
            _add_run(before_squares[y + runs[i, 0]], runs[i, 1], runs[i, 2], squares)
            i += 1
        _take_in_sums(across, squares, count, y, sums, variance)


@machine_code
def round_moments(products: Array, products_squares: Array, count: int, sums: Array, variance: Array) -> None:
    """Add the moments that transforms gave."""
    # Products of whole numbers need the type that was found wide enough; minus zero becomes zero.
    across, squares = np.empty(variance.shape[1], sums.dtype), np.empty(variance.shape[1], sums.dtype)
    for y in range(variance.shape[0]):
        row, row_squares = products[y], products_squares[y]
        for x in range(across.size):
            across[x], squares[x] = rounded(row[x]), rounded(row_squares[x])
        _take_in_sums(across, squares, count, y, sums, variance)


@machine_code
def invert(variance: Array) -> float:
    """Replace each variance by its inverse root; return the largest."""
    bits, largest = variance.view(np.int32), np.zeros(1, np.int32)
    for y in range(len(variance)):
        row = variance[y]
        for x in range(row.size):
            row[x] = _inverse_root(row[x])
        _take_in_largest(bits[y], largest)
    return float(largest.view(np.float32)[0])


@inline
def rounded(product: float) -> float:
    return float(np.rint(product) + 0.0)  # minus zero becomes zero
