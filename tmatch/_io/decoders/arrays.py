"""Arrays in files as images: NPY and zarr."""

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.decoders import pages
from tmatch._io.decoders.pages import Decoded, FindPart, NoImageError, Pages, RefusedError, part_of
from tmatch._io.extras import require

NPY_MAGIC = b"\x93NUMPY"
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")
_CHANNELS = {1, 3, 4}


def is_zarr(path: Path) -> bool:
    """Return whether a folder is an array or a group of zarr."""
    return path.is_dir() and any((path / name).is_file() for name in _ZARR_FILES)


class ArrayPages:
    """The images of an array: its last two axes, or three of them where the last is that of colours.

    What is along the axes before is counted in the order of rows, the last of them fastest.
    """

    unit = "images"

    def __init__(self, array: Any, *, has_colours: bool, is_mapped: bool) -> None:
        self._array, self._is_mapped = array, is_mapped
        shape = tuple(array.shape)
        self._axes = 3 if has_colours and len(shape) > 2 and shape[-1] <= max(_CHANNELS) else 2
        self._stack = shape[: len(shape) - self._axes]
        channels = shape[len(shape) - self._axes + 2 :]
        if (
            len(shape) < 2
            or 0 in shape
            or not _CHANNELS.issuperset(channels)
            or array.dtype.kind not in "buif"
        ):
            msg = f"an array of shape {shape} and dtype {array.dtype}"
            raise NoImageError(msg)

    @property
    def count(self) -> int:
        """Count the images."""
        return math.prod(self._stack)

    def decode(self, page: int, find_part: FindPart | None = None) -> Decoded:
        """Read an image; of one that is too large and not in memory, the part that `find_part` names, if any."""
        height, width = self._array.shape[len(self._stack) :][:2]
        part = slice(0, height), slice(0, width)
        if not self._is_mapped and height * width > pages.MAX_PIXELS:
            part = part_of((height, width), find_part)
        index = tuple(map(int, np.unravel_index(page, self._stack))) if self._stack else ()
        return Decoded(_plain(np.asarray(self._array[*index, *part])), part, (height, width))

    def close(self) -> None:
        """Do nothing: what is mapped is closed with the last array that shows it."""


def _plain(pixels: Array) -> Array:
    """Return grey without an axis of colours, and one bit as black and white."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return pixels * np.uint8(255) if pixels.dtype == bool else pixels


def open_npy(file: Any) -> Pages:
    """Open the images of an NPY file; those on disk are mapped into memory."""
    file.seek(0)
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, is_fortran, dtype = read_header(file)
    order: Literal["F", "C"] = "F" if is_fortran else "C"
    offset = file.tell()
    array: Array
    if dtype.hasobject or 0 in shape:  # which cannot be mapped, and is refused
        array = np.broadcast_to(np.empty((), dtype), shape)
    elif hasattr(file, "getvalue"):
        count = math.prod(shape)
        array = np.frombuffer(file.getvalue(), dtype, count, offset).reshape(shape, order=order)
    else:
        array = np.memmap(file, dtype, "r", offset, shape, order)
    return ArrayPages(array, has_colours=True, is_mapped=True)


def open_zarr(path: Path) -> Pages:
    """Open the images of a zarr array, or of the first of an OME-Zarr group, whose axes are never colours."""
    require("zarr", f'"{path}" is')
    import zarr  # noqa: PLC0415

    node = zarr.open(str(path), mode="r")
    if isinstance(node, zarr.Array):
        return ArrayPages(node, has_colours=True, is_mapped=False)
    about: Any = dict(node.attrs)
    about = about.get("ome", about)
    if "multiscales" not in about:
        names = ", ".join(f'"{name}"' for name in sorted(node.array_keys())) or "none"
        msg = f"is a group of zarr, but no OME-Zarr; name one of its arrays ({names})"
        raise RefusedError(msg)
    array = node[about["multiscales"][0]["datasets"][0]["path"]]
    return ArrayPages(array, has_colours=False, is_mapped=False)
