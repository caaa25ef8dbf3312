"""Correlation of two-dimensional real tiles by Fourier transforms, compiled by numba.

They take at most half the time of SciPy's. Spectra keep the order in which the butterflies leave them, which is
irrelevant to products. Frequencies are odd multiples of half a step, so that none is its own mirror image; values that
wrap round are negated, but never used. The left half of a real tile is the real part, and its right half the imaginary
part, of a complex tile. Vectors hold adjacent columns; after the columns the tile is transposed, for the rows.

A spectrum is divided into blocks of as many vertical frequencies as a vector has lanes. A block has a vector for every
horizontal frequency: first all real parts, then all imaginary parts.
"""

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine import execution
from tmatch._engine.numba.butterflies import (
    add_product,
    join,
    set_product,
    split,
    step_back,
    step_forward,
)
from tmatch._engine.numba.compiler import compiled, inline
from tmatch._engine.numba.vectors import VECTOR_BYTES
from tmatch._engine.tiling import Tiling

STEP = 32  # sides of tiles are multiples of it: two of the longest vectors
_PASSES = 16.0  # cost of a pair of transforms, in passes over a tile
_LINE_BYTES = 64  # of the cache: loading a vector that spans two lines is slower


@inline
def _transform(values: Array, at: int, gap: int, pitch: int, n: int, radices: Array, roots: Array) -> None:
    """Transform a column of n vectors, `pitch` apart, with imaginary parts at a distance of `gap`."""
    size, first = n, 0
    for radix in radices:
        sub = size // radix
        step = sub * pitch
        for start in range(at, at + n * pitch, size * pitch):
            for position in range(start, start + step, pitch):
                step_forward(radix, values, position, gap, step, roots, first)
            first += radix - 1
        size = sub


@inline
def _transform_back(
    values: Array, at: int, gap: int, pitch: int, n: int, radices: Array, roots: Array
) -> None:
    """Invert `_transform`, except for a factor n."""
    size, last = 1, len(roots)
    for radix in radices[::-1]:
        step = size * pitch
        size *= radix
        last -= n // size * (radix - 1)
        first = last
        for start in range(at, at + n * pitch, size * pitch):
            for position in range(start, start + step, pitch):
                step_back(radix, values, position, gap, step, roots, first)
            first += radix - 1


@compiled
def transform_tile(
    tile: Array,
    columns: int,
    radices: Array,
    roots: Array,
    rows: Array,
    radices_across: Array,
    roots_across: Array,
    spectrum: Array,
) -> None:
    """Compute the spectrum of a tile, which is overwritten; its rows are a vector longer than the transform.

    From column `columns` on, the tile is 0.
    """
    height, pitch = tile.shape
    blocks, _, width, lanes = spectrum.shape
    half, gap = width // 2, width * lanes
    flat = tile.ravel()
    for x in range(0, min(half, columns), lanes):
        _transform(flat, x, half, pitch, height, radices, roots)
    for i in range(blocks):
        block = spectrum[i].ravel()
        for x in range(0, half, lanes):
            split(flat, rows, i * lanes, x, half, pitch, gap, block)
        _transform(block, 0, gap, lanes, width, radices_across, roots_across)


@compiled
def correlate(
    spectra: tuple[Array, ...],
    kernels: tuple[Array, ...],
    scale: float,
    radices: Array,
    roots: Array,
    rows: Array,
    radices_across: Array,
    roots_across: Array,
    block: Array,
    tile: Array,
) -> None:
    """Multiply spectra by those of kernels, add the products, and transform back. `block` is scratch memory."""
    blocks, _, width, lanes = spectra[0].shape
    for i in range(blocks):
        for number in range(len(spectra)):
            _multiply(
                number, spectra[number][i].ravel(), kernels[number][i].ravel(), scale, width, lanes, block
            )
        rows_back(i, width, lanes, rows, radices_across, roots_across, block, tile)
    columns_back(width, lanes, radices, roots, tile)


@compiled
def correlate_nth(
    n: int,
    spectra: tuple[Array, ...],
    kernels: tuple[Array, ...],
    scale: float,
    radices: Array,
    roots: Array,
    rows: Array,
    radices_across: Array,
    roots_across: Array,
    block: Array,
    tile: Array,
) -> None:
    """Do the same with the n-th kernel of each channel's."""
    blocks, _, width, lanes = spectra[0].shape
    for i in range(blocks):
        for number in range(len(spectra)):
            kernel = kernels[number][n, i].ravel()
            _multiply(number, spectra[number][i].ravel(), kernel, scale, width, lanes, block)
        rows_back(i, width, lanes, rows, radices_across, roots_across, block, tile)
    columns_back(width, lanes, radices, roots, tile)


@inline
def _multiply(
    number: int, spectrum: Array, kernel: Array, scale: float, width: int, lanes: int, block: Array
) -> None:
    """Multiply a block of a spectrum by one of a kernel; set the product for the first channel, or add it."""
    gap = width * lanes
    if number == 0:
        for at in range(0, gap, lanes):
            set_product(spectrum, kernel, scale, at, gap, block)
    else:
        for at in range(0, gap, lanes):
            add_product(spectrum, kernel, scale, at, gap, block)


@inline
def rows_back(
    i: int, width: int, lanes: int, rows: Array, radices: Array, roots: Array, block: Array, tile: Array
) -> None:
    """Transform a block of products back along the rows, into the tile."""
    half, gap, pitch = width // 2, width * lanes, tile.shape[1]
    flat = tile.ravel()
    _transform_back(block, 0, gap, lanes, width, radices, roots)
    for x in range(0, half, lanes):
        join(flat, rows, i * lanes, x, half, pitch, gap, block)


