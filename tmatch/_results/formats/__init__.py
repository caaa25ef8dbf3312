"""Matches as text and files for other programs."""

import os
from typing import Literal

from tmatch._results.formats.annotations import CocoWriter, GeoJsonWriter, YoloWriter
from tmatch._results.formats.junit import JUnitWriter
from tmatch._results.formats.objects import JsonLinesWriter, JsonWriter, parse_line
from tmatch._results.formats.rois import RoiWriter
from tmatch._results.formats.rows import (
    columns_of,
    flat_row,
    in_units,
    is_posed,
    match_row,
    near_miss_rows,
    pose_row,
    without_poses,
)
from tmatch._results.formats.tables import CsvWriter, format_rows
from tmatch._results.formats.writers import Layout, Writer, written

__all__ = [
    "FORMS",
    "Form",
    "Format",
    "Writer",
    "columns_of",
    "flat_row",
    "form_of",
    "format_rows",
    "in_units",
    "is_posed",
    "match_row",
    "near_miss_rows",
    "parse_line",
    "pose_row",
    "without_poses",
    "writer_of",
    "written",
]

Format = Literal["table", "json", "jsonl", "csv", "coco", "geojson", "yolo", "junit"]  # that can be printed
Form = Literal["json", "jsonl", "csv", "coco", "geojson", "yolo", "junit", "zip"]
FORMS: dict[str, Form] = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".coco.json": "coco",
    ".geojson": "geojson",
    ".txt": "yolo",
    ".xml": "junit",
    ".zip": "zip",
}  # by the ending of a file
_WRITERS: dict[Form, type[Writer]] = {
    "csv": CsvWriter,
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "coco": CocoWriter,
    "geojson": GeoJsonWriter,
    "yolo": YoloWriter,
    "junit": JUnitWriter,
    "zip": RoiWriter,
}


def form_of(path: str | os.PathLike[str]) -> Form:
    """Return the format of a file by its ending; the longest ending that is known counts."""
    name = os.path.basename(os.fspath(path)).lower()  # noqa: PTH119  (a Path would drop a slash at the end)
    known = [ending for ending in FORMS if name.endswith(ending)]
    if not known:
        ending = os.path.splitext(name)[1]  # noqa: PTH122
        what = f'"{ending}" is not a known format' if ending else "its name has no ending"
        msg = f'cannot write "{os.fspath(path)}": {what}; use one of {", ".join(FORMS)}'
        raise ValueError(msg)
    return FORMS[max(known, key=len)]


def writer_of(
    form: Form, *, pixel_ratio: float = 1.0, poses: bool = False, single: bool = False, search: str = ""
) -> Writer:
    """Return what writes records in a format; its options are those of `Layout`."""
    return _WRITERS[form](Layout(pixel_ratio, poses, single, search))
