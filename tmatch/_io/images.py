"""Read images."""

import contextlib
import math
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tmatch._arrays.channels import split_channels
from tmatch._arrays.lazy import LazyArray, all_in, as_array, computed, facts_of, is_lazy
from tmatch._arrays.lazy import Part as LazyPart
from tmatch._arrays.typing import Array
from tmatch._io import decoders
from tmatch._io.blocks.array import BrokenBlockError
from tmatch._io.decoders import (
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
from tmatch._io.files import FileLike, FileObject, file_of, located, named, read_whole


class SeveralImagesWarning(UserWarning):
    """A file has several images, of which only the first is read."""


_STRIP_PIXELS = 2**20  # that are converted to grey at a time
_GREY = (0.2125, 0.7154, 0.0721)  # red, green, blue by ITU-R BT.709, as scikit-image's rgb2gray


def read_image(path: FileLike, /, *, page: int | None = None) -> Array:
    """Read an image as it is meant to be seen.

    Parameters
    ----------
    path : path, or open binary file, of a PNG, JPEG, TIFF, BMP, GIF, WebP or NPY file; or path of a zarr folder
        Or of most others that Pillow reads. An open file is read from where it stands to its end, and stays open.
    page : int, optional
        Which of several images in one file is read, as pages of a TIFF or frames of an animation; 0 is the first. By
        default that is read, with a warning if there are others. `open_images` reads many of them.

    Returns
    -------
    (H, W) or (H, W, 3) array
        Grey, or red, green and blue. 8 bits are uint8 (1-bit images too: 0 and 255), 16 bits uint16,
        floats stay floats. Palettes are resolved, the camera's rotation (EXIF) is applied. Colour PNGs
        of 16 bits are read by their upper 8 bits. NPY files are mapped into memory, so they may be of any size.

    Raises
    ------
    OSError
        If the file is missing, empty, broken, a device or no image, or announces more than 178,956,970 pixels.
    ValueError
        If the image has transparent pixels, the file no such page, or `path` is a URL.
    TypeError
        If `path` is neither a path nor an open file; of bytes `io.BytesIO` makes one.

    Warns
    -----
    UserWarning
        If the file has several images and `page` does not say which to read.

    Examples
    --------
    >>> import tmatch
    >>> tmatch.read_image("datasets/raccoon/eye.png").shape
    (65, 80)
    """
    file = file_of("path", path)
    read = read_part(file, None, page)
    refuse_transparency(name_of(str(file), page), read.alpha)
    return read.colours


def name_of(path: str, page: int | None) -> str:
    """Name an image of a file."""
    return path if page is None else f"{path}[{page}]"


def refuse_transparency(path: Path | str, alpha: Array | None) -> None:
    """Refuse transparent pixels where all must have colours."""
    opaque = None if alpha is None else opaque_pixels(alpha, 1)
    if opaque is not None and not all_in(opaque):
        msg = f'"{path}" has transparent pixels, which have no colour to match; save it on a solid background'
        raise ValueError(msg)


def opacity(alpha: Array, most: Any = None) -> Array:
    """Return alpha from 0 to 1; of numbers unlike those of files the largest tells if 1, 255 or 65535 is opaque.

    That is `most`, where `alpha` is a part of a larger array.
    """
    if alpha.dtype in (np.uint8, np.uint16):
        return np.asarray(alpha / np.iinfo(alpha.dtype).max)
    if most is None:
        most = alpha.max(initial=0, where=np.isfinite(alpha))
    return np.asarray(alpha / next((full for full in (1, 255, 65535) if most < 1.01 * full), most))


def opaque_pixels(alpha: Array, least: float) -> Array | None:
    """Find the pixels that are at least so opaque; None if all are, unless they are read later."""
    if is_lazy(alpha):
        most = None if alpha.dtype in (np.uint8, np.uint16) else max(facts_of(alpha).high or 0, 0)
        return computed(partial(_are_opaque, least=least, most=most), bool, alpha)
    opaque = _are_opaque(alpha, least)
    return None if opaque.all() else opaque


def _are_opaque(alpha: Array, least: float, most: Any = None) -> Array:
    return np.asarray(opacity(alpha, most) >= least)


def weights_in(mask: Array) -> Array:
    """Return the grey levels of a mask, the brightest as 1; as they are, of a mask that is read in parts."""
    grey = to_gray(mask)
    if is_lazy(grey):  # only what is above black counts in an image
        return grey
    return np.asarray(grey / grey.max()) if grey.any() else grey.astype(float)


def to_gray(pixels: Array) -> Array:
    """Convert colour to grey: 0.2125 red + 0.7154 green + 0.0721 blue; grey stays as it is."""
    if pixels.ndim == 2:
        return pixels
    dtype = np.result_type(pixels.dtype, np.float64)
    if is_lazy(pixels):
        return computed(_grey_of, dtype, *split_channels(pixels, 2))
    grey = np.empty(pixels.shape[:2], dtype)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(grey), rows):  # the whole image in floats would take eight times its memory
        grey[top : top + rows] = _grey_of(*np.moveaxis(pixels[top : top + rows], 2, 0))
    return grey


