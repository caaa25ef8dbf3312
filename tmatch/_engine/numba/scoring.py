"""Scores from products and window sums. Compiled."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.interface import SummaryGrid
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, inline
from tmatch._engine.numba.summaries import summarise_rows
from tmatch._engine.numba.transforms import CompiledTransforms, correlate
from tmatch._engine.numba.window_sums import rounded, slide, square_sums


@compiled_reassociating
def scale(product: Array, width: int, inverse: Array, floor: float, shift: Array) -> tuple[float, int, int]:
    """Scale products, less what `shift` has, to scores, clipped to [-1, 1], in the corner of an array, in place.

    Return the largest sum of squares of a row or column of the first `width` columns of products, the number of
    scores that reach the floor, and the number that exceed 1 by more than rounding.
    """
    largest, reaching, out_of_range = np.float32(0), 0, 0
    column_squares = np.zeros(width, np.float32)
    for y in range(product.shape[0]):
        row, row_squares = product[y, :width], np.float32(0)
        for x in range(row.size):
            square = row[x] * row[x]
            row_squares += square
            column_squares[x] += square
        largest = max(largest, row_squares)
        if y < shift.shape[0]:
            for x in range(shift.shape[1]):
                row[x] -= shift[y, x]
        if y < inverse.shape[0]:
            factors = inverse[y]
            for x in range(factors.size):
                score = row[x] * factors[x] + np.float32(0)  # minus zero becomes zero
                out_of_range += not abs(score) <= np.float32(1.0001)
                reaching += score >= np.float32(floor)
                row[x] = min(max(score, np.float32(-1)), np.float32(1))
    return float(max(largest, column_squares.max())), reaching, out_of_range


@compiled_reassociating
def score_windows(
    channels: tuple[Array, ...],
    positions: Array,
    mask: Array,
    values: Array,
    centres: tuple[int, ...],
    template_sums: Array,
    template: float,
    count: int,
) -> Array:
    """Score single windows by definition."""
    height, width = mask.shape
    scores, sums = np.empty(len(positions)), np.empty(3, template_sums.dtype)
    # Columns are summed separately: the terms of a single sum would depend on each other.
    columns = np.empty((3, width))
    totals, squares, cross = columns[0], columns[1], columns[2]
    for i in range(len(positions)):
        top, left = positions[i, 0], positions[i, 1]
        product = variance = template_sums.dtype.type(0)
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
                    cross[x] += value * weights[x]
            sums[0], sums[1], sums[2] = totals.sum(), squares.sum(), cross.sum()
            product += sums[2] * count - sums[0] * template_sums[channel]
            variance += sums[1] * count - sums[0] * sums[0]
        norm = float(variance) * template
        scores[i] = min(max(float(product) / np.sqrt(norm), -1.0), 1.0) if norm > 0 else -np.inf
    return scores


@inline
def _normalise(product: Any, variance: Any, template: float) -> float:
    norm = float(variance) * template
    return float(product) / np.sqrt(norm) if norm > 0 else 0.0


@compiled
def score_exactly(
    product: Array, sums: Array, template_sums: Array, variance: Array, template: float, count: int
) -> int:
    """Convert products that transforms computed to scores."""
    out_of_range = 0
    products = np.empty(variance.shape[1], variance.dtype)
    for y in range(variance.shape[0]):
        row, variance_row = product[y], variance[y]
        for x in range(products.size):
            products[x] = rounded(row[x])
            products[x] *= count
        for channel in range(len(sums)):
            window_sums, template_sum = sums[channel, y], template_sums[channel]
            for x in range(products.size):
                products[x] -= window_sums[x] * template_sum
        for x in range(products.size):
            score = _normalise(products[x], variance_row[x], template)
            out_of_range += not abs(score) <= 1 + 1e-9
            row[x] = min(max(score, -1.0), 1.0)
    return out_of_range


@compiled
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
    """Compute the moments of one template's windows, and its scores.

    Everything is in one loop: its other work is hidden by the latency of roots and divisions.
    """
    column_sums = np.zeros((len(tiles) + 1, tiles[0].shape[1]), work.dtype)
    squares, means = np.empty_like(variance[0]), np.empty_like(variance[0])
    sum_type, product_type, out_of_range = work.dtype.type, variance.dtype.type, 0
    count = product_type(height * width)
    for y in range(len(variance)):
        slide(tiles, y, height, centres, column_sums, work)
        for i in range(len(tiles)):
            square_sums(work[i], width, i == 0, squares)
            _multiply_sums(work[i], width, i == 0, template_sums[i], means)
        row, variance_row, cumulative = product[y], variance[y], work[len(tiles)]
        last = cumulative[width : width + variance_row.size]
        for x in range(variance_row.size):
            variance_row[x] = sum_type(last[x] - cumulative[x]) * count - squares[x]
            numerator = product_type(rounded(row[x])) * count - means[x]
            score = _normalise(numerator, variance_row[x], template)
            out_of_range += not abs(score) <= 1 + 1e-9
            row[x] = min(max(score, -1.0), 1.0)
    return out_of_range


@inline
def _multiply_sums(cumulative: Array, width: int, first: bool, factor: Any, out: Array) -> None:  # noqa: FBT001
    """Multiply the sums of a row of windows by a factor; store the products if `first`, else add them."""
    last, sum_type = cumulative[width : width + out.size], cumulative.dtype.type
    for x in range(out.size):
        product = sum_type(last[x] - cumulative[x]) * factor
        out[x] = product if first else out[x] + product


def score(
    pairs: Iterable[tuple[Array, Array]],
    transforms: CompiledTransforms,
    inverse: Array,
    floor: float,
    grid: SummaryGrid | None,
    shift: Array | None = None,
) -> tuple[Array, tuple[float, int, int], Array | None]:
    """Correlate, scale and summarise in one call, so that threads do not wait for each other in between."""
    prepared = transforms.prepare(pairs)
    shape, leads, size = grid or ((0, 0),) * 3
    none = np.empty((0, 0), inverse.dtype)
    checks, summary = _score(
        prepared,
        transforms.tiling.fft_shape[1],
        inverse,
        floor,
        none if shift is None else shift,
        (shape, leads, size),
    )
    return prepared[-1], checks, summary if grid else None


@compiled
def _score(
    prepared: tuple[Any, ...],
    width: int,
    inverse: Array,
    floor: float,
    shift: Array,
    grid: tuple[tuple[int, int], tuple[int, int], tuple[int, int]],
) -> tuple[tuple[float, int, int], Array]:
    correlate(*prepared)
    tile, (shape, leads, size) = prepared[-1], grid
    checks = scale(tile, width, inverse, floor, shift)
    if size[0] == 0:
        return checks, np.empty((0, 0, 0))
    return checks, summarise_rows(tile, inverse, shape, leads, size)
