"""Records as annotations of images: COCO, GeoJSON and YOLO."""

import json
from dataclasses import dataclass, field
from typing import Any

from tmatch._results.formats.rows import edge_points, flat_row, in_units, match_row
from tmatch._results.formats.writers import Writer, labels_of, place_of, size_of
from tmatch._results.matches import Match
from tmatch._results.records import Record


@dataclass
class CocoWriter(Writer):
    """One dictionary of all images: labels are categories, matches annotations."""

    _images: list[dict[str, Any]] = field(default_factory=list, init=False)
    _labels: set[str] = field(default_factory=set, init=False)
    _annotations: list[tuple[str, dict[str, Any]]] = field(default_factory=list, init=False)

    def add(self, record: Record) -> str:
        """Keep an image that was searched."""
        if not record.error:
            number = len(self._images) + 1
            size = size_of(record, self.layout.pixel_ratio)
            self._images.append({"id": number, "file_name": record.image, **size, **place_of(record)})
            self._labels.update(labels_of(record))
            self._annotations += ((match.label, self._annotation(match, number)) for match in record.matches)
        return ""

    def end(self) -> str:
        """Return all of it."""
        numbers = {label: n for n, label in enumerate(sorted(self._labels), 1)}
        told = {
            "images": self._images,
            "categories": [{"id": n, "name": label} for label, n in numbers.items()],
            "annotations": [
                {"id": n, "image_id": row.pop("image_id"), "category_id": numbers[label], **row}
                for n, (label, row) in enumerate(self._annotations, 1)
            ],
        }
        return json.dumps(told, indent=2) + "\n"

    def _annotation(self, match: Match, image: int) -> dict[str, Any]:
        row = match_row(match, self.layout.pixel_ratio)
        box = [in_units(value, self.layout.pixel_ratio) for value in match.box.xywh]
        plain = {"image_id": image, "bbox": box, "area": box[2] * box[3], "iscrowd": 0, "score": row["score"]}
        return plain | (_segment(match, self.layout.pixel_ratio) if self.layout.poses else {})


def _segment(match: Match, pixel_ratio: float) -> dict[str, Any]:
    """Return a match's outline as COCO tells it."""
    _, (width, height), _ = match.to_cv2()
    outline = [value for point in edge_points(match, pixel_ratio) for value in point]
    return {"area": round(width * height / pixel_ratio**2, 3), "segmentation": [outline]}


@dataclass
class GeoJsonWriter(Writer):
    """A collection of outlines in pixels, as QuPath reads them."""

    _between: str = field(default="\n", init=False)

    def begin(self) -> str:
        """Open the collection."""
        return '{"type": "FeatureCollection", "features": ['

    def add(self, record: Record) -> str:
        """Return the outlines of an image."""
        return "".join(self._feature(record, match) for match in record.matches)

    def end(self) -> str:
        """Close the collection."""
        return "\n]}\n" if self._between == ",\n" else "]}\n"

    def _feature(self, record: Record, match: Match) -> str:
        before, self._between = self._between, ",\n"
        ring = edge_points(match)
        ring = (
            ring[::-1] if match.template_shape and match.flip else ring
        )  # the same sense of rotation in all
        about = {"objectType": "annotation", "image": record.image, **place_of(record)}
        row = flat_row(match, poses=self.layout.poses)
        told = {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            "properties": {**about, "classification": {"name": match.label}, **row},
        }
        return before + json.dumps(told)


@dataclass
class YoloWriter(Writer):
    """A line for each match of one image: number of its label, then middle and size of its box as shares."""

    _full: bool = field(default=False, init=False)

    def add(self, record: Record) -> str:
        """Return the lines of the image; refuse a second one."""
        if self._full:
            msg = (
                "a YOLO file (.txt) holds one image, and there are several; "
                "write .coco.json, .jsonl or .csv, or a file for each image"
            )
            raise ValueError(msg)
        self._full = True
        if record.matches and len(record.matches.shape) != 2:
            msg = (
                f"YOLO files hold shares of an image's sides, and `shape` of the matches is {record.matches.shape}; "
                "make them with the image's height and width"
            )
            raise ValueError(msg)
        numbers = {label: n for n, label in enumerate(sorted(labels_of(record)))}
        return "".join(_yolo_line(match, numbers, record.matches.shape) for match in record.matches)


def _yolo_line(match: Match, numbers: dict[str, int], shape: tuple[int, ...]) -> str:
    """Return the part of a box that lies in the image; nothing if none does."""
    left, top, right, bottom = match.box.xyxy
    sides = ((left, right, shape[1]), (top, bottom, shape[0]))
    spans = [(max(low, 0) / side, min(high, side) / side) for low, high, side in sides]
    if any(low >= high for low, high in spans):
        return ""
    values = [*((low + high) / 2 for low, high in spans), *(high - low for low, high in spans)]
    return " ".join([f"{numbers[match.label]}", *(f"{value:.8g}" for value in values)]) + "\n"
