"""Figures: score maps as heatmaps, matches as boxes on the image. Nothing here touches pyplot."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tmatch._match import Match

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#00e5ff", "#ffd600", "#ff4081", "#76ff03", "#ff9100", "#b388ff")  # seen on dark and bright
_DPI = 100
_LEAST_SIDE = 300  # smaller images are drawn enlarged, so that the labels can be read
_MOST_LABELS = 60


def plot_matches(image: ArrayLike, matches: Sequence[Match], /, *, rejected: Match | None = None) -> "Figure":
    """Draw the boxes of matches on their image, the score beside each.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) array of real numbers
        8-bit pixels are shown as they are, others from their least to their greatest value.
    matches : sequence of Match
        Each label has its colour, and is named beside its boxes if there are several. Where more than 60
        scores would crowd the picture, they are left out.
    rejected : Match or None
        A place to show dashed, as the best of those not accepted.

    Returns
    -------
    matplotlib.figure.Figure
        As many pixels as the image has, or a whole multiple for an image under 300 pixels.

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

    pixels = _displayable(np.asarray(image))
    height, width = pixels.shape[:2]
    zoom = -(-_LEAST_SIDE // min(height, width))
    figure = Figure(figsize=(width * zoom / _DPI, height * zoom / _DPI), dpi=_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    labels = sorted({match.label for match in matches})
    for match in matches:
        colour = _COLOURS[labels.index(match.label) % len(_COLOURS)]
        name = f"{match.label} " if len(labels) > 1 else ""
        text = f"{name}{match.score:.2f}" if len(matches) <= _MOST_LABELS else ""
        _draw_box(axes, match, colour, text, zoom, (height, width))
    if rejected is not None:
        text = f"best, not accepted: {rejected.label} {rejected.score:.2f}"
        _draw_box(axes, rejected, "#ff8a80", text, zoom, (height, width), line="--")
    return figure


def plot_heatmap(
    scores: ArrayLike | Mapping[str, ArrayLike], matches: Sequence[Match] = (), /, *, name: str = "score"
) -> "Figure":
    """Draw score maps as heatmaps with a colour bar, the found places ringed.

    Parameters
    ----------
    scores : (H, W) array of real numbers, or mapping of label to such arrays
        One panel each.
    matches : sequence of Match
        Each is ringed at its first pixel in the panel of its label.
    name : str
        What the colour bar measures.

    Returns
    -------
    matplotlib.figure.Figure
        Axes are in pixels of the image: a score stands where the first pixel of its window does.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> len(tmatch.plot_heatmap({"eye": np.eye(9), "ear": np.eye(9)}).axes)
    2
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    maps = {k: np.asarray(v) for k, v in (scores if isinstance(scores, Mapping) else {"": scores}).items()}
    tallest = max(m.shape[0] / m.shape[1] for m in maps.values())
    columns = min(len(maps), 3)
    rows = -(-len(maps) // columns)
    row_height = float(np.clip(0.9 + 5.0 * tallest, 2.2, 9))  # inches
    figure = Figure(figsize=(1.4 + 6.4 * columns, row_height * rows), dpi=_DPI, layout="constrained")
    for n, (label, values) in enumerate(maps.items(), 1):
        axes = figure.add_subplot(rows, columns, n)
        shown = axes.imshow(
            values, cmap="inferno", interpolation="nearest" if values.size < 10_000 else "antialiased"
        )
        figure.colorbar(shown, cax=axes.inset_axes((1.03, 0, 0.04, 1)), label=name)
        here = [m for m in matches if m.label == label or len(maps) == 1]
        if here:
            ys, xs = zip(*(m.box.start for m in here), strict=True)
            axes.plot(xs, ys, "o", ms=14, mfc="none", mec=_COLOURS[0], mew=1.6, ls="none", clip_on=False)
        best = np.unravel_index(values.argmax(), values.shape)
        found = f"{len(here)} found" if here else "none found"
        title = f"best {values[best]:.3f} at x = {best[1]}, y = {best[0]}; {found}"
        axes.set_title(f"{label}: {title}" if label else title, fontsize=10)
        axes.set_xlabel("x of the window's first pixel")
        axes.set_ylabel("y of the window's first pixel")
    return figure


def _displayable(pixels: Any) -> Any:
    """Stretch anything but 8-bit pixels to 0..255."""
    if pixels.dtype == np.uint8:
        return pixels
    real = pixels.astype(np.float64)
    span = np.ptp(real) or 1.0
    return ((real - real.min()) * (255 / span)).round().astype(np.uint8)


def _draw_box(
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
    axes.text(label_x, above if above > line_height else below, text, color=colour, fontsize=9, va="bottom",
              bbox={"facecolor": "black", "alpha": 0.65, "pad": 1.2, "lw": 0})  # fmt: skip
