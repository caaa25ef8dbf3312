"""What `_core_numba` compiles for plain searches, in NumPy's passes: the same names, arguments and results.

But for `score_alone`; and of scores that are too high only whether there are any.
"""

import functools
from collections.abc import Iterable, Sequence

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine.numpy import maxima
from tmatch._engine.numpy.sliding import sliding
from tmatch._engine.numpy.transforms import correlate_spectra
from tmatch._engine.tiling import Tiling

MOST_RUNS = 24  # of pixels in the rows of a mask, beyond which transforms are faster


def load(tile: Array, out: Array) -> float:
    """Copy integers less their mean into the corner of `out`, zeros elsewhere.

    Give the largest sum of squares of a row or a column, for an estimate of errors.
    """
    rows, columns = tile.shape
    part = out[:rows, :columns]
    mean = np.float32(tile.sum(dtype=np.int64) / tile.size)
    np.subtract(tile, mean, out=part)
    out[rows:], out[:rows, columns:] = 0, 0
    return _largest_line(part)


def place(tile: Array, centre: int, squared: bool, out: Array) -> None:  # noqa: FBT001
    """Copy integers less a centre, or the squares of that, into the corner of `out`, zeros elsewhere."""
    rows, columns = tile.shape
    part = out[:rows, :columns]
    part[...] = tile
    part -= centre
    if squared:
        part *= part
    out[rows:], out[:rows, columns:] = 0, 0


def _largest_line(values: Array) -> float:
    along, down = np.vecdot(values, values), np.einsum("yx,yx->x", values, values)
    return float(max(along.max(), down.max()))


def moments(
    tiles: Sequence[Array],
    height: int,
    width: int,
    centres: Sequence[int],
    work: Array,
    sums: Array,
    variance: Array,
) -> None:
    """Sum integers over all windows; put ``n sum(w^2) - sum(w)^2`` into `variance`.

    Additions are done in the type of `work`, after the centres were taken off; multiplications in that of `sums`.
    Squares of all channels are summed together.
    """
    values = [np.subtract(t, c, dtype=work.dtype) for t, c in zip(tiles, centres, strict=True)]
    together = functools.reduce(np.add, map(np.square, values))
    squares = sliding(together, (height, width), np.add).astype(sums.dtype)
    squares *= height * width
    for i, each in enumerate(values):
        total = sliding(each, (height, width), np.add).astype(sums.dtype)
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
    """Do as `moments`, but put only the inverse root of each variance above 0 into `inverse`; give the largest.

    `squares` is of the type that multiplications are done in.
    """
    no_sums = squares[:0]  # only their type; the compiled `moments` wants room
    moments(tiles, height, width, centres, work, no_sums, inverse)
    return invert(inverse)


def _take_in_sums(total: Array, squares: Array, count: int, sums: Array, variance: Array) -> None:
    """End window sums, which are written over: add their variances, and keep the sums if there is room."""
    if sums.size:
        sums[...] = total
    squares *= count
    squares -= np.square(total, out=total)
    variance += squares


def add_masked_moments(
    tile: Array, runs: Array, count: int, centre: int, work: Array, sums: Array, variance: Array
) -> None:
    """Do as `moments` over the pixels of a mask: runs of them, each a row, its first column, and the one after it.

    Variances are added to what is there; sums are put only where there is room for them. `work` are two tables of
    zeros, one column wider than the tile.
    """
    values = tile.astype(work.dtype)
    values -= values.dtype.type(centre)
    np.cumsum(values, axis=1, out=work[0, :, 1:])
    np.cumsum(np.square(values, out=values), axis=1, out=work[1, :, 1:])
    rows, columns = variance.shape
    totals = np.zeros((2, rows, columns), work.dtype)
    for lead, start, stop in runs.tolist():
        below = work[:, lead : lead + rows]
        totals += below[..., stop : stop + columns]
        totals -= below[..., start : start + columns]
    total, squares = totals.astype(sums.dtype)
    _take_in_sums(total, squares, count, sums, variance)


def invert(variance: Array) -> float:
    """Put the inverse root in place of each variance above 0, zero elsewhere; give the largest."""
    np.sqrt(variance, out=variance)
    # In most tiles all are: without a mask, which NumPy knows by a plain True, that takes a quarter of the time.
    there = bool(variance.min() > 0) or variance > 0
    np.divide(1, variance, out=variance, where=there)
    return float(variance.max())


def round_moments(products: Array, products_squares: Array, count: int, sums: Array, variance: Array) -> None:
    """Do as `add_masked_moments` with sums that came from transforms, in the corners of arrays."""
    corner = tuple(map(slice, variance.shape))
    total, squares = (np.rint(p[corner]).astype(sums.dtype) for p in (products, products_squares))
    _take_in_sums(total, squares, count, sums, variance)


def scale(product: Array, width: int, inverse: Array, floor: float) -> tuple[float, int, int]:
    """Make scores of products in the corner of an array, in place, cut at -1 and 1.

    Give the largest sum of squared products of a row or a column, those outside the corner too, up to a width; whether
    a score reaches the floor; and whether one passes 1 by more than rounding.
    """
    scores = product[: inverse.shape[0], : inverse.shape[1]]
    largest = _largest_line(product[:, :width])
    scores *= inverse
    scores += 0  # minus zero becomes zero
    top, least = float(scores.max()), float(scores.min())
    broken = not (top <= 1.0001 and least >= -1.0001)
    if top > 1 or least < -1:
        np.clip(scores, -1, 1, out=scores)
    return largest, int(top >= np.float32(floor)), int(broken)


