"""Window sums of volumes, and scores from them. Compiled.

Sums over the depth of a window slide from slice to slice, those over its height from row to row; rows are summed up.
"""

from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, inline
from tmatch._engine.numba.fixed_point import bits_of, enter, enter_low, replace, replace_low
from tmatch._engine.numba.window_sums import cumulative_sums, rounded, update_max
from tmatch._engine.real_tiles import DOUBTFUL


def volume_norms(
    digits: Array,
    window: Shape,
    scales: tuple[float, float],
    limits: tuple[float, float],
    inverse: Array,
) -> float:
    """Compute the inverse norms of all windows; `DOUBTFUL` where the limits forbid them."""
    # Code is compiled for each number of digits.
    largest: float = _volume_norms(tuple(digits), window, scales, limits, inverse, bits_of(inverse))
    return largest


@compiled
def _volume_norms(
    digits: tuple[Array, ...],
    window: tuple[int, int, int],
    scales: tuple[float, float],
    limits: tuple[float, float],
    inverse: Array,
    bits: Array,
) -> float:
    (_, rows, columns), limbs, (unit, parts), (least, share) = digits[0].shape, len(digits), scales, limits
    depth, height, width = window
    shift, part, kind = np.uint64(round(np.log2(parts))), 1 / parts, inverse.dtype.type
    n, size, largest = float(depth * height * width), 1 / (unit * unit), np.zeros(1, bits.dtype)
    # Sums of high and of low digits, then of squares.
    planes = np.zeros((2 * limbs, rows, columns), np.int64)
    sums = np.zeros((2 * limbs, columns), np.int64)
    cumulative = np.zeros((2 * limbs, columns + 1), np.int64)
    a0, c0, b0, d0 = cumulative[0], cumulative[limbs - 1], cumulative[limbs], cumulative[-1]
    a1, c1, b1, d1 = a0[width:], c0[width:], b0[width:], d0[width:]
    for z in range(len(inverse)):
        _slide_digits(digits, z, depth, shift, planes)
        for y in range(inverse.shape[1]):
            _slide_rows(planes, y, height, sums)
            cumulative_sums(sums, cumulative)
            row = inverse[z, y]
            for x in range(row.size):
                total, squares = float(a1[x] - a0[x]), float(b1[x] - b0[x])
                if limbs > 1:
                    total += float(c1[x] - c0[x]) * part
                    squares += float(d1[x] - d0[x]) * part
                variance = squares - total * total / n
                sure = (variance * size > least) & (variance > squares * share)
                row[x] = kind(1) / np.sqrt(kind(variance * (size * n))) if sure else kind(DOUBTFUL)
            update_max(bits[z, y], largest)
    return float(largest.view(inverse.dtype)[0])


@inline
def _slide_digits(digits: tuple[Array, ...], z: int, depth: int, shift: Any, planes: Array) -> None:
    """Advance the sums over slices to the windows of slice z."""
    high, low, limbs = digits[0], digits[-1], len(digits)
    for y in range(planes.shape[1]):
        if z == 0:
            for k in range(depth):
                enter(high[k, y], planes[0, y], planes[limbs, y])
                if limbs > 1:
                    enter_low(high[k, y], low[k, y], shift, planes[1, y], planes[-1, y])
        else:
            new, old = z + depth - 1, z - 1
            replace(high[new, y], high[old, y], planes[0, y], planes[limbs, y])
            if limbs > 1:
                replace_low(
                    high[new, y],
                    low[new, y],
                    high[old, y],
                    low[old, y],
                    shift,
                    planes[1, y],
                    planes[-1, y],
                )


@inline
def _slide_rows(planes: Array, y: int, height: int, sums: Array) -> None:
    """Advance the sums of planes over rows to the windows of row y."""
    for i in range(len(planes)):
        if y == 0:
            sums[i] = 0
            for k in range(height):
                sums[i] += planes[i, k]
        else:
            new, old, into = planes[i, y + height - 1], planes[i, y - 1], sums[i]
            for x in range(into.size):
                into[x] += new[x] - old[x]


