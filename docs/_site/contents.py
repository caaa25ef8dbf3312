"""The table of contents: what docs/index.md lists under each of its headings, and the sources of the test images."""

import re
from typing import Any

from sphinx.application import Sphinx

_SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_PAGE = re.compile(r"\]\((\.\.[^)#]*?|[^)#:]*?)\.(?:md|ipynb)\)")


def toctrees(text: str) -> str:
    """Write a table of contents for each heading of a page under which pages are listed."""
    sections = [(title, dict.fromkeys(_PAGE.findall(body))) for title, body in _SECTION.findall(text)]
    return "".join(
        f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n"
        + "\n".join(_document(page) for page in pages)
        + "\n```\n"
        for title, pages in sections
        if pages
    )


def _document(page: str) -> str:
    return page.removeprefix("..") if page.startswith("../") else page


def _add_toctrees(app: Sphinx, document: str, source: list[str]) -> None:
    if document == app.config.root_doc:
        source[0] += toctrees(source[0])
    if document == "datasets/README":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\n*/SOURCE\n```\n"


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx add the tables of contents to the pages."""
    app.connect("source-read", _add_toctrees)
    return {"parallel_read_safe": True}
