"""How large an image file may be."""

from typing import Any

from numpy.typing import NDArray

Pixels = NDArray[Any]
MAX_PIXELS = 178_956_970  # twice Pillow's own warning level: 512 MB as 8-bit colour


class TooLargeError(Exception):
    pass
