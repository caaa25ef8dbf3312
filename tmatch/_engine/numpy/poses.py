"""Templates in other poses: turned copies, the best of many poses, sums for a fit. In NumPy operations."""

from collections.abc import Sequence

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine import least_squares
from tmatch._engine.interface import Transforms
from tmatch._engine.posed import FitResults, FitTemplate, FitWindows, Maxima, PoseKernels

_INSIDE = 1e-9  # pixels by which rounding may move a pixel out of the template


def block_means(channel: Array, factor: int) -> Array:
    """Average whole blocks of ``factor x factor`` pixels, in single precision."""
    rows, columns = (n // factor for n in channel.shape)
    total = np.zeros((rows, columns), np.float32)
    for i in range(factor):
        for j in range(factor):
            total += channel[i : rows * factor : factor, j : columns * factor : factor]
    total /= factor * factor
    return total


def turned(
    values: Array, weights: Array, inverse: Array, centre: Sequence[float], side: int, points: int
) -> Array:
    """Draw a template about the middle of a square; see `interface.Engine`."""
    height, width = weights.shape
    steps = (np.arange(side * points) + 0.5) / points - 0.5 - (side - 1) / 2
    dy, dx = np.meshgrid(steps, steps, indexing="ij")
    y = inverse[0, 0] * dy + inverse[0, 1] * dx + centre[0]
    x = inverse[1, 0] * dy + inverse[1, 1] * dx + centre[1]
    inside = (y >= -0.5) & (y <= height - 0.5) & (x >= -0.5) & (x <= width - 0.5)
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = (np.clip(part.astype(np.intp), 0, max(n - 2, 0)) for part, n in ((y, height), (x, width)))
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    v, u = y - top, x - left

    def mean(plane: Array) -> Array:
        above = (1 - u) * plane[top, left] + u * plane[top, right]
        values = (1 - v) * above + v * ((1 - u) * plane[below, left] + u * plane[below, right])
        return np.asarray(values.reshape(side, points, side, points).mean(axis=(1, 3)))

    whole = inside.reshape(side, points, side, points).all(axis=(1, 3))
    return np.stack([*(mean(plane) * whole for plane in values), mean(weights) * whole])


def pose_maxima(spectra: Sequence[Array], kernels: PoseKernels, transforms: Transforms, out: Maxima) -> None:
    """Keep the best and the worst score over poses at every position of a tile; see `interface.Engine`."""
    for number, (mask, bounds) in enumerate(
        zip(kernels.masks.tolist(), kernels.bounds.tolist(), strict=True)
    ):
        top, bottom, left, right = bounds
        if top >= bottom or left >= right:
            continue
        part = slice(top, bottom), slice(left, right)
        pairs = [(tile, each[number]) for tile, each in zip(spectra, kernels.spectra, strict=True)]
        scores = transforms.correlate(pairs)[part] * out.inverse_norms[mask][part]
        better = scores > out.high[part]
        out.high[part][better] = scores[better]
        out.pose[part][better] = kernels.first + number
        worse = scores < out.low[part]
        out.low[part][worse] = scores[worse]
        out.low_pose[part][worse] = kernels.first + number
        out.squares[part] += scores * scores
        out.numbers[part] += 1


def fit_poses(
    windows: FitWindows, template: FitTemplate, starts: Array, free: Array, options: tuple[float, ...]
) -> FitResults:
    """Fit the pose of a template to windows of an image; see `interface.Engine`."""
    fits, at, first = [], 0, 0
    for (channels, height, width), start in zip(windows.shapes.tolist(), starts, strict=True):
        size = height * width
        pixels = windows.pixels[at : at + channels * size].reshape(channels, height, width)
        valid = (
            windows.valid[first : first + size].reshape(height, width)
            if windows.valid.size
            else windows.valid
        )
        fits.append(_fit(pixels, valid, template, start, free, options))
        at, first = at + channels * size, first + size
    poses, scores, sums, products, passes = zip(*fits, strict=True)
    return FitResults(*map(np.array, (poses, scores, sums, products, passes)))


def _fit(
    window: Array, valid: Array, template: FitTemplate, start: Array, free: Array, options: tuple[float, ...]
) -> tuple[Array, float, Array, Array, int]:
    tolerance, trust, most, stride, joint = options
    pose, best, step = start.copy(), start.copy(), np.zeros(4)
    sums, products = np.zeros((len(window), least_squares.N_SUMS)), np.zeros((6, 6))
    highest, moved, passes, last = -2.0, np.inf, 0, False
    while True:
        _sum_products(window, valid, template, pose, int(stride), sums)
        least_squares.centre(sums, bool(joint), products)
        passes += 1
        score = least_squares.score_of(products)
        if score < highest - least_squares.EQUAL and not last:  # the step was too long
            step, moved = 0.5 * step, 0.5 * moved
            last = moved < tolerance or passes >= most
            pose = best.copy() if last else best + step
            continue
        highest, best = score, pose
        if last or moved < tolerance or passes >= most:
            return best, score, sums, products, passes
        moved = least_squares.step_of(products, free, template.radius * np.exp(pose[3]), trust, step)
        pose = best + step


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
    total = np.zeros((4, 4))
    quantities = [_quantities(window[c], valid, template, c, pose, 1) for c in range(len(window))]
    blocks: dict[tuple[int, int], Array] = {}
    for channel, (values, weights, places) in enumerate(quantities):
        summed = places[:, 0] // side % every == 0
        values, weights, places = values[:, summed], weights[summed], places[summed]  # noqa: PLW2901
        residual = values[5] - gain * values[4] - offsets[channel]
        parts = gain * values[:4] * residual * weights
        keys, inverse = np.unique(places // side, axis=0, return_inverse=True)
        sums = np.stack([np.bincount(inverse.ravel(), part, len(keys)) for part in parts], axis=1)
        for key, row in zip(map(tuple, keys.tolist()), sums, strict=True):
            blocks[key] = blocks.get(key, 0.0) + row
    for row in blocks.values():
        total += np.outer(row, row)
    return total * every


def drawn(template: FitTemplate, pose: Array, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Draw a template in a pose; see `interface.Engine`."""
    channels, none = len(template.coefficients), np.zeros((0, 0), bool)
    values, weights = np.zeros((channels, *shape)), np.zeros((channels, *shape))
    for channel in range(channels):
        found, weight, places = _quantities(np.zeros(shape), none, template, channel, pose, 1)
        at = tuple(places.T)
        values[channel][at], weights[channel][at] = found[4], weight
    return values * (weights > 0), weights


def _sum_products(
    window: Array, valid: Array, template: FitTemplate, pose: Array, stride: int, sums: Array
) -> None:
    for channel in range(len(window)):
        values, weights, _ = _quantities(window[channel], valid, template, channel, pose, stride)
        sums[channel, 0] = weights.sum()
        sums[channel, 1:7] = values @ weights
        products = (values * weights) @ values.T
        sums[channel, 7:] = products[np.triu_indices(6)]


def _quantities(
    window: Array, valid: Array, template: FitTemplate, channel: int, pose: Array, stride: int
) -> tuple[Array, Array, Array]:
    """Return the six quantities of the pixels inside the template, their weights and their places."""
    cy, cx, angle, log_scale = pose.tolist()
    spin, (ty, tx) = template.spin, template.centre
    height, width = (n - 4 for n in template.coefficients.shape[1:])
    cosine, sine = np.cos(angle) * np.exp(-log_scale), np.sin(angle) * np.exp(-log_scale)
    rows = np.arange(0, window.shape[0], stride)
    columns = np.arange(0, window.shape[1], stride)
    dy, dx = (part.ravel() for part in np.meshgrid(rows - cy, columns - cx, indexing="ij"))
    qy, qx = cosine * dy + sine * dx, spin * (cosine * dx - sine * dy)
    uy, ux = qy + ty, qx + tx
    inside = (uy >= -_INSIDE) & (uy <= height - 1 + _INSIDE) & (ux >= -_INSIDE) & (ux <= width - 1 + _INSIDE)
    places = np.argwhere(inside.reshape(len(rows), len(columns))) * stride
    if valid.size:
        there = valid[tuple(places.T)] != 0
        inside[inside] = there
        places = places[there]
    qy, qx = qy[inside], qx[inside]
    uy, ux = np.clip(uy[inside], 0, height - 1), np.clip(ux[inside], 0, width - 1)
    j, i = uy.astype(np.intp), ux.astype(np.intp)
    value, gy, gx = _spline(template.coefficients[channel], j, i, uy - j, ux - i)
    pixels = window[tuple(places.T)]
    derivatives = [
        -(gy * cosine - gx * spin * sine),
        -(gy * sine + gx * spin * cosine),
        spin * (gy * qx - gx * qy),
        -(gx * qx + gy * qy),
    ]
    weights = np.ones(len(pixels))
    if template.weights.size:
        weights = template.weights[channel][
            np.floor(uy + 0.5).astype(np.intp), np.floor(ux + 0.5).astype(np.intp)
        ]
    return np.stack([*derivatives, value, pixels]), weights, places


def _spline(coefficients: Array, j: Array, i: Array, q: Array, p: Array) -> tuple[Array, Array, Array]:
    """Evaluate a cubic B-spline and its derivatives along rows and columns."""
    wy, ey = _weights(q)
    wx, ex = _weights(p)
    value, gy, gx = np.zeros(len(j)), np.zeros(len(j)), np.zeros(len(j))
    for k in range(4):
        parts = [coefficients[j + 1 + k, i + 1 + m] for m in range(4)]
        row = sum(w * part for w, part in zip(wx, parts, strict=True))
        value += wy[k] * row
        gy += ey[k] * row
        gx += wy[k] * sum(e * part for e, part in zip(ex, parts, strict=True))
    return value, gy, gx


def _weights(p: Array) -> tuple[list[Array], list[Array]]:
    """Return the weights of four coefficients in the value and in the derivative."""
    q = 1 - p
    return (
        [q * q * q / 6, 2 / 3 - p * p * (2 - p) / 2, 2 / 3 - q * q * (2 - q) / 2, p * p * p / 6],
        [-q * q / 2, p * (1.5 * p - 2), -q * (1.5 * q - 2), p * p / 2],
    )
