"""The page of all commands and options, made of the program itself: the directive `commands`."""

import itertools
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from tmatch.cli import app as program
from tmatch.cli.help import Row, in_lines, panels, paragraphs
from tmatch.cli.options import OTHER


class Commands(SphinxDirective):
    """Write a section for each command, in the order of the help."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        self.env.note_reread()  # whenever the site is built, as it depends on no file but the program
        group = typer.main.get_command(program)
        context = group.context_class(group, info_name="tmatch")
        return [_section(command, context) for command in group.commands.values() if not command.hidden]


def _section(command: Any, parent: Any) -> nodes.section:
    context = command.context_class(command, info_name=command.name, parent=parent)
    title = f"tmatch {command.name}"
    section = nodes.section("", nodes.title(title, title), ids=[title.replace(" ", "-")], names=[title])
    section += nodes.literal_block("", command.get_usage(context).removeprefix("Usage: "), classes=["usage"])
    section += list(_help(command.help))
    for panel, rows in panels(command, context).items():
        if panel != OTHER:  # the help itself
            section += nodes.rubric(panel, panel)
            section += nodes.definition_list("", *map(_item, rows), classes=["options"])
    section += list(_help(command.epilog or ""))
    return section


def _item(row: Row) -> nodes.definition_list_item:
    """Write an option: its names and value, then its help and default, as the help of the command does."""
    term = nodes.term("", "", nodes.literal("", row.name))
    told = re.sub(r"^Default: (.*)\.$", r"Default: `\1`.", row.note)
    text = nodes.paragraph("", "", *_marked(f"{row.text} {told}".strip()))
    return nodes.definition_list_item("", term, nodes.definition("", text))


def _help(text: str) -> Iterator[nodes.Node]:
    """Write a help text: commands as code, the rest as prose."""
    for is_command, members in itertools.groupby(paragraphs(text), key=lambda each: each.is_command):
        texts = [each.text for each in members]
        if is_command:
            code = textwrap.dedent("\n".join(in_lines(each, 70) for each in texts))
            yield nodes.literal_block(code, code, language="console")
        else:
            yield from (nodes.paragraph("", "", *_marked(each)) for each in texts)


def _marked(text: str) -> list[nodes.Node]:
    """Write what stands between backticks as code."""
    parts = re.split(r"`([^`]+)`", re.sub(r"\s+", " ", text))  # prose and code in turns
    return [nodes.literal("", part) if n % 2 else nodes.Text(part) for n, part in enumerate(parts)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Add the directive."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
