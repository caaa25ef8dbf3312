"""Figures of the best score over poses, and of the pose that has it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._plotting.style import (
    DPI,
    TITLE_SIZE,
    draw_colour_bar,
    draw_scores,
    extent_of,
    plain_text,
    ring,
)
from tmatch._poses.options import wrapped
from tmatch._results.matches import Match
from tmatch._results.poses import Pose
from tmatch._search.pose_maps import BestPoses

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HALF_TURN = 180.0  # degrees between the lowest and the highest angle, from which on they are a circle
_LEAST_SEEN = 0.1  # opacity of poses with low scores, which say little


def plot_best_poses(
    maps: Sequence[BestPoses], matches: Sequence[Match] = (), *, first: tuple[int, int] = (0, 0)
) -> "Figure":
    """Draw the best score over poses, and beside it which pose has it; with rings around the middles of matches.

    `first` is the first pixel of the part of the image that was searched.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415

    tallest = max(made.scores.shape[0] / made.scores.shape[1] for made in maps)
    row_height = float(np.clip(0.9 + 5.0 * tallest, 2.2, 9))  # inches
    figure = Figure(figsize=(15, row_height * len(maps)), dpi=DPI, layout="constrained")
    for n, made in enumerate(maps):
        here = [match for match in matches if match.label == made.label]
        scores, poses = (figure.add_subplot(len(maps), 2, 2 * n + side) for side in (1, 2))
        _draw_scores(scores, made, first, here)
        _draw_poses(poses, made, first)
        for axes in (scores, poses):
            if here:
                ys, xs = zip(*(match.center for match in here), strict=True)
                ring(axes, xs, ys)
            axes.set_xlabel("x of the template's middle")
            axes.set_ylabel("y of the template's middle")
    return figure


def _draw_scores(axes: "Axes", made: BestPoses, first: tuple[int, int], matches: Sequence[Match]) -> None:
    shown = draw_scores(axes, made.scores, first, side=made.reduction)
    draw_colour_bar(axes, shown, "best score over poses")
    score, (row, column) = made.best
    row, column = row + first[0], column + first[1]
    if matches:  # refined, where the map is of a smaller image
        best = max(matches, key=lambda match: match.score)
        score, (row, column) = best.score, best.center
    title = "no score"
    if score != -np.inf:
        count = f"; {len(matches)} matches" if len(matches) > 1 else ""
        title = f"best {score:.3f} at x={column:.1f}, y={row:.1f}{count}"
    name = f"{plain_text(made.label)}: " if made.label else ""
    axes.set_title(name + title, fontsize=TITLE_SIZE, parse_math=False)


def _draw_poses(axes: "Axes", made: BestPoses, first: tuple[int, int]) -> None:
    scale = _Scale.of(made.poses)
    values = np.array([scale.value(pose) for pose in made.poses])[made.which]
    axes.set_facecolor("black")
    axes.imshow(
        scale.mappable.to_rgba(values)[..., :3], alpha=_opacity(made.scores), interpolation="nearest",
        extent=extent_of(values.shape, first, made.reduction),
    )  # fmt: skip
    draw_colour_bar(axes, scale.mappable, scale.name, ticks=scale.ticks)
    where = f"in an image {made.reduction} times smaller" if made.reduction > 1 else "at full size"
    axes.set_title(f"{len({*made.poses}):,} poses, {where}; dark: low scores", fontsize=TITLE_SIZE)


def _opacity(scores: Array) -> Array:
    """Return how well poses are to be seen: from the median of the scores on better and better, before not at all."""
    scores = scores.astype(np.float64)
    known = scores > -np.inf
    if not known.any():
        return np.zeros(scores.shape)
    middle, best = float(np.median(scores[known])), float(scores[known].max())
    above = (np.where(known, scores, middle) - middle) / max(best - middle, 1e-300)
    return np.where(known, np.clip(above, _LEAST_SEEN, 1), 0)


@dataclass(frozen=True)
class _Scale:
    """What is told of poses by colours: their angles, or what else differs."""

    name: str
    value: Callable[[Pose], float]
    mappable: Any
    ticks: Mapping[float, str] | None = None

    @classmethod
    def of(cls, poses: Sequence[Pose]) -> "_Scale":
        from matplotlib.cm import ScalarMappable  # noqa: PLC0415
        from matplotlib.colors import Normalize  # noqa: PLC0415

        def colours(values: Iterable[float], name: str = "cool") -> ScalarMappable:
            return ScalarMappable(Normalize(min(values), max(values)), name)

        angles, scales = ({getattr(pose, name) for pose in poses} for name in ("angle", "scale"))
        if max(angles) - min(angles) >= _HALF_TURN:
            ticks = {float(angle): f"{angle}" for angle in range(-180, 181, 90)}
            return cls("angle, degrees", lambda pose: wrapped(pose.angle), colours(ticks, "hsv"), ticks)
        if len(angles) > 1:
            return cls("angle, degrees", lambda pose: pose.angle, colours(angles))
        if len(scales) > 1:
            return cls("scale", lambda pose: pose.scale, colours(scales))
        flips = {0.0: "no", 1.0: "yes"}
        return cls("mirrored", lambda pose: float(pose.flip), colours(flips), flips)
