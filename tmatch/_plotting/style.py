"""Colours, sizes and boxes that all figures share."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tmatch._results.matches import Match

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#00e5ff", "#ffd600", "#ff4081", "#76ff03", "#ff9100", "#b388ff")  # seen on dark and bright
DPI = 100
MIN_SIDE = 300  # smaller images are drawn enlarged, so that the labels can be read
MAX_ZOOMED = 2000  # pixels an enlarged image may have on its longer side


def plain_text(text: str) -> str:
    """Make a file name drawable."""
    return text.encode("utf-8", "replace").decode()


def displayable(pixels: Any) -> Any:
    """Stretch anything but 8-bit pixels to 0..255."""
    if pixels.ndim not in (2, 3) or pixels.size == 0 or pixels.dtype.kind not in "biuf":
        msg = f"`image` has shape {pixels.shape} and dtype {pixels.dtype}; a picture has rows, columns and real numbers"
        raise ValueError(msg)
    if pixels.dtype == np.uint8:
        return pixels
    real = np.nan_to_num(pixels.astype(np.float64), posinf=0, neginf=0)
    span = np.ptp(real) or 1.0
    return ((real - real.min()) * (255 / span)).round().astype(np.uint8)


def draw_box(
    axes: "Axes", match: Match, colour: str, text: str, zoom: int, size: tuple[int, int], line: str = "-"
) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415

    x, y, width, height = match.box.xywh
    corner = (x - 0.5, y - 0.5)  # pixel centres are whole numbers
    axes.add_patch(Rectangle(corner, width, height, fill=False, ec="black", lw=3, alpha=0.6))
    axes.add_patch(Rectangle(corner, width, height, fill=False, ec=colour, lw=1.5, ls=line))
    if not text:
        return
    line_height, letter = 17 / zoom, 7 / zoom  # of the label, in pixels of the image
    above = y - 0.5 - 3 / zoom
    below = min(y + height + line_height, size[0] - 2)
    label_x = max(0.0, min(x, size[1] - letter * len(text) - 4))
    label_y = above if above > line_height else below
    patch = {"facecolor": "black", "alpha": 0.65, "pad": 1.2, "lw": 0}
    axes.text(
        label_x,
        label_y,
        plain_text(text),
        color=colour,
        fontsize=9,
        va="bottom",
        bbox=patch,
        parse_math=False,
    )
