"""Peaks of score maps and their windows. Compiled for two axes."""

import math
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.interface import ResidualTemplate
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, inline, knows
from tmatch._engine.numpy import peaks


def _is_compiled_for(channels: tuple[Array, ...], weights: Array) -> bool:
    """Check that windows have two axes, and pixels of a type that compiled code knows."""
    return weights.ndim == 3 and knows(channels[0].dtype)


def _native(channel: Array) -> Array:
    return channel if channel.dtype.isnative else channel.astype(channel.dtype.newbyteorder("="))


def window_variances(channels: tuple[Array, ...], positions: Positions, weights: Array) -> Array:
    """Compute the weighted variance of windows; channels are averaged by their weights."""
    if not _is_compiled_for(channels, weights):
        return peaks.window_variances(channels, positions, weights)
    result = np.zeros(len(positions))
    even = (weights == weights.flat[0]).all()
    for channel, weight in zip(channels, weights, strict=True):
        native = _native(channel)
        if even and channel.dtype.kind in "iu" and _fit_into(weight.shape, channel.dtype):
            dtype = np.int32 if channel.dtype.itemsize == 1 else np.int64
            work = np.empty((2, weight.shape[1]), dtype)
            _add_even_variances(native, positions, len(weight), weight.flat[0], work, result)
            continue
        origin = np.unravel_index(weight.argmax(), weight.shape)
        _add_variances(native, positions, weight, origin, max(float(weight.sum()), 1e-300), result)
    return np.asarray(result / weights.sum())


def _fit_into(window: Shape, dtype: np.dtype[Any]) -> bool:
    """Check that sums of squared integers fit into the accumulators of columns and of windows."""
    largest = 2 ** (16 * dtype.itemsize)
    return (
        dtype.itemsize <= 2
        and (dtype.itemsize > 1 or window[0] * largest < 2**31)
        and math.prod(window) * largest < 2**62
    )


@compiled
def _add_even_variances(
    image: Array, positions: Array, height: int, weight: float, work: Array, out: Array
) -> None:
    sums, squares, width = work[0], work[1], work.shape[1]
    for i in range(len(positions)):
        top, left = positions[i, 0], positions[i, 1]
        work[:] = 0
        for y in range(height):
            row = image[top + y, left : left + width]
            for x in range(width):
                value = np.int64(row[x])
                sums[x] += value
                squares[x] += value * value
        total = square = np.int64(0)
        for x in range(width):
            total += sums[x]
            square += squares[x]
        out[i] += weight * max(square - np.float64(total) * total / (height * width), 0.0)


_MAX_PIXELS = 2**17  # of the windows that are read at a time


