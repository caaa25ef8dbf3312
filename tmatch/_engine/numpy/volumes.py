"""Window sums of volumes, and scores from them, in NumPy operations; see `volumes.Volumes`."""

import math
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine.numpy.fixed_point import invert_sure
from tmatch._engine.numpy.sliding import sliding
from tmatch._engine.real_tiles import DOUBTFUL


def volume_norms(
    digits: Array,
    window: Shape,
    scales: tuple[float, float],
    limits: tuple[float, float],
    inverse: Array,
) -> float:
    """Compute the inverse norms of all windows; `DOUBTFUL` where the limits forbid them."""
    (unit, parts), (least, share), count = scales, limits, math.prod(window)
    values = digits[0] * (1 / unit)
    if len(digits) > 1:
        values += digits[1] * (1 / (unit * parts))
    total = sliding(values, window, np.add)
    values *= values
    squares = sliding(values, window, np.add)
    variance = squares - total * total / count
    # Sums of floats are rounded, which widens the second limit.
    sure = variance > squares * (share * (2 + np.log2(count)) / 2)
    sure &= variance > least
    variance *= count
    return invert_sure(variance, sure, inverse)


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
    values, count = np.subtract(tile, centre, dtype=sum_dtype), math.prod(window)
    total = sliding(values, window, np.add).astype(variance.dtype)
    np.multiply(sliding(np.square(values), window, np.add), count, out=variance, dtype=variance.dtype)
    variance -= np.square(total)
    scores = product[tuple(map(slice, variance.shape))]
    products = (np.rint(scores) + 0.0).astype(variance.dtype, copy=False)  # minus zero becomes zero
    products *= count
    products -= total * template_sum
    norm = np.sqrt(variance * template)
    scores[...] = 0
    np.divide(products, norm, out=scores, where=norm > 0)
    out_of_range = not (scores.max() <= 1 + 1e-9 and scores.min() >= -1 - 1e-9)
    np.clip(scores, -1, 1, out=scores)
    return int(out_of_range)


def scale_volume(product: Array, width: int, inverse: Array) -> tuple[float, int]:
    """Scale products in single precision to scores, in place."""
    slices = product[: len(inverse), :, :width]
    largest = max(np.vecdot(slices, slices).max(), np.einsum("zyx,zyx->zx", slices, slices).max())
    scores = product[tuple(map(slice, inverse.shape))]
    scores *= inverse
    scores += 0  # minus zero becomes zero
    out_of_range = np.count_nonzero(~(np.abs(scores) <= 1.0001) & (inverse < DOUBTFUL))
    np.clip(scores, -1, 1, out=scores)
    return float(largest), int(out_of_range)
