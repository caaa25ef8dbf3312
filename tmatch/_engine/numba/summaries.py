"""Summaries of score maps and candidate peaks. Compiled."""

import numpy as np

from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, inline
from tmatch._engine.numba.vectors import full_rows
from tmatch._engine.numpy import summaries


def candidates(scores: Array, floor: float, slack: float) -> Positions:
    """Find positions that reach the floor and that no neighbour exceeds by more than the slack."""
    dtype = scores.dtype.type
    return np.asarray(_candidates(full_rows(scores), scores.shape, dtype(floor), dtype(slack)))


@compiled
def _candidates(scores: Array, shape: tuple[int, int], floor: float, slack: float) -> Array:
    height, width = shape
    found, count = np.empty((16, 2), np.intp), 0
    for y in range(height):
        row, reaching = scores[y, :width], 0
        for x in range(width):  # few rows have any, and counting is faster than examining
            reaching += row[x] >= floor
        for x in range(width if reaching else 0):
            if row[x] >= floor and _is_maximum(scores, shape, y, x, slack):
                if count == len(found):
                    found = np.concatenate((found, np.empty_like(found)))
                found[count, 0], found[count, 1] = y, x
                count += 1
    return found[:count].copy()


@inline
def _is_maximum(scores: Array, shape: tuple[int, int], y: int, x: int, slack: float) -> bool:
    limit = scores[y, x] + slack
    for v in range(max(y - 1, 0), min(y + 2, shape[0])):
        for u in range(max(x - 1, 0), min(x + 2, shape[1])):
            if scores[v, u] > limit:
                return False
    return True


@inline
def _update_columns(
    scores: Array, norms: Array, highest: Array, lowest: Array, squares: Array, count: Array
) -> None:
    zero, one = scores.dtype.type(0), scores.dtype.type(1)
    for x in range(highest.size):
        valid = one if norms[x] > 0 else zero
        score = scores[x] * valid
        count[x] += valid
        squares[x] += score * score
        highest[x] = score if score > highest[x] else highest[x]
        lowest[x] = -score if -score > lowest[x] else lowest[x]


def summarise(scores: Array, norms: Array, leads: Shape, size: Shape) -> Array:
    """Summarise scores in cells: maximum, negated minimum, sum of squares, count, positions of both extrema."""
    return np.asarray(summarise_rows(full_rows(scores), full_rows(norms), scores.shape, leads, size))