def score_volume(
    product: Array,
    tile: Array,
    window: Shape,
    centre: int,
    sum_dtype: Any,
    template_sum: Array,
    variance: Array,
    template: float,
) -> int:
    """Convert products that transforms computed to scores."""
    planes = np.zeros((2, *tile.shape[1:]), sum_dtype)
    out_of_range: int = _score_volume(product, tile, window, centre, planes, template_sum, variance, template)
    return out_of_range


@compiled
def _score_volume(
    product: Array,
    tile: Array,
    window: tuple[int, int, int],
    centre: int,
    planes: Array,
    template_sum: Array,
    variance: Array,
    template: float,
) -> int:
    (depth, height, width), out_of_range = window, 0
    sum_type, product_type = planes.dtype.type, variance.dtype.type
    sums = np.zeros((2, tile.shape[2]), planes.dtype)
    cumulative = np.zeros((2, tile.shape[2] + 1), planes.dtype)
    count, template_total = product_type(depth * height * width), template_sum[0]
    a0, b0 = cumulative[0], cumulative[1]
    a1, b1 = a0[width:], b0[width:]
    for z in range(len(variance)):
        _slide_pixels(tile, z, depth, sum_type(centre), planes)
        for y in range(variance.shape[1]):
            _slide_rows(planes, y, height, sums)
            cumulative_sums(sums, cumulative)
            row, variances = product[z, y], variance[z, y]
            for x in range(variances.size):
                total = product_type(sum_type(a1[x] - a0[x]))
                variances[x] = product_type(sum_type(b1[x] - b0[x])) * count - total * total
                numerator = product_type(rounded(row[x])) * count - total * template_total
                norm = float(variances[x]) * template
                score = float(numerator) / np.sqrt(norm) if norm > 0 else 0.0
                out_of_range += not abs(score) <= 1 + 1e-9
                row[x] = min(max(score, -1.0), 1.0)
    return out_of_range


@inline
def _slide_pixels(tile: Array, z: int, depth: int, centre: Any, planes: Array) -> None:
    """Advance the sums of pixels minus a centre, and of their squares, to the windows of slice z."""
    sum_type = planes.dtype.type
    for y in range(planes.shape[1]):
        sums, squares = planes[0, y], planes[1, y]
        if z == 0:
            for k in range(depth):
                row = tile[k, y]
                for x in range(sums.size):
                    value = sum_type(row[x]) - centre
                    sums[x] += value
                    squares[x] += value * value
        else:
            new, old = tile[z + depth - 1, y], tile[z - 1, y]
            for x in range(sums.size):
                a, b = sum_type(new[x]) - centre, sum_type(old[x]) - centre
                sums[x] += a - b
                squares[x] += a * a - b * b


@compiled_reassociating
def scale_volume(product: Array, width: int, inverse: Array) -> tuple[float, int]:
    """Scale products in single precision to scores, in place."""
    largest, out_of_range = np.float32(0), 0
    column_squares = np.zeros(width, np.float32)
    for z in range(len(inverse)):
        column_squares[:] = 0
        for y in range(product.shape[1]):
            row, row_squares = product[z, y, :width], np.float32(0)
            for x in range(row.size):
                square = row[x] * row[x]
                row_squares += square
                column_squares[x] += square
            largest = max(largest, row_squares)
            if y < inverse.shape[1]:
                factors = inverse[z, y]
                for x in range(factors.size):
                    score = row[x] * factors[x] + np.float32(0)  # minus zero becomes zero
                    sure = factors[x] < np.float32(DOUBTFUL)
                    out_of_range += sure & (not abs(score) <= np.float32(1.0001))
                    row[x] = min(max(score, np.float32(-1)), np.float32(1))
        largest = max(largest, column_squares.max())
    return float(largest), out_of_range
