"""Window sums of any real numbers in fixed point, and scores from them. Compiled.

A pixel is a constant plus whole digits: a high one, and a low one for what is left. Sums of whole numbers are exact in
any order, and may overflow as long as their differences do not.
"""

from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, inline
from tmatch._engine.numba.vectors import full_rows
from tmatch._engine.numba.window_sums import cumulative_sums, update_max
from tmatch._engine.real_tiles import DOUBTFUL, SCORE_STEPS


def split(
    tile: Array, constant: float, factor: float, scales: tuple[float, float], values: Array, digits: Array
) -> tuple[float, float, float]:
    """Split the pixels of a tile into digits, and copy them, scaled, into `values`."""
    columns, planes = tile.shape[1], tuple(digits)  # code is compiled for each number of digits
    largest, total, digit = _split(full_rows(tile), columns, constant, factor, scales, values, planes)
    return largest, total, digit


@compiled_reassociating
def _split(
    tile: Array,
    columns: int,
    constant: float,
    factor: float,
    scales: tuple[float, float],
    values: Array,
    digits: tuple[Array, ...],
) -> tuple[float, float, float]:
    kind, (unit, parts) = values.dtype.type, scales
    column_squares, largest, total = np.zeros(columns, values.dtype), 0.0, 0.0
    lowest, highest = np.int32(0), np.int32(0)
    for y in range(tile.shape[0]):
        row, target, row_squares, high = tile[y, :columns], values[y], kind(0), digits[0][y]
        for x in range(columns):
            value = kind((np.float64(row[x]) - constant) * factor)
            target[x] = value
            square = value * value
            row_squares += square
            column_squares[x] += square
        target[columns:] = 0
        if len(digits) > 1:
            low = digits[1][y]
            for x in range(columns):
                scaled = (np.float64(row[x]) - constant) * factor * unit
                whole = np.rint(scaled)
                high[x] = np.int32(whole)
                low[x] = np.int32(np.rint((scaled - whole) * parts))
        else:
            for x in range(columns):
                high[x] = np.int32(np.rint((np.float64(row[x]) - constant) * factor * unit))
        for x in range(columns):
            lowest, highest = min(lowest, high[x]), max(highest, high[x])
        total += float(row_squares)
        largest = max(largest, float(row_squares))
    values[tile.shape[0] :] = 0
    return max(largest, float(column_squares.max())), total, float(max(-np.int64(lowest), np.int64(highest)))


@inline
def enter(high: Array, sums: Array, squares: Array) -> None:
    """Add a row of high digits, and its squares, to sums down the columns."""
    for x in range(high.size):
        value = np.int64(high[x])
        sums[x] += value
        squares[x] += value * value


@inline
def enter_low(high: Array, low: Array, shift: Any, sums: Array, squares: Array) -> None:
    for x in range(high.size):
        a, b = np.int64(high[x]), np.int64(low[x])
        sums[x] += b
        squares[x] += 2 * a * b + np.int64(np.uint64(b * b) >> shift)


@inline
def replace(high: Array, old: Array, sums: Array, squares: Array) -> None:
    """Add a row of high digits and subtract another one."""
    for x in range(high.size):
        a, b = np.int64(high[x]), np.int64(old[x])
        sums[x] += a - b
        squares[x] += a * a - b * b


@inline
def replace_low(
    high: Array, low: Array, old_high: Array, old_low: Array, shift: Any, sums: Array, squares: Array
) -> None:
    for x in range(high.size):
        a, b, c, d = np.int64(high[x]), np.int64(low[x]), np.int64(old_high[x]), np.int64(old_low[x])
        sums[x] += b - d
        low_squares = np.int64(np.uint64(b * b) >> shift) - np.int64(np.uint64(d * d) >> shift)
        squares[x] += 2 * (a * b - c * d) + low_squares


def fixed_norms(
    digits: Array,
    box: tuple[int, int, int, int],
    centred: bool,  # noqa: FBT001
    scales: tuple[float, float],
    limits: tuple[float, float],
    inverse: Array,
) -> float:
    """Compute the inverse norms of all windows; `DOUBTFUL` where the limits forbid them."""
    # Code is compiled for each number of digits.
    largest: float = _fixed_norms(tuple(digits), box, centred, scales, limits, inverse, bits_of(inverse))
    return largest


