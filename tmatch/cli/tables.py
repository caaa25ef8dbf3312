"""Tables of matches for people to read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tmatch
from tmatch._results import formats
from tmatch._results.records import Record
from tmatch.cli.console import Console, printable


def print_records(
    console: Console,
    records: Sequence[Record],
    pixel_ratio: float,
    poses: Mapping[str, Any],
    *,
    with_image: bool = True,
) -> None:
    """Print the matches in images, and a row for each label that was not found in one; nothing if none was found."""
    lines = [line for record in records for line in _lines(record)]
    matches = [match for _, _, match, _ in lines if match is not None]
    if not (matches or (with_image and lines)):
        return
    names = {
        "image": [record.image for record, *_ in lines] if with_image else [],
        "page": ["" if record.page is None else f"{record.page}" for record, *_ in lines],
        "time": ["" if record.time is None else f"{record.time:.3f}" for record, *_ in lines],
        "label": [label for _, label, *_ in lines],
    }
    told = {name: values for name, values in names.items() if name == "label" or any(values)}
    columns = _columns(matches, pixel_ratio, poses) if matches else {"kind": []}
    rows = zip(*columns.values(), strict=True)
    blank = [""] * (len(columns) - 1)
    cells = [[*blank, why] if match is None else next(rows) for _, _, match, why in lines]
    _print(console, told, [*columns], cells, whole=bool(poses))


def _lines(record: Record) -> Iterable[tuple[Record, str, tmatch.Match | None, str]]:
    """Return what a table tells of an image: label, match and, where there is none, why."""
    if record.error:
        yield record, "", None, "error"
    for match in record.matches:
        yield record, match.label, match, ""
    for label in record.matches.missing:
        yield record, label, None, "not found"


def _print(
    console: Console,
    names: Mapping[str, Sequence[str]],
    headings: Sequence[str],
    cells: Sequence[Sequence[str]],
    *,
    whole: bool,
) -> None:
    """Print a table: names, which may be folded, then numbers, which may not.

    Headings of two words take two lines where the terminal is narrow.
    """
    from rich.table import Column, Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    def table(*, wrapped: bool) -> Table:
        titles = [name.replace(" ", "\n") if wrapped else name for name in headings]
        widths = [
            max(map(len, (*title.split("\n"), *column)))
            for title, column in zip(titles, zip(*cells, strict=True), strict=True)
        ]
        made = Table(
            *(Column(name, overflow="fold", min_width=len(name)) for name in names),
            *(
                Column(t, justify="right", no_wrap=True, min_width=n)
                for t, n in zip(titles, widths, strict=True)
            ),
        )
        for row, numbers in zip(zip(*names.values(), strict=True), cells, strict=True):
            made.add_row(*(Text(printable(name)) for name in row), *numbers)
        return made

    wrapped = whole or not console.has_room_for(table(wrapped=False))
    console.print_table(table(wrapped=wrapped), whole=whole)


def _columns(
    matches: list[tmatch.Match], pixel_ratio: float, poses: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Write what the table tells of matches: their boxes, what was asked about poses, and how good they are."""
    boxes = ([f"{formats.in_units(v, pixel_ratio):g}" for v in match.box.xywh] for match in matches)
    columns = dict(zip(("x", "y", "width", "height"), map(list, zip(*boxes, strict=True)), strict=True))
    if "angles" in poses:
        columns["angle"] = [f"{match.angle:.2f}" for match in matches]
    if "scales" in poses:
        columns["scale"] = [f"{match.scale:.4f}" for match in matches]
    if "flips" in poses:
        columns["flip"] = ["yes" if match.flip else "no" for match in matches]
    if any(match.errors for match in matches):
        columns["center"] = [_center(match, pixel_ratio) for match in matches]
    columns["score"] = [f"{match.score:.3f}" for match in matches]
    for name in ("false_alarms", "second_best"):
        values = [getattr(match, name) for match in matches]
        columns[name.replace("_", " ")] = ["" if value is None else f"{value:.2g}" for value in values]
    return {**columns, "kind": [match.kind or "" for match in matches]}


def _center(match: tmatch.Match, pixel_ratio: float) -> str:
    """Write where the middle of a match lies, x before y, and the larger of both standard errors."""
    y, x = (value / pixel_ratio for value in match.center)
    error = match.errors.center if match.errors else None
    return f"{x:.2f}, {y:.2f}" + (f" ± {max(error) / pixel_ratio:.2g}" if error else "")
