"""Matches as HTML for notebooks: a table beside a map of where they lie, or with what is seen there."""

import base64
import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tmatch._arrays.casting import displayable
from tmatch._arrays.typing import Array
from tmatch._io.writing import png_of
from tmatch._results.boxes import Box
from tmatch._results.formats.rows import SCORES, edge_points, flat_row, is_posed
from tmatch._results.palette import LABEL_COLOURS

if TYPE_CHECKING:
    from tmatch._results.collection import Matches
    from tmatch._results.matches import Match

_ROWS, _OUTLINES = 20, 500  # that are shown at most
_MAP_SIDE, _CROP_SIDE, _CROP_PIXELS = 240, 64, 256  # pixels on the screen; of a crop that is stored
_DIGITS = {"score": ".3f", "expected_score": ".3f", "angle": ".2f", "scale": ".4f"}


@dataclass(frozen=True)
class Html:
    """A piece of HTML, which notebooks show.

    Parameters
    ----------
    text : str
        The HTML.
    """

    text: str

    def _repr_html_(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text


def table_of(matches: "Matches") -> Html:
    """Return a table of matches, and a map of their outlines if the size of the image is known."""
    return _page(matches, None)


def preview_of(matches: "Matches", image: Array) -> Html:
    """Return a table of matches with what is seen in each box."""
    if matches.shape and image.shape[: len(matches.shape)] != matches.shape:
        msg = f"`image` has shape {image.shape}; the matches are of an image of shape {matches.shape}: give that one"
        raise ValueError(msg)
    pixels = displayable(image)
    return _page(matches, lambda match: _crop(pixels, match.box))


def _page(matches: "Matches", crop: "Callable[[Match], str] | None") -> Html:
    labels = [*dict.fromkeys((*matches.labels, *(match.label for match in matches)))]
    colours = {label: LABEL_COLOURS[n % len(LABEL_COLOURS)] for n, label in enumerate(labels)}
    shown = matches[:_ROWS]
    rest = len(matches) - len(shown)
    parts = [f"<p>{html.escape(_summary(matches))}</p>", _table(shown, colours, crop) if shown else ""]
    parts += [f"<p>and {rest:,} more</p>"] * bool(rest)
    beside = "" if crop or len(matches.shape) != 2 else _map(matches, colours)
    style = "display:flex;gap:1.5em;flex-wrap:wrap;align-items:flex-start"
    text = f'<div style="{style}"><div>{"".join(parts)}</div>{beside}</div>'
    return Html(text.encode("utf-8", "replace").decode())  # file names may be no Unicode


def _summary(matches: "Matches") -> str:
    """Write how many matches there are, where, and what is missing."""
    count = f"{len(matches):,} match{'' if len(matches) == 1 else 'es'}"
    size = f" in {' × '.join(map(str, matches.shape[::-1]))} pixels" if matches.shape else ""
    named = [label for label in matches.missing if label]
    return f"{count}{size}" + (f"; not found: {', '.join(named)}" if named else "")


def _table(matches: "Sequence[Match]", colours: dict[str, str], crop: "Callable[[Match], str] | None") -> str:
    poses = any(map(is_posed, matches))
    rows = [flat_row(match, poses=poses) for match in matches]
    names = [*(name for name in rows[0] if name not in SCORES and not name.endswith("_error")), *SCORES]
    head = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in names)
    body = "".join(
        f"<tr>{f'<td>{crop(match)}</td>' if crop else ''}{''.join(_cells(row, names, colours))}</tr>"
        for match, row in zip(matches, rows, strict=True)
    )
    return f"<table><thead><tr>{'<th></th>' if crop else ''}{head}</tr></thead><tbody>{body}</tbody></table>"


def _cells(row: dict[str, Any], names: Sequence[str], colours: dict[str, str]) -> Iterator[str]:
    for name in names:
        mark = f'<span style="color:{colours[row["label"]]}">■</span> ' if name == "label" else ""
        yield f"<td>{mark}{html.escape(_written(name, row[name]))}</td>"


def _written(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return format(value, _DIGITS.get(name, ".3g" if name in SCORES else ".2f"))
    return str(value)


def _map(matches: "Matches", colours: dict[str, str]) -> str:
    """Draw the outlines of matches in that of the image; the map stands for the image, whose pixels are not kept."""
    height, width = matches.shape
    zoom = _MAP_SIDE / max(height, width)
    outlines = (_outline(match, colours[match.label]) for match in matches[:_OUTLINES])
    return (
        f'<svg width="{max(1, width * zoom):.0f}" height="{max(1, height * zoom):.0f}" '
        f'viewBox="0 0 {width} {height}" style="background:#eee;outline:1px solid #999">{"".join(outlines)}</svg>'
    )


def _outline(match: "Match", colour: str) -> str:
    points = " ".join(f"{x:g},{y:g}" for x, y in edge_points(match))
    title = html.escape(f"{match.label} {match.score:.3f}".strip())
    return (
        f'<polygon points="{points}" fill="{colour}" fill-opacity="0.25" stroke="{colour}" '
        f'vector-effect="non-scaling-stroke"><title>{title}</title></polygon>'
    )


def _crop(pixels: Array, box: Box) -> str:
    """Return what is seen in a box as an image within the page; of a large one not every pixel."""
    left, top, right, bottom = box.xyxy
    seen = pixels[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if not seen.size:
        return ""
    step = -(-max(seen.shape[:2]) // _CROP_PIXELS)
    data = base64.b64encode(png_of(seen[::step, ::step])).decode()
    side = "width" if seen.shape[1] > seen.shape[0] else "height"
    style = f"{side}:{_CROP_SIDE}px;image-rendering:pixelated"
    return f'<img alt="" style="{style}" src="data:image/png;base64,{data}">'
