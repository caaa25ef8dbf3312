"""Cut work on a large array into tiles. Tiles depend on shapes alone, never on the number of threads."""

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Region, Shape
from tmatch._engine import execution

_CACHE_POINTS = 190_000  # points of one transform that still stay near the core
_BLOCK_POINTS = 2**17  # of one block that is added up without transforms
_FUSED_BLOCK_POINTS = 2**19  # and of one that is cut up further by the code that sums it
_ROW_OVERHEAD = 32  # what starting one more row costs, as points
_TILE_OVERHEAD = 40_000  # what starting one more tile costs, as points of a transform
_CHOICES = 4000  # ways to cut that are compared
_TRANSFORM_WORK = 100  # passes over a tile that come with a transform, at least about
_FAIR_SHARE = 2  # tiles come in multiples of this, so that few cores stay idle at the end


@dataclass(frozen=True, slots=True)
class Tiling:
    """How the valid places of a window are cut into blocks, and the shape of the transform each block needs."""

    places: Shape
    window: Shape
    block: Shape
    fft_shape: Shape = ()  # none where windows are summed without transforms

    def blocks(self) -> Iterator[Region]:
        """Regions of the result, in row-major order."""
        starts = (range(0, n, b) for n, b in zip(self.places, self.block, strict=True))
        for corner in itertools.product(*starts):
            ends = map(min, zip(map(sum, zip(corner, self.block, strict=True)), self.places, strict=True))
            yield tuple(itertools.starmap(slice, zip(corner, ends, strict=True)))

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return math.prod(-(-n // b) for n, b in zip(self.places, self.block, strict=True))

    @property
    def work(self) -> int:
        """Points transformed in all."""
        return math.prod(self.fft_shape) * self.count

    def needs(self, block: Region) -> Region:
        """Give the region of the image that the results of `block` are computed from."""
        return tuple(slice(s.start, s.stop + k - 1) for s, k in zip(block, self.window, strict=True))


def plan_tiles(image_shape: Shape, window: Shape, *, step: int = 1) -> Tiling:
    """Choose blocks for the least work: a transform costs so much a point, more beyond the cache.

    Sides of transforms are multiples of `step`.
    """
    tile = execution.current().tile
    if tile is None:
        return _cheapest_tiles(image_shape, window, step)
    places = valid_shape(image_shape, window)
    block = tuple(map(min, tile, places))
    sides = (fast_length(b + k - 1, step) for b, k in zip(block, window, strict=True))
    return Tiling(places, window, block, tuple(sides))


@functools.lru_cache(maxsize=256)
def _cheapest_tiles(image_shape: Shape, window: Shape, step: int) -> Tiling:
    places = valid_shape(image_shape, window)
    most = max(2, int(_CHOICES ** (1 / len(window))))  # for each axis
    axes = []
    for n, k in zip(places, window, strict=True):
        counts = sorted({min(n, max(1, round(1.2**step))) for step in range(60)})
        blocks = [b for count in counts if (b := -(-n // count)) >= min(n, k // 2 + 1, 64)]
        sizes = [fast_length(b + k - 1, step) for b in blocks[:: -(-len(blocks) // most)]]
        options = {(min(n, size - k + 1), size) for size in sizes}
        axes.append(sorted((-(-n // -(-n // b)), size, -(-n // b)) for b, size in options))
    size, count = (np.ix_(*(np.array(axis)[:, i] for axis in axes)) for i in (1, 2))
    points, number = math.prod(size), math.prod(count)
    beyond = np.maximum(0, np.log2(points / _CACHE_POINTS))
    effort = sum(np.vectorize(_effort)(sides) for sides in size) / len(size)
    each = points * effort * (1 + 0.25 * beyond**2) + _ROW_OVERHEAD * points / size[-1] + _TILE_OVERHEAD
    small = _TRANSFORM_WORK * math.prod(image_shape) < execution.THREADED_WORK  # all on one thread
    cost = each * (number if small else -(-number // _FAIR_SHARE))
    best = np.unravel_index(np.argmin(cost), cost.shape)
    chosen = [axis[int(i)] for axis, i in zip(axes, best, strict=True)]
    return Tiling(places, window, tuple(b for b, _, _ in chosen), tuple(side for _, side, _ in chosen))


def fast_length(n: int, step: int = 1) -> int:
    """Return the next multiple of `step` that is quick to transform."""
    from scipy.fft import next_fast_len  # noqa: PLC0415

    return step * int(next_fast_len(-(-n // step), real=True))


def _effort(side: int) -> float:
    """Tell how much longer a transform of this length takes than powers of 2 would, measured."""
    effort, rest = 0.0, side
    for factor, each in ((2, 1.0), (3, 1.2), (5, 1.25), (7, 1.4), (11, 1.6)):
        while rest % factor == 0:
            rest //= factor
            effort += each * math.log2(factor)
    return effort / math.log2(side) if side > 1 else 1.0


def plan_blocks(image_shape: Shape, window: Shape, *, fused: bool = False, channels: int = 1) -> Tiling:
    """Cut into equal blocks, for work without transforms.

    They are small ones for the cache, unless a block is `fused`: cut up further by the code that sums it.
    """
    places = valid_shape(image_shape, window)
    tile = execution.current().tile
    if tile is not None:
        return Tiling(places, window, tuple(map(min, tile, places)))
    block: list[int] = []
    points = (_FUSED_BLOCK_POINTS if fused else _BLOCK_POINTS) / -(-channels // 4)  # channels are few
    for axis, n in reversed(list(enumerate(places))):
        # Rows are best done in long pieces.
        longer = (4 if fused else 2) if axis == len(places) - 1 > 0 else 1
        size = min(n, math.ceil(longer * points ** (1 / (axis + 1))))
        block.insert(0, -(-n // -(-n // size)))  # no last block much smaller than the others
        points = max(1.0, points / size)
    return Tiling(places, window, tuple(block))


def rounding_bound(norms: float, tiling: Tiling) -> float:
    """Bound the error of a correlation by transforms: machine epsilon, log of the size, both norms."""
    return float(np.finfo(np.float64).eps * (2 + math.log2(math.prod(tiling.fft_shape))) * norms)
