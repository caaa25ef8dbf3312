"""Figures of score maps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.typing import Array
from tmatch._plotting.style import DPI, TITLE_SIZE, draw_colour_bar, draw_scores, plain_text, ring
from tmatch._results.matches import Match

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_heatmap(
    scores: ArrayLike | Mapping[str, ArrayLike],
    matches: Sequence[Match] = (),
    /,
    *,
    name: str = "score",
    first: Mapping[str, Sequence[int]] | None = None,
) -> "Figure":
    """Draw score maps as heatmaps with a colour bar, and rings around the matches.

    Parameters
    ----------
    scores : (H, W) array of real numbers, or mapping of label to such arrays
        One panel each. Minus infinity, where a position has no score, is drawn grey.
    matches : sequence of Match
        Each has a ring at its first pixel in the panel of its label.
    name : str
        Label of the colour bar.
    first : mapping of label to (row, column), or None
        First pixel of the first window of a map, if it is not (0, 0): outside the image for ``output="full"``,
        the corner of a part that was searched alone.

    Returns
    -------
    matplotlib.figure.Figure
        Axes are in pixels of the image: a score is drawn at the first pixel of its window.

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
    from matplotlib.figure import Figure  # noqa: PLC0415

    maps = {k: np.asarray(v) for k, v in (scores if isinstance(scores, Mapping) else {"": scores}).items()}
    if not maps or any(m.ndim != 2 or m.size == 0 or np.isnan(m.max()) for m in maps.values()):
        msg = f"`scores` has shapes {[m.shape for m in maps.values()]}; it must be 2-D maps, at least one, without NaN"
        raise ValueError(msg)
    tallest = max(m.shape[0] / m.shape[1] for m in maps.values())
    columns = min(len(maps), 3)
    rows = -(-len(maps) // columns)
    row_height = float(np.clip(0.9 + 5.0 * tallest, 2.2, 9))  # inches
    figure = Figure(figsize=(1.4 + 6.4 * columns, row_height * rows), dpi=DPI, layout="constrained")
    for n, (label, values) in enumerate(maps.items(), 1):
        here = [m for m in matches if m.label == label or len(maps) == 1]
        _draw_map(
            figure.add_subplot(rows, columns, n), label, values, here, name, (first or {}).get(label, (0, 0))
        )
    return figure


def _draw_map(
    axes: "Axes", label: str, scores: Array, matches: Sequence[Match], name: str, first: Sequence[int]
) -> None:
    top, left = first
    shown = draw_scores(axes, scores, (top, left), "nearest" if scores.size < 10_000 else "antialiased")
    draw_colour_bar(axes, shown, name)
    if matches:
        ys, xs = zip(*(m.box.start for m in matches), strict=True)
        ring(axes, xs, ys)
    best = np.unravel_index(scores.argmax(), scores.shape)
    title = "no score"
    if scores[best] != -np.inf:
        count = f"; {len(matches)} matches" if len(matches) > 1 else ""
        title = f"best {scores[best]:.3f} at x={best[1] + left}, y={best[0] + top}{count}"
    axes.set_title(f"{plain_text(label)}: {title}" if label else title, fontsize=TITLE_SIZE, parse_math=False)
    note = "; grey: no score" if scores.min() == -np.inf else ""
    axes.set_xlabel(f"x of the window's first pixel{note}")
    axes.set_ylabel("y of the window's first pixel")
