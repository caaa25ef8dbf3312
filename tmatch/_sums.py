"""The sums that scores are made of: over the pixels that a template and a window both have, for all windows of a tile.

Integers are summed without rounding. Floats are summed with a bound on their error; windows for which it is too wide
are summed again one by one, by definition.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tmatch import _core, _engine
from tmatch._borders import Array, Extended, is_finite
from tmatch._tiles import Region, Shape, Tiling

PASSES = 100  # over a tile, that its scores cost about
_EPS = float(np.finfo(np.float64).eps)
_TRUSTED = 3e-10  # a window whose score may be off by more is summed again by definition
_TRUSTED_SINGLE = 5e-5  # where one in a tile may be off by more, the tile is done in double precision
_GROUP_PIXELS = 2**20  # of windows summed together by definition


@dataclass(frozen=True)
class Search:
    """An image and a template, checked and taken apart into channels.

    `exists` says which pixels of the image there are, None for all. `weights` are those of the template's pixels, for
    each channel; `least` of their sum has to be seen. `margins` say how far windows reach beyond the image; no pixel
    exists there. With `centred`, values are taken about their mean over the window, of each channel or, if `joint`,
    of all. With `differs`, sums of squared differences are wanted. `scale_free` scores stay the same when an image or
    a template is multiplied by a number. With `single`, products go through transforms in single precision where that
    is good enough.
    """

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

    @cached_property
    def shape(self) -> Shape:
        """Shape of the image with its margins."""
        return Extended(self.image[0], self.margins).shape

    @cached_property
    def total(self) -> float:
        """Weight of the whole template."""
        return float(sum(np.sum(w, dtype=np.float64) for w in self.weights))

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
    least_square: float = 0.0  # of those above 0, if an engine did the sums
    engine: ModuleType | None = None
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


SumBlock = Callable[[Region], Sums]


def prepare(search: Search, tiling: Tiling) -> tuple[SumBlock, bool]:
    """Prepare the sums over a block of places, and say whether they are exact."""
    exact = _prepare_exact(search, tiling)
    sum_block = exact or _prepare_floats(search, tiling)

    def sum_double_where_needed(block: Region) -> Sums:
        sums = sum_block(block, search.single)
        if not search.single:
            return sums
        if _too_coarse(search, sums):
            return sum_block(block, False)  # noqa: FBT003
        return sums

    return sum_double_where_needed, exact is not None and not search.single


def _too_coarse(search: Search, sums: Sums) -> bool:
    """Tell whether sums in single precision leave some score of the tile in doubt."""
    if sums.engine:
        norm = math.sqrt(sums.least_square * float(sums.template_square))
        return norm < sums.error_single * float(sums.factor) / _TRUSTED_SINGLE
    squares = np.asarray(sums.image_square, np.float64), np.asarray(sums.template_square, np.float64)
    norms = np.sqrt(np.maximum(squares[0], 0)) * np.sqrt(np.maximum(squares[1], 0))
    counts = (norms > 0) & (sums.weight >= search.least)
    return bool(
        (counts & (norms < sums.error_single * np.asarray(sums.factor, float) / _TRUSTED_SINGLE)).any()
    )


# --- both ways ------------------------------------------------------------------------------------


@dataclass
class _Tile:
    """Values of a tile; their spectrum is kept if it is needed more than once."""

    values: Array
    tiling: Tiling
    reused: bool = False
    _kept: Array | None = None

    def spectrum(self) -> Array:
        if self._kept is not None:
            return self._kept
        spectrum = _core.transform(self.values, self.tiling)
        self._kept = spectrum if self.reused else None
        return spectrum

    @cached_property
    def norm(self) -> float:
        return _norm(self.values)

    def single(self, exponent: int) -> Array:
        """Give the values in single precision, smaller by a power of two."""
        return (np.ldexp(self.values, -exponent) if exponent else self.values).astype(np.float32)


@dataclass
class _Weights:
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
        return _core.tile_spectrum(self.values.astype(np.float64), self.tiling)

    @cached_property
    def exponent(self) -> int:
        return _exponent([self.values])

    @cached_property
    def spectrum_single(self) -> Array:
        return _core.tile_spectrum(np.ldexp(self.values, -self.exponent).astype(np.float32), self.tiling)

    @cached_property
    def norm(self) -> float:
        return _norm(self.values.astype(np.float64))


def _norm(values: Array) -> float:
    return math.sqrt(
        np.square(values).sum()
    )  # np.linalg.norm would set the threads of BLAS going beside ours


def _correlate(tiles: Sequence[_Tile], weights: Sequence[_Weights]) -> tuple[Array, float]:
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
    places = tuple(n - k + 1 for n, k in zip(tiles[0].values.shape, tiling.window, strict=True))
    spectra = ((t.spectrum(), w.spectrum) for t, w in pairs)
    total = _core.correlate_spectra(spectra, tiling, places, overwrite=not any(t.reused for t in tiles))
    if tiles[0].values.dtype.kind != "f":
        return total, 0.0
    return total, sum(_core.rounding_bound(t.norm * w.norm, tiling) for t, w in pairs)


def _correlate_single(tiles: Sequence[_Tile], weights: Sequence[_Weights]) -> tuple[Array, float]:
    """Do the same through transforms in single precision.

    Their error is spread evenly over the result: some roundings (measured: at most 3) of its root mean square, or of
    what that would be if tile and template had the same frequencies.
    """
    tiling = tiles[0].tiling
    places = tuple(n - k + 1 for n, k in zip(tiles[0].values.shape, tiling.window, strict=True))
    # Single precision has little room for large and small numbers; integers that come here are neither.
    whole = tiles[0].values.dtype.kind != "f"
    scale = 0 if whole else _exponent([t.values for t in tiles])
    others = max(w.exponent for w in weights)
    factors = [np.float32(2.0 ** max(w.exponent - others, -60)) for w in weights]
    small = [t.single(scale) for t in tiles]
    spectra = (_core.transform(s, tiling) for s in small)
    kernels = (w.spectrum_single * f for w, f in zip(weights, factors, strict=True))
    total = _core.correlate_spectra(zip(spectra, kernels, strict=True), tiling, places)
    expected = sum(
        np.square(s).sum(dtype=np.float64) * math.ldexp(w.norm, -others) ** 2
        for s, w in zip(small, weights, strict=True)
    )
    spread = np.square(total).mean(dtype=np.float64) + expected / math.prod(tiling.fft_shape)
    error = 10 * float(np.finfo(np.float32).eps) * math.sqrt(spread)
    return np.ldexp(total, scale + others, dtype=np.float64), math.ldexp(error, scale + others)


def _exponent(arrays: Sequence[Array]) -> int:
    """Power of two just above the largest magnitude."""
    return int(np.frexp(max(float(np.abs(a).max()) for a in arrays))[1])


@dataclass
class _Template:
    """A template's weights, weighted values and weighted squares, ready to be correlated with."""

    weights: list[_Weights]
    values: list[_Weights]
    squares: _Weights

    @classmethod
    def of(cls, values: Sequence[Array], weights: Sequence[Array], tiling: Tiling) -> "_Template":
        """Prepare it; channels that have the same weights share them."""
        known = {id(w): _Weights(w, tiling) for w in weights}
        weighted = [v * w for v, w in zip(values, weights, strict=True)]
        squares = sum(v * w for v, w in zip(values, weighted, strict=True))
        shared = [known[id(w)] for w in weights]
        return cls(shared, [_Weights(v, tiling) for v in weighted], _Weights(np.asarray(squares), tiling))


