"""PyScreeze's functions that locate images on the screen (PyScreeze 1.0, as PyAutoGUI has them), computed by tmatch.

The same names, arguments and results: boxes of left, top, width and height in row-major order, and
`ImageNotFoundException` unless `USE_IMAGE_NOT_FOUND_EXCEPTION` is False. Images are file names, Pillow images, or
arrays as OpenCV has them: blue, green, red. Transparency is ignored. The screen needs the extra `screen`.

PyScreeze has two back ends, Pillow and OpenCV. Intentional differences from them:

- With a `confidence` from 0.999 (the default) to 1, all pixels must be equal, as with Pillow. OpenCV compares a score
  with the confidence, which 1 never passes, and which at 0.999 an image of other brightness or contrast passes, as one
  that is greyed out.
- With a lower one, each object is reported once, where it fits best, besides all positions with equal pixels. There,
  all positions around it that pass are reported, and `locate` gives the first of them, a little beside the object.
- An image of a single colour is found where pixels are equal. OpenCV finds it everywhere.
- NaN and infinity are refused. There, one NaN hides everything.
- `step` skips nothing. OpenCV compares every second pixel if it is 2.
- A `region` must begin in the image. There, one that does not is empty, or counted from the other side.
- Numbers in boxes are Python's. There, OpenCV gives NumPy's.
- An image that is not found is told with its best score and what was asked for.

tmatch knows no windows: `locateOnWindow` says what to do instead. `screenshotWindow`, which does nothing, and
`showRegionOnScreen` are left out.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_count
from tmatch.compat._needle import NeedleSearch
from tmatch.compat._screen import (
    RGB,
    Box,
    Point,
    PyScreezeException,
    capture,
    center,
    pixel,
    pixelMatchesColor,
    screenshot,
)

__all__ = [
    "GRAYSCALE_DEFAULT", "RGB", "USE_IMAGE_NOT_FOUND_EXCEPTION", "Box", "ImageNotFoundException", "Point",
    "PyScreezeException", "center", "locate", "locateAll", "locateAllOnScreen", "locateCenterOnScreen",
    "locateCenterOnScreenNear", "locateOnScreen", "locateOnScreenNear", "locateOnWindow", "pixel",
    "pixelMatchesColor", "screenshot",
]  # fmt: skip

GRAYSCALE_DEFAULT = True
USE_IMAGE_NOT_FOUND_EXCEPTION = True

Region = Sequence[int] | None
AnyImage = Any  # file name, Pillow image or array


class ImageNotFoundException(PyScreezeException):
    """The image is nowhere."""


def locateAll(
    needleImage: AnyImage,
    haystackImage: AnyImage,
    grayscale: bool | None = None,
    limit: int | None = 10000,
    region: Region = None,
    step: int = 1,
    confidence: float = 0.999,
) -> Iterator[Box]:
    """Find all positions of an image in another.

    Parameters
    ----------
    needleImage : file name, Pillow image or array
        The image to find.
    haystackImage : file name, Pillow image or array
        The image to search.
    grayscale : bool or None
        Whether colours are ignored. None: as `GRAYSCALE_DEFAULT` says.
    limit : int or None
        Maximum number of boxes, the first ones; None for no limit.
    region : (left, top, width, height) or None
        The part of `haystackImage` that is searched.
    step : int
        Without effect: no pixel is skipped.
    confidence : float
        From 0.999 to 1: all pixels must be equal. Lower, down to 0: the least zero-mean normalized cross-correlation.

    Yields
    ------
    Box
        In row-major order, in pixels of the whole of `haystackImage`.

    Raises
    ------
    ImageNotFoundException
        If there is none, unless `USE_IMAGE_NOT_FOUND_EXCEPTION` is False.
    ValueError
        If the needle is larger than what is searched, or an argument is out of range.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from tmatch.compat import pyscreeze
    >>> screen = np.zeros((30, 40, 3), np.uint8)
    >>> button = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    >>> screen[5:9, 20:26] = screen[17:21, 3:9] = button
    >>> list(pyscreeze.locateAll(button, screen))
    [Box(left=20, top=5, width=6, height=4), Box(left=3, top=17, width=6, height=4)]
    """
    check_count("limit", limit, or_none=True)
    search = _search(needleImage, haystackImage, grayscale, region, confidence)
    found = False
    for box in itertools.islice(_boxes(search), limit):
        found = True
        yield box
    if not found:
        _tell_none(search)


def _search(
    needle: AnyImage, haystack: AnyImage, grayscale: bool | None, region: Region, confidence: float
) -> NeedleSearch:
    gray = GRAYSCALE_DEFAULT if grayscale is None else grayscale
    return NeedleSearch.of(needle, haystack, gray=gray, region=region, confidence=confidence)


def _boxes(search: NeedleSearch) -> Iterator[Box]:
    height, width = search.needle.shape[:2]
    return (Box(column, row, width, height) for row, column in search.places())


def _tell_none(search: NeedleSearch) -> None:
    """Say that nothing was found, in the way that is chosen."""
    if USE_IMAGE_NOT_FOUND_EXCEPTION:
        raise ImageNotFoundException(search.describe_failure())


def locate(
    needleImage: AnyImage,
    haystackImage: AnyImage,
    *,
    grayscale: bool | None = None,
    limit: int | None = 1,
    region: Region = None,
    step: int = 1,
    confidence: float = 0.999,
) -> Box | None:
    """Find the first position of an image in another.

    Parameters
    ----------
    needleImage, haystackImage, grayscale, limit, region, step, confidence
        As in `locateAll`, but `limit` is 1, whatever is given.

    Returns
    -------
    Box or None
        The first in row-major order. None if there is none and `USE_IMAGE_NOT_FOUND_EXCEPTION` is False.

    Raises
    ------
    ImageNotFoundException, ValueError, OSError
        As in `locateAll`.

    See Also
    --------
    tmatch.best_match : the best position instead of the first.

    Examples
    --------
    >>> from tmatch.compat import pyscreeze
    >>> pyscreeze.locate("datasets/toolbar/save.png", "datasets/toolbar/image.png")
    Box(left=10, top=6, width=22, height=22)
    """
    return next(locateAll(needleImage, haystackImage, grayscale, 1, region, step, confidence), None)


def locateOnScreen(
    image: AnyImage,
    minSearchTime: float = 0,
    *,
    grayscale: bool | None = None,
    limit: int | None = 1,
    region: Region = None,
    step: int = 1,
    confidence: float = 0.999,
) -> Box | None:
    """Find the first position of an image on the screen.

    Parameters
    ----------
    image : file name, Pillow image or array
        The image to find.
    minSearchTime : float
        Seconds to wait for it: screenshots are taken until it is there. 0: one.
    grayscale, limit, region, step, confidence
        As in `locate`.

    Returns
    -------
    Box or None
        As from `locate`.

    Raises
    ------
    PyScreezeException
        If the screen cannot be captured.
    ImageNotFoundException, ValueError, OSError
        As in `locate`.
    """
    return _wait(capture, time.monotonic, image, minSearchTime, grayscale, region, confidence)


def _wait(
    screen: Callable[[], Array],
    clock: Callable[[], float],
    image: AnyImage,
    seconds: float,
    grayscale: bool | None,
    region: Region,
    confidence: float,
) -> Box | None:
    """Search one screenshot after the other, until the image is found or the time is over."""
    start = clock()
    while True:
        search = _search(image, screen(), grayscale, region, confidence)
        box = next(_boxes(search), None)
        if box is None and clock() - start < seconds:
            continue
        if box is None:
            _tell_none(search)
        return box


def locateAllOnScreen(
    image: AnyImage,
    *,
    grayscale: bool | None = None,
    limit: int | None = 10000,
    region: Region = None,
    step: int = 1,
    confidence: float = 0.999,
) -> Iterator[Box]:
    """Find all positions of an image on the screen as it is now.

    Parameters
    ----------
    image : file name, Pillow image or array
        The image to find.
    grayscale, limit, region, step, confidence
        As in `locateAll`.

    Returns
    -------
    iterator of Box
        As from `locateAll`.

    Raises
    ------
    PyScreezeException
        If the screen cannot be captured.
    ImageNotFoundException, ValueError, OSError
        As in `locateAll`.
    """
    return locateAll(image, capture(), grayscale, limit, region, step, confidence)


def locateCenterOnScreen(
    image: AnyImage,
    *,
    minSearchTime: float = 0,
    grayscale: bool | None = None,
    limit: int | None = 1,
    region: Region = None,
    step: int = 1,
    confidence: float = 0.999,
) -> Point | None:
    """Find the middle of the first position of an image on the screen.

    Parameters
    ----------
    image, minSearchTime, grayscale, limit, region, step, confidence
        As in `locateOnScreen`.

    Returns
    -------
    Point or None
        The `center` of the box that `locateOnScreen` finds.

    Raises
    ------
    PyScreezeException, ImageNotFoundException, ValueError, OSError
        As in `locateOnScreen`.
    """
    box = _wait(capture, time.monotonic, image, minSearchTime, grayscale, region, confidence)
    return None if box is None else center(box)


def locateOnScreenNear(
    image: AnyImage,
    x: float,
    y: float,
    *,
    grayscale: bool | None = None,
    region: Region = None,
    confidence: float = 0.999,
) -> Box | None:
    """Find the position of an image on the screen that is nearest to a point.

    Parameters
    ----------
    image : file name, Pillow image or array
        The image to find.
    x, y : float
        The point, from which distances to the middle of boxes are measured.
    grayscale, region, confidence
        As in `locateAll`.

    Returns
    -------
    Box or None
        None if there is none and `USE_IMAGE_NOT_FOUND_EXCEPTION` is False.

    Raises
    ------
    PyScreezeException, ImageNotFoundException, ValueError, OSError
        As in `locateAllOnScreen`.
    """
    boxes = locateAll(image, capture(), grayscale, None, region, 1, confidence)
    return min(boxes, key=lambda box: math.dist(center(box), (x, y)), default=None)


def locateCenterOnScreenNear(
    image: AnyImage,
    x: float,
    y: float,
    *,
    grayscale: bool | None = None,
    region: Region = None,
    confidence: float = 0.999,
) -> Point | None:
    """Find the middle of the position of an image on the screen that is nearest to a point.

    Parameters
    ----------
    image, x, y, grayscale, region, confidence
        As in `locateOnScreenNear`.

    Returns
    -------
    Point or None
        The `center` of the box that `locateOnScreenNear` finds.

    Raises
    ------
    PyScreezeException, ImageNotFoundException, ValueError, OSError
        As in `locateOnScreenNear`.
    """
    box = locateOnScreenNear(image, x, y, grayscale=grayscale, region=region, confidence=confidence)
    return None if box is None else center(box)


def locateOnWindow(image: AnyImage, title: str, **options: Any) -> Box | None:
    """Say how to find an image in a window.

    Parameters
    ----------
    image, title, **options
        Without effect.

    Returns
    -------
    Box or None
        Never.

    Raises
    ------
    PyScreezeException
        Always, as tmatch knows no windows.
    """
    msg = (
        "tmatch knows no windows; pass the window's left, top, width and height as `region` to locateOnScreen"
    )
    raise PyScreezeException(msg)
