"""The sums that scores are made of: over the pixels that a template and a window have in common, tile by tile."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tmatch import _core, _spectra
from tmatch._borders import Array, Extended, is_finite
from tmatch._tiles import Region, Shape, Tiling, valid_shape

PASSES = 100  # over a tile, that its scores cost about
MOST_CHANNELS = 4  # for compiled transforms: they are compiled anew for each number of channels
TRUSTED_SINGLE = 8e-5  # scores in single precision that may be off by more are done in double
_EPS_SINGLE = float(np.finfo(np.float32).eps)
_REMEMBERED = 4  # things made of one template: they can be as large as a tile


@dataclass(frozen=True)
class Search:
    """An image and a template, checked and taken apart into channels.

    `exists` says which pixels of the image there are, None for all. `weights` are those of the template's pixels, for
    each channel; `least` of their sum has to be seen. `margins` say how far windows reach beyond the image; no pixel
    exists there. With `centred`, values are taken about their mean over the window, of each channel or, if `joint`,
    of all. With `differs`, sums of squared differences are wanted. `scale_free` scores stay the same when an image or
    a template is multiplied by a number. With `single`, products go through transforms in single precision where that
    is good enough. `memory` is for what is made of the template alone; it outlives the search if its caller keeps it.
    """

    metric: str
    image: list[Array]
    exists: Array | None
    template: list[Array]
    weights: list[Array]
    margins: list[tuple[int, int]]
    least: float
    centred: bool
    joint: bool
    differs: bool
    scale_free: bool
    single: bool
    memory: dict[Any, Any]

    @cached_property
    def shape(self) -> Shape:
        """Shape of the image with its margins."""
        return Extended(self.image[0], self.margins).shape

    @cached_property
    def total(self) -> float:
        """Weight of the whole template."""
        return float(sum(np.sum(w, dtype=np.float64) for w in self.weights))

    def remember(self, key: Any, make: Callable[[], Any]) -> Any:
        """Give what was made of the template before, or make it."""
        try:
            return self.memory[key]
        except KeyError:
            made = make()
            if len(self.memory) >= _REMEMBERED:
                self.memory.clear()
            self.memory[key] = made
            return made

    def read(self, region: Region) -> tuple[list[Array], Array | None]:
        """Read a tile: its channels, 0 where no pixel exists, and where one does; None for everywhere."""
        there: Array | None = None
        if self.exists is not None or any(map(any, self.margins)):
            exists = np.broadcast_to(True, self.image[0].shape) if self.exists is None else self.exists  # noqa: FBT003
            there = Extended(exists, self.margins).read(region, np.dtype(bool))
            there = None if there.all() else there
        native = self.image[0].dtype.newbyteorder("=")
        tiles = [Extended(channel, self.margins).read(region, native) for channel in self.image]
        if there is not None:
            for tile in tiles:
                tile[~there] = 0
        corner = [part.start - before for part, (before, _) in zip(region, self.margins, strict=True)]
        check_finite("image", tiles, corner)
        return tiles, there

    def groups(self, values: list[Any]) -> list[Any]:
        """Add up what has one mean."""
        return [sum(values[1:], values[0])] if self.joint else values


@dataclass
class Sums:
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


def check_finite(name: str, channels: Sequence[Array], corner: Sequence[int] = ()) -> None:
    """Refuse NaN and infinity, naming the first place in this part of the array."""
    for channel in channels:
        if channel.dtype.kind == "f" and not is_finite(channel):
            place = np.argwhere(~np.isfinite(channel))[0].tolist()
            at = ", ".join(str(i + c) for i, c in zip(place, corner or [0] * len(place), strict=True))
            msg = (
                f"`{name}` is {channel[tuple(place)]} at [{at}]; all pixels must be finite: replace NaN and infinity "
                "first, for instance with np.nan_to_num"
            )
            if name == "image" and np.isnan(channel[tuple(place)]):
                msg += ', or let NaN count as missing with missing="ignore"'
            raise ValueError(msg)


SumBlock = Callable[[Region, bool], Sums]  # of a block of places, in single precision or not


# --- both ways ------------------------------------------------------------------------------------


@dataclass
class Tile:
    """Values of a tile; their spectrum is kept if it is needed more than once."""

    values: Array
    tiling: Tiling
    reused: bool = False
    _kept: Array | None = None

    def spectrum(self) -> Array:
        if self._kept is not None:
            return self._kept
        spectrum = _spectra.transform(self.values, self.tiling)
        self._kept = spectrum if self.reused else None
        return spectrum

    @cached_property
    def norm(self) -> float:
        return _norm(self.values)

    def single(self, exponent: int) -> Array:
        """Give the values in single precision, smaller by a power of two."""
        return (np.ldexp(self.values, -exponent) if exponent else self.values).astype(np.float32)


@dataclass
class Weights:
    """What tiles are correlated with: of the template's shape."""

    values: Array
    tiling: Tiling

    @cached_property
    def constant(self) -> Any:
        """The one value there is, if there is but one."""
        first = self.values.flat[0]
        return first if (self.values == first).all() else None

    @cached_property
    def spectrum(self) -> Array:
        return _spectra.tile_spectrum(self.values.astype(np.float64), self.tiling)

    @cached_property
    def exponent(self) -> int:
        return _exponent([self.values])

    @cached_property
    def spectrum_single(self) -> Array:
        return _spectra.tile_spectrum(np.ldexp(self.values, -self.exponent).astype(np.float32), self.tiling)

    @cached_property
    def norm(self) -> float:
        return _norm(self.values.astype(np.float64))


