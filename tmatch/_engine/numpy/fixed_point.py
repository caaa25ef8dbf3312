"""Window sums of any real numbers in fixed point, in NumPy operations; see `real_tiles.RealTiles`."""

from collections.abc import Sequence

import numpy as np

from tmatch._arrays.typing import Array, Positions
from tmatch._engine.numpy.sliding import sliding, sliding_max, sliding_min
from tmatch._engine.real_tiles import DOUBTFUL, SCORE_STEPS


def split(
    tile: Array, constant: float, factor: float, scales: tuple[float, float], values: Array, digits: Array
) -> tuple[float, float, float]:
    """Split the pixels of a tile into digits, and copy them, scaled, into `values`."""
    rows, columns = tile.shape
    part, (unit, parts) = values[:rows, :columns], scales
    values[rows:], values[:rows, columns:] = 0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = tile.astype(np.float64)
        scaled -= constant
        scaled *= factor
        part[...] = scaled
        lines, columns_squared = np.vecdot(part, part), np.einsum("yx,yx->x", part, part)
        scaled *= unit
        whole = np.rint(scaled)
        digits[0] = whole
        if len(digits) > 1:
            scaled -= whole
            scaled *= parts
            digits[1] = np.rint(scaled, out=scaled)
        largest = float(np.abs(whole, out=whole).max())
        total = float(lines.sum(dtype=np.float64))
    return float(max(lines.max(), columns_squared.max())), total, largest


def fixed_norms(
    digits: Array,
    box: tuple[int, int, int, int],
    centred: bool,  # noqa: FBT001
    scales: tuple[float, float],
    limits: tuple[float, float],
    inverse: Array,
) -> float:
    """Compute the inverse norms of all windows; `DOUBTFUL` where the limits forbid them.

    Sums of floats, of 1, 2, 4, ... pixels, are faster here than exact ones; their rounding widens the second limit.
    """
    (unit, parts), (least, share), (top, left, height, width) = scales, limits, box
    count, window = float(height * width), (height, width)
    rows, columns = (n + k - 1 for n, k in zip(inverse.shape, window, strict=True))
    share *= (2 + np.log2(count)) / 2
    squares, means = np.zeros(inverse.shape), np.zeros(inverse.shape)
    for channel in np.moveaxis(digits[..., top : top + rows, left : left + columns], 1, 0):
        values = channel[0] * (1 / unit)
        if len(channel) > 1:
            values += channel[1] * (1 / (unit * parts))
        total = sliding(values, window, np.add)
        means += total * total
        values *= values
        squares += sliding(values, window, np.add)
    means *= 1 / count if centred else 0
    variance = squares - means
    squares *= share
    sure = variance > squares
    sure &= variance > least
    variance *= count
    return invert_sure(variance, sure, inverse)


def invert_sure(variance: Array, sure: Array, inverse: Array) -> float:
    """Write inverse roots of variances, or `DOUBTFUL` where they are not sure; return the maximum."""
    all_sure = bool(sure.all())  # in most tiles; operations at some positions only take ten times as long
    if not all_sure:
        variance[~sure] = 1
    np.sqrt(variance, out=variance)
    np.divide(1, variance, out=inverse, casting="same_kind")
    if not all_sure:
        inverse[~sure] = DOUBTFUL
    return float(inverse.max())


def weighted_norms(
    sums: Sequence[Array],
    squares: Sequence[Array],
    totals: Sequence[float],
    factor: float,
    least: float,
    inverse: Array,
) -> float:
    """Compute inverse norms from weighted sums; `DOUBTFUL` where the limit forbids them."""
    corner = tuple(map(slice, inverse.shape))
    variance = np.zeros(inverse.shape)
    for total, square, weight in zip(sums, squares, totals, strict=True):
        variance += square[corner]
        variance -= np.square(total[corner]) * (1 / weight)
    sure = variance > least
    variance *= factor
    return invert_sure(variance, sure, inverse)


def scale_double(product: Array, inverse: Array, shift: Array | None = None) -> int:
    """Scale products to scores, in place, rounded to multiples of 2**-40; count those out of range."""
    scores = product[: inverse.shape[0], : inverse.shape[1]]
    if shift is not None:
        scores -= shift
    scores *= inverse
    scores *= SCORE_STEPS
    np.rint(scores, out=scores)
    scores /= SCORE_STEPS
    scores += 0.0  # minus zero becomes zero
    highest, lowest = float(scores.max()), float(scores.min())
    out_of_range = 0
    if not (highest <= 1 + 1e-9 and lowest >= -1 - 1e-9):
        out_of_range = int(np.count_nonzero(~(np.abs(scores) <= 1 + 1e-9) & (inverse < DOUBTFUL)))
    np.clip(scores, -1, 1, out=scores)
    return out_of_range


def constant_windows(tile: Array, height: int, width: int, out: Array) -> None:
    """Find the windows whose pixels are all equal."""
    np.equal(sliding_max(tile, (height, width)), sliding_min(tile, (height, width)), out=out)


def score_float_windows(
    channels: Sequence[Array],
    positions: Positions,
    values: Array,
    weights: Array,
    bases: Array,
    centred: bool,  # noqa: FBT001
) -> Array:
    """Score single windows by definition, in two passes."""
    views = (np.lib.stride_tricks.sliding_window_view(channel, values[0].shape) for channel in channels)
    windows = np.stack([view[tuple(positions.T)] for view in views], axis=1).astype(np.float64)
    at_bases = (slice(None), np.arange(len(bases)), *bases.T)
    windows = np.where(weights > 0, windows, windows[at_bases][..., None, None] if centred else 0)
    exponents = np.frexp(np.abs(windows).max(axis=(1, 2, 3), keepdims=True))[1]
    windows = np.ldexp(windows, -exponents)
    if centred:
        windows -= windows[at_bases][..., None, None]
    totals = weights.sum(axis=(1, 2))
    # The mean of large values is itself rounded; a second pass subtracts the rest.
    for _ in range(2 if centred else 0):
        windows -= (np.einsum("kcij,cij->kc", windows, weights) / totals)[..., None, None]
    weighted = windows * weights
    squares = np.einsum("kcij,kcij->k", weighted, windows)
    scores = np.full(len(positions), -np.inf)
    products = np.einsum("kcij,cij->k", weighted, values)
    np.divide(products, np.sqrt(squares), out=scores, where=squares > 0)
    return np.clip(scores, -1, 1, out=scores, where=squares > 0)
