"""The compiled engine: loops that NumPy can only do in many passes. Needs numba; `_engine` decides when to load it.

Compiled code is kept on disk beside this file or in the user's cache, and made anew where neither can be written.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tmatch._borders import Array
from tmatch._fft_numba import correlate, prepare
from tmatch._tiles import Shape, Tiling
from tmatch._vectors import (
    VECTOR_BYTES,
    Code,
    inline,
    instructions,
    machine_code,
    machine_code_for_sums,
    whole_rows,
)

MOST_RUNS = 64  # of pixels in the rows of a mask, beyond which transforms are faster


# --- plain searches, and what is learnt from them; `_core_numpy` has the same but `score_alone` -------


@machine_code_for_sums
def load(tile: Array, out: Array) -> float:
    """Copy integers less their mean into the corner of `out`, zeros elsewhere.

    Give the largest sum of squares of a row or a column, for an estimate of errors.
    """
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
def _slide(
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
def _square_sums(before: Array, width: int, first: bool, squares: Array) -> None:  # noqa: FBT001
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
    """Sum integers over all windows; put ``n sum(w^2) - sum(w)^2`` into `variance`.

    Additions are done in the type of `work`, zeros in a row for each channel and one more, a column longer than the
    tile's, after the centres were taken off; multiplications in that of `sums`. Squares of all channels are summed
    together.
    """
    down = np.zeros((len(tiles) + 1, tiles[0].shape[1]), work.dtype)
    squares = np.empty(variance.shape[1], sums.dtype)
    narrow, count = work.dtype.type, sums.dtype.type(height * width)
    for y in range(len(variance)):
        _slide(tiles, y, height, centres, down, work)
        for i in range(len(tiles)):
            _difference(work[i], width, sums[i, y])
            _square_sums(work[i], width, i == 0, squares)
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
    """Do as `moments`, but put only the inverse root of each variance above 0 into `inverse`; give the largest.

    `squares` is room for a row, in whose type multiplications are done.
    """
    down = np.zeros((len(tiles) + 1, tiles[0].shape[1]), work.dtype)
    bits, largest = inverse.view(np.int32), np.zeros(1, np.int32)
    narrow, count = work.dtype.type, squares.dtype.type(height * width)
    for y in range(len(inverse)):
        _slide(tiles, y, height, centres, down, work)
        for i in range(len(tiles)):
            _square_sums(work[i], width, i == 0, squares)
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
    """Do as `moments` over the pixels of a mask: runs of them, each a row, its first column, and the one after it.

    Variances are added to what is there; sums are put only where there is room for them. `work` are two tables of
    zeros, one column wider than the tile.
    """
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
    """Do as `add_masked_moments` with sums that came from transforms, in the corners of arrays."""
    # Products of whole numbers need the type that was found wide enough; minus zero becomes zero.
    across, squares = np.empty(variance.shape[1], sums.dtype), np.empty(variance.shape[1], sums.dtype)
    for y in range(variance.shape[0]):
        row, row_squares = products[y], products_squares[y]
        for x in range(across.size):
            across[x], squares[x] = _rounded(row[x]), _rounded(row_squares[x])
        _take_in_sums(across, squares, count, y, sums, variance)


@machine_code
def invert(variance: Array) -> float:
    """Put the inverse root in place of each variance above 0, zero elsewhere; give the largest."""
    bits, largest = variance.view(np.int32), np.zeros(1, np.int32)
    for y in range(len(variance)):
        row = variance[y]
        for x in range(row.size):
            row[x] = _inverse_root(row[x])
        _take_in_largest(bits[y], largest)
    return float(largest.view(np.float32)[0])


@machine_code_for_sums
def scale(product: Array, width: int, inverse: Array, floor: float) -> tuple[float, int, int]:
    """Make scores of products in the corner of an array, in place, cut at -1 and 1.

    Give the largest sum of squared products of a row or a column, those outside the corner too, up to a width; how many
    scores reach the floor; and how many pass 1 by more than rounding.
    """
    largest, high, broken = np.float32(0), 0, 0
    down = np.zeros(width, np.float32)
    for y in range(product.shape[0]):
        row, along = product[y, :width], np.float32(0)
        for x in range(row.size):
            square = row[x] * row[x]
            along += square
            down[x] += square
        largest = max(largest, along)
        if y < inverse.shape[0]:
            by = inverse[y]
            for x in range(by.size):
                score = row[x] * by[x] + np.float32(0)  # minus zero becomes zero
                broken += not abs(score) <= np.float32(1.0001)
                high += score >= np.float32(floor)
                row[x] = min(max(score, np.float32(-1)), np.float32(1))
    return float(max(largest, down.max())), high, broken


@machine_code_for_sums
def score_windows(
    channels: tuple[Array, ...],
    places: Array,
    mask: Array,
    values: Array,
    centres: tuple[int, ...],
    sums_of_template: Array,
    template: float,
    count: int,
) -> Array:
    """Score single windows by definition, over the pixels where the mask is 1; minus infinity where one has no norm.

    The channels are taken about their centres; sums are made in floats, which hold them as they are whole numbers below
    2**53, and multiplied in the type of `sums_of_template`.
    """
    height, width = mask.shape
    scores, found = np.empty(len(places)), np.empty(3, sums_of_template.dtype)
    # Each column is summed for itself: sums of a row would wait for one another.
    columns = np.empty((3, width))
    totals, squares, crossed = columns[0], columns[1], columns[2]
    for i in range(len(places)):
        top, left = places[i, 0], places[i, 1]
        products = variance = sums_of_template.dtype.type(0)
        for channel in range(len(channels)):
            image, centre = channels[channel], float(centres[channel])
            columns[:] = 0
            for y in range(height):
                row = image[top + y, left : left + width]
                counts, weights = mask[y], values[channel, y]
                for x in range(width):
                    value = (row[x] - centre) * counts[x]
                    totals[x] += value
                    squares[x] += value * value
                    crossed[x] += value * weights[x]
            found[0], found[1], found[2] = totals.sum(), squares.sum(), crossed.sum()
            products += found[2] * count - found[0] * sums_of_template[channel]
            variance += found[1] * count - found[0] * found[0]
        norm = float(variance) * template
        scores[i] = min(max(float(products) / np.sqrt(norm), -1.0), 1.0) if norm > 0 else -np.inf
    return scores


def candidates(heights: Array, floor: float, slack: float) -> Array:
    """Find places of at least the floor with no neighbour higher by more than the slack, in row-major order."""
    kind = heights.dtype.type
    return np.asarray(_candidates(whole_rows(heights), heights.shape, kind(floor), kind(slack)))


@machine_code
def _candidates(heights: Array, shape: tuple[int, int], floor: float, slack: float) -> Array:
    height, width = shape
    found, count = np.empty((16, 2), np.intp), 0
    for y in range(height):
        row, high = heights[y, :width], 0
        for x in range(width):  # most rows hold none, and are counted faster than looked through
            high += row[x] >= floor
        for x in range(width if high else 0):
            if row[x] >= floor and _is_top(heights, shape, y, x, slack):
                if count == len(found):
                    found = np.concatenate((found, np.empty_like(found)))
                found[count, 0], found[count, 1] = y, x
                count += 1
    return found[:count].copy()


@inline
def _is_top(heights: Array, shape: tuple[int, int], y: int, x: int, slack: float) -> bool:
    most = heights[y, x] + slack
    for v in range(max(y - 1, 0), min(y + 2, shape[0])):
        for u in range(max(x - 1, 0), min(x + 2, shape[1])):
            if heights[v, u] > most:
                return False
    return True


@inline
def _rounded(product: float) -> float:
    return float(np.rint(product) + 0.0)  # minus zero becomes zero


@inline
def _over_norms(whole: Any, variance: Any, template: float) -> float:
    norm = float(variance) * template
    return float(whole) / np.sqrt(norm) if norm > 0 else 0.0


@machine_code
def score_exactly(
    product: Array, sums: Array, sums_of_template: Array, variance: Array, template: float, count: int
) -> int:
    """Round sums of products, take the means off, and divide by both norms; 0 where the window has none.

    In place, in the corner of an array. Gives how many scores pass 1 by more than rounding.
    """
    broken = 0
    whole = np.empty(variance.shape[1], variance.dtype)
    for y in range(variance.shape[0]):
        row, square = product[y], variance[y]
        for x in range(whole.size):
            whole[x] = _rounded(row[x])
            whole[x] *= count
        for channel in range(len(sums)):
            off, factor = sums[channel, y], sums_of_template[channel]
            for x in range(whole.size):
                whole[x] -= off[x] * factor
        for x in range(whole.size):
            score = _over_norms(whole[x], square[x], template)
            broken += not abs(score) <= 1 + 1e-9
            row[x] = min(max(score, -1.0), 1.0)
    return broken


@machine_code
def score_alone(
    product: Array,
    tiles: tuple[Array, ...],
    height: int,
    width: int,
    centres: tuple[int, ...],
    work: Array,
    sums_of_template: Array,
    variance: Array,
    template: float,
) -> int:
    """Do as `moments` and `score_exactly`, where no other template needs the sums.

    Roots and divisions take so long that all else in their loop is done meanwhile.
    """
    down = np.zeros((len(tiles) + 1, tiles[0].shape[1]), work.dtype)
    squares, means = np.empty_like(variance[0]), np.empty_like(variance[0])
    narrow, wide, broken = work.dtype.type, variance.dtype.type, 0
    count = wide(height * width)
    for y in range(len(variance)):
        _slide(tiles, y, height, centres, down, work)
        for i in range(len(tiles)):
            _square_sums(work[i], width, i == 0, squares)
            _weigh_sums(work[i], width, i == 0, sums_of_template[i], means)
        row, into, before = product[y], variance[y], work[len(tiles)]
        last = before[width : width + into.size]
        for x in range(into.size):
            into[x] = narrow(last[x] - before[x]) * count - squares[x]
            whole = wide(_rounded(row[x])) * count - means[x]
            score = _over_norms(whole, into[x], template)
            broken += not abs(score) <= 1 + 1e-9
            row[x] = min(max(score, -1.0), 1.0)
    return broken


@inline
def _weigh_sums(before: Array, width: int, first: bool, factor: Any, out: Array) -> None:  # noqa: FBT001
    """Multiply the sums of a row of windows, and put the products in place of what is there, or add them to it."""
    last, narrow = before[width : width + out.size], before.dtype.type
    for x in range(out.size):
        product = narrow(last[x] - before[x]) * factor
        out[x] = product if first else out[x] + product


@inline
def _take_in(scores: Array, norms: Array, high: Array, deep: Array, squares: Array, count: Array) -> None:
    zero, one = scores.dtype.type(0), scores.dtype.type(1)
    for x in range(high.size):
        there = one if norms[x] > 0 else zero
        score = scores[x] * there
        count[x] += there
        squares[x] += score * score
        high[x] = score if score > high[x] else high[x]
        deep[x] = -score if -score > deep[x] else deep[x]


def summarise(scores: Array, norms: Array, leads: tuple[int, int], size: tuple[int, int]) -> Array:
    """Sum up scores whose norm is above 0 in cells of so many places; the first cells end after `leads`, if not 0.

    Give the highest score and the lowest turned over, 0 if that is more, the sum of squares, and how many there are.
    """
    return np.asarray(_summarise(whole_rows(scores), whole_rows(norms), scores.shape, leads, size))


@machine_code_for_sums
def _summarise(
    scores: Array, norms: Array, shape: tuple[int, int], leads: tuple[int, int], size: tuple[int, int]
) -> Array:
    height, width = shape
    down, across = -leads[0] % size[0], -leads[1] % size[1]  # of the first cells, before these
    out = np.zeros((4, -(-(height + down) // size[0]), -(-(width + across) // size[1])))
    high, deep = np.empty(width, scores.dtype), np.empty(width, scores.dtype)
    squares, count = np.empty(width, scores.dtype), np.empty(width, scores.dtype)
    for i in range(out.shape[1]):
        high[:], deep[:], squares[:], count[:] = 0, 0, 0, 0
        for y in range(max(i * size[0] - down, 0), min((i + 1) * size[0] - down, height)):
            _take_in(scores[y], norms[y], high, deep, squares, count)
        for j in range(out.shape[2]):
            highest = deepest = scores.dtype.type(0)
            square = number = 0.0
            for x in range(max(j * size[1] - across, 0), min((j + 1) * size[1] - across, width)):
                highest, deepest = max(highest, high[x]), max(deepest, deep[x])
                square += squares[x]
                number += count[x]
            out[0, i, j], out[1, i, j], out[2, i, j], out[3, i, j] = highest, deepest, square, number
    return out


@machine_code
def with_neighbours(values: Array, largest: bool) -> Array:  # noqa: FBT001
    """Sum each value and those around it, or give the largest, in each of some arrays, as NumPy's passes do it."""
    number, height, width = values.shape
    out = np.empty_like(values)
    none = np.full(width, -np.inf if largest else 0, values.dtype)
    line = np.full(width + 2, none[0], values.dtype)
    for i in range(number):
        rows = values[i]
        for y in range(height):
            before, after = rows[y - 1] if y > 0 else none, rows[y + 1] if y < height - 1 else none
            _put_together(rows[y], before, after, largest, line[1 : width + 1])
            _put_together(line[1 : width + 1], line[:width], line[2:], largest, out[i, y])
    return out


