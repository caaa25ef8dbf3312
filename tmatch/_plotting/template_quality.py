"""The figure of `inspect_template`: what a template looks like, what it is like, how it fares in noise."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.typing import Array
from tmatch._diagnostics.template_quality import (
    ALIKE,
    Inspection,
    chance_scores,
    self_scores,
    spread,
    take_apart,
)
from tmatch._filtering.ranges import to_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_STRETCHED = 6.0  # longer pictures are drawn this many times as long as wide, or nothing would be seen
_TRUE, _CHANCE, _RING = "#1565c0", "#d84315", "#00e5ff"


def plot_inspection(
    template: ArrayLike,
    inspection: Inspection,
    /,
    *,
    mask: ArrayLike | None = None,
    channel_axis: int | None = None,
) -> "Figure":
    """Draw a template, its likeness to shifted, mirrored and turned copies, and how it fares in noise.

    Parameters
    ----------
    template : (H, W) array of real numbers, with or without an axis of channels
        8-bit pixels are shown as they are, others from their least to their greatest value.
    inspection : Inspection
        What `inspect_template` found about it.
    mask : array of bool or of weights, (H, W), or None
        As told to `inspect_template`. What does not count is drawn faint.
    channel_axis : int or None
        As told to `inspect_template`.

    Returns
    -------
    matplotlib.figure.Figure
        Four panels under the advice.

    Raises
    ------
    ValueError
        If the template is not 2-D, or not of the shape that was inspected.

    Examples
    --------
    >>> import numpy as np
    >>> from tmatch._inspect import inspect_template
    >>> template = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    >>> figure = plot_inspection(template, inspect_template(template))
    >>> [axes.get_title().splitlines()[0] for axes in figure.axes[:2]]
    ['30 x 20 pixels', 'score with a shifted copy of itself']
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    channels, weights = take_apart(template, mask, channel_axis)
    if weights.ndim != 2 or weights.shape != inspection.shape:
        msg = (
            f"`template` has shape {weights.shape} and `inspection` is of one of shape {inspection.shape}; both "
            "must be of one template with two axes besides that of channels"
        )
        raise ValueError(msg)
    figure = Figure(layout="constrained", dpi=100)
    panels = _panels(figure, weights.shape)
    _draw_template(panels["template"], channels, weights, inspection)
    _draw_shifts(panels["shifts"], self_scores(channels, weights), inspection)
    _draw_likeness(panels["likeness"], inspection)
    _draw_noise(panels["noise"], *spread(channels, weights), inspection)
    figure.suptitle(textwrap.fill(inspection.advice, 90), fontsize=11)
    return figure


def _panels(figure: "Figure", shape: tuple[int, ...]) -> dict[str, "Axes"]:
    """Lay the panels out so that the pictures are as large as their form allows."""
    tall = float(np.clip(shape[0] / shape[1], 1 / _MOST_STRETCHED, _MOST_STRETCHED))
    if tall < 0.4:  # wide: the pictures above each other
        height = 7.6 * tall + 0.9
        figure.set_size_inches(9.6, 2 * height + 4.2)
        mosaic, heights, widths = ["tt", "ss", "ln"], [height, height, 3.4], [1.0, 1.0]
    elif tall > 2.5:  # high: beside each other
        width = 5.6 / tall + 1.8
        figure.set_size_inches(2 * width + 6.2, 7.2)
        mosaic, heights, widths = ["tsl", "tsn"], [1.0, 1.0], [width, width, 5.6]
    else:
        height = min(4.4 * tall, 6.5) + 0.6
        figure.set_size_inches(10.4, height + 4.2)
        mosaic, heights, widths = ["ts", "ln"], [height, 3.4], [1.0, 1.0]
    panels = figure.subplot_mosaic("\n".join(mosaic), height_ratios=heights, width_ratios=widths)
    return {
        name: panels[letter]
        for letter, name in zip("tsln", ("template", "shifts", "likeness", "noise"), strict=True)
    }


