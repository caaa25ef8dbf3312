"""Arrays in files as images: NPY and zarr."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from tmatch._arrays.lazy import Channel, LazyArray, computed
from tmatch._arrays.typing import Array
from tmatch._io.blocks.raw import RawArray, RawFile
from tmatch._io.blocks.stored import zarr_blocks
from tmatch._io.decoders import pages
from tmatch._io.decoders.pages import (
    Choice,
    Decoded,
    FindPart,
    NoImageError,
    Pages,
    RefusedError,
    decoded_part,
    too_large,
)
from tmatch._io.extras import require

NPY_MAGIC = b"\x93NUMPY"
_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup")
_CHANNELS = {1, 3, 4}

# Return what reads one of the images of an array in parts: by its index on the other axes, and what follows its name.
MakeParts = Callable[[tuple[int, ...], str], LazyArray]


def is_zarr(path: Path) -> bool:
    """Return whether a folder is an array or a group of zarr."""
    return path.is_dir() and any((path / name).is_file() for name in _ZARR_FILES)


@dataclass(frozen=True)
class _Along:
    """The axis of channels, one of which is chosen."""

    axis: int
    number: int


class ArrayPages:
    """The images of an array: its last two axes, or three of them where the last is that of colours.

    What is along the axes before is counted in the order of rows, the last of them fastest; of the axis of channels one
    may be chosen. Without `blocks` the array is in memory.
    """

    unit = "images"

    def __init__(
        self,
        array: Any,
        parts: MakeParts | None,
        *,
        has_colours: bool,
        is_mapped: bool,
        channel: _Along | None = None,
    ) -> None:
        self._array, self._parts, self._is_mapped, self._channel = array, parts, is_mapped, channel
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
    def _counted(self) -> tuple[int, ...]:
        """Lengths of the axes along which images are counted."""
        chosen = None if self._channel is None else self._channel.axis
        return tuple(n for axis, n in enumerate(self._stack) if axis != chosen)

    @property
    def count(self) -> int:
        """Count the images."""
        return math.prod(self._counted)

    def decode(self, page: int, find_part: FindPart | None = None) -> Decoded:
        """Read an image; of one that is large and not in memory, the part that `find_part` names, if any."""
        height, width = self._array.shape[len(self._stack) :][:2]
        number = f"[{page}]" if self.count > 1 else ""
        index = self._index(page)
        if self._parts is not None and find_part is not None and pages.is_large(height * width):
            return decoded_part(_plain_parts(self._parts(index, number)), find_part)
        if not self._is_mapped and height * width > pages.MAX_PIXELS:
            raise too_large()
        pixels = np.asarray(self._array[(*index, ...)])
        # Pixels to search are copied: a map of a file that becomes shorter would end the process.
        return Decoded.whole(_plain(pixels if find_part is None else pixels.copy()))

    def _index(self, page: int) -> tuple[int, ...]:
        """Return where an image is along the axes before its own."""
        index = [*map(int, np.unravel_index(page, self._counted))] if self._counted else []
        if self._channel is not None:
            index.insert(self._channel.axis, self._channel.number)
        return tuple(index)

    def close(self) -> None:
        """Do nothing: what is mapped is closed with the last array that shows it."""


def _plain(pixels: Array) -> Array:
    """Return grey without an axis of colours, and one bit as black and white."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    return _black_and_white(pixels) if pixels.dtype == bool else pixels


def _plain_parts(parts: LazyArray) -> LazyArray:
    """Return the same of an array that is read in parts."""
    array: Any = Channel(parts, 2, 0) if parts.shape[2:] == (1,) else parts
    plain: Any = computed(_black_and_white, np.uint8, array) if array.dtype == bool else array
    return cast("LazyArray", plain)


def _black_and_white(pixels: Array) -> Array:
    return pixels * np.uint8(255)


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
    _check_length(file, shape, dtype, offset)
    parts: MakeParts | None = None
    array: Array
    if dtype.hasobject or 0 in shape:  # which cannot be mapped, and is refused
        array = np.broadcast_to(np.empty((), dtype), shape)
    elif hasattr(file, "getvalue"):
        count = math.prod(shape)
        array = np.frombuffer(file.getvalue(), dtype, count, offset).reshape(shape, order=order)
    else:
        array = np.memmap(file, dtype, "r", offset, shape, order)
        path = Path(file.name).absolute()

        def parts(index: tuple[int, ...], number: str) -> LazyArray:
            return RawArray(f'"{file.name}{number}"', RawFile(path, dtype, offset, shape, order, index))

    return ArrayPages(array, parts, has_colours=True, is_mapped=True)


def _check_length(file: Any, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> None:
    """Refuse an array that is not, or not whole, in its file."""
    if min(shape, default=0) < 0:
        msg = f"its header tells the shape {shape}"
        raise ValueError(msg)
    missing = offset + math.prod(shape) * dtype.itemsize - file.seek(0, os.SEEK_END)
    if missing > 0 and not dtype.hasobject:
        msg = f"the file ends {missing:,} bytes too early"
        raise ValueError(msg)


def open_zarr(path: Path, choice: Choice) -> Pages:
    """Open the images of a zarr array, or of a level of an OME-Zarr group, whose axes are never colours."""
    require("zarr", f'"{path}" is')
    import zarr  # noqa: PLC0415

    node: Any = zarr.open(str(path.absolute()), mode="r")
    is_array = isinstance(node, zarr.Array)
    along = None
    if is_array:
        choice.check_level(1)
        choice.number_of_channel(0)
    else:
        node, along = _of_group(node, choice)

    def parts(index: tuple[int, ...], number: str) -> LazyArray:
        return zarr_blocks(f'"{path}{number}"', node, index)

    return ArrayPages(node, parts, has_colours=is_array, is_mapped=False, channel=along)


def _of_group(group: Any, choice: Choice) -> tuple[Any, _Along | None]:
    """Return the array of an OME-Zarr group (0.1 to 0.5) that has the chosen level, and where the channel is in it."""
    about: Any = dict(group.attrs)
    about = about.get("ome", about)
    if "multiscales" not in about:
        names = (
            ", ".join(f'"{name}"' for name in sorted([*group.array_keys(), *group.group_keys()])) or "none"
        )
        msg = f"is a group of zarr, but no OME-Zarr; name one of its arrays ({names})"
        raise RefusedError(msg)
    image = about["multiscales"][0]
    choice.check_level(len(image["datasets"]))
    array = group[image["datasets"][choice.level]["path"]]
    axes = [
        each["name"] if isinstance(each, dict) else each for each in image.get("axes", "tczyx"[-array.ndim :])
    ]
    axis = axes.index("c") if "c" in axes[:-2] else None
    labels = [str(each.get("label", "")) for each in about.get("omero", {}).get("channels", [])]
    number = choice.number_of_channel(0 if axis is None else array.shape[axis], labels)
    return array, None if axis is None or number is None else _Along(axis, number)