@dataclass
class _Parts:
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


def _sum_parts(
    search: Search,
    template: _Template,
    channels: list[_Tile],
    there: _Tile | None,
    keep: Callable[[Array], Array],
    *,
    single: bool,
) -> _Parts:
    """Sum over all windows of a tile: up to six correlations for each channel."""
    parts = _Parts()
    for tile, weight in zip(channels, template.weights, strict=True):
        tile.reused = search.centred and weight.constant is None  # for their sum, below
    if single:
        parts.product = parts.note("single", _correlate_single(channels, template.values), lambda sums: sums)
    else:
        parts.product = parts.note("product", _correlate(channels, template.values), keep)
    squares = [_Tile(tile.values * tile.values, tile.tiling) for tile in channels]
    parts.image_square = parts.note("image_square", _correlate(squares, template.weights), keep)
    del squares
    if search.centred:
        parts.image = [
            parts.note("image", _correlate([c], [w]), keep)
            for c, w in zip(channels, template.weights, strict=True)
        ]
    if there is None:
        parts.weight = [w.values.sum() for w in template.weights]
        parts.template = [v.values.sum() for v in template.values]
        parts.template_square = template.squares.values.sum()
        return parts
    known = {
        id(w): parts.note("weight", _correlate([there], [w]), keep)
        for w in {id(w): w for w in template.weights}.values()
    }
    parts.weight = [known[id(w)] for w in template.weights]
    if search.centred:
        parts.template = [parts.note("template", _correlate([there], [v]), keep) for v in template.values]
    parts.template_square = parts.note("template_square", _correlate([there], [template.squares]), keep)
    return parts


