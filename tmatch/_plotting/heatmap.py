"""Figures of score maps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tmatch._plotting.style import COLOURS, DPI, plain_text
from tmatch._results.matches import Match

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    figure = Figure(figsize=(1.4 + 6.4 * columns, row_height * rows), dpi=DPI, layout="constrained")
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
            axes.plot(xs, ys, "o", ms=14, mfc="none", mec=COLOURS[0], mew=1.6, ls="none", clip_on=False)
        best = np.unravel_index(values.argmax(), values.shape)
        found = f"; {len(here)} places" if len(here) > 1 else ""
        title = f"best {values[best]:.3f} at x = {best[1] + left}, y = {best[0] + top}{found}"
        axes.set_title(f"{plain_text(label)}: {title}" if label else title, fontsize=10, parse_math=False)
        note = "; grey: no score" if values.min() == -np.inf else ""
        axes.set_xlabel(f"x of the window's first pixel{note}")
        axes.set_ylabel("y of the window's first pixel")
    return figure
