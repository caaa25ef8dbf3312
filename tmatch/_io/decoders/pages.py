"""What all decoders have in common: what they return, their limits and errors."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tmatch._arrays.lazy import LazyArray, as_array
from tmatch._arrays.lazy import Part as LazyPart
from tmatch._arrays.typing import Array

MAX_PIXELS = 178_956_970  # twice Pillow's own warning level: 512 MB as 8-bit colour
MAX_BYTES = 1 << 31  # more than so many pixels take, of up to four channels of 16 bits
LARGE_PIXELS = 2**26  # more than so many are read in parts, where that is asked for and can be
Part = tuple[slice, slice]  # rows and columns
FindPart = Callable[[tuple[int, int]], Part]  # from the shape of the whole image


class RefusedError(Exception):
    """An image that is not read; its text says why, and what to do."""


class NoPartError(Exception):
    """A part that is not in the image; its text says why."""


class NoChoiceError(Exception):
    """A choice of what the file does not have; its text says what it has."""


class NoImageError(Exception):
    """A file that holds an array of another kind; its text says which."""


@dataclass(frozen=True)
class Choice:
    """What is chosen of a file: a level of its pyramid, 0 is the full resolution; a channel by its number or name."""

    level: int = 0
    channel: int | str | None = None

    def __post_init__(self) -> None:
        if self.level < 0:
            msg = f"`level` is {self.level}; it must be 0 for the full resolution, 1 for the next smaller one, or more"
            raise ValueError(msg)

    def check_level(self, count: int) -> None:
        """Refuse a level that is not there."""
        if self.level >= count:
            some = "a single level" if count == 1 else f"{count} levels, the last is {count - 1}"
            msg = f"has {some}; {self.level} does not exist (0 is the full resolution)"
            raise NoChoiceError(msg)

    def number_of_channel(self, count: int, names: Sequence[str] = ()) -> int | None:
        """Return the number of the channel that is chosen of so many; None for all of them."""
        if self.channel is None:
            return None
        text = str(self.channel)
        if text in names and text is self.channel:
            return names.index(text)
        if text.isdecimal() and int(text) < count:
            return int(text)
        named = "".join(f', {number} is "{name}"' for number, name in enumerate(names))
        some = f"{count} channels, from 0 to {count - 1}{named}" if count else "no axis of channels"
        msg = f'has {some}; the channel "{text}" does not exist'
        raise NoChoiceError(msg)


WHOLE = Choice()


@dataclass(frozen=True)
class Decoded:
    """An image of a file: rows, columns, and channels if there are several, alpha last.

    `part` is what of the image was read, and `shape` its number of rows and columns in all. Pixels of a large part may
    be read later, as a `LazyArray`.
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
        """Decode an image, the first is 0; of one that is large, the part that `find_part` names, if any."""

    def close(self) -> None: ...


def is_large(count: int) -> bool:
    """Return whether so many pixels are not read at once, but in parts, where that can be."""
    return count > LARGE_PIXELS or count > MAX_PIXELS


def decoded_part(array: LazyArray, find_part: FindPart) -> Decoded:
    """Return the part of an image that is to be read; a large one is read later, part by part."""
    shape = (array.shape[0], array.shape[1])
    try:
        part = find_part(shape)
    except ValueError as error:
        raise NoPartError(str(error)) from error
    region = (*part, *(slice(0, n) for n in array.shape[2:]))
    if not is_large(math.prod(side.stop - side.start for side in part)):
        return Decoded(array.read(region), part, shape)
    whole = region == tuple(slice(0, n) for n in array.shape)
    return Decoded(as_array(array if whole else LazyPart(array, region)), part, shape)


def too_large(more: str = "") -> RefusedError:
    """Return the error of an image that is too large, and what more can be done."""
    return RefusedError(f"announces more than {MAX_PIXELS:,} pixels; crop it or shrink it first{more}")