# --- integers: no rounding anywhere ---------------------------------------------------------------


@dataclass(frozen=True)
class _Whole:
    """How integers are held: what is taken off each channel, and types wide enough for tiles and for sums.

    No centres: each tile's own mean. Single precision, with few digits, asks for it.
    """

    centres: tuple[int, ...] | None
    middles: tuple[int, ...]
    narrow: Any
    wide: Any

    @classmethod
    def of(cls, search: Search, tiling: Tiling) -> "_Whole | None":
        """Find that; None for floats, if a value could pass 2**63, or transforms could be off by half a unit."""
        weights, channels = search.weights, len(search.weights)
        alike = search.joint or not search.centred or all(w is weights[0] for w in weights)
        if weights[0].dtype != bool or not alike:
            return None
        if any(c.dtype.kind not in "biu" for c in (*search.image, *search.template)):
            return None
        own = search.centred and not search.joint  # else all channels must be about one value
        centres, spreads = zip(*(_middle(c, about=own) for c in search.image), strict=True)
        middles, others = zip(*(_middle(c, about=own) for c in search.template), strict=True)
        if search.single and own:
            middles = tuple(round(float(t.mean())) for t in search.template)
            spreads, others = tuple(2 * s for s in spreads), tuple(2 * s for s in others)
        count = weights[0].size * (channels if search.joint else 1)
        spread = max(1, *spreads, *others)
        largest = 2 * channels * (count * spread**2) * (count if search.centred else 2)
        points = math.prod(tiling.fft_shape) * channels
        rounding = _core.rounding_bound(spread**2 * math.sqrt(points * count * channels), tiling)
        if largest >= 2**63 or rounding >= 0.25:
            return None
        narrow = np.int32 if count * spread**2 < 2**31 else np.int64
        wide = np.float64 if largest < 2**53 else np.int64
        return cls(None if search.single and own else centres, middles, narrow, wide)

    def keep(self, sums: Array) -> Array:
        """Round what came from transforms, and give it room."""
        if sums.dtype.kind == "f":
            np.rint(sums, out=sums)
        return sums.astype(self.wide, copy=False)


def _prepare_exact(search: Search, tiling: Tiling) -> Callable[[Region, bool], Sums] | None:
    """Sum integers exactly: times the weight, sums about a mean are integers too. None if that cannot be."""
    whole = _Whole.of(search, tiling)
    if whole is None:
        return None
    narrow, wide = whole.narrow, whole.wide
    values = [_about(t, m).astype(np.int64) for t, m in zip(search.template, whole.middles, strict=True)]
    weights = {id(w): w.astype(np.int64) for w in search.weights}
    template = _Template.of(values, [weights[id(w)] for w in search.weights], tiling)
    plain = search.centred and not search.joint and len(search.shape) == 2
    plain = plain and all(w.constant == 1 for w in template.weights)
    engine = _engine.compiled(PASSES * math.prod(tiling.places)) if plain else None

    def sum_block(block: Region, single: bool) -> Sums:  # noqa: FBT001
        raw, there = search.read(tiling.needs(block))
        centres = whole.centres or [round(float(c.mean() if there is None else c[there].mean())) for c in raw]
        tiles = [_about(c, m).astype(narrow, copy=False) for c, m in zip(raw, centres, strict=True)]
        if engine and there is None:
            return _sum_compiled(engine, template, [_Tile(t, tiling) for t in tiles], whole, single=single)
        if there is not None:
            tiles = [np.where(there, tile, narrow(0)) for tile in tiles]
        exists = None if there is None else _Tile(there.astype(narrow), tiling, reused=True)
        planes = [_Tile(t, tiling) for t in tiles]
        parts = _sum_parts(search, template, planes, exists, whole.keep, single=single)
        weight = search.groups([np.asarray(w).astype(wide) for w in parts.weight])
        seen = sum(weight[1:], weight[0])
        if not search.centred:
            return Sums(seen, parts.product, parts.image_square, parts.template_square, 1, parts.error_single)
        factor, product, image_square = weight[0], parts.product, parts.image_square
        product *= factor
        image_square *= factor
        template_square = np.asarray(parts.template_square).astype(wide) * factor
        others = search.groups([np.asarray(t).astype(wide) for t in parts.template])
        for i, t in zip(search.groups(parts.image), others, strict=True):
            product -= i * t
            image_square -= i * i
            template_square = template_square - t * t
        return Sums(seen, product, image_square, template_square, factor, parts.error_single)

    return sum_block


