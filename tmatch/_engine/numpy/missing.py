"""Window sums over the valid pixels of tiles of any real numbers, in NumPy operations; see `real_tiles.RealTiles`."""

import functools
from collections.abc import Sequence

import numpy as np

from tmatch._arrays.typing import Array, Positions
from tmatch._engine.numpy.sliding import sliding, sliding_max, sliding_min
from tmatch._engine.real_tiles import DOUBTFUL, HIDDEN


def valid_norms(
    digits: Array,
    valid: Array,
    box: tuple[int, int, int, int],
    centred: bool,  # noqa: FBT001
    scales: tuple[float, float],
    limits: tuple[float, float, float, float],
    hidden: Sequence[Array],
    min_count: float,
    inverse: Array,
    shift: Array,
) -> tuple[float, int]:
    """Compute the inverse norms of all windows over their valid pixels, and what to subtract from products.

    Sums of floats are rounded, as in `fixed_point.fixed_norms`, and widen the same limit.
    """
    (unit, parts), (least, share, mean_error, least_hidden) = scales, limits
    (top, left, height, width), corner = box, tuple(map(slice, inverse.shape))
    window, size, share = (height, width), height * width, share * (2 + np.log2(height * width)) / 2
    rows, columns = (n + k - 1 for n, k in zip(inverse.shape, window, strict=True))
    part = slice(top, top + rows), slice(left, left + columns)
    counts = sliding(valid[part].astype(np.int32), window, np.add)
    one = 1 / np.maximum(counts, 1)
    squares, means, moments, firsts, reach = np.zeros((5, *inverse.shape))
    for i, channel in enumerate(np.moveaxis(digits[(..., *part)], 1, 0)):
        values = channel[0] * (1 / unit)
        if len(channel) > 1:
            values += channel[1] * (1 / (unit * parts))
        if centred:
            total, other = sliding(values, window, np.add), hidden[i][corner]
            means += total * total
            moments -= total * other
            firsts += other * other
            reach += np.abs(total)
        squares += sliding(np.square(values, out=values), window, np.add)
    variance, template = squares - means * one, 1 - hidden[-1][corner] - firsts * one / size
    bound, norm = np.sqrt(least) + reach * one * mean_error, variance * template
    sure = (norm > bound * bound) & (variance > squares * share)
    inverse[...] = np.where(sure, 1 / np.sqrt(np.where(sure, norm, 1) * size), DOUBTFUL)
    inverse[template <= least_hidden] = HIDDEN
    inverse[counts < min_count] = 0
    shift[...] = moments * one
    return float(inverse.max()), int(counts.max())


def score_valid_exactly(
    product: Array,
    valid: Array,
    tiles: Sequence[Array],
    height: int,
    width: int,
    centres: Sequence[int],
    work: Array,
    hidden: Sequence[Array],
    template_sums: Array,
    template_squares: int,
    min_count: float,
    norms: Array,
) -> tuple[int, int]:
    """Convert products that transforms computed to scores over the valid pixels."""
    kind, window, corner = template_sums.dtype.type, (height, width), tuple(map(slice, norms.shape))
    counts = sliding(valid.astype(np.int32), window, np.add)
    n = counts.astype(kind)
    *hidden_sums, hidden_squares = (np.rint(h[corner]).astype(kind) for h in hidden)
    values = [np.subtract(t, c, dtype=work.dtype) for t, c in zip(tiles, centres, strict=True)]
    squares = sliding(functools.reduce(np.add, map(np.square, values)), window, np.add).astype(kind)
    numerator, variance = np.rint(product[corner]).astype(kind) * n, squares * n
    other = (kind(template_squares) - hidden_squares) * n
    for channel, template_sum, of_hidden in zip(values, template_sums, hidden_sums, strict=True):
        total, template_total = sliding(channel, window, np.add).astype(kind), template_sum - of_hidden
        numerator -= total * template_total
        variance -= total * total
        other -= template_total * template_total
    np.multiply(variance, other, out=norms, dtype=np.float64)
    norms[counts < min_count] = 0
    scores = product[corner]
    scores[...] = 0
    np.divide(numerator, np.sqrt(norms), out=scores, where=norms > 0)
    scores += 0.0  # minus zero becomes zero
    out_of_range = not (scores.max() <= 1 + 1e-9 and scores.min() >= -1 - 1e-9)
    np.clip(scores, -1, 1, out=scores)
    return int(counts.max()), int(out_of_range)


