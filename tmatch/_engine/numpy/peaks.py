"""Peaks of score maps and their windows, in NumPy operations. `interface.Engine` describes each function."""

import math

import numpy as np

from tmatch._arrays.typing import Array, Positions, Shape

_MAX_PIXELS = 1_000_000  # at a time


def window_variances(channels: tuple[Array, ...], positions: Positions, weights: Array) -> Array:
    """Compute the weighted variance of windows; channels are averaged by their weights."""
    window, total = weights.shape[1:], weights.sum()
    axes = tuple(range(1, len(window) + 1))
    result = np.zeros(len(positions))
    step = max(1, _MAX_PIXELS // math.prod(window))
    for channel, weight in zip(channels, weights, strict=True):
        origin = np.unravel_index(weight.argmax(), window)  # a pixel that counts
        views = np.lib.stride_tricks.sliding_window_view(channel, window)
        for i in range(0, len(positions), step):
            windows = views[tuple(positions[i : i + step].T)].astype(np.float64)
            windows -= windows[(slice(None), *origin)].reshape(-1, *(1 for _ in axes))
            weighted = weight * windows
            squares, sums = np.vecdot(_flat(weighted), _flat(windows)), weighted.sum(axis=axes)
            result[i : i + step] += np.maximum(squares - sums * sums / max(weight.sum(), 1e-300), 0)
    return np.asarray(result / total)


def _flat(values: Array) -> Array:
    return np.asarray(values.reshape(len(values), -1))


def explained_by_stronger(
    heights: Array,
    extrema: Array,
    footprints: Array,
    levels: Array,
    limits: tuple[float, float, float],
    copies: Array,
) -> Array:
    """Find the extrema, strongest first, that are no higher than expected beside a stronger one."""
    expected = np.zeros(heights.shape)
    explained = np.zeros(len(extrema), bool)
    least, factor, slack = limits
    for i, (sign, *cell) in enumerate(extrema.tolist()):
        index = sign, *cell
        height, lobe = float(heights[index]), float(expected[index])
        if not copies[i] and lobe >= least and height <= factor * lobe + slack:
            explained[i] = True
            continue
        for which in range(2):
            _raise(expected[which], cell, height, footprints[:, which ^ sign], levels)
    return explained


def expected_beside(heights: Array, cells: Positions, footprints: Array, levels: Array) -> Array:
    """Compute the highest scores expected around some peaks."""
    expected = np.zeros(heights.shape)
    for cell in cells.tolist():
        _raise(expected, cell, float(heights[tuple(cell)]), footprints, levels)
    return expected


def _raise(expected: Array, cell: list[int], height: float, footprints: Array, levels: Array) -> None:
    """Raise the expected scores around a peak, in place, to those of the footprint of its level."""
    reach = footprints.shape[-1] // 2
    number = max(int(np.count_nonzero(levels >= height)) - 1, 0)
    shape: Shape = expected.shape
    there = tuple(slice(max(c - reach, 0), min(c + reach + 1, n)) for c, n in zip(cell, shape, strict=True))
    part = tuple(slice(s.start - c + reach, s.stop - c + reach) for c, s in zip(cell, there, strict=True))
    np.maximum(
        expected[there], min(height / levels[number], 1.0) * footprints[number][part], out=expected[there]
    )
