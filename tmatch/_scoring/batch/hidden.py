"""What missing pixels hide of a template, in each window of a tile."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array
from tmatch._engine.interface import Engine, Transforms
from tmatch._engine.tiling import rounding_bound

_EPS = float(np.finfo(np.float64).eps)
# Windows that rectangles of missing pixels reach, for each point of a transform; with more, transforms are faster.
_MAX_REACHED = 3


@dataclass(frozen=True)
class Plane:
    """An array of a template's shape that is summed over missing pixels, and what makes its spectrum."""

    values: Array
    make_spectrum: Callable[[], Array]

    @cached_property
    def spectrum(self) -> Array:
        """The conjugated spectrum."""
        return self.make_spectrum()

    @cached_property
    def integral(self) -> Array:
        """The sums of all pixels above and left of each place."""
        integral = np.zeros([n + 1 for n in self.values.shape])
        np.cumsum(np.cumsum(self.values, axis=0, dtype=np.longdouble), axis=1, out=integral[1:, 1:])
        return integral

    @cached_property
    def norm(self) -> float:
        """The root of the sum of squares."""
        return math.sqrt(np.square(self.values, dtype=np.float64).sum())

    @cached_property
    def rectangle_error(self) -> float:
        """The largest error of a sum over a rectangle."""
        of_sums = (
            float(np.finfo(np.longdouble).eps) * sum(self.values.shape) * float(np.abs(self.values).sum())
        )
        return 8 * (of_sums + _EPS * float(np.abs(self.integral).max()))


class Missing:
    """The pixels of a tile that are missing, also beyond the border of the image.

    If they are few, or of few rectangles, as borders are, these are looked up in integral images of the template; else
    it is correlated with what is missing.
    """

    def __init__(self, valid: Array, transforms: Transforms, engine: Engine) -> None:
        self.valid, self._transforms, self._engine = valid, transforms, engine
        self.most_valid = 0  # pixels in a window, of those that were scored

    def sums(self, plane: Plane) -> Array:
        """Sum what is hidden of a plane of a template in each window, in the corner of an array."""
        if not self._are_few(plane):
            return self._transforms.correlate([(self._spectrum, plane.spectrum)])
        sums = np.zeros(valid_shape(self.valid.shape, plane.values.shape))
        self._engine.add_rectangles(plane.integral, self._rectangles, sums)
        return sums

    def error(self, plane: Plane) -> float:
        """Bound the error of such sums."""
        if self._are_few(plane):
            return len(self._rectangles) * plane.rectangle_error
        return rounding_bound(plane.norm * math.sqrt(np.count_nonzero(self._gone)), self._transforms.tiling)

    def _are_few(self, plane: Plane) -> bool:
        """Return whether rectangles reach few windows."""
        sides = self._rectangles[:, 1::2] - self._rectangles[:, ::2]
        reached = (sides + np.array(plane.values.shape)).prod(axis=1).sum()
        return int(reached) <= _MAX_REACHED * math.prod(self._transforms.tiling.fft_shape)

    @cached_property
    def _gone(self) -> Array:
        return ~self.valid

    @cached_property
    def _spectrum(self) -> Array:
        return self._transforms.transform(self._gone.astype(np.float64))

    @cached_property
    def _rectangles(self) -> Array:
        return _rectangles_of(self._gone)


def _rectangles_of(marked: Array) -> Array:
    """Divide marked pixels into rectangles: row, row after the last, column and column after the last."""
    rows, columns = marked.shape
    # One row after another, a gap before each.
    flat = np.zeros(rows * (columns + 1) + 1, bool)
    flat[:-1].reshape(rows, columns + 1)[:, 1:] = marked
    starts, stops = np.flatnonzero(flat[1:] != flat[:-1]).reshape(-1, 2).T
    row, left = np.divmod(starts + 1, columns + 1)
    run = (left * (columns + 2) + left + stops - starts) * (rows + 1)
    keys = np.sort(run + row)  # equal runs, row by row
    is_first = np.diff(keys, prepend=-2) != 1
    first, last = keys[is_first], keys[np.append(is_first[1:], True)[: len(keys)]]
    (left, right), top = np.divmod(first // (rows + 1), columns + 2), first % (rows + 1)
    return np.column_stack([top, last % (rows + 1) + 1, left - 1, right - 1])
