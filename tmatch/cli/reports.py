"""The report that `tmatch locate` writes: what it tells of the run, and where it goes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tmatch._batch.images import ImageSearch
from tmatch.cli.telling import Telling

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tmatch._report.writer import ReportWriter

_OWN = {"report", "form", "as_json", "out", "overlay", "heatmap", "scores"}  # of files, not of the search


@dataclass(frozen=True)
class Report:
    """A report to write, and the options that were given."""

    path: Path
    options: Sequence[tuple[str, str]]

    @classmethod
    def of(cls, path: Path | None, ctx: typer.Context) -> "Report | None":
        """Return the report that a command is to write, if any; refuse other endings than that of HTML."""
        if path is None:
            return None
        if path.suffix.lower() not in (".html", ".htm"):
            msg = f'cannot write "{path}": --report writes HTML; use the ending .html'
            raise ValueError(msg)
        return cls(path, [*_given(ctx)])

    def write(self, search: ImageSearch, telling: Telling) -> "AbstractContextManager[ReportWriter]":
        """Open the report, to be written image by image."""
        from tmatch._report.writer import About, Template, report  # noqa: PLC0415

        templates = search.templates
        shown = zip(templates.labels, templates.arrays, templates.weights, strict=True)
        about = About(
            labels=[*dict.fromkeys(templates.labels)], criterion=search.criterion,
            metric=search.preparing.get("metric", "zncc"), options=self.options,
            templates=[Template(*each) for each in shown], pixel_ratio=telling.pixel_ratio,
            poses=bool(telling.poses), single=telling.single,
        )  # fmt: skip
        return report(self.path, about)


def _given(ctx: typer.Context) -> Iterator[tuple[str, str]]:
    """Return the arguments and options of a command that were given, but those of files it writes."""
    for parameter in ctx.command.params:
        name, value = parameter.name or "", ctx.params.get(parameter.name or "")
        source = ctx.get_parameter_source(name)
        if name in _OWN or source is None or source.name != "COMMANDLINE":
            continue
        title = max(parameter.opts, key=len) if parameter.param_type_name == "option" else "arguments"
        values = value if isinstance(value, list | tuple) else [value]
        yield title, ", ".join("yes" if each is True else str(each) for each in values)
