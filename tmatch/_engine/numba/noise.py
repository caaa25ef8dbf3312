"""What the noise of an image is estimated from. Compiled for two axes of valid pixels."""

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.numba.compiler import compiled, compiled_reassociating, knows
from tmatch._engine.numpy import noise


def _is_compiled_for(channel: Array, valid: NDArray[np.bool_] | None) -> bool:
    """Check that there are two axes, and pixels of a type that compiled code knows, all of them valid."""
    return valid is None and channel.ndim == 2 and channel.dtype.isnative and knows(channel.dtype)


def second_differences(channel: Array, valid: NDArray[np.bool_] | None, middles: Positions) -> Array:
    """Compute the magnitude of the second difference along both axes, in some rows."""
    if not _is_compiled_for(channel, valid) or min(channel.shape) < 3:
        return noise.second_differences(channel, valid, middles)
    # Differences of few bits fit into integers, of which a median is found faster.
    small = channel.dtype.kind in "iu" and channel.dtype.itemsize <= 2
    out = np.empty((len(middles), channel.shape[1] - 2), np.int32 if small else np.float64)
    _second_differences(channel, middles, np.empty(channel.shape[1], out.dtype), out)
    return out.ravel()


@compiled
def _second_differences(image: Array, middles: Positions, column: Array, out: Array) -> None:
    kind = out.dtype.type
    for i in range(len(middles)):
        above, middle, below = image[middles[i] - 1], image[middles[i]], image[middles[i] + 1]
        for x in range(column.size):
            column[x] = kind(above[x]) - kind(2) * kind(middle[x]) + kind(below[x])
        for x in range(column.size - 2):
            out[i, x] = abs((column[x + 2] - column[x + 1]) - (column[x + 1] - column[x]))


def block_variances(
    channel: Array, valid: NDArray[np.bool_] | None, block: Shape, starts: tuple[Positions, ...]
) -> Array:
    """Compute the variance of the blocks that start at some rows and columns."""
    if not _is_compiled_for(channel, valid):
        return noise.block_variances(channel, valid, block, starts)
    return np.asarray(_block_variances(channel, block, starts))


@compiled_reassociating
def _block_variances(image: Array, block: tuple[int, int], starts: tuple[Array, Array]) -> Array:
    """Subtract the mean before squares are summed, so that these lose no digits."""
    rows, columns = starts
    height, width = block
    out = np.empty(len(rows) * len(columns))
    for i in range(len(rows)):
        for j in range(len(columns)):
            total = square = 0.0
            for y in range(rows[i], rows[i] + height):
                row = image[y, columns[j] : columns[j] + width]
                for x in range(width):
                    total += np.float64(row[x])
            mean = total / (height * width)
            for y in range(rows[i], rows[i] + height):
                row = image[y, columns[j] : columns[j] + width]
                for x in range(width):
                    square += (np.float64(row[x]) - mean) ** 2
            out[i * len(columns) + j] = square / (height * width)
    return out
