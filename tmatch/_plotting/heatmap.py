"""Figures of score maps."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.typing import Array
from tmatch._plotting.panels import Panels
from tmatch._plotting.style import LOST, MOST_LETTERS, ScoreColours, mark, shortened
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
    lost: Sequence[Match] = (),
) -> "Figure":
    """Draw score maps as heatmaps with a colour bar, and rings around the matches.

    All panels have the same colours for the same score. Scores of both signs are red and blue about 0. A map with more
    positions than pixels to draw is drawn by blocks, each in the colour of its highest score, or of the one farthest
    from 0 if there are scores of both signs: a peak of one position is seen.

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
    lost : sequence of Match
        Positions where a template fits, but another one better: each has a cross in the panel of its label.

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
    maps = {k: np.asarray(v) for k, v in (scores if isinstance(scores, Mapping) else {"": scores}).items()}
    if not maps or any(m.ndim != 2 or m.size == 0 or np.isnan(m.max()) for m in maps.values()):
        msg = f"`scores` has shapes {[m.shape for m in maps.values()]}; it must be 2-D maps, at least one, without NaN"
        raise ValueError(msg)
    colours = ScoreColours.of([*maps.values()])
    own = {
        label: [[m for m in each if m.label == label or len(maps) == 1] for each in (matches, lost)]
        for label in maps
    }
    corners = {label: (first or {}).get(label, (0, 0)) for label in maps}
    titles = [
        [
            _title(label, values, corners[label], len(own[label][0])),
            *["grey: no score"] * bool(values.min() == -np.inf),
            *[LOST] * bool(own[label][1]),
        ]
        for label, values in maps.items()
    ]
    panels = Panels([values.shape for values in maps.values()], titles, min(len(maps), 3))
    for number, (label, values) in enumerate(maps.items()):
        axes = panels.add_axes(number)
        panels.finish(number, axes, colours.draw(axes, values, corners[label], block=panels.block), name)
        for each, marker in zip(own[label], "ox", strict=True):
            mark(axes, [match.box.start for match in each], marker)
        axes.set(xlabel="x of the window's first pixel", ylabel="y of the window's first pixel")
    return panels.figure


def _title(label: str, scores: Array, first: Sequence[int], n_matches: int) -> str:
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    title = "no score"
    if scores[row, column] != -np.inf:
        count = f"; {n_matches} matches" if n_matches > 1 else ""
        title = f"best {scores[row, column]:.3f} at x={column + first[1]}, y={row + first[0]}{count}"
    return f"{shortened(label, MOST_LETTERS)}: {title}" if label else title
