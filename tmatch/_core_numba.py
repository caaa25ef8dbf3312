"""The compiled engine: loops that NumPy can only do in many passes. Needs numba; `_engine` decides when to load it.

Compiled code is kept on disk beside this file or in the user's cache, and made anew where neither can be written.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from tmatch._borders import Array

_CHUNK = 1024  # results summed at a time, so that they stay in the nearest cache


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    # "contract" lets a product and a sum be one instruction, rounded once; no other liberty is taken.
    compiled = functools.partial(numba.njit, nogil=True, fastmath={"contract"}, error_model="numpy")
    try:
        return compiled(cache=True)(function)
    except RuntimeError:  # no folder can be written to
        return compiled()(function)


_inline = numba.njit(
    nogil=True, fastmath={"contract"}, error_model="numpy"
)  # kept on disk as part of its caller


@_inline
def _set_first(row: Array, line: Array, shifts: Array, weights: Array) -> None:
    if shifts.size == 0:
        row[:] = 0
        return
    source, weight = line[shifts[0] : shifts[0] + row.size], weights[0]
    for x in range(row.size):
        row[x] = weight * source[x]


@_inline
def _add_1(row: Array, line: Array, shift: int, weight: float) -> None:
    source = line[shift : shift + row.size]
    for x in range(row.size):
        row[x] += weight * source[x]


@_inline
def _add_4(row: Array, line: Array, shifts: Array, weights: Array) -> None:
    size = row.size
    s0, s1 = line[shifts[0] : shifts[0] + size], line[shifts[1] : shifts[1] + size]
    s2, s3 = line[shifts[2] : shifts[2] + size], line[shifts[3] : shifts[3] + size]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for x in range(size):
        total = row[x]
        total += w0 * s0[x]
        total += w1 * s1[x]
        total += w2 * s2[x]
        total += w3 * s3[x]
        row[x] = total


@_inline
def _add_8(row: Array, line: Array, shifts: Array, weights: Array) -> None:
    size = row.size
    s0, s1 = line[shifts[0] : shifts[0] + size], line[shifts[1] : shifts[1] + size]
    s2, s3 = line[shifts[2] : shifts[2] + size], line[shifts[3] : shifts[3] + size]
    s4, s5 = line[shifts[4] : shifts[4] + size], line[shifts[5] : shifts[5] + size]
    s6, s7 = line[shifts[6] : shifts[6] + size], line[shifts[7] : shifts[7] + size]
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    w4, w5, w6, w7 = weights[4], weights[5], weights[6], weights[7]
    for x in range(size):
        total = row[x]
        total += w0 * s0[x]
        total += w1 * s1[x]
        total += w2 * s2[x]
        total += w3 * s3[x]
        total += w4 * s4[x]
        total += w5 * s5[x]
        total += w6 * s6[x]
        total += w7 * s7[x]
        row[x] = total


@_compile
def sum_shifted(line: Array, row_step: int, shifts: Array, weights: Array, out: Array) -> int:
    """Sum weighted copies of a line into the rows of `out`: row y of copy i begins at ``y * row_step + shifts[i]``.

    Gives the number of results that are not finite.
    """
    sums = np.empty(_CHUNK, line.dtype)
    broken = 0
    for y in range(out.shape[0]):
        for first in range(0, out.shape[1], _CHUNK):
            size = min(_CHUNK, out.shape[1] - first)
            base = y * row_step + first
            row = sums[:size]
            _set_first(row, line[base:], shifts, weights)
            i = 1
            while i + 8 <= shifts.size:  # so many at a time that the sums are seldom read and written
                _add_8(row, line[base:], shifts[i : i + 8], weights[i : i + 8])
                i += 8
            while i + 4 <= shifts.size:
                _add_4(row, line[base:], shifts[i : i + 4], weights[i : i + 4])
                i += 4
            while i < shifts.size:
                _add_1(row, line[base:], shifts[i], weights[i])
                i += 1
            for x in range(size):
                broken += not np.isfinite(row[x])
            out[y, first : first + size] = row
    return broken


@_compile
def take_means_off(
    tile: Array, height: int, width: int, count: int, template_sum: int, product: Array, image_square: Array
) -> float:
    """Sum integers over all windows of a tile, and with these take means off sums of products and of squares.

    ``product`` becomes ``product - sum(w) * template_sum``, ``image_square`` grows by ``count * sum(w^2) - sum(w)^2``.
    Sums run down the columns and along the rows: one value comes in, one goes out. Gives the least square above 0.
    """
    least = np.inf
    rows, columns = product.shape
    sums = np.zeros(tile.shape[1], np.int64)
    squares = np.zeros(tile.shape[1], np.int64)
    for y in range(height - 1):
        for x in range(tile.shape[1]):
            value = np.int64(tile[y, x])
            sums[x] += value
            squares[x] += value * value
    for y in range(rows):
        for x in range(tile.shape[1]):
            value = np.int64(tile[y + height - 1, x])
            sums[x] += value
            squares[x] += value * value
        total, square = np.int64(0), np.int64(0)
        for x in range(width - 1):
            total += sums[x]
            square += squares[x]
        for x in range(columns):
            total += sums[x + width - 1]
            square += squares[x + width - 1]
            product[y, x] -= total * template_sum
            image_square[y, x] += count * square - total * total
            total -= sums[x]
            square -= squares[x]
        for x in range(columns):
            if 0 < image_square[y, x] < least:
                least = float(image_square[y, x])
        for x in range(tile.shape[1]):
            value = np.int64(tile[y, x])
            sums[x] -= value
            squares[x] -= value * value
    return least


@_compile
def normalise(
    product: Array, image_square: Array, template_square: float, scores: Array, valid: Array
) -> float:
    """Divide products by both norms; where a window has none the score is 0 and not valid. Gives the largest score.

    Scores are cut at -1 and 1: the caller judges by the largest whether only rounding went beyond.
    """
    largest = 0.0
    for y in range(product.shape[0]):
        for x in range(product.shape[1]):
            square = float(image_square[y, x])
            score = float(product[y, x]) / np.sqrt(square * template_square) if square > 0 else 0.0
            largest = max(largest, abs(score))
            scores[y, x] = min(max(score, -1.0), 1.0)
            valid[y, x] = square > 0
    return largest
