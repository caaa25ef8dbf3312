"""Decode by Pillow what it can read, but no documents."""

import contextlib
import functools
import itertools
import threading
import warnings
from typing import Any, BinaryIO

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.decoders import pages
from tmatch._io.decoders.pages import Decoded, FindPart, too_large

_STRIP_PIXELS = 2**24  # of an image that are converted at a time
# What Pillow reads besides includes EPS, for which it starts Ghostscript.
_FORMATS = (
    "PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000", "MPO", "TGA", "ICO", "ICNS", "CUR", "DIB",
    "DDS", "PCX", "DCX", "PSD", "QOI", "SGI", "SUN", "XBM", "XPM", "FLI", "FITS", "IM", "MSP", "PIXAR", "SPIDER",
)  # fmt: skip
# Their further images are previews, layers or other sizes of the first.
_ONE_IMAGE = {"MPO", "PSD", "ICO", "ICNS"}
_KEPT_MODES = {"L", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"}


class PillowPages:
    """The images of a file that Pillow reads; it is opened when it is first needed."""

    unit = "frames"

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @functools.cached_property
    def _image(self) -> Any:
        self._file.seek(0)
        return _open_with_pillow(self._file)

    @functools.cached_property
    def count(self) -> int:
        """Count the images."""
        with _QUIET:
            return _count_frames(self._image)

    def decode(self, page: int, find_part: FindPart | None = None) -> Decoded:
        """Decode an image."""
        with _QUIET:
            image = self._opened(
                ""
                if find_part is None
                else ", or save it as zarr or a TIFF in tiles, which are searched part by part"
            )
            if self.count > 1:
                image = self._turned_to(page).copy()  # as what follows changes it
            return Decoded.whole(_upright_pixels(image))

    def _turned_to(self, page: int) -> Any:
        if page < self._image.tell() and self._image.format != "TIFF":  # animations go forwards
            del self._image
        self._image.seek(page)
        return self._image

    def _opened(self, remedy: str) -> Any:
        from PIL import Image  # noqa: PLC0415

        try:
            image = self._image
        except Image.DecompressionBombError:
            raise too_large(remedy) from None
        if image.width * image.height > pages.MAX_PIXELS:
            raise too_large(remedy)
        return image

    def close(self) -> None:
        """Close the file."""
        if "_image" in self.__dict__:
            self._image.close()


class _Quiet:
    """Keep what Pillow warns of from being shown: from half our limit on, and of odd metadata.

    Several threads may be in it at a time, whose `warnings.catch_warnings` would undo each other.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._caught = threading.Lock(), 0, contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._caught.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", module="PIL")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._caught.close()


_QUIET = _Quiet()


def _upright_pixels(image: Any) -> Array:
    from PIL import ImageOps  # noqa: PLC0415

    ImageOps.exif_transpose(image, in_place=True)  # without, the image is copied
    return pixels_of_pillow(image)


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
