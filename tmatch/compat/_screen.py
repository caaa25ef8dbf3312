"""The screen: its points and colours. To capture it needs the extra `screen`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._io.sources import screens
from tmatch.compat._pixels import crop

if TYPE_CHECKING:
    from PIL.Image import Image


class PyScreezeException(Exception):
    """An error of this module."""


class Box(NamedTuple):
    """A rectangle on the screen or in an image.

    Parameters
    ----------
    left, top, width, height : int
        In pixels.
    """

    left: int
    top: int
    width: int
    height: int


class Point(NamedTuple):
    """A pixel of the screen.

    Parameters
    ----------
    x, y : int
        Counted from the left and from the top.
    """

    x: int
    y: int


class RGB(NamedTuple):
    """The colour of a pixel.

    Parameters
    ----------
    red, green, blue : int
        From 0 to 255.
    """

    red: int
    green: int
    blue: int


def center(coords: Sequence[int]) -> Point:
    """Return the middle of a box.

    Parameters
    ----------
    coords : (left, top, width, height)
        The box.

    Returns
    -------
    Point
        Of an even number of pixels the second of the two in the middle.

    Examples
    --------
    >>> from tmatch.compat import pyscreeze
    >>> pyscreeze.center((10, 10, 7, 8))
    Point(x=13, y=14)
    """
    left, top, width, height = coords
    return Point(left + int(width / 2), top + int(height / 2))


def capture(*, all_screens: bool = False) -> Array:
    """Capture the screen in blue, green, red and alpha."""
    number = 0 if all_screens else 1
    try:
        return screens.capture(f"{screens.PREFIX}{number or ''}", number)
    except (OSError, ValueError) as error:
        msg = f"the screen cannot be captured: {error}"
        raise PyScreezeException(msg) from error


def screenshot(
    imageFilename: str | None = None, region: Sequence[int] | None = None, allScreens: bool = False
) -> "Image":
    """Capture the screen; this needs the extra `screen`.

    Parameters
    ----------
    imageFilename : str or None
        File in which the image is saved as well; its ending is the format.
    region : (left, top, width, height) or None
        The part of the screen that is captured.
    allScreens : bool
        Whether all screens are captured, side by side, or the first.

    Returns
    -------
    PIL.Image.Image
        In red, green and blue.

    Raises
    ------
    PyScreezeException
        If the screen cannot be captured.
    ValueError
        If `region` does not begin on the screen.
    """
    from PIL import Image  # noqa: PLC0415

    pixels = capture(all_screens=allScreens)[..., 2::-1]
    image = Image.fromarray(
        np.ascontiguousarray(pixels if region is None else crop("region", pixels, region))
    )
    if imageFilename is not None:
        image.save(imageFilename)
    return image


def pixel(x: int, y: int) -> RGB:
    """Return the colour of a pixel of the screen; this needs the extra `screen`.

    Parameters
    ----------
    x, y : int
        Where the pixel is.

    Returns
    -------
    RGB
        Its colour.

    Raises
    ------
    PyScreezeException
        If the screen cannot be captured.
    ValueError
        If the pixel is not on the screen.
    """
    [[colour]] = crop("x, y, 1, 1", capture(), (x, y, 1, 1))[..., 2::-1].tolist()
    return RGB(*colour)


def pixelMatchesColor(x: int, y: int, expectedRGBColor: Sequence[int], tolerance: int = 0) -> bool:
    """Check whether a pixel of the screen has a colour; this needs the extra `screen`.

    Parameters
    ----------
    x, y : int
        Where the pixel is.
    expectedRGBColor : (red, green, blue)
        The colour; a fourth number, alpha, is ignored.
    tolerance : int
        How much each of the three may differ.

    Returns
    -------
    bool
        Whether it has.

    Raises
    ------
    PyScreezeException, ValueError
        As in `pixel`.
    """
    pairs = zip(pixel(x, y), expectedRGBColor, strict=False)
    return all(abs(found - expected) <= tolerance for found, expected in pairs)
