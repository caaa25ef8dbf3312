"""Matches and rows of studies as text for other programs: JSON, JSON lines, CSV, COCO."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match

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


def format_matches(
    matches: Sequence[Match],
    form: Format,
    *,
    about: Mapping[str, Any],
    size: tuple[int, int],
    pixel_ratio: float = 1.0,
) -> str:
    """Format matches as text; `size` is the image's (height, width), in pixels like the boxes.

    `about` holds the name of the image, "image", and how it was decided. Lengths are written in units of `pixel_ratio`
    pixels.
    """
    rows = [_row(match, pixel_ratio) for match in matches]
    image, decision = about["image"], {name: value for name, value in about.items() if name != "image"}
    height, width = (in_units(side, pixel_ratio) for side in size)
    sides = {"width": width, "height": height}
    if form == "json":
        return json.dumps({"image": image, **sides, **decision, "matches": rows}, indent=2)
    if form == "jsonl":
        return "\n".join(json.dumps({"image": image, **row}) for row in rows)
    if form == "coco":
        return json.dumps(_coco(rows, {"id": 1, "file_name": image, **sides}), indent=2)
    return _csv(_COLUMNS, ({"image": image, **row} for row in rows))


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


def near_miss_rows(misses: Sequence[CandidateDecision], pixel_ratio: float = 1.0) -> list[dict[str, Any]]:
    """Return near misses as rows: where they are, their scores, and the rule that excluded them."""
    rows = []
    for miss in misses:
        x, y, width, height = (in_units(value, pixel_ratio) for value in miss.box.xywh)
        names = ("score", "filtered_score", "false_alarms", "rule")
        values = {name: getattr(miss, name) for name in names}
        rows.append({"label": miss.label, "x": x, "y": y, "width": width, "height": height, **values})
    return rows


def in_units(pixels: int, pixel_ratio: float) -> int | float:
    """Convert a number of pixels to units of `pixel_ratio` pixels; whole numbers stay integers."""
    value = round(pixels / pixel_ratio, 3)
    return int(value) if value == int(value) else value


def _coco(rows: Sequence[dict[str, Any]], image: dict[str, Any]) -> dict[str, Any]:
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
            }
            for n, row in enumerate(rows, 1)
        ],
    }