def score(
    pairs: Iterable[tuple[Array, Array]],
    tiling: Tiling,
    inverse: Array,
    floor: float,
    cells: tuple[Shape, Shape, Shape] | None,
) -> tuple[Array, tuple[float, int, int], Array | None]:
    """Correlate spectra, `scale` the products, and `summarise` scores of a shape if there are cells to sum up in."""
    product = correlate_spectra(pairs, tiling)
    found = scale(product, tiling.fft_shape[1], inverse, floor)
    if cells is None:
        return product, found, None
    shape, leads, size = cells
    part = tuple(map(slice, shape))
    return product, found, summarise(product[part], inverse[part], leads, size)


def score_windows(
    channels: Sequence[Array],
    places: Array,
    mask: Array,
    values: Array,
    centres: Sequence[int],
    sums_of_template: Array,
    template: float,
    count: int,
) -> Array:
    """Score single windows by definition, over the pixels where the mask is 1; minus infinity where one has no norm.

    The channels are taken about their centres; sums are made in floats, which hold them as they are whole numbers below
    2**53, and multiplied in the type of `sums_of_template`.
    """
    scores, wide = np.full(len(places), -np.inf), sums_of_template.dtype
    products, variance = np.zeros((2, len(places)), wide)
    for channel, centre, weights, own in zip(channels, centres, values, sums_of_template, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(channel, mask.shape)[tuple(places.T)]
        around = (windows - np.float64(centre)) * mask
        total = around.sum(axis=(1, 2)).astype(wide)
        products += np.einsum("kij,ij->k", around, weights).astype(wide) * count - total * own
        variance += np.einsum("kij,kij->k", around, around).astype(wide) * count - total * total
    norm = np.sqrt(variance.astype(np.float64) * template)
    np.divide(products, norm, out=scores, where=norm > 0)
    np.clip(scores, -1, 1, out=scores, where=norm > 0)
    return scores


def candidates(heights: Array, floor: float, slack: float) -> Array:
    """Find places of at least the floor with no neighbour higher by more than the slack, in row-major order."""
    return maxima.candidates(heights, floor, slack)[0]


def score_exactly(
    product: Array, sums: Array, sums_of_template: Array, variance: Array, template: float, count: int
) -> int:
    """Round sums of products, take the means off, and divide by both norms; 0 where the window has none.

    In place, in the corner of an array. Gives whether a score passes 1 by more than rounding.
    """
    scores = product[: variance.shape[0], : variance.shape[1]]
    whole = (np.rint(scores) + 0.0).astype(variance.dtype, copy=False)  # minus zero becomes zero
    whole *= count
    for off, factor in zip(sums, sums_of_template, strict=True):
        whole -= off * factor
    norm = variance.astype(np.float64)
    norm *= template
    np.sqrt(norm, out=norm)
    scores[...] = 0
    np.divide(whole, norm, out=scores, where=norm > 0)
    broken = not (scores.max() <= 1 + 1e-9 and scores.min() >= -1 - 1e-9)
    np.clip(scores, -1, 1, out=scores)
    return int(broken)


def summarise(scores: Array, norms: Array, leads: Shape, size: Shape) -> Array:
    """Sum up scores whose norm is above 0 in cells of so many places; the first cells end after `leads`, if not 0.

    Give the highest score and the lowest turned over, 0 if that is more, the sum of squares, and how many there are.
    """
    there = norms > 0
    counted = scores if there.all() else np.where(there, scores, 0)
    parts = [
        (np.maximum, counted),
        (np.maximum, -counted),
        (np.add, np.square(counted)),
        (np.add, there.astype(np.float32)),
    ]
    out = np.stack([_gather(ufunc, values, leads, size).astype(np.float64) for ufunc, values in parts])
    np.maximum(out[:2], 0, out=out[:2])
    return out


def _gather(ufunc: np.ufunc, values: Array, leads: Shape, size: Shape) -> Array:
    """Put the values of each cell together; many times faster than `reduceat`."""
    for axis, (lead, side) in enumerate(zip(leads, size, strict=True)):
        line = np.moveaxis(values, axis, 0)
        lead = min(lead, len(line))  # noqa: PLW2901
        whole = lead + (len(line) - lead) // side * side
        pieces = [line[lead:whole].reshape(-1, side, *line.shape[1:])]
        pieces += [line[None, a:b] for a, b in ((0, lead), (whole, len(line))) if b > a]
        done = [functools.reduce(ufunc, np.moveaxis(piece, 1, 0)) for piece in pieces if len(piece)]
        order = [*done[1:2], done[0], *done[2:]] if lead and whole > lead else done
        values = np.moveaxis(np.concatenate(order), 0, axis)
    return values


def with_neighbours(values: Array, largest: bool) -> Array:  # noqa: FBT001
    """Sum each value and those around it, or give the largest, in each of some arrays, of any dimension."""
    ufunc = np.maximum if largest else np.add
    for axis in range(1, values.ndim):
        first, last = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        around = values.copy()
        ufunc(around[last], values[first], out=around[last])
        ufunc(around[first], values[last], out=around[first])
        values = around
    return values
