"""Decode image files: TIFF of more than 8 bits by tifffile, everything else by Pillow."""

import itertools
import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io import tiff_parts
from tmatch._io.tiff_parts import Part

_STRIP_PIXELS = 2**24  # of an image that are converted at a time
MAX_PIXELS = 178_956_970  # twice Pillow's own warning level: 512 MB as 8-bit colour
MAX_BYTES = 1 << 31  # more than so many pixels take, of up to four channels of 16 bits
FindPart = Callable[[tuple[int, int]], Part]  # from the shape of the whole image
# What Pillow reads besides includes EPS, for which it starts Ghostscript.
_FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000", "MPO", "TGA", "ICO", "ICNS", "CUR", "DIB",
    "DDS", "PCX", "DCX", "PSD", "QOI", "SGI", "SUN", "XBM", "XPM", "FLI", "FITS", "IM", "MSP", "PIXAR", "SPIDER",
)  # fmt: skip
_NO_PART = ", or save it in tiles without compression, as no part of it can be read now: {}"
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MAX_CHANNELS = 4
# Their further images are previews, layers or other sizes of the first.
_ONE_IMAGE = {"MPO", "PSD", "ICO", "ICNS"}
_KEPT_MODES = {"L", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"}


class TooLargeError(Exception):
    """An image that is not read, as it is too large; its text says by how much, and what to do."""


class NoPartError(Exception):
    """A part that is not in the image; its text says why."""


class NoImageError(Exception):
    """A file that holds an array of another kind; its text says which."""


@dataclass(frozen=True)
class Decoded:
    """The first image of a file: rows, columns, and channels if there are several, alpha last.

    `part` is what of the image was read, and `shape` its number of rows and columns in all. `count` is the number of
    images in the file, and `unit` what they are called.
    """

    pixels: Array
    part: Part
    shape: tuple[int, int]
    count: int = 1
    unit: str = "frames"

    @classmethod
    def whole(cls, pixels: Array, **of_file: Any) -> "Decoded":
        height, width = pixels.shape[:2]
        return cls(pixels, (slice(0, height), slice(0, width)), (height, width), **of_file)


def decode(file: BinaryIO, find_part: FindPart | None = None) -> Decoded:
    """Decode the first image of a file; of a TIFF that is too large, only the part that `find_part` names, if any."""
    file.seek(0)
    magic = file.read(4)
    file.seek(0)
    if magic in _TIFF_MAGIC:
        return _read_tiff(file, find_part)
    if file.seek(0, os.SEEK_END) > MAX_BYTES:
        msg = f"has more than {MAX_BYTES:,} bytes; crop it or shrink it first"
        raise TooLargeError(msg)
    file.seek(0)
    return _read_with_pillow(file, find_part)


def _read_tiff(file: BinaryIO, find_part: FindPart | None) -> Decoded:
    import tifffile  # noqa: PLC0415

    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages.first
        count = _count_pages(tiff)
        if page.samplesperpixel == 2 and 0 in page.extrasamples:  # of unknown meaning, so no alpha
            msg = f"an array of shape {page.shape}"
            raise NoImageError(msg)
        shape = page.imagelength, page.imagewidth
        if shape[0] * shape[1] > MAX_PIXELS:
            part = _part_of(page, shape, find_part)
            return Decoded(_plain(page, _read_part(page, part)), part, shape, count, "pages")
        pixels = _read_deep(page)
        if pixels is None:
            pixels = _read_with_pillow(file, None).pixels
    return Decoded.whole(pixels, count=count, unit="pages")


def _read_deep(page: Any) -> Array | None:
    """Read more than 8 bits, which Pillow would narrow; None for others, which Pillow reads better."""
    if page.bitspersample <= 8:
        return None
    try:
        pixels = np.asarray(page.asarray())
    except ValueError:  # a compression that only Pillow knows
        return None
    orientation = page.tags.get("Orientation")
    return _upright(_plain(page, pixels), 1 if orientation is None else int(orientation.value))


def _part_of(page: Any, shape: tuple[int, int], find_part: FindPart | None) -> Part:
    """Find the part to read of an image that is too large to be read whole."""
    try:
        part = None if find_part is None else find_part(shape)
    except ValueError as error:
        raise NoPartError(str(error)) from error
    if part is None or math.prod(side.stop - side.start for side in part) > MAX_PIXELS:
        raise _too_large("" if find_part is None else ", or search a part of it with --region")
    reason = tiff_parts.reason_against(page)
    if reason:
        raise _too_large(_NO_PART.format(reason))
    return part


def _read_part(page: Any, part: Part) -> Array:
    try:
        return tiff_parts.read_part(page, part, MAX_PIXELS)
    except ValueError as error:  # a compression that only Pillow knows
        raise _too_large(_NO_PART.format(error)) from error


def _too_large(more: str) -> TooLargeError:
    return TooLargeError(f"announces more than {MAX_PIXELS:,} pixels; crop it or shrink it first{more}")


def _plain(page: Any, pixels: Array) -> Array:
    """Return the pixels of a page with black as 0, channels last."""
    import tifffile  # noqa: PLC0415

    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind in "ui":
        pixels = np.invert(pixels)
    return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels


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


def _read_with_pillow(file: BinaryIO, find_part: FindPart | None) -> Decoded:
    from PIL import Image, ImageOps  # noqa: PLC0415

    too_large = _too_large(
        "" if find_part is None else ", or save it as a TIFF, of which --region reads a part"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns from half our limit on, and of odd metadata
        try:
            opened = _open_with_pillow(file)
        except Image.DecompressionBombError:
            raise too_large from None
        with opened as image:
            if image.width * image.height > MAX_PIXELS:
                raise too_large
            ImageOps.exif_transpose(image, in_place=True)  # without, the image is copied
            return Decoded.whole(pixels_of_pillow(image), count=_count_frames(image))


def pixels_of_pillow(image: Any) -> Array:
    """Return the pixels of an upright Pillow image: grey or RGB, with alpha if it has transparent pixels."""
    upright = _with_plain_mode(image)
    pixels = _pixels_of(upright)
    transparent = image.info.get("transparency") if upright.mode.startswith("I") else None
    if transparent is not None:  # one grey level of 16 bits, which Pillow does not convert
        alpha = np.where(pixels == transparent, 0, 65535).astype(np.uint16)
        pixels = np.stack([pixels.astype(np.uint16), alpha], axis=-1)
    return pixels.astype(np.uint16) if pixels.dtype == ">u2" else pixels


def _pixels_of(image: Any) -> Array:
    """Copy the pixels of a Pillow image strip by strip: Pillow copies what is converted twice."""
    strips = range(0, image.height, max(1, _STRIP_PIXELS // image.width))
    boxes = [(0, top, image.width, min(top + strips.step, image.height)) for top in strips]
    parts = (np.asarray(image if len(boxes) == 1 else image.crop(box)) for box in boxes)
    first = next(parts)
    pixels = np.empty((image.height, *first.shape[1:]), first.dtype)
    for top, part in zip(strips, itertools.chain([first], parts), strict=True):
        pixels[top : top + len(part)] = part
    return pixels


def _open_with_pillow(file: BinaryIO) -> Any:
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415

    try:
        return Image.open(file, formats=_FORMATS[:5])  # which Pillow always loads
    except UnidentifiedImageError:
        Image.init()
        return Image.open(file, formats=[form for form in _FORMATS if form in Image.OPEN])


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
