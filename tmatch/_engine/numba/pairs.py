"""Correlation with small 8-bit templates without transforms, two pixels per instruction. Compiled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine.numba.compiler import compiled, instructions
from tmatch._engine.numba.vectors import VECTOR_BYTES, Code, Vector

_ROWS, _VECTORS = 2, 2  # of results that are summed at once: each loaded pixel serves all rows
_COLUMNS = _VECTORS * VECTOR_BYTES // 2  # of results that are summed at once


@dataclass(frozen=True)
class Pairs:
    """Pairs of neighbouring values of a template: channel, row and column, and the two values for each row of results.

    The rows of results are consecutive, so each multiplies the same pixels by other values.
    """

    positions: Array
    values: Array

    def __len__(self) -> int:
        return len(self.positions)


def prepare(template: Sequence[Array]) -> Pairs:
    """Return the pairs of values that are not both 0."""
    height, width = template[0].shape
    rows = np.zeros((_ROWS, len(template), height + _ROWS - 1, width + width % 2), np.int16)
    for i in range(_ROWS):
        rows[i, :, i : i + height, :width] = template
    values = np.moveaxis(rows.view(np.int32), 0, -1)
    positions = np.argwhere(values.any(axis=-1))
    return Pairs(positions * [1, 1, 2], np.ascontiguousarray(values[tuple(positions.T)]))


def empty_tile(channels: int, shape: Shape) -> Array:
    """Return an uninitialised tile, larger by what `correlate` reads beyond it if there are few positions."""
    return np.empty((channels, shape[0] + _ROWS - 1, shape[1] + _COLUMNS), np.int16)


def correlate(tile: Array, prepared: Pairs, shape: Shape) -> Array:
    """Correlate at the positions of `shape`, in the corner of the result; exact for sums below 2**31."""
    height, width = (max(n, minimum) for n, minimum in zip(shape, (_ROWS, _COLUMNS), strict=True))
    products = np.empty((height, width))
    steps = np.array(tile.strides) // tile.itemsize
    _correlate(tile, prepared.positions @ steps, prepared.values, products)
    return products


@instructions
def _sum_pairs(
    code: Code, tile: Any, at: Any, shifts: Any, values: Any, count: Any, products: Any, to: Any, pitch: Any
) -> None:
    # Sums at even and at odd columns are in separate vectors, as a pair begins at each column.
    columns = [i * code.lanes + odd for i in range(_VECTORS) for odd in range(2)]

    def multiply(pair: Any) -> list[Vector]:
        start, first = code.sum(code.item(shifts, pair), at), code.product(pair, _ROWS)
        pixels = [code.load(tile, code.sum(start, column)) for column in columns]
        factors = [code.broadcast(code.item(values, code.sum(first, row)), 2) for row in range(_ROWS)]
        return [code.sum_products(vector, factor) for factor in factors for vector in pixels]

    sums = code.accumulate(multiply(0), count, multiply)
    targets = [code.sum(to, code.product(pitch, row), x) for row in range(_ROWS) for x in columns[::2]]
    for target, even, odd in zip(targets, sums[::2], sums[1::2], strict=True):
        for half, vector in enumerate(code.interleave(even, odd)):
            code.store(vector.as_doubles(), products, code.sum(target, half * code.lanes // 2))


@compiled
def _correlate(tile: Array, shifts: Array, values: Array, products: Array) -> None:
    (height, width), pitch = products.shape, tile.shape[2]
    for first in range(0, height, _ROWS):
        y = min(first, height - _ROWS)
        for start in range(0, width, _COLUMNS):
            x = min(start, width - _COLUMNS)
            _sum_pairs(tile, y * pitch + x, shifts, values, shifts.size, products, y * width + x, width)