@inline
def columns_back(width: int, lanes: int, radices: Array, roots: Array, tile: Array) -> None:
    """Transform a tile back along the columns."""
    height, pitch = tile.shape
    flat, half = tile.ravel(), width // 2
    for x in range(0, half, lanes):
        _transform_back(flat, x, half, pitch, height, radices, roots)


@functools.lru_cache(maxsize=64)
def plan(n: int, dtype: type[np.floating[Any]]) -> tuple[Array, Array, Array]:
    """Return the radices of a transform, its roots in order of use, and positions of frequencies and their mirrors.

    A step reduces polynomials modulo ``x**m - exp(-2 pi i t)`` to those modulo its factors; t begins at 1 / 2. With
    ``t = numerator / denominator``, the final numerators, odd numbers below 2 n, are the frequencies.
    """
    radices = []
    remaining = n
    for radix in (5, 3):
        while remaining % radix == 0:
            radices.append(radix)
            remaining //= radix
    while remaining > 1:
        radices.append(8 if remaining % 8 == 0 and remaining != 16 else 4)
        remaining //= radices[-1]
    numerators, denominator, roots = np.ones(1, np.int64), 2, []
    for radix in radices:
        angles = np.multiply.outer(numerators, np.arange(1, radix)) / (denominator * radix)
        roots.append(np.exp(-2j * np.pi * angles).ravel())
        numerators = np.add.outer(numerators, denominator * np.arange(radix)).ravel()
        denominator *= radix
    position = np.empty(n, np.int64)
    position[numerators // 2] = np.arange(n)
    mirrored = np.column_stack([position, position[::-1]])[: n // 2]
    pairs = np.concatenate(roots)
    return np.array(radices), np.column_stack([pairs.real, pairs.imag]).astype(dtype), mirrored


def aligned(shape: Shape, dtype: type[np.floating[Any]]) -> Array:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + _LINE_BYTES, np.uint8)
    start = -buffer.__array_interface__["data"][0] % _LINE_BYTES
    return buffer[start : start + size].view(dtype).reshape(shape)


@dataclass(frozen=True)
class CompiledTransforms:
    """Transforms of two-dimensional tiles, whose sides are multiples of `STEP`; see `interface.Transforms`."""

    tiling: Tiling

    @property
    def passes(self) -> float:
        """Cost of a pair of transforms, in passes."""
        override = execution.current().transform_passes
        return _PASSES if override is None else override

    def empty_tile(self, dtype: type[np.floating[Any]]) -> Array:
        """Return an uninitialised tile with rows a vector longer, so that columns do not share cache sets."""
        height, width = self.tiling.fft_shape
        return aligned((height, width + lanes_of(dtype)), dtype)

    def kernel_spectrum(self, kernel: Array) -> Array:
        """Return the conjugated spectrum of a kernel."""
        spectrum = self.transform(kernel)
        np.negative(spectrum[:, 1], out=spectrum[:, 1])
        return spectrum

    def kernel_spectra(self, kernels: Array) -> Array:
        """Return the conjugated spectra of some kernels of one shape, one after another."""
        first = self.kernel_spectrum(kernels[0])
        spectra = aligned((len(kernels), *first.shape), first.dtype.type)
        spectra[0] = first
        for i in range(1, len(kernels)):
            spectra[i] = self.kernel_spectrum(kernels[i])
        return spectra

    def transform(self, tile: Array, *, overwrite: bool = False) -> Array:
        """Return the spectrum of a tile."""
        dtype = np.float32 if tile.dtype == np.float32 else np.float64
        height, width = self.tiling.fft_shape
        rows, columns = tile.shape
        if not overwrite:
            values = self.empty_tile(dtype)
            values[:rows, :columns] = tile
            values[:rows, columns:width], values[rows:] = 0, 0
            tile = values
        lanes = lanes_of(dtype)
        spectrum = aligned((height // 2 // lanes, 2, width, lanes), dtype)
        transform_tile(tile, columns, *plan(height, dtype), *plan(width, dtype)[:2], spectrum)
        return spectrum

    def correlate(
        self,
        pairs: Iterable[tuple[Array, Array]],
        *,
        is_complex: bool = False,  # noqa: ARG002
        overwrite: bool = False,  # noqa: ARG002
    ) -> Array:
        """Multiply spectra, add the products, and transform back."""
        arguments = self.prepare(pairs)
        correlate(*arguments)
        return np.asarray(arguments[-1])

    def prepare(self, pairs: Iterable[tuple[Array, Array]]) -> tuple[Any, ...]:
        """Return the arguments of the compiled `correlate`; the last is the array for the result."""
        spectra, kernels = zip(*pairs, strict=True)
        dtype = spectra[0].dtype.type
        height, width = self.tiling.fft_shape
        # `split` doubles both spectra; the transforms are not normalised.
        scale = dtype(1 / (4 * height * width))
        plans = *plan(height, dtype), *plan(width, dtype)[:2]
        block = aligned((2 * width * lanes_of(dtype),), dtype)
        return spectra, kernels, scale, *plans, block, self.empty_tile(dtype)


def lanes_of(dtype: type[np.floating[Any]]) -> int:
    return VECTOR_BYTES // np.dtype(dtype).itemsize
