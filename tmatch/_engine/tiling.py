"""Divide work on a large array into tiles. Tiles depend on shapes alone, never on the number of threads."""

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tmatch._arrays.geometry import valid_shape
from tmatch._arrays.typing import Region, Shape
from tmatch._engine import execution

_CACHE_POINTS = 190_000  # points of a transform that fits in the cache of a core
_BLOCK_POINTS = 2**17  # of a block that is summed without transforms
_FUSED_BLOCK_POINTS = 2**19  # of a block that the summing code divides further
_ROW_OVERHEAD = 32  # cost of one more row, in points
_TILE_OVERHEAD = 40_000  # cost of one more tile, in points of a transform
_CHOICES = 4000  # number of tilings that are compared
_TRANSFORM_WORK = 100  # approximate minimum number of passes that accompany a transform
_SLAB_POINTS = 2**22  # of slices that are transformed together; more only if the window is that deep
_FAIR_SHARE = 2  # the number of tiles is a multiple of this, so that few cores are idle at the end


@dataclass(frozen=True, slots=True)
class Tiling:
    """A division of the valid positions of a window into blocks, and the shape of each block's transform."""

    positions: Shape
    window: Shape
    block: Shape
    fft_shape: Shape = ()  # empty if windows are summed without transforms

    def blocks(self, within: Region | None = None) -> Iterator[Region]:
        """Return the regions of the result, in row-major order; only those that reach into `within`, if it is given."""
        ends = self.around(within) if within else tuple(slice(0, n) for n in self.positions)
        for corner in itertools.product(
            *(range(s.start, s.stop, b) for s, b in zip(ends, self.block, strict=True))
        ):
            stops = map(min, zip(map(sum, zip(corner, self.block, strict=True)), self.positions, strict=True))
            yield tuple(itertools.starmap(slice, zip(corner, stops, strict=True)))

    def around(self, region: Region) -> Region:
        """Return the region of all blocks that reach into one."""
        return tuple(itertools.starmap(self.reach, enumerate(region)))

    def reach(self, axis: int, part: slice) -> slice:
        """Return, for one axis, what the blocks cover that reach into a part."""
        block, n = self.block[axis], self.positions[axis]
        return slice(part.start // block * block, min(-(-part.stop // block) * block, n))

    @property
    def count(self) -> int:
        """Number of blocks."""
        return math.prod(-(-n // b) for n, b in zip(self.positions, self.block, strict=True))

    @property
    def work(self) -> int:
        """Total number of points transformed."""
        return math.prod(self.fft_shape) * self.count

    def needs(self, block: Region) -> Region:
        """Return the region of the image from which the results of `block` are computed."""
        return tuple(slice(s.start, s.stop + k - 1) for s, k in zip(block, self.window, strict=True))


def plan_tiles(image_shape: Shape, window: Shape, *, step: int = 1) -> Tiling:
    """Choose the blocks of minimum cost; points of transforms larger than the cache cost more.

    Sides of transforms are multiples of `step`.
    """
    return _plan_tiles(image_shape, window, step, execution.current().tile, _CACHE_POINTS)


def _plan_tiles(
    image_shape: Shape, window: Shape, step: int, tile: Shape | None, cache_points: int
) -> Tiling:
    if tile is None:
        return _cheapest_tiles(image_shape, window, step, cache_points)
    positions = valid_shape(image_shape, window)
    block = tuple(map(min, tile, positions))
    sides = (fast_length(b + k - 1, step) for b, k in zip(block, window, strict=True))
    return Tiling(positions, window, block, tuple(sides))


@functools.lru_cache(maxsize=256)
def _cheapest_tiles(image_shape: Shape, window: Shape, step: int, cache_points: int) -> Tiling:
    positions = valid_shape(image_shape, window)
    max_choices = max(2, int(_CHOICES ** (1 / len(window))))  # on each axis
    axes = []
    for n, k in zip(positions, window, strict=True):
        counts = sorted({min(n, max(1, round(1.2**step))) for step in range(60)})
        blocks = [b for count in counts if (b := -(-n // count)) >= min(n, k // 2 + 1, 64)]
        sizes = [fast_length(b + k - 1, step) for b in blocks[:: -(-len(blocks) // max_choices)]]
        options = {(min(n, size - k + 1), size) for size in sizes}
        axes.append(sorted((-(-n // -(-n // b)), size, -(-n // b)) for b, size in options))
    size, count = (np.ix_(*(np.array(axis)[:, i] for axis in axes)) for i in (1, 2))
    points, total = math.prod(size), math.prod(count)
    excess = np.maximum(0, np.log2(points / cache_points))
    relative_cost = sum(np.vectorize(_relative_cost)(sides) for sides in size) / len(size)
    tile_cost = (
        points * relative_cost * (1 + 0.25 * excess**2) + _ROW_OVERHEAD * points / size[-1] + _TILE_OVERHEAD
    )
    # Little work is done by one thread.
    single_thread = _TRANSFORM_WORK * math.prod(image_shape) < execution.THREADED_WORK
    cost = tile_cost * (total if single_thread else -(-total // _FAIR_SHARE))
    best = np.unravel_index(np.argmin(cost), cost.shape)
    chosen = [axis[int(i)] for axis, i in zip(axes, best, strict=True)]
    return Tiling(positions, window, tuple(b for b, _, _ in chosen), tuple(side for _, side, _ in chosen))


def plan_slices(image_shape: Shape, window: Shape, *, step: int = 1) -> Tiling:
    """Choose blocks of slices, which are transformed one by one: few, as blocks share none of the slices they need."""
    (rows, *_), (depth, *others), tile = valid_shape(image_shape, window), window, execution.current().tile
    points = min(_CACHE_POINTS, _SLAB_POINTS // (24 * depth))
    plane = _plan_tiles(image_shape[1:], tuple(others), step, tile and tile[1:], points)
    if tile is None:
        count = -(-rows // max(depth, _SLAB_POINTS // math.prod(plane.fft_shape) - depth + 1))
        if _TRANSFORM_WORK * math.prod(image_shape) >= execution.THREADED_WORK:
            count += count * plane.count % _FAIR_SHARE
        size = -(-rows // count)
    else:
        size = min(tile[0], rows)
    return Tiling(
        (rows, *plane.positions), window, (size, *plane.block), (size + depth - 1, *plane.fft_shape)
    )


def fast_length(n: int, step: int = 1) -> int:
    """Return the next multiple of `step` whose transform is fast."""
    from scipy.fft import next_fast_len  # noqa: PLC0415

    return step * int(next_fast_len(-(-n // step), real=True))


def _relative_cost(side: int) -> float:
    """Return the measured cost per point of a transform of this length, relative to powers of 2."""
    cost, rest = 0.0, side
    for factor, weight in ((2, 1.0), (3, 1.2), (5, 1.25), (7, 1.4), (11, 1.6)):
        while rest % factor == 0:
            rest //= factor
            cost += weight * math.log2(factor)
    return cost / math.log2(side) if side > 1 else 1.0


def plan_blocks(image_shape: Shape, window: Shape, *, fused: bool = False, channels: int = 1) -> Tiling:
    """Divide into equal blocks, for work without transforms.

    Blocks fit in the cache, unless they are `fused`: divided further by the code that sums them.
    """
    positions = valid_shape(image_shape, window)
    tile = execution.current().tile
    if tile is not None:
        return Tiling(positions, window, tuple(map(min, tile, positions)))
    block: list[int] = []
    # Up to 4 channels count as one.
    points = (_FUSED_BLOCK_POINTS if fused else _BLOCK_POINTS) / -(-channels // 4)
    for axis, n in reversed(list(enumerate(positions))):
        # Long rows are fastest.
        stretch = (4 if fused else 2) if axis == len(positions) - 1 > 0 else 1
        size = min(n, math.ceil(stretch * points ** (1 / (axis + 1))))
        block.insert(0, -(-n // -(-n // size)))  # so that the last block is not much smaller
        points = max(1.0, points / size)
    return Tiling(positions, window, tuple(block))


def rounding_bound(norms: float, tiling: Tiling) -> float:
    """Bound the rounding error of a correlation by transforms: epsilon times log of the size times both norms."""
    return float(np.finfo(np.float64).eps * (2 + math.log2(math.prod(tiling.fft_shape))) * norms)
