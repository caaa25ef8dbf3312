"""Records and rows of studies as CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from tmatch._results.formats.rows import POSE_COLUMNS, SCORES, SIDES, flat_row
from tmatch._results.formats.writers import Writer, about
from tmatch._results.records import Record


class CsvWriter(Writer):
    """A row for each match, for each label that was not found, and for each image that was not searched."""

    def begin(self) -> str:
        """Return the header."""
        return _lines([dict(zip(self._columns, self._columns, strict=True))], self._columns)

    def add(self, record: Record) -> str:
        """Return the rows of an image."""
        told = {**about(record), "error": record.error}
        return _lines(({**told, **row} for row in self._rows(record)), self._columns)

    @property
    def _columns(self) -> tuple[str, ...]:
        poses = POSE_COLUMNS if self.layout.poses else ()
        return ("image", "page", "time", "label", "found", *SIDES, *SCORES, *poses, "error")

    def _rows(self, record: Record) -> Iterator[dict[str, Any]]:
        if record.error:
            yield {}
            return
        for match in record.matches:
            _ = match.box.xywh  # which says so if there are no x and y
            yield {"found": True, **flat_row(match, self.layout.pixel_ratio, poses=self.layout.poses)}
        for label in record.matches.missing:
            yield {"label": label, "found": False}


def format_rows(rows: Sequence[Any]) -> str:
    """Format dataclasses of one kind, at least one, as CSV under their names; None is left empty."""
    names = [field.name for field in fields(rows[0])]
    return _lines([dict(zip(names, names, strict=True)), *map(asdict, rows)], names).rstrip("\n")


def _lines(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return rows as lines that end with a newline; a name that holds one, or a carriage return, is quoted."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\r\n")  # with another one, "\r" would not be quoted
    lines = []
    for row in rows:
        text.seek(0)
        text.truncate()
        writer.writerow(row)
        lines.append(text.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)
