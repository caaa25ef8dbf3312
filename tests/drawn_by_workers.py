"""Dask arrays whose blocks the workers of a cluster draw, by functions that they import from here."""

import dask.array as da
import numpy as np

SIZE, CHUNK = 480, 100
PATCH = np.random.default_rng(5).integers(0, 256, (12, 14)).astype(np.uint8)
CORNERS = (0, 0), (94, 193), (100, 300), (195, 96), (290, 300), (468, 466), (399, 399)


def draw_block(block_info):
    """Draw a block of noise in which the patch is at its corners."""
    rows, columns = block_info[None]["array-location"]
    block = np.random.default_rng([rows[0], columns[0]]).integers(0, 256, (CHUNK, CHUNK)).astype(np.uint8)
    block = block[: rows[1] - rows[0], : columns[1] - columns[0]]
    for y, x in CORNERS:
        area = [
            (max(first, start), min(first + n, stop))
            for first, n, (start, stop) in zip((y, x), PATCH.shape, (rows, columns), strict=True)
        ]
        if all(start < stop for start, stop in area):
            (top, bottom), (left, right) = area
            block[top - rows[0] : bottom - rows[0], left - columns[0] : right - columns[0]] = PATCH[
                top - y : bottom - y, left - x : right - x
            ]
    return block


def noise():
    """Return a large array, a block of which is drawn when it is needed."""
    sizes = (*[CHUNK] * (SIZE // CHUNK), SIZE % CHUNK)
    return da.map_blocks(
        lambda block_info=None: draw_block(block_info), chunks=(sizes, sizes), meta=np.empty((0, 0), np.uint8)
    )


def draw_floats(block_info):
    (top, bottom), (left, right) = block_info[None]["array-location"]
    return np.random.default_rng([top, left]).random((bottom - top, right - left))


def fractions(chunks):
    """Return numbers from 0 to 1, a block of which is drawn when it is needed."""
    return da.map_blocks(
        lambda block_info=None: draw_floats(block_info), chunks=chunks, meta=np.empty((0, 0))
    )
