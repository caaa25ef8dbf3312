"""Fourier transforms of tiles by SciPy, in any dimension."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine import execution
from tmatch._engine.tiling import Tiling

_PASSES = 42.0  # cost of a pair of transforms, in passes over a tile


@dataclass(frozen=True)
class SciPyTransforms:
    """SciPy transforms of real or complex tiles; see `interface.Transforms`."""

    tiling: Tiling

    @property
    def passes(self) -> float:
        """Cost of a pair of transforms, in passes."""
        override = execution.current().transform_passes
        return _PASSES if override is None else override

    def empty_tile(self, dtype: type[np.floating[Any]]) -> Array:
        """Return an uninitialised tile."""
        return np.empty(self.tiling.fft_shape, dtype)

    def kernel_spectrum(self, kernel: Array) -> Array:
        """Return the conjugated spectrum of a kernel."""
        from scipy import fft  # noqa: PLC0415

        *others, last = self.tiling.fft_shape
        # The last axis is transformed before the others are zero-padded, which saves transforms of zeros.
        rows: Array = fft.fft(np.conj(kernel), last) if np.iscomplexobj(kernel) else fft.rfft(kernel, last)
        if others:
            rows = np.asarray(fft.fftn(rows, others, axes=tuple(range(len(others)))))
        return np.asarray(np.conj(rows))

    def kernel_spectra(self, kernels: Array) -> Array:
        """Return the conjugated spectra of some kernels of one shape, one after another."""
        return np.stack([self.kernel_spectrum(kernel) for kernel in kernels])

    def transform(self, tile: Array, *, overwrite: bool = False) -> Array:  # noqa: ARG002
        """Return the spectrum of a tile."""
        from scipy import fft  # noqa: PLC0415

        if np.iscomplexobj(tile):
            return np.asarray(fft.fftn(tile, self.tiling.fft_shape))
        return np.asarray(fft.rfftn(tile, self.tiling.fft_shape))

    def correlate(
        self, pairs: Iterable[tuple[Array, Array]], *, is_complex: bool = False, overwrite: bool = False
    ) -> Array:
        """Multiply spectra, add the products, and transform back."""
        from scipy import fft  # noqa: PLC0415

        products = (np.multiply(tile, kernel, out=tile if overwrite else None) for tile, kernel in pairs)
        total: Array = next(products)
        for product in products:
            total += product
        inverse = fft.ifftn if is_complex else fft.irfftn
        return np.asarray(inverse(total, self.tiling.fft_shape, overwrite_x=True))