@compiled_reassociating
def _add_variances(
    image: Array, positions: Array, weights: Array, origin: tuple[int, int], total: float, out: Array
) -> None:
    height, width = weights.shape
    sums, squares = np.empty(width), np.empty(width)
    for i in range(len(positions)):
        top, left = positions[i, 0], positions[i, 1]
        first = np.float64(image[top + origin[0], left + origin[1]])
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
    template: ResidualTemplate,
    planes: bool,  # noqa: FBT001
) -> Array | None:
    """Sum up what is left of windows without the template and planes; None if it is not compiled for them."""
    if not _is_compiled_for(channels, template.weights):
        return None
    out = np.empty((len(positions), 2 + 3 + len(template.blocks)))
    step = min(max(1, _MAX_PIXELS // template.weights.size), max(len(positions), 1))
    windows, left = np.empty((step, *template.weights.shape)), np.empty(template.weights.shape)
    for i in range(0, len(positions), step):
        part = positions[i : i + step]
        for number, channel in enumerate(channels):
            native = _native(channel)
            _read(native, part, template.heaviest, windows[:, number])
        _residual_sums(windows, template, planes, left, out[i : i + len(part)])
    return out


@compiled
def _read(image: Array, positions: Array, origin: tuple[int, int], out: Array) -> None:
    """Read windows less one of their pixels, so that the sums of their squares lose no digits."""
    for i in range(len(positions)):
        top, left = positions[i, 0], positions[i, 1]
        offset = np.float64(image[top + origin[0], left + origin[1]])
        for y in range(out.shape[1]):
            row = image[top + y, left : left + out.shape[2]]
            for x in range(row.size):
                out[i, y, x] = np.float64(row[x]) - offset


@compiled_reassociating
def _residual_sums(
    windows: Array,
    template: ResidualTemplate,
    planes: bool,  # noqa: FBT001
    left: Array,
    out: Array,
) -> None:
    """Sum up windows, which are overwritten."""
    n_channels, flat = len(template.values), template.values.size
    t, w, r = template.values.reshape(flat), template.weights.reshape(flat), template.roots.reshape(flat)
    l0, l1 = template.lines[0].reshape(flat), template.lines[1].reshape(flat)
    energy, squares0, squares1, cross = template.products
    pixels = flat // n_channels
    means, totals = np.empty(n_channels), np.empty(n_channels)
    for c in range(n_channels):
        totals[c] = max(template.weights[c].sum(), 1e-300)
    e = left.reshape(flat)
    for i in range(len(out)):
        window = windows[i].reshape(flat)
        squares = gain = 0.0
        for c in range(n_channels):
            part = slice(c * pixels, (c + 1) * pixels)
            total, square, product = _moments(window[part], w[part], t[part])
            means[c] = total / totals[c]
            squares += max(square - means[c] * total, 0.0)
            gain += product  # the template has mean 0
        gain /= energy
        out[i, 0], out[i, 1] = squares, gain
        for c in range(n_channels):
            part = slice(c * pixels, (c + 1) * pixels)
            _subtract(window[part], means[c], gain, t[part], r[part], e[part])
        if planes:
            down = _dot(w, window, l0) / squares0
            across = (_dot(w, window, l1) - down * cross) / squares1
            for x in range(flat):
                e[x] = r[x] * (window[x] - down * l0[x] - across * l1[x])
        _test_sums(left, template.blocks, out[i, 2:])


@compiled_reassociating
def _moments(values: Array, weights: Array, template: Array) -> tuple[float, float, float]:
    total = square = product = 0.0
    for x in range(values.size):
        value = weights[x] * values[x]
        total += value
        square += value * values[x]
        product += value * template[x]
    return total, square, product


@compiled_reassociating
def _subtract(values: Array, mean: float, gain: float, template: Array, roots: Array, out: Array) -> None:
    for x in range(values.size):
        values[x] -= mean + gain * template[x]
        out[x] = roots[x] * values[x]


@compiled_reassociating
def _dot(weights: Array, first: Array, second: Array) -> float:
    total = 0.0
    for x in range(weights.size):
        total += weights[x] * first[x] * second[x]
    return total


@compiled_reassociating
def _test_sums(left: Array, blocks: Array, out: Array) -> None:  # noqa: C901
    """Sum the squares and the products of neighbours, find the largest square, sum the squares of sums of blocks."""
    squares = products = 0.0
    columns, largest = np.empty(left.shape[2]), np.zeros(left.shape[2])
    out[3:] = 0
    for c in range(len(left)):
        for y in range(left.shape[1]):
            row = left[c, y]
            for x in range(row.size):
                square = row[x] * row[x]
                squares += square
                largest[x] = square if square > largest[x] else largest[x]
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
    out[0], out[1], out[2] = squares, products, largest.max()


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
    expected, explained = np.zeros_like(heights), np.zeros(len(extrema), np.bool_)
    least, factor, slack = limits
    for i in range(len(extrema)):
        sign, row, column = extrema[i]
        height, lobe = heights[sign, row, column], expected[sign, row, column]
        if not copies[i] and lobe >= least and height <= factor * lobe + slack:
            explained[i] = True
            continue
        for which in range(2):
            _raise(expected[which], row, column, height, footprints[:, which ^ sign], levels)
    return explained


def expected_beside(heights: Array, cells: Positions, footprints: Array, levels: Array) -> Array:
    """Compute the highest scores expected around some peaks."""
    if heights.ndim != 2:
        return peaks.expected_beside(heights, cells, footprints, levels)
    return np.asarray(_expected_beside(heights, cells, footprints, levels))


@compiled
def _expected_beside(heights: Array, cells: Array, footprints: Array, levels: Array) -> Array:
    expected = np.zeros(heights.shape)
    for i in range(len(cells)):
        row, column = cells[i, 0], cells[i, 1]
        _raise(expected, row, column, heights[row, column], footprints, levels)
    return expected


@inline
def _raise(expected: Array, row: int, column: int, height: float, footprints: Array, levels: Array) -> None:
    """Raise the expected scores around a peak to those of the footprint of its level."""
    reach, number = footprints.shape[2] // 2, 0
    while number + 1 < len(levels) and levels[number + 1] >= height:
        number += 1
    scale, footprint = min(height / levels[number], 1.0), footprints[number]
    for y in range(max(row - reach, 0), min(row + reach + 1, expected.shape[0])):
        for x in range(max(column - reach, 0), min(column + reach + 1, expected.shape[1])):
            lobe = scale * footprint[y - row + reach, x - column + reach]
            expected[y, x] = max(expected[y, x], lobe)
