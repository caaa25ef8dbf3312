"""Peaks of score maps and their windows. Compiled for two axes."""

from collections.abc import Sequence

import numpy as np

from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.numba.compiler import compiled, compiled_reassociating
from tmatch._engine.numpy import peaks


def _is_compiled_for(channels: tuple[Array, ...], weights: Array) -> bool:
    """Check that windows have two axes, and pixels of a type that compiled code knows."""
    dtype = channels[0].dtype
    return weights.ndim == 3 and dtype.kind in "iuf" and dtype.itemsize <= 8


def window_variances(channels: tuple[Array, ...], positions: Positions, weights: Array) -> Array:
    """Compute the weighted variance of windows; channels are averaged by their weights."""
    if not _is_compiled_for(channels, weights):
        return peaks.window_variances(channels, positions, weights)
    result = np.zeros(len(positions))
    for channel, weight in zip(channels, weights, strict=True):
        native = channel.astype(channel.dtype.newbyteorder("="), copy=False)
        _add_variances(native, positions, weight, max(float(weight.sum()), 1e-300), result)
    return np.asarray(result / weights.sum())


_MAX_WINDOWS = 64  # that are read at a time


@compiled_reassociating
def _add_variances(image: Array, positions: Array, weights: Array, total: float, out: Array) -> None:
    height, width = weights.shape
    sums, squares = np.empty(width), np.empty(width)
    for i in range(len(positions)):
        top, left = positions[i, 0], positions[i, 1]
        first = np.float64(image[top, left])
        sums[:], squares[:] = 0, 0
        for y in range(height):
            row, weight = image[top + y, left : left + width], weights[y]
            for x in range(width):
                value = np.float64(row[x]) - first
                sums[x] += weight[x] * value
                squares[x] += weight[x] * value * value
        sum_of_all = sums.sum()
        out[i] += max(squares.sum() - sum_of_all * sum_of_all / total, 0.0)


def residual_sums(
    channels: tuple[Array, ...],
    positions: Positions,
    template: Array,
    weights: Array,
    blocks: Sequence[Shape],
) -> Array | None:
    """Sum up what is left of windows without the template; None if it is not compiled for them."""
    if not _is_compiled_for(channels, weights):
        return None
    native = tuple(channel.astype(channel.dtype.newbyteorder("="), copy=False) for channel in channels)
    lines = np.stack([np.broadcast_to(_line(weights, axis), weights.shape) for axis in (1, 2)])
    fixed = *map(np.ascontiguousarray, (template, weights, np.sqrt(weights), lines)), np.array(blocks)
    out = np.empty((len(positions), 2 + 2 * (3 + len(blocks))))
    for i in range(0, len(positions), _MAX_WINDOWS):
        part = positions[i : i + _MAX_WINDOWS]
        windows = np.empty((len(part), *weights.shape))
        for number, channel in enumerate(native):
            _read(channel, part, windows[:, number])
        _residual_sums(windows, *fixed, out[i : i + len(part)])
    return out


def _line(weights: Array, axis: int) -> Array:
    """Return the index along an axis less its weighted mean, as the weights' shape without channels."""
    index = np.arange(float(weights.shape[axis])).reshape([-1 if a == axis else 1 for a in range(3)])
    centred = index - (weights * index).sum() / weights.sum()
    return np.asarray(np.broadcast_to(centred, (1, *weights.shape[1:]))[0])


@compiled
def _read(image: Array, positions: Array, out: Array) -> None:
    for i in range(len(positions)):
        top, left = positions[i, 0], positions[i, 1]
        for y in range(out.shape[1]):
            row = image[top + y, left : left + out.shape[2]]
            for x in range(row.size):
                out[i, y, x] = row[x]


