"""Locate templates in many images."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tmatch._io.files import is_file
from tmatch._io.given import ImageLike


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
