"""Batches of integer templates in one image: spectra and window sums of a tile are computed once for all."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import execution, select
from tmatch._engine.interface import Engine
from tmatch._engine.tiling import Tiling
from tmatch._scoring.integer.template import IntegerTemplate
from tmatch._scoring.integer.tile import ImageTile
from tmatch._scoring.scorer import NO_FLOOR, Grid, ScoredBlock
from tmatch._scoring.search import PASSES, Search

# Numbers of template pixels at which direct products take as long as one transform of a tile, in double and in single
# precision; in single, direct products save other work too. Measured.
_DIRECT_PIXELS, _DIRECT_PIXELS_SINGLE = 220, 80


@dataclass(frozen=True)
class TemplateBatch:
    """Integer searches in one image, all on the same tiles. `members` are templates with their numbers.

    Templates of one shape are adjacent, so that a tile's window sums are computed once and then discarded.
    """

    image: Sequence[Array]
    members: Sequence[tuple[int, IntegerTemplate]]
    single: bool

    @property
    def engine(self) -> Engine:
        """The engine for which all members are prepared."""
        return self.members[0][1].engine

    @property
    def templates(self) -> Sequence[int]:
        """Numbers of the templates."""
        return [number for number, _ in self.members]

    @property
    def tiling(self) -> Tiling:
        """The blocks to score."""
        return self.members[0][1].transforms.tiling

    @property
    def passes(self) -> float:
        """Cost of a block, in passes over its positions."""
        return PASSES * (0.5 + 0.5 * len(self.members))

    @cached_property
    def direct(self) -> bool:
        """Whether to correlate without transforms, which is exact, and faster for few pixels."""
        return self._has_few_pixels(_DIRECT_PIXELS)

    @cached_property
    def exact(self) -> bool:
        """Whether to score with exact sums: always in double precision, and in single if that is faster."""
        return not self.single or self._has_few_pixels(_DIRECT_PIXELS_SINGLE)

    def _has_few_pixels(self, limit: int) -> bool:
        """Return whether templates have at most `limit` pixels for each transform, and small values."""
        small = all(template.ranges.sum_dtype is np.int32 for _, template in self.members)
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
        channels = [channel[region].astype(native, order="C") for channel in self.image]
        tile = ImageTile(channels, self.members[0][1], direct=self.direct, shared=len(self.members) > 1)
        for number, template in self.members:
            limits = zip(block, self.map_shape(template.window), strict=True)
            part = tuple(slice(s.start, min(s.stop, n)) for s, n in limits)
            if all(s.start < s.stop for s in part):
                grid = grids and grids.get(number)
                summary_grid = grid(part) if grid else None
                scored = None if self.exact else tile.score_single(template, floor, summary_grid)
                scores, norms, reaches_floor, summary = scored or tile.score_exactly(template, summary_grid)
                shape = tuple(slice(s.stop - s.start) for s in part)
                yield ScoredBlock(number, part, scores[shape], norms[shape], reaches_floor, summary)

    def finish(self) -> None:
        """Raise nothing: every window of an integer search is valid or constant."""


def make_batches(searches: Sequence[Search]) -> list[TemplateBatch]:
    """Group the integer searches in one image by size; omit other searches."""
    groups = defaultdict(list)
    for number, search in enumerate(searches):
        if _is_integer_search(search):
            groups[tuple(math.frexp(n)[1] for n in search.template[0].shape)].append((number, search))
    batches = (_make_batch(members) for members in groups.values())
    return [batch for batch in batches if batch is not None]


def _make_batch(members: Sequence[tuple[int, Search]]) -> TemplateBatch | None:
    """Prepare the templates of one batch; None if integers can hold the sums of none of them."""
    windows = [search.template[0].shape for _, search in members]
    largest, smallest = (tuple(map(f, zip(*windows, strict=True))) for f in (max, min))
    image = members[0][1].image
    shape = tuple(n + a - b for n, a, b in zip(image[0].shape, largest, smallest, strict=True))
    work = sum(PASSES * math.prod(search.shape) for _, search in members)
    engine = select.choose(work, shape, len(image))
    transforms = engine.transforms(shape, largest)
    prepared = [(number, IntegerTemplate.of(search, transforms, engine)) for number, search in members]
    templates = [(number, template) for number, template in prepared if template]
    templates.sort(key=lambda p: (p[1].summed_over, p[1].ranges.sum_dtype.__name__, p[0]))
    return TemplateBatch(image, templates, members[0][1].single) if templates else None


def _is_integer_search(search: Search) -> bool:
    return (
        search.metric.name == "zncc"
        and not search.joint
        and len(search.shape) == 2
        and search.valid is None
        and not any(map(any, search.margins))
        and all(c.dtype.kind in "biu" and c.dtype.itemsize <= 2 for c in (*search.image, *search.template))
        and all(w is search.weights[0] for w in search.weights)
        and search.weights[0].dtype == bool
    )
