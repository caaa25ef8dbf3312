"""Filter an image band by band into small integers, in little memory."""

import contextlib
import itertools
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.lazy import LazyArray, as_array
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import select, threads
from tmatch._engine.interface import Transforms
from tmatch._engine.progress import Resources
from tmatch._io.blocks.mapped import forget

STEPS = 2**12  # filtered pixels are integers of about this size: precise enough, and fast to score
_LARGEST = 2**15 - 1
_PIXELS = 2**21  # of a band
_ROUNDING = 1e-13  # of sums, in units of their largest term
_MAX_BYTES = 2**26  # of a result in memory; larger ones lie in a temporary file
# Of a filtered pixel in single precision, in units of the spread, with weights of norm 1; measured: at most 40.
_SINGLE_ERROR = 64 * float(np.finfo(np.float32).eps)
_LEAST_PIXELS = 1e-18  # whose squares do not underflow in single precision
_TRUSTED_STEPS = 1 / 8  # error of a filtered pixel, which is rounded to whole steps
_ROUNDED_PIXELS = 2**15  # at a time
_SAMPLED_ROWS = 64
_READS = 64  # tiles of a file in memory at a time, about

# Return some rows of a channel.
Read = Callable[[int, slice], Array]


class _Tile(NamedTuple):
    """The largest magnitude of a filtered tile, and the root mean square of the pixels that it was computed from."""

    peak: float
    spread: float


@dataclass(frozen=True)
class _TileFilter:
    """Filters the tiles of an image by transforms, in the precision of the kernel's spectrum.

    An offset is subtracted from the pixels, and `level` is what the kernel makes of it.
    """

    image: PaddedImage
    offset: np.floating[Any]
    level: float
    transforms: Transforms
    spectrum: Array

    def filter(self, block: Region, out: Array) -> _Tile:
        """Compute a block of results."""
        tile = self.image.tile(self.transforms.tiling.needs(block), self.image.image.dtype)
        values = self.transforms.empty_tile(out.dtype.type)
        values[...] = 0
        np.subtract(tile, self.offset, out=values[tuple(map(slice, tile.shape))], casting="same_kind")
        spread = math.sqrt(float(np.vecdot(values, values).sum(dtype=np.float64)) / values.size)
        pair = self.transforms.transform(values, overwrite=True), self.spectrum
        sums = self.transforms.correlate([pair], overwrite=True)
        out[...] = sums[tuple(map(slice, out.shape))]
        if self.level:
            out += self.level
        return _Tile(_peak(out), spread + abs(self.level))


