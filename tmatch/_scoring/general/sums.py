"""Window sums over the pixels that a template and a window have in common, tile by tile."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Region
from tmatch._engine.interface import Transforms
from tmatch._engine.numpy import sliding
from tmatch._engine.tiling import rounding_bound
from tmatch._scoring.search import Search, single_error


@dataclass
class WindowSums:
    """For each window, over pixels and channels: weight; weight times template times window; times their squares.

    About the means if the search is centred; `factor` times too large, where that keeps integers whole.
    """

    weight: Any
    product: Array
    image_square: Array
    template_square: Any
    factor: Any = 1
    error_single: float = 0.0
    difference: Array | None = None  # sums of weight times squared difference, where they are wanted


SumBlock = Callable[[Region, bool], WindowSums]  # of a block of places, in single precision or not


@dataclass
class TileValues:
    """Values of a tile; their spectrum is kept if it is needed more than once."""

    values: Array
    transforms: Transforms
    reused: bool = False
    _kept: Array | None = None

    def spectrum(self) -> Array:
        if self._kept is not None:
            return self._kept
        spectrum = self.transforms.transform(self.values)
        self._kept = spectrum if self.reused else None
        return spectrum

    @cached_property
    def norm(self) -> float:
        return _norm(self.values)

    def single(self, exponent: int) -> Array:
        """Give the values in single precision, smaller by a power of two."""
        return (np.ldexp(self.values, -exponent) if exponent else self.values).astype(np.float32)


@dataclass
class WeightPlane:
    """What tiles are correlated with: of the template's shape."""

    values: Array
    transforms: Transforms

    @cached_property
    def constant(self) -> Any:
        """The one value there is, if there is but one."""
        first = self.values.flat[0]
        return first if (self.values == first).all() else None

    @cached_property
    def spectrum(self) -> Array:
        return self.transforms.kernel_spectrum(self.values.astype(np.float64))

    @cached_property
    def exponent(self) -> int:
        return _exponent([self.values])

    @cached_property
    def spectrum_single(self) -> Array:
        return self.transforms.kernel_spectrum(np.ldexp(self.values, -self.exponent).astype(np.float32))

    @cached_property
    def norm(self) -> float:
        return _norm(self.values.astype(np.float64))


def _norm(values: Array) -> float:
    return math.sqrt(
        np.square(values).sum()
    )  # np.linalg.norm would set the threads of BLAS going beside ours


def correlate_tiles(tiles: Sequence[TileValues], weights: Sequence[WeightPlane]) -> tuple[Array, float]:
    """Correlate tiles with weights and add it all up; bound the error, but for that of adding, if they are floats."""
    transforms, constants = tiles[0].transforms, [w.constant for w in weights]
    tiling = transforms.tiling
    if None not in constants:
        sums = [sliding.sliding_sum(tile.values, tiling.window) for tile in tiles]
        if (
            len(sums) > 1 or constants[0] != 1
        ):  # sums of integers are of the narrowest type that holds one of them
            wide = np.int64 if sums[0].dtype.kind == "i" else np.float64
            sums = [s.astype(wide) * constant for s, constant in zip(sums, constants, strict=True)]
        return sum(sums[1:], sums[0]), 0.0
    pairs = list(zip(tiles, weights, strict=True))
    places = valid_shape(tiles[0].values.shape, tiling.window)
    spectra = ((t.spectrum(), w.spectrum) for t, w in pairs)
    full = transforms.correlate(spectra, overwrite=not any(t.reused for t in tiles))
    total = full[tuple(map(slice, places))]
    if tiles[0].values.dtype.kind != "f":
        return total, 0.0
    return total, sum(rounding_bound(t.norm * w.norm, tiling) for t, w in pairs)


def correlate_tiles_single(
    tiles: Sequence[TileValues], weights: Sequence[WeightPlane]
) -> tuple[Array, float]:
    """Do the same through transforms in single precision.

    See `single_error` for their error.
    """
    transforms, tiling = tiles[0].transforms, tiles[0].transforms.tiling
    places = valid_shape(tiles[0].values.shape, tiling.window)
    # Single precision has little room for large and small numbers; integers that come here are neither.
    whole = tiles[0].values.dtype.kind != "f"
    scale = 0 if whole else _exponent([t.values for t in tiles])
    others = max(w.exponent for w in weights)
    factors = [np.float32(2.0 ** max(w.exponent - others, -60)) for w in weights]
    small = [t.single(scale) for t in tiles]
    spectra = (transforms.transform(s) for s in small)
    kernels = (w.spectrum_single * f for w, f in zip(weights, factors, strict=True))
    full = transforms.correlate(zip(spectra, kernels, strict=True))
    full = full[tuple(map(slice, tiling.fft_shape))]
    total = full[tuple(map(slice, places))]
    pairs = zip(small, weights, strict=True)
    lines = _largest_slab(full) + sum(_largest_slab(s) * math.ldexp(w.norm, -others) for s, w in pairs)
    error = math.ldexp(single_error(lines), scale + others)
    return np.ldexp(total, scale + others, dtype=np.float64), error


