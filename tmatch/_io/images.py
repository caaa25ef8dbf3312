"""Read images."""

import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tmatch._io.limits import MAX_PIXELS, Pixels, TooLargeError
from tmatch._io.tiff import TIFF_MAGIC, read_tiff

_GREY = (0.2125, 0.7154, 0.0721)  # red, green, blue by ITU-R BT.709, as scikit-image's rgb2gray


def read_image(path: str | os.PathLike[str], /) -> Pixels:
    """Read a picture as it is meant to be seen.

    Parameters
    ----------
    path : path of a PNG, JPEG, TIFF, BMP, GIF or WebP file
        Or of anything else that Pillow reads. Of several pictures in one file the first is read.

    Returns
    -------
    (H, W) or (H, W, 3) array
        Grey, or red, green and blue. 8 bits are uint8 (1-bit pictures too: 0 and 255), 16 bits uint16,
        floats stay floats. Palettes are resolved, the camera's rotation (EXIF) is applied. Colour PNGs
        of 16 bits are read by their upper 8 bits.

    Raises
    ------
    OSError
        If the file is missing, empty, broken or no picture, or announces more than 178,956,970 pixels.
    ValueError
        If the picture has transparent pixels.

    Examples
    --------
    >>> import tmatch
    >>> tmatch.read_image("datasets/raccoon/eye.png").shape
    (65, 80)
    """
    pixels, alpha = read_pixels(Path(path))
    if alpha is not None and alpha.min() < np.iinfo(alpha.dtype).max:
        msg = f'"{path}" has transparent pixels, which have no colour to match; save it on a solid ground'
        raise ValueError(msg)
    return pixels


def to_gray(pixels: Pixels) -> Pixels:
    """Make colour grey: 0.2125 red + 0.7154 green + 0.0721 blue; grey stays as it is."""
    return pixels if pixels.ndim == 2 else pixels @ np.array(_GREY)


def read_pixels(path: Path) -> tuple[Pixels, Pixels | None]:
    """Read pixels, and alpha if there is any."""
    try:
        data = path.read_bytes()  # once: a pipe cannot be read again
    except OSError as error:
        msg = f'cannot read "{path}": {(error.strerror or str(error)).lower()}'
        raise OSError(msg) from error
    if not data:
        msg = f'cannot read "{path}": the file is empty'
        raise OSError(msg)
    try:
        pixels = read_tiff(io.BytesIO(data)) if data[:4] in TIFF_MAGIC else None
        pixels = _read_with_pillow(io.BytesIO(data)) if pixels is None else pixels
    except TooLargeError as error:
        msg = f'"{path}" announces more than {MAX_PIXELS:,} pixels; crop it or shrink it first'
        raise OSError(msg) from error
    except MemoryError:
        raise
    except Exception as error:  # decoders of broken files raise almost anything
        msg = f'cannot read "{path}": not a picture, or a broken one ({reason_of(error)})'
        raise OSError(msg) from error
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        return (pixels[..., 0] if pixels.shape[2] == 2 else pixels[..., :3]), pixels[..., -1]
    if pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3):
        return pixels, None
    msg = f'"{path}" holds an array of shape {pixels.shape}; a picture is grey, or has 3 colours, with or without alpha'
    raise OSError(msg)


def reason_of(error: Exception) -> str:
    from PIL import UnidentifiedImageError  # noqa: PLC0415

    lines = str(error).splitlines() or [type(error).__name__]
    return "unknown format" if isinstance(error, UnidentifiedImageError) else lines[0][:120]


def _read_with_pillow(file: BinaryIO) -> Pixels:
    from PIL import Image, ImageOps  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns from half our limit on, and of odd metadata
        try:
            opened = Image.open(file)
        except Image.DecompressionBombError:
            raise TooLargeError from None
        with opened as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise TooLargeError
            upright = ImageOps.exif_transpose(picture)
            has_alpha = upright.has_transparency_data
            if upright.mode == "1":
                upright = upright.convert("L")
            elif upright.mode in {"LA", "La"}:
                upright = upright.convert("LA")
            elif upright.mode not in {"L", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"}:
                upright = upright.convert("RGBA" if has_alpha else "RGB")
            elif has_alpha and upright.mode == "L":  # one grey level stands for transparent
                upright = upright.convert("LA")
            pixels = np.array(upright)
            clear = picture.info.get("transparency") if upright.mode.startswith("I") else None
            if clear is not None:  # the same of 16 bits, which Pillow does not convert
                alpha = np.where(pixels == clear, 0, 65535).astype(np.uint16)
                pixels = np.stack([pixels.astype(np.uint16), alpha], axis=-1)
    return pixels.astype(np.uint16) if pixels.dtype == ">u2" else pixels
