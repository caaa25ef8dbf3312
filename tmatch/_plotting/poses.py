"""Figures of the best score over poses, and of the pose that has it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._plotting.panels import Panels
from tmatch._plotting.style import (
    LOST,
    MOST_LETTERS,
    ScoreColours,
    extent_of,
    limit_to,
    mark,
    shortened,
)
from tmatch._poses.options import wrapped
from tmatch._results.matches import Match
from tmatch._results.palette import BLUE, SKY_BLUE, VERMILION, YELLOW
from tmatch._results.poses import Pose
from tmatch._search.pose_maps import BestPoses

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

_HALF_TURN = 180.0  # degrees between the lowest and the highest angle, from which on they are a circle
_LEAST_SEEN = 0.1  # opacity of poses with low scores, which say little


def plot_best_poses(
    maps: Sequence[BestPoses],
    matches: Sequence[Match] = (),
    *,
    first: tuple[int, int] = (0, 0),
    lost: Sequence[Match] = (),
) -> "Figure":
    """Draw the best score over poses, and beside it which pose has it; with rings around the middles of matches.

    Those of `lost`, where another template fits better, have crosses. `first` is the first pixel of the part of the
    image that was searched.
    """
    colours = ScoreColours.of([made.scores for made in maps])
    own = [[[m for m in each if m.label == made.label] for each in (matches, lost)] for made in maps]
    titles = [
        lines
        for made, (here, crossed) in zip(maps, own, strict=True)
        for lines in ([_title(made, first, here), *[LOST] * bool(crossed)], [_pose_title(made)])
    ]
    panels = Panels([made.scores.shape for made in maps for _ in range(2)], titles, 2)
    for number, (made, both) in enumerate(zip(maps, own, strict=True)):
        scores, poses = (panels.add_axes(2 * number + side) for side in range(2))
        shown = colours.draw(scores, made.scores, first, side=made.reduction, block=panels.block)
        panels.finish(2 * number, scores, shown, "best score over poses")
        scale = _draw_poses(poses, made, first, panels.block)
        panels.finish(2 * number + 1, poses, scale.mappable, scale.name, scale.ticks)
        for axes in (scores, poses):
            for each, marker in zip(both, "ox", strict=True):
                mark(axes, [match.center for match in each], marker)
            axes.set(xlabel="x of the template's middle", ylabel="y of the template's middle")
    return panels.figure


def _title(made: BestPoses, first: tuple[int, int], matches: Sequence[Match]) -> str:
    score, (row, column) = made.best
    row, column = row + first[0], column + first[1]
    if matches:  # refined, where the map is of a smaller image
        best = max(matches, key=lambda match: match.score)
        score, (row, column) = best.score, best.center
    title = "no score"
    if score != -np.inf:
        count = f"; {len(matches)} matches" if len(matches) > 1 else ""
        title = f"best {score:.3f} at x={column:.1f}, y={row:.1f}{count}"
    return f"{shortened(made.label, MOST_LETTERS)}: {title}" if made.label else title


def _pose_title(made: BestPoses) -> str:
    where = f"in an image {made.reduction} times smaller" if made.reduction > 1 else "at full size"
    return f"{len({*made.poses}):,} poses, {where}; dark: low scores"


def _draw_poses(axes: "Axes", made: BestPoses, first: tuple[int, int], block: int) -> "_Scale":
    scale = _Scale.of(made.poses)
    best = ScoreColours().strongest(made.scores, block)
    values = np.array([scale.value(pose) for pose in made.poses])[made.which.ravel()[best]]
    axes.set_facecolor("black")
    axes.imshow(
        scale.mappable.to_rgba(values)[..., :3], alpha=_opacity(made.scores).ravel()[best], interpolation="nearest",
        extent=extent_of(values.shape, first, made.reduction * block),
    )  # fmt: skip
    limit_to(axes, made.scores.shape, first, made.reduction)
    return scale


def _opacity(scores: Array) -> Array:
    """Return how well poses are to be seen: from the median of the scores on better and better, before not at all."""
    scores = scores.astype(np.float64)
    known = scores > -np.inf
    if not known.any():
        return np.zeros(scores.shape)
    middle, best = float(np.median(scores[known])), float(scores[known].max())
    above = (np.where(known, scores, middle) - middle) / max(best - middle, 1e-300)
    return np.where(known, np.clip(above, _LEAST_SEEN, 1), 0)


def _circle() -> "Colormap":
    """Return colours of angles: bright and dark yellow, dark and bright blue, a circle to all readers."""
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415

    corners = (SKY_BLUE, YELLOW, VERMILION, BLUE, SKY_BLUE)
    return LinearSegmentedColormap.from_list("angles", corners)


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

        def colours(values: Iterable[float], name: "str | Colormap" = "spring") -> ScalarMappable:
            return ScalarMappable(Normalize(min(values), max(values)), name)

        angles, scales = ({getattr(pose, name) for pose in poses} for name in ("angle", "scale"))
        if max(angles) - min(angles) >= _HALF_TURN:
            ticks = {float(angle): f"{angle}" for angle in range(-180, 181, 90)}
            return cls("angle, degrees", lambda pose: wrapped(pose.angle), colours(ticks, _circle()), ticks)
        if len(angles) > 1:
            return cls("angle, degrees", lambda pose: pose.angle, colours(angles))
        if len(scales) > 1:
            return cls("scale", lambda pose: pose.scale, colours(scales))
        flips = {0.0: "no", 1.0: "yes"}
        return cls("mirrored", lambda pose: float(pose.flip), colours(flips), flips)
