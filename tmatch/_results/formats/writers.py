"""What all writers of records have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tmatch._results.formats.rows import in_units
from tmatch._results.matches import Match
from tmatch._results.records import Record


@dataclass(frozen=True)
class Layout:
    """What is told of matches, and in which units.

    Parameters
    ----------
    pixel_ratio : float
        Lengths are in units of so many pixels, except in formats for programs that count pixels.
    poses : bool
        Tell how matches are rotated, scaled and flipped, where exactly they lie, and how exact that is.
    single : bool
        There is one image, and no list of them.
    search : str
        What tells results of one search from those of another, in lines that a later run goes on with.
    """

    pixel_ratio: float = 1.0
    poses: bool = False
    single: bool = False
    search: str = ""


@dataclass
class Writer(ABC):
    """Turns records into pieces of a file, to be appended to one another; only `end` of a ZIP archive is bytes."""

    layout: Layout

    def begin(self) -> str:
        """Return what stands before the first record."""
        return ""

    @abstractmethod
    def add(self, record: Record) -> str:
        """Return one record."""

    def end(self) -> str | bytes:
        """Return what stands after the last record."""
        return ""


def written(writer: Writer, records: Iterable[Record]) -> str | bytes:
    """Return a whole file of records."""
    text = writer.begin() + "".join(map(writer.add, records))
    end = writer.end()
    return text + end if isinstance(end, str) else end


def labels_of(record: Record) -> list[str]:
    """Return the labels that were sought in an image, and any other that was found."""
    return [*dict.fromkeys((*record.matches.labels, *(match.label for match in record.matches)))]


def by_label(record: Record) -> dict[str, list[Match]]:
    """Return the matches of each label that was sought."""
    found: dict[str, list[Match]] = {label: [] for label in labels_of(record)}
    for match in record.matches:
        found[match.label].append(match)
    return found


def size_of(record: Record, pixel_ratio: float) -> dict[str, Any]:
    """Return the width and height of the image; None if they are not known."""
    height, width = record.matches.shape if len(record.matches.shape) == 2 else (None, None)
    sides = {"width": width, "height": height}
    return {name: None if side is None else in_units(side, pixel_ratio) for name, side in sides.items()}


def about(record: Record) -> dict[str, Any]:
    """Return which image a record is about."""
    level = {} if record.level is None else {"level": record.level}
    return {"image": record.image, "page": record.page, "time": record.time, **level}


def place_of(record: Record) -> dict[str, Any]:
    """Return which image of a file a record is about: its page and time, where there are any."""
    known = {"page": record.page, "time": record.time, "level": record.level}
    return {name: value for name, value in known.items() if value is not None}
