"""Figures of an image with its matches."""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tmatch._arrays.casting import displayable
from tmatch._io.given import VALID_OPACITY, ImageLike, read_given
from tmatch._plotting.labels import Label, write_labels
from tmatch._plotting.style import DPI, LABEL_SIZE, outlined, shortened
from tmatch._results.collection import Matches
from tmatch._results.matches import Match
from tmatch._results.palette import LABEL_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_WRITTEN, _MOST_BESIDE = 1000, 60  # matches whose labels are written, also beside their outlines
_LETTERS, _LETTERS_IN_LEGEND = 24, 40  # of a name, at most
_MIN_SIDE = 300  # smaller images are drawn enlarged, so that the labels can be read
_MAX_ZOOMED = 2000  # pixels an enlarged image may have on its longer side
_USUAL_SIDE = 9.0  # inches; in larger axes, which are looked at as a whole, lines and letters are larger
_LINE = 1.5  # points
_REJECTED = ("white", "--")
_LETTER, _BESIDE_NAME = 0.6, 4.5  # widths in a legend, in units of the size of letters
_LEGEND_GROUND = "0.15"  # on which the colours of labels are as visible as in an image

Look = tuple[str, str]  # colour and style of a line


def plot_matches(
    image: ImageLike,
    matches: Match | Sequence[Match],
    /,
    *,
    rejected: Match | None = None,
    ax: "Axes | None" = None,
) -> "Figure":
    """Draw the outlines of matches on their image, with their scores.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of real numbers, path, open file or Pillow image
        With up to 4 channels, as from `read_image`. 8-bit pixels are shown as they are, others scaled from their
        minimum to their maximum.
    matches : Match or sequence of Match
        If there are several labels, among them those that were sought and not found, a legend below the image counts
        the matches of each, and they are written to the matches. What is written is inside the outline if there is
        room, else beside it; the score alone, or nothing, where it would cover another label or outline. Of more than
        60 matches nothing is written beside outlines, and of more than 1000 nothing at all.
    rejected : Match or None
        A match to show dashed, as the best of those not accepted.
    ax : matplotlib.axes.Axes or None
        Where to draw, as one of several panels. None: in a figure of its own.

    Returns
    -------
    matplotlib.figure.Figure
        The figure of `ax`, or one of as many pixels as the image has, or a whole multiple for an image with a side
        under 300 pixels, and the legend below. Lines and letters grow with what is larger than usual.

    Notes
    -----
    Where poses were searched for, half of one side is thick: the left half of the template's top side. With that side
    up it is on the left; on the right where the template is mirrored.

    Seven colours, which all readers tell apart, are repeated with other styles of lines.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> found = tmatch.Match(tmatch.Box((20, 30), (40, 50)), score=0.9)
    >>> figure = tmatch.plot_matches(np.zeros((300, 400)), [found])
    >>> (figure.get_size_inches() * figure.dpi).tolist()
    [400.0, 300.0]
    """
    pixels = displayable(np.asarray(read_given("image", image, VALID_OPACITY)[0]))
    found = [matches] if isinstance(matches, Match) else matches
    axes = _own_axes(pixels.shape[:2]) if ax is None else ax
    aspect: Literal["auto", "equal"] = "auto" if ax is None else "equal"
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=aspect)
    axes.set_axis_off()
    axes.apply_aspect()
    scale = max(1.0, math.sqrt(math.prod(_inches(axes))) / _USUAL_SIDE)
    looks = _looks_of(found)
    drawn = [(match, looks[match.label], _texts(match, len(looks))) for match in found]
    if rejected is not None:
        score = f"{rejected.score:.2f}"
        named = f"best, not accepted: {shortened(rejected.label, _LETTERS)} {score}"
        drawn.append((rejected, _REJECTED, (named, f"not accepted: {score}", score)))
    for match, look, _ in drawn:
        _draw_outline(axes, match, look, scale)
    if len(drawn) <= _MOST_WRITTEN:
        labels = [Label(texts, match.corners, look[0]) for match, look, texts in drawn]
        write_labels(axes, labels, LABEL_SIZE * scale, beside=len(drawn) <= _MOST_BESIDE)
    if len(looks) > 1:
        _draw_legend(axes, looks, Counter(match.label for match in found), scale, below=ax is None)
    figure: Figure = axes.figure.figure  # of a part of a figure, the whole
    return figure


