"""Scores of integer tiles, in NumPy operations. `interface.Engine` describes each function."""

import functools
from collections.abc import Iterable, Sequence

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.interface import SummaryGrid, Transforms
from tmatch._engine.numpy.sliding import sliding
from tmatch._engine.numpy.summaries import summarise


def load(tile: Array, out: Array) -> float:
    """Copy a tile minus its mean, zero-padded; return the largest sum of squares of a row or column."""
    rows, columns = tile.shape
    part = out[:rows, :columns]
    mean = np.float32(tile.sum(dtype=np.int64) / tile.size)
    np.subtract(tile, mean, out=part)
    out[rows:], out[:rows, columns:] = 0, 0
    return _largest_line(part)


def place(tile: Array, centre: int, squared: bool, out: Array) -> None:  # noqa: FBT001
    """Copy a tile minus a centre, or its squares, zero-padded."""
    rows, columns = tile.shape
    part = out[:rows, :columns]
    part[...] = tile
    part -= centre
    if squared:
        part *= part
    out[rows:], out[:rows, columns:] = 0, 0


def _largest_line(values: Array) -> float:
    rows, columns = np.vecdot(values, values), np.einsum("yx,yx->x", values, values)
    return float(max(rows.max(), columns.max()))


def moments(
    tiles: Sequence[Array],
    height: int,
    width: int,
    centres: Sequence[int],
    work: Array,
    sums: Array,
    variance: Array,
) -> None:
    """Compute the sums and variances of all windows; squares are added over the channels first."""
    values = [np.subtract(t, c, dtype=work.dtype) for t, c in zip(tiles, centres, strict=True)]
    squared = functools.reduce(np.add, map(np.square, values))
    squares = sliding(squared, (height, width), np.add).astype(sums.dtype)
    squares *= height * width
    for i, channel in enumerate(values):
        total = sliding(channel, (height, width), np.add).astype(sums.dtype)
        if sums.size:
            sums[i] = total
        squares -= np.square(total, out=total)
    variance[...] = squares


def inverse_norms(
    tiles: Sequence[Array],
    height: int,
    width: int,
    centres: Sequence[int],
    work: Array,
    squares: Array,
    inverse: Array,
) -> float:
    """Compute the inverse root of each variance; return the maximum."""
    no_sums = squares[:0]  # `moments` stores no sums and uses only the dtype
    moments(tiles, height, width, centres, work, no_sums, inverse)
    return invert(inverse)


def _add_variance(total: Array, squares: Array, count: int, sums: Array, variance: Array) -> None:
    """Add the variance of window sums, and store the sums unless `sums` is empty. Overwrites its inputs."""
    if sums.size:
        sums[...] = total
    squares *= count
    squares -= np.square(total, out=total)
    variance += squares


def add_masked_moments(
    tile: Array, runs: Array, count: int, centre: int, work: Array, sums: Array, variance: Array
) -> None:
    """Add the moments over the runs of a mask."""
    values = tile.astype(work.dtype)
    values -= values.dtype.type(centre)
    np.cumsum(values, axis=1, out=work[0, :, 1:])
    np.cumsum(np.square(values, out=values), axis=1, out=work[1, :, 1:])
    rows, columns = variance.shape
    totals = np.zeros((2, rows, columns), work.dtype)
    for row, start, stop in runs.tolist():
        rows_below = work[:, row : row + rows]
        totals += rows_below[..., stop : stop + columns]
        totals -= rows_below[..., start : start + columns]
    total, squares = totals.astype(sums.dtype)
    _add_variance(total, squares, count, sums, variance)


def invert(variance: Array) -> float:
    """Replace each variance by its inverse root; return the maximum."""
    np.sqrt(variance, out=variance)
    # In most tiles all are valid; `where=True`, not an array, then takes a quarter of the time.
    valid = bool(variance.min() > 0) or variance > 0
    np.divide(1, variance, out=variance, where=valid)
    return float(variance.max())


def round_moments(products: Array, products_squares: Array, count: int, sums: Array, variance: Array) -> None:
    """Add the moments from sums that transforms computed."""
    corner = tuple(map(slice, variance.shape))
    total, squares = (np.rint(p[corner]).astype(sums.dtype) for p in (products, products_squares))
    _add_variance(total, squares, count, sums, variance)


