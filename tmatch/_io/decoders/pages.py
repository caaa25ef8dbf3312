"""What all decoders have in common: what they return, their limits and errors."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tmatch._arrays.typing import Array
from tmatch._io.tiff_parts import Part

MAX_PIXELS = 178_956_970  # twice Pillow's own warning level: 512 MB as 8-bit colour
MAX_BYTES = 1 << 31  # more than so many pixels take, of up to four channels of 16 bits
FindPart = Callable[[tuple[int, int]], Part]  # from the shape of the whole image


class RefusedError(Exception):
    """An image that is not read; its text says why, and what to do."""


class NoPartError(Exception):
    """A part that is not in the image; its text says why."""


class NoImageError(Exception):
    """A file that holds an array of another kind; its text says which."""


@dataclass(frozen=True)
class Decoded:
    """An image of a file: rows, columns, and channels if there are several, alpha last.

    `part` is what of the image was read, and `shape` its number of rows and columns in all.
    """

    pixels: Array
    part: Part
    shape: tuple[int, int]

    @classmethod
    def whole(cls, pixels: Array) -> "Decoded":
        height, width = pixels.shape[:2]
        return cls(pixels, (slice(0, height), slice(0, width)), (height, width))


class Pages(Protocol):
    """The images of a file, which are decoded one by one; `unit` is what they are called."""

    unit: str

    @property
    def count(self) -> int: ...

    def decode(self, page: int, find_part: FindPart | None = None) -> Decoded:
        """Decode an image, the first is 0; of one that is too large, the part that `find_part` names, if any."""

    def close(self) -> None: ...


def part_of(shape: tuple[int, int], find_part: FindPart | None) -> Part:
    """Find the part to read of an image that is too large to be read whole."""
    try:
        part = None if find_part is None else find_part(shape)
    except ValueError as error:
        raise NoPartError(str(error)) from error
    if part is None or math.prod(side.stop - side.start for side in part) > MAX_PIXELS:
        raise too_large("" if find_part is None else ", or search a part of it with --region")
    return part


def too_large(more: str) -> RefusedError:
    """Return the error of an image that is too large, and what more can be done."""
    return RefusedError(f"announces more than {MAX_PIXELS:,} pixels; crop it or shrink it first{more}")
