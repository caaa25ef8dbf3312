"""Read a part of a TIFF that is too large to be read whole."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array

Part = tuple[slice, slice]  # rows and columns


def reason_against(page: Any) -> str:
    """Return why no part of a page can be read that is as it is meant to be seen; empty if it can."""
    import tifffile  # noqa: PLC0415

    plain = tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB
    orientation = page.tags.get("Orientation")
    if page.photometric not in plain or page.bitspersample < 8 or page.axes not in {"YX", "YXS", "SYX"}:
        return "it is neither grey nor RGB of at least 8 bits"
    if orientation is not None and int(orientation.value) != 1:
        return "it is rotated"
    return ""


def read_part(page: Any, part: Part, max_pixels: int) -> Array:
    """Read rows and columns of a page, in the order of its axes; only what they lie in is decoded."""
    if page.is_memmappable:
        return np.array(page.asarray(out="memmap")[_along(page, part)])
    if math.prod(page.chunks) > max_pixels:
        msg = "its pixels are stored in one piece"
        raise ValueError(msg)
    shape = [side.stop - side.start for side in part]
    planes = page.samplesperpixel if page.axes == "SYX" else 1
    pixels = np.zeros((planes, *shape, page.samplesperpixel // planes), page.dtype)
    for plane, top, left, piece in _pieces(page, part):
        # Both are counted from the part: what of the piece is in it, and where that goes.
        y, x = top - part[0].start, left - part[1].start
        inside = piece[max(-y, 0) : shape[0] - y, max(-x, 0) : shape[1] - x]
        y, x = max(y, 0), max(x, 0)
        pixels[plane, y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return pixels[..., 0] if page.axes == "SYX" else pixels[0] if page.axes == "YXS" else pixels[0, ..., 0]


def _along(page: Any, part: Part) -> tuple[slice, ...]:
    whole = slice(None)
    return {"YX": part, "YXS": (*part, whole), "SYX": (whole, *part)}[page.axes]


def _pieces(page: Any, part: Part) -> Iterator[tuple[int, int, int, Array]]:
    """Decode the tiles or strips that a part lies in: plane, first row, first column, and rows of pixels."""
    grid = np.arange(math.prod(page.chunked)).reshape(page.chunked)
    cells = [slice(s.start // side, -(-s.stop // side)) for s, side in zip(part, page.chunks, strict=False)]
    tables = {"jpegtables": page.jpegtables} if page.jpegtables is not None else {}
    for index in grid[_along(page, (cells[0], cells[1]))].ravel().tolist():
        file = page.parent.filehandle
        file.seek(page.dataoffsets[index])
        data = file.read(page.databytecounts[index])
        piece, (plane, _, top, left, _), _ = page.decode(data or None, index, **tables)
        if piece is not None:  # sparse files leave out what is black
            yield plane, top, left, piece[0]
