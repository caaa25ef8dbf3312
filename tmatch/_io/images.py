"""Read images."""

import os
import warnings
from pathlib import Path

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.decoders import MAX_PIXELS, Decoded, NoImageError, TooLargeError, decode


class SeveralImagesWarning(UserWarning):
    """A file has several images, of which only the first is read."""


_GREY = (0.2125, 0.7154, 0.0721)  # red, green, blue by ITU-R BT.709, as scikit-image's rgb2gray


def read_image(path: str | os.PathLike[str], /) -> Array:
    """Read an image as it is meant to be seen.

    Parameters
    ----------
    path : path of a PNG, JPEG, TIFF, BMP, GIF or WebP file
        Or of any other format that Pillow reads. Of several images in one file, as pages of a TIFF or frames of an
        animation, the first is read.

    Returns
    -------
    (H, W) or (H, W, 3) array
        Grey, or red, green and blue. 8 bits are uint8 (1-bit images too: 0 and 255), 16 bits uint16,
        floats stay floats. Palettes are resolved, the camera's rotation (EXIF) is applied. Colour PNGs
        of 16 bits are read by their upper 8 bits.

    Raises
    ------
    OSError
        If the file is missing, empty, broken or no image, or announces more than 178,956,970 pixels.
    ValueError
        If the image has transparent pixels.

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
    pixels, alpha = read_pixels(Path(path))
    if alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        msg = f'"{path}" has transparent pixels, which have no colour to match; save it on a solid background'
        raise ValueError(msg)
    return pixels


def to_gray(pixels: Array) -> Array:
    """Convert colour to grey: 0.2125 red + 0.7154 green + 0.0721 blue; grey stays as it is."""
    return pixels if pixels.ndim == 2 else pixels @ np.array(_GREY)


def read_pixels(path: Path) -> tuple[Array, Array | None]:
    """Read pixels, and alpha if there is any; warn if the file has more images."""
    decoded = _decode(path, _read_bytes(path))
    pixels = decoded.pixels
    if decoded.count > 1:
        msg = f'"{path}" has {decoded.count:,} {decoded.unit}; only the first is read'
        warnings.warn(msg, SeveralImagesWarning, stacklevel=3)
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        return (pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]), pixels[..., -1]
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3):
        return pixels, None
    raise OSError(_describe_array(path, f"an array of shape {pixels.shape}"))


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()  # once: a pipe cannot be read again
    except OSError as error:
        msg = f'cannot read "{path}": {(error.strerror or str(error)).lower()}'
        raise OSError(msg) from error
    if not data:
        msg = f'cannot read "{path}": the file is empty'
        raise OSError(msg)
    return data


def _decode(path: Path, data: bytes) -> Decoded:
    try:
        return decode(data)
    except TooLargeError as error:
        msg = f'"{path}" announces more than {MAX_PIXELS:,} pixels; crop it or shrink it first'
        raise OSError(msg) from error
    except NoImageError as error:
        raise OSError(_describe_array(path, str(error))) from error
    except MemoryError:
        raise
    except Exception as error:  # decoders of broken files raise almost anything
        msg = f'cannot read "{path}": not an image, or a broken one ({reason_of(error)})'
        raise OSError(msg) from error


def _describe_array(path: Path, what: str) -> str:
    return f'"{path}" holds {what}; an image is grey, or has 3 colours, with or without alpha'


def reason_of(error: Exception) -> str:
    """Return the first line of an error of a decoder."""
    from PIL import UnidentifiedImageError  # noqa: PLC0415

    lines = str(error).splitlines() or [type(error).__name__]
    return "unknown format" if isinstance(error, UnidentifiedImageError) else lines[0][:120]
