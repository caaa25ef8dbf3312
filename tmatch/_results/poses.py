"""How a template lies in an image, and how exactly that is known."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tmatch._results.boxes import Box

Point = tuple[float, float]  # row, column
Outline = tuple[Point, Point, Point, Point]
_ROUNDING = 1e-9  # pixels, or share of an area, by which arithmetic may be off


@dataclass(frozen=True, slots=True)
class Pose:
    """How a template lies in an image: flipped, then scaled, then rotated.

    Parameters
    ----------
    angle : float
        Degrees, counter-clockwise as seen on the screen (row 0 at the top).
    scale : float
        Factor of both sides, above 0; greater than 1 is larger.
    flip : bool
        Whether left and right are exchanged. Up and down exchanged is a flip rotated by 180 degrees.
    """

    angle: float = 0.0
    scale: float = 1.0
    flip: bool = False

    @property
    def inverse(self) -> NDArray[np.float64]:
        """Matrix from an offset (rows, columns) in the result to that in the original."""
        cosine, sine = _cosine_and_sine(self.angle)
        matrix = np.array([[cosine, sine], [-sine, cosine]]) / self.scale
        return matrix * [[1], [-1]] if self.flip else matrix


class PosedShape(NamedTuple):
    """A pose, and the shape of the template that lies in it."""

    pose: Pose
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PoseErrors:
    """Standard errors of a refined pose. Fields are JSON-serializable.

    They hold for noise, and for what interpolation may err, which is estimated roughly from the template at half its
    size: too small an estimate for some templates of a few thin lines. They are those of the pose that was found, and
    do not say whether another one is true.

    Parameters
    ----------
    center : tuple of float, or None
        Pixels, along rows and columns. None if the position cannot be told, as along a straight edge.
    angle : float or None
        Degrees. None if no range of angles was searched, or the angle cannot be told, as of a disc.
    scale : float or None
        In units of `Match.scale`. None if no range of scales was searched, or the scale cannot be told.

    Examples
    --------
    >>> PoseErrors(center=(0.01, 0.012), angle=0.03).scale is None
    True
    """

    center: tuple[float, float] | None = None
    angle: float | None = None
    scale: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchedPoses:
    """In how many poses a template was searched for, and at which size of the image. Fields are JSON-serializable.

    A wide range of scales is divided, and each part has numbers of its own.

    Parameters
    ----------
    label : str
        Which template, when there are several.
    number : int
        How many poses were searched.
    reduction : int
        How many times smaller the image was in which all of them were searched; 1 for the image itself.
    kept : float
        Share of the template's variance that is left at that size.
    limit : {"size", "detail"} or None
        Why none were searched in a smaller image: the template is too small for it, or its details are too fine. None
        if they were, or were not to be.
    opened : float or None
        Share of the positions that a certified search could not rule out, and searched at full size; None for others.
    """

    label: str
    number: int
    reduction: int = 1
    kept: float = 1.0
    limit: Literal["size", "detail"] | None = None
    opened: float | None = None

    @classmethod
    def of_parts(cls, parts: Sequence["SearchedPoses"]) -> "SearchedPoses":
        """Sum up the parts of a range for one template: poses of all, the largest image, the least that is known."""
        reduction = min(each.reduction for each in parts)
        limits = [each.limit for each in parts]
        return cls(
            label=parts[0].label, number=sum(each.number for each in parts), reduction=reduction,
            kept=min(each.kept for each in parts), limit=limits[0] if all(limits) else None,
            opened=max((each.opened for each in parts if each.opened is not None), default=None),
        )  # fmt: skip


def corners_of(center: Sequence[float], shape: Sequence[float], pose: Pose) -> Outline:
    """Return the corners (row, column) of a template of some shape whose middle lies at `center`.

    The first is the template's own top left corner; the others follow clockwise as seen on the template, so that they
    are counter-clockwise in an image where it is flipped. Edges lie half a pixel outside the middle of border pixels.
    """
    (row, column), (height, width) = center, shape
    cosine, sine = (pose.scale * value for value in _cosine_and_sine(pose.angle))
    down, right = height / 2, width / (-2 if pose.flip else 2)

    def corner(y: float, x: float) -> Point:
        return row + y * cosine - x * sine, column + y * sine + x * cosine

    return corner(-down, -right), corner(-down, right), corner(down, right), corner(down, -right)


def bounding_box(corners: Outline) -> Box:
    """Return the smallest box of whole pixels that holds an outline; it may leave the image."""
    start = tuple(math.floor(min(values) + 0.5 + _ROUNDING) for values in zip(*corners, strict=True))
    stop = (math.ceil(max(values) + 0.5 - _ROUNDING) for values in zip(*corners, strict=True))
    return Box(start, tuple(e - s for s, e in zip(start, stop, strict=True)))


def outline_iou(a: Outline, b: Outline) -> float:
    """Compute the intersection over union of two outlines: 1 if they are equal, 0 if they only touch."""
    a, b = sorted((a, b))  # the same digits in either order
    if not _may_overlap(a, b):
        return 0.0
    shared = abs(_area(_intersection(a, b)))
    share = shared / (abs(_area(a)) + abs(_area(b)) - shared)
    return min(share, 1.0) if share > _ROUNDING else 0.0


def _cosine_and_sine(angle: float) -> tuple[float, float]:
    """Compute both of an angle in degrees; they are exact for multiples of 90."""
    quarters, rest = divmod(angle, 90)
    if rest:
        return math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarters) % 4]


def _may_overlap(a: Outline, b: Outline) -> bool:
    """Check that the bounding boxes of two outlines overlap."""
    return all(
        min(max(p), max(q)) > max(min(p), min(q))
        for p, q in zip(zip(*a, strict=True), zip(*b, strict=True), strict=True)
    )


def _sides(polygon: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Return the sides of a polygon by the points they start from and end at."""
    return zip(polygon, (*polygon[1:], *polygon[:1]), strict=True)


def _area(polygon: Sequence[Point]) -> float:
    """Compute the area of a polygon: positive if its points, as (row, column), are clockwise on the screen."""
    row, column = polygon[0] if polygon else (0.0, 0.0)  # near the others, so that no digits are lost
    return (
        sum((q[0] - row) * (p[1] - column) - (p[0] - row) * (q[1] - column) for p, q in _sides(polygon)) / 2
    )


def _intersection(polygon: Sequence[Point], window: Outline) -> Sequence[Point]:
    """Clip a convex polygon by each edge of a convex window in turn (Sutherland and Hodgman, 1974)."""
    for start, end in _sides(window if _area(window) > 0 else window[::-1]):
        polygon = _cut(polygon, start, end)
    return polygon


def _cut(polygon: Sequence[Point], start: Point, end: Point) -> list[Point]:
    """Return the part of a polygon on the right of a line, as seen on the screen from `start` to `end`."""
    rows, columns = end[0] - start[0], end[1] - start[1]
    depths = [(y - start[0]) * columns - (x - start[1]) * rows for y, x in polygon]
    kept: list[Point] = []
    for (p, q), here, there in zip(_sides(polygon), depths, (*depths[1:], *depths[:1]), strict=True):
        if here >= 0:
            kept.append(p)
        if (here < 0) != (there < 0):  # the side crosses the line
            share = here / (here - there)
            kept.append((p[0] + share * (q[0] - p[0]), p[1] + share * (q[1] - p[1])))
    return kept
