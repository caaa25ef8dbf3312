"""Locate templates in many images."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NoReturn

from tmatch._arrays.lazy import is_lazy
from tmatch._io.files import is_file
from tmatch._io.given import VALID_OPACITY, ImageLike, PortableImage, ReadImage, portable_image


def named_images(images: Iterable[ImageLike | tuple[str, ImageLike]]) -> Iterator[tuple[str, ImageLike]]:
    """Return images with names: as given, or their paths, or numbers."""
    many = hasattr(images, "__iter__") or hasattr(images, "__getitem__")
    if not many or is_file(images) or isinstance(images, Mapping):
        what = repr(images) if isinstance(images, str) else f"of type {type(images).__name__}"
        remedy = ", `.items()` of a mapping" if isinstance(images, Mapping) else ""
        msg = f"`images` is {what}; give a list of images{remedy}, or `tmatch.open_images(...)` for files and folders"
        raise TypeError(msg)
    return itertools.starmap(_named, enumerate(images))


def _named(number: int, each: Any) -> tuple[str, ImageLike]:
    if isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], str):
        return each
    return os.fspath(each) if isinstance(each, str | os.PathLike) else str(number), each


def portable_images(named: Iterable[tuple[str, ImageLike]]) -> Iterator[tuple[str, PortableImage]]:
    """Read what only this process can read, and leave paths and arrays as they are."""
    for name, image in named:
        with named_errors(name):
            read = portable_image("image", image, VALID_OPACITY)
        yield name, read


def is_here(named: tuple[str, PortableImage]) -> bool:
    """Check for an image that only this process can search: one that is read in parts."""
    _, image = named
    return isinstance(image, ReadImage) and is_lazy(image.pixels)


def raise_named(named: tuple[str, PortableImage], error: Exception) -> NoReturn:
    """Raise an error about an image."""
    with named_errors(named[0]):
        raise error


@contextlib.contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Name the image in errors about it."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        if f'"{name}"' in str(error):  # as in errors about files
            raise
        msg = f'image "{name}": {error}'
        raise type(error)(msg) from error
