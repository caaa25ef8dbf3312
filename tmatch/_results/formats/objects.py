"""Records as JSON, and as JSON lines."""

import json
from dataclasses import dataclass, field
from typing import Any

from tmatch._results.formats.rows import match_row, near_miss_rows
from tmatch._results.formats.writers import Layout, Writer, about, by_label, place_of, size_of
from tmatch._results.matches import Match
from tmatch._results.records import Record


class JsonLinesWriter(Writer):
    """A line for each label that was sought in an image, and one for each image that was not searched."""

    def add(self, record: Record) -> str:
        """Return the lines of an image."""
        told = about(record)
        if self.layout.search:
            told["search"] = self.layout.search
        if record.error:
            return json.dumps({**told, "error": record.error}) + "\n"
        told |= size_of(record, self.layout.pixel_ratio)
        found = by_label(record)
        return "".join(json.dumps({**told, **self._label(record, *each)}) + "\n" for each in found.items())

    def _label(self, record: Record, label: str, matches: list[Match]) -> dict[str, Any]:
        best = None if matches else record.matches.best.get(label)
        return {
            "label": label,
            "found": len(matches),
            "matches": [_row(match, self.layout) for match in matches],
            "best": None if best is None else _row(best, self.layout),
        }


def parse_line(line: str) -> dict[str, Any]:
    """Return what a complete line of `JsonLinesWriter` tells: with `label`, or with an `error` of the whole image.

    Raises ValueError if the line is none of these, as one of which only a part was written.
    """
    told = json.loads(line)
    if not (isinstance(told, dict) and {"image", "page"} <= told.keys() and {"label", "error"} & told.keys()):
        msg = f"{line[:80]!r} is no line of results of tmatch; it must tell image, page, and label or error"
        raise ValueError(msg)
    return told


@dataclass
class JsonWriter(Writer):
    """An object of one image, or a list of objects."""

    _between: str = field(default="\n", init=False)

    def begin(self) -> str:
        """Open the list."""
        return "" if self.layout.single else "["

    def add(self, record: Record) -> str:
        """Return the object of an image."""
        before, self._between = self._between, ",\n"
        text = json.dumps(self._object(record), indent=2)
        return text + "\n" if self.layout.single else before + text

    def end(self) -> str:
        """Close the list."""
        if self.layout.single:
            return ""
        return "\n]\n" if self._between == ",\n" else "]\n"

    def _object(self, record: Record) -> dict[str, Any]:
        told = {"image": record.image, **place_of(record)} if self.layout.single else about(record)
        if record.error:
            return {**told, "error": record.error}
        found = record.matches
        near = near_miss_rows(found.near_misses, self.layout.pixel_ratio, poses=self.layout.poses)
        return {
            **told,
            **size_of(record, self.layout.pixel_ratio),
            **found.decision,
            **({"near_misses": near} if found.decision or near else {}),  # or it is not known if there are
            "matches": [_row(match, self.layout) for match in found],
            "missing": [
                {
                    "label": label,
                    "best": _row(found.best[label], self.layout) if label in found.best else None,
                }
                for label in found.missing
            ],
        }


def _row(match: Match, layout: Layout) -> dict[str, Any]:
    return match_row(match, layout.pixel_ratio, poses=layout.poses)
