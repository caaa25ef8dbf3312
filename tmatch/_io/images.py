"""Read images."""

import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.decoders import Decoded, FindPart, NoImageError, NoPartError, TooLargeError, decode
from tmatch._io.files import FileLike, FileObject, file_of, read_whole
from tmatch._io.tiff_parts import Part


class SeveralImagesWarning(UserWarning):
    """A file has several images, of which only the first is read."""


_STRIP_PIXELS = 2**20  # that are converted to grey at a time
_GREY = (0.2125, 0.7154, 0.0721)  # red, green, blue by ITU-R BT.709, as scikit-image's rgb2gray


def read_image(path: FileLike, /) -> Array:
    """Read an image as it is meant to be seen.

    Parameters
    ----------
    path : path, or open binary file, of a PNG, JPEG, TIFF, BMP, GIF or WebP file
        Or of most others that Pillow reads. Of several images in one file, as pages of a TIFF or frames of an
        animation, the first is read. An open file is read from where it stands to its end, and stays open.

    Returns
    -------
    (H, W) or (H, W, 3) array
        Grey, or red, green and blue. 8 bits are uint8 (1-bit images too: 0 and 255), 16 bits uint16,
        floats stay floats. Palettes are resolved, the camera's rotation (EXIF) is applied. Colour PNGs
        of 16 bits are read by their upper 8 bits.

    Raises
    ------
    OSError
        If the file is missing, empty, broken, a device or no image, or announces more than 178,956,970 pixels.
    ValueError
        If the image has transparent pixels, or `path` is a URL.
    TypeError
        If `path` is neither a path nor an open file; of bytes `io.BytesIO` makes one.

    Warns
    -----
    UserWarning
        If the file has several images, of which only the first is read.

    Examples
    --------
    >>> import tmatch
    >>> tmatch.read_image("datasets/raccoon/eye.png").shape
    (65, 80)
    """
    file = file_of("path", path)
    pixels, alpha = read_pixels(file)
    refuse_transparency(file, alpha)
    return pixels


def refuse_transparency(path: Path | FileObject, alpha: Array | None) -> None:
    """Refuse transparent pixels where all must have colours."""
    if alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        msg = f'"{path}" has transparent pixels, which have no colour to match; save it on a solid background'
        raise ValueError(msg)


def to_gray(pixels: Array) -> Array:
    """Convert colour to grey: 0.2125 red + 0.7154 green + 0.0721 blue; grey stays as it is."""
    if pixels.ndim == 2:
        return pixels
    grey = np.empty(pixels.shape[:2], np.result_type(pixels.dtype, np.float64))
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(grey), rows):  # the whole image in floats would take eight times its memory
        grey[top : top + rows] = pixels[top : top + rows] @ np.array(_GREY)
    return grey


@dataclass(frozen=True)
class Pixels:
    """What was read of an image: the pixels, alpha if there is any, and where they lie in the whole of some shape."""

    colours: Array
    alpha: Array | None
    part: Part
    shape: tuple[int, int]


def read_pixels(path: Path | FileObject) -> tuple[Array, Array | None]:
    """Read pixels, and alpha if there is any; warn if the file has more images."""
    read = read_part(path)
    return read.colours, read.alpha


def read_part(path: Path | FileObject, find_part: FindPart | None = None) -> Pixels:
    """Read an image; of one that is too large, the part that `find_part` names, if that is possible."""
    with _open(path) as file:
        if not file.read(1):
            msg = f'cannot read "{path}": the file is empty'
            raise OSError(msg)
        decoded = _decode(path, file, find_part)
    pixels = decoded.pixels
    if decoded.count > 1:
        msg = f'"{path}" has {decoded.count:,} {decoded.unit}; only the first is read'
        warnings.warn(msg, SeveralImagesWarning, stacklevel=4)
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (2, 3, 4)):
        return Pixels(*split_alpha(pixels), decoded.part, decoded.shape)
    raise OSError(_describe_array(path, f"an array of shape {pixels.shape}"))


def split_alpha(pixels: Array) -> tuple[Array, Array | None]:
    """Return grey or colour, and alpha if it is the second or fourth channel."""
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return pixels, None
    return pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3], pixels[..., -1]


def _open(path: Path | FileObject) -> BinaryIO:
    """Open a file at whose positions can be read; what comes through a pipe is read whole, up to a bound."""
    try:
        if isinstance(path, FileObject):
            return path.read()
        mode = path.stat().st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            msg = "it is a device; name a file or a pipe"
            raise OSError(msg)  # noqa: TRY301
        if stat.S_ISREG(mode):
            return path.open("rb")
        with path.open("rb", buffering=0) as pipe:
            return read_whole(pipe, "a pipe")
    except OSError as error:
        msg = f'cannot read "{path}": {(error.strerror or str(error)).lower()}'
        raise OSError(msg) from error


def _decode(path: Path | FileObject, file: BinaryIO, find_part: FindPart | None) -> Decoded:
    try:
        return decode(file, find_part)
    except TooLargeError as error:
        msg = f'"{path}" {error}'
        raise OSError(msg) from error
    except NoPartError as error:
        raise ValueError(*error.args) from error
    except NoImageError as error:
        raise OSError(_describe_array(path, str(error))) from error
    except MemoryError:
        raise
    except Exception as error:  # decoders of broken files raise almost anything
        msg = f'cannot read "{path}": not an image, or a broken one ({reason_of(error)})'
        raise OSError(msg) from error


def _describe_array(path: Path | FileObject, what: str) -> str:
    return f'"{path}" holds {what}; an image is grey, or has 3 colours, with or without alpha'


def reason_of(error: Exception) -> str:
    """Return the first line of an error of a decoder."""
    from PIL import UnidentifiedImageError  # noqa: PLC0415

    lines = str(error).splitlines() or [type(error).__name__]
    return "unknown format" if isinstance(error, UnidentifiedImageError) else lines[0][:120]