def scale(
    product: Array, width: int, inverse: Array, floor: float, shift: Array | None = None
) -> tuple[float, int, int]:
    """Scale products to scores, clipped to [-1, 1], in the corner of an array, in place.

    Return the largest sum of squares of a row or column of the first `width` columns of products, whether a score
    reaches the floor, and whether one exceeds 1 by more than rounding.
    """
    scores = product[: inverse.shape[0], : inverse.shape[1]]
    largest = _largest_line(product[:, :width])
    if shift is not None:
        scores -= shift
    scores *= inverse
    scores += 0  # minus zero becomes zero
    highest, lowest = float(scores.max()), float(scores.min())
    out_of_range = not (highest <= 1.0001 and lowest >= -1.0001)
    if highest > 1 or lowest < -1:
        np.clip(scores, -1, 1, out=scores)
    return largest, int(highest >= np.float32(floor)), int(out_of_range)


def score(
    pairs: Iterable[tuple[Array, Array]],
    transforms: Transforms,
    inverse: Array,
    floor: float,
    grid: SummaryGrid | None,
    shift: Array | None = None,
) -> tuple[Array, tuple[float, int, int], Array | None]:
    """Correlate spectra, scale the products to scores, and summarise them."""
    product = transforms.correlate(pairs)
    checks = scale(product, transforms.tiling.fft_shape[1], inverse, floor, shift)
    if grid is None:
        return product, checks, None
    shape, leads, size = grid
    part = tuple(map(slice, shape))
    return product, checks, summarise(product[part], inverse[part], leads, size)


def score_alone(
    product: Array,
    tiles: Sequence[Array],
    height: int,
    width: int,
    centres: Sequence[int],
    work: Array,
    template_sums: Array,
    variance: Array,
    template: float,
) -> int:
    """Compute the moments of one template's windows, and its scores."""
    sums = np.empty((len(tiles), *variance.shape), variance.dtype)
    moments(tiles, height, width, centres, work, sums, variance)
    return score_exactly(product, sums, template_sums, variance, template, height * width)


def score_windows(
    channels: Sequence[Array],
    positions: Array,
    mask: Array,
    values: Array,
    centres: Sequence[int],
    template_sums: Array,
    template: float,
    count: int,
) -> Array:
    """Score single windows by definition."""
    scores, dtype = np.full(len(positions), -np.inf), template_sums.dtype
    products, variance = np.zeros((2, len(positions)), dtype)
    for channel, centre, weights, template_sum in zip(channels, centres, values, template_sums, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(channel, mask.shape)[tuple(positions.T)]
        centred = (windows - np.float64(centre)) * mask
        total = centred.sum(axis=(1, 2)).astype(dtype)
        products += np.einsum("kij,ij->k", centred, weights).astype(dtype) * count - total * template_sum
        variance += np.einsum("kij,kij->k", centred, centred).astype(dtype) * count - total * total
    norm = np.sqrt(variance.astype(np.float64) * template)
    np.divide(products, norm, out=scores, where=norm > 0)
    np.clip(scores, -1, 1, out=scores, where=norm > 0)
    return scores


def score_exactly(
    product: Array, sums: Array, template_sums: Array, variance: Array, template: float, count: int
) -> int:
    """Convert products that transforms computed to scores."""
    scores = product[: variance.shape[0], : variance.shape[1]]
    products = (np.rint(scores) + 0.0).astype(variance.dtype, copy=False)  # minus zero becomes zero
    products *= count
    for window_sum, template_sum in zip(sums, template_sums, strict=True):
        products -= window_sum * template_sum
    norm = variance.astype(np.float64)
    norm *= template
    np.sqrt(norm, out=norm)
    scores[...] = 0
    np.divide(products, norm, out=scores, where=norm > 0)
    out_of_range = not (scores.max() <= 1 + 1e-9 and scores.min() >= -1 - 1e-9)
    np.clip(scores, -1, 1, out=scores)
    return int(out_of_range)
