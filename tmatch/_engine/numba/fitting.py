"""Fits of the pose of a template to an image. Compiled."""

import math
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine import least_squares
from tmatch._engine.numba.compiler import compiled, inline, instructions
from tmatch._engine.numba.pixels import (
    CHUNK,
    COLUMN,
    IMAGE,
    LANES,
    QUANTITIES,
    TEMPLATE,
    WEIGHT,
    append,
    empty_block,
    ends,
    evaluate,
    frame_of,
)
from tmatch._engine.numba.vectors import Code, Vector
from tmatch._engine.posed import FitResults, FitTemplate, FitWindows

_EQUAL = least_squares.EQUAL

_centre: Any = inline(least_squares.centre)
_score_of: Any = inline(least_squares.score_of)
_step_of: Any = inline(least_squares.step_of)


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
    coefficients, weights = template[:2]
    frame = frame_of(template, pose)
    top, bottom = _rows(template, pose, values.shape[1])
    block, everywhere = empty_block(), np.zeros(0, np.bool_)
    for channel in range(values.shape[0]):
        for y in range(top, bottom):
            place = (y - pose[0], pose[1])
            own = weights[channel] if weights.size else weights[0]
            pixels = drawn_weights[channel, y]
            x, end = ends(pixels.size, coefficients[channel].shape, place, frame, 1)
            while x < end:
                count, x = append(pixels, everywhere, place, frame, (x, end, 1), block, 0)
                evaluate(coefficients[channel], own, frame, block, count)
                for k in range(count):
                    column, weight = int(block[COLUMN + k]), block[WEIGHT + k]
                    values[channel, y, column] = block[TEMPLATE + k] if weight > 0 else 0.0
                    pixels[column] = weight


@instructions
def _add(code: Code, block: Any, count: Any, totals: Any) -> None:
    """Add the quantities of vectors of pixels, and their products, to vectors of sums."""

    def terms(k: Any) -> list[Vector]:
        at = code.product(k, code.lanes)
        *quantities, weights = (code.load(block, code.sum(at, start)) for start in (*QUANTITIES, WEIGHT))
        weighted = [weights * each for each in quantities]
        return [weights, *weighted, *(w * q for i, w in enumerate(weighted) for q in quantities[i:])]

    start = [code.load(totals, i * code.lanes) + term for i, term in enumerate(terms(0))]
    for i, total in enumerate(code.accumulate(start, count, terms)):
        code.store(total, totals, i * code.lanes)


@compiled
def _sum_lanes(totals: Array, sums: Array) -> None:
    """Sum the lanes of vectors of sums."""
    for i in range(sums.size):
        sums[i] = 0.0
        for lane in range(LANES):
            sums[i] += totals[i * LANES + lane]


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
    block: Array,
    totals: Array,
    sums: Array,
) -> None:
    """Sum the quantities of all pixels in a template, and their products, channel by channel."""
    coefficients, weights = template[:2]
    frame = frame_of(template, pose)
    top, bottom = _rows(template, pose, window.shape[1])
    for channel in range(window.shape[0]):
        own = weights[channel] if weights.size else weights[0]
        totals[:], count = 0.0, 0
        for y in range(-(-top // stride) * stride, bottom, stride):
            place = (y - pose[0], pose[1])
            there = valid[y] if valid.size else valid[0]
            x, end = ends(window.shape[2], coefficients[channel].shape, place, frame, stride)
            while x < end:
                count, x = append(window[channel, y], there, place, frame, (x, end, stride), block, count)
                if count == CHUNK:
                    _add(block, evaluate(coefficients[channel], own, frame, block, count), totals)
                    count = 0
        if count:
            _add(block, evaluate(coefficients[channel], own, frame, block, count), totals)
        _sum_lanes(totals, sums[channel])


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
    block, totals = empty_block(), np.empty(least_squares.N_SUMS * LANES)
    highest, moved, passes, last = -2.0, np.inf, 0, False
    while True:
        _sum_products(window, valid, template, pose, int(stride), block, totals, sums)
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
    coefficients, weights = template[:2]
    frame = frame_of(template, pose)
    top, bottom = _rows(template, pose, window.shape[1])
    block = empty_block()
    for channel in range(window.shape[0]):
        for y in range(top, bottom):
            if y // side % every:
                continue
            place = (y - pose[0], pose[1])
            there = valid[y] if valid.size else valid[0]
            own = weights[channel] if weights.size else weights[0]
            x, end = ends(window.shape[2], coefficients[channel].shape, place, frame, 1)
            while x < end:
                count, x = append(window[channel, y], there, place, frame, (x, end, 1), block, 0)
                evaluate(coefficients[channel], own, frame, block, count)
                for k in range(count):
                    left = block[IMAGE + k] - gain * block[TEMPLATE + k] - offsets[channel]
                    of_block = blocks[y // side, int(block[COLUMN + k]) // side]
                    for i in range(4):
                        of_block[i] += block[i * CHUNK + k] * left * block[WEIGHT + k] * gain
