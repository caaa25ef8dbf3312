"""Colours, sizes and drawing helpers that all figures share."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmatch._results.matches import Match

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

COLOURS = (
    "#00e5ff",
    "#ffd600",
    "#ff4081",
    "#76ff03",
    "#ff9100",
    "#b388ff",
)  # visible on dark and on bright images
REJECTED = "#ff8a80"  # visible there, too
MAIN, SECOND, THIRD, BARS = "#1565c0", "#d84315", "#7b1fa2", "#ef9a7a"  # of lines and bars, on white
GUIDE = "0.4"  # lines that mark a limit
DPI = 100
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 10, 9, 8  # points
MIN_SIDE = 300  # smaller images are drawn enlarged, so that the labels can be read
MAX_ZOOMED = 2000  # pixels an enlarged image may have on its longer side


def plain_text(text: str) -> str:
    """Return a file name that can be drawn."""
    return text.encode("utf-8", "replace").decode()


def score_colours() -> "Colormap":
    """Return the colours of score maps; positions without a score are grey."""
    from matplotlib import colormaps  # noqa: PLC0415

    return colormaps["inferno"].with_extremes(bad="0.6")


def draw_scores(
    axes: "Axes",
    scores: Any,
    first: tuple[float, float],
    interpolation: str = "nearest",
    side: float = 1,
) -> Any:
    """Draw a score map whose first element begins at the pixel (row, column) `first`, and is `side` pixels wide."""
    return axes.imshow(
        np.ma.masked_equal(scores, -np.inf),
        cmap=score_colours(),
        interpolation=interpolation,
        extent=extent_of(scores.shape, first, side),
    )


def extent_of(
    shape: Sequence[int], first: tuple[float, float], side: float = 1
) -> tuple[float, float, float, float]:
    """Return the edges of an array on axes in pixels: left, right, bottom, top."""
    (top, left), (rows, columns) = first, shape
    return left - 0.5, left + columns * side - 0.5, top + rows * side - 0.5, top - 0.5


def draw_colour_bar(
    axes: "Axes",
    shown: Any,
    label: str = "",
    *,
    gap: float = 0.03,
    width: float = 0.04,
    ticks: Mapping[float, str] | None = None,
) -> None:
    """Draw a colour bar at the right of an image, as high as it; `gap` and `width` are shares of its width.

    `ticks` are values and what is written beside them, if not the usual ones.
    """
    bar = axes.figure.colorbar(shown, cax=axes.inset_axes((1 + gap, 0, width, 1)))
    bar.set_label(label, parse_math=False)
    if ticks:
        bar.set_ticks([*ticks], labels=[*ticks.values()])


def ring(axes: "Axes", xs: Any, ys: Any) -> None:
    """Draw rings around positions."""
    axes.plot(xs, ys, "o", ms=14, mfc="none", mec=COLOURS[0], mew=1.6, ls="none", clip_on=False)


def draw_box(
    axes: "Axes", match: Match, colour: str, text: str, zoom: float, size: tuple[int, int], line: str = "-"
) -> None:
    """Draw the outline of a match in an image of `size` (height, width), with a text above or below its box."""
    from matplotlib.lines import Line2D  # noqa: PLC0415
    from matplotlib.patches import Polygon  # noqa: PLC0415

    outline = [(column, row) for row, column in match.corners]
    axes.add_patch(Polygon(outline, fill=False, ec="black", lw=3, alpha=0.6))
    axes.add_patch(Polygon(outline, fill=False, ec=colour, lw=1.5, ls=line))
    if match.template_shape:  # half of the top side, so that both its direction and a flip are seen
        xs, ys = ((first, (first + second) / 2) for first, second in zip(*outline[:2], strict=True))
        axes.add_line(Line2D(xs, ys, color=colour, lw=4, solid_capstyle="projecting"))
    x, y, _, height = match.box.xywh
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
        fontsize=LABEL_SIZE,
        va="bottom",
        bbox=patch,
        parse_math=False,
    )
