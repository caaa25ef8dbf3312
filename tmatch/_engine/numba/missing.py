"""Window sums over the valid pixels of tiles of any real numbers, and scores from them. Compiled."""

from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, inline
from tmatch._engine.numba.fixed_point import bits_of, slide_digits
from tmatch._engine.numba.vectors import full_rows
from tmatch._engine.numba.window_sums import cumulative_sums, rounded, slide, update_max
from tmatch._engine.real_tiles import DOUBTFUL, HIDDEN


def valid_norms(
    digits: Array,
    valid: Array,
    box: tuple[int, int, int, int],
    centred: bool,  # noqa: FBT001
    scales: tuple[float, float],
    limits: tuple[float, float, float, float],
    hidden: tuple[Array, ...],
    min_count: float,
    inverse: Array,
    shift: Array,
) -> tuple[float, int]:
    """Compute the inverse norms of all windows over their valid pixels, and what to subtract from products."""
    # Code is compiled for each number of digits.
    options = box, centred, scales, limits
    found = _valid_norms(tuple(digits), valid, *options, hidden, min_count, inverse, shift, bits_of(inverse))
    return float(found[0]), int(found[1])


@compiled
def _valid_norms(
    digits: tuple[Array, ...],
    valid: Array,
    box: tuple[int, int, int, int],
    centred: bool,  # noqa: FBT001
    scales: tuple[float, float],
    limits: tuple[float, float, float, float],
    hidden: tuple[Array, ...],
    min_count: float,
    inverse: Array,
    shift: Array,
    bits: Array,
) -> tuple[float, int]:
    channels, limbs, columns = digits[0].shape[0], len(digits), digits[0].shape[2]
    shift_bits, part, last = np.uint64(round(np.log2(scales[1]))), 1 / scales[1], channels * limbs
    # For each channel sums of high and of low digits; then sums of squares, all channels together, and counts.
    sums = np.zeros(((channels + 1) * limbs + 1, columns), np.int64)
    cumulative = np.zeros((len(sums), columns + 1), np.int64)
    top, left, height, width = box
    rows = np.zeros((7, inverse.shape[1]))
    largest, most, size = np.zeros(1, bits.dtype), np.zeros(1, np.int64), float(height * width)
    for y in range(len(inverse)):
        for i in range(channels):
            slide_digits(
                digits, i, y, top, height, shift_bits, sums[i * limbs : (i + 1) * limbs], sums[last:]
            )
        _slide_counts(valid, y, top, height, sums[-1])
        cumulative_sums(sums, cumulative)
        _count(cumulative[-1, left:], width, min_count, rows[0], rows[1], most)
        high, low = cumulative[last, left:], cumulative[last + limbs - 1, left:]
        _difference(high, low, part * (limbs - 1), width, rows[2])
        for i in range(channels if centred else 0):
            high, low = cumulative[i * limbs, left:], cumulative[i * limbs + limbs - 1, left:]
            _difference(high, low, part * (limbs - 1), width, rows[6])
            _add_moments(i == 0, rows[6], hidden[i][y], rows[3:6], shift[y])
        _norms(rows, hidden[channels][y], size, 1 / scales[0], limits, inverse[y], shift[y])
        update_max(bits[y], largest)
    return float(largest.view(inverse.dtype)[0]), most[0]


@inline
def _slide_counts(valid: Array, y: int, top: int, height: int, sums: Array) -> None:
    """Advance the number of valid pixels down the columns to the windows of row y."""
    if y == 0:
        for row in valid[top : top + height]:
            for x in range(sums.size):
                sums[x] += row[x]
    else:
        new, old = valid[top + y + height - 1], valid[top + y - 1]
        for x in range(sums.size):
            sums[x] += np.int64(new[x]) - np.int64(old[x])


@inline
def _count(
    cumulative: Array, width: int, min_count: float, shares: Array, enough: Array, most: Array
) -> None:
    """Compute the inverse of the numbers of valid pixels, and 1 where these are enough, else 0."""
    ends, largest = cumulative[width:], most[0]
    for x in range(shares.size):
        count = ends[x] - cumulative[x]
        largest = max(largest, count)
        shares[x] = 1 / float(max(count, 1))
        enough[x] = 1.0 if float(count) >= min_count else 0.0
    most[0] = largest


