"""Many integer templates in one image: spectra and window sums of a tile are computed once for all."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import select
from tmatch._engine import tiling as _tiling
from tmatch._engine.numpy import scoring as numpy_scoring
from tmatch._engine.tiling import Tiling
from tmatch._scoring.integer.template import IntegerTemplate
from tmatch._scoring.integer.tile import Grid, ImageTile
from tmatch._scoring.search import MAX_COMPILED_CHANNELS, PASSES, Search

# Of templates: so many for each place take compiled code as long as one transform of a tile, in double precision and
# in single, where more than the transform is saved; measured.
_DIRECT_PIXELS, _DIRECT_PIXELS_SINGLE = 220, 80


@dataclass(frozen=True)
class TemplateBatch:
    """Plain searches in one image, all done on the same tiles. `patterns` go with the numbers of their searches.

    Those of one shape follow each other, so that a tile's window sums are made once and then forgotten.
    """

    image: Sequence[Array]
    patterns: Sequence[tuple[int, IntegerTemplate]]
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
        if self.engine is numpy_scoring or any(p.whole.narrow is not np.int32 for _, p in self.patterns):
            return False
        most = each * (len(self.image) + len(self.patterns))
        pixels = len(self.image) * sum(p.count for _, p in self.patterns)
        # Pixels that lie scattered take half a pair each. Pairs are made only where there are few.
        return pixels <= most and sum(2 * len(p.pairs.places) for _, p in self.patterns) <= most

    def places(self, window: Shape) -> Shape:
        """Give the shape of a score map."""
        return valid_shape(self.image[0].shape, window)

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
        tile = ImageTile(self, [channel[region].astype(native, order="C") for channel in self.image])
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


def make_batches(searches: Sequence[Search]) -> list[TemplateBatch]:
    """Put the plain ones of some searches in one image together, those of similar size; leave out the others."""
    plain = [(number, search) for number, search in enumerate(searches) if _is_integer_search(search)]
    engine = plain and select.compiled(sum(PASSES * math.prod(search.shape) for _, search in plain))
    alike = defaultdict(list)
    for number, search in plain:
        alike[tuple(math.frexp(n)[1] for n in search.template[0].shape)].append((number, search))
    groups = []
    for members in alike.values():
        windows = [search.template[0].shape for _, search in members]
        largest, least = (tuple(map(f, zip(*windows, strict=True))) for f in (max, min))
        image = members[0][1].image
        shape = tuple(n + a - b for n, a, b in zip(image[0].shape, largest, least, strict=True))
        tiling = _tiling.plan_tiles(
            shape, largest, compiled=bool(engine) and len(image) <= MAX_COMPILED_CHANNELS
        )
        ready = [(number, IntegerTemplate.of(search, tiling)) for number, search in members]
        if patterns := [(number, pattern) for number, pattern in ready if pattern]:
            patterns.sort(key=lambda p: (p[1].shape, p[1].whole.narrow.__name__, p[0]))
            passes = engine if engine and tiling.compiled else numpy_scoring
            groups.append(TemplateBatch(image, patterns, passes, members[0][1].single))
    return groups


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