def _sum_compiled(
    engine: ModuleType, template: _Template, channels: list[_Tile], whole: _Whole, *, single: bool
) -> Sums:
    """Do the same where all pixels count alike: after the product all is done in one go, channel by channel."""
    height, width = channels[0].tiling.window
    count, error = height * width, 0.0
    if single:
        product, error = _correlate_single(channels, template.values)
    else:
        product = whole.keep(_correlate(channels, template.values)[0])
    product = product * whole.wide(count)
    image_square, least = np.zeros(product.shape, whole.wide), 0.0
    template_square = count * int(template.squares.values.sum())
    for channel, values in zip(channels, template.values, strict=True):
        total = int(values.values.sum())
        template_square -= total * total
        least = engine.take_means_off(channel.values, height, width, count, total, product, image_square)
    weight = whole.wide(count * len(channels))
    factor = whole.wide(count)
    norms = image_square, whole.wide(template_square)
    return Sums(weight, product, *norms, factor, error, engine=engine, least_square=least)


def _middle(channel: Array, *, about: bool) -> tuple[int, int]:
    """Give a middle value, or 0, and how far others can lie from it; sums of squares stay small about it."""
    if channel.dtype.kind == "b":
        return 0, 1
    if channel.dtype.itemsize <= 2:
        low, high = int(np.iinfo(channel.dtype).min), int(np.iinfo(channel.dtype).max)
    else:
        low, high = int(channel.min()), int(channel.max())
    middle = (low + high + 1) // 2 if about else 0
    return middle, max(high - middle, middle - low)


def _about(array: Array, middle: int) -> Array:
    """Subtract a middle value from integers, none of which wraps round."""
    if array.dtype.itemsize <= 2:
        return array.astype(np.int32) - np.int32(middle)
    return (array.astype(np.uint64) - np.uint64(middle % 2**64)).astype(np.int64)  # two's complement


# --- floats: rounding is bounded, and where the bound is too wide a window is summed by definition --


def _prepare_floats(search: Search, tiling: Tiling) -> Callable[[Region, bool], Sums]:
    """Sum in float64; centred ones about the mean of the tile."""
    weights = {id(w): w.astype(np.float64) for w in search.weights}
    weighted = [weights[id(w)] for w in search.weights]
    floats = [_as_float(t)[None] for t in search.template]
    values = [v[0] for v in _centred(search, floats, [w[None] for w in weighted])]
    template = _Template.of(values, weighted, tiling)
    largest = max(float(np.abs(v).max()) for v in values)
    relative = _EPS * (2 + math.log2(weighted[0].size)) / _TRUSTED * (4 if search.centred else 1)

    def sum_block(block: Region, single: bool) -> Sums:  # noqa: FBT001
        raw, there = search.read(tiling.needs(block))
        floats = [_as_float(c) for c in raw]
        seen = None if there is None else [there[None]] * len(raw)
        tiles = [c[0] for c in _centred(search, [c[None] for c in floats], seen)]
        planes = [_Tile(tile, tiling) for tile in tiles]
        exists = None if there is None else _Tile(there.astype(np.float64), tiling, reused=True)
        parts = _sum_parts(search, template, planes, exists, lambda sums: sums, single=single)
        sums = _about_means(search, parts)
        top = max(float(np.abs(tile).max()) for tile in tiles)
        unsure = _unsure(sums, parts, relative, (top, largest))
        if there is not None:  # windows with hardly any weight in a channel
            unsure.template |= np.logical_or.reduce(
                [n < 1e-6 * w.values.sum() for n, w in zip(parts.weight, template.weights, strict=True)]
            )
        enough = sums.weight >= search.least
        unsure = _Unsure(unsure.image & enough, unsure.template & enough)
        _sum_again(search, sums, unsure, floats, there, values)
        if search.differs:
            sums.difference = _differences(search, sums, enough, floats, there)
        return sums

    return sum_block


