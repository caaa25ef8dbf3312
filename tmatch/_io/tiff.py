"""Read TIFF files of more than 8 bits."""

from typing import BinaryIO

import numpy as np

from tmatch._io.limits import MAX_PIXELS, Pixels, TooLargeError

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff(data: BinaryIO) -> Pixels | None:
    """Read a TIFF of more than 8 bits, which Pillow would narrow; None for others, which Pillow reads better."""
    import tifffile  # noqa: PLC0415

    with tifffile.TiffFile(data) as file:
        page = file.pages.first
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise TooLargeError
        if page.bitspersample <= 8:
            return None
        try:
            pixels = np.asarray(page.asarray())
        except ValueError:  # a compression that only Pillow knows
            return None
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "ui":
            pixels = np.invert(pixels)
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, -1)
        orientation = page.tags.get("Orientation")
    return _upright(pixels, 1 if orientation is None else int(orientation.value))


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the eight orientations that TIFF and EXIF number: rows and columns swapped, then mirrored."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
