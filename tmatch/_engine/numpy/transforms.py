"""Fourier transforms of tiles: SciPy's, or compiled ones if the tiling says so; what a spectrum is like, they know."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array
from tmatch._engine.tiling import Tiling


def empty_tile(tiling: Tiling, dtype: type[np.floating[Any]]) -> Array:
    """Make room for the values of a tile, and more, for `transform` to write over."""
    if tiling.compiled:
        return np.asarray(_compiled_transforms().empty_tile(tiling, dtype))
    return np.empty(tiling.fft_shape, dtype)


def tile_spectrum(kernel: Array, tiling: Tiling) -> Array:
    """Spectrum of a kernel, conjugated so that multiplying by it correlates."""
    if tiling.compiled:
        return np.asarray(_compiled_transforms().tile_spectrum(kernel, tiling))
    from scipy import fft  # noqa: PLC0415

    *others, last = tiling.fft_shape
    # One axis before the others are filled up with zeros: there is nothing in them yet.
    rows: Array = fft.fft(kernel, last) if np.iscomplexobj(kernel) else fft.rfft(kernel, last)
    if others:
        rows = np.asarray(fft.fftn(rows, others, axes=tuple(range(len(others)))))
    return np.asarray(np.conj(rows))


def transform(tile: Array, tiling: Tiling, *, overwrite: bool = False) -> Array:
    """Spectrum of a tile. With `overwrite` it is one made by `empty_tile`, filled up with zeros."""
    if tiling.compiled:
        return np.asarray(_compiled_transforms().transform(tile, tiling, overwrite=overwrite))
    from scipy import fft  # noqa: PLC0415

    if np.iscomplexobj(tile):
        return np.asarray(fft.fftn(tile, tiling.fft_shape))
    return np.asarray(fft.rfftn(tile, tiling.fft_shape))


def correlate_spectra(
    pairs: Iterable[tuple[Array, Array]],
    tiling: Tiling,
    *,
    is_complex: bool = False,
    overwrite: bool = False,
) -> Array:
    """Multiply spectra of tiles and kernels, add all up, and go back by one inverse: to all of a tile, and more.

    The spectra of the tiles are written over if they are not needed again.
    """
    if tiling.compiled:
        return np.asarray(_compiled_transforms().correlate_spectra(pairs, tiling))
    from scipy import fft  # noqa: PLC0415

    products = (np.multiply(tile, kernel, out=tile if overwrite else None) for tile, kernel in pairs)
    total: Array = next(products)
    for product in products:
        total += product
    inverse = fft.ifftn if is_complex else fft.irfftn
    return np.asarray(inverse(total, tiling.fft_shape, overwrite_x=True))


def _compiled_transforms() -> Any:
    from tmatch._engine.numba import transforms  # noqa: PLC0415

    return transforms


def rounding_bound(norms: float, tiling: Tiling) -> float:
    """Bound the error of a correlation by transforms: machine epsilon, log of the size, both norms."""
    return float(np.finfo(np.float64).eps * (2 + math.log2(math.prod(tiling.fft_shape))) * norms)
