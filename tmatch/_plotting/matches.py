"""Figures of an image with its matches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.casting import displayable
from tmatch._plotting.style import COLOURS, DPI, MAX_ZOOMED, MIN_SIDE, REJECTED, draw_box
from tmatch._results.matches import Match

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_LABELS = 60


def plot_matches(
    image: ArrayLike,
    matches: Match | Sequence[Match],
    /,
    *,
    rejected: Match | None = None,
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the outlines of matches on their image, with their scores.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of real numbers
        With up to 4 channels, as from `read_image`. 8-bit pixels are shown as they are, others scaled from their
        minimum to their maximum.
    matches : Match or sequence of Match
        Each label has its colour, and is written beside its boxes if there are several. With more than 60
        matches labels and scores are left out.
    rejected : Match or None
        A match to show dashed, as the best of those not accepted.
    ax : matplotlib.axes.Axes or None
        Where to draw, as one of several panels. None: in a figure of its own.

    Returns
    -------
    matplotlib.figure.Figure
        The figure of `ax`, or one of as many pixels as the image has, or a whole multiple for an image with a side
        under 300 pixels.

    Notes
    -----
    Where poses were searched for, half of one side is thick: the left half of the template's top side. With that side
    up it is on the left; on the right where the template is mirrored.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> found = tmatch.Match(tmatch.Box((20, 30), (40, 50)), score=0.9)
    >>> figure = tmatch.plot_matches(np.zeros((300, 400)), [found])
    >>> (figure.get_size_inches() * figure.dpi).tolist()
    [400.0, 300.0]
    """
    pixels = displayable(np.asarray(image))
    found = [matches] if isinstance(matches, Match) else matches
    size: tuple[int, int] = pixels.shape[:2]
    axes, zoom = _own_axes(size) if ax is None else (ax, _zoom_of(ax, size))
    aspect: Literal["auto", "equal"] = "auto" if ax is None else "equal"
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=aspect)
    axes.set_axis_off()
    labels = sorted({match.label for match in found})
    for match in found:
        colour = COLOURS[labels.index(match.label) % len(COLOURS)]
        name = f"{match.label} " if len(labels) > 1 else ""
        text = f"{name}{match.score:.2f}" if len(found) <= _MAX_LABELS else ""
        draw_box(axes, match, colour, text, zoom, size)
    if rejected is not None:
        text = f"best, not accepted: {rejected.label} {rejected.score:.2f}"
        draw_box(axes, rejected, REJECTED, text, zoom, size, line="--")
    figure: Figure = axes.figure.figure  # of a part of a figure, the whole
    return figure


def _own_axes(size: tuple[int, int]) -> tuple["Axes", float]:
    """Return axes that fill a figure, and how many of its pixels one of the image takes."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    (height, width) = size
    zoom = min(-(-MIN_SIDE // min(size)), max(1, MAX_ZOOMED // max(size)))
    figure = Figure(figsize=(width * zoom / DPI, height * zoom / DPI), dpi=DPI)
    return figure.add_axes((0, 0, 1, 1)), zoom


def _zoom_of(axes: "Axes", size: tuple[int, int]) -> float:
    """Return how many pixels of a figure of the usual resolution one of an image takes that fills the axes."""
    place = axes.get_window_extent()
    scale = DPI / axes.figure.dpi
    return float(min(place.height / size[0], place.width / size[1]) * scale)
