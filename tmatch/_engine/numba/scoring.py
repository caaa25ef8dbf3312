"""Scores from products and window sums. Compiled."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.interface import SummaryGrid
from tmatch._engine.numba.compiler import inline, machine_code, machine_code_for_sums
from tmatch._engine.numba.summaries import summarise_rows
from tmatch._engine.numba.transforms import CompiledTransforms, correlate
from tmatch._engine.numba.window_sums import rounded, slide, square_sums


@machine_code_for_sums
def scale(product: Array, width: int, inverse: Array, floor: float) -> tuple[float, int, int]:
    """Scale products to scores, clipped to [-1, 1], in the corner of an array, in place.

    Return the largest sum of squares of a line of products up to a width, whether a score reaches the floor, and
    whether one passes 1 by more than rounding.
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
    template_sums: Array,
    template: float,
    count: int,
) -> Array:
    """Score single windows by definition."""
    height, width = mask.shape
    scores, found = np.empty(len(places)), np.empty(3, template_sums.dtype)
    # Each column is summed for itself: sums of a row would wait for one another.
    columns = np.empty((3, width))
    totals, squares, crossed = columns[0], columns[1], columns[2]
    for i in range(len(places)):
        top, left = places[i, 0], places[i, 1]
        products = variance = template_sums.dtype.type(0)
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
            products += found[2] * count - found[0] * template_sums[channel]
            variance += found[1] * count - found[0] * found[0]
        norm = float(variance) * template
        scores[i] = min(max(float(products) / np.sqrt(norm), -1.0), 1.0) if norm > 0 else -np.inf
    return scores


@inline
def _over_norms(whole: Any, variance: Any, template: float) -> float:
    norm = float(variance) * template
    return float(whole) / np.sqrt(norm) if norm > 0 else 0.0


@machine_code
def score_exactly(
    product: Array, sums: Array, template_sums: Array, variance: Array, template: float, count: int
) -> int:
    """Make scores of sums of products by transforms."""
    broken = 0
    whole = np.empty(variance.shape[1], variance.dtype)
    for y in range(variance.shape[0]):
        row, square = product[y], variance[y]
        for x in range(whole.size):
            whole[x] = rounded(row[x])
            whole[x] *= count
        for channel in range(len(sums)):
            off, factor = sums[channel, y], template_sums[channel]
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
    template_sums: Array,
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
        slide(tiles, y, height, centres, down, work)
        for i in range(len(tiles)):
            square_sums(work[i], width, i == 0, squares)
            _weigh_sums(work[i], width, i == 0, template_sums[i], means)
        row, into, before = product[y], variance[y], work[len(tiles)]
        last = before[width : width + into.size]
        for x in range(into.size):
            into[x] = narrow(last[x] - before[x]) * count - squares[x]
            whole = wide(rounded(row[x])) * count - means[x]
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


def score(
    pairs: Iterable[tuple[Array, Array]],
    transforms: CompiledTransforms,
    inverse: Array,
    floor: float,
    grid: SummaryGrid | None,
) -> tuple[Array, tuple[float, int, int], Array | None]:
    """Correlate, scale and summarise in one call, so that threads do not have to wait for each other in between."""
    prepared = transforms.prepare(pairs)
    shape, leads, size = grid or ((0, 0),) * 3
    found, summary = _score(prepared, transforms.tiling.fft_shape[1], inverse, floor, shape, leads, size)
    return prepared[-1], found, summary if grid else None


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
    return found, summarise_rows(tile, inverse, shape, leads, size)
