"""Summaries of score maps and candidate peaks. Compiled."""

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.numba.compiler import inline, machine_code, machine_code_for_sums
from tmatch._engine.numba.vectors import whole_rows
from tmatch._engine.numpy import summaries


def candidates(scores: Array, floor: float, slack: float) -> Array:
    """Find positions of at least the floor with no neighbour higher by more than the slack."""
    kind = scores.dtype.type
    return np.asarray(_candidates(whole_rows(scores), scores.shape, kind(floor), kind(slack)))


@machine_code
def _candidates(scores: Array, shape: tuple[int, int], floor: float, slack: float) -> Array:
    height, width = shape
    found, count = np.empty((16, 2), np.intp), 0
    for y in range(height):
        row, high = scores[y, :width], 0
        for x in range(width):  # most rows hold none, and are counted faster than looked through
            high += row[x] >= floor
        for x in range(width if high else 0):
            if row[x] >= floor and _is_top(scores, shape, y, x, slack):
                if count == len(found):
                    found = np.concatenate((found, np.empty_like(found)))
                found[count, 0], found[count, 1] = y, x
                count += 1
    return found[:count].copy()


@inline
def _is_top(scores: Array, shape: tuple[int, int], y: int, x: int, slack: float) -> bool:
    most = scores[y, x] + slack
    for v in range(max(y - 1, 0), min(y + 2, shape[0])):
        for u in range(max(x - 1, 0), min(x + 2, shape[1])):
            if scores[v, u] > most:
                return False
    return True


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
    """Summarise scores in cells: maximum, negated minimum, sum of squares, count."""
    return np.asarray(summarise_rows(whole_rows(scores), whole_rows(norms), scores.shape, leads, size))


@machine_code_for_sums
def summarise_rows(
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


def with_neighbours(values: Array, largest: bool) -> Array:  # noqa: FBT001
    """Return the sum, or the maximum, of each value and its neighbours; compiled for two axes."""
    if values.ndim != 3:
        return summaries.with_neighbours(values, largest)
    return np.asarray(_with_neighbours(values, largest))


@machine_code
def _with_neighbours(values: Array, largest: bool) -> Array:  # noqa: FBT001
    """Combine in the order of NumPy's passes, so that sums are the same."""
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
