"""Fits of the pose of a template to an image. Compiled."""

import math
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine import least_squares
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, inline
from tmatch._engine.posed import FitResults, FitTemplate, FitWindows

_INSIDE = 1e-9  # pixels by which rounding may move a pixel out of the template
_EQUAL = least_squares.EQUAL

_centre: Any = inline(least_squares.centre)
_score_of: Any = inline(least_squares.score_of)
_step_of: Any = inline(least_squares.step_of)
_BUFFER = 512  # pixels whose products are summed at once, at least


def fit_poses(
    windows: FitWindows, template: FitTemplate, starts: Array, free: Array, options: tuple[float, ...]
) -> FitResults:
    """Fit the pose of a template to windows of an image; see `interface.Engine`."""
    n, channels = len(starts), len(template.coefficients)
    found = FitResults(
        starts.copy(), np.zeros(n), np.zeros((n, channels, least_squares.N_SUMS)), np.zeros((n, 6, 6)),
        np.zeros(n, np.intp),
    )  # fmt: skip
    _fit_all(tuple(windows), tuple(template), free, options, tuple(found))
    return found


def cluster_products(
    window: Array,
    valid: Array,
    template: FitTemplate,
    pose: Array,
    gain: float,
    offsets: Array,
    side: int,
    every: int,
) -> Array:
    """Sum the products of block sums of derivative times residual; see `interface.Engine`."""
    rows, columns = (-(-n // side) for n in window.shape[1:])
    blocks = np.zeros((rows, columns, 4))
    _sum_blocks(window, valid, tuple(template), pose, gain, offsets, side, every, blocks)
    sums = blocks.reshape(-1, 4)
    return np.asarray(sums.T @ sums) * every


def drawn(template: FitTemplate, pose: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Draw a template in a pose; see `interface.Engine`."""
    size = (len(template.coefficients), *shape)
    values, weights = np.zeros(size), np.zeros(size)
    _draw(tuple(template), pose, values, weights)
    return values, weights


@compiled
def _draw(template: tuple[Any, ...], pose: Array, values: Array, drawn_weights: Array) -> None:
    """Draw a template row by row; values are 0 where the weight is."""
    coefficients, weights, (ty, tx), spin, _ = template
    cosine, sine = math.cos(pose[2]) * math.exp(-pose[3]), math.sin(pose[2]) * math.exp(-pose[3])
    top, bottom = _rows(template, pose, values.shape[1])
    row, everywhere = np.empty((8, values.shape[2])), np.zeros(0, np.bool_)
    for channel in range(values.shape[0]):
        for y in range(top, bottom):
            geometry = (y - pose[0], pose[1], cosine, sine, spin, ty, tx)
            own = weights[channel] if weights.size else weights[0]
            pixels = drawn_weights[channel, y]
            count = _fill_row(pixels, everywhere, coefficients[channel], own, geometry, 1, row, 0)
            for k in range(count):
                x = int(row[7, k])
                values[channel, y, x] = row[4, k] if row[6, k] > 0 else 0.0
                pixels[x] = row[6, k]


@inline
def _weights(p: float) -> tuple[float, ...]:
    """Return the weights of four coefficients in the value of a spline."""
    q = 1 - p
    return q * q * q / 6, 2 / 3 - p * p * (2 - p) / 2, 2 / 3 - q * q * (2 - q) / 2, p * p * p / 6


@inline
def _slopes(p: float) -> tuple[float, ...]:
    """Return the weights of four coefficients in the derivative of a spline."""
    q = 1 - p
    return -q * q / 2, p * (1.5 * p - 2), -q * (1.5 * q - 2), p * p / 2


@inline
def _along_row(
    plane: Array, j: int, i: int, weights: tuple[float, ...], slopes: tuple[float, ...]
) -> tuple[float, float]:
    """Sum four coefficients of a row for the value, and for the derivative along the row."""
    c0, c1, c2, c3 = plane[j, i], plane[j, i + 1], plane[j, i + 2], plane[j, i + 3]
    value = weights[0] * c0 + weights[1] * c1 + weights[2] * c2 + weights[3] * c3
    return value, slopes[0] * c0 + slopes[1] * c1 + slopes[2] * c2 + slopes[3] * c3


@inline
def _clip(low: float, high: float, slope: float, least: float, most: float) -> tuple[float, float]:
    """Clip an interval of x to where slope times x lies between two bounds."""
    if abs(slope) > 1e-12:
        first, second = least / slope, most / slope
        return max(low, min(first, second)), min(high, max(first, second))
    return (low, high) if least <= 0 <= most else (1.0, 0.0)


@compiled
def _fill_row(
    pixels: Array,
    valid: Array,
    coefficients: Array,
    weights: Array,
    geometry: tuple[float, ...],
    stride: int,
    row: Array,
    count: int,
) -> int:
    """Append the quantities of the pixels of a row that lie in the template; return the new number.

    Each column of `row` holds the derivatives, the template, the image, the weight and the column of a pixel.
    """
    dy, cx, cosine, sine, spin, ty, tx = geometry
    height, width = coefficients.shape[0] - 4, coefficients.shape[1] - 4
    low, high = -cx, pixels.size - 1 - cx
    low, high = _clip(low, high, sine, -ty - _INSIDE - cosine * dy, height - 1 - ty + _INSIDE - cosine * dy)
    if spin > 0:
        low, high = _clip(low, high, cosine, -tx - _INSIDE + sine * dy, width - 1 - tx + _INSIDE + sine * dy)
    else:
        low, high = _clip(low, high, -cosine, -tx - _INSIDE - sine * dy, width - 1 - tx + _INSIDE - sine * dy)
    first = math.ceil((low + cx) / stride - 1e-12) * stride
    for x in range(max(first, 0), min(math.floor(high + cx + 1e-12), pixels.size - 1) + 1, stride):
        if valid.size and not valid[x]:
            continue
        dx = x - cx
        qy, qx = cosine * dy + sine * dx, spin * (cosine * dx - sine * dy)
        uy, ux = min(max(qy + ty, 0.0), height - 1.0), min(max(qx + tx, 0.0), width - 1.0)
        j, i = int(uy), int(ux)
        wx, ex = _weights(ux - i), _slopes(ux - i)
        wy0, wy1, wy2, wy3 = _weights(uy - j)
        ey0, ey1, ey2, ey3 = _slopes(uy - j)
        v0, g0 = _along_row(coefficients, j + 1, i + 1, wx, ex)
        v1, g1 = _along_row(coefficients, j + 2, i + 1, wx, ex)
        v2, g2 = _along_row(coefficients, j + 3, i + 1, wx, ex)
        v3, g3 = _along_row(coefficients, j + 4, i + 1, wx, ex)
        value = wy0 * v0 + wy1 * v1 + wy2 * v2 + wy3 * v3
        gy = ey0 * v0 + ey1 * v1 + ey2 * v2 + ey3 * v3
        gx = wy0 * g0 + wy1 * g1 + wy2 * g2 + wy3 * g3
        row[0, count] = -(gy * cosine - gx * spin * sine)
        row[1, count] = -(gy * sine + gx * spin * cosine)
        row[2, count] = spin * (gy * qx - gx * qy)
        row[3, count] = -(gx * qx + gy * qy)
        row[4, count] = value
        row[5, count] = pixels[x]
        row[6, count] = 1.0
        if weights.size:
            row[6, count] = weights[int(uy + 0.5), int(ux + 0.5)]
        row[7, count] = x
        count += 1
    return count


@compiled_reassociating
def _dot(a: Array, b: Array) -> float:
    total = 0.0
    for x in range(a.size):
        total += a[x] * b[x]
    return total


@compiled_reassociating
def _total(a: Array) -> float:
    total = 0.0
    for x in range(a.size):
        total += a[x]
    return total


@compiled
def _add_row(row: Array, count: int, weighted: bool, sums: Array) -> None:  # noqa: FBT001
    """Add the quantities of some pixels, and their products; the last row is scratch memory."""
    weights, scratch = row[6, :count], row[8, :count]
    sums[0] += _total(weights) if weighted else count
    at = 7
    for i in range(6):
        factors = row[i, :count]
        if weighted:
            scratch[:] = weights * factors
            factors = scratch
        sums[1 + i] += _total(factors)
        for j in range(i, 6):
            sums[at] += _dot(factors, row[j, :count])
            at += 1


@inline
def _rows(template: tuple[Any, ...], pose: Array, height: int) -> tuple[int, int]:
    """Return the first and the end row of the pixels that may lie in a template."""
    coefficients = template[0]
    cosine, sine, size = abs(math.cos(pose[2])), abs(math.sin(pose[2])), math.exp(pose[3])
    reach = size * (cosine * coefficients.shape[1] + sine * coefficients.shape[2]) / 2 + 1
    return max(math.floor(pose[0] - reach), 0), min(math.ceil(pose[0] + reach) + 1, height)


@inline
def _sum_products(
    window: Array,
    valid: Array,
    template: tuple[Any, ...],
    pose: Array,
    stride: int,
    row: Array,
    sums: Array,
) -> None:
    """Sum the quantities of all pixels in a template, and their products, channel by channel."""
    coefficients, weights, (ty, tx), spin, _ = template
    cosine, sine = math.cos(pose[2]) * math.exp(-pose[3]), math.sin(pose[2]) * math.exp(-pose[3])
    top, bottom = _rows(template, pose, window.shape[1])
    sums[:] = 0.0
    for channel in range(window.shape[0]):
        count = 0
        for y in range(-(-top // stride) * stride, bottom, stride):
            geometry = (y - pose[0], pose[1], cosine, sine, spin, ty, tx)
            there = valid[y] if valid.size else valid[0]
            own = weights[channel] if weights.size else weights[0]
            count = _fill_row(
                window[channel, y], there, coefficients[channel], own, geometry, stride, row, count
            )
            if count + window.shape[2] > row.shape[1]:
                _add_row(row, count, weights.size > 0, sums[channel])
                count = 0
        _add_row(row, count, weights.size > 0, sums[channel])


@compiled
def _fit_all(
    windows: tuple[Any, ...],
    template: tuple[Any, ...],
    free: Array,
    options: tuple[float, ...],
    found: tuple[Any, ...],
) -> None:
    """Fit window by window."""
    pixels, valid, shapes = windows
    poses, scores, sums, products, passes = found
    at, first = 0, 0
    for n in range(len(shapes)):
        channels, height, width = shapes[n]
        size = height * width
        window = pixels[at : at + channels * size].reshape((channels, height, width))
        there = valid[first : first + size].reshape((height, width)) if valid.size else valid.reshape((0, 0))
        scores[n], passes[n] = _fit(window, there, template, poses[n], free, options, sums[n], products[n])
        at += channels * size
        first += size


@inline
def _fit(
    window: Array,
    valid: Array,
    template: tuple[Any, ...],
    pose: Array,
    free: Array,
    options: tuple[float, ...],
    sums: Array,
    products: Array,
) -> tuple[float, int]:
    """Fit in place, as `_fit` of the NumPy engine does."""
    tolerance, trust, most, stride, joint = options
    best, step = pose.copy(), np.zeros(4)
    row = np.empty((9, _BUFFER + window.shape[2]))
    highest, moved, passes, last = -2.0, np.inf, 0, False
    while True:
        _sum_products(window, valid, template, pose, int(stride), row, sums)
        _centre(sums, joint > 0, products)
        passes += 1
        score = _score_of(products)
        if score < highest - _EQUAL and not last:  # the step was too long
            step *= 0.5
            moved *= 0.5
            last = moved < tolerance or passes >= most
            pose[:] = best
            if not last:
                pose += step
            continue
        highest = score
        best[:] = pose
        if last or moved < tolerance or passes >= most:
            return score, passes
        moved = _step_of(products, free, template[4] * math.exp(pose[3]), trust, step)
        pose += step


@compiled
def _sum_blocks(
    window: Array,
    valid: Array,
    template: tuple[Any, ...],
    pose: Array,
    gain: float,
    offsets: Array,
    side: int,
    every: int,
    blocks: Array,
) -> None:
    """Sum derivatives times residuals in blocks of pixels."""
    coefficients, weights, (ty, tx), spin, _ = template
    cosine, sine = math.cos(pose[2]) * math.exp(-pose[3]), math.sin(pose[2]) * math.exp(-pose[3])
    top, bottom = _rows(template, pose, window.shape[1])
    row = np.empty((8, window.shape[2]))
    for channel in range(window.shape[0]):
        for y in range(top, bottom):
            if y // side % every:
                continue
            geometry = (y - pose[0], pose[1], cosine, sine, spin, ty, tx)
            there = valid[y] if valid.size else valid[0]
            own = weights[channel] if weights.size else weights[0]
            count = _fill_row(window[channel, y], there, coefficients[channel], own, geometry, 1, row, 0)
            for k in range(count):
                left = (row[5, k] - gain * row[4, k] - offsets[channel]) * row[6, k] * gain
                block = blocks[y // side, int(row[7, k]) // side]
                for i in range(4):
                    block[i] += row[i, k] * left