def _grey_of(*colours: Array) -> Array:
    """Return the grey of colours: that of a pixel is the same, whatever is beside it, as matrix products are not."""
    red, green, blue = (colour * weight for colour, weight in zip(colours, np.array(_GREY), strict=True))
    red += green
    red += blue
    return np.asarray(red)


@dataclass(frozen=True)
class Pixels:
    """What was read of an image: the pixels, alpha if there is any, and where they lie in the whole of some shape.

    Those of a large part may be arrays that are read later, in parts.
    """

    colours: Array
    alpha: Array | None
    part: Part
    shape: tuple[int, int]

    @classmethod
    def whole(cls, colours: Array) -> "Pixels":
        """Return opaque pixels of a whole image."""
        height, width = colours.shape[:2]
        return cls(colours, None, whole_part((height, width)), (height, width))


def read_pixels(path: Path | FileObject, *, in_parts: bool = False) -> tuple[Array, Array | None]:
    """Read pixels, and alpha if there is any, of a large image later if they may be `in_parts`.

    Warn if the file has more images.
    """
    read = read_part(path, whole_part if in_parts else None)
    return read.colours, read.alpha


def whole_part(shape: tuple[int, int]) -> Part:
    """Return the whole of an image as its part."""
    return slice(0, shape[0]), slice(0, shape[1])


def read_part(path: Path | FileObject, find_part: FindPart | None = None, page: int | None = None) -> Pixels:
    """Read an image; of one that is large, the part that `find_part` names, if that is possible.

    Warn if the file has several and `page` does not say which.
    """
    with _open(path) as file:
        pixels = file.read(page, find_part)
        if page is None and file.count > 1:
            msg = f'"{path}" has {file.count:,} {file.unit}; only the first is read'
            warnings.warn(msg, SeveralImagesWarning, stacklevel=3)
    return pixels


def _open(path: Path | FileObject) -> "ImageFile":
    if not isinstance(path, FileObject):
        return open_file(str(path))
    with named(path):
        whole = path.read()
    return open_stream(str(path), whole)


