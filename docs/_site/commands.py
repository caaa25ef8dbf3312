"""The page of all commands and options, made of the program itself: the directive `commands`."""

import itertools
import re
from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tmatch.cli import app as program


class Commands(SphinxDirective):
    """Write a section for each command, in the order of the help."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        group = typer.main.get_command(program)
        context = group.context_class(group, info_name="tmatch")
        return [_section(command, context) for command in group.commands.values() if not command.hidden]


def _section(command: Any, parent: Any) -> nodes.section:
    context = command.context_class(command, info_name=command.name, parent=parent)
    title = f"tmatch {command.name}"
    section = nodes.section("", nodes.title(title, title), ids=[title.replace(" ", "-")], names=[title])
    section += nodes.literal_block("", command.get_usage(context).removeprefix("Usage: "), classes=["usage"])
    section += list(_help(command.help or ""))
    options = [each for each in command.params if not getattr(each, "hidden", False)]
    for panel, members in itertools.groupby(sorted(options, key=_panel_order(options)), key=_panel):
        section += nodes.rubric(panel, panel)
        section += nodes.definition_list(
            "", *(_option(each, context) for each in members), classes=["options"]
        )
    if command.epilog:
        section += nodes.paragraph("", "", *_marked(command.epilog))
    return section


def _panel(option: Any) -> str:
    kind = "Arguments" if option.param_type_name == "argument" else "Options"
    return getattr(option, "rich_help_panel", None) or kind


def _panel_order(options: list[Any]) -> Any:
    panels = list(dict.fromkeys(map(_panel, options)))
    return lambda option: panels.index(_panel(option))


def _option(option: Any, context: Any) -> nodes.definition_list_item:
    """Write an option: its names and value, then its help and default, as the help of the command does."""
    names, told = option.get_help_record(context)
    if option.param_type_name == "argument":
        names = option.metavar or option.name
    told = re.sub(r"  \[([^]]*)\]$", _bounds, told)
    term = nodes.term("", "", nodes.literal("", names))
    return nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph("", "", *_marked(told))))


def _bounds(found: re.Match[str]) -> str:
    """Write as sentences what the help adds in brackets: the default, the range, or that an option is required."""
    return " " + " ".join(map(_bound, found[1].split("; ")))


def _bound(part: str) -> str:
    if part == "required":
        return "Required."
    name, value = ("Default", part[9:]) if part.startswith("default: ") else ("Range", part)
    return f"{name}: `{value}`."


def _help(text: str) -> Iterator[nodes.Node]:
    """Write a help text: what is indented are commands, other paragraphs are prose."""
    for indented, paragraphs in itertools.groupby(
        text.split("\n\n"), key=lambda part: part.startswith("    ")
    ):
        if indented:
            code = "\n".join(line.strip() for part in paragraphs for line in part.splitlines())
            yield nodes.literal_block(code, code, language="console")
        else:
            yield from (nodes.paragraph("", "", *_marked(part)) for part in paragraphs)


def _marked(text: str) -> list[nodes.Node]:
    """Write what stands between backticks as code."""
    parts = re.split(r"`([^`]+)`", re.sub(r"\s+", " ", text))  # prose and code in turns
    return [nodes.literal("", part) if n % 2 else nodes.Text(part) for n, part in enumerate(parts)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
