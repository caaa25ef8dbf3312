"""Filter an image band by band into small integers, in little memory."""

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array, Shape
from tmatch._filtering.filters import correlate

STEPS = 2**12  # filtered pixels are integers of about this size: precise enough, and fast to score
_LARGEST = 2**15 - 1
_PIXELS = 2**21  # of a band
_ROUNDING = 1e-13  # of sums, in units of their largest term
_MAX_BYTES = 2**26  # of a result in memory; larger ones lie in a temporary file

# Return some rows of a channel.
Read = Callable[[int, slice], Array]


@dataclass(frozen=True)
class BandFilter:
    """The difference of two kernels, or one kernel alone. Borders are extended symmetrically."""

    kernels: Sequence[NDArray[np.float64]]
    workers: int | None

    def apply(self, read: Read, count: int, shape: Shape) -> tuple[list[Array], int]:
        """Filter the channels of an image; return the largest magnitude, too.

        The strongest pixels of its middle become `STEPS`, or less if others do not fit.
        """
        bands = [*self._bands(shape)]
        middle = bands[len(bands) // 2]
        known = {
            (number, middle.start): self._filter(read, number, middle, shape[0]) for number in range(count)
        }
        largest = max(map(_peak, known.values()))
        results = [_empty(shape) for _ in range(count)]
        while True:
            peak, fitting = 0.0, largest * _LARGEST / STEPS
            for number, result in enumerate(results):
                for band in bands:
                    values = known.get((number, band.start))
                    if values is None:
                        values = self._filter(read, number, band, shape[0])
                    peak = max(peak, _peak(values))
                    if peak <= fitting:
                        np.rint(values * (STEPS / (largest or 1.0)), out=result[band], casting="unsafe")
            if peak <= fitting:
                return results, math.ceil(peak * STEPS / (largest or 1.0))
            largest = peak  # the middle is much weaker than the rest

    def _filter(self, read: Read, number: int, band: slice, n_rows: int) -> NDArray[np.float64]:
        """Filter the rows of a band; the rows beside it that the kernels reach are read, too."""
        first, last = max(band.start - self._reach, 0), min(band.stop + self._reach, n_rows)
        rows = read(number, slice(first, last))
        own = slice(band.start - first, band.stop - first)
        results = [
            correlate(rows, kernel, border="symmetric", workers=self.workers)[own] for kernel in self.kernels
        ]
        values = np.asarray(results[0] if len(results) == 1 else results[0] - results[1])
        weight = sum(float(np.abs(kernel).sum()) for kernel in self.kernels)
        if _peak(values) <= _ROUNDING * weight * _peak(rows):
            values[:] = 0  # constant rows leave rounding errors, which would be amplified
        return values

    def _bands(self, shape: Shape) -> Iterator[slice]:
        rows = max(1, _PIXELS // math.prod(shape[1:]), 2 * self._reach)
        for first in range(0, shape[0], rows):
            yield slice(first, min(first + rows, shape[0]))

    @property
    def _reach(self) -> int:
        return max(len(kernel) // 2 for kernel in self.kernels)


def _peak(values: Array) -> float:
    return max(float(values.max()), -float(values.min()))


def _empty(shape: Shape) -> Array:
    """Return an uninitialised array; a large one in a temporary file, where the system can reserve its space."""
    size = 2 * math.prod(shape)
    if size > _MAX_BYTES and hasattr(os, "posix_fallocate"):
        with contextlib.suppress(OSError), tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.int16, "r+", shape=shape)
    return np.empty(shape, np.int16)