@inline
def _put_together(values: Array, before: Array, after: Array, largest: bool, out: Array) -> None:  # noqa: FBT001
    if largest:
        for x in range(out.size):
            more = max(values[x], before[x])
            out[x] = max(more, after[x])
    else:
        for x in range(out.size):
            out[x] = values[x] + before[x] + after[x]


def score(
    pairs: Iterable[tuple[Array, Array]],
    tiling: Tiling,
    inverse: Array,
    floor: float,
    cells: tuple[Shape, Shape, Shape] | None,
) -> tuple[Array, tuple[float, int, int], Array | None]:
    """Correlate spectra, `scale` the products, and `summarise` scores of a shape if there are cells to sum up in.

    All at once, so that threads do not have to wait for each other in between.
    """
    prepared = prepare(pairs, tiling)
    shape, leads, size = cells or ((0, 0),) * 3
    found, summed = _score(prepared, tiling.fft_shape[1], inverse, floor, shape, leads, size)
    return prepared[-1], found, summed if cells else None


@machine_code
def _score(
    prepared: tuple[Any, ...],
    width: int,
    inverse: Array,
    floor: float,
    shape: tuple[int, int],
    leads: tuple[int, int],
    size: tuple[int, int],
) -> tuple[tuple[float, int, int], Array]:
    correlate(*prepared)
    tile = prepared[-1]
    found = scale(tile, width, inverse, floor)
    if size[0] == 0:
        return found, np.empty((0, 0, 0))
    return found, _summarise(tile, inverse, shape, leads, size)