def _draw_template(
    axes: "Axes", channels: list[Array], weights: NDArray[np.float64], found: Inspection
) -> None:
    counts = weights > 0
    pixels = np.stack([np.where(counts, channel, channel[counts].min()) for channel in channels], axis=-1)
    if len(channels) != 3:
        pixels = pixels.mean(axis=-1) if len(channels) > 1 else pixels[..., 0]
    shown = pixels if pixels.dtype == np.uint8 else to_range(pixels, how="rescale")
    axes.set_facecolor("0.85")
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, alpha=weights / weights.max(), interpolation="nearest")
    share = "" if counts.all() else f", {found.pixels} count"
    size = f"{weights.shape[1]} x {weights.shape[0]} pixels{share}"
    axes.set_title(f"{size}\ncontrast {found.contrast:.3g}", fontsize=10)
    axes.set_xlabel("x in pixels")
    axes.set_ylabel("y in pixels")
    _shape(axes, weights.shape)


def _draw_shifts(axes: "Axes", heights: NDArray[np.float64], found: Inspection) -> None:
    from matplotlib import colormaps  # noqa: PLC0415

    known = np.isfinite(heights)
    reach = [
        int(np.abs(np.flatnonzero(known.any(axis=1 - axis)) - n // 2).max())
        for axis, n in enumerate(known.shape)
    ]
    part = tuple(slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(heights.shape, reach, strict=True))
    shown = axes.imshow(
        np.ma.masked_equal(heights[part], -np.inf),
        cmap=colormaps["inferno"].with_extremes(bad="0.6"),
        interpolation="nearest",
        extent=(-reach[1] - 0.5, reach[1] + 0.5, reach[0] + 0.5, -reach[0] - 0.5),
    )
    across = 0.04 * _shape(axes, heights[part].shape)
    axes.figure.colorbar(shown, cax=axes.inset_axes((1 + 0.75 * across, 0, across, 1)), label="score")
    title = "score with a shifted copy of itself"
    if found.side_lobe_at:
        y, x = found.side_lobe_at
        axes.plot([x], [y], "o", ms=14, mfc="none", mec=_RING, mew=1.6, clip_on=False)
        title += f"\nside lobe {found.side_lobe:.2f} at x = {x}, y = {y}"
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("shift in x, pixels")
    axes.set_ylabel("shift in y, pixels")


def _draw_likeness(axes: "Axes", found: Inspection) -> None:
    names, scores = zip(*found.likeness, strict=True)
    bars = axes.barh(names, scores, color=_TRUE, height=0.6)
    axes.bar_label(bars, [f"{score:.2f}" for score in scores], padding=3, fontsize=9)
    axes.axvline(ALIKE, color="0.4", ls="--", lw=1)
    axes.axvline(0, color="0.2", lw=0.8)
    axes.set_xlim(min(0.0, *scores) - 0.3 * (min(scores) < 0), 1.2)
    axes.invert_yaxis()
    axes.set_title("score with a mirrored or turned copy of itself", fontsize=10)
    axes.set_xlabel(f"score; dashed: {ALIKE:g}, a usual threshold")


def _draw_noise(axes: "Axes", contrast: float, effective: float, values: float, found: Inspection) -> None:
    noise = np.linspace(0, 2 * found.noise or 3 * contrast, 200)
    true_scores = contrast / np.hypot(contrast, noise)
    chance = chance_scores(true_scores, effective, values, found.places)
    axes.plot(noise, true_scores, color=_TRUE, label="true place")
    axes.plot(noise, chance, color=_CHANCE, ls="--", label=f"chance, best of {found.places:,} places")
    axes.axvline(found.noise, color="0.4", lw=1, ls=":")
    axes.set_xlim(0, noise[-1])
    least = float(min(true_scores[-1], chance.min()))
    axes.set_ylim(max(0.0, least - 0.2 * (1 - least)), 1 + 0.1 * (1 - least))
    axes.legend(fontsize=9, loc="best", framealpha=0.8)
    axes.set_title(f"expected score in noise: chance is as good at {found.noise:.3g}", fontsize=10)
    axes.set_xlabel("standard deviation of the noise, grey levels")
    axes.set_ylabel("score")


def _shape(axes: "Axes", shape: tuple[int, ...]) -> float:
    """Let pixels be square unless the picture is very long; give its height over its width, at least 1."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    tall = shape[0] / shape[1]
    drawn = float(np.clip(tall, 1 / _MOST_STRETCHED, _MOST_STRETCHED))
    axes.set_aspect(drawn / tall)
    for axis, long in ((axes.xaxis, 1 / drawn), (axes.yaxis, drawn)):
        bins, steps = (7, [1, 2, 5, 10]) if long > 0.5 else (2, [1, 2, 3, 4, 5, 6, 8, 10])
        axis.set_major_locator(MaxNLocator(bins, steps=steps, integer=True))
    return max(1.0, drawn)
