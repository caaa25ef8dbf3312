"""Window sums and norms of integer images. Compiled."""

from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, inline, instructions
from tmatch._engine.numba.vectors import VECTOR_BYTES, Code


@compiled_reassociating
def load(tile: Array, out: Array) -> float:
    """Copy a tile minus its mean, zero-padded; return the largest sum of squares of a row or column."""
    rows, columns = tile.shape
    total, largest = np.int64(0), np.float32(0)
    for y in range(rows):
        row = tile[y]
        for x in range(columns):
            total += row[x]
    mean = np.float32(total / tile.size)
    column_squares = np.zeros(columns, np.float32)
    for y in range(rows):
        row, target, row_squares = tile[y], out[y], np.float32(0)
        for x in range(columns):
            value = np.float32(row[x]) - mean
            target[x] = value
            square = value * value
            row_squares += square
            column_squares[x] += square
        target[columns:] = 0
        largest = max(largest, row_squares)
    out[rows:] = 0
    return float(max(largest, column_squares.max()))


@compiled
def place(tile: Array, centre: int, squared: bool, out: Array) -> None:  # noqa: FBT001
    """Copy a tile minus a centre, or its squares, zero-padded."""
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


# Numba promotes integers to 64 bits; converted back at once to the type of sums, more fit in a vector. Callers convert
# `centre`: inside the loop, that takes a seventh longer.
@inline
def _add_row(row: Array, centre: int, sums: Array, squares: Array) -> None:
    sum_type = sums.dtype.type
    for x in range(row.size):
        value = sum_type(sum_type(row[x]) - centre)
        sums[x] += value
        squares[x] += sum_type(value * value)


@inline
def _replace_row(old: Array, new: Array, centre: int, sums: Array, squares: Array) -> None:
    sum_type = sums.dtype.type
    for x in range(new.size):
        added, removed = sum_type(sum_type(new[x]) - centre), sum_type(sum_type(old[x]) - centre)
        change = sum_type(added - removed)
        sums[x] += change
        squares[x] += sum_type(change * sum_type(added + removed))


@instructions
def _cumulative_sum_vector(code: Code, values: Any, at: Any, cumulative: Any, to: Any) -> None:
    total = code.broadcast(code.item(cumulative, to)) + code.cumulative_sum(code.load(values, at))
    code.store(total, cumulative, code.sum(to, 1))


@inline
def cumulative_sums(values: Array, cumulative: Array) -> None:
    """Compute cumulative sums of rows, all rows interleaved, as each sum depends on the one before it."""
    rows, columns = values.shape
    lanes, pitch = VECTOR_BYTES // values.itemsize, cumulative.strides[0] // cumulative.itemsize
    vectorised = columns // lanes * lanes
    for x in range(0, vectorised, lanes):
        for i in range(rows):
            _cumulative_sum_vector(values, i * columns + x, cumulative, i * pitch + x)
    for i in range(rows):
        for x in range(vectorised, columns):
            cumulative[i, x + 1] = cumulative[i, x] + values[i, x]


@inline
def _difference(cumulative: Array, width: int, out: Array) -> None:
    last, sum_type = cumulative[width : width + out.size], cumulative.dtype.type
    for x in range(out.size):
        out[x] = sum_type(last[x] - cumulative[x])


@inline
def slide(
    tiles: tuple[Array, ...],
    y: int,
    height: int,
    centres: tuple[int, ...],
    column_sums: Array,
    cumulative: Array,
) -> None:
    """Advance column sums to the windows of row y, one row added and one removed, and accumulate them along the row.

    The cumulative sums of integers may overflow, as long as their differences do not.
    """
    channels = len(tiles)
    for i in range(channels):
        tile, centre = tiles[i], column_sums.dtype.type(centres[i])
        if y == 0:
            for row in tile[:height]:
                _add_row(row, centre, column_sums[i], column_sums[channels])
        else:
            _replace_row(tile[y - 1], tile[y + height - 1], centre, column_sums[i], column_sums[channels])
    cumulative_sums(column_sums, cumulative)


@inline
def square_sums(cumulative: Array, width: int, first: bool, squares: Array) -> None:  # noqa: FBT001
    """Compute squares of the sums of a row of windows; store them if `first`, else add them."""
    last = cumulative[width : width + squares.size]
    sum_type, product_type = cumulative.dtype.type, squares.dtype.type
    for x in range(squares.size):
        total = product_type(sum_type(last[x] - cumulative[x]))
        squares[x] = total * total if first else squares[x] + total * total


@compiled
def moments(
    tiles: tuple[Array, ...],
    height: int,
    width: int,
    centres: tuple[int, ...],
    work: Array,
    sums: Array,
    variance: Array,
) -> None:
    """Compute the sums and variances of all windows; squares are added over the channels first."""
    column_sums = np.zeros((len(tiles) + 1, tiles[0].shape[1]), work.dtype)
    squares = np.empty(variance.shape[1], sums.dtype)
    sum_type, count = work.dtype.type, sums.dtype.type(height * width)
    for y in range(len(variance)):
        slide(tiles, y, height, centres, column_sums, work)
        for i in range(len(tiles)):
            _difference(work[i], width, sums[i, y])
            square_sums(work[i], width, i == 0, squares)
        row, cumulative = variance[y], work[len(tiles)]
        last = cumulative[width : width + row.size]
        for x in range(row.size):
            row[x] = sum_type(last[x] - cumulative[x]) * count - squares[x]


