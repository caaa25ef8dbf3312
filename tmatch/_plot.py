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
_MOST_ZOOMED = 2000  # pixels an enlarged image may have on its longer side
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
        As many pixels as the image has, or a whole multiple for an image with a side under 300 pixels.

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
    zoom = min(-(-_LEAST_SIDE // min(height, width)), max(1, _MOST_ZOOMED // max(height, width)))
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
    scores: ArrayLike | Mapping[str, ArrayLike],
    matches: Sequence[Match] = (),
    /,
    *,
    name: str = "score",
    first: Mapping[str, Sequence[int]] | None = None,
) -> "Figure":
    """Draw score maps as heatmaps with a colour bar, the found places ringed.

    Parameters
    ----------
    scores : (H, W) array of real numbers, or mapping of label to such arrays
        One panel each. Minus infinity, where a place has no score, is drawn grey.
    matches : sequence of Match
        Each is ringed at its first pixel in the panel of its label.
    name : str
        What the colour bar measures.
    first : mapping of label to (row, column), or None
        Pixel of the image at which the first window of a map begins, where that is not (0, 0): beyond the
        image for ``output="full"``, at the corner of a part that was searched alone.

    Returns
    -------
    matplotlib.figure.Figure
        Axes are in pixels of the image: a score stands where the first pixel of its window does.

    Raises
    ------
    ValueError
        If there is no map, or one is not 2-D, empty or holds NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> len(tmatch.plot_heatmap({"eye": np.eye(9), "ear": np.eye(9)}).axes)
    2
    """
    from matplotlib import colormaps  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    maps = {k: np.asarray(v) for k, v in (scores if isinstance(scores, Mapping) else {"": scores}).items()}
    if not maps or any(m.ndim != 2 or m.size == 0 or np.isnan(m.max()) for m in maps.values()):
        msg = f"`scores` has shapes {[m.shape for m in maps.values()]}; it must be 2-D maps, at least one, without NaN"
        raise ValueError(msg)
    tallest = max(m.shape[0] / m.shape[1] for m in maps.values())
    columns = min(len(maps), 3)
    rows = -(-len(maps) // columns)
    row_height = float(np.clip(0.9 + 5.0 * tallest, 2.2, 9))  # inches
    figure = Figure(figsize=(1.4 + 6.4 * columns, row_height * rows), dpi=_DPI, layout="constrained")
    colours = colormaps["inferno"].with_extremes(bad="0.6")
    for n, (label, values) in enumerate(maps.items(), 1):
        axes = figure.add_subplot(rows, columns, n)
        top, left = (first or {}).get(label, (0, 0))
        shown = axes.imshow(
            np.ma.masked_equal(values, -np.inf),
            cmap=colours,
            interpolation="nearest" if values.size < 10_000 else "antialiased",
            extent=(left - 0.5, left + values.shape[1] - 0.5, top + values.shape[0] - 0.5, top - 0.5),
        )
        figure.colorbar(shown, cax=axes.inset_axes((1.03, 0, 0.04, 1))).set_label(name, parse_math=False)
        here = [m for m in matches if m.label == label or len(maps) == 1]
        if here:
            ys, xs = zip(*(m.box.start for m in here), strict=True)
            axes.plot(xs, ys, "o", ms=14, mfc="none", mec=_COLOURS[0], mew=1.6, ls="none", clip_on=False)
        best = np.unravel_index(values.argmax(), values.shape)
        found = f"; {len(here)} places" if len(here) > 1 else ""
        title = f"best {values[best]:.3f} at x = {best[1] + left}, y = {best[0] + top}{found}"
        axes.set_title(f"{_plain(label)}: {title}" if label else title, fontsize=10, parse_math=False)
        note = "; grey: no score" if values.min() == -np.inf else ""
        axes.set_xlabel(f"x of the window's first pixel{note}")
        axes.set_ylabel("y of the window's first pixel")
    return figure


def plot_filters(image: ArrayLike, results: Mapping[str, Sequence[tuple[str, ArrayLike]]], /) -> "Figure":
    """Draw an image and what filters made of it: 8-bit pictures by name, each with titled companions.

    Without companions the pictures fill a grid; with them each name has a row.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    pixels = _displayable(np.asarray(image))
    rows = [
        [(f"{name}: {title}" if title else name, picture) for title, picture in r]
        for name, r in results.items()
    ]
    if all(len(row) == 1 for row in rows):
        panels = [("original", pixels), *(row[0] for row in rows)]
        columns = 2 if len(panels) == 4 else min(len(panels), 3)
    else:
        panels = [panel for row in rows for panel in (("original", pixels), *row)]
        columns = 1 + len(rows[0])
    height = 4.6 * pixels.shape[0] / pixels.shape[1] + 0.4
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, min(height * lines, 60)), dpi=_DPI, layout="constrained")
    for n, (title, picture) in enumerate(panels, 1):
        axes = figure.add_subplot(lines, columns, n)
        axes.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255)
        axes.set_title(_plain(title), fontsize=10, parse_math=False)
        axes.set_axis_off()
    return figure


def plot_kernel(kernel: Any, name: str, /) -> "Figure":
    """Draw a kernel's weights, and how much of each frequency it lets through."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    parts = {"weights": kernel.real}
    if kernel.dtype.kind == "c":
        parts = {"real part": kernel.real, "imaginary part": kernel.imag}
    figure = Figure(figsize=(5.2 * (len(parts) + 1), 4.4), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, len(parts) + 1)
    for axes, (title, weights) in zip(panels, parts.items(), strict=False):
        most = np.abs(weights).max() or 1.0
        shown = axes.imshow(weights, cmap="RdBu_r", vmin=-most, vmax=most)
        figure.colorbar(shown, cax=axes.inset_axes((1.03, 0, 0.04, 1)))
        axes.set_title(_plain(f"{name}: {title}"), parse_math=False)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.yaxis.get_major_locator().set_params(integer=True)
        for (y, x), weight in np.ndenumerate(weights) if weights.size <= 49 else ():
            axes.text(x, y, f"{weight:.3g}", ha="center", va="center", fontsize=8,
                      color="white" if abs(weight) > 0.6 * most else "black")  # fmt: skip
    response = np.abs(np.fft.fftshift(np.fft.fft2(kernel, [max(256, 2 * n) for n in kernel.shape])))
    shown = panels[-1].imshow(response, cmap="inferno", vmin=0, extent=(-0.5, 0.5, 0.5, -0.5))
    figure.colorbar(shown, cax=panels[-1].inset_axes((1.03, 0, 0.04, 1)), label="gain")
    panels[-1].set(
        title="frequency response", xlabel="cycles per pixel, across", ylabel="cycles per pixel, down"
    )
    return figure


def _plain(text: str) -> str:
    """Make a file name drawable."""
    return text.encode("utf-8", "replace").decode()


def _displayable(pixels: Any) -> Any:
    """Stretch anything but 8-bit pixels to 0..255."""
    if pixels.ndim not in (2, 3) or pixels.size == 0 or pixels.dtype.kind not in "biuf":
        msg = f"`image` has shape {pixels.shape} and dtype {pixels.dtype}; a picture has rows, columns and real numbers"
        raise ValueError(msg)
    if pixels.dtype == np.uint8:
        return pixels
    real = np.nan_to_num(pixels.astype(np.float64), posinf=0, neginf=0)
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
    label_y = above if above > line_height else below
    patch = {"facecolor": "black", "alpha": 0.65, "pad": 1.2, "lw": 0}
    axes.text(
        label_x, label_y, _plain(text), color=colour, fontsize=9, va="bottom", bbox=patch, parse_math=False
    )
