"""`tmatch locate` for many images: records as they come, a summary, and the exit code."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tmatch._arrays.lazy import is_lazy
from tmatch._batch.images import ImageSearch, OpenImage
from tmatch._batch.journal import Journal
from tmatch._batch.outputs import Add
from tmatch._batch.tally import Tally, described
from tmatch._io import writing
from tmatch._io.sources import Source
from tmatch._results.formats import form_of
from tmatch._results.records import Record
from tmatch._search.recipe import SearchResult
from tmatch.cli.console import Console
from tmatch.cli.one import draw_matches, overlay_path, too_large_to_draw
from tmatch.cli.reports import Report
from tmatch.cli.tables import print_records
from tmatch.cli.telling import Telling

if TYPE_CHECKING:
    from distributed import Client

    from tmatch._report.writer import ReportWriter

_MOST_NAMED = 20  # images whose missing labels are named on stderr


@dataclass(frozen=True)
class ManyImages:
    """A search of many images: `jobs` at a time, from where a former run has stopped if `resume` is set.

    With a `client`, the workers of its cluster search. `overlays` is a folder for images with their boxes.
    """

    console: Console
    search: ImageSearch
    telling: Telling
    jobs: int | None = None
    resume: bool = False
    overlays: Path | None = None
    fail_fast: bool = False
    reword: Callable[[Exception], str] = str
    client: "Client | None" = None
    report: Report | None = None

    def __post_init__(self) -> None:
        forms = [form_of(path) for path in self.telling.files]
        if "yolo" in (*forms, self.telling.form):
            msg = "YOLO has one file for each image; search one, or write another format, as with -o found.coco.json"
            raise ValueError(msg)
        if self.resume and forms.count("jsonl") != 1:
            msg = "--resume goes on with a file of JSON lines; name it, as in -o results.jsonl"
            raise ValueError(msg)
        if self.resume and self.report is not None:
            msg = "--resume goes on with a file, and a report would lack what is in it; leave --report out"
            raise ValueError(msg)
        if self.resume and len(forms) > 1:
            msg = "--resume goes on with one file, and others would lack what is in it; name only the .jsonl with -o"
            raise ValueError(msg)

    def locate_in(self, sources: Iterable[Source], total: Callable[[], int | None]) -> int:
        """Search images, tell what is found as it comes, and return the exit code."""
        self.search.check()
        tally = Tally(tuple(dict.fromkeys(self.search.templates.labels)))
        journal = self._journal(tally)
        with contextlib.ExitStack() as stack:
            adds: list[Add] = [
                stack.enter_context(self.telling.to_file(path, self.search, journal.end))
                for path in self.telling.files
            ]
            adds += [tally.add, stack.enter_context(self._printed())]
            page = None
            if self.report is not None:
                page = stack.enter_context(self.report.write(self.search, self.telling))
                adds.append(page.add)
            progress = stack.enter_context(self.console.progress("searching images"))
            left = (each for each in sources if not journal.skips((each.name, each.page)))
            for record in self._searched(left, page):
                for add in adds:
                    add(record)
                if record.error:
                    about = "" if f'"{record.image}' in record.error else f'image "{record.name}": '
                    self.console.say(f"error: {about}{record.error}")
                    if self.fail_fast:
                        break
                if progress is not None and (number := total()):
                    progress(min(tally.images / number, 1.0))
        for line in described(tally, _MOST_NAMED):
            self.console.say(line)
        written = [*self.telling.files, *([self.overlays] if self.overlays else [])]
        written += [self.report.path] if self.report is not None else []
        if written:
            self.console.say(f"written: {', '.join(map(str, written))}")
        return self.telling.conclude(tally, self.console.say)

    def _journal(self, tally: Tally) -> Journal:
        """Read what a former run has done."""
        for path in self.telling.files if self.resume else ():
            if path.exists():
                return Journal.read(path, tally.labels, self.telling.digest_of(self.search), tally)
        return Journal()

    def _searched(self, sources: Iterator[Source], page: "ReportWriter | None") -> Iterator[Record]:
        def show(opened: OpenImage, record: Record, result: SearchResult | None) -> None:
            if self.overlays is not None:
                self._draw(opened, record)
            if page is not None and result is not None:
                page.found(opened, record, result)

        shown = None if self.overlays is None and page is None else show
        records = self.search.records(sources, self.jobs, self.reword, shown, self.client)
        with contextlib.closing(records):  # after a failure, those that run are waited for
            yield from records

    def _draw(self, opened: OpenImage, record: Record) -> None:
        """Write the overlay of an image, unless that is too large."""
        if is_lazy(opened.searched.shown):
            self.console.say(f"note: --overlay {too_large_to_draw(record.name)}")
            return
        path = overlay_path(self.overlays or Path(), record.name)
        writing.write_figure(path, draw_matches(opened.searched, record.matches, None))

    @contextlib.contextmanager
    def _printed(self) -> Iterator[Add]:
        """Print records: each as it comes, but a table in the end."""
        telling = self.telling
        if telling.form == "table":
            records: list[Record] = []
            yield records.append
            print_records(self.console, records, telling.pixel_ratio, telling.poses)
            return
        writer = telling.writer(telling.form)
        self.console.write(writer.begin())
        yield lambda record: self.console.write(writer.add(record))
        self.console.write(str(writer.end()))
