"""The figure of `robustness`: for each harm, how detection falls and false matches grow with its level."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tmatch._diagnostics.robustness import RobustnessRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FOUND, _SCORE, _FALSE = "#1565c0", "#7b1fa2", "#ef9a7a"
_MOST_COLUMNS = 4
_WIDTH, _HEIGHT = 3.3, 2.9  # of a panel, inches
_ROOM = 45  # letters of labels beside each other in a panel


def plot_robustness(rows: Sequence[RobustnessRow], /) -> "Figure":
    """Draw how a search fares under harm, one panel for each kind.

    Parameters
    ----------
    rows : sequence of RobustnessRow
        As from `robustness`.

    Returns
    -------
    matplotlib.figure.Figure
        Levels stand side by side in the order of rows, not to scale. The line is the share of searches in which the
        true place was found, the dashed one the mean score there, bars are other matches in a search, on the axis at
        the right. Under each level stands the mean distance between true and found place.

    Raises
    ------
    ValueError
        If there is no row.

    Examples
    --------
    >>> rows = [RobustnessRow("blur", level, "pixels", 1, 1.0, 0.0, 0.0, 0.9) for level in (0.0, 2.0)]
    >>> plot_robustness(rows).axes[0].get_title()
    'blur, pixels'
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    if not rows:
        msg = "`rows` is empty; it must hold what `robustness` measured, at least one row"
        raise ValueError(msg)
    kinds = list(dict.fromkeys(row.kind for row in rows))
    columns = min(len(kinds), _MOST_COLUMNS)
    lines = -(-len(kinds) // columns)
    size = (_WIDTH * max(columns, 2) + 0.6, _HEIGHT * lines + 0.9)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    most_false = max(1.0, *(row.false_matches for row in rows))
    for number, kind in enumerate(kinds):
        axes = figure.add_subplot(lines, columns, number + 1)
        beside = axes.twinx()
        _draw_kind(axes, beside, [row for row in rows if row.kind == kind])
        beside.set_ylim(0, 1.06 * most_false)
        last = number % columns == columns - 1 or number == len(kinds) - 1
        _label_axes(axes, beside, first=number % columns == 0, last=last)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    bars, names = figure.axes[1].get_legend_handles_labels()
    figure.legend(
        [*handles, *bars], [*labels, *names], loc="outside upper center", ncols=3, fontsize=9, frameon=False
    )
    figure.supxlabel("level; below it the mean distance between true and found place, in pixels", fontsize=9)
    return figure


def _draw_kind(axes: "Axes", beside: "Axes", rows: Sequence[RobustnessRow]) -> None:
    places = range(len(rows))
    beside.bar(
        places, [row.false_matches for row in rows], width=0.6, color=_FALSE, label="false matches per search"
    )
    axes.set_zorder(beside.get_zorder() + 1)  # lines before bars
    axes.patch.set_visible(False)
    scores = [float("nan") if row.score is None else row.score for row in rows]
    found = [row.detection for row in rows]
    axes.plot(places, found, "o-", color=_FOUND, ms=5, label="share found", clip_on=False)
    axes.plot(places, scores, "s--", color=_SCORE, ms=3, lw=1, label="score where found", clip_on=False)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.set_ylim(min(0.0, *(row.score or 0.0 for row in rows)), 1.06)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="y", color="0.9", lw=0.6)
    labels = [_label(row) for row in rows]
    widest = max(len(line) for label in labels for line in label.split("\n"))
    step = -(-len(rows) * (widest + 1) // _ROOM)
    axes.set_xticks(places[::step], labels[::step], fontsize=8)
    axes.set_title(_title(rows[0]), fontsize=10)


def _label_axes(axes: "Axes", beside: "Axes", *, first: bool, last: bool) -> None:
    """Name the outer axes only; the others are the same."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    beside.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    for side in (axes, beside):
        side.tick_params(axis="y", labelsize=8)
    if first:
        axes.set_ylabel("share found, score", fontsize=9)
    else:
        axes.tick_params(axis="y", labelleft=False)
    if last:
        beside.set_ylabel("false matches", fontsize=9)
    else:
        beside.tick_params(axis="y", labelright=False)


def _title(row: RobustnessRow) -> str:
    return row.kind if row.unit in ("", row.kind) else f"{row.kind}, {row.unit}"


def _label(row: RobustnessRow) -> str:
    return f"{row.level:g}\n({'–' if row.error is None else f'{row.error:.2g}'})"
