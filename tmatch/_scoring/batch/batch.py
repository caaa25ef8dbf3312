"""Batches of templates in one image: spectra and window sums of a tile are computed once for all."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import execution, select
from tmatch._engine.interface import Engine, Transforms
from tmatch._engine.tiling import Tiling
from tmatch._scoring.batch.float_tile import FloatTile
from tmatch._scoring.batch.floats import FloatTemplate
from tmatch._scoring.batch.integer_tile import IntegerTile
from tmatch._scoring.batch.integers import IntegerTemplate
from tmatch._scoring.batch.tile import BatchTemplate, ImageTile
from tmatch._scoring.scorer import NO_FLOOR, Grid, ScoredBlock
from tmatch._scoring.search import PASSES, Search

# Numbers of template pixels at which direct products take as long as one transform of a tile, in double and in single
# precision; in single, direct products save other work too. Measured.
_DIRECT_PIXELS, _DIRECT_PIXELS_SINGLE = 220, 80


@dataclass(frozen=True)
class TemplateBatch:
    """Searches in one image, all on the same tiles. `members` are templates of one kind with their numbers.

    Templates of one shape are adjacent, so that a tile's window sums are computed once and then discarded.
    """

    image: Sequence[Array]
    members: Sequence[tuple[int, BatchTemplate]]
    single: bool
    kind: type[ImageTile[Any]]

    @property
    def engine(self) -> Engine:
        """The engine for which all members are prepared."""
        return self.members[0][1].engine

    @property
    def transforms(self) -> Transforms:
        """The transforms of tiles."""
        return self.members[0][1].transforms

    @property
    def templates(self) -> Sequence[int]:
        """Numbers of the templates."""
        return [number for number, _ in self.members]

    @property
    def tiling(self) -> Tiling:
        """The blocks to score."""
        return self.transforms.tiling

    @property
    def passes(self) -> float:
        """Cost of a block, in passes over its positions."""
        return PASSES * (0.5 + 0.5 * len(self.members))

    @cached_property
    def direct(self) -> bool:
        """Whether to correlate without transforms, which is exact, and faster for few pixels."""
        return self._has_few_pixels(_DIRECT_PIXELS)

    @cached_property
    def double(self) -> bool:
        """Whether to score in double precision: also if single will do, where correlation is direct and exact."""
        return not self.single or self._has_few_pixels(_DIRECT_PIXELS_SINGLE)

    def _has_few_pixels(self, limit: int) -> bool:
        """Return whether templates have at most `limit` pixels for each transform, and small values."""
        small = all(template.small for _, template in self.members)
        if self.engine.direct_products is None or not small:
            return False
        override = execution.current().direct_products
        if override is not None:
            return override
        max_pixels = limit * (len(self.image) + len(self.members))
        pixels = len(self.image) * sum(template.count for _, template in self.members)
        # An isolated pixel takes a whole pair. Pairs are prepared only if there are few pixels.
        return (
            pixels <= max_pixels
            and sum(2 * len(template.direct) for _, template in self.members) <= max_pixels
        )

    def only(self, number: int) -> "TemplateBatch":
        """Return the batch of one template."""
        return replace(self, members=[(n, template) for n, template in self.members if n == number])

    def map_shape(self, window: Shape) -> Shape:
        """Return the shape of the score map of a window."""
        return valid_shape(self.image[0].shape, window)

    def score(
        self, block: Region, *, floor: float = NO_FLOOR, grids: Mapping[int, Grid] | None = None
    ) -> Iterator[ScoredBlock]:
        """Score a block of positions, template by template, each within its score map."""
        needed = zip(self.tiling.needs(block), self.image[0].shape, strict=True)
        region = tuple(slice(s.start, min(s.stop, n)) for s, n in needed)
        native = self.image[0].dtype.newbyteorder("=")
        tile = self.kind(
            [channel[region].astype(native, copy=False) for channel in self.image],
            self.members[0][1],
            [part.start for part in region],
            direct=self.direct,
            shared=len(self.members) > 1,
        )
        for number, template in self.members:
            limits = zip(block, self.map_shape(template.window), strict=True)
            part = tuple(slice(s.start, min(s.stop, n)) for s, n in limits)
            if all(s.start < s.stop for s in part):
                grid = grids and grids.get(number)
                summary_grid = grid(part) if grid else None
                scored = None if self.double else tile.score_single(template, floor, summary_grid)
                scores, norms, reaches_floor, summary = scored or tile.score_double(template, summary_grid)
                shape = tuple(slice(s.stop - s.start) for s in part)
                yield ScoredBlock(number, part, scores[shape], norms[shape], reaches_floor, summary)

    def finish(self, overlap: float) -> None:
        """Raise nothing: every window of these searches is valid or constant."""


def make_batches(searches: Sequence[Search], shape: Shape | None = None) -> list[TemplateBatch]:
    """Group searches in one image by the size of their templates; omit those that batches do not support.

    Tiles are those of an image of another `shape`, if it is given.
    """
    groups = defaultdict(list)
    for number, search in enumerate(searches):
        if _is_supported(search):
            groups[tuple(math.frexp(n)[1] for n in search.template[0].shape)].append((number, search))
    return [batch for members in groups.values() for batch in _batches_of(members, shape)]


def _batches_of(members: Sequence[tuple[int, Search]], shape: Shape | None) -> Iterator[TemplateBatch]:
    """Prepare templates of similar size: those whose sums integers can hold, and others."""
    windows = [search.template[0].shape for _, search in members]
    largest, smallest = (tuple(map(f, zip(*windows, strict=True))) for f in (max, min))
    image = members[0][1].image
    tiled = shape or image[0].shape
    shape = tuple(n + a - b for n, a, b in zip(tiled, largest, smallest, strict=True))
    work = sum(PASSES * math.prod(search.shape) for _, search in members)
    engine = select.choose(work, shape, len(image))
    transforms = engine.transforms(shape, largest)
    integers: list[tuple[int, BatchTemplate]] = []
    floats: list[tuple[int, BatchTemplate]] = []
    for number, search in members:
        is_narrow = _is_narrow(search) and all(w is search.weights[0] for w in search.weights)
        exact = IntegerTemplate.of(search, transforms, engine) if is_narrow else None
        if exact is not None:
            integers.append((number, exact))
        else:
            floats.append((number, FloatTemplate.of(search, transforms, engine)))
    single = members[0][1].single
    for templates, kind in ((integers, IntegerTile), (floats, FloatTile)):
        if templates:
            yield TemplateBatch(image, _with_equal_sums_adjacent(templates), single, kind)


def _with_equal_sums_adjacent(members: list[tuple[int, BatchTemplate]]) -> list[tuple[int, BatchTemplate]]:
    """Sort templates by their windows, and those of one shape by the first one that needs the same sums."""
    firsts: dict[object, int] = {}
    for number, template in members:
        firsts.setdefault(template.sums_key, number)
    return sorted(members, key=lambda m: (m[1].window, firsts[m[1].sums_key], m[0]))


def _is_narrow(search: Search) -> bool:
    """Return whether sums of integers can be exact, unless the template is large."""
    arrays = (*search.image, *search.template)
    binary = all(w.dtype == bool for w in search.weights)
    return binary and all(a.dtype.kind in "biu" and a.dtype.itemsize <= 2 for a in arrays)


def _is_supported(search: Search) -> bool:
    metric = search.metric
    return (
        metric.bounded
        and not metric.differences
        and (metric.centred or not _is_narrow(search))
        and not search.joint
        and len(search.shape) == 2
        and search.all_valid
        and all(w.any() for w in search.weights)
        and all(c.dtype.kind in "biu" or c.dtype.itemsize <= 8 for c in (*search.image, *search.template))
    )