@compiled
def _fixed_norms(
    digits: tuple[Array, ...],
    box: tuple[int, int, int, int],
    centred: bool,  # noqa: FBT001
    scales: tuple[float, float],
    limits: tuple[float, float],
    inverse: Array,
    bits: Array,
) -> float:
    (channels, _, columns), limbs, (unit, parts), (least, share) = (
        digits[0].shape,
        len(digits),
        scales,
        limits,
    )
    shift, part, places = np.uint64(round(np.log2(parts))), 1 / parts, inverse.shape[1]
    # For each channel sums of high and of low digits; last, sums of squares, all channels together.
    sums = np.zeros(((channels + 1) * limbs, columns), np.int64)
    cumulative = np.zeros((len(sums), columns + 1), np.int64)
    others = np.zeros(places)  # squared sums of all channels but the first
    top, left, height, width = box
    n, kind, largest = float(height * width), inverse.dtype.type, np.zeros(1, bits.dtype)
    size, share_of_one = 1 / (unit * unit), 1 / n if centred else 0.0
    last = channels * limbs
    for y in range(len(inverse)):
        for i in range(channels):
            slide_digits(digits, i, y, top, height, shift, sums[i * limbs : (i + 1) * limbs], sums[last:])
        cumulative_sums(sums, cumulative)
        for i in range(1, channels):
            starts, low_starts = cumulative[i * limbs, left:], cumulative[i * limbs + limbs - 1, left:]
            ends, low_ends = starts[width:], low_starts[width:]
            for x in range(places):
                total = float(ends[x] - starts[x])
                if limbs > 1:
                    total += float(low_ends[x] - low_starts[x]) * part
                others[x] = total * total if i == 1 else others[x] + total * total
        a0, c0, b0, d0 = (
            cumulative[0, left:],
            cumulative[limbs - 1, left:],
            cumulative[last, left:],
            cumulative[-1, left:],
        )
        a1, c1, b1, d1 = a0[width:], c0[width:], b0[width:], d0[width:]
        row = inverse[y]
        for x in range(places):
            total, squares = float(a1[x] - a0[x]), float(b1[x] - b0[x])
            if limbs > 1:
                total += float(c1[x] - c0[x]) * part
                squares += float(d1[x] - d0[x]) * part
            variance = squares - (total * total + others[x]) * share_of_one
            sure = (variance * size > least) & (variance > squares * share)
            row[x] = kind(1) / np.sqrt(kind(variance * (size * n))) if sure else kind(DOUBTFUL)
        update_max(bits[y], largest)
    return float(largest.view(inverse.dtype)[0])


@inline
def slide_digits(
    digits: tuple[Array, ...], i: int, y: int, top: int, height: int, shift: Any, sums: Array, squares: Array
) -> None:
    """Advance the sums of a channel down the columns to the windows of row y."""
    high, low = digits[0][i], digits[-1][i]
    if y == 0:
        for k in range(top, top + height):
            enter(high[k], sums[0], squares[0])
            if len(digits) > 1:
                enter_low(high[k], low[k], shift, sums[1], squares[1])
    else:
        new, old = top + y + height - 1, top + y - 1
        replace(high[new], high[old], sums[0], squares[0])
        if len(digits) > 1:
            replace_low(high[new], low[new], high[old], low[old], shift, sums[1], squares[1])


def weighted_norms(
    sums: tuple[Array, ...],
    squares: tuple[Array, ...],
    totals: tuple[float, ...],
    factor: float,
    least: float,
    inverse: Array,
) -> float:
    """Compute inverse norms from weighted sums; `DOUBTFUL` where the limit forbids them."""
    largest: float = _weighted_norms(sums, squares, totals, factor, least, inverse, bits_of(inverse))
    return largest


def bits_of(inverse: Array) -> Array:
    """Return the bits of inverse norms as integers, for `update_max`."""
    return inverse.view(np.int32 if inverse.dtype == np.float32 else np.int64)


@compiled
def _weighted_norms(
    sums: tuple[Array, ...],
    squares: tuple[Array, ...],
    totals: tuple[float, ...],
    factor: float,
    least: float,
    inverse: Array,
    bits: Array,
) -> float:
    kind, largest, variance = inverse.dtype.type, np.zeros(1, bits.dtype), np.zeros(inverse.shape[1])
    for y in range(len(inverse)):
        for i in range(len(sums)):
            total, square, share = sums[i][y], squares[i][y], 1 / totals[i]
            for x in range(variance.size):
                own = square[x] - total[x] * total[x] * share
                variance[x] = own if i == 0 else variance[x] + own
        row = inverse[y]
        for x in range(variance.size):
            sure = variance[x] > least
            row[x] = kind(1) / np.sqrt(kind(variance[x] * factor)) if sure else kind(DOUBTFUL)
        update_max(bits[y], largest)
    return float(largest.view(inverse.dtype)[0])


def scale_double(product: Array, inverse: Array, shift: Array | None = None) -> int:
    """Scale products to scores, in place, rounded to multiples of 2**-40; count those out of range."""
    out_of_range: int = _scale_double(product, inverse, np.empty((0, 0)) if shift is None else shift)
    return out_of_range


