"""Pixels of an image that lie in a template, and the template there, with its derivatives. Compiled.

A block holds what is known of up to `CHUNK` pixels: item k of each quantity is at the start of the quantity plus k.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.least_squares import N_FREE
from tmatch._engine.numba.compiler import compiled, inline, instructions
from tmatch._engine.numba.vectors import VECTOR_BYTES, Code, Vector

CHUNK = 120  # pixels; a power of 2 would have all quantities compete for the same lines of cache
LANES = VECTOR_BYTES // 8  # pixels for one instruction
TEMPLATE, IMAGE, WEIGHT, COLUMN, _Y, _X, _PLACES, _ACROSS = (i * CHUNK for i in range(N_FREE, 12))
QUANTITIES = tuple(i * CHUNK for i in range(6))  # those of `least_squares`
_INSIDE = 1e-9  # pixels by which rounding may move a pixel out of the template
_SIDE = 4  # coefficients of a spline that a pixel needs in each direction
_ALONG = _ACROSS + 2 * _SIDE * CHUNK
_END = _ALONG + 2 * _SIDE * CHUNK


@inline
def empty_block() -> Array:
    """Return a block of no pixels."""
    return np.zeros(_END)


@inline
def frame_of(template: tuple[Any, ...], pose: Array) -> tuple[float, ...]:
    """Return how a template lies in an image: cosine and sine over the scale, the spin, the middle of the template."""
    _, _, (ty, tx), spin, _ = template
    return math.cos(pose[2]) * math.exp(-pose[3]), math.sin(pose[2]) * math.exp(-pose[3]), spin, ty, tx


@inline
def _clip(low: float, high: float, slope: float, least: float, most: float) -> tuple[float, float]:
    """Clip an interval of x to where slope times x lies between two bounds."""
    if abs(slope) > 1e-12:
        first, second = least / slope, most / slope
        return max(low, min(first, second)), min(high, max(first, second))
    return (low, high) if least <= 0 <= most else (1.0, 0.0)


@inline
def ends(
    width: int, shape: tuple[int, ...], place: tuple[float, float], frame: tuple[float, ...], stride: int
) -> tuple[int, int]:
    """Return the first and the end column of the pixels of a row of an image that lie in the template.

    `place` is the row, seen from the middle of the template, and the column of the middle; `shape` is that of the
    coefficients.
    """
    (dy, cx), (cosine, sine, spin, ty, tx) = place, frame
    below, right = shape[0] - 5 - ty + _INSIDE, shape[1] - 5 - tx + _INSIDE
    low, high = -cx, width - 1 - cx
    low, high = _clip(low, high, sine, -ty - _INSIDE - cosine * dy, below - cosine * dy)
    turn = spin * sine * dy
    low, high = _clip(low, high, spin * cosine, -tx - _INSIDE + turn, right + turn)
    first = math.ceil((low + cx) / stride - 1e-12) * stride
    return max(first, 0), min(math.floor(high + cx + 1e-12), width - 1) + 1


@compiled
def append(
    pixels: Array,
    valid: Array,
    place: tuple[float, float],
    frame: tuple[float, ...],
    steps: tuple[int, int, int],
    block: Array,
    count: int,
) -> tuple[int, int]:
    """Append pixels of a row until it ends or the block is full; return the new number and the next column.

    `steps` are the first and the end column, and the stride.
    """
    (dy, cx), (cosine, sine, spin, _, _) = place, frame
    x, end, stride = steps
    x, count, stride = (
        max(x, 0),
        max(count, 0),
        max(stride, 1),
    )  # as they are: LLVM needs to know to use vectors
    number = min((end - x + stride - 1) // stride, CHUNK - count)
    kept = 0
    for k in range(number):
        column = x + k * stride
        dx = column - cx
        at = count + (kept if valid.size else k)
        block[IMAGE + at], block[WEIGHT + at], block[COLUMN + at] = pixels[column], 1.0, column
        block[_Y + at], block[_X + at] = cosine * dy + sine * dx, spin * (cosine * dx - sine * dy)
        if valid.size:
            kept += valid[column]
    return count + (kept if valid.size else number), x + number * stride


def _weights(p: Vector) -> list[Vector]:
    """Return the weights of four coefficients in the value of a spline."""
    q = 1 - p
    return [
        q * q * q * (1 / 6),
        p * p * (p * 0.5 - 1) + 2 / 3,
        q * q * (q * 0.5 - 1) + 2 / 3,
        p * p * p * (1 / 6),
    ]


def _slopes(p: Vector) -> list[Vector]:
    """Return the weights of four coefficients in the derivative of a spline."""
    q = 1 - p
    return [q * q * -0.5, p * (p * 1.5 - 2), q * (q * -1.5 + 2), p * p * 0.5]


def _dot(a: Sequence[Vector], b: Sequence[Vector]) -> Vector:
    first, *others = (x * y for x, y in zip(a, b, strict=True))
    return functools.reduce(Vector.__add__, others, first)


@instructions
def _locate(code: Code, block: Any, at: Any, places: Any, size: Any, frame: Any) -> None:
    """Compute for a vector of pixels where their coefficients are, and the weights of these."""
    last_row, last_column, pitch = map(code.broadcast, size)
    ty, tx = map(code.broadcast, frame[3:])
    y = (code.load(block, code.sum(at, _Y)) + ty).clip(0, last_row)
    x = (code.load(block, code.sum(at, _X)) + tx).clip(0, last_column)
    row, column = y.floor(), x.floor()
    code.store(((row + 1) * pitch + column + 1).as_integers(), places, at)
    for start, part in ((_ACROSS, y - row), (_ALONG, x - column)):
        for i, weights in enumerate([*_weights(part), *_slopes(part)]):
            code.store(weights, block, code.sum(at, start + i * CHUNK))


@instructions
def _sum_coefficients(code: Code, block: Any, at: Any, places: Any, coefficients: Any, pitch: Any) -> None:
    """Evaluate a cubic B-spline, and its derivatives along rows and columns, at four pixels.

    Each has four rows of four coefficients, which are summed to one row, once with the weights of the value and once
    with those of the derivative; these rows are summed for all four pixels together.
    """
    sums: tuple[list[Vector], list[Vector]] = ([], [])
    for pixel in (code.sum(at, i) for i in range(_SIDE)):
        place = code.item(places, pixel)
        rows = [code.load(coefficients, code.sum(place, code.product(pitch, i)), _SIDE) for i in range(_SIDE)]
        for n, kind in enumerate(sums):
            weights = [
                code.item(block, code.sum(pixel, _ACROSS + (n * _SIDE + i) * CHUNK)) for i in range(_SIDE)
            ]
            kind.append(_dot(rows, [code.broadcast(w, lanes=_SIDE) for w in weights]))
    values, slopes = map(code.transpose, sums)
    along = [code.load(block, code.sum(at, _ALONG + i * CHUNK), _SIDE) for i in range(2 * _SIDE)]
    results = _dot(values, along[:_SIDE]), _dot(slopes, along[:_SIDE]), _dot(values, along[_SIDE:])
    for start, result in zip((TEMPLATE, 0, CHUNK), results, strict=True):
        code.store(result, block, code.sum(at, start))


@instructions
def _derive(code: Code, block: Any, at: Any, frame: Any) -> None:
    """Compute the derivatives by the pose from those along rows and columns, at a vector of pixels."""
    cosine, sine, spin = map(code.broadcast, frame[:3])
    by_row, by_column, y, x = (code.load(block, code.sum(at, start)) for start in (0, CHUNK, _Y, _X))
    turned = spin * by_column
    results = (
        sine * turned - cosine * by_row,
        -(sine * by_row + cosine * turned),
        spin * (by_row * x - by_column * y),
        -(by_column * x + by_row * y),
    )
    for i, result in enumerate(results):
        code.store(result, block, code.sum(at, i * CHUNK))


@compiled
def evaluate(coefficients: Array, weights: Array, frame: tuple[float, ...], block: Array, count: int) -> int:
    """Compute the template and its derivatives at the pixels of a block; return how many vectors they are.

    The last vector is filled up with pixels of no weight.
    """
    (rows, pitch), number = coefficients.shape, -(-count // LANES)
    for k in range(count, number * LANES):
        block[IMAGE + k] = block[WEIGHT + k] = 0.0
    places, size = block[_PLACES:].view(np.int64), (rows - 5.0, pitch - 5.0, float(pitch))
    # The weights are loaded again one by one, which is faster than to take vectors apart.
    for k in range(number):
        _locate(block, k * LANES, places, size, frame)
    for k in range(0, number * LANES, _SIDE):
        _sum_coefficients(block, k, places, coefficients, pitch)
    for k in range(number):
        _derive(block, k * LANES, frame)
    if weights.size:
        for k in range(count):
            y = min(max(block[_Y + k] + frame[3], 0.0), rows - 5.0)
            x = min(max(block[_X + k] + frame[4], 0.0), pitch - 5.0)
            block[WEIGHT + k] = weights[int(y + 0.5), int(x + 0.5)]
    return number
