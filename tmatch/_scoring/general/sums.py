"""Window sums over the pixels that are compared with a template, tile by tile."""

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
from tmatch._scoring.search import Search


@dataclass
class WindowSums:
    """Sums for each window, over pixels and channels: weight, weighted product with the template, weighted squares.

    They are about the means if the search is centred, and multiplied by `factor`, which keeps integers exact.
    """

    weight: Any
    product: Array
    image_square: Array
    template_square: Any
    factor: Any = 1
    difference: Array | None = None  # weighted sums of squared differences, if the metric needs them


# Sum over a block of positions.
SumBlock = Callable[[Region], WindowSums]


@dataclass
class TileValues:
    """Values of a tile; their spectrum is cached if it is reused."""

    values: Array
    transforms: Transforms
    reused: bool = False
    _cached: Array | None = None

    def spectrum(self) -> Array:
        """Return the spectrum, and cache it if it is reused."""
        if self._cached is not None:
            return self._cached
        spectrum = self.transforms.transform(self.values)
        self._cached = spectrum if self.reused else None
        return spectrum

    @cached_property
    def norm(self) -> float:
        return _norm(self.values)


@dataclass
class WeightPlane:
    """An array of the template's shape with which tiles are correlated."""

    values: Array
    transforms: Transforms

    @cached_property
    def constant(self) -> Any:
        """The value of all elements; None if they differ."""
        first = self.values.flat[0]
        return first if (self.values == first).all() else None

    @cached_property
    def spectrum(self) -> Array:
        return self.transforms.kernel_spectrum(self.values.astype(np.float64))

    @cached_property
    def norm(self) -> float:
        return _norm(self.values.astype(np.float64))


def _norm(values: Array) -> float:
    return math.sqrt(np.square(values).sum())  # np.linalg.norm would start BLAS threads beside these


def correlate_tiles(tiles: Sequence[TileValues], weights: Sequence[WeightPlane]) -> tuple[Array, float]:
    """Correlate tiles with weights and add the results; return also the error bound of float transforms."""
    transforms, constants = tiles[0].transforms, [w.constant for w in weights]
    tiling = transforms.tiling
    if None not in constants:
        sums = [sliding.sliding_sum(tile.values, tiling.window) for tile in tiles]
        if len(sums) > 1 or constants[0] != 1:  # integer sums have the smallest dtype that holds one of them
            dtype = np.int64 if sums[0].dtype.kind == "i" else np.float64
            sums = [s.astype(dtype) * constant for s, constant in zip(sums, constants, strict=True)]
        return sum(sums[1:], sums[0]), 0.0
    pairs = list(zip(tiles, weights, strict=True))
    shape = valid_shape(tiles[0].values.shape, tiling.window)
    spectra = ((t.spectrum(), w.spectrum) for t, w in pairs)
    full = transforms.correlate(spectra, overwrite=not any(t.reused for t in tiles))
    total = full[tuple(map(slice, shape))]
    if tiles[0].values.dtype.kind != "f":
        return total, 0.0
    return total, sum(rounding_bound(t.norm * w.norm, tiling) for t, w in pairs)


@dataclass
class WeightedTemplate:
    """A template's weights, weighted values and weighted squares, with which tiles are correlated."""

    weights: list[WeightPlane]
    values: list[WeightPlane]
    squares: WeightPlane

    @classmethod
    def of(
        cls, values: Sequence[Array], weights: Sequence[Array], transforms: Transforms
    ) -> "WeightedTemplate":
        """Prepare a template; channels with equal weights share a plane."""
        planes = {id(w): WeightPlane(w, transforms) for w in weights}
        weighted = [v * w for v, w in zip(values, weights, strict=True)]
        squares = sum(v * w for v, w in zip(values, weighted, strict=True))
        shared = [planes[id(w)] for w in weights]
        return cls(
            shared,
            [WeightPlane(v, transforms) for v in weighted],
            WeightPlane(np.asarray(squares), transforms),
        )


@dataclass
class RawSums:
    """The sums of one tile before means are subtracted, and error bounds of each kind of sum."""

    weight: list[Any] = field(default_factory=list)
    image: list[Any] = field(default_factory=list)
    template: list[Any] = field(default_factory=list)
    product: Any = 0
    image_square: Any = 0
    template_square: Any = 0
    errors: dict[str, float] = field(default_factory=dict)

    def record(self, name: str, result: tuple[Array, float], convert: Callable[[Array], Array]) -> Array:
        """Record the largest error of a kind of sum; return the converted sums."""
        self.errors[name] = max(self.errors.get(name, 0.0), result[1])
        return convert(result[0])


def sum_windows(
    search: Search,
    template: WeightedTemplate,
    channels: list[TileValues],
    valid: TileValues | None,
    convert: Callable[[Array], Array],
) -> RawSums:
    """Compute the sums of all windows of a tile: up to six correlations for each channel."""
    sums = RawSums()
    for tile, weight in zip(channels, template.weights, strict=True):
        tile.reused = search.metric.centred and weight.constant is None  # for the sums of the image, below
    sums.product = sums.record("product", correlate_tiles(channels, template.values), convert)
    squares = [TileValues(tile.values * tile.values, tile.transforms) for tile in channels]
    sums.image_square = sums.record("image_square", correlate_tiles(squares, template.weights), convert)
    del squares
    if search.metric.centred:
        sums.image = [
            sums.record("image", correlate_tiles([c], [w]), convert)
            for c, w in zip(channels, template.weights, strict=True)
        ]
    if valid is None:
        sums.weight = [w.values.sum() for w in template.weights]
        sums.template = [v.values.sum() for v in template.values]
        sums.template_square = template.squares.values.sum()
        return sums
    weights = {
        id(w): sums.record("weight", correlate_tiles([valid], [w]), convert)
        for w in {id(w): w for w in template.weights}.values()
    }
    sums.weight = [weights[id(w)] for w in template.weights]
    if search.metric.centred:
        sums.template = [
            sums.record("template", correlate_tiles([valid], [v]), convert) for v in template.values
        ]
    sums.template_square = sums.record(
        "template_square", correlate_tiles([valid], [template.squares]), convert
    )
    return sums