def _about_means(search: Search, parts: _Parts) -> Sums:
    """Take means off the sums."""
    weight = search.groups(parts.weight)
    seen = sum(weight[1:], weight[0])
    if not search.centred:
        return Sums(seen, parts.product, parts.image_square, parts.template_square, 1, parts.error_single)
    product, image_square, template_square = parts.product, parts.image_square, parts.template_square
    for n, i, t in zip(weight, search.groups(parts.image), search.groups(parts.template), strict=True):
        positive = np.maximum(
            n, max(1e-9 * np.max(n), np.finfo(np.float64).tiny)
        )  # the rest is not sure anyway
        mean = i / positive
        product = product - mean * t
        image_square = image_square - mean * i
        template_square = template_square - t * t / positive
    return Sums(seen, product, image_square, template_square, 1, parts.error_single)


@dataclass
class _Unsure:
    """Which windows' sums may be off by more than `_TRUSTED`, as far as their score is concerned."""

    image: NDArray[np.bool_]
    template: NDArray[np.bool_]


def _unsure(sums: Sums, parts: _Parts, relative: float, tops: tuple[float, float]) -> _Unsure:
    """Find them: those over the image or the product, and those over the part of the template that is seen."""
    errors, (a, b) = parts.errors, tops
    weight, image, template = (errors.get(name, 0.0) for name in ("weight", "image", "template"))
    product = (errors.get("product", 0.0) + a * template + b * image + a * b * weight) / _TRUSTED
    image_square = (errors["image_square"] + 2 * a * image + a * a * weight) / _TRUSTED
    of_image = sums.image_square <= parts.image_square * relative + image_square
    of_image |= sums.image_square * sums.template_square <= np.square(np.float64(product))
    if np.ndim(sums.template_square) == 0:
        return _Unsure(of_image, np.zeros((), bool))
    template_square = (errors["template_square"] + 2 * b * template + b * b * weight) / _TRUSTED
    return _Unsure(of_image, sums.template_square <= parts.template_square * relative + template_square)


