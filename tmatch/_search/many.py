"""Locate templates in many images."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

from tmatch._io.given import ImageLike


def named_images(images: Iterable[ImageLike | tuple[str, ImageLike]]) -> Iterator[tuple[str, ImageLike]]:
    """Return images with names: as given, or their paths, or numbers."""
    if isinstance(images, str | os.PathLike) or hasattr(images, "read"):
        msg = f"`images` is {images!r}; give a list of images, or `tmatch.open_images(...)` for files and folders"
        raise TypeError(msg)
    for number, each in enumerate(images):
        if isinstance(each, tuple) and len(each) == 2 and isinstance(each[0], str):
            yield each
        else:
            image: Any = each
            yield os.fspath(image) if isinstance(image, str | os.PathLike) else str(number), image


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