def _own_axes(size: tuple[int, int]) -> "Axes":
    """Return axes that fill a figure."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    (height, width) = size
    zoom = min(-(-_MIN_SIDE // min(size)), max(1, _MAX_ZOOMED // max(size)))
    figure = Figure(figsize=(width * zoom / DPI, height * zoom / DPI), dpi=DPI)
    return figure.add_axes((0, 0, 1, 1))


def _inches(axes: "Axes") -> tuple[float, float]:
    place = axes.get_window_extent()
    return place.width / axes.figure.dpi, place.height / axes.figure.dpi


def _looks_of(matches: Sequence[Match]) -> Mapping[str, Look]:
    """Return how the outlines of each label look: those that were sought come first, in their order."""
    sought = matches.labels if isinstance(matches, Matches) else ()
    labels = dict.fromkeys([*sought, *sorted({match.label for match in matches})])
    looks = itertools.cycle((colour, line) for line in ("-", "--", ":", "-.") for colour in LABEL_COLOURS)
    return dict(zip(labels, looks, strict=False))


def _texts(match: Match, n_labels: int) -> Sequence[str]:
    score = f"{match.score:.2f}"
    return (f"{shortened(match.label, _LETTERS)} {score}", score) if n_labels > 1 else (score,)


def _draw_outline(axes: "Axes", match: Match, look: Look, scale: float) -> None:
    """Draw the outline of a match, with lines that leave most of a small one free."""
    from matplotlib.lines import Line2D  # noqa: PLC0415
    from matplotlib.patches import Polygon  # noqa: PLC0415

    outline = [(column, row) for row, column in match.corners]
    points = axes.transData.transform(outline) * 72 / axes.figure.dpi
    shortest = min(math.dist(*points[:2]), math.dist(*points[1:3]))
    width = min(_LINE * scale, max(shortest / 8, _LINE / 2))
    colour, line = look
    axes.add_patch(Polygon(outline, fill=False, ec="black", lw=2 * width, alpha=0.6))
    axes.add_patch(Polygon(outline, fill=False, ec=colour, lw=width, ls=line))
    if match.template_shape:  # half of the top side, so that both its direction and a flip are seen
        xs, ys = ((first, (first + second) / 2) for first, second in zip(*outline[:2], strict=True))
        axes.add_line(Line2D(xs, ys, color=colour, lw=2.7 * width, solid_capstyle="projecting"))


def _draw_legend(
    axes: "Axes", looks: Mapping[str, Look], counts: Mapping[str, int], scale: float, *, below: bool
) -> None:
    """List all labels with the numbers of their matches, below the axes; with `below` the figure grows for it."""
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415
    from matplotlib.lines import Line2D  # noqa: PLC0415
    from matplotlib.textpath import text_to_path  # noqa: PLC0415

    size, width = LABEL_SIZE * scale, _inches(axes)[0] * 72  # points
    most = min(_LETTERS_IN_LEGEND, max(int((width / size - _BESIDE_NAME) / _LETTER) - 6, 4))
    names = [f"{shortened(label, most)} ({counts[label]})" for label in looks]
    font = FontProperties(size=size)
    widest = max(text_to_path.get_text_width_height_descent(name, font, ismath=False)[0] for name in names)
    columns = max(1, int(width // (widest + _BESIDE_NAME * size)))
    lines = [
        Line2D([], [], color=colour, ls=style, lw=_LINE * scale, path_effects=outlined(2 * _LINE * scale))
        for colour, style in looks.values()
    ]
    options: dict[str, Any] = {
        "ncols": min(columns, len(names)), "fontsize": size, "labelcolor": "white", "facecolor": _LEGEND_GROUND,
        "edgecolor": "none", "framealpha": 1, "borderaxespad": 0,
    }  # fmt: skip
    if not below:
        axes.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, 0), **options)
        return
    figure = axes.figure.figure
    legend = figure.legend(lines, names, loc="lower left", frameon=False, **options)
    image_width, image_height = figure.get_size_inches()
    strip = math.ceil(legend.get_window_extent().height) / DPI
    figure.set(facecolor=_LEGEND_GROUND)
    figure.set_size_inches(image_width, image_height + strip)
    axes.set_position((0, strip / (image_height + strip), 1, image_height / (image_height + strip)))
