"""Boxes of pixels."""

import math
import operator
from dataclasses import dataclass


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
        start, shape = tuple(map(operator.index, self.start)), tuple(map(operator.index, self.shape))
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
        (y, x), (height, width) = self._two(self.start), self._two(self.shape)
        return x, y, width, height

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """The box by its corners: left, top, and right, bottom just outside (2-D only)."""
        (top, left), (bottom, right) = self._two(self.start), self._two(self.stop)
        return left, top, right, bottom

    def _two(self, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(values) != 2:
            msg = f"a Box with {len(values)} axes has no x and y; use `start` and `shape`{colours_hint(len(values))}"
            raise ValueError(msg)
        return values


def colours_hint(n_axes: int) -> str:
    """Return what to do if the last of three axes holds colours; nothing for other numbers of axes."""
    return ", or search with channel_axis=-1 if the last axis holds colours" if n_axes == 3 else ""


def iou(a: Box, b: Box, /) -> float:
    """Compute the intersection over union of two boxes: 1 if they are equal, 0 if they only touch.

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
    return unchecked_iou(a, b)


def unchecked_iou(a: Box, b: Box) -> float:
    """Compute `iou` of boxes with the same number of axes."""
    shared = 1
    for s, n, t, m in zip(a.start, a.shape, b.start, b.shape, strict=True):
        shared *= max(0, min(s + n, t + m) - max(s, t))
    if not shared:  # as of most pairs
        return 0.0
    return shared / (a.area + b.area - shared)
