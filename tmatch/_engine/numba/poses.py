"""Templates in many poses: turned copies, and the best of many poses. Compiled."""

from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.numba.compiler import compiled
from tmatch._engine.numba.transforms import correlate_nth
from tmatch._engine.numpy import poses
from tmatch._engine.posed import Maxima, PoseKernels


def block_means(channel: Array, factor: int) -> Array:
    """Average whole blocks of ``factor x factor`` pixels, in single precision."""
    if channel.dtype not in (np.uint8, np.float32):
        return poses.block_means(channel, factor)
    rows, columns = (n // factor for n in channel.shape)
    means = np.zeros((rows, columns), np.float32)
    _add_blocks(channel, factor, np.float32(1 / (factor * factor)), means)
    return means


@compiled
def _add_blocks(channel: Array, factor: int, share: float, means: Array) -> None:
    rows, columns = means.shape
    for i in range(rows):
        for u in range(factor):
            line = channel[i * factor + u]
            for v in range(factor):
                for j in range(columns):
                    means[i, j] += np.float32(line[j * factor + v])
        for j in range(columns):
            means[i, j] *= share


def turned(
    values: Array, weights: Array, inverse: Array, centre: tuple[float, float], side: int, points: int
) -> Array:
    """Draw a template about the middle of a square; see `interface.Engine`."""
    out = np.zeros((len(values) + 1, side, side))
    _draw(values, weights, inverse, centre, points, out)
    return out


@compiled
def _draw(
    values: Array, weights: Array, inverse: Array, centre: tuple[float, float], points: int, out: Array
) -> None:
    (height, width), side, channels = weights.shape, out.shape[1], len(values)
    middle, share = (side - 1) / 2, 1 / (points * points)
    for i in range(side):
        for j in range(side):
            for point in range(points * points):
                dy = i - middle + (point // points + 0.5) / points - 0.5
                dx = j - middle + (point % points + 0.5) / points - 0.5
                y = inverse[0, 0] * dy + inverse[0, 1] * dx + centre[0]
                x = inverse[1, 0] * dy + inverse[1, 1] * dx + centre[1]
                if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
                    out[:, i, j] = 0.0
                    break
                y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
                top, left = min(int(y), max(height - 2, 0)), min(int(x), max(width - 2, 0))
                below, right = min(top + 1, height - 1), min(left + 1, width - 1)
                v, u = y - top, x - left
                for c in range(channels + 1):
                    plane = values[c] if c < channels else weights
                    above = (1 - u) * plane[top, left] + u * plane[top, right]
                    out[c, i, j] += share * (
                        (1 - v) * above + v * ((1 - u) * plane[below, left] + u * plane[below, right])
                    )


def pose_maxima(spectra: tuple[Array, ...], kernels: PoseKernels, transforms: Any, out: Maxima) -> None:
    """Keep the best and the worst score over poses at every position of a tile; see `interface.Engine`."""
    first = tuple(each[0] for each in kernels.spectra)
    _, _, *rest = transforms.prepare(zip(spectra, first, strict=True))
    _maximise(spectra, kernels.spectra, kernels.masks, kernels.bounds, kernels.first, tuple(rest), tuple(out))


@compiled
def _maximise(
    spectra: tuple[Array, ...],
    kernels: tuple[Array, ...],
    masks: Array,
    bounds: Array,
    first: int,
    plan: tuple[Any, ...],
    out: tuple[Array, ...],
) -> None:
    inverse_norms, high, pose, low, low_pose, squares, counts = out
    scale, radices, roots, rows, radices_across, roots_across, block, tile = plan
    for n in range(len(masks)):
        top, bottom, left, right = bounds[n]
        if top >= bottom or left >= right:
            continue
        correlate_nth(
            n, spectra, kernels, scale, radices, roots, rows, radices_across, roots_across, block, tile
        )
        norms = inverse_norms[masks[n]]
        for y in range(top, bottom):
            for x in range(left, right):
                score = tile[y, x] * norms[y, x]
                if score > high[y, x]:
                    high[y, x] = score
                    pose[y, x] = first + n
                if score < low[y, x]:
                    low[y, x] = score
                    low_pose[y, x] = first + n
                squares[y, x] += score * score
                counts[y, x] += 1