@inline
def _difference(high: Array, low: Array, part: float, width: int, out: Array) -> None:
    """Sum over windows of high digits, and of low ones, which are parts of these."""
    high_ends, low_ends = high[width:], low[width:]
    for x in range(out.size):
        out[x] = float(high_ends[x] - high[x]) + float(low_ends[x] - low[x]) * part


@inline
def _add_moments(first: bool, totals: Array, hidden: Array, sums: Array, shift: Array) -> None:  # noqa: FBT001
    """Add what the means of a channel come to; set it for the first."""
    means, firsts, reach = sums[0], sums[1], sums[2]
    if first:
        for x in range(totals.size):
            means[x] = totals[x] * totals[x]
            firsts[x] = hidden[x] * hidden[x]
            reach[x] = abs(totals[x])
            shift[x] = -totals[x] * hidden[x]
    else:
        for x in range(totals.size):
            means[x] += totals[x] * totals[x]
            firsts[x] += hidden[x] * hidden[x]
            reach[x] += abs(totals[x])
            shift[x] -= totals[x] * hidden[x]


@inline
def _norms(
    rows: Array,
    hidden: Array,
    size: float,
    unit: float,
    limits: tuple[float, float, float, float],
    inverse: Array,
    shift: Array,
) -> None:
    """Compute a row of inverse norms, and of what to subtract from products."""
    shares, enough, squares, means, firsts, reach = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    kind, (least, share, mean_error, least_hidden) = inverse.dtype.type, limits
    error, mean_error, size_share = np.sqrt(least), mean_error * unit, 1 / size
    for x in range(inverse.size):
        one = shares[x]
        variance = squares[x] - means[x] * one
        template = 1 - hidden[x] - firsts[x] * one * size_share
        norm, bound = variance * template * (unit * unit), error + reach[x] * one * mean_error
        sure = (norm > bound * bound) & (variance > squares[x] * share)
        root = kind(1) / np.sqrt(kind(norm * size)) if sure else kind(DOUBTFUL)
        root = root if template > least_hidden else kind(HIDDEN)
        inverse[x] = root * kind(enough[x])
        shift[x] *= kind(one * unit)


@compiled
def score_valid_exactly(
    product: Array,
    valid: Array,
    tiles: tuple[Array, ...],
    height: int,
    width: int,
    centres: tuple[int, ...],
    work: Array,
    hidden: tuple[Array, ...],
    template_sums: Array,
    template_squares: int,
    min_count: float,
    norms: Array,
) -> tuple[int, int]:
    """Convert products that transforms computed to scores over the valid pixels."""
    column_sums = np.zeros((len(tiles) + 1, tiles[0].shape[1]), work.dtype)
    counts, cumulative = np.zeros((1, valid.shape[1]), np.int32), np.zeros((1, valid.shape[1] + 1), np.int32)
    kind, sum_type, channels = template_sums.dtype.type, work.dtype.type, len(tiles)
    most, out_of_range, squares_of_all = np.int32(0), 0, kind(template_squares)
    for y in range(len(norms)):
        slide(tiles, y, height, centres, column_sums, work)
        _slide_counts(valid, y, 0, height, counts[0])
        cumulative_sums(counts, cumulative)
        row, row_norms, hidden_squares = product[y], norms[y], hidden[channels][y]
        ends, squares, square_ends = cumulative[0, width:], work[channels], work[channels, width:]
        for x in range(row_norms.size):
            seen = ends[x] - cumulative[0, x]
            most, n = max(most, seen), kind(seen)
            numerator = kind(rounded(row[x])) * n
            variance = kind(sum_type(square_ends[x] - squares[x])) * n
            other = (squares_of_all - kind(rounded(hidden_squares[x]))) * n
            for i in range(channels):
                total = kind(sum_type(work[i, width + x] - work[i, x]))
                template_total = template_sums[i] - kind(rounded(hidden[i][y, x]))
                numerator -= total * template_total
                variance -= total * total
                other -= template_total * template_total
            norm = float(variance) * float(other) if seen >= min_count else 0.0
            score = float(numerator) / np.sqrt(norm) if norm > 0 else 0.0
            out_of_range += not abs(score) <= 1 + 1e-9
            row[x], row_norms[x] = min(max(score, -1.0), 1.0), norm
    return int(most), out_of_range