@compiled
def inverse_norms(
    tiles: tuple[Array, ...],
    height: int,
    width: int,
    centres: tuple[int, ...],
    work: Array,
    squares: Array,
    inverse: Array,
) -> float:
    """Compute the inverse root of each variance; return the maximum."""
    column_sums = np.zeros((len(tiles) + 1, tiles[0].shape[1]), work.dtype)
    bits, largest = inverse.view(np.int32), np.zeros(1, np.int32)
    sum_type, count = work.dtype.type, squares.dtype.type(height * width)
    for y in range(len(inverse)):
        slide(tiles, y, height, centres, column_sums, work)
        for i in range(len(tiles)):
            square_sums(work[i], width, i == 0, squares)
        row, cumulative = inverse[y], work[len(tiles)]
        last = cumulative[width : width + row.size]
        for x in range(row.size):
            row[x] = _inverse_root(np.float32(sum_type(last[x] - cumulative[x]) * count - squares[x]))
        update_max(bits[y], largest)
    return float(largest.view(np.float32)[0])


@inline
def _inverse_root(variance: Any) -> Any:
    return np.float32(1) / np.sqrt(variance) if variance > 0 else np.float32(0)


@inline
def update_max(bits: Array, largest: Array) -> None:
    """Update a maximum of floats of at least 0 by their bits, which have the same order and compare faster."""
    for x in range(bits.size):
        largest[0] = max(largest[0], bits[x])


@inline
def _add_variance_row(
    totals: Array, squares: Array, n_pixels: int, y: int, sums: Array, variance: Array
) -> None:
    """Add the variances of a row of window sums, and store the sums unless `sums` is empty."""
    row, product_type = variance[y], sums.dtype.type
    count = product_type(n_pixels)
    for x in range(row.size):
        total = product_type(totals[x])
        row[x] += squares[x] * count - total * total
    if sums.size:
        sums[y] = totals


@inline
def _add_run(cumulative: Array, start: int, stop: int, out: Array) -> None:
    first, last = cumulative[start : start + out.size], cumulative[stop : stop + out.size]
    for x in range(out.size):
        out[x] += last[x] - first[x]


@inline
def _add_4_runs(cumulative: Array, runs: Array, out: Array) -> None:
    size = out.size
    rows = cumulative[runs[0, 0]], cumulative[runs[1, 0]], cumulative[runs[2, 0]], cumulative[runs[3, 0]]
    a0, b0 = rows[0][runs[0, 1] : runs[0, 1] + size], rows[0][runs[0, 2] : runs[0, 2] + size]
    a1, b1 = rows[1][runs[1, 1] : runs[1, 1] + size], rows[1][runs[1, 2] : runs[1, 2] + size]
    a2, b2 = rows[2][runs[2, 1] : runs[2, 1] + size], rows[2][runs[2, 2] : runs[2, 2] + size]
    a3, b3 = rows[3][runs[3, 1] : runs[3, 1] + size], rows[3][runs[3, 2] : runs[3, 2] + size]
    for x in range(size):
        out[x] += b0[x] - a0[x] + (b1[x] - a1[x]) + (b2[x] - a2[x]) + (b3[x] - a3[x])


@compiled
def add_masked_moments(
    tile: Array, runs: Array, count: int, centre: int, work: Array, sums: Array, variance: Array
) -> None:
    """Add the moments over the runs of a mask."""
    cumulative, cumulative_squares = work[0], work[1]  # sums of each row up to a column
    values = np.empty((2, tile.shape[1]), work.dtype)
    for y in range(tile.shape[0]):
        values[:] = 0
        _add_row(tile[y], work.dtype.type(centre), values[0], values[1])
        cumulative_sums(values, work[:, y])
    totals, squares = np.empty(variance.shape[1], work.dtype), np.empty(variance.shape[1], work.dtype)
    for y in range(variance.shape[0]):
        totals[:] = 0
        squares[:] = 0
        i = 0
        while i + 4 <= len(runs):
            _add_4_runs(cumulative[y:], runs[i : i + 4], totals)
            _add_4_runs(cumulative_squares[y:], runs[i : i + 4], squares)
            i += 4
        while i < len(runs):
            _add_run(cumulative[y + runs[i, 0]], runs[i, 1], runs[i, 2], totals)
            _add_run(cumulative_squares[y + runs[i, 0]], runs[i, 1], runs[i, 2], squares)
            i += 1
        _add_variance_row(totals, squares, count, y, sums, variance)


@compiled
def round_moments(products: Array, products_squares: Array, count: int, sums: Array, variance: Array) -> None:
    """Add the moments from sums that transforms computed."""
    # The dtype of sums was chosen to hold the exact integers.
    totals, squares = np.empty(variance.shape[1], sums.dtype), np.empty(variance.shape[1], sums.dtype)
    for y in range(variance.shape[0]):
        row, row_squares = products[y], products_squares[y]
        for x in range(totals.size):
            totals[x], squares[x] = rounded(row[x]), rounded(row_squares[x])
        _add_variance_row(totals, squares, count, y, sums, variance)


@compiled
def invert(variance: Array) -> float:
    """Replace each variance by its inverse root; return the maximum."""
    bits, largest = variance.view(np.int32), np.zeros(1, np.int32)
    for y in range(len(variance)):
        row = variance[y]
        for x in range(row.size):
            row[x] = _inverse_root(row[x])
        update_max(bits[y], largest)
    return float(largest.view(np.float32)[0])


@inline
def rounded(product: float) -> float:
    return float(np.rint(product) + 0.0)  # minus zero becomes zero
