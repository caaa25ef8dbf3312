"""Products with small templates of 8 bits, summed straight from the picture, two pixels in an instruction. Compiled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine.numba.compiler import instructions, machine_code
from tmatch._engine.numba.vectors import VECTOR_BYTES, Code, Vector

_ROWS, _VECTORS = 2, 2  # of results summed side by side: every pixel that is fetched serves each row
_PLACES = _VECTORS * VECTOR_BYTES // 2  # of such a row


@dataclass(frozen=True)
class Pairs:
    """The values of a template in pairs of neighbours: channel, row and column in a tile, and values for each row.

    Rows of results lie one below the other, so each needs other values for the same pixels.
    """

    places: Array
    values: Array

    def __len__(self) -> int:
        return len(self.places)


def prepare(template: Sequence[Array]) -> Pairs:
    """Pair the values that are not 0."""
    height, width = template[0].shape
    rows = np.zeros((_ROWS, len(template), height + _ROWS - 1, width + width % 2), np.int16)
    for i in range(_ROWS):
        rows[i, :, i : i + height, :width] = template
    values = np.moveaxis(rows.view(np.int32), 0, -1)
    places = np.argwhere(values.any(axis=-1))
    return Pairs(places * [1, 1, 2], np.ascontiguousarray(values[tuple(places.T)]))


def empty_tile(channels: int, shape: Shape) -> Array:
    """Return memory for a tile, and for what `correlate` reads beyond it where there are few positions."""
    return np.empty((channels, shape[0] + _ROWS - 1, shape[1] + _PLACES), np.int16)


def correlate(tile: Array, pairs: Pairs, shape: Shape) -> Array:
    """Sum products at places of such a shape, and more beside them: exactly, if below 2**31."""
    height, width = (max(n, least) for n, least in zip(shape, (_ROWS, _PLACES), strict=True))
    products = np.empty((height, width))
    steps = np.array(tile.strides) // tile.itemsize
    _correlate(tile, pairs.places @ steps, pairs.values, products)
    return products


@instructions
def _sum_pairs(
    code: Code, tile: Any, at: Any, shifts: Any, values: Any, count: Any, products: Any, to: Any, pitch: Any
) -> None:
    # Sums for even columns and for odd ones lie in vectors of their own, as a pair begins at each column.
    columns = [i * code.lanes + odd for i in range(_VECTORS) for odd in range(2)]

    def multiply(pair: Any) -> list[Vector]:
        start, first = code.sum(code.item(shifts, pair), at), code.product(pair, _ROWS)
        pixels = [code.load(tile, code.sum(start, column)) for column in columns]
        factors = [code.spread(code.item(values, code.sum(first, row)), 2) for row in range(_ROWS)]
        return [code.sum_products(some, factor) for factor in factors for some in pixels]

    sums = code.accumulate(multiply(0), count, multiply)
    targets = [code.sum(to, code.product(pitch, row), x) for row in range(_ROWS) for x in columns[::2]]
    for target, even, odd in zip(targets, sums[::2], sums[1::2], strict=True):
        for half, vector in enumerate(code.interleave(even, odd)):
            code.store(vector.as_doubles(), products, code.sum(target, half * code.lanes // 2))


@machine_code
def _correlate(tile: Array, shifts: Array, values: Array, products: Array) -> None:
    (height, width), pitch = products.shape, tile.shape[2]
    for first in range(0, height, _ROWS):
        y = min(first, height - _ROWS)
        for start in range(0, width, _PLACES):
            x = min(start, width - _PLACES)
            _sum_pairs(tile, y * pitch + x, shifts, values, shifts.size, products, y * width + x, width)
