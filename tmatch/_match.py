"""What was found: boxes, matches, and which of several overlapping ones to keep."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open box of pixels, in the order of array axes.

    Pixel centres are whole numbers, the origin is the first pixel (top left). A box from 2 of
    length 3 holds pixels 2, 3 and 4 and ends at 5.

    Parameters
    ----------
    start : tuple of int
        First pixel on each axis: (row, column) in 2-D.
    shape : tuple of int
        Number of pixels on each axis, at least 1: (height, width) in 2-D.

    Examples
    --------
    >>> box = Box(start=(300, 670), shape=(65, 80))
    >>> box.stop, box.center, box.xywh
    ((365, 750), (332.0, 709.5), (670, 300, 80, 65))
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        start, shape = tuple(map(int, self.start)), tuple(map(int, self.shape))
        if len(start) != len(shape) or any(n < 1 for n in shape):
            msg = (
                f"a Box needs a start and a positive shape of equal length, got start={start}, shape={shape}"
            )
            raise ValueError(msg)
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "shape", shape)

    @property
    def stop(self) -> tuple[int, ...]:
        """First pixel after the box on each axis."""
        return tuple(s + n for s, n in zip(self.start, self.shape, strict=True))

    @property
    def slices(self) -> tuple[slice, ...]:
        """Slices that cut the box out of its image: ``image[box.slices]``."""
        return tuple(slice(s, e) for s, e in zip(self.start, self.stop, strict=True))

    @property
    def center(self) -> tuple[float, ...]:
        """Middle of the box in pixels; a whole number where the length is odd."""
        return tuple(s + (n - 1) / 2 for s, n in zip(self.start, self.shape, strict=True))

    @property
    def area(self) -> int:
        """Number of pixels in the box."""
        return math.prod(self.shape)

    @property
    def xywh(self) -> tuple[int, int, int, int]:
        """The box as other tools write it: left, top, width, height (2-D only)."""
        (y, x), (height, width) = self.start, self.shape
        return x, y, width, height

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """The box by its corners: left, top, and right, bottom just outside (2-D only)."""
        (top, left), (bottom, right) = self.start, self.stop
        return left, top, right, bottom


@dataclass(frozen=True, slots=True)
class Match:
    """A place where a template was found.

    Parameters
    ----------
    box : Box
        Where, in pixels of the image.
    score : float
        How well the template fits there, at most 1.
    label : str
        Which template, when several were sought.
    offset : tuple of float
        Sub-pixel part of the place on each axis, in pixels; empty if none was computed.

    Examples
    --------
    >>> Match(Box((2, 3), (5, 5)), score=0.9, label="eye").center
    (4.0, 5.0)
    """

    box: Box
    score: float
    label: str = ""
    offset: tuple[float, ...] = ()

    @property
    def center(self) -> tuple[float, ...]:
        """Middle of the match in pixels, the sub-pixel part added."""
        if not self.offset:
            return self.box.center
        return tuple(c + o for c, o in zip(self.box.center, self.offset, strict=True))


def iou(a: Box, b: Box, /) -> float:
    """Intersection over union of two boxes: 1 for equal ones, 0 for ones that only touch.

    Parameters
    ----------
    a, b : Box
        Boxes with the same number of axes.

    Returns
    -------
    float
        Shared pixels over all pixels of the two, in [0, 1].

    Raises
    ------
    ValueError
        If the boxes differ in their number of axes.

    Examples
    --------
    >>> iou(Box((0, 0), (2, 4)), Box((0, 2), (2, 4)))
    0.3333333333333333
    """
    if len(a.start) != len(b.start):
        msg = f"`a` has {len(a.start)} axes and `b` has {len(b.start)}; they must be equal"
        raise ValueError(msg)
    starts, shapes = np.array([a.start, b.start]), np.array([a.shape, b.shape])
    return float(_iou_with_first(starts, shapes)[0])


def non_max_suppression(
    matches: Sequence[Match], /, *, max_overlap: float = 0.3, max_count: int | None = None
) -> list[Match]:
    """Keep the best matches and drop those that overlap a better one.

    Parameters
    ----------
    matches : sequence of Match
        In any order.
    max_overlap : float
        Intersection over union, in [0, 1], above which the weaker of two matches is dropped. 0 keeps
        boxes that at most touch, 1 keeps all.
    max_count : int or None
        At most so many matches are kept; None for no limit.

    Returns
    -------
    list of Match
        By score, best first; equal scores in row-major order of place, then by shape and label.

    Raises
    ------
    ValueError
        If `max_overlap` or `max_count` is out of range.

    Examples
    --------
    >>> here, near = Match(Box((0, 0), (4, 4)), 0.9), Match(Box((0, 1), (4, 4)), 0.8)
    >>> [match.score for match in non_max_suppression([near, here])]
    [0.9]
    """
    check_max_count(max_count)
    if not 0 <= max_overlap <= 1:
        msg = f"`max_overlap` is {max_overlap}; it must be from 0 (boxes may touch) to 1 (no suppression)"
        raise ValueError(msg)
    ordered = sorted(matches, key=lambda m: (-m.score, m.box.start, m.box.shape, m.label))
    if not ordered or max_overlap == 1:
        return ordered[:max_count]
    starts = np.array([m.box.start for m in ordered])
    shapes = np.array([m.box.shape for m in ordered])
    alive = np.arange(len(ordered))
    kept: list[Match] = []
    while alive.size and (max_count is None or len(kept) < max_count):
        kept.append(ordered[alive[0]])
        overlap = _iou_with_first(starts[alive], shapes[alive])
        alive = alive[1:][overlap <= max_overlap]
    return kept


def check_max_count(max_count: int | None) -> None:
    """Refuse a limit below 1."""
    if max_count is not None and max_count < 1:
        msg = f"`max_count` is {max_count}; it must be at least 1, or None for no limit"
        raise ValueError(msg)


def _iou_with_first(starts: NDArray[np.intp], shapes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Intersection over union of the first box with each of the others."""
    stops = starts + shapes
    shared = np.minimum(stops[0], stops[1:]) - np.maximum(starts[0], starts[1:])
    intersection = np.prod(np.maximum(shared, 0), axis=1, dtype=np.float64)
    areas = np.prod(shapes, axis=1, dtype=np.float64)
    return np.asarray(intersection / (areas[0] + areas[1:] - intersection))
