"""Images, templates and masks as callers have them: arrays, masked arrays, paths, open files and Pillow images."""

import math
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, Union, cast

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.dask_array import DaskArray, is_dask
from tmatch._arrays.lazy import LazyArray, as_array
from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_numbers
from tmatch._io.blocks.stored import chunked_blocks, is_chunked
from tmatch._io.decoders.pages import is_large
from tmatch._io.decoders.pillow import pixels_of_pillow
from tmatch._io.files import file_of, is_file
from tmatch._io.images import opaque_pixels, read_pixels, split_alpha, weights_in

if TYPE_CHECKING:
    from PIL.Image import Image

ImageLike: TypeAlias = Union[ArrayLike, os.PathLike[str], BinaryIO, "Image"]  # `ArrayLike` has str
VALID_OPACITY = 0.5  # of a pixel of an image that is searched
_ORIENTATION = 0x0112  # of EXIF


def read_given(
    name: str, given: "PortableImage", least_opacity: float, *, in_parts: bool = False
) -> tuple[Array, Array | None]:
    """Return what was given as an array, and which of its pixels count: those so opaque, and not masked; None for all.

    What is a file, or a Pillow image, is read as by `read_image`. If it may be `in_parts`, large files and arrays of
    zarr, of dask, and of others that are stored in chunks are read later.
    """
    if type(given) is np.ndarray or isinstance(given, LazyArray):
        return check_numbers(name, given, finite=False), None
    if isinstance(given, ReadImage):
        return given.pixels, given.valid
    later = read_later(name, given) if in_parts else given
    if isinstance(later, LazyArray):
        return check_numbers(name, as_array(later), finite=False), None
    if isinstance(given, np.ma.MaskedArray):
        gone = np.ma.getmaskarray(given)
        return check_numbers(name, np.ma.getdata(given), finite=False), ~gone if gone.any() else None
    read = _read(name, given, in_parts=in_parts)
    if read is None:
        return check_numbers(name, cast("ArrayLike", given), finite=False), None
    pixels, alpha = read
    return pixels, None if alpha is None else opaque_pixels(alpha, least_opacity)


@dataclass(frozen=True)
class ReadImage:
    """An image as `read_given` returns it."""

    pixels: Array
    valid: Array | None


PortableImage: TypeAlias = ImageLike | ReadImage


def portable_image(name: str, given: ImageLike, least_opacity: float) -> PortableImage:
    """Return an image that can be pickled: a path or an array as it is, others as they are read now."""
    if type(given) is np.ndarray or isinstance(given, str | os.PathLike):
        return given
    return ReadImage(*read_given(name, given, least_opacity, in_parts=True))


def read_mask(name: str, given: ImageLike, *, in_parts: bool = False) -> ArrayLike:
    """Return a mask as an array; of a file or a Pillow image its grey levels, from 0 to 1."""
    read = _read(name, given, in_parts=in_parts)
    if read is None:
        return cast("ArrayLike", given)
    return weights_in(read[0])


def read_later(name: str, given: Any) -> Any:
    """Return an array that another library reads in parts as one that is read so here; other things as they are."""
    if is_dask(given):
        return DaskArray(given, name)
    if is_chunked(given) and is_large(math.prod(given.shape)):
        return chunked_blocks(f"`{name}`", given)
    return given


def is_image(given: Any) -> bool:
    """Check for an image of its own: an array with axes, a path, an open file or a Pillow image; no nested list."""
    return is_file(given) or _is_pillow(given) or (hasattr(given, "__array__") and np.ndim(given) > 0)


def labels_of(given: Sequence[Any]) -> list[str]:
    """Label images: files by their names without ending, others by number."""
    if not all(isinstance(each, str | os.PathLike) for each in given):
        return [str(number) for number in range(len(given))]
    labels = file_labels([Path(each) for each in given])
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        msg = f'the template "{twice[0]}" is given twice; name each one once'
        raise ValueError(msg)
    return labels


def file_labels(paths: Sequence[Path], others: Iterable[str] = ()) -> list[str]:
    """Label files by their names without ending; by their paths those whose name another one, or of `others`, has."""
    names = Counter([*(path.stem for path in paths), *others])
    return [path.stem if names[path.stem] == 1 else str(path) for path in paths]


def _read(name: str, given: Any, *, in_parts: bool) -> tuple[Array, Array | None] | None:
    """Read a file or a Pillow image, a large file later if it may be `in_parts`; None if it is neither."""
    if _is_pillow(given):
        return split_alpha(_pixels_of(given))
    if is_file(given) or isinstance(given, bytes | bytearray):
        return read_pixels(file_of(name, given), in_parts=in_parts)
    return None


def _is_pillow(given: object) -> bool:
    """Check for a Pillow image; there is none before Pillow was imported."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(given, pillow.Image)


def _pixels_of(image: Any) -> Array:
    from PIL import ImageOps  # noqa: PLC0415

    turned = image.getexif().get(_ORIENTATION, 1) != 1
    return pixels_of_pillow(ImageOps.exif_transpose(image) if turned else image)
