"""Plain searches, the commonest: zncc of pictures of small integers, all pixels there, masks of 0 and 1.

Many templates are sought at a time: the spectra and the window sums of a tile are made once for all of them.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tmatch import _core_numpy, _engine, _spectra, _tiles
from tmatch._borders import Array
from tmatch._sums import MOST_CHANNELS, PASSES, TRUSTED_SINGLE, Search, single_error
from tmatch._sums_exact import Whole, about
from tmatch._tiles import Region, Shape, Tiling

Cells = tuple[Shape, Shape, Shape]  # a shape, where the first cells end, and their size
Grid = Callable[[Region], Cells]
Scored = tuple[Array, Array, bool, Array | None]

# Of templates: so many for each place take compiled code as long as one transform of a tile, in double precision and
# in single, where more than the transform is saved; measured.
_DIRECT_PIXELS, _DIRECT_PIXELS_SINGLE = 220, 80
_GROUP_PIXELS = 2**20  # of windows scored together one by one
_SELDOM = 1 / 16  # of the largest errors, those of pictures none of whose rows or columns are alike, measured
_SAMPLED = 2**13  # places of a tile that a sample is drawn from
_FAINT_SHARE = 10  # pixels of such windows for each place of a tile; beyond, double precision is faster


@dataclass(frozen=True)
class Pattern:
    """A template of a plain search, ready for the tiles of one tiling."""

    values: list[Array]
    mask: Array | None
    whole: Whole
    tiling: Tiling

    @classmethod
    def of(cls, search: Search, tiling: Tiling) -> "Pattern | None":
        """Make it, and remember it with the template; None if its sums could pass the largest integers."""

        def make() -> "Pattern | None":
            whole = Whole.of(replace(search, single=False), tiling)
            if whole is None:
                return None
            mask = search.weights[0]
            pairs = zip(search.template, whole.middles, strict=True)
            values = [np.where(mask, about(t, m), 0).astype(np.int64) for t, m in pairs]
            return cls(values, None if mask.all() else mask, whole, tiling)

        pattern: Pattern | None = search.remember(("pattern", tiling, search.image[0].dtype), make)
        return pattern

    @property
    def window(self) -> Shape:
        return self.values[0].shape

    @cached_property
    def count(self) -> int:
        """How many pixels of each channel are compared."""
        return self.values[0].size if self.mask is None else int(np.count_nonzero(self.mask))

    @cached_property
    def shape(self) -> tuple[Shape, bytes]:
        """What windows are summed over."""
        return self.window, b"" if self.mask is None else self.mask.tobytes()

    @cached_property
    def runs(self) -> Array:
        """Where the mask begins and ends to count: row, first column, and the one after the last."""
        return _runs(self.counted)

    @property
    def counted(self) -> Array:
        """Which pixels are compared."""
        return np.ones(self.window, bool) if self.mask is None else self.mask

    @cached_property
    def by_definition(self) -> tuple[Any, ...]:
        """What `score_windows` wants to know of it."""
        mask, values = self.counted.astype(np.float64), np.array(self.values, np.float64)
        return mask, values, self.whole.centres, self.sums, float(self.variance), self.count

    @cached_property
    def sums(self) -> Array:
        """The sum of each channel, in the type that sums are multiplied in."""
        return np.array([v.sum() for v in self.values], self.whole.wide)

    @cached_property
    def variance(self) -> int:
        """``n sum(t^2) - sum(t)^2``, added up over the channels."""
        squares = sum(int(np.square(v).sum()) for v in self.values)
        return self.count * squares - sum(int(s) ** 2 for s in self.sums)

    @cached_property
    def spectra(self) -> list[Array]:
        return [_spectra.tile_spectrum(v.astype(np.float64), self.tiling) for v in self.values]

    @cached_property
    def pairs(self) -> Any:
        """Its values, for products without transforms."""
        return _direct_products().Pairs.of(self.values)

    @cached_property
    def mask_spectrum(self) -> Array:
        return _spectra.tile_spectrum(self.counted.astype(np.float64), self.tiling)

    @cached_property
    def spectra_single(self) -> list[Array]:
        """Of the template about its means, such that times `inverse` the products are scores."""
        norm = math.sqrt(self.variance) / self.count
        around = [(v - v.sum() / self.count) / norm for v in self.values]
        if self.mask is not None:
            around = [np.where(self.mask, v, 0) for v in around]
        return [_spectra.tile_spectrum(v.astype(np.float32), self.tiling) for v in around]


@dataclass(frozen=True)
class Plain:
    """Plain searches in one image, all done on the same tiles. `patterns` go with the numbers of their searches.

    Those of one shape follow each other, so that a tile's window sums are made once and then forgotten.
    """

    image: Sequence[Array]
    patterns: Sequence[tuple[int, Pattern]]
    engine: Any
    single: bool

    @property
    def tiling(self) -> Tiling:
        return self.patterns[0][1].tiling

    @property
    def passes(self) -> float:
        return PASSES * (0.5 + 0.5 * len(self.patterns))

    @cached_property
    def direct(self) -> bool:
        """Whether products are summed straight from the picture, which is exact, and faster if there are few."""
        return self._has_few_pixels(_DIRECT_PIXELS)

    @cached_property
    def exact(self) -> bool:
        """Whether scores are exact but for the last steps: where that is faster, too, if single precision will do."""
        return not self.single or self._has_few_pixels(_DIRECT_PIXELS_SINGLE)

    def _has_few_pixels(self, each: int) -> bool:
        """Tell if there are at most so many pixels of templates for each transform, all of them small numbers."""
        if self.engine is _core_numpy or any(p.whole.narrow is not np.int32 for _, p in self.patterns):
            return False
        most = each * (len(self.image) + len(self.patterns))
        pixels = len(self.image) * sum(p.count for _, p in self.patterns)
        # Pixels that lie scattered take half a pair each. Pairs are made only where there are few.
        return pixels <= most and sum(2 * len(p.pairs.places) for _, p in self.patterns) <= most

    def places(self, window: Shape) -> Shape:
        """Give the shape of a score map."""
        return _tiles.valid_shape(self.image[0].shape, window)

    def score(
        self, block: Region, *, floor: float = 2.0, grids: Mapping[int, Grid] | None = None
    ) -> Iterator[tuple[int, Region, Array, Array, bool, Array | None]]:
        """Score a block of places, template by template: its number, its part of the block, scores, norms.

        A score means something where the norm is above 0. Then whether some score may reach the floor, and the scores
        summed up, if there is a grid for it.
        """
        needed = zip(self.tiling.needs(block), self.image[0].shape, strict=True)
        region = tuple(slice(s.start, min(s.stop, n)) for s, n in needed)
        native = self.image[0].dtype.newbyteorder("=")
        tile = _Tile(self, [channel[region].astype(native, order="C") for channel in self.image])
        for number, pattern in self.patterns:
            limits = zip(block, self.places(pattern.window), strict=True)
            part = tuple(slice(s.start, min(s.stop, n)) for s, n in limits)
            if all(s.start < s.stop for s in part):
                grid = grids and grids.get(number)
                cells = grid(part) if grid else None
                scored = None if self.exact else tile.score_single(pattern, floor, cells)
                scores, norms, high, summed = scored or tile.score_exactly(pattern, cells)
                shape = tuple(slice(s.stop - s.start) for s in part)
                yield number, part, scores[shape], norms[shape], high, summed

    def check(self) -> None:
        """Accept: every place of a plain search has a score or lacks contrast."""


@dataclass(frozen=True)
class Norms:
    """Inverse norms of the windows of a tile, 0 where there is none, and the largest of them."""

    inverse: Array
    largest: float
    window: Shape

    @cached_property
    def _some(self) -> tuple[Array, list[int]]:
        """Those on a grid, and its steps; windows that have most pixels in common are about as faint."""
        coarser = math.ceil(math.sqrt(self.inverse.size / _SAMPLED))
        steps = [max(coarser, k // 8) for k in self.window]
        return self.inverse[:: steps[0], :: steps[1]].copy(), steps

    def sample(self, least: float, most: float, count: int) -> Array:
        """Choose places where they lie between two values, from everywhere."""
        if self.largest <= least:
            return np.empty((0, 2), np.intp)
        some, steps = self._some
        found = np.flatnonzero((some > least) & (some <= most))
        if not len(found):  # few, and between the places of the grid
            some, steps = self.inverse, [1, 1]
            found = np.flatnonzero((some > least) & (some <= most))
        chosen = found[:: 1 + len(found) // count]
        return np.stack(np.unravel_index(chosen, some.shape), axis=1) * steps


class _Tile:
    """A tile of an image, and what several templates want to know of it."""

    def __init__(self, plain: Plain, channels: list[Array]) -> None:
        self.channels, self.tiling, self.engine = channels, plain.tiling, plain.engine
        self.direct = plain.direct
        self.alone = len(plain.patterns) == 1 and plain.engine is not _core_numpy
        self.shape = channels[0].shape
        self.centres = plain.patterns[0][1].whole.centres
        self._moments: dict[object, Any] = {}

    def score_single(self, pattern: Pattern, floor: float, cells: Cells | None) -> Scored | None:
        """Score by transforms in single precision; give nothing if double precision is called for."""
        norms: Norms = self.moments(pattern, single=True)
        spectra, squares = self.spectra_single
        lines = math.sqrt(squares * pattern.count)
        if self._faint(pattern, norms, lines) is None:
            return None
        pairs = zip(spectra, pattern.spectra_single, strict=True)
        product, found, summed = self.engine.score(pairs, self.tiling, norms.inverse, floor, cells)
        of_products, high, broken = found
        lines += math.sqrt(of_products)
        if single_error(lines) * norms.largest <= TRUSTED_SINGLE:
            _check(broken)
            return product, norms.inverse, high > 0, summed
        scores = product[tuple(map(slice, norms.inverse.shape))]
        faint = self._faint(pattern, norms, lines)
        if faint is None or not self._are_good(pattern, scores, norms, lines):
            return None
        top = -1.0
        if len(faint):
            top = self._anew(pattern, scores, faint)[0]
            summed = cells and self._sum_up(product, norms.inverse, cells)
        return product, norms.inverse, high > 0 or top >= floor, summed

    def _faint(self, pattern: Pattern, norms: Norms, lines: float) -> Array | None:
        """Find windows too faint for single precision; None if to score them one by one takes too long."""
        if norms.largest <= _faint_from(lines):
            return np.empty((0, 2), np.intp)
        faint = norms.inverse > _faint_from(lines)
        few = np.count_nonzero(faint) * pattern.count <= _FAINT_SHARE * faint.size
        return np.argwhere(faint) if few else None

    def _are_good(self, pattern: Pattern, scores: Array, norms: Norms, lines: float) -> bool:
        """Score a sample of those in doubt anew: some that are nearly faint, and some from everywhere."""
        most = max(8, min(128, 2**16 // pattern.count))
        bounds = [(_faint_from(lines) * share, _faint_from(lines)) for share in (0.5, _SELDOM)]
        sample = np.concatenate([norms.sample(*between, most) for between in bounds])
        return self._anew(pattern, scores, sample)[1] <= TRUSTED_SINGLE / 16

    def _anew(self, pattern: Pattern, scores: Array, places: Array) -> tuple[float, float]:
        """Score some places by definition; give the highest score, and how much one has changed at most."""
        at = tuple(places.T)
        exact = score_places(self.channels, pattern, places, self.engine)
        change = np.abs(scores[at] - exact)
        scores[at] = exact
        return float(exact.max(initial=-1)), float(change.max(initial=0))

    def _sum_up(self, scores: Array, norms: Array, cells: Cells) -> Array:
        shape, leads, size = cells
        part = tuple(map(slice, shape))
        summed: Array = self.engine.summarise(scores[part], norms[part], leads, size)
        return summed

    def score_exactly(self, pattern: Pattern, cells: Cells | None) -> Scored:
        """Score without rounding but for the last steps."""
        places = _tiles.valid_shape(self.shape, pattern.window)
        if self.direct:
            product = _direct_products().correlate(self.values, pattern.pairs, places)
        else:
            pairs = zip(self.spectra, pattern.spectra, strict=True)
            product = _spectra.correlate_spectra(pairs, self.tiling)
        template = float(pattern.variance)
        if self.alone and pattern.mask is None:
            variance = np.empty(places, pattern.whole.wide)
            windows = self._windows(pattern)
            broken = self.engine.score_alone(product, *windows, pattern.sums, variance, template)
        else:
            sums, variance = self.moments(pattern, single=False)
            broken = self.engine.score_exactly(product, sums, pattern.sums, variance, template, pattern.count)
        _check(broken)
        return product, variance, True, cells and self._sum_up(product, variance, cells)

    def moments(self, pattern: Pattern, *, single: bool) -> Any:
        """Give the windows' inverse norms, or their sums and their squares about the mean.

        They are kept until another shape is asked for.
        """
        key = pattern.shape, pattern.whole.narrow, pattern.whole.wide
        if (key, single) not in self._moments:
            if (key, not single) not in self._moments:
                self._moments = {}
            self._moments[key, single] = self._sum(pattern, single=single)
        return self._moments[key, single]

    def _sum(self, pattern: Pattern, *, single: bool) -> Any:
        places, wide = _tiles.valid_shape(self.shape, pattern.window), pattern.whole.wide
        sums = np.empty((len(self.channels), *([0, 0] if single else places)), wide)
        room = np.empty if pattern.mask is None else np.zeros
        variance = room(places, np.float32 if single else wide)
        if pattern.mask is None:
            windows = self._windows(pattern)
            if single:
                largest = self.engine.inverse_norms(*windows, np.empty(places[1], wide), variance)
                return Norms(variance, largest, pattern.window)
            self.engine.moments(*windows, sums, variance)
        else:
            self._sum_masked(pattern, sums, variance)
            if single:
                return Norms(variance, self.engine.invert(variance), pattern.window)
        return sums, variance

    def _windows(self, pattern: Pattern) -> tuple[Any, ...]:
        """Give what compiled code sums windows of, their size, and room for that."""
        work = np.zeros((len(self.channels) + 1, self.shape[1] + 1), pattern.whole.narrow)
        return tuple(self.channels), *pattern.window, self.centres or (), work

    def _sum_masked(self, pattern: Pattern, sums: Array, variance: Array) -> None:
        count = pattern.count
        for i, (channel, centre, own) in enumerate(zip(self.channels, self.centres or (), sums, strict=True)):
            if len(pattern.runs) <= self.engine.MOST_RUNS:
                work = np.zeros((2, self.shape[0], self.shape[1] + 1), pattern.whole.narrow)
                self.engine.add_masked_moments(channel, pattern.runs, count, centre, work, own, variance)
            else:  # exact too: products of squares by 0 or 1 are no larger than those with the template
                products = (
                    _spectra.correlate_spectra([(spectra[i], pattern.mask_spectrum)], self.tiling)
                    for spectra in (self.spectra, self.spectra_of_squares)
                )
                self.engine.round_moments(*products, count, own, variance)

    @cached_property
    def spectra_single(self) -> tuple[list[Array], float]:
        """Of the channels about their means, and the largest sum of squares of a row or a column, added up."""
        spectra, squares = [], 0.0
        for channel in self.channels:
            values = _spectra.empty_tile(self.tiling, np.float32)
            squares += self.engine.load(channel, values)
            spectra.append(_spectra.transform(values, self.tiling, overwrite=True))
        return spectra, squares

    @cached_property
    def spectra(self) -> list[Array]:
        return self._transform(squared=False)

    @cached_property
    def spectra_of_squares(self) -> list[Array]:
        return self._transform(squared=True)

    def _transform(self, *, squared: bool) -> list[Array]:
        """Spectra of the channels about their centres, or of the squares of that."""
        spectra = []
        for channel, centre in zip(self.channels, self.centres or (), strict=True):
            values = _spectra.empty_tile(self.tiling, np.float64)
            self.engine.place(channel, centre, squared, values)
            spectra.append(_spectra.transform(values, self.tiling, overwrite=True))
        return spectra

    @cached_property
    def values(self) -> Array:
        """The channels about their centres, for products without transforms."""
        tile: Array = _direct_products().empty_tile(len(self.channels), self.shape)
        for channel, centre, values in zip(self.channels, self.centres or (), tile, strict=True):
            self.engine.place(channel, centre, squared=False, out=values)
        return tile


def _direct_products() -> Any:
    from tmatch import _pairs_numba  # noqa: PLC0415

    return _pairs_numba


def _faint_from(lines: float) -> float:
    """Give the inverse norm beyond which windows are too faint for single precision."""
    return TRUSTED_SINGLE / (_SELDOM * single_error(lines)) if lines else math.inf


def score_places(channels: Sequence[Array], pattern: Pattern, places: Array, engine: Any) -> Array:
    """Score single places by definition; minus infinity where a window has no contrast."""
    if not len(places):
        return np.empty(0)
    many = max(1, _GROUP_PIXELS // pattern.count)
    if len(places) > many:
        parts = (places[start : start + many] for start in range(0, len(places), many))
        return np.concatenate([score_places(channels, pattern, part, engine) for part in parts])
    scores: Array = engine.score_windows(*_ready(channels, places, pattern.window), *pattern.by_definition)
    return scores


def _ready(channels: Sequence[Array], places: Array, window: Shape) -> tuple[tuple[Array, ...], Array]:
    """Give channels as compiled code takes them, tiles as they are, and of others the windows one below the other."""
    if all(channel.flags.carray and channel.dtype.isnative for channel in channels):
        return tuple(channels), places
    views = (np.lib.stride_tricks.sliding_window_view(channel, window) for channel in channels)
    windows = (
        np.ascontiguousarray(view[tuple(places.T)], view.dtype.newbyteorder("=")).reshape(-1, window[1])
        for view in views
    )
    starts = np.zeros_like(places)
    starts[:, 0] = np.arange(len(places)) * window[0]
    return tuple(windows), starts


def _check(broken: int) -> None:
    if broken:
        msg = f"{broken} scores are outside [-1, 1]: this is a bug in tmatch, please report it"
        raise ArithmeticError(msg)


def gather(searches: Sequence[Search]) -> list[Plain]:
    """Put the plain ones of some searches in one image together, those of similar size; leave out the others."""
    plain = [(number, search) for number, search in enumerate(searches) if _is_plain(search)]
    engine = plain and _engine.compiled(sum(PASSES * math.prod(search.shape) for _, search in plain))
    alike = defaultdict(list)
    for number, search in plain:
        alike[tuple(math.frexp(n)[1] for n in search.template[0].shape)].append((number, search))
    groups = []
    for members in alike.values():
        windows = [search.template[0].shape for _, search in members]
        largest, least = (tuple(map(f, zip(*windows, strict=True))) for f in (max, min))
        image = members[0][1].image
        shape = tuple(n + a - b for n, a, b in zip(image[0].shape, largest, least, strict=True))
        tiling = _tiles.plan_tiles(shape, largest, compiled=bool(engine) and len(image) <= MOST_CHANNELS)
        ready = [(number, Pattern.of(search, tiling)) for number, search in members]
        if patterns := [(number, pattern) for number, pattern in ready if pattern]:
            patterns.sort(key=lambda p: (p[1].shape, p[1].whole.narrow.__name__, p[0]))
            passes = engine if engine and tiling.compiled else _core_numpy
            groups.append(Plain(image, patterns, passes, members[0][1].single))
    return groups


def _runs(mask: Array) -> Array:
    edges = np.diff(np.pad(mask.astype(np.int8), [(0, 0), (1, 1)]), axis=1)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return np.ascontiguousarray(np.column_stack([starts, stops[:, 1]]))


def _is_plain(search: Search) -> bool:
    return (
        search.metric == "zncc"
        and not search.joint
        and len(search.shape) == 2
        and search.exists is None
        and not any(map(any, search.margins))
        and all(c.dtype.kind in "biu" and c.dtype.itemsize <= 2 for c in (*search.image, *search.template))
        and all(w is search.weights[0] for w in search.weights)
        and search.weights[0].dtype == bool
    )
