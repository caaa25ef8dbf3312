"""A grid of panels for maps, each as large as its map is among the others."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tmatch._plotting.style import DPI, TITLE_SIZE, draw_colour_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 5.0, 6.5  # of the widest and of the highest map, inches
_LEAST, _LEAST_CELL = 0.8, 2.0  # sides of a map, and of the place with what is written around it, inches
_LARGEST_PIXEL = 0.5  # inches
_BESIDE, _ABOVE = 2.2, 0.9  # of each map, for labels, colour bar and title, inches
_GAP, _BAR = 0.15, 0.2  # before a colour bar, and its width, inches
_LETTER, _LINE = 0.085, 0.17  # of a title, inches


class Panels:
    """The panels of a figure, row by row: one pixel of a map is as large in all of them, unless it is a very thin one.

    `shapes` are those of the maps, `titles` the lines above them, which are broken where they are long. `block` is the
    side of the blocks that maps are drawn by, the least with which none is smaller than a pixel.
    """

    def __init__(
        self, shapes: Sequence[Sequence[int]], titles: Sequence[Sequence[str]], columns: int
    ) -> None:
        from matplotlib.figure import Figure  # noqa: PLC0415
        from matplotlib.gridspec import GridSpec  # noqa: PLC0415

        heights, widths = zip(*shapes, strict=True)
        inch = min(_WIDTH / max(widths), _HEIGHT / max(heights), _LARGEST_PIXEL)
        rows = [slice(start, start + columns) for start in range(0, len(shapes), columns)]
        self._shapes = shapes
        self._sizes = [tuple(max(_LEAST, inch * side) for side in shape) for shape in shapes]
        high, wide = zip(*self._sizes, strict=True)
        column_widths = [max(_LEAST_CELL, *wide[n::columns]) for n in range(columns)]
        row_heights = [max(_LEAST_CELL, *high[row]) for row in rows]
        letters = [int((width + _BESIDE / 2) / _LETTER) for width in column_widths]
        self._titles = [
            "\n".join(textwrap.fill(line, letters[n % columns]) for line in lines)
            for n, lines in enumerate(titles)
        ]
        breaks = sum(max(title.count("\n") for title in self._titles[row]) for row in rows)
        width = sum(column_widths) + _BESIDE * columns
        height = sum(row_heights) + _ABOVE * len(rows) + _LINE * breaks
        self.figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        self._grid = GridSpec(
            len(rows), columns, self.figure, width_ratios=column_widths, height_ratios=row_heights
        )
        self.block = math.ceil(1 / (inch * DPI))

    def add_axes(self, number: int) -> "Axes":
        """Add the axes of a panel, with its title."""
        axes = self.figure.add_subplot(self._grid[number])
        axes.set_title(self._titles[number], fontsize=TITLE_SIZE, parse_math=False)
        return axes

    def finish(
        self, number: int, axes: "Axes", shown: Any, label: str, ticks: Mapping[float, str] | None = None
    ) -> None:
        """Give the map of a panel its shape, and a colour bar."""
        (rows, columns), (height, width) = self._shapes[number], self._sizes[number]
        axes.set_aspect((height / rows) / (width / columns))
        draw_colour_bar(axes, shown, label, gap=_GAP / width, width=_BAR / width, ticks=ticks)
