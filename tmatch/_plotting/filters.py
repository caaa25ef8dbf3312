"""Figures of filters and kernels."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.casting import displayable
from tmatch._arrays.typing import Array
from tmatch._plotting.style import DPI, TICK_SIZE, TITLE_SIZE, draw_colour_bar, plain_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL_WIDTH, _TITLE_HEIGHT, _MAX_HEIGHT = 4.6, 0.4, 60.0  # inches
_MAX_WRITTEN = 49  # weights of a kernel whose numbers are written into it


def plot_filters(image: ArrayLike, results: Mapping[str, Sequence[tuple[str, ArrayLike]]], /) -> "Figure":
    """Draw an image and the results of filters: for each name titled 8-bit images.

    With one image for each name they fill a grid; with several each name has a row.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    pixels = displayable(np.asarray(image))
    rows = [
        [(f"{name}: {title}" if title else name, result) for title, result in r]
        for name, r in results.items()
    ]
    if all(len(row) == 1 for row in rows):
        panels = [("original", pixels), *(row[0] for row in rows)]
        columns = 2 if len(panels) == 4 else min(len(panels), 3)
    else:
        panels = [panel for row in rows for panel in (("original", pixels), *row)]
        columns = 1 + len(rows[0])
    n_rows = -(-len(panels) // columns)
    height = _PANEL_WIDTH * pixels.shape[0] / pixels.shape[1] + _TITLE_HEIGHT
    size = (_PANEL_WIDTH * columns, min(height * n_rows, _MAX_HEIGHT))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    for n, (title, shown) in enumerate(panels, 1):
        axes = figure.add_subplot(n_rows, columns, n)
        axes.imshow(np.asarray(shown), cmap="gray", vmin=0, vmax=255)
        axes.set_title(plain_text(title), fontsize=TITLE_SIZE, parse_math=False)
        axes.set_axis_off()
    return figure


def plot_kernel(kernel: Array, name: str, /) -> "Figure":
    """Draw the weights of a kernel and its frequency response."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    parts = {"weights": kernel.real}
    if kernel.dtype.kind == "c":
        parts = {"real part": kernel.real, "imaginary part": kernel.imag}
    figure = Figure(figsize=(5.2 * (len(parts) + 1), 4.4), dpi=DPI, layout="constrained")
    *panels, last = figure.subplots(1, len(parts) + 1)
    for axes, (title, weights) in zip(panels, parts.items(), strict=True):
        axes.set_title(plain_text(f"{name}: {title}"), parse_math=False)
        _draw_weights(axes, weights)
    _draw_response(last, kernel)
    return figure


def _draw_weights(axes: "Axes", weights: Array) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    largest = np.abs(weights).max() or 1.0
    shown = axes.imshow(weights, cmap="RdBu_r", vmin=-largest, vmax=largest)
    draw_colour_bar(axes, shown, "weight")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    axes.set(xlabel="column", ylabel="row")
    for (y, x), weight in np.ndenumerate(weights) if weights.size <= _MAX_WRITTEN else ():
        axes.text(x, y, f"{weight:.3g}", ha="center", va="center", fontsize=TICK_SIZE,
                  color="white" if abs(weight) > 0.6 * largest else "black")  # fmt: skip


def _draw_response(axes: "Axes", kernel: Array) -> None:
    response = np.abs(np.fft.fftshift(np.fft.fft2(kernel, [max(256, 2 * n) for n in kernel.shape])))
    shown = axes.imshow(response, cmap="inferno", vmin=0, extent=(-0.5, 0.5, 0.5, -0.5))
    draw_colour_bar(axes, shown, "gain")
    axes.set(
        title="frequency response",
        xlabel="horizontal frequency, cycles per pixel",
        ylabel="vertical frequency, cycles per pixel",
    )