@dataclass(frozen=True)
class BandFilter:
    """The difference of two kernels, or one kernel alone. Borders are extended symmetrically.

    Tiles are transformed in single precision where its error is less than `_TRUSTED_STEPS` of what pixels are rounded
    to, otherwise in double.
    """

    kernels: Sequence[NDArray[np.float64]]
    workers: int | None

    def apply(
        self, read: Read, count: int, shape: Shape, *, in_parts: bool = False
    ) -> tuple[list[Array], int]:
        """Filter the channels of an image; return the largest magnitude, too.

        The strongest pixels of its middle become `STEPS`, or less if others do not fit. Results are to be read in parts
        if the image is.
        """
        bands = [*bands_of(shape, 2 * self._reach)]
        middle = bands[len(bands) // 2]
        known = {
            (number, middle.start): self._filter(read, number, middle, shape[0]) for number in range(count)
        }
        largest = max(peak for _, peak in known.values())
        results = [_empty(shape) for _ in range(count)]
        stored = [as_array(StoredImage(each)) if in_parts else each for each in results]
        while True:
            peak, fitting = 0.0, largest * _LARGEST / STEPS
            for number, result in enumerate(results):
                for band in bands:
                    values, band_peak = known.get((number, band.start)) or self._filter(
                        read, number, band, shape[0], largest
                    )
                    peak = max(peak, band_peak)
                    if peak <= fitting:
                        _round(values, STEPS / (largest or 1.0), result[band])
                    _forget(result)
            if peak <= fitting:
                return stored, math.ceil(peak * STEPS / (largest or 1.0))
            largest = peak  # the middle is much weaker than the rest

    def _filter(
        self, read: Read, number: int, band: slice, n_rows: int, largest: float = 0.0
    ) -> tuple[Array, float]:
        """Filter the rows of a band, and find their largest magnitude; rows that the kernel reaches are read, too.

        In single precision, if that is precise enough where pixels of magnitude `largest` become `STEPS`.
        """
        first, last = max(band.start - self._reach, 0), min(band.stop + self._reach, n_rows)
        rows = read(number, slice(first, last))
        beyond = self._reach - (band.start - first), self._reach - (last - band.stop)
        margins = [beyond, *((n // 2, n // 2) for n in self._kernel.shape[1:])]
        image = PaddedImage(rows, margins, "symmetric")
        values: Array = np.empty((band.stop - band.start, *rows.shape[1:]), np.float32)
        peak, spread = self._filter_tiles(image, values)
        error = _SINGLE_ERROR * max(spread, _LEAST_PIXELS)
        if not error < _TRUSTED_STEPS * max(largest, peak) / STEPS < math.inf:
            values = np.empty(values.shape)
            peak, _ = self._filter_tiles(image, values)
        if peak <= _ROUNDING * float(np.abs(self._kernel).sum()) * _peak(rows):
            values[:], peak = 0, 0.0  # constant rows leave rounding errors, which would be amplified
        return values, peak

    def _filter_tiles(self, image: PaddedImage, out: Array) -> _Tile:
        """Filter an image in the precision of the result."""
        engine = select.choose(0, image.shape)
        transforms = engine.transforms(image.shape, self._kernel.shape)
        spectrum = transforms.kernel_spectrum(self._kernel.astype(out.dtype))
        offset = _middle(image.image)
        tiles = _TileFilter(image, offset, float(offset) * self._total, transforms, spectrum)
        found: list[_Tile] = []

        def work(block: Region) -> None:
            with np.errstate(over="ignore", invalid="ignore"):  # then double precision is needed
                found.append(tiles.filter(block, out[block]))

        threads.run(
            threads.Job(work, transforms.tiling, transforms.passes), resources=Resources(self.workers)
        )
        peaks, spreads = zip(*found, strict=True)
        return _Tile(max(peaks), max(spreads))

    @cached_property
    def _kernel(self) -> NDArray[np.float64]:
        """The kernels as one, of norm 1: filtered pixels have no scale of their own."""
        kernel, *others = self.kernels
        for other in others:
            kernel = _centred(kernel, other.shape) - _centred(other, kernel.shape)
        result: NDArray[np.float64] = kernel / (np.linalg.norm(kernel) or 1.0)
        return result

    @cached_property
    def _total(self) -> float:
        """The sum of the kernel; 0 if that is all but rounding."""
        total, largest = float(self._kernel.sum()), float(np.abs(self._kernel).sum())
        return total if abs(total) > _ROUNDING * largest else 0.0

    @property
    def _reach(self) -> int:
        return len(self._kernel) // 2


def bands_of(shape: Shape, least: int = 1) -> Iterator[slice]:
    """Divide an array into bands of rows, of at least so many."""
    rows = max(1, _PIXELS // math.prod(shape[1:]), least)
    for first in range(0, shape[0], rows):
        yield slice(first, min(first + rows, shape[0]))


def _centred(kernel: Array, shape: Shape) -> Array:
    """Enlarge a kernel by zeros, at least to a shape; all sides are odd."""
    return np.pad(kernel, [(max(k - n, 0) // 2,) * 2 for n, k in zip(kernel.shape, shape, strict=True)])


def _middle(pixels: Array) -> "np.floating[Any]":
    """Return about the mean of some pixels, in the precision in which it can be subtracted from them."""
    sample = pixels[:: -(-len(pixels) // _SAMPLED_ROWS)]
    middle: np.floating[Any] = np.result_type(pixels, np.float32).type(sample.mean(dtype=np.float64))
    return middle


def _round(values: Array, scale: float, out: Array) -> None:
    """Scale values and round them to integers, a few rows at a time, which stay in the cache."""
    rows = max(1, _ROUNDED_PIXELS // math.prod(values.shape[1:]))
    for first in range(0, len(values), rows):
        part = slice(first, first + rows)
        np.rint(values[part] * values.dtype.type(scale), out=out[part], casting="unsafe")


def _peak(values: Array) -> float:
    return max(float(values.max()), -float(values.min()))


class StoredImage(LazyArray):
    """An array in a temporary file, of which little is in memory at a time."""

    def __init__(self, values: Array) -> None:
        self._values, self.shape, self.dtype = values, values.shape, values.dtype
        self._read = itertools.count()

    def read(self, region: Region) -> Array:
        """Copy a region."""
        pixels = self._values[region].copy()
        if next(self._read) % _READS == 0:
            _forget(self._values)
        return pixels


def _forget(values: Array) -> None:
    """Let the system take the memory of an array, if it lies in a temporary file."""
    mapped = getattr(values, "_mmap", None)
    if mapped is not None:
        forget(mapped)


def _empty(shape: Shape) -> Array:
    """Return an uninitialised array; a large one in a temporary file, where the system can reserve its space."""
    size = 2 * math.prod(shape)
    if size > _MAX_BYTES and hasattr(os, "posix_fallocate"):
        with contextlib.suppress(OSError), tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.int16, "r+", shape=shape)
    return np.empty(shape, np.int16)
