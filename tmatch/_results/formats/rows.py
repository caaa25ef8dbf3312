"""Matches and near misses as rows of plain values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._results.boxes import Box
from tmatch._results.poses import PoseErrors

if TYPE_CHECKING:
    from tmatch._results.decisions import CandidateDecision
    from tmatch._results.matches import Match

SIDES = ("x", "y", "width", "height")
SCORES = ("score", "false_alarms", "second_best", "expected_score", "kind")
POSE_COLUMNS = (
    "angle", "scale", "flip", "center_x", "center_y", "center_x_error", "center_y_error", "angle_error", "scale_error",
)  # fmt: skip
_POSE_FIELDS = frozenset({"angle", "scale", "flip", "template_shape", "errors"})  # of a match
_TEXTS = ("label", "kind")


def match_row(match: "Match", pixel_ratio: float = 1.0, *, poses: bool = False) -> dict[str, Any]:
    """Return a match as JSON tells it; lengths are in units of `pixel_ratio` pixels.

    With `poses` it is told how it is rotated, scaled and flipped, where exactly it lies, and how exact that is.
    """
    scores = {name: _known(getattr(match, name)) for name in SCORES}
    pose = pose_row(match, pixel_ratio) if poses else {}
    return {"label": match.label, **box_row(match.box, pixel_ratio), **scores, **pose}


def flat_row(match: "Match", pixel_ratio: float = 1.0, *, poses: bool = False) -> dict[str, Any]:
    """Return a match as `match_row` does, without nested values but `start` and `shape`; there are no corners."""
    row = match_row(match, pixel_ratio, poses=poses)
    if not poses:
        return row
    center, errors, _ = row.pop("center"), row.pop("errors"), row.pop("corners")
    names = ("center_x", "center_y", "angle", "scale")
    return {
        **row,
        **{f"center_{name}": value for name, value in center.items()},
        **{f"{name}_error": (errors or {}).get(name) for name in names},
    }


def is_posed(match: "Match") -> bool:
    """Check whether a match tells more of its place than a box: a pose, or a part of a pixel."""
    refined = match.errors is not None or bool(match.offset)
    return len(match.box.shape) == 2 and (bool(match.template_shape) or refined)


def box_row(box: Box, pixel_ratio: float = 1.0) -> dict[str, Any]:
    """Return a box by its sides, or by `start` and `shape` if it has not two axes."""
    if len(box.shape) != 2:
        return {"start": [*box.start], "shape": [*box.shape]}
    return dict(zip(SIDES, (in_units(value, pixel_ratio) for value in box.xywh), strict=True))


def pose_row(match: "Match", pixel_ratio: float = 1.0) -> dict[str, Any]:
    """Return how a match lies in the image, to more digits than are known of it."""
    errors = match.errors
    return {
        "angle": round(match.angle, 4),
        "scale": round(match.scale, 6),
        "flip": match.flip,
        "center": _xy(match.center, pixel_ratio),
        "corners": [[*_xy(corner, pixel_ratio).values()] for corner in match.corners],
        "errors": None if errors is None else _errors(errors, pixel_ratio),
    }


def edge_points(match: "Match", pixel_ratio: float = 1.0) -> list[list[float]]:
    """Return the corners of a match as x and y in coordinates in which the first pixel goes from 0 to 1."""
    return [[*_xy([value + 0.5 for value in corner], pixel_ratio).values()] for corner in match.corners]


def near_miss_rows(
    misses: Sequence["CandidateDecision"], pixel_ratio: float = 1.0, *, poses: bool = False
) -> list[dict[str, Any]]:
    """Return near misses as rows: where they are, their scores, and the rule that excluded them.

    With `poses` it is told how each lies in the image, as of matches.
    """
    rows = []
    for miss in misses:
        names = ("score", "filtered_score", "false_alarms", "rule")
        values = {name: _known(getattr(miss, name)) for name in names}
        pose = pose_row(miss.match, pixel_ratio) if poses else {}
        rows.append({"label": miss.label, **box_row(miss.box, pixel_ratio), **values, **pose})
    return rows


def without_poses(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary of the fields of a dataclass, for `asdict`: what is not about poses."""
    known = dict(pairs)
    left_out = _POSE_FIELDS if known.keys() >= _POSE_FIELDS else {"posed", "poses", "pose_parts"}
    return {name: value for name, value in known.items() if name not in left_out}


def in_units(pixels: int, pixel_ratio: float) -> int | float:
    """Convert a number of pixels to units of `pixel_ratio` pixels; whole numbers stay integers."""
    value = round(pixels / pixel_ratio, 3)
    return int(value) if value == int(value) else value


def columns_of(matches: Sequence["Match"], n_axes: int) -> dict[str, Array]:
    """Return matches as columns: numbers that are not known are NaN, texts empty."""
    poses = any(map(is_posed, matches))
    rows = [_spread(flat_row(match, poses=poses)) for match in matches]
    axes = [f"{name}_{axis}" for name in ("start", "shape") for axis in range(n_axes)]
    sides = SIDES if n_axes == 2 else axes
    names = ("label", *sides, *SCORES, *(POSE_COLUMNS if poses else ()))
    return {name: _column(name, [row[name] for row in rows], name in sides) for name in names}


def _spread(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with a value of its own for each axis of `start` and `shape`."""
    lists = {name: value for name, value in row.items() if name in ("start", "shape")}
    spread = {f"{name}_{axis}": v for name, values in lists.items() for axis, v in enumerate(values)}
    return {name: value for name, value in row.items() if name not in lists} | spread


def _column(name: str, values: list[Any], whole: bool) -> Array:  # noqa: FBT001
    if name in _TEXTS:
        return np.array([value or "" for value in values], dtype=str)
    if whole or name == "flip":
        return np.array(values, dtype=np.int64 if whole else np.bool_)
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _known(value: Any) -> Any:
    """Return a value, or None for a number that JSON cannot hold, as of a position without a score."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _xy(point: Sequence[float], pixel_ratio: float) -> dict[str, float]:
    """Return a point (row, column) as x and y."""
    y, x = (round(value / pixel_ratio, 4) for value in point)
    return {"x": x, "y": y}


def _errors(errors: PoseErrors, pixel_ratio: float) -> dict[str, float | None]:
    """Return standard errors to three digits."""
    y, x = (None, None) if errors.center is None else (value / pixel_ratio for value in errors.center)
    told = {"center_x": x, "center_y": y, "angle": errors.angle, "scale": errors.scale}
    return {name: None if value is None else float(f"{value:.3g}") for name, value in told.items()}
