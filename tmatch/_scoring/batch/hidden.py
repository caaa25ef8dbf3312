"""What missing pixels hide of a template, in each window of a tile."""

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.interface import Transforms
from tmatch._engine.tiling import rounding_bound

_EPS = float(np.finfo(np.float64).eps)


class Missing:
    """The pixels of a tile that are missing, also beyond the border of the image.

    Where only the border cuts windows off, sums over rectangles of a template tell what is hidden of it, else
    correlations with what is missing.
    """

    def __init__(self, valid: Array, transforms: Transforms) -> None:
        self.valid, self._transforms = valid, transforms
        self.most_valid = 0  # pixels in a window, of those that were scored

    def sums(self, plane: Array, spectrum: Callable[[], Array]) -> Array:
        """Sum what is hidden of a plane of a template in each window, in the corner of an array."""
        if self._rectangle is None:
            return self._transforms.correlate([(self._spectrum, spectrum())])
        rows, columns = (
            _cuts(*cut) for cut in zip(self._rectangle, self.valid.shape, plane.shape, strict=True)
        )
        return _outside(plane, rows, columns)

    def error(self, plane: Array) -> float:
        """Bound the error of such sums."""
        if self._rectangle is not None:
            return _EPS * sum(plane.shape[-2:]) * float(np.abs(plane).sum())
        norms = math.sqrt(np.square(plane).sum() * np.count_nonzero(~self.valid))
        return rounding_bound(norms, self._transforms.tiling)

    @cached_property
    def _spectrum(self) -> Array:
        return self._transforms.transform((~self.valid).astype(np.float64))

    @cached_property
    def _rectangle(self) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """The rows and columns that are valid, if all other pixels are missing and no others are; else None."""
        limits = []
        for axis in (1, 0):
            there = np.flatnonzero(self.valid.any(axis=axis))
            limits.append((int(there[0]), int(there[-1]) + 1))
        (top, bottom), (left, right) = limits
        whole = np.count_nonzero(self.valid) == (bottom - top) * (right - left)
        return ((top, bottom), (left, right)) if whole else None


def _cuts(limits: tuple[int, int], n: int, k: int) -> tuple[Array, Array]:
    """Return the first pixel of a template on an axis that is valid, and the one after the last, for each window."""
    starts = np.arange(n - k + 1)
    first, last = (np.clip(limit - starts, 0, k) for limit in limits)
    return first, last


def _outside(plane: Array, rows: tuple[Array, Array], columns: tuple[Array, Array]) -> Array:
    """Sum a plane outside rectangles, for all pairs of rows and columns that bound them."""
    integral = np.zeros([n + 1 for n in plane.shape])
    np.cumsum(np.cumsum(plane, axis=0), axis=1, out=integral[1:, 1:])
    (top, bottom), (left, right) = rows, columns
    sums = np.empty((len(top), len(left)))
    cut = (top > 0) | (bottom < plane.shape[0])
    between = integral[bottom] - integral[top]
    sums[cut] = integral[-1, -1] - (between[cut][:, right] - between[cut][:, left])
    sums[~cut] = integral[-1, -1] - (integral[-1, right] - integral[-1, left])
    return sums
