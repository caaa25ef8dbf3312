"""Matches and rows of studies as text for other programs: JSON, JSON lines, CSV, COCO."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match
from tmatch._results.poses import PoseErrors

Format = Literal["table", "json", "jsonl", "csv", "coco"]
_COLUMNS = (
    "image",
    "label",
    "x",
    "y",
    "width",
    "height",
    "score",
    "false_alarms",
    "second_best",
    "expected_score",
    "kind",
)
_POSE_COLUMNS = (
    "angle",
    "scale",
    "flip",
    "center_x",
    "center_y",
    "center_x_error",
    "center_y_error",
    "angle_error",
    "scale_error",
)
_POSE_FIELDS = frozenset({"angle", "scale", "flip", "template_shape", "errors"})  # of a match


def format_matches(
    matches: Sequence[Match],
    form: Format,
    *,
    about: Mapping[str, Any],
    size: tuple[int, int],
    pixel_ratio: float = 1.0,
    poses: bool = False,
) -> str:
    """Format matches as text; `size` is the image's (height, width), in pixels like the boxes.

    `about` holds the name of the image, "image", and how it was decided. Lengths are written in units of `pixel_ratio`
    pixels. With `poses` it is told how each match is rotated, scaled and flipped, where exactly it lies, and how exact
    that is.
    """
    rows = [_row(match, pixel_ratio) | (pose_row(match, pixel_ratio) if poses else {}) for match in matches]
    image, decision = about["image"], {name: value for name, value in about.items() if name != "image"}
    height, width = (in_units(side, pixel_ratio) for side in size)
    sides = {"width": width, "height": height}
    if form == "json":
        return json.dumps({"image": image, **sides, **decision, "matches": rows}, indent=2)
    if form == "jsonl":
        return "\n".join(json.dumps({"image": image, **row}) for row in rows)
    if form == "coco":
        outlines = [_segment(match, pixel_ratio) if poses else {} for match in matches]
        return json.dumps(_coco(rows, outlines, {"id": 1, "file_name": image, **sides}), indent=2)
    columns = _COLUMNS + _POSE_COLUMNS if poses else _COLUMNS
    return _csv(columns, ({"image": image, **(_flat(row) if poses else row)} for row in rows))


def format_rows(rows: Sequence[Any]) -> str:
    """Format dataclasses of one kind, at least one, as CSV under their names; None is left empty."""
    return _csv([field.name for field in fields(rows[0])], map(asdict, rows))


def _csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _row(match: Match, pixel_ratio: float) -> dict[str, Any]:
    x, y, width, height = (in_units(value, pixel_ratio) for value in match.box.xywh)
    names = ("score", "false_alarms", "second_best", "expected_score", "kind")
    scores = {name: getattr(match, name) for name in names}
    return {"label": match.label, "x": x, "y": y, "width": width, "height": height, **scores}


def pose_row(match: Match, pixel_ratio: float = 1.0) -> dict[str, Any]:
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


def _xy(point: Sequence[float], pixel_ratio: float) -> dict[str, float]:
    """Return a point (row, column) as x and y."""
    y, x = (round(value / pixel_ratio, 4) for value in point)
    return {"x": x, "y": y}


def _errors(errors: PoseErrors, pixel_ratio: float) -> dict[str, float | None]:
    """Return standard errors to three digits."""
    y, x = (None, None) if errors.center is None else (value / pixel_ratio for value in errors.center)
    told = {"center_x": x, "center_y": y, "angle": errors.angle, "scale": errors.scale}
    return {name: None if value is None else float(f"{value:.3g}") for name, value in told.items()}


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with a pose under the names of columns; the table has no corners."""
    plain = {name: value for name, value in row.items() if name not in ("center", "corners", "errors")}
    center = {f"center_{name}": value for name, value in row["center"].items()}
    return plain | center | {f"{name}_error": value for name, value in (row["errors"] or {}).items()}


def _segment(match: Match, pixel_ratio: float) -> dict[str, Any]:
    """Return a match's outline as COCO tells it, in whose coordinates the first pixel goes from 0 to 1."""
    _, (width, height), _ = match.to_cv2()
    corners = (_xy([value + 0.5 for value in corner], pixel_ratio).values() for corner in match.corners)
    outline = [[value for corner in corners for value in corner]]
    return {"area": round(width * height / pixel_ratio**2, 3), "segmentation": outline}


def without_poses(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dictionary of the fields of a dataclass, for `asdict`: what is not about poses."""
    known = dict(pairs)
    left_out = _POSE_FIELDS if known.keys() >= _POSE_FIELDS else {"posed", "poses", "pose_parts"}
    return {name: value for name, value in known.items() if name not in left_out}


def near_miss_rows(
    misses: Sequence[CandidateDecision], pixel_ratio: float = 1.0, *, poses: bool = False
) -> list[dict[str, Any]]:
    """Return near misses as rows: where they are, their scores, and the rule that excluded them.

    With `poses` it is told how each lies in the image, as of matches.
    """
    rows = []
    for miss in misses:
        x, y, width, height = (in_units(value, pixel_ratio) for value in miss.box.xywh)
        names = ("score", "filtered_score", "false_alarms", "rule")
        values = {name: getattr(miss, name) for name in names}
        pose = pose_row(miss.match, pixel_ratio) if poses else {}
        rows.append({"label": miss.label, "x": x, "y": y, "width": width, "height": height, **values, **pose})
    return rows


def in_units(pixels: int, pixel_ratio: float) -> int | float:
    """Convert a number of pixels to units of `pixel_ratio` pixels; whole numbers stay integers."""
    value = round(pixels / pixel_ratio, 3)
    return int(value) if value == int(value) else value


def _coco(
    rows: Sequence[dict[str, Any]], outlines: Sequence[dict[str, Any]], image: dict[str, Any]
) -> dict[str, Any]:
    """Return a COCO dictionary: one image, labels as categories, matches as annotations."""
    numbers = {label: n for n, label in enumerate(sorted({row["label"] for row in rows}), 1)}
    return {
        "images": [image],
        "categories": [{"id": n, "name": label} for label, n in numbers.items()],
        "annotations": [
            {
                "id": n,
                "image_id": 1,
                "category_id": numbers[row["label"]],
                "bbox": [row["x"], row["y"], row["width"], row["height"]],
                "area": row["width"] * row["height"],
                "iscrowd": 0,
                "score": row["score"],
                **outline,
            }
            for n, (row, outline) in enumerate(zip(rows, outlines, strict=True), 1)
        ],
    }
