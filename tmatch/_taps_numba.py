"""Filters, compiled: sums of weighted copies of pictures and lines."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tmatch._borders import Array
from tmatch._vectors import (
    VECTOR_BYTES,
    Code,
    Vector,
    inline,
    instructions,
    machine_code,
    machine_code_for_sums,
)

_VECTORS = 4  # summed side by side: as many as it takes until a sum is ready for the next
_STRIP_BYTES = 2**18  # of the rows that are read before they are summed: so many stay near the core


def _sum_taps(rows: int) -> Any:
    """Write how vectors of so many rows of results are summed; each of the taps has a weight for every row."""

    @instructions
    def sum_taps(
        code: Code, line: Any, at: Any, shifts: Any, weights: Any, count: Any, sums: Any, to: Any, pitch: Any
    ) -> None:
        places = [i * code.lanes for i in range(_VECTORS)]

        def weighted(tap: Any) -> list[Vector]:
            start, first = code.sum(code.item(shifts, tap), at), code.product(tap, rows)
            vectors = [code.load(line, code.sum(start, place)) for place in places]
            factors = [code.spread(code.item(weights, code.sum(first, row))) for row in range(rows)]
            return [vector * factor for factor in factors for vector in vectors]

        def add(tap: Any, totals: Sequence[Vector]) -> list[Vector]:
            return [total + product for total, product in zip(totals, weighted(tap), strict=True)]

        targets = [code.sum(to, code.product(pitch, row), place) for row in range(rows) for place in places]
        start = add(0, [code.zero()] * len(targets))  # plus zero: no sum of zeros is minus zero
        for vector, target in zip(code.accumulate(start, count, add), targets, strict=True):
            code.store(vector, sums, target)

    return sum_taps


_sum_row, _sum_two_rows = _sum_taps(1), _sum_taps(2)


@inline
def _sum_few(line: Array, shifts: Array, weights: Array, sums: Array) -> None:
    for x in range(sums.size):
        total = line.dtype.type(0)
        for i in range(shifts.size):
            total += weights[i] * line[x + shifts[i]]
        sums[x] = total


@inline
def _sum_beside(line: Array, at: int, shifts: Array, weights: Array, out: Array, width: int) -> None:
    """Sum one row or two, with as many columns of weights."""
    rows, together, pitch = weights.shape[1], _VECTORS * VECTOR_BYTES // line.itemsize, out.shape[1]
    if width < together:
        for row in range(rows):
            _sum_few(line[at:], shifts, weights[:, row], out[row, :width])
        return
    for start in range(0, width, together):
        x = min(start, width - together)
        if rows == 1:
            _sum_row(line, at + x, shifts, weights, shifts.size, out, x, pitch)
        else:
            _sum_two_rows(line, at + x, shifts, weights, shifts.size, out, x, pitch)


@machine_code_for_sums
def _nothing(rows: Array, width: int) -> float:
    """Give 0 if all values are finite, else NaN."""
    nothing = rows.dtype.type(0)
    for y in range(rows.shape[0]):
        row = rows[y]
        for x in range(width):
            nothing += row[x] - row[x]
    return float(nothing)


def sum_shifted(line: Array, row_step: int, shifts: Array, weights: Array, out: Array) -> bool:
    """Sum weighted copies of a line into the rows of `out`: row y of copy i begins at ``y * row_step + shifts[i]``.

    There is a column of weights, or one for each of two rows of which the second is summed from the same pixels as the
    first. Tells whether all results are finite.
    """
    return bool(_sum_rows(line, row_step, shifts, weights, whole_rows(out), out.shape[1]) == 0)


@machine_code
def _sum_rows(line: Array, row_step: int, shifts: Array, weights: Array, out: Array, width: int) -> float:
    """Do so in the first columns of `out`."""
    if shifts.size == 0:
        out[:, :width] = 0
        return 0.0
    height, rows, nothing = out.shape[0], weights.shape[1], 0.0
    straight = out.flags.c_contiguous and out.itemsize == line.itemsize
    beside = np.empty((0 if straight else rows, width), line.dtype)
    for first in range(0, height, rows):
        y = min(first, height - rows)
        if straight:
            part = out[y : y + rows]
            _sum_beside(line, y * row_step, shifts, weights, part, width)
            nothing += _nothing(part, width)
        else:
            _sum_beside(line, y * row_step, shifts, weights, beside, width)
            out[y : y + rows, :width] = beside
            nothing += _nothing(beside, width)
    return nothing


def filter_rows(
    image: Array,
    rows: Array,
    columns: Array,
    inside: tuple[int, int],
    fill: float,
    taps: Sequence[tuple[Array, Array]],
    reach: int,
    pitch: int,
    out: Array,
    *,
    careful: bool,
) -> bool:
    """Correlate a picture with one kernel or with one down the columns and one along the rows, strip by strip.

    The rows and columns of the picture to read are given, -1 for the fill; columns `inside` follow one another.
    Shifts of the `taps` are those in rows of length `pitch`, and `reach` beyond the first. Tells whether all results,
    and with `careful` all pixels too, are finite.
    """
    strip = max(_STRIP_BYTES // (pitch * out.itemsize) - reach, reach, 8)
    none = taps[0][0][:0], taps[0][1][:0]
    down, across = taps if len(taps) > 1 else (none, taps[0])
    options = min(strip // 2 * 2, len(out)), reach, pitch, float(fill), careful
    return bool(
        _filter_rows(image, rows, columns, inside, options, down, across, whole_rows(out), out.shape[1]) == 0
    )


@machine_code
def _filter_rows(
    image: Array,
    rows: Array,
    columns: Array,
    inside: tuple[int, int],
    options: tuple[int, int, int, float, bool],
    down: tuple[Array, Array],
    across: tuple[Array, Array],
    out: Array,
    width: int,
) -> float:
    strip, reach, pitch, fill, careful = options
    # No strip is of one row, unless there is but one: two are summed at a time.
    read = np.zeros((strip + 1 + reach, pitch), across[1].dtype)
    summed = np.empty((strip + 1 if down[0].size else 0, pitch), read.dtype)
    height, first, nothing = len(out), 0, 0.0
    while first < height:
        stop = first + strip if first + strip < height - 1 else height
        kept = reach if first else 0
        for y in range(kept):
            read[y] = read[strip + y]
        for y in range(kept, stop - first + reach):
            _read_row(image, rows[first + y], columns, inside, fill, read[y])
        if careful:
            nothing += _nothing(read[kept : stop - first + reach], columns.size)
        line = read.ravel()
        if summed.size:
            _sum_rows(line, pitch, down[0], down[1], summed[: stop - first], pitch)
            line = summed.ravel()
        nothing += _sum_rows(line, pitch, across[0], across[1], out[first:stop], width)
        first = stop
    return nothing


@inline
def _read_row(image: Array, y: int, columns: Array, inside: tuple[int, int], fill: float, out: Array) -> None:
    if y < 0:
        out[: columns.size] = fill
        return
    row = image[y]
    first, stop = inside
    for x in range(first):
        out[x] = row[columns[x]] if columns[x] >= 0 else fill
    for x in range(stop, columns.size):
        out[x] = row[columns[x]] if columns[x] >= 0 else fill
    if first < stop:
        source, target = row[columns[first] : columns[first] + stop - first], out[first:stop]
        for x in range(target.size):
            target[x] = source[x]


def whole_rows(part: Array) -> Array:
    """See a part of an array with whole rows: only then compiled code knows that neighbours lie side by side."""
    pitch, step = part.strides
    if step != part.itemsize or pitch % step or pitch < part.shape[1] * step:
        return part
    return np.lib.stride_tricks.as_strided(part, (len(part), pitch // step))
