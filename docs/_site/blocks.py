"""Blocks of code: the blank line before the end of a doctest is for the test, and not shown."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def _trim(app: Sphinx, document: nodes.document) -> None:  # noqa: ARG001  (the signature is that of the event)
    for block in document.findall(nodes.literal_block):
        if block.rawsource == block.astext():  # otherwise it is marked up already
            block.rawsource = block.rawsource.rstrip()
            block[:] = [nodes.Text(block.rawsource)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx trim the blocks of each page that it has read."""
    app.connect("doctree-read", _trim)
    return {"parallel_read_safe": True}