def _sum_again(
    search: Search,
    sums: Sums,
    unsure: _Unsure,
    tiles: list[Array],
    there: Array | None,
    values: list[Array],
) -> None:
    """Sum over the windows in doubt one by one, by definition; constant ones have no square about the mean."""
    chosen = unsure.image | unsure.template
    if not chosen.any():
        return
    sums.product[chosen] = sums.image_square[chosen] = 0
    shape = values[0].shape
    places = np.argwhere(chosen & (_varied(search, tiles, there, shape) | unsure.template))
    views = [np.lib.stride_tricks.sliding_window_view(t, shape) for t in tiles]
    exists = None if there is None else np.lib.stride_tricks.sliding_window_view(there, shape)
    if there is not None:
        sums.template_square = np.array(np.broadcast_to(sums.template_square, chosen.shape))
    group = max(1, _GROUP_PIXELS // values[0].size)
    for start in range(0, len(places), group):
        at = tuple(places[start : start + group].T)
        windows = [view[at] for view in views]
        seen: Any = 1.0 if exists is None else exists[at]
        weights = [np.broadcast_to(w * seen, windows[0].shape) for w in search.weights]
        windows = _centred(search, windows, weights)
        others = [np.broadcast_to(v, windows[0].shape) for v in values]
        if exists is not None:
            others = _centred(search, others, weights)
            sums.template_square[at] = _total(others, others, weights)
        sums.product[at] = _total(windows, others, weights)
        sums.image_square[at] = _total(windows, windows, weights)


def _differences(search: Search, sums: Sums, enough: Any, tiles: list[Array], there: Array | None) -> Array:
    """Sum squared differences; where hardly any is left of the squares one by one, so that copies differ by nothing."""
    squares = sums.image_square + sums.template_square
    differences = np.asarray(squares - 2 * sums.product)
    shape = search.template[0].shape
    views = [np.lib.stride_tricks.sliding_window_view(t, shape) for t in tiles]
    exists = None if there is None else np.lib.stride_tricks.sliding_window_view(there, shape)
    for place in map(tuple, np.argwhere(enough & (differences <= 1e-9 * squares))):
        seen: Any = True if exists is None else exists[place]
        differences[place] = sum(
            (w * seen * np.square(view[place] - _as_float(t))).sum()
            for view, t, w in zip(views, search.template, search.weights, strict=True)
        )
    return differences


def _varied(search: Search, tiles: list[Array], there: Array | None, shape: Shape) -> NDArray[np.bool_]:
    """Tell which windows are not constant (0, where no mean is taken off)."""
    low = high = tiles
    if there is not None:
        low = [np.where(there, t, np.inf) for t in tiles]
        high = [np.where(there, t, -np.inf) for t in tiles]
    least = [_core.sliding_min(t, shape) for t in low]
    most = [_core.sliding_max(t, shape) for t in high]
    if not search.centred:
        differ = [(a != 0) | (b != 0) for a, b in zip(least, most, strict=True)]
    elif search.joint:
        differ = [np.minimum.reduce(least) != np.maximum.reduce(most)]
    else:
        differ = [a != b for a, b in zip(least, most, strict=True)]
    return np.asarray(np.logical_or.reduce(differ))


def _total(first: list[Array], second: list[Array], weights: list[Array]) -> Array:
    """Sum weight times first times second, for each window."""
    terms = zip(first, second, weights, strict=True)
    return np.asarray(np.add.reduce([(a * b * w).reshape(len(a), -1).sum(axis=1) for a, b, w in terms]))


def _centred(search: Search, windows: list[Array], weights: list[Array] | None) -> list[Array]:
    """Take each window about its weighted mean, if the search is centred; constant ones become exactly 0.

    So does what has no weight. Values are brought near 1 if squares would not fit, and scores are free of scale.
    """
    axes = tuple(range(1, windows[0].ndim))
    if weights is not None:
        windows = [np.where(w > 0, c, 0) for c, w in zip(windows, weights, strict=True)]
    if search.scale_free:
        windows = _near_one(windows, axes)
    if search.centred:
        varied = _spread(search, windows, weights, axes)
        for _ in range(2):  # the mean of large values is itself rounded; what it left over is not
            means = _means(search, windows, weights, axes)
            windows = [c - m for c, m in zip(windows, means, strict=True)]
        if weights is not None:
            windows = [np.where((w > 0) & v, c, 0) for c, w, v in zip(windows, weights, varied, strict=True)]
        if search.scale_free:
            windows = _near_one(windows, axes)
    return [w.astype(np.float64, copy=False) for w in windows]


def _means(
    search: Search, windows: list[Array], weights: list[Array] | None, axes: tuple[int, ...]
) -> list[Array]:
    """Give the mean for each channel: its own, or that of all."""
    if weights is None:
        sums = [c.sum(axis=axes, keepdims=True) for c in windows]
        totals: list[Any] = [c[0].size for c in windows]
    else:
        sums = [(c * w).sum(axis=axes, keepdims=True) for c, w in zip(windows, weights, strict=True)]
        totals = [w.sum(axis=axes, keepdims=True, dtype=np.float64) for w in weights]
    pairs = zip(search.groups(sums), search.groups(totals), strict=True)
    means = [np.asarray(s / np.where(n > 0, n, 1)) for s, n in pairs]
    return means * len(windows) if search.joint else means


def _spread(
    search: Search, windows: list[Array], weights: list[Array] | None, axes: tuple[int, ...]
) -> list[Any]:
    """Tell for each channel which windows vary among their pixels that have weight."""
    if weights is None:
        return [True] * len(windows)
    pairs = list(zip(windows, weights, strict=True))
    most = [np.where(w > 0, c, -np.inf).max(axis=axes, keepdims=True) for c, w in pairs]
    least = [np.where(w > 0, c, np.inf).min(axis=axes, keepdims=True) for c, w in pairs]
    if search.joint:
        return [np.minimum.reduce(least) < np.maximum.reduce(most)] * len(windows)
    return [low < high for low, high in zip(least, most, strict=True)]


def _as_float(array: Array) -> Array:
    """Convert to float64 or wider."""
    return array.astype(np.result_type(array.dtype, np.float64), copy=False)


def _near_one(channels: list[Array], axes: tuple[int, ...]) -> list[Array]:
    """Scale by a power of two, which rounds nothing, where the largest value asks for it."""
    largest = [np.abs(c).max(axis=axes, keepdims=True) for c in channels]
    exponent = np.frexp(np.maximum.reduce(largest))[1]
    exponent[np.abs(exponent) < 100] = 0
    return [np.ldexp(c, -exponent) for c in channels] if exponent.any() else channels