def _norm(values: Array) -> float:
    return math.sqrt(
        np.square(values).sum()
    )  # np.linalg.norm would set the threads of BLAS going beside ours


def correlate(tiles: Sequence[Tile], weights: Sequence[Weights]) -> tuple[Array, float]:
    """Correlate tiles with weights and add it all up; bound the error, but for that of adding, if they are floats."""
    tiling, constants = tiles[0].tiling, [w.constant for w in weights]
    if None not in constants:
        sums = [_core.sliding_sum(tile.values, tiling.window) for tile in tiles]
        if (
            len(sums) > 1 or constants[0] != 1
        ):  # sums of integers are of the narrowest type that holds one of them
            wide = np.int64 if sums[0].dtype.kind == "i" else np.float64
            sums = [s.astype(wide) * constant for s, constant in zip(sums, constants, strict=True)]
        return sum(sums[1:], sums[0]), 0.0
    pairs = list(zip(tiles, weights, strict=True))
    places = valid_shape(tiles[0].values.shape, tiling.window)
    spectra = ((t.spectrum(), w.spectrum) for t, w in pairs)
    full = _spectra.correlate_spectra(spectra, tiling, overwrite=not any(t.reused for t in tiles))
    total = full[tuple(map(slice, places))]
    if tiles[0].values.dtype.kind != "f":
        return total, 0.0
    return total, sum(_spectra.rounding_bound(t.norm * w.norm, tiling) for t, w in pairs)


def correlate_single(tiles: Sequence[Tile], weights: Sequence[Weights]) -> tuple[Array, float]:
    """Do the same through transforms in single precision.

    See `single_error` for their error.
    """
    tiling = tiles[0].tiling
    places = valid_shape(tiles[0].values.shape, tiling.window)
    # Single precision has little room for large and small numbers; integers that come here are neither.
    whole = tiles[0].values.dtype.kind != "f"
    scale = 0 if whole else _exponent([t.values for t in tiles])
    others = max(w.exponent for w in weights)
    factors = [np.float32(2.0 ** max(w.exponent - others, -60)) for w in weights]
    small = [t.single(scale) for t in tiles]
    spectra = (_spectra.transform(s, tiling) for s in small)
    kernels = (w.spectrum_single * f for w, f in zip(weights, factors, strict=True))
    full = _spectra.correlate_spectra(zip(spectra, kernels, strict=True), tiling)
    full = full[tuple(map(slice, tiling.fft_shape))]
    total = full[tuple(map(slice, places))]
    pairs = zip(small, weights, strict=True)
    lines = _largest_slab(full) + sum(_largest_slab(s) * math.ldexp(w.norm, -others) for s, w in pairs)
    error = math.ldexp(single_error(lines), scale + others)
    return np.ldexp(total, scale + others, dtype=np.float64), error


def single_error(lines: float) -> float:
    """Estimate the largest error of a correlation by transforms in single precision.

    It grows with the largest norm of a row or a column, of tile (times the template's norm) and result (also where it
    wraps round): where rows are alike so are their errors, which then add up. Measured over drawn and made-up pictures:
    at most 3.3 times.
    """
    return 8 * _EPS_SINGLE * lines


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
class Template:
    """A template's weights, weighted values and weighted squares, ready to be correlated with."""

    weights: list[Weights]
    values: list[Weights]
    squares: Weights

    @classmethod
    def of(cls, values: Sequence[Array], weights: Sequence[Array], tiling: Tiling) -> "Template":
        """Prepare it; channels that have the same weights share them."""
        known = {id(w): Weights(w, tiling) for w in weights}
        weighted = [v * w for v, w in zip(values, weights, strict=True)]
        squares = sum(v * w for v, w in zip(values, weighted, strict=True))
        shared = [known[id(w)] for w in weights]
        return cls(shared, [Weights(v, tiling) for v in weighted], Weights(np.asarray(squares), tiling))


@dataclass
class Parts:
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


def sum_parts(
    search: Search,
    template: Template,
    channels: list[Tile],
    there: Tile | None,
    keep: Callable[[Array], Array],
    *,
    single: bool,
) -> Parts:
    """Sum over all windows of a tile: up to six correlations for each channel."""
    parts = Parts()
    for tile, weight in zip(channels, template.weights, strict=True):
        tile.reused = search.centred and weight.constant is None  # for their sum, below
    if single:
        parts.product = parts.note("single", correlate_single(channels, template.values), lambda sums: sums)
    else:
        parts.product = parts.note("product", correlate(channels, template.values), keep)
    squares = [Tile(tile.values * tile.values, tile.tiling) for tile in channels]
    parts.image_square = parts.note("image_square", correlate(squares, template.weights), keep)
    del squares
    if search.centred:
        parts.image = [
            parts.note("image", correlate([c], [w]), keep)
            for c, w in zip(channels, template.weights, strict=True)
        ]
    if there is None:
        parts.weight = [w.values.sum() for w in template.weights]
        parts.template = [v.values.sum() for v in template.values]
        parts.template_square = template.squares.values.sum()
        return parts
    known = {
        id(w): parts.note("weight", correlate([there], [w]), keep)
        for w in {id(w): w for w in template.weights}.values()
    }
    parts.weight = [known[id(w)] for w in template.weights]
    if search.centred:
        parts.template = [parts.note("template", correlate([there], [v]), keep) for v in template.values]
    parts.template_square = parts.note("template_square", correlate([there], [template.squares]), keep)
    return parts