class ImageFile(contextlib.ExitStack):
    """An open file of images. Its errors are sentences that name it."""

    def __init__(self, name: str, file: AbstractContextManager[Any], open_pages: Callable[[], Pages]) -> None:
        super().__init__()
        self.name = name
        with contextlib.ExitStack() as closing:
            closing.enter_context(file)
            with self._told(None):
                self._pages = closing.enter_context(contextlib.closing(open_pages()))
            self.push(closing.pop_all())

    @property
    def count(self) -> int:
        """How many images there are."""
        with self._told(None):
            return self._pages.count

    @property
    def unit(self) -> str:
        """What they are called."""
        return self._pages.unit

    def read(self, page: int | None = None, find_part: FindPart | None = None) -> Pixels:
        """Read an image, by default the first; of one that is large, the part that `find_part` names."""
        self.check(page or 0)
        with self._told(page):
            return _split(self._pages.decode(page or 0, find_part))

    def check(self, page: int) -> None:
        """Refuse the number of an image that is not there."""
        if page and not 0 < page < self.count:
            raise missing_page(self.name, self.count, self.unit, page)

    @contextlib.contextmanager
    def _told(self, page: int | None) -> Iterator[None]:
        """Say of errors which image they are about."""
        name = name_of(self.name, page)
        try:
            yield
        except RefusedError as error:
            msg = f'"{name}" {error}'
            raise OSError(msg) from error
        except NoChoiceError as error:
            msg = f'"{name}" {error}'
            raise ValueError(msg) from error
        except NoPartError as error:
            raise ValueError(*error.args) from error
        except NoImageError as error:
            msg = f'"{name}" holds {error}; an image is grey, or has 3 colours, with or without alpha'
            raise OSError(msg) from error
        except (MemoryError, BrokenBlockError):
            raise
        except Exception as error:  # decoders of broken files raise almost anything
            msg = f'cannot read "{name}": not an image, or a broken one ({reason_of(error)})'
            raise OSError(msg) from error


def missing_page(name: str, count: int, unit: str, page: int) -> ValueError:
    """Return the error of a page or frame that is not in a file of so many."""
    some = "a single image" if count == 1 else f"{count:,} {unit}, the last is {count - 1}"
    return ValueError(f'"{name}" has {some}; {page} does not exist (the first is 0)')


def _split(decoded: Decoded) -> Pixels:
    """Part colours and alpha."""
    if decoded.pixels.shape[2:] not in {(), (2,), (3,), (4,)}:
        msg = f"an array of shape {decoded.pixels.shape}"
        raise NoImageError(msg)
    return Pixels(*split_alpha(decoded.pixels), decoded.part, decoded.shape)


def split_alpha(pixels: Array) -> tuple[Array, Array | None]:
    """Return grey or colour, and alpha if it is the second or fourth channel."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels, None
    if isinstance(pixels, LazyArray):
        *greys, alpha = split_channels(pixels, 2)
        region = (*(slice(0, n) for n in pixels.shape[:2]), slice(0, 3))
        return greys[0] if len(greys) == 1 else as_array(LazyPart(pixels, region)), alpha
    return pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3], pixels[..., -1]


def held(array: Array, name: str) -> Array:
    """Return an array in memory: one that is to be read in parts is read whole, if it is not too large."""
    if not isinstance(array, LazyArray):
        return array
    if math.prod(array.shape[:2]) > decoders.pages.MAX_PIXELS:
        msg = f'"{name}" {decoders.pages.too_large(", or search a part of it with --region")}'
        raise OSError(msg)
    return array[:]


def open_file(name: str, choice: Choice = WHOLE) -> ImageFile:
    """Open an image, a stack or an array by its path."""
    path = located(name)
    if decoders.is_zarr(path):
        return ImageFile(name, contextlib.nullcontext(), lambda: decoders.open_zarr(path, choice))
    return open_stream(name, open_path(Path(name)), choice)


def open_stream(name: str, file: BinaryIO, choice: Choice = WHOLE) -> ImageFile:
    """Open what is read from a file, and close that in the end."""
    if not file.read(1):
        file.close()
        msg = f'cannot read "{name}": the file is empty'
        raise OSError(msg)
    return ImageFile(name, file, lambda: decoders.open_pages(file, choice))


def open_path(path: Path) -> BinaryIO:
    """Open a file at whose positions can be read; what comes through a pipe is read whole, up to a bound."""
    with named(path):
        path = located(str(path))
        mode = path.stat().st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            msg = "it is a device; name a file or a pipe"
            raise OSError(msg)
        if stat.S_ISREG(mode):
            return path.open("rb")
        with path.open("rb", buffering=0) as pipe:
            return read_whole(pipe, "a pipe")


def reason_of(error: Exception) -> str:
    """Return the first line of an error of a decoder."""
    from PIL import UnidentifiedImageError  # noqa: PLC0415

    lines = str(error).splitlines() or [type(error).__name__]
    return "unknown format" if isinstance(error, UnidentifiedImageError) else lines[0][:120]
