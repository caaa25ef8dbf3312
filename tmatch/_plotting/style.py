"""Colours, sizes and drawing helpers that all figures share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmatch._arrays.typing import Array, Positions
from tmatch._results.palette import BLUE, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.patheffects import AbstractPathEffect

MAIN, SECOND, BARS = BLUE, VERMILION, "0.8"  # of lines and bars, on white
GUIDE = "0.4"  # lines that mark a limit
DPI = 100
TITLE_SIZE, LABEL_SIZE, TICK_SIZE = 10, 9, 8  # points
_MARKERS = 60.0  # points: rings and crosses are this large over the root of their number
MOST_LETTERS = 60  # of a label in a title
LOST = "cross: another template fits better"
_ELLIPSIS = "…"


def plain_text(text: str) -> str:
    """Return a file name that can be drawn."""
    return text.encode("utf-8", "replace").decode()


def shortened(text: str, most: int) -> str:
    """Return a text of so many letters at most, without its middle if it is longer: names begin and end differently."""
    text = plain_text(text)
    if len(text) <= most:
        return text
    end = max(most - 1, 2) // 2
    return f"{text[: max(most - 1 - end, 1)]}{_ELLIPSIS}{text[-end:]}"


def outlined(width: float, colour: str = "black") -> "list[AbstractPathEffect]":
    """Surround lines and letters by another colour, so that they are seen on any background; `width` is in points."""
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    return [withStroke(linewidth=width, foreground=colour)]


@dataclass(frozen=True)
class ScoreColours:
    """The colours of score maps that are drawn side by side: the same for the same score.

    Scores of both signs are red and blue about 0, which is white.
    """

    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, maps: Sequence[Array]) -> "ScoreColours":
        """Choose colours for all finite scores of some maps."""
        reals = [values.astype(np.result_type(values, np.float16), copy=False) for values in maps]
        there = [(values, np.isfinite(values)) for values in reals]
        low = min(float(values.min(where=known, initial=np.inf)) for values, known in there)
        high = max(float(values.max(where=known, initial=-np.inf)) for values, known in there)
        if low > high:
            return cls()
        return cls(-max(-low, high), max(-low, high)) if low < 0 < high else cls(low, high)

    @property
    def signed(self) -> bool:
        """Whether there are scores of both signs."""
        return self.low < 0 < self.high

    @property
    def colormap(self) -> "Colormap":
        """The colours; positions without a score are grey."""
        from matplotlib import colormaps  # noqa: PLC0415

        return colormaps["RdBu_r" if self.signed else "inferno"].with_extremes(bad="0.6")

    def strongest(self, scores: Array, side: int) -> Positions:
        """Find the score to draw of each block of `side` x `side`, as indices of the flattened map.

        It is the highest one, so that no peak is lost; of scores of both signs the one farthest from 0, as minima tell
        something, too. Beside a copy no score is farther from 0 than its own.
        """
        columns = scores.shape[1]
        blocks = -(-columns // side)
        found = []
        for top in range(0, len(scores), side):
            rank = scores[top : top + side].astype(np.float64)
            if self.signed:
                rank = np.where(rank == -np.inf, -1, np.abs(rank))
            rank = np.pad(rank, [(0, 0), (0, blocks * side - columns)], constant_values=-np.inf)
            best = rank.reshape(-1, blocks, side).swapaxes(0, 1).reshape(blocks, -1).argmax(axis=1)
            found.append((top + best // side) * columns + np.arange(blocks) * side + best % side)
        return np.array(found, np.intp)

    def draw(
        self, axes: "Axes", scores: Array, first: Sequence[float], *, side: float = 1, block: int = 1
    ) -> Any:
        """Draw a score map whose first element begins at the pixel (row, column) `first`, and is `side` pixels wide.

        Of each block of `block` x `block` scores the strongest is drawn.
        """
        shown = scores if block == 1 else scores.ravel()[self.strongest(scores, block)]
        drawn = axes.imshow(
            np.ma.masked_array(shown, shown == -np.inf), cmap=self.colormap, vmin=self.low, vmax=self.high,
            interpolation="nearest", extent=extent_of(shown.shape, first, side * block),
        )  # fmt: skip
        limit_to(axes, scores.shape, first, side)
        return drawn


def extent_of(
    shape: Sequence[int], first: Sequence[float], side: float = 1
) -> tuple[float, float, float, float]:
    """Return the edges of an array on axes in pixels: left, right, bottom, top."""
    (top, left), (rows, columns) = first, shape
    return left - 0.5, left + columns * side - 0.5, top + rows * side - 0.5, top - 0.5


def limit_to(axes: "Axes", shape: Sequence[int], first: Sequence[float], side: float = 1) -> None:
    """Cut what blocks at the border show beyond an array, name whole pixels, and let the frame hide none."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    left, right, bottom, top = extent_of(shape, first, side)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    for spine in axes.spines.values():
        spine.set_zorder(-1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))


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


def mark(axes: "Axes", places: Sequence[Sequence[float]], marker: str = "o") -> None:
    """Draw rings, or other markers, around positions (row, column)."""
    if not len(places):
        return
    ys, xs = zip(*places, strict=True)
    size = float(np.clip(_MARKERS / len(places) ** 0.5, 6, 14))
    axes.plot(
        xs, ys, marker=marker, ms=size, mfc="none", mec="black", mew=1.6, ls="none", clip_on=False,
        path_effects=outlined(3.6, "white"),
    )  # fmt: skip
