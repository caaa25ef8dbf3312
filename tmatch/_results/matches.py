"""Matches, and non-maximum suppression of overlapping ones."""

import itertools
import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tmatch._arrays.validation import check_count
from tmatch._results.boxes import Box, colours_hint, unchecked_iou
from tmatch._results.poses import Outline, Pose, PoseErrors, corners_of, outline_iou

Kind = Literal["copy", "alike"]


@dataclass(frozen=True, slots=True)
class Match:
    """A position at which a template was found. Fields are JSON-serializable.

    Parameters
    ----------
    box : Box
        Where, in pixels of the image.
    score : float
        How well the template fits there, at most 1.
    label : str
        Which template, when there are several.
    offset : tuple of float
        From the middle of `box` to that of the template, in pixels on each axis: the sub-pixel part of the position.
        Empty if none was computed.
    false_alarms : float or None
        Expected number of equally good matches in the whole search if the template were absent; None if not known.
    second_best : float or None
        The best score elsewhere, half the template's side away or more, divided by this one: near 1 means that
        another position is about as good, above 1 that another one is better. None if not known.
    expected_score : float or None
        The score that a copy of the template would have there, in the white noise of the image. None if not known.
    kind : {"copy", "alike"} or None
        "copy": the template, with gain and offset, and white noise explain the window (or rounding does, or light that
        slopes; in poses that are interpolated, noise and the finest details, which interpolation loses). "alike":
        something else is seen, as where another object is similar. None if not known.
    angle : float
        Degrees in (-180, 180] by which the template is rotated, counter-clockwise as seen on the screen.
    scale : float
        The size in the image divided by that of the template.
    flip : bool
        Whether the template is mirrored, left and right exchanged, before it is rotated.
    template_shape : tuple of int
        Height and width of the template, whose turned outline `box` bounds; empty if `box` is the outline.
    errors : PoseErrors or None
        Standard errors of center, angle and scale, see `PoseErrors`; None if they were not refined.

    Examples
    --------
    >>> Match(Box((2, 3), (5, 5)), score=0.9, label="eye").center
    (4.0, 5.0)
    """

    box: Box
    score: float
    label: str = ""
    offset: tuple[float, ...] = ()
    false_alarms: float | None = None
    second_best: float | None = None
    expected_score: float | None = None
    kind: Kind | None = None
    angle: float = 0.0
    scale: float = 1.0
    flip: bool = False
    template_shape: tuple[int, ...] = ()
    errors: PoseErrors | None = None

    def __post_init__(self) -> None:
        for name in (
            "score",
            "false_alarms",
            "second_best",
            "expected_score",
        ):  # NumPy's floats are not JSON-serializable
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))

    @property
    def center(self) -> tuple[float, ...]:
        """Middle of the match in pixels, the sub-pixel part added."""
        if not self.offset:
            return self.box.center
        return tuple(c + o for c, o in zip(self.box.center, self.offset, strict=True))

    @property
    def corners(self) -> Outline:
        """Corners of the outline as (row, column), half a pixel outside the middle of border pixels (2-D only).

        The first is the template's own top left corner; the others follow clockwise as seen on the template, so that
        they are counter-clockwise in the image where it is flipped.
        """
        shape, pose = self._placed()
        return corners_of(self.center, shape, pose)

    @property
    def x(self) -> int:
        """First column of the box (2-D only)."""
        return self.box.xywh[0]

    @property
    def y(self) -> int:
        """First row of the box (2-D only)."""
        return self.box.xywh[1]

    @property
    def width(self) -> int:
        """Number of columns of the box (2-D only)."""
        return self.box.xywh[2]

    @property
    def height(self) -> int:
        """Number of rows of the box (2-D only)."""
        return self.box.xywh[3]

    def to_dict(self) -> dict[str, Any]:
        """Return the match as a flat JSON-serializable dictionary, named as the columns of CSV.

        The box is told by `x`, `y`, `width` and `height`, or by `start` and `shape` if it has not two axes. A match in
        a pose, or with a sub-pixel place, has `angle`, `scale`, `flip`, `center_x`, `center_y` and their errors, too.

        Examples
        --------
        >>> told = Match(Box((2, 3), (5, 6)), score=0.9, label="eye").to_dict()
        >>> told["x"], told["y"], told["width"], told["height"], told["score"]
        (3, 2, 6, 5, 0.9)
        """
        from tmatch._results.formats.rows import flat_row, is_posed  # noqa: PLC0415  (they are made of matches)

        return flat_row(self, poses=is_posed(self))

    def to_cv2(self) -> tuple[tuple[float, float], tuple[float, float], float]:
        """Return the outline as ``cv2.RotatedRect`` takes it: (x, y), (width, height), degrees clockwise (2-D only).

        It does not say whether the template is flipped.
        """
        (height, width), pose = self._placed()
        y, x = self.center
        return (x, y), (width * pose.scale, height * pose.scale), 0.0 - pose.angle

    def _placed(self) -> tuple[tuple[int, ...], Pose]:
        """Return the shape of what lies there, and its pose."""
        if len(self.box.shape) != 2:
            n_axes = len(self.box.shape)
            msg = f"a Match with {n_axes} axes has no corners; use `box`{colours_hint(n_axes)}"
            raise ValueError(msg)
        if not self.template_shape:
            return self.box.shape, Pose()
        return self.template_shape, Pose(self.angle, self.scale, self.flip)


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
        boxes that at most touch, 1 keeps all. Of matches that are turned, by other than right angles, the outlines
        are compared.
    max_count : int or None
        Maximum number of matches that are kept; None for no limit.

    Returns
    -------
    list of Match
        By score, best first; equal scores in row-major order of position, then by shape and label.

    Raises
    ------
    ValueError
        If `max_overlap` or `max_count` is out of range, a score is NaN, or boxes differ in their number of axes.

    Examples
    --------
    >>> here, near = Match(Box((0, 0), (4, 4)), 0.9), Match(Box((0, 1), (4, 4)), 0.8)
    >>> [match.score for match in non_max_suppression([near, here])]
    [0.9]
    """
    check_count("max_count", max_count, or_none=True)
    check_overlap(max_overlap)
    if any(math.isnan(m.score) for m in matches) or len({len(m.box.start) for m in matches}) > 1:
        msg = "`matches` have a score that is NaN, or boxes with different numbers of axes; leave these out"
        raise ValueError(msg)
    ordered = sorted(matches, key=order_of)
    better = better_overlapping([match.box for match in ordered], max_overlap, [*map(outline_of, ordered)])
    kept = (match for match, other in zip(ordered, better, strict=False) if other is None)
    return list(itertools.islice(kept, len(ordered) if max_count is None else min(max_count, len(ordered))))


def check_overlap(max_overlap: float) -> None:
    """Check that a maximum intersection over union is in [0, 1]."""
    if not (isinstance(max_overlap, numbers.Real) and 0 <= max_overlap <= 1):
        msg = f"`max_overlap` is {max_overlap!r}; it must be from 0 (boxes may touch) to 1 (no suppression)"
        raise ValueError(msg)


def order_of(match: Match) -> tuple[float | str | tuple[int, ...], ...]:
    """Return a key that sorts by score, best first, then by position, shape and label."""
    return -match.score, match.box.start, match.box.shape, match.label


def outline_of(match: Match) -> Outline | None:
    """Return the outline of a match that is turned; None if its box says as much."""
    return match.corners if match.template_shape and match.angle % 90 else None


def overlap_of(a: Box, b: Box, outline_a: Outline | None = None, outline_b: Outline | None = None) -> float:
    """Compute the intersection over union of two boxes, or of the outlines if one of them is turned."""
    if outline_a is None and outline_b is None:
        return unchecked_iou(a, b)
    one, other = (
        outline or corners_of(box.center, box.shape, Pose())
        for box, outline in ((a, outline_a), (b, outline_b))
    )
    return outline_iou(one, other)


def better_overlapping(
    boxes: Sequence[Box], max_overlap: float, outlines: Sequence[Outline | None] | None = None
) -> Iterator[int | None]:
    """Find for each box, best first, the index of one that is kept and that it overlaps too much; None to keep it.

    `outlines` are those of turned matches, which their boxes bound, and None for others.
    """
    if not boxes or max_overlap == 1:
        yield from itertools.repeat(None, len(boxes))
        return
    known = outlines or [None] * len(boxes)
    # Boxes that overlap have their first pixels in the same or in neighbouring cells as large as the largest box.
    cell = [max(sides) for sides in zip(*(box.shape for box in boxes), strict=True)]
    kept: dict[tuple[int, ...], list[int]] = {}
    for number, (box, outline) in enumerate(zip(boxes, known, strict=True)):
        position = tuple(s // c for s, c in zip(box.start, cell, strict=True))
        around = itertools.product(*((p - 1, p, p + 1) for p in position))
        others = (other for near in around for other in kept.get(near, ()))
        by = next((i for i in others if overlap_of(boxes[i], box, known[i], outline) > max_overlap), None)
        if by is None:
            kept.setdefault(position, []).append(number)
        yield by
