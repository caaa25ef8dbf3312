"""The page of a report, piece by piece: what is outside is escaped, and nothing but its own script may run."""

import base64
import functools
import hashlib
import html
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

_SCRIPTS = ("stages.js", "formats.js", "dom.js", "plot.js", "viewer.js", "limits.js", "table.js", "page.js")
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})  # JSON is ASCII besides


def head(about: Mapping[str, Any]) -> str:
    """Return the page up to its images; `about` is what all of them have in common."""
    policy = (
        f"default-src 'none'; script-src {_digest(script())}; style-src {_digest(style())}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>tmatch report</title>\n<style>{style()}</style>\n</head>\n<body>\n"
        f"{_asset('body.html')}{block('about', about)}"
    )


def piece(image: Mapping[str, Any], pixels: str, summary: str) -> str:
    """Return what is told of one image: `pixels` is a data URL or empty, `summary` what is read without scripts."""
    plain = summary.encode("utf-8", "replace").decode()  # file names may be no Unicode
    return (
        block("image", image)
        + f'<script type="text/plain" data-tmatch="pixels">{pixels}</script>\n'
        + f"<noscript><p>{html.escape(plain)}</p></noscript>\n"
    )


def tail() -> str:
    """Return the end of the page: the script, which comes after all that it reads."""
    return f"<script>{script()}</script>\n</body>\n</html>\n"


def block(kind: str, told: Mapping[str, Any]) -> str:
    """Return values as a block of data that holds no markup, whatever they are."""
    text = json.dumps(told, separators=(",", ":"), allow_nan=False).translate(_ESCAPES)
    return f'<script type="application/json" data-tmatch="{kind}">{text}</script>\n'


@functools.cache
def script() -> str:
    """Return the script: plain JavaScript, its files one after the other."""
    return "\n".join(['"use strict";', *map(_asset, _SCRIPTS)])


@functools.cache
def style() -> str:
    """Return the style sheet."""
    return _asset("report.css")


def _digest(text: str) -> str:
    """Return by what a policy of a page knows a script or a style sheet."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _asset(name: str) -> str:
    return (resources.files(__package__) / "assets" / name).read_text("utf-8")
