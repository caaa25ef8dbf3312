"""Where the results of `tmatch locate` go, and what they mean for the exit code."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tmatch._batch.images import ImageSearch
from tmatch._batch.outputs import Add, appended, replaced
from tmatch._batch.tally import Tally
from tmatch._results.formats import Form, Format, Writer, form_of, writer_of
from tmatch.cli.process import BAD_INPUT

NONE_FOUND = 1


@dataclass(frozen=True)
class Telling:
    """How results are printed and written: to stdout as `form`, and to files by their endings.

    `single` is whether one image was named, so that JSON is an object. `required` decides the exit code: "all", "any",
    "none", or a number of matches in each image.
    """

    form: Format = "table"
    files: Sequence[Path] = ()
    pixel_ratio: float = 1.0
    poses: Mapping[str, Any] = field(default_factory=dict)
    single: bool = True
    required: str = "any"

    def __post_init__(self) -> None:
        for path in self.files:
            self.writer(form_of(path))  # which says so if it cannot be written
        if not re.fullmatch(r"all|any|none|[1-9]\d*", self.required):
            msg = (
                f'--require is "{self.required}"; it must be all (each template in each image), any, none, or the '
                "least number of matches in each image"
            )
            raise ValueError(msg)

    def writer(self, form: Form, search: str = "") -> Writer:
        """Return what writes records in a format."""
        return writer_of(
            form, pixel_ratio=self.pixel_ratio, poses=bool(self.poses), single=self.single, search=search
        )

    def digest_of(self, search: ImageSearch) -> str:
        """Return what tells results of one search from those of another."""
        return search.digest(self.pixel_ratio, self.poses)

    def to_file(self, path: Path, search: ImageSearch, end: int = 0) -> AbstractContextManager[Add]:
        """Open a file for records: JSON lines are appended after `end` bytes, others replaced in the end."""
        form = form_of(path)
        if form == "jsonl":
            return appended(path, self.writer(form, self.digest_of(search)), end)
        return replaced(path, self.writer(form))

    def conclude(self, tally: Tally, say: Callable[[str], None]) -> int:
        """Return the exit code for what was found; say what is not as required, where that is a number."""
        if unmet := tally.unmet(self.required):
            say(unmet)
        if tally.errors:
            return BAD_INPUT
        return 0 if tally.meets(self.required) else NONE_FOUND