@compiled_reassociating
def _residual_sums(
    windows: Array, template: Array, weights: Array, roots: Array, lines: Array, blocks: Array, out: Array
) -> None:
    """Sum up windows, which are overwritten."""
    flat = template.size
    t, w, r, l0, l1 = (
        template.reshape(flat),
        weights.reshape(flat),
        roots.reshape(flat),
        lines[0].reshape(flat),
        lines[1].reshape(flat),
    )
    energy, n, pixels = _dot(w, t, t), 3 + len(blocks), template[0].size
    squares0, squares1, cross = max(_dot(w, l0, l0), 1e-300), max(_dot(w, l1, l1), 1e-300), _dot(w, l0, l1)
    ones = np.ones(pixels)
    left = np.empty(template.shape)
    e = left.reshape(flat)
    for i in range(len(windows)):
        window = windows[i].reshape(flat)
        for c in range(len(template)):
            part, weight = window[c * pixels : (c + 1) * pixels], w[c * pixels : (c + 1) * pixels]
            mean = _dot(weight, part, ones) / max(weight.sum(), 1e-300)
            for x in range(pixels):
                part[x] -= mean
        gain = _dot(w, window, t) / max(energy, 1e-300)
        out[i, 0], out[i, 1] = _dot(w, window, window), gain
        for x in range(flat):
            window[x] -= gain * t[x]
            e[x] = r[x] * window[x]
        _test_sums(left, blocks, out[i, 2 : 2 + n])
        down = _dot(w, window, l0) / squares0
        across = (_dot(w, window, l1) - down * cross) / squares1
        for x in range(flat):
            e[x] = r[x] * (window[x] - down * l0[x] - across * l1[x])
        _test_sums(left, blocks, out[i, 2 + n :])


@compiled_reassociating
def _dot(weights: Array, first: Array, second: Array) -> float:
    total = 0.0
    for x in range(weights.size):
        total += weights[x] * first[x] * second[x]
    return total


@compiled_reassociating
def _test_sums(left: Array, blocks: Array, out: Array) -> None:  # noqa: C901
    """Sum the squares and the products of neighbours, find the largest square, sum the squares of sums of blocks."""
    squares = products = largest = 0.0
    columns = np.empty(left.shape[2])
    out[3:] = 0
    for c in range(len(left)):
        for y in range(left.shape[1]):
            row = left[c, y]
            for x in range(row.size):
                square = row[x] * row[x]
                squares += square
                largest = max(largest, square)
            for x in range(row.size - 1):
                products += row[x] * row[x + 1]
            if y > 0:
                above = left[c, y - 1]
                for x in range(row.size):
                    products += row[x] * above[x]
        for k in range(len(blocks)):
            height, width = blocks[k]
            for top in range(0, left.shape[1] // height * height, height):
                columns[:] = 0
                for y in range(top, top + height):
                    row = left[c, y]
                    for x in range(row.size):
                        columns[x] += row[x]
                for first in range(0, columns.size // width * width, width):
                    total = columns[first : first + width].sum()
                    out[3 + k] += total * total
    out[0], out[1], out[2] = squares, products, largest


def explained_by_stronger(
    heights: Array,
    extrema: Array,
    footprints: Array,
    levels: Array,
    limits: tuple[float, float, float],
    copies: Array,
) -> Array:
    """Find the extrema, strongest first, that are no higher than expected beside a stronger one."""
    if heights.ndim != 3:
        return peaks.explained_by_stronger(heights, extrema, footprints, levels, limits, copies)
    return np.asarray(_explained_by_stronger(heights, extrema, footprints, levels, limits, copies))


@compiled
def _explained_by_stronger(
    heights: Array,
    extrema: Array,
    footprints: Array,
    levels: Array,
    limits: tuple[float, float, float],
    copies: Array,
) -> Array:
    reach = footprints.shape[3] // 2
    n_rows, n_columns = heights.shape[1:]
    expected, explained = np.zeros_like(heights), np.zeros(len(extrema), np.bool_)
    least, factor, slack = limits
    for i in range(len(extrema)):
        sign, row, column = extrema[i]
        height, lobe = heights[sign, row, column], expected[sign, row, column]
        if not copies[i] and lobe >= least and height <= factor * lobe + slack:
            explained[i] = True
            continue
        number = 0
        while number + 1 < len(levels) and levels[number + 1] >= height:
            number += 1
        scale = min(height / levels[number], 1.0)
        for which in range(2):
            footprint = footprints[number, which ^ sign]
            for y in range(max(row - reach, 0), min(row + reach + 1, n_rows)):
                for x in range(max(column - reach, 0), min(column + reach + 1, n_columns)):
                    lobe = scale * footprint[y - row + reach, x - column + reach]
                    expected[which, y, x] = max(expected[which, y, x], lobe)
    return explained