@compiled
def _scale_double(product: Array, inverse: Array, shift: Array) -> int:
    out_of_range = 0
    for y in range(len(inverse)):
        row, factors = product[y], inverse[y]
        if y < len(shift):
            for x in range(factors.size):
                row[x] -= shift[y, x]
        for x in range(factors.size):
            score = np.rint(row[x] * factors[x] * SCORE_STEPS) * (1 / SCORE_STEPS) + 0.0
            sure = factors[x] < DOUBTFUL
            out_of_range += sure & (not abs(score) <= 1 + 1e-9)
            row[x] = min(max(score, -1.0), 1.0)
    return out_of_range


def constant_windows(tile: Array, height: int, width: int, out: Array) -> None:
    """Find the windows whose pixels are all equal."""
    _constant_windows(full_rows(tile), tile.shape[1], height, width, out)


@compiled
def _constant_windows(tile: Array, columns: int, height: int, width: int, out: Array) -> None:
    """Count the rows up to here with a long run of equal pixels up to a column, and with the same pixel in it."""
    across, down = np.zeros((2, columns), np.int32)
    for y in range(len(tile)):
        row, above, run = tile[y, :columns], tile[max(y - 1, 0), :columns], np.int32(0)
        for x in range(columns):
            run = run + np.int32(1) if x and row[x] == row[x - 1] else np.int32(1)
            across[x] = across[x] + np.int32(1) if run >= width else np.int32(0)
        for x in range(columns):
            down[x] = down[x] + np.int32(1) if y and row[x] == above[x] else np.int32(1)
        if y >= height - 1:
            into = out[y - height + 1]
            for x in range(into.size):
                into[x] = (across[x + width - 1] >= height) & (down[x + width - 1] >= height)


@compiled_reassociating
def score_float_windows(
    channels: tuple[Array, ...],
    positions: Array,
    values: Array,
    weights: Array,
    bases: Array,
    centred: bool,  # noqa: FBT001
) -> Array:
    """Score single windows by definition, in two passes."""
    scores = np.empty(len(positions))
    for i in range(len(positions)):
        at = positions[i, 0], positions[i, 1]
        product, variance = _about_means(channels, at, values, weights, bases, centred, 1.0)
        if not 1e-250 < variance < 1e250:  # squares overflow, or vanish
            factor = near_one(channels, at, weights)
            product, variance = _about_means(channels, at, values, weights, bases, centred, factor)
        scores[i] = min(max(product / np.sqrt(variance), -1.0), 1.0) if variance > 0 else -np.inf
    return scores


@inline
def _about_means(
    channels: tuple[Array, ...],
    at: tuple[int, int],
    values: Array,
    weights: Array,
    bases: Array,
    centred: bool,  # noqa: FBT001
    factor: float,
) -> tuple[float, float]:
    """Sum the products of a window's pixels about their means with a template's, and their squares."""
    _, height, width = values.shape
    product = variance = 0.0
    for channel in range(len(channels)):
        image = channels[channel]
        start = 0.0
        if centred:
            start = float(image[at[0] + bases[channel, 0], at[1] + bases[channel, 1]]) * factor
        total = weight = 0.0
        for y in range(height):
            row, counts = image[at[0] + y, at[1] : at[1] + width], weights[channel, y]
            part = count = 0.0
            for x in range(width):
                part += (np.float64(row[x]) * factor - start) * counts[x] if counts[x] > 0 else 0.0
                count += counts[x]
            total += part
            weight += count
        mean, rest = total / weight if centred else 0.0, 0.0
        for y in range(height):
            row, counts, other = (
                image[at[0] + y, at[1] : at[1] + width],
                weights[channel, y],
                values[channel, y],
            )
            squares = products = left_over = 0.0
            for x in range(width):
                value = (np.float64(row[x]) * factor - start) - mean if counts[x] > 0 else 0.0
                weighted = value * counts[x]
                squares += weighted * value
                products += weighted * other[x]
                left_over += weighted
            variance += squares
            product += products
            rest += left_over
        variance -= rest * rest / weight if centred else 0.0
    return product, variance


@inline
def near_one(channels: tuple[Array, ...], at: tuple[int, int], weights: Array) -> float:
    """Return a power of two that brings the magnitudes of a window near 1."""
    largest = 0.0
    for channel in range(len(channels)):
        for y in range(weights.shape[1]):
            for x in range(weights.shape[2]):
                if weights[channel, y, x] > 0:
                    largest = max(largest, abs(np.float64(channels[channel][at[0] + y, at[1] + x])))
    return 0.5 ** float(max(np.ceil(np.log2(largest)), -1000.0)) if largest > 0 else 1.0