def _largest_slab(values: Array) -> float:
    """Give the largest norm of what is left when one axis is held; of a line the whole norm."""
    squares = np.square(values, dtype=np.float64)
    if values.ndim == 1:
        return math.sqrt(squares.sum())
    axes = range(values.ndim)
    return math.sqrt(max(squares.sum(axis=tuple(a for a in axes if a != held)).max() for held in axes))


def _exponent(arrays: Sequence[Array]) -> int:
    """Power of two just above the largest magnitude."""
    return int(np.frexp(max(float(np.abs(a).max()) for a in arrays))[1])


@dataclass
class WeightedTemplate:
    """A template's weights, weighted values and weighted squares, ready to be correlated with."""

    weights: list[WeightPlane]
    values: list[WeightPlane]
    squares: WeightPlane

    @classmethod
    def of(
        cls, values: Sequence[Array], weights: Sequence[Array], transforms: Transforms
    ) -> "WeightedTemplate":
        """Prepare it; channels that have the same weights share them."""
        known = {id(w): WeightPlane(w, transforms) for w in weights}
        weighted = [v * w for v, w in zip(values, weights, strict=True)]
        squares = sum(v * w for v, w in zip(values, weighted, strict=True))
        shared = [known[id(w)] for w in weights]
        return cls(
            shared,
            [WeightPlane(v, transforms) for v in weighted],
            WeightPlane(np.asarray(squares), transforms),
        )


@dataclass
class RawSums:
    """The sums of one tile before means are taken off, each with the bound on its error."""

    weight: list[Any] = field(default_factory=list)
    image: list[Any] = field(default_factory=list)
    template: list[Any] = field(default_factory=list)
    product: Any = 0
    image_square: Any = 0
    template_square: Any = 0
    errors: dict[str, float] = field(default_factory=dict)

    @property
    def error_single(self) -> float:
        return self.errors.get("single", 0.0)

    def note(self, name: str, result: tuple[Array, float], keep: Callable[[Array], Array]) -> Array:
        """Remember the largest error of this kind of sum."""
        self.errors[name] = max(self.errors.get(name, 0.0), result[1])
        return keep(result[0])


def sum_windows(
    search: Search,
    template: WeightedTemplate,
    channels: list[TileValues],
    there: TileValues | None,
    keep: Callable[[Array], Array],
    *,
    single: bool,
) -> RawSums:
    """Sum over all windows of a tile: up to six correlations for each channel."""
    parts = RawSums()
    for tile, weight in zip(channels, template.weights, strict=True):
        tile.reused = search.centred and weight.constant is None  # for their sum, below
    if single:
        parts.product = parts.note(
            "single", correlate_tiles_single(channels, template.values), lambda sums: sums
        )
    else:
        parts.product = parts.note("product", correlate_tiles(channels, template.values), keep)
    squares = [TileValues(tile.values * tile.values, tile.transforms) for tile in channels]
    parts.image_square = parts.note("image_square", correlate_tiles(squares, template.weights), keep)
    del squares
    if search.centred:
        parts.image = [
            parts.note("image", correlate_tiles([c], [w]), keep)
            for c, w in zip(channels, template.weights, strict=True)
        ]
    if there is None:
        parts.weight = [w.values.sum() for w in template.weights]
        parts.template = [v.values.sum() for v in template.values]
        parts.template_square = template.squares.values.sum()
        return parts
    known = {
        id(w): parts.note("weight", correlate_tiles([there], [w]), keep)
        for w in {id(w): w for w in template.weights}.values()
    }
    parts.weight = [known[id(w)] for w in template.weights]
    if search.centred:
        parts.template = [
            parts.note("template", correlate_tiles([there], [v]), keep) for v in template.values
        ]
    parts.template_square = parts.note("template_square", correlate_tiles([there], [template.squares]), keep)
    return parts
