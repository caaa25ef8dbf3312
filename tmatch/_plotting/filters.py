"""Figures of filters and kernels."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tmatch._plotting.style import DPI, displayable, plain_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_filters(image: ArrayLike, results: Mapping[str, Sequence[tuple[str, ArrayLike]]], /) -> "Figure":
    """Draw an image and what filters made of it: 8-bit pictures by name, each with titled companions.

    Without companions the pictures fill a grid; with them each name has a row.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    pixels = displayable(np.asarray(image))
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
    figure = Figure(figsize=(4.6 * columns, min(height * lines, 60)), dpi=DPI, layout="constrained")
    for n, (title, picture) in enumerate(panels, 1):
        axes = figure.add_subplot(lines, columns, n)
        axes.imshow(np.asarray(picture), cmap="gray", vmin=0, vmax=255)
        axes.set_title(plain_text(title), fontsize=10, parse_math=False)
        axes.set_axis_off()
    return figure


def plot_kernel(kernel: Any, name: str, /) -> "Figure":
    """Draw a kernel's weights, and how much of each frequency it lets through."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    parts = {"weights": kernel.real}
    if kernel.dtype.kind == "c":
        parts = {"real part": kernel.real, "imaginary part": kernel.imag}
    figure = Figure(figsize=(5.2 * (len(parts) + 1), 4.4), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(parts) + 1)
    for axes, (title, weights) in zip(panels, parts.items(), strict=False):
        most = np.abs(weights).max() or 1.0
        shown = axes.imshow(weights, cmap="RdBu_r", vmin=-most, vmax=most)
        figure.colorbar(shown, cax=axes.inset_axes((1.03, 0, 0.04, 1)))
        axes.set_title(plain_text(f"{name}: {title}"), parse_math=False)
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
