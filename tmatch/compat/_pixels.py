"""Parts of images and their grey levels, as OpenCV has them."""

import numbers
from collections.abc import Sequence

import numpy as np

from tmatch._arrays.typing import Array

_GREY = (9798, 19235, 3735)  # red, green, blue by ITU-R BT.601, over 2**15
_STRIP_PIXELS = 2**15  # that are converted at a time, in memory that is near


def crop(name: str, pixels: Array, region: Sequence[int]) -> Array:
    """Cut left, top, width and height out of an image; what lies beyond its right and bottom side is left out."""
    if len(region) != 4 or not all(isinstance(number, numbers.Integral) for number in region):
        msg = f"`{name}` is {region!r}; it must be four whole numbers: left, top, width and height"
        raise ValueError(msg)
    left, top, width, height = region
    if min(left, top) < 0 or min(width, height) < 1 or top >= pixels.shape[0] or left >= pixels.shape[1]:
        size = f"{pixels.shape[1]} x {pixels.shape[0]} pixels"
        msg = f"`{name}` is {tuple(region)!r}; it must begin in the image, {size}, and be at least one wide and high"
        raise ValueError(msg)
    return pixels[top : top + height, left : left + width]


def opencv_gray(pixels: Array) -> Array:
    """Convert red, green and blue to grey as OpenCV does, which rounds whole numbers."""
    if pixels.ndim == 2:
        return pixels
    if pixels.dtype != np.uint8:
        exact = pixels[..., :3] @ np.array([0.299, 0.587, 0.114])
        return np.asarray(np.rint(exact).astype(pixels.dtype) if pixels.dtype.kind in "iu" else exact)
    gray = np.empty(pixels.shape[:2], np.uint8)
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(gray), rows):
        red, green, blue = (pixels[top : top + rows, :, i] * np.uint32(_GREY[i]) for i in range(3))
        gray[top : top + rows] = (red + green + blue + np.uint32(2**14)) >> np.uint32(15)
    return gray