@compiled
def add_rectangles(integral: Array, rectangles: Array, sums: Array) -> None:
    """Add to the sums of all windows what they have in common with rectangles."""
    height, width = integral.shape[0] - 1, integral.shape[1] - 1
    # Sums of columns, up to each one, in reverse: the farther right a window, the fewer columns lie in a rectangle.
    columns = np.empty(width + 1)
    for i in range(len(rectangles)):
        top, bottom, left, right = rectangles[i, 0], rectangles[i, 1], rectangles[i, 2], rectangles[i, 3]
        for y in range(max(top - height + 1, 0), min(bottom, sums.shape[0])):
            first, last = integral[max(top - y, 0)], integral[min(bottom - y, height)]
            for x in range(width + 1):
                columns[width - x] = last[x] - first[x]
            row = sums[y]
            begin = max(left - width + 1, 0)
            _add_columns(columns, width, begin, right, 1.0, row)
            _add_columns(columns, width, begin, left, -1.0, row)


@inline
def _add_columns(columns: Array, width: int, begin: int, end: int, sign: float, row: Array) -> None:
    """Add, for windows from `begin` on, the sums of their columns before an end."""
    stop = min(end, row.size)
    start = min(max(end - width, begin), stop)  # windows before lie wholly before the end
    whole, part = sign * columns[0], columns[start - end + width :]
    for x in range(begin, start):
        row[x] += whole
    for x in range(stop - start):
        row[start + x] += sign * part[x]


def constant_valid_windows(tile: Array, valid: Array, height: int, width: int, out: Array) -> None:
    """Find the windows whose valid pixels are all equal."""
    _constant_valid_windows(full_rows(tile), full_rows(valid), tile.shape[1], height, width, out)


@compiled
def _constant_valid_windows(
    tile: Array, valid: Array, columns: int, height: int, width: int, out: Array
) -> None:
    """Count the rows up to here that agree, in the pixels up to a column, and the last of them with none valid."""
    rows, blank_rows = np.zeros((2, columns), np.int32)
    values = np.zeros(columns, tile.dtype)
    for y in range(len(tile)):
        run, blank, value = np.int32(0), np.int32(0), tile[y, 0]
        for x in range(columns):
            # What is not valid agrees with any value.
            if not valid[y, x]:
                run, blank = run + np.int32(1), blank + np.int32(1)
            elif run == blank or tile[y, x] == value:
                run, blank, value = run + np.int32(1), np.int32(0), tile[y, x]
            else:
                run, blank, value = blank + np.int32(1), np.int32(0), tile[y, x]
            if run < width:
                rows[x] = blank_rows[x] = 0
            elif blank >= width:
                rows[x] += np.int32(1)
                blank_rows[x] += np.int32(1)
            else:
                agrees = rows[x] == blank_rows[x] or value == values[x]
                rows[x] = (rows[x] if agrees else blank_rows[x]) + np.int32(1)
                blank_rows[x], values[x] = 0, value
            if y >= height - 1 and x >= width - 1:
                out[y - height + 1, x - width + 1] = rows[x] >= height


@compiled_reassociating
def score_valid_windows(
    channels: tuple[Array, ...],
    valid: Array,
    positions: Array,
    values: Array,
    weights: Array,
    centred: bool,  # noqa: FBT001
) -> Array:
    """Score single windows by definition over their valid pixels, in two passes."""
    scores = np.empty(len(positions))
    counts = np.empty_like(weights)
    for i in range(len(positions)):
        at = positions[i, 0], positions[i, 1]
        for channel in range(len(weights)):
            for y in range(weights.shape[1]):
                row, into = valid[at[0] + y, at[1] :], counts[channel, y]
                for x in range(into.size):
                    into[x] = weights[channel, y, x] * row[x]
        scores[i] = -np.inf
        if not _varies(values, counts, centred):
            continue
        sums = _about_means(channels, at, values, counts, centred, (1.0, 1.0))
        if not (1e-250 < sums[1] < 1e250 and 1e-250 < sums[2] < 1e250):  # squares overflow, or vanish
            sums = _about_means(
                channels, at, values, counts, centred, _near_one(channels, at, values, counts)
            )
        product, variance, other = sums
        if variance > 0 and other > 0:
            scores[i] = min(max(product / (np.sqrt(variance) * np.sqrt(other)), -1.0), 1.0)
    return scores


