"""Boxes and labels of hits, drawn on an image as MTM draws them with OpenCV."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.typing import Array
from tmatch.compat._pixels import opencv_gray

BBox = tuple[int, int, int, int]  # x, y, width, height
Hit = tuple[str, BBox, float]  # label, box, score
_LETTER = 30  # height of a line of text in pixels where the scale is 1


def drawBoxesOnRGB(
    image: ArrayLike,
    listHit: Iterable[Hit],
    boxThickness: int = 2,
    boxColor: tuple[float, float, float] = (255, 255, 0),
    showLabel: bool = False,
    labelColor: tuple[float, float, float] = (255, 255, 0),
    labelScale: float = 0.5,
) -> Array:
    """Draw the boxes of hits on a copy of an image, in colour.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array
        The image that was searched.
    listHit : iterable of (label, (x, y, width, height), score)
        As from `matchTemplates`.
    boxThickness : int
        Of the lines, in pixels; below 0 boxes are filled. OpenCV draws 2 three pixels wide.
    boxColor : (red, green, blue)
        Colour of boxes.
    showLabel : bool
        Whether labels are written above the boxes.
    labelColor : (red, green, blue)
        Colour of labels.
    labelScale : float
        Size of the letters; 1 is about 30 pixels.

    Returns
    -------
    (H, W, 3) array of the image's dtype
        The copy.

    Raises
    ------
    ValueError
        If the image is neither grey nor RGB.

    Examples
    --------
    >>> import numpy as np
    >>> from tmatch.compat import mtm
    >>> drawn = mtm.drawBoxesOnRGB(np.zeros((6, 7), np.uint8), [("a", (1, 1, 3, 2), 0.9)], boxThickness=1)
    >>> drawn[..., 0]
    array([[  0,   0,   0,   0,   0,   0,   0],
           [  0, 255, 255, 255, 255,   0,   0],
           [  0, 255,   0,   0, 255,   0,   0],
           [  0, 255, 255, 255, 255,   0,   0],
           [  0,   0,   0,   0,   0,   0,   0],
           [  0,   0,   0,   0,   0,   0,   0]], dtype=uint8)
    """
    pixels = _drawable(image)
    copy = np.dstack([pixels] * 3) if pixels.ndim == 2 else pixels.copy()
    return _draw(copy, listHit, boxThickness, boxColor, labelColor if showLabel else None, labelScale)


def drawBoxesOnGray(
    image: ArrayLike,
    listHit: Iterable[Hit],
    boxThickness: int = 2,
    boxColor: float = 255,
    showLabel: bool = False,
    labelColor: float = 255,
    labelScale: float = 0.5,
) -> Array:
    """Draw the boxes of hits on a copy of an image, in grey.

    Parameters
    ----------
    image, listHit, boxThickness
        As in `drawBoxesOnRGB`.
    boxColor : float
        Grey level of boxes.
    showLabel
        As in `drawBoxesOnRGB`.
    labelColor : float
        Grey level of labels.
    labelScale
        As in `drawBoxesOnRGB`.

    Returns
    -------
    (H, W) array
        The copy.

    Raises
    ------
    ValueError
        If the image is neither grey nor RGB.

    Examples
    --------
    >>> import numpy as np
    >>> from tmatch.compat import mtm
    >>> mtm.drawBoxesOnGray(np.zeros((6, 7, 3), np.uint8), [("a", (1, 1, 3, 2), 0.9)]).shape
    (6, 7)
    """
    copy = np.array(opencv_gray(_drawable(image)))
    return _draw(copy, listHit, boxThickness, boxColor, labelColor if showLabel else None, labelScale)


def _drawable(image: ArrayLike) -> Array:
    pixels = np.asarray(image)
    if pixels.ndim != 2 and pixels.shape[2:] != (3,):
        msg = f"`image` has shape {pixels.shape}; it must be grey, (H, W), or RGB, (H, W, 3)"
        raise ValueError(msg)
    return pixels


def _draw(
    pixels: Array, hits: Iterable[Hit], thickness: int, colour: Any, label_colour: Any, label_scale: float
) -> Array:
    """Draw boxes, and their labels if these have a colour."""
    kept = list(hits)
    for _, bbox, _ in kept:
        _draw_frame(pixels, bbox, thickness, colour)
    if label_colour is not None:
        _draw_labels(pixels, [(str(label), *bbox[:2]) for label, bbox, _ in kept], label_scale, label_colour)
    return pixels


def _draw_frame(pixels: Array, bbox: Sequence[int], thickness: int, colour: Any) -> None:
    """Draw the outline of a box, as ``cv2.rectangle`` from (x, y) to (x + width, y + height); fill it if below 0."""
    x, y, width, height = bbox
    reach = 0 if thickness <= 1 else (thickness + 1) // 2
    first = [max(start - reach, 0) for start in (y, x)]
    last = [max(stop + reach + 1, 0) for stop in (y + height, x + width)]
    part = pixels[first[0] : last[0], first[1] : last[1]]
    rows, columns = np.ogrid[: part.shape[0], : part.shape[1]]
    # How far beyond the nearer side; below 0 inside.
    beyond_y = abs(2 * (rows + first[0] - y) - height) / 2 - height / 2
    beyond_x = abs(2 * (columns + first[1] - x) - width) / 2 - width / 2
    beyond = np.maximum(beyond_y, beyond_x)
    outside = np.hypot(np.maximum(beyond_y, 0), np.maximum(beyond_x, 0))
    part[beyond <= 0 if thickness < 0 else np.where(beyond > 0, outside, -beyond) <= reach] = colour


def _draw_labels(pixels: Array, labels: Sequence[tuple[str, int, int]], scale: float, colour: Any) -> None:
    """Write texts whose lines begin at (x, y), the left end of the line that letters stand on."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415

    ink = Image.new("L", (pixels.shape[1], pixels.shape[0]))
    pen, font = ImageDraw.Draw(ink), ImageFont.load_default(_LETTER * scale)
    for text, x, y in labels:
        pen.text((x, y), text, 255, font, anchor="ls")
    levels = np.asarray(ink)
    drawn = levels > 0
    share = levels[drawn].reshape(-1, *(1,) * (pixels.ndim - 2)) / 255
    mixed = (1 - share) * pixels[drawn] + share * np.asarray(colour)
    pixels[drawn] = np.rint(mixed) if pixels.dtype.kind in "iu" else mixed
