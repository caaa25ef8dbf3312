"""The figure of `inspect_template`: the template, its self-similarity, and its score in noise."""

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.options import ChannelAxis
from tmatch._arrays.typing import Array
from tmatch._diagnostics.template_quality import (
    SIMILAR,
    Inspection,
    critical_scores,
    measure_contrast,
    read_alone,
    self_scores,
    split_template,
)
from tmatch._filtering.ranges import to_range
from tmatch._io.given import ImageLike
from tmatch._plotting.style import (
    DPI,
    GUIDE,
    LABEL_SIZE,
    MAIN,
    SECOND,
    TITLE_SIZE,
    ScoreColours,
    draw_colour_bar,
    mark,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_STRETCH = 6.0  # longer images are drawn this many times as long as wide, or nothing would be seen


def plot_inspection(
    template: ImageLike,
    inspection: Inspection,
    /,
    *,
    mask: ImageLike | None = None,
    channel_axis: ChannelAxis = "auto",
) -> "Figure":
    """Draw a template, its similarity to shifted, flipped and rotated copies, and its score in noise.

    Parameters
    ----------
    template : (H, W) array of real numbers, with or without an axis of channels, or as in `match_template`
        8-bit pixels are shown as they are, others scaled from their minimum to their maximum.
    inspection : Inspection
        The result of `inspect_template`.
    mask : array of bool or of weights, (H, W), or None
        As in `inspect_template`. Pixels that do not count are transparent.
    channel_axis : int, "auto" or None
        As in `inspect_template`.

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
    >>> import tmatch
    >>> template = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    >>> figure = plot_inspection(template, tmatch.inspect_template(template))
    >>> [axes.get_title().splitlines()[0] for axes in figure.axes[:2]]
    ['30 x 20 pixels', 'self-similarity under shifts']
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    channels, weights = split_template(*read_alone(template, mask, channel_axis))
    if weights.ndim != 2 or weights.shape != inspection.shape:
        msg = (
            f"`template` has shape {weights.shape} and `inspection` is of one of shape {inspection.shape}; both "
            "must be of one template with two axes besides that of channels"
        )
        raise ValueError(msg)
    figure = Figure(layout="constrained", dpi=DPI)
    panels = _panels(figure, weights.shape)
    _draw_template(panels["template"], channels, weights, inspection)
    _draw_shifts(panels["shifts"], self_scores(channels, weights), inspection)
    _draw_likeness(panels["likeness"], inspection)
    _draw_noise(panels["noise"], *measure_contrast(channels, weights), inspection)
    figure.suptitle(textwrap.fill(inspection.advice, 90), fontsize=11)
    return figure


def _panels(figure: "Figure", shape: tuple[int, ...]) -> dict[str, "Axes"]:
    """Return the panels, arranged so that the images are as large as their form allows."""
    tall = float(np.clip(shape[0] / shape[1], 1 / _MAX_STRETCH, _MAX_STRETCH))
    if tall < 0.4:  # wide: the images above each other
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
    axes.set_title(f"{size}\ncontrast {found.contrast:.3g}", fontsize=TITLE_SIZE)
    axes.set_xlabel("x in pixels")
    axes.set_ylabel("y in pixels")
    _set_shape(axes, weights.shape)


def _draw_shifts(axes: "Axes", scores: NDArray[np.float64], found: Inspection) -> None:
    valid = np.isfinite(scores)
    reach = [
        int(np.abs(np.flatnonzero(valid.any(axis=1 - axis)) - n // 2).max())
        for axis, n in enumerate(valid.shape)
    ]
    part = scores[tuple(slice(n // 2 - r, n // 2 + r + 1) for n, r in zip(scores.shape, reach, strict=True))]
    shown = ScoreColours.of([part]).draw(axes, part, (-reach[0], -reach[1]))
    width = 0.04 * _set_shape(axes, part.shape)
    draw_colour_bar(axes, shown, "score", gap=0.75 * width, width=width)
    title = "self-similarity under shifts"
    if found.side_lobe_at:
        y, x = found.side_lobe_at
        mark(axes, [(y, x)])
        title += f"\nside lobe {found.side_lobe:.2f} at x={x}, y={y}"
    axes.set_title(title, fontsize=TITLE_SIZE)
    axes.set_xlabel("shift in x, pixels")
    axes.set_ylabel("shift in y, pixels")


def _draw_likeness(axes: "Axes", found: Inspection) -> None:
    names, scores = zip(*found.likeness, strict=True)
    bars = axes.barh(names, scores, color=MAIN, height=0.6)
    axes.bar_label(bars, [f"{score:.2f}" for score in scores], padding=3, fontsize=LABEL_SIZE)
    axes.axvline(SIMILAR, color=GUIDE, ls="--", lw=1)
    axes.axvline(0, color="0.2", lw=0.8)
    axes.set_xlim(min(0.0, *scores) - 0.3 * (min(scores) < 0), 1.2)
    axes.invert_yaxis()
    axes.set_title("self-similarity under flips and rotations", fontsize=TITLE_SIZE)
    axes.set_xlabel(f"score; dashed: {SIMILAR:g}, a common threshold")


def _draw_noise(axes: "Axes", contrast: float, effective: float, values: float, found: Inspection) -> None:
    noise = np.linspace(0, 2 * found.noise or 3 * contrast, 200)
    true_scores = contrast / np.hypot(contrast, noise)
    critical = critical_scores(true_scores, effective, values, found.places)
    axes.plot(noise, true_scores, color=MAIN, label="true position")
    axes.plot(
        noise, critical, color=SECOND, ls="--", label=f"0.01 false alarms in {found.places:,} positions"
    )
    axes.axvline(found.noise, color=GUIDE, lw=1, ls=":")
    axes.set_xlim(0, noise[-1])
    lowest = float(min(true_scores[-1], critical.min()))
    axes.set_ylim(max(0.0, lowest - 0.2 * (1 - lowest)), 1 + 0.1 * (1 - lowest))
    axes.legend(fontsize=LABEL_SIZE, loc="best", framealpha=0.8)
    axes.set_title(f"expected score in noise; noise limit {found.noise:.3g}", fontsize=TITLE_SIZE)
    axes.set_xlabel("standard deviation of the noise, grey levels")
    axes.set_ylabel("score")


def _set_shape(axes: "Axes", shape: tuple[int, ...]) -> float:
    """Draw square pixels unless the image is very long; return its drawn height over its width, at least 1."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    tall = shape[0] / shape[1]
    drawn = float(np.clip(tall, 1 / _MAX_STRETCH, _MAX_STRETCH))
    axes.set_aspect(drawn / tall)
    for axis, long in ((axes.xaxis, 1 / drawn), (axes.yaxis, drawn)):
        bins, steps = (7, [1, 2, 5, 10]) if long > 0.5 else (2, [1, 2, 3, 4, 5, 6, 8, 10])
        axis.set_major_locator(MaxNLocator(bins, steps=steps, integer=True))
    return max(1.0, drawn)
