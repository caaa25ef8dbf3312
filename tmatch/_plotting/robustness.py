"""The figure of `robustness`: detection rate, score and false matches at each level of each distortion."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tmatch._diagnostics.robustness import RobustnessRow
from tmatch._plotting.style import BARS, DPI, LABEL_SIZE, MAIN, SECOND, TICK_SIZE, TITLE_SIZE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_COLUMNS = 4
_WIDTH, _HEIGHT = 3.3, 2.9  # of a panel, inches
_MAX_LETTERS = 45  # of all labels of a panel, side by side


def plot_robustness(rows: Sequence[RobustnessRow], /) -> "Figure":
    """Draw the results of a search under distortion, one panel for each kind.

    Parameters
    ----------
    rows : sequence of RobustnessRow
        As from `robustness`.

    Returns
    -------
    matplotlib.figure.Figure
        Levels are side by side in the order of rows, not to scale. The line is the detection rate, the dashed line
        the mean score of the matches on the true box, bars are other matches per search, on the axis at the right,
        if there are any.
        Below each level is the mean distance between the true box and the match.

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
    columns = min(len(kinds), _MAX_COLUMNS)
    n_rows = -(-len(kinds) // columns)
    size = (_WIDTH * max(columns, 2) + 0.6, _HEIGHT * n_rows + 0.9)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    max_false = max(row.false_matches for row in rows)
    for number, kind in enumerate(kinds):
        axes = figure.add_subplot(n_rows, columns, number + 1)
        own = [row for row in rows if row.kind == kind]
        right = _draw_false_matches(axes, own, max_false) if max_false else None
        _draw_kind(axes, own)
        last = number % columns == columns - 1 or number == len(kinds) - 1
        _label_axes(axes, right, first=number % columns == 0, last=last)
    drawn = [axes.get_legend_handles_labels() for axes in figure.axes[: 2 if max_false else 1]]
    handles, labels = (list(itertools.chain.from_iterable(parts)) for parts in zip(*drawn, strict=True))
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=LABEL_SIZE, frameon=False)
    figure.supxlabel(
        "level of the distortion; in brackets the mean distance of matches from the true position, in pixels"
        + ("" if max_false else "\nno false matches"),
        fontsize=LABEL_SIZE,
    )
    return figure


def _draw_false_matches(axes: "Axes", rows: Sequence[RobustnessRow], most: float) -> "Axes":
    right: Axes = axes.twinx()
    false = [row.false_matches for row in rows]
    right.bar(range(len(rows)), false, width=0.6, color=BARS, label="false matches per search")
    right.set_ylim(0, 1.06 * max(1.0, most))
    axes.set_zorder(right.get_zorder() + 1)  # lines before bars
    axes.patch.set_visible(False)
    return right


def _draw_kind(axes: "Axes", rows: Sequence[RobustnessRow]) -> None:
    positions = range(len(rows))
    scores = [float("nan") if row.score is None else row.score for row in rows]
    found = [row.detection for row in rows]
    axes.plot(positions, found, "o-", color=MAIN, ms=5, label="detection rate", clip_on=False)
    axes.plot(
        positions, scores, "s--", color=SECOND, ms=3, lw=1, label="mean score where found", clip_on=False
    )
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.set_ylim(min(0.0, *(row.score or 0.0 for row in rows)), 1.06)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.grid(axis="y", color="0.9", lw=0.6)
    labels = [_label(row) for row in rows]
    widest = max(len(line) for label in labels for line in label.split("\n"))
    step = -(-len(rows) * (widest + 1) // _MAX_LETTERS)
    axes.set_xticks(positions[::step], labels[::step], fontsize=TICK_SIZE)
    axes.set_title(_title(rows[0]), fontsize=TITLE_SIZE)


def _label_axes(axes: "Axes", right: "Axes | None", *, first: bool, last: bool) -> None:
    """Label the outer axes only; the others are the same."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    axes.tick_params(axis="y", labelsize=TICK_SIZE)
    if first:
        axes.set_ylabel("detection rate, score", fontsize=LABEL_SIZE)
    else:
        axes.tick_params(axis="y", left=False, labelleft=False)
    if right is None:
        return
    right.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    right.tick_params(axis="y", labelsize=TICK_SIZE, right=last, labelright=last)
    if last:
        right.set_ylabel("false matches", fontsize=LABEL_SIZE)


def _title(row: RobustnessRow) -> str:
    return row.kind if row.unit in ("", row.kind) else f"{row.kind}, {row.unit}"


def _label(row: RobustnessRow) -> str:
    return f"{row.level:g}\n({'–' if row.error is None else f'{row.error:.2g}'})"
