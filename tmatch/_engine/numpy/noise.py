"""What the noise of an image is estimated from, in NumPy operations. `interface.Engine` describes each function."""

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Positions, Shape


def second_differences(channel: Array, valid: NDArray[np.bool_] | None, middles: Positions) -> Array:
    """Compute the magnitude of the second difference along all axes with three pixels, the first at some places."""
    axes = [axis for axis, n in enumerate(channel.shape) if n >= 3]
    parts = [np.take(channel, middles + step, axis=axes[0]).astype(np.float64) for step in (-1, 0, 1)]
    if valid is not None:
        for part, step in zip(parts, (-1, 0, 1), strict=True):
            part[~np.take(valid, middles + step, axis=axes[0])] = np.nan
    rest = parts[0] - 2 * parts[1] + parts[2]
    for axis in axes[1:]:
        rest = np.diff(rest, 2, axis=axis)
    return np.abs(rest.ravel() if valid is None else rest[~np.isnan(rest)])


def block_variances(
    channel: Array, valid: NDArray[np.bool_] | None, block: Shape, starts: tuple[Positions, ...]
) -> Array:
    """Compute the variance of the blocks that start at some places on each axis; of those that are valid."""
    count = int(np.prod(block))
    blocks = _blocks_at(channel, block, starts).astype(np.float64).reshape(-1, count)
    if valid is not None:  # others may hold anything
        blocks = blocks[_blocks_at(valid, block, starts).reshape(-1, count).all(axis=1)]
    blocks -= blocks.mean(axis=1, keepdims=True)
    return np.asarray(np.vecdot(blocks, blocks) / count)


def _blocks_at(values: Array, block: Shape, starts: tuple[Positions, ...]) -> Array:
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, block)[np.ix_(*starts)])
