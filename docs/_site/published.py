"""What is checked in the pages that were built: links, requests to other machines, a page for each public name."""

import importlib
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

MODULES = ("tmatch", "tmatch.kernels", "tmatch.synthetic", "tmatch.compat.cv2", "tmatch.compat.skimage",
           "tmatch.compat.pyscreeze", "tmatch.compat.mtm")  # fmt: skip
_LOADED = re.compile(r"""@import\s+['"]?(?:https?:)?//|url\(\s*['"]?(?:https?:)?//""")


@dataclass
class Page(HTMLParser):
    """What a page has to link to, links to and loads."""

    names: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the names, links and files of an element."""
        given = {key: value or "" for key, value in attrs}
        self.names |= {given[key] for key in ("id", "name") if key in given}
        loads = [given[key] for key in ("src", "data", "poster") if key in given]
        if tag == "link" and given.get("rel") not in {"canonical", "next", "prev"}:
            loads.append(given["href"])
        elif tag in {"a", "area"} and "href" in given:
            self.links.append(given["href"])
        self.loaded += loads
        self.links += loads


def faults(site: Path) -> Iterator[str]:
    """Tell which links of a site lead nowhere, and what its pages load from other machines."""
    pages = {
        path.resolve(): _read(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts
    }
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        for link in dict.fromkeys(page.links):
            if (reason := _fault(link, path, pages)) is not None:
                yield f"{name}: {link}: {reason}"
        yield from (f"{name}: loads {url}" for url in page.loaded if _is_elsewhere(url))
    for path in sorted(site.rglob("*.css")):
        if (found := _LOADED.search(path.read_text(encoding="utf-8"))) is not None:
            yield f"{path.relative_to(site)}: loads {found[0]}"


def missing_names(documents: Container[str], overview: str) -> Iterator[str]:
    """Tell which public names have no page of their own or, if they are values, are not named on the page of all."""
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            value, full = getattr(module, name), f"{module.__name__}.{name}"
            if f"docs/reference/api/{full}" not in documents if callable(value) else name not in overview:
                yield f"{full} is missing in docs/reference/api.md"


def _read(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _is_elsewhere(url: str) -> bool:
    return urlsplit(url).netloc != ""


def _fault(link: str, source: Path, pages: dict[Path, Page]) -> str | None:
    """Say why a link leads nowhere, or None."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = (source.parent / unquote(parts.path)).resolve() if parts.path else source
    if not target.is_file():
        return "no such file"
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].names:
        return "no such heading"
    return None


def _check(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    overview = Path(app.srcdir, "docs", "reference", "api.md").read_text(encoding="utf-8")
    for fault in (*faults(Path(app.outdir)), *missing_names(app.env.found_docs, overview)):
        logging.getLogger(__name__).error(fault)
        app.statuscode = 1


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx check the pages when they are built."""
    app.connect("build-finished", _check, priority=900)  # after the search index and others that write files
    return {"parallel_read_safe": True, "parallel_write_safe": True}