def add_rectangles(integral: Array, rectangles: Array, sums: Array) -> None:
    """Add to the sums of all windows what they have in common with rectangles."""
    height, width = (n - 1 for n in integral.shape)
    for top, bottom, left, right in rectangles.tolist():
        rows = np.arange(max(top - height + 1, 0), min(bottom, sums.shape[0]))
        columns = np.arange(max(left - width + 1, 0), min(right, sums.shape[1]))
        if not (rows.size and columns.size):
            continue
        between = integral[np.minimum(bottom - rows, height)] - integral[np.maximum(top - rows, 0)]
        part = sums[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        part += between[:, np.minimum(right - columns, width)]
        part -= between[:, np.maximum(left - columns, 0)]


def constant_valid_windows(tile: Array, valid: Array, height: int, width: int, out: Array) -> None:
    """Find the windows whose valid pixels are all equal."""
    highest = sliding_max(np.where(valid, tile, -np.inf), (height, width))
    np.greater_equal(sliding_min(np.where(valid, tile, np.inf), (height, width)), highest, out=out)


def score_valid_windows(
    channels: Sequence[Array],
    valid: Array,
    positions: Positions,
    values: Array,
    weights: Array,
    centred: bool,  # noqa: FBT001
) -> Array:
    """Score single windows by definition over their valid pixels, in two passes."""
    views = [np.lib.stride_tricks.sliding_window_view(c, values[0].shape) for c in (*channels, valid)]
    *windows, seen = (view[tuple(positions.T)] for view in views)
    counts = weights * seen[:, None]
    pixels = _about_means(np.stack(windows, axis=1).astype(np.float64), counts, centred=centred)
    others = _about_means(np.broadcast_to(values, pixels.shape), counts, centred=centred)
    products, squares, other_squares = (
        np.einsum("kcij,kcij,kcij->k", a, b, counts)
        for a, b in ((pixels, others), (pixels, pixels), (others, others))
    )
    scores, norms = np.full(len(positions), -np.inf), np.sqrt(squares) * np.sqrt(other_squares)
    np.divide(products, norms, out=scores, where=norms > 0)
    return np.clip(scores, -1, 1, out=scores, where=norms > 0)


def _about_means(windows: Array, counts: Array, *, centred: bool) -> Array:
    """Subtract their means from the channels of windows, where they count, and scale windows near 1."""
    counted = counts > 0
    if centred:
        first = counted.reshape(*counted.shape[:2], -1).argmax(axis=2)[..., None]
        bases = np.take_along_axis(windows.reshape(first.shape[0], first.shape[1], -1), first, axis=2)[
            ..., None
        ]
        windows = np.where(counted, windows, bases)
    else:
        windows, bases = np.where(counted, windows, 0), np.zeros(1)
    exponents = np.frexp(np.abs(windows).max(axis=(1, 2, 3), keepdims=True))[1]
    windows = np.ldexp(windows, -exponents)
    if not centred:
        return windows
    windows -= np.ldexp(bases, -exponents)
    totals = np.maximum(counts.sum(axis=(2, 3)), np.finfo(np.float64).tiny)
    # The mean of large values is itself rounded; a second pass subtracts the rest.
    for _ in range(2):
        windows -= (np.einsum("kcij,kcij->kc", windows, counts) / totals)[..., None, None]
    return np.where(counted, windows, 0)
