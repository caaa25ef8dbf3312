"""Figures of an image with its matches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tmatch._plotting.style import COLOURS, DPI, MAX_ZOOMED, MIN_SIDE, REJECTED, displayable, draw_box
from tmatch._results.matches import Match

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_LABELS = 60


def plot_matches(image: ArrayLike, matches: Sequence[Match], /, *, rejected: Match | None = None) -> "Figure":
    """Draw the outlines of matches on their image, with their scores.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array of real numbers
        8-bit pixels are shown as they are, others scaled from their minimum to their maximum.
    matches : sequence of Match
        Each label has its colour, and is written beside its boxes if there are several. With more than 60
        matches labels and scores are left out.
    rejected : Match or None
        A match to show dashed, as the best of those not accepted.

    Returns
    -------
    matplotlib.figure.Figure
        As many pixels as the image has, or a whole multiple for an image with a side under 300 pixels.

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
    from matplotlib.figure import Figure  # noqa: PLC0415

    pixels = displayable(np.asarray(image))
    height, width = pixels.shape[:2]
    zoom = min(-(-MIN_SIDE // min(height, width)), max(1, MAX_ZOOMED // max(height, width)))
    figure = Figure(figsize=(width * zoom / DPI, height * zoom / DPI), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    labels = sorted({match.label for match in matches})
    for match in matches:
        colour = COLOURS[labels.index(match.label) % len(COLOURS)]
        name = f"{match.label} " if len(labels) > 1 else ""
        text = f"{name}{match.score:.2f}" if len(matches) <= _MAX_LABELS else ""
        draw_box(axes, match, colour, text, zoom, (height, width))
    if rejected is not None:
        text = f"best, not accepted: {rejected.label} {rejected.score:.2f}"
        draw_box(axes, rejected, REJECTED, text, zoom, (height, width), line="--")
    return figure
