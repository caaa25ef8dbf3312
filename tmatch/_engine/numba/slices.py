"""Correlation of real tiles of three dimensions by transforms of their slices, compiled by numba.

The spectrum of a slice serves all windows that contain it: for each of these, products with a slice of the template are
added to the products of the other slices, and transformed back once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.numba.butterflies import pair_of_sums_of_products, sums_of_products
from tmatch._engine.numba.compiler import compiled
from tmatch._engine.numba.transforms import (
    CompiledTransforms,
    aligned,
    columns_back,
    lanes_of,
    plan,
    rows_back,
    transform_tile,
)
from tmatch._engine.tiling import Tiling


@compiled
def _transform_slices(
    tiles: Array,
    columns: int,
    radices: Array,
    roots: Array,
    rows: Array,
    radices_across: Array,
    roots_across: Array,
    spectra: Array,
) -> None:
    """Compute the spectrum of each slice, which are overwritten."""
    for z in range(len(tiles)):
        transform_tile(tiles[z], columns, radices, roots, rows, radices_across, roots_across, spectra[z])


@compiled
def _correlate_slices(
    spectra: Array,
    kernels: Array,
    scale: float,
    radices: Array,
    roots: Array,
    rows: Array,
    radices_across: Array,
    roots_across: Array,
    block: Array,
    tiles: Array,
) -> None:
    """Add the products of each slice and those that follow with the slices of a kernel, and transform back."""
    _, blocks, _, width, lanes = spectra.shape
    gap, depth, last, values, weights = (
        width * lanes,
        len(kernels),
        len(tiles) - 1,
        spectra.ravel(),
        kernels.ravel(),
    )
    step = blocks * 2 * gap
    for i in range(blocks):
        for z in range(0, len(tiles), 2):
            for x in range(i * 2 * gap, i * 2 * gap + gap, lanes):
                first, to = z * step + x, x - i * 2 * gap
                if z < last:
                    pair_of_sums_of_products(values, first, weights, x, gap, step, depth, scale, block, to)
                else:
                    sums_of_products(values, first, weights, x, gap, step, depth, scale, block, to)
            for k in range(min(2, len(tiles) - z)):
                part = block[2 * gap * k : 2 * gap * (k + 1)]
                rows_back(i, width, lanes, rows, radices_across, roots_across, part, tiles[z + k])
    for z in range(len(tiles)):
        columns_back(width, lanes, radices, roots, tiles[z])


@dataclass(frozen=True)
class SliceTransforms:
    """Transforms of each slice of tiles of three dimensions; see `interface.Transforms`.

    The spectrum of a slice serves all windows that contain it.
    """

    tiling: Tiling

    @property
    def passes(self) -> float:
        """Cost of a pair of transforms, in passes."""
        return self._plane.passes

    @property
    def _plane(self) -> CompiledTransforms:
        """The transforms of a slice."""
        positions, window, block, fft_shape = (
            part[1:]
            for part in (self.tiling.positions, self.tiling.window, self.tiling.block, self.tiling.fft_shape)
        )
        return CompiledTransforms(Tiling(positions, window, block, fft_shape))

    def empty_tile(self, dtype: type[np.floating[Any]]) -> Array:
        """Return an uninitialised tile, whose rows are a vector longer."""
        depth, height, width = self.tiling.fft_shape
        return aligned((depth, height, width + lanes_of(dtype)), dtype)

    def kernel_spectrum(self, kernel: Array) -> Array:
        """Return the conjugated spectra of the slices of a kernel."""
        return self._plane.kernel_spectra(kernel)

    def kernel_spectra(self, kernels: Array) -> Array:
        """Return the conjugated spectra of some kernels of one shape, one after another."""
        return np.stack([self.kernel_spectrum(kernel) for kernel in kernels])

    def transform(self, tile: Array, *, overwrite: bool = False) -> Array:
        """Return the spectra of the slices of a tile."""
        dtype = np.float32 if tile.dtype == np.float32 else np.float64
        height, width = self.tiling.fft_shape[1:]
        depth, rows, columns = tile.shape
        if not overwrite:
            values = self.empty_tile(dtype)[:depth]
            values[:, :rows, :columns] = tile
            values[:, :rows, columns:width], values[:, rows:] = 0, 0
            tile = values
        lanes = lanes_of(dtype)
        spectra = aligned((depth, height // 2 // lanes, 2, width, lanes), dtype)
        _transform_slices(tile, columns, *plan(height, dtype), *plan(width, dtype)[:2], spectra)
        return spectra

    def correlate(
        self,
        pairs: Iterable[tuple[Array, Array]],
        *,
        is_complex: bool = False,  # noqa: ARG002
        overwrite: bool = False,  # noqa: ARG002
    ) -> Array:
        """Multiply the spectra of one tile by those of a kernel, add the products of slices, and transform back."""
        [(spectra, kernels)] = pairs
        dtype = spectra.dtype.type
        *plans, _, _ = self._plane.prepare([(spectra[0], kernels[0])])[2:]
        height, width = self.tiling.fft_shape[1:]
        block = aligned((2 * 2 * width * lanes_of(dtype),), dtype)
        tiles = aligned((len(spectra) - len(kernels) + 1, height, width + lanes_of(dtype)), dtype)
        _correlate_slices(spectra, kernels, *plans, block, tiles)
        return tiles
