"""Labels of outlines in an image: each where it fits, none over another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tmatch._arrays.typing import Array

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.text import Text

_PAD, _GAP = 0.12, 0.25  # around a text, and around the patch behind it, in units of its size


@dataclass(frozen=True)
class Label:
    """What is to be written at an outline: the first text for which there is room.

    `outline` has the corners (row, column) of a convex shape.
    """

    texts: Sequence[str]
    outline: Sequence[Sequence[float]]
    colour: str


def write_labels(axes: "Axes", labels: Sequence[Label], size: float, *, beside: bool = True) -> None:
    """Write labels inside their outlines where they fit, else beside them, shorter or not at all for want of room.

    Without `beside` they are written inside or not at all. `size` is that of the letters in points. Places are found
    whenever the figure is drawn, as its layout may change.
    """
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": size, "parse_math": False}
    patch = {"pad": _PAD * size, "lw": 0, "alpha": 0.85}
    written = [
        axes.text(0, 0, "", bbox={**patch, "fc": each.colour}, in_layout=False, **style) for each in labels
    ]
    axes.add_artist(_before_drawing(partial(_place, axes, labels, written, beside=beside)))


def _before_drawing(work: Any) -> "Artist":
    """Return an artist below all others that draws nothing, but works when it is drawn."""
    from matplotlib.artist import Artist  # noqa: PLC0415

    class Before(Artist):
        def draw(self, renderer: Any) -> None:
            work(renderer)

    artist = Before()
    artist.set(zorder=-np.inf, in_layout=False)
    return artist


def _place(
    axes: "Axes", labels: Sequence[Label], written: Sequence["Text"], renderer: Any, *, beside: bool
) -> None:
    """Choose text and place of all labels, the first ones first."""
    to_screen = axes.transData
    outlines = [to_screen.transform(np.asarray(each.outline)[:, ::-1]) for each in labels]
    bounds = np.array([(*points.min(0), *points.max(0)) for points in outlines]).reshape(-1, 4)
    room = _Room(np.array(axes.get_window_extent(renderer).extents), bounds, beside=beside)
    for number, (label, text, outline) in enumerate(zip(labels, written, outlines, strict=True)):
        letter = renderer.points_to_pixels(text.get_fontsize())
        text.set_visible(False)
        for words in label.texts:
            text.set(text=words, visible=True)
            size = text.get_window_extent(renderer).size + 2 * _PAD * letter
            if (place := room.take(number, outline, size, _GAP * letter)) is not None:
                text.set_position(tuple(to_screen.inverted().transform(place).tolist()))
                break
            text.set_visible(False)


class _Room:
    """The places in some axes that are taken, in pixels of the figure: rectangles are (left, bottom, right, top)."""

    def __init__(self, area: Array, bounds: Array, *, beside: bool) -> None:
        self.area, self.bounds, self.beside = area, bounds, beside
        self.taken = np.empty((0, 4))

    def take(self, number: int, outline: Array, size: Array, gap: float) -> Array | None:
        """Return the middle of a free place for a label of so many pixels, and take it; None if there is none."""
        half = size / 2
        for middle in self._places(number, outline, half, gap):
            spot = np.concatenate([middle - half, middle + half])
            in_axes = (spot[:2] >= self.area[:2]).all() and (spot[2:] <= self.area[2:]).all()
            if in_axes and not _overlap(spot, self.taken):
                self.taken = np.vstack([self.taken, spot])
                return middle
        return None

    def _places(self, number: int, outline: Array, half: Array, gap: float) -> Iterator[Array]:
        """Yield middles of a label inside an outline, then beside it and clear of all others."""
        bounds, others = self.bounds[number], np.delete(self.bounds, number, axis=0)
        around = np.concatenate([-half - gap / 2, half + gap / 2])
        yield from (m for m in _places_inside(bounds, half + gap) if _holds(outline, np.tile(m, 2) + around))
        for middle in _places_beside(bounds, half, gap) if self.beside else ():
            if not _overlap(np.concatenate([middle - half, middle + half]), others):
                yield middle


def _places_inside(bounds: Array, half: Array) -> Iterator[Array]:
    """Yield middles in the corners of a rectangle, the upper ones first, then in its middle and at its sides."""
    (left, bottom), (right, top) = bounds[:2] + half, bounds[2:] - half
    x, y = (bounds[:2] + bounds[2:]) / 2
    yield from map(np.array, ((left, top), (right, top), (left, bottom), (right, bottom), (x, y)))
    yield from map(np.array, ((x, top), (x, bottom), (left, y), (right, y)))


def _places_beside(bounds: Array, half: Array, gap: float) -> Iterator[Array]:
    """Yield middles above and below a rectangle, in a second row, too, and at its sides."""
    left, bottom, right, top = bounds
    width, height = half
    y = (bottom + top) / 2
    for row in (gap + height, 2 * gap + 3 * height):
        for across in (left + width, right - width, (left + right) / 2):
            yield from map(np.array, ((across, top + row), (across, bottom - row)))
    yield from map(np.array, ((right + gap + width, y), (left - gap - width, y)))


def _overlap(spot: Array, others: Array) -> bool:
    return bool(((spot[:2] < others[:, 2:]) & (spot[2:] > others[:, :2])).all(axis=1).any())


def _holds(outline: Array, spot: Array) -> bool:
    """Check that a rectangle lies in a convex outline: all its corners are on the same side of each of the edges."""
    corners = np.array([(x, y) for x in spot[::2] for y in spot[1::2]])
    edges = np.roll(outline, -1, axis=0) - outline
    away = corners[:, None] - outline
    turns = edges[:, 0] * away[..., 1] - edges[:, 1] * away[..., 0]
    return bool((turns >= 0).all() or (turns <= 0).all())
