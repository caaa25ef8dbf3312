"""The look of the help: usage, panels of commands, arguments and options, and examples that can be pasted."""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from tmatch.cli import options

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_WIDTHS = 40, 100  # columns; longer lines are hard to read
_NAME, _VALUE, _TITLE, _DIM = "bold cyan", "yellow", "bold", "dim"


class Row(NamedTuple):
    """A command, argument or option as the help shows it: its names and value, what it does, its default."""

    name: str
    text: str
    note: str = ""


class Command(TyperCommand):
    """A command with help of this look."""

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return what the line of usage consists of."""
        named = (each for each in self.get_params(ctx) if each.param_type_name == "argument")
        return ["[OPTIONS]", *(_value(each) if each.required else f"[{_value(each)}]" for each in named)]

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the help."""
        formatter.write(_render(self, ctx))


class CommandGroup(TyperGroup):
    """All commands, with help of this look."""

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Write the help."""
        formatter.write(_render(self, ctx))


def panels(command: Any, ctx: Any) -> dict[str, list[Row]]:
    """Return what the help tells of arguments and options, by their panels."""
    found: dict[str, list[Row]] = {}
    shown = [each for each in command.get_params(ctx) if not each.hidden]
    for each in sorted(shown, key=lambda each: options.PANELS.index(_panel(each))):
        found.setdefault(_panel(each), []).append(_row(each))
    return found


def command_panels(group: Any) -> dict[str, list[Row]]:
    """Return what the help tells of commands, by their panels."""
    found: dict[str, list[Row]] = {}
    for each in getattr(group, "commands", {}).values():
        found.setdefault(each.rich_help_panel, []).append(Row(each.name, next(paragraphs(each.help)).text))
    return found


class Paragraph(NamedTuple):
    """A paragraph of a help text: prose, or a command to paste."""

    text: str
    is_command: bool


def paragraphs(text: str) -> Iterator[Paragraph]:
    """Split a help text, in which commands are indented."""
    for part in filter(None, text.strip("\n").split("\n\n")):
        yield Paragraph(" ".join(part.split()), is_command=part.startswith("    "))


def _panel(parameter: Any) -> str:
    panel: str = parameter.rich_help_panel or options.OTHER
    return panel


def _row(parameter: Any) -> Row:
    if parameter.param_type_name == "argument":
        return Row(_value(parameter), parameter.help)
    names = ", ".join(sorted(parameter.opts, key=len))
    if parameter.is_flag:
        return Row(names, parameter.help)
    default = f"{parameter.default:g}" if isinstance(parameter.default, float) else parameter.default
    note = "Required." if parameter.required else "" if default is None else f"Default: {default}."
    return Row(f"{names} {_value(parameter)}", parameter.help, note)


def _value(parameter: Any) -> str:
    value: str = parameter.metavar or parameter.name.upper()
    return value


def as_printed(text: str) -> str:
    """Return a text, in which commands are indented, as it is printed."""
    return _captured(lambda console: _print_paragraphs(console, text))


def _render(command: Any, ctx: Any) -> str:
    """Return the help of a command as it is printed."""
    from rich.panel import Panel  # noqa: PLC0415

    def draw(console: Any) -> None:
        console.print(_styled(" ".join(command.get_usage(ctx).split()), _TITLE), "", sep="\n")
        _print_paragraphs(console, command.help)
        for told in (command_panels(command), panels(command, ctx)):
            names = max((len(row.name) for rows in told.values() for row in rows), default=0)
            for title, rows in told.items():
                heading = _styled(title, f"not {_DIM} {_TITLE}")
                console.print(
                    Panel(_table(rows, names), title=heading, title_align="left", border_style=_DIM)
                )
        console.print()
        _print_paragraphs(console, command.epilog or "")

    return _captured(draw)


def _captured(draw: Callable[[Any], None]) -> str:
    """Return what is drawn for the terminal, or for 80 columns without colours where there is none."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(highlight=False)
    console.width = max(_WIDTHS[0], min(console.width, _WIDTHS[1]))
    with console.capture() as captured:
        draw(console)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())


def _print_paragraphs(console: Any, text: str) -> None:
    """Print prose, and commands indented."""
    for is_command, members in itertools.groupby(paragraphs(text), key=lambda each: each.is_command):
        texts = [in_lines(each.text, console.width) if is_command else each.text for each in members]
        for block in ["\n".join(texts)] if is_command else texts:
            console.print(_styled(block))
            console.print()


def in_lines(command: str, width: int) -> str:
    """Break a command that is too long before options or other words, so that it can still be pasted."""
    lines = [" "]
    for word in re.findall(r'-\S+ (?:"[^"]*"|[^-\s]\S*)|"[^"]*"|\S+', command):
        if len(lines[-1]) + 1 + len(word) > width - 2:
            lines.append("     ")
        lines[-1] += f" {word}"
    return " \\\n".join(lines)


def _table(rows: list[Row], names: int) -> "Table":
    """Put names, all in a column as wide as the longest of them in any panel, beside what they do."""
    from rich.table import Table  # noqa: PLC0415

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=names)
    table.add_column()
    for row in rows:
        name = _styled(row.name, "" if row.name.startswith("-") else _NAME)
        name.highlight_regex(r"(?<=[a-z] )[A-Z].*$", _VALUE)
        text = _styled(row.text)
        if row.note:
            text.append(f" {row.note}", _DIM)
        table.add_row(name, text)
    return table


def _styled(text: str, style: str = "") -> "Text":
    """Return text in which the names of options stand out."""
    from rich.text import Text  # noqa: PLC0415

    styled = Text(text, style)
    styled.highlight_regex(r"(?<![\w.-])--?[A-Za-z][\w-]*", _NAME)
    return styled
