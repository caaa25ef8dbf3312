"""Decode image files: what a file holds is told by its first bytes, not by its name."""

import os
from typing import BinaryIO

from tmatch._io.decoders.arrays import NPY_MAGIC, is_zarr, open_npy, open_zarr
from tmatch._io.decoders.pages import (
    MAX_BYTES,
    WHOLE,
    Choice,
    Decoded,
    FindPart,
    NoChoiceError,
    NoImageError,
    NoPartError,
    Pages,
    Part,
    RefusedError,
)
from tmatch._io.decoders.pillow import PillowPages
from tmatch._io.decoders.tiff import TiffPages

__all__ = [
    "MAX_BYTES", "WHOLE", "Choice", "Decoded", "FindPart", "NoChoiceError", "NoImageError", "NoPartError", "Pages",
    "Part", "RefusedError", "is_zarr", "open_pages", "open_zarr",
]  # fmt: skip
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_pages(file: BinaryIO, choice: Choice) -> Pages:
    """Open a file of images."""
    file.seek(0)
    magic = file.read(len(NPY_MAGIC))
    file.seek(0)
    if magic[:4] in _TIFF_MAGIC:
        return TiffPages(file, choice)
    choice.check_level(1)
    choice.number_of_channel(0)
    if magic == NPY_MAGIC:
        return open_npy(file)
    if file.seek(0, os.SEEK_END) > MAX_BYTES:
        msg = f"has more than {MAX_BYTES:,} bytes; crop it or shrink it first"
        raise RefusedError(msg)
    return PillowPages(file)
