"""Write a report image by image: one at a time is in memory, and the file is there when it is complete."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tmatch._arrays.typing import Array
from tmatch._batch.images import OpenImage
from tmatch._detection.criterion import Criterion
from tmatch._io.files import named
from tmatch._io.writing import open_complete
from tmatch._report import page
from tmatch._report.candidates import columns_of
from tmatch._report.chance import chance_of
from tmatch._report.pixels import embed, embed_template
from tmatch._results.formats import match_row
from tmatch._results.matches import Match
from tmatch._results.palette import LABEL_COLOURS
from tmatch._results.records import Record
from tmatch._scoring.metrics import METRICS
from tmatch._search.recipe import SearchResult

_MOST_TEMPLATES = 200  # that are shown


@dataclass(frozen=True)
class Template:
    """A template that was sought: its label, its pixels, and how much each counts."""

    label: str
    pixels: Array
    weights: Array | None = None


@dataclass(frozen=True)
class About:
    """What all images of a report have in common.

    `options` are names and values, as they were given. `poses` is whether it is told how matches lie; `single` whether
    JSON is an object of one image. Without a `criterion` matches alone are recorded.
    """

    labels: Sequence[str]
    criterion: Criterion | None
    metric: str = "zncc"
    options: Sequence[tuple[str, str]] = ()
    templates: Sequence[Template] = ()
    pixel_ratio: float = 1.0
    poses: bool = False
    single: bool = False

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""
        low, high = METRICS[self.metric].bounds
        shown = [
            {
                "label": each.label, "pixels": embed_template(each.pixels, each.weights),
                "height": each.pixels.shape[0], "width": each.pixels.shape[1],
            }
            for each in self.templates[:_MOST_TEMPLATES]
        ]  # fmt: skip
        return {
            "labels": [*self.labels],
            "criterion": None if self.criterion is None else _plain(asdict(self.criterion)),
            "metric": self.metric,
            "bounds": [_finite(low), _finite(high)],
            "options": [[*pair] for pair in self.options],
            "templates": shown,
            "n_templates": len(self.templates),
            "pixel_ratio": self.pixel_ratio,
            "poses": self.poses,
            "single": self.single,
            "colours": [*LABEL_COLOURS],
        }


@dataclass
class ReportWriter:
    """Writes one piece of a report for each record; what was found in an image is told before its record comes."""

    about: About
    file: BinaryIO
    path: Path
    _pieces: dict[int, str] = field(
        default_factory=dict
    )  # by the record that will come, which is alive till then

    def begin(self) -> None:
        """Write what stands before the images."""
        self._write(page.head(self.about.told()))

    def found(self, opened: OpenImage, record: Record, result: SearchResult) -> None:
        """Prepare the piece of an image that was searched."""
        pixels, factor = embed(opened.searched.shown)
        rows, columns = opened.searched.shown_part
        top, left = (part.start for part in opened.searched.part)
        ratio, poses = self.about.pixel_ratio, self.about.poses
        told = {
            **told_of(record, ratio, poses=poses),
            "stages": [[each.stage.how, each.stage.n_tests] for each in result.stages],
            "origin": [top, left],
            "shown": shown_part(columns.start, rows.start, columns.stop, rows.stop, factor),
            **columns_of(result, opened.in_image, ratio, poses=poses),
            "chance": [chance_of(each.found) for each in result.recorded],
        }
        self._pieces[id(record)] = page.piece(told, pixels, summary_of(record))

    def add(self, record: Record) -> None:
        """Write the piece of an image, or why it was not searched."""
        piece = self._pieces.pop(id(record), None)
        if piece is None:
            told = told_of(record, self.about.pixel_ratio, poses=self.about.poses)
            piece = page.piece(told, "", summary_of(record))
        self.add_piece(piece)

    def add_piece(self, text: str) -> None:
        """Write the piece of an image that was made elsewhere."""
        self._write(text)

    def end(self) -> None:
        """Write what stands after the images."""
        self._write(page.tail())

    def _write(self, text: str) -> None:
        with named(self.path, "write"):
            self.file.write(text.encode())


@contextlib.contextmanager
def report(path: Path, about: About) -> Iterator[ReportWriter]:
    """Write a report that takes the place of another file when it is complete."""
    with open_complete(path) as file:
        writer = ReportWriter(about, file, path)
        writer.begin()
        yield writer
        writer.end()


def told_of(record: Record, pixel_ratio: float, *, poses: bool) -> dict[str, Any]:
    """Return what a record tells of an image, besides its matches."""
    found = record.matches
    best = {label: _row(match, pixel_ratio, poses=poses) for label, match in found.best.items()}
    height, width = found.shape if len(found.shape) == 2 else (None, None)
    return {
        "image": record.image, "page": record.page, "time": record.time, "name": record.name,
        "error": record.error, "height": height, "width": width, "labels": [*found.labels], "best": best,
        "searched_poses": found.decision.get("poses"),
    }  # fmt: skip


def summary_of(record: Record) -> str:
    """Write what was found in an image, and what was not."""
    if record.error:
        return f"{record.name}: not searched: {record.error}"
    counts = Counter(match.label for match in record.matches)
    found = ", ".join(f"{label or 'the template'} {number}" for label, number in counts.items())
    lacking = ", ".join(label or "the template" for label in record.matches.missing)
    return f"{record.name or 'Image'}: found: {found or 'nothing'}" + (
        f"; not found: {lacking}" if lacking else ""
    )


def shown_part(left: int, top: int, right: int, bottom: int, factor: int) -> dict[str, int]:
    """Return which part of an image is shown, and how much smaller."""
    return {"x": left, "y": top, "width": right - left, "height": bottom - top, "factor": factor}


def _row(match: Match, pixel_ratio: float, *, poses: bool) -> dict[str, Any]:
    """Return a match as files tell it, and its box in pixels."""
    return {**match_row(match, pixel_ratio, poses=poses), "box": [*match.box.xywh]}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _finite(value) if isinstance(value, float) else value for name, value in values.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
