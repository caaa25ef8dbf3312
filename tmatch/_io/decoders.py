"""Decode image files: TIFF of more than 8 bits by tifffile, everything else by Pillow."""

import io
import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from tmatch._arrays.typing import Array

MAX_PIXELS = 178_956_970  # twice Pillow's own warning level: 512 MB as 8-bit colour
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_CHANNELS = 4
# Their further images are previews, layers or other sizes of the first.
_ONE_IMAGE = {"MPO", "PSD", "ICO", "ICNS"}
_KEPT_MODES = {"L", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"}


class TooLargeError(Exception):
    """An image with more than `MAX_PIXELS` pixels."""


class NoImageError(Exception):
    """A file that holds an array of another kind; its text says which."""


@dataclass(frozen=True)
class Decoded:
    """The first image of a file: rows, columns, and channels if there are several, alpha last.

    `count` is the number of images in the file, and `unit` what they are called.
    """

    pixels: Array
    count: int = 1
    unit: str = "frames"


def decode(data: bytes) -> Decoded:
    """Decode the first image of a file."""
    if data[:4] not in _TIFF_MAGIC:
        return _read_with_pillow(io.BytesIO(data))
    pixels, count = _read_tiff(io.BytesIO(data))
    if pixels is None:
        pixels = _read_with_pillow(io.BytesIO(data)).pixels
    return Decoded(pixels, count, "pages")


def _read_tiff(file: BinaryIO) -> tuple[Array | None, int]:
    """Read a TIFF of more than 8 bits, which Pillow would narrow, and count its pages.

    No pixels are returned of others, which Pillow reads better.
    """
    import tifffile  # noqa: PLC0415

    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        if page.imagewidth * page.imagelength > MAX_PIXELS:
            raise TooLargeError
        count = _count_pages(tiff)
        if page.samplesperpixel == 2 and 0 in page.extrasamples:  # of unknown meaning, so no alpha
            msg = f"an array of shape {page.shape}"
            raise NoImageError(msg)
        if page.bitspersample <= 8:
            return None, count
        try:
            pixels = np.asarray(page.asarray())
        except ValueError:  # a compression that only Pillow knows
            return None, count
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "ui":
            pixels = np.invert(pixels)
        if page.axes == "SYX":
            pixels = np.moveaxis(pixels, 0, -1)
        orientation = page.tags.get("Orientation")
    return _upright(pixels, 1 if orientation is None else int(orientation.value)), count


def _count_pages(tiff: Any) -> int:
    """Count the pages that are images of their own, not smaller versions of others; refuse an array cut into pages."""
    first = tiff.series[0]
    if len(first.shape) == 3 and first.axes.endswith("YX") and first.shape[-1] <= _MAX_CHANNELS:
        msg = f"an array of shape {first.shape} in {first.shape[0]} pages of {first.shape[2]} x {first.shape[1]} pixels"
        raise NoImageError(msg)
    whole = [each for each in tiff.series if not each.keyframe.is_reduced]
    return max(1, sum(int(each.size // each.keyframe.size) for each in whole))


def _upright(pixels: Array, orientation: int) -> Array:
    """Undo the eight orientations that TIFF and EXIF number: rows and columns swapped, then flipped."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _read_with_pillow(file: BinaryIO) -> Decoded:
    from PIL import Image, ImageOps  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns from half our limit on, and of odd metadata
        try:
            opened = Image.open(file)
        except Image.DecompressionBombError:
            raise TooLargeError from None
        with opened as image:
            if image.width * image.height > MAX_PIXELS:
                raise TooLargeError
            upright = _with_plain_mode(ImageOps.exif_transpose(image))
            pixels = np.array(upright)
            transparent = image.info.get("transparency") if upright.mode.startswith("I") else None
            count = _count_frames(image)
    if transparent is not None:  # one grey level of 16 bits, which Pillow does not convert
        alpha = np.where(pixels == transparent, 0, 65535).astype(np.uint16)
        pixels = np.stack([pixels.astype(np.uint16), alpha], axis=-1)
    return Decoded(pixels.astype(np.uint16) if pixels.dtype == ">u2" else pixels, count)


def _count_frames(image: Any) -> int:
    """Count the frames of an animation; those before the first that is broken."""
    if image.format in _ONE_IMAGE:
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except (OSError, ValueError, SyntaxError, EOFError):  # the first frame, which is read, is whole
        return 1


def _with_plain_mode(image: Any) -> Any:
    """Convert a Pillow image to grey or RGB, with alpha if it has transparent pixels."""
    has_alpha = image.has_transparency_data
    if image.mode == "1":
        return image.convert("L")
    if image.mode in {"LA", "La"} or (has_alpha and image.mode == "L"):  # or one grey level is transparent
        return image.convert("LA")
    if image.mode not in _KEPT_MODES:
        return image.convert("RGBA" if has_alpha else "RGB")
    return image