@inline
def _varies(values: Array, counts: Array, centred: bool) -> bool:  # noqa: FBT001
    """Return whether a channel is not constant where it counts, or not 0."""
    for channel in range(len(values)):
        base = 0.0
        if centred:
            at = _first_counted(counts[channel])
            base = values[channel, at[0], at[1]]
        for y in range(values.shape[1]):
            differs, row, weights = False, values[channel, y], counts[channel, y]
            for x in range(row.size):
                differs |= (weights[x] > 0) & (row[x] != base)
            if differs:
                return True
    return False


@inline
def _first_counted(counts: Array) -> tuple[int, int]:
    for y in range(counts.shape[0]):
        for x in range(counts.shape[1]):
            if counts[y, x] > 0:
                return y, x
    return 0, 0


@inline
def _about_means(
    channels: tuple[Array, ...],
    at: tuple[int, int],
    values: Array,
    counts: Array,
    centred: bool,  # noqa: FBT001
    factors: tuple[float, float],
) -> tuple[float, float, float]:
    """Sum the products of a window's pixels about their means with a template's, and the squares of both."""
    product = variance = other_variance = 0.0
    for channel in range(len(channels)):
        image, others, weights = channels[channel], values[channel], counts[channel]
        mean = other_mean = base = other_base = weight = 0.0
        if centred:
            y, x = _first_counted(weights)
            base, other_base = np.float64(image[at[0] + y, at[1] + x]) * factors[0], others[y, x] * factors[1]
            weight, mean, other_mean = _means(image, at, others, weights, (base, other_base), factors)
        if centred and weight == 0:
            continue
        rest = other_rest = 0.0
        for y in range(weights.shape[0]):
            row, other_row, count = image[at[0] + y, at[1] :], others[y], weights[y]
            squares = other_squares = products = left_over = other_left_over = 0.0
            for x in range(count.size):
                value = (np.float64(row[x]) * factors[0] - base) - mean if count[x] > 0 else 0.0
                other = (other_row[x] * factors[1] - other_base) - other_mean if count[x] > 0 else 0.0
                weighted, other_weighted = value * count[x], other * count[x]
                squares += weighted * value
                other_squares += other_weighted * other
                products += weighted * other
                left_over += weighted
                other_left_over += other_weighted
            variance += squares
            other_variance += other_squares
            product += products
            rest += left_over
            other_rest += other_left_over
        if centred:
            variance -= rest * rest / weight
            other_variance -= other_rest * other_rest / weight
            product -= rest * other_rest / weight
    return product, variance, other_variance


@inline
def _means(
    image: Array,
    at: tuple[int, int],
    others: Array,
    weights: Array,
    bases: tuple[float, float],
    factors: tuple[float, float],
) -> tuple[float, float, float]:
    """Compute the weight of a channel of a window, and the means of it and of the template's above the bases."""
    weight = total = other_total = 0.0
    for y in range(weights.shape[0]):
        row, other_row, counts = image[at[0] + y, at[1] :], others[y], weights[y]
        count = part = other_part = 0.0
        for x in range(counts.size):
            part += (np.float64(row[x]) * factors[0] - bases[0]) * counts[x] if counts[x] > 0 else 0.0
            other_part += (other_row[x] * factors[1] - bases[1]) * counts[x] if counts[x] > 0 else 0.0
            count += counts[x]
        weight, total, other_total = weight + count, total + part, other_total + other_part
    return (weight, total / weight, other_total / weight) if weight > 0 else (0.0, 0.0, 0.0)


@inline
def _near_one(channels: tuple[Array, ...], at: tuple[int, int], values: Array, counts: Array) -> Any:
    """Return powers of two that bring the magnitudes of a window and of a template near 1."""
    largest = other = 0.0
    for channel in range(len(channels)):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                if counts[channel, y, x] > 0:
                    largest = max(largest, abs(np.float64(channels[channel][at[0] + y, at[1] + x])))
                    other = max(other, abs(values[channel, y, x]))
    return _inverse_power(largest), _inverse_power(other)


@inline
def _inverse_power(largest: float) -> float:
    return 0.5 ** float(max(np.ceil(np.log2(largest)), -1000.0)) if largest > 0 else 1.0