@compiled_reassociating
def summarise_rows(
    scores: Array, norms: Array, shape: tuple[int, int], leads: tuple[int, int], size: tuple[int, int]
) -> Array:
    """Summarise the scores in the corner of an array; `lowest` and `column_min` are negated."""
    height, width = shape
    first_y, first_x = -leads[0] % size[0], -leads[1] % size[1]  # rows and columns that the first cells lack
    out = np.zeros((6, -(-(height + first_y) // size[0]), -(-(width + first_x) // size[1])))
    column_max, column_min = np.empty(width, scores.dtype), np.empty(width, scores.dtype)
    column_squares, column_count = np.empty(width, scores.dtype), np.empty(width, scores.dtype)
    for i in range(out.shape[1]):
        column_max[:], column_min[:], column_squares[:], column_count[:] = 0, 0, 0, 0
        top, bottom = max(i * size[0] - first_y, 0), min((i + 1) * size[0] - first_y, height)
        for y in range(top, bottom):
            _update_columns(scores[y], norms[y], column_max, column_min, column_squares, column_count)
        for j in range(out.shape[2]):
            highest = lowest = scores.dtype.type(0)
            square = count = 0.0
            left, right = max(j * size[1] - first_x, 0), min((j + 1) * size[1] - first_x, width)
            for x in range(left, right):
                highest, lowest = max(highest, column_max[x]), max(lowest, column_min[x])
                square += column_squares[x]
                count += column_count[x]
            out[0, i, j], out[1, i, j], out[2, i, j], out[3, i, j] = highest, lowest, square, count
            if highest > 0:
                out[4, i, j] = _find(column_max, scores, norms, highest, highest, (top, left), height)
            if lowest > 0:
                out[5, i, j] = _find(column_min, scores, norms, lowest, -lowest, (top, left), height)
    return out


@inline
def _find(
    columns: Array,
    scores: Array,
    norms: Array,
    extreme: float,
    score: float,
    corner: tuple[int, int],
    height: int,
) -> int:
    """Find the first column with an extremum, and the first row with this score there; index them column by column."""
    y, x = corner
    while columns[x] != extreme:
        x += 1
    while scores[y, x] != score or not norms[y, x] > 0:
        y += 1
    return y + height * x


def merge_summary(
    summary: Array,
    start: Shape,
    part: Shape,
    whole: tuple[Shape, Shape],
    extrema: Array,
    places: Array,
    sums: Array,
) -> None:
    """Merge the summary of a block into that of the whole map, in place; compiled for two axes."""
    if summary.ndim != 3:
        summaries.merge_summary(summary, start, part, whole, extrema, places, sums)
        return
    (height, _), (down, right) = whole
    _merge_summary(
        summary, start, part[0], height, extrema, places, sums, (start[0] // down, start[1] // right)
    )


@compiled
def _merge_summary(
    summary: Array,
    start: tuple[int, int],
    rows: int,
    height: int,
    extrema: Array,
    places: Array,
    sums: Array,
    first: tuple[int, int],
) -> None:
    """Places are indices column by column: of a block with so many rows, in a map of a height."""
    for sign in range(2):
        for i in range(summary.shape[1]):
            for j in range(summary.shape[2]):
                y, x = first[0] + i, first[1] + j
                sums[sign, y, x] += summary[2 + sign, i, j]
                high, local = np.float32(summary[sign, i, j]), np.int64(summary[4 + sign, i, j])
                place = start[0] + local % rows + (start[1] + local // rows) * height
                best = extrema[sign, y, x]
                if high > best or (high == best and place < places[sign, y, x]):
                    extrema[sign, y, x], places[sign, y, x] = high, place


def variance_in_ring(sums: Array, free: Array, inner: int, outer: int, local: float) -> Array:
    """Average the squared scores in a ring around each cell; compiled for two axes."""
    if sums.ndim != 3:
        return summaries.variance_in_ring(sums, free, inner, outer, local)
    return np.asarray(_variance_in_ring(sums, free, inner, outer, local))


@compiled
def _variance_in_ring(sums: Array, free: Array, inner: int, outer: int, local: float) -> Array:
    height, width = free.shape
    counted, out = np.empty((3, height, width)), np.empty((height, width))
    squares, count, all_free = 0.0, 0.0, True
    for y in range(height):
        for x in range(width):
            there = 1.0 if free[y, x] else 0.0
            all_free &= free[y, x]
            counted[0, y, x], counted[1, y, x] = sums[0, y, x] * there, sums[1, y, x] * there
            counted[2, y, x] = sums[1, y, x]
            squares += counted[0, y, x]
            count += counted[1, y, x]
    everywhere = squares / max(count, 1.0)
    rings = _ring_sums(counted[: 2 if all_free else 3], inner, outer)
    full = rings[len(rings) - 1]
    for y in range(height):
        for x in range(width):
            out[y, x] = everywhere
            n = rings[1, y, x]
            if n >= 0.5:
                weight = local * min(n / max(full[y, x], 1.0), 1.0)
                out[y, x] = weight * (rings[0, y, x] / max(n, 1.0)) + (1 - weight) * everywhere
    return out


@compiled
def _ring_sums(values: Array, inner: int, outer: int) -> Array:
    """Subtract in the order of the NumPy engine, so that sums are the same."""
    out, within = np.empty_like(values), np.empty_like(values)
    for i in range(len(values)):
        _box_sums(values[i], outer, out[i])
        _box_sums(values[i], inner, within[i])
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                out[i, y, x] = max(out[i, y, x] - within[i, y, x], 0.0)
    return out


@inline
def _box_sums(values: Array, reach: int, out: Array) -> None:
    height, width = values.shape
    down, across = np.zeros((height + 1, width)), np.zeros(width + 1)
    for y in range(height):
        for x in range(width):
            down[y + 1, x] = down[y, x] + values[y, x]
    for y in range(height):
        last, first = down[min(y + reach + 1, height)], down[max(y - reach, 0)]
        for x in range(width):
            across[x + 1] = across[x] + (last[x] - first[x])
        for x in range(width):
            out[y, x] = across[min(x + reach + 1, width)] - across[max(x - reach, 0)]


def with_neighbours(values: Array, largest: bool) -> Array:  # noqa: FBT001
    """Return the sum or maximum of each value and its neighbours; compiled for two axes."""
    if values.ndim != 3:
        return summaries.with_neighbours(values, largest)
    return np.asarray(_with_neighbours(values, largest))


@compiled
def _with_neighbours(values: Array, largest: bool) -> Array:  # noqa: FBT001
    """Combine in the order of the NumPy engine, so that sums are the same."""
    n_arrays, height, width = values.shape
    out = np.empty_like(values)
    outside = np.full(width, -np.inf if largest else 0, values.dtype)
    line = np.full(width + 2, outside[0], values.dtype)
    for i in range(n_arrays):
        rows = values[i]
        for y in range(height):
            before, after = rows[y - 1] if y > 0 else outside, rows[y + 1] if y < height - 1 else outside
            _combine(rows[y], before, after, largest, line[1 : width + 1])
            _combine(line[1 : width + 1], line[:width], line[2:], largest, out[i, y])
    return out


@inline
def _combine(values: Array, before: Array, after: Array, largest: bool, out: Array) -> None:  # noqa: FBT001
    if largest:
        for x in range(out.size):
            larger = max(values[x], before[x])
            out[x] = max(larger, after[x])
    else:
        for x in range(out.size):
            out[x] = values[x] + before[x] + after[x]
