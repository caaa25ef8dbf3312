"""Tiles: how work on a large array is cut up, and shared out to threads.

Tiles depend on shapes alone, never on the number of threads.
"""

import _thread
import collections
import functools
import itertools
import math
import operator
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]
Progress = Callable[[float], object]
Region = tuple[slice, ...]

_CACHE_POINTS = 190_000  # points of one transform that still stay near the core
_BLOCK_POINTS = 2**17  # of one block that is added up without transforms
_COMPILED_BLOCK_POINTS = 2**19  # and of one that compiled code cuts up further
_ROW_OVERHEAD = 32  # what starting one more row costs, as points
_TILE_OVERHEAD = 40_000  # what starting one more tile costs, as points of a transform
_COMPILED_STEP = 32  # sides of tiles for compiled transforms are multiples of: two of the longest vectors
_CHOICES = 4000  # ways to cut that are compared
_TRANSFORM_WORK = 100  # passes over a tile that come with a transform, at least about
_FAIR_SHARE = 2  # tiles come in multiples of this, so that few cores stay idle at the end
_THREAD_WORK = (
    10_000_000  # passes times points, about 2 ms: below this starting threads costs more than it saves
)
_COMPILED_THREAD_WORK = 3_000_000  # and where threads hardly wait for one another


@dataclass(frozen=True, slots=True)
class Tiling:
    """How the valid places of a window are cut into blocks, and the transform each block needs.

    With `compiled`, transforms are those of `_fft_numba`, else SciPy's.
    """

    places: Shape
    window: Shape
    block: Shape
    fft_shape: Shape
    compiled: bool = False

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


def valid_shape(shape: Shape, window: Shape) -> Shape:
    """Count the places on each axis at which a window lies inside an array."""
    return tuple(n - k + 1 for n, k in zip(shape, window, strict=True))


@functools.lru_cache(maxsize=256)
def plan_tiles(image_shape: Shape, window: Shape, *, compiled: bool = False) -> Tiling:
    """Choose blocks for the least work: a transform costs so much a point, more beyond the cache.

    With `compiled`, those of two dimensions, not too thin, are transformed by compiled code.
    """
    compiled = compiled and len(window) == 2 and min(image_shape) >= _COMPILED_STEP
    places = valid_shape(image_shape, window)
    most = max(2, int(_CHOICES ** (1 / len(window))))  # for each axis
    axes = []
    for n, k in zip(places, window, strict=True):
        counts = sorted({min(n, max(1, round(1.2**step))) for step in range(60)})
        blocks = [b for count in counts if (b := -(-n // count)) >= min(n, k // 2 + 1, 64)]
        sizes = [fast_length(b + k - 1, compiled=compiled) for b in blocks[:: -(-len(blocks) // most)]]
        options = {(min(n, size - k + 1), size) for size in sizes}
        axes.append(sorted((-(-n // -(-n // b)), size, -(-n // b)) for b, size in options))
    size, count = (np.ix_(*(np.array(axis)[:, i] for axis in axes)) for i in (1, 2))
    points, number = math.prod(size), math.prod(count)
    beyond = np.maximum(0, np.log2(points / _CACHE_POINTS))
    effort = sum(np.vectorize(_effort)(sides) for sides in size) / len(size)
    each = points * effort * (1 + 0.25 * beyond**2) + _ROW_OVERHEAD * points / size[-1] + _TILE_OVERHEAD
    small = _TRANSFORM_WORK * math.prod(image_shape) < _THREAD_WORK  # all on one thread
    cost = each * (number if small else -(-number // _FAIR_SHARE))
    best = np.unravel_index(np.argmin(cost), cost.shape)
    chosen = [axis[int(i)] for axis, i in zip(axes, best, strict=True)]
    return Tiling(
        places, window, tuple(b for b, _, _ in chosen), tuple(side for _, side, _ in chosen), compiled
    )


def fast_length(n: int, *, compiled: bool) -> int:
    """Give the next length that is quick to transform; compiled code takes those of many vectors."""
    from scipy.fft import next_fast_len  # noqa: PLC0415

    step = _COMPILED_STEP if compiled else 1
    return step * int(next_fast_len(-(-n // step), real=True))


def _effort(side: int) -> float:
    """Tell how much longer a transform of this length takes than powers of 2 would, measured."""
    effort, rest = 0.0, side
    for factor, each in ((2, 1.0), (3, 1.2), (5, 1.25), (7, 1.4), (11, 1.6)):
        while rest % factor == 0:
            rest //= factor
            effort += each * math.log2(factor)
    return effort / math.log2(side) if side > 1 else 1.0


def plan_blocks(image_shape: Shape, window: Shape, *, compiled: bool = False, channels: int = 1) -> Tiling:
    """Cut into equal blocks, for work without transforms: small ones for the cache, unless compiled code cuts them."""
    places = valid_shape(image_shape, window)
    block: list[int] = []
    points = (_COMPILED_BLOCK_POINTS if compiled else _BLOCK_POINTS) / -(-channels // 4)  # colours are few
    for axis, n in reversed(list(enumerate(places))):
        # Rows are best done in long pieces.
        longer = (4 if compiled else 2) if axis == len(places) - 1 > 0 else 1
        size = min(n, math.ceil(longer * points ** (1 / (axis + 1))))
        block.insert(0, -(-n // -(-n // size)))  # no last block much smaller than the others
        points = max(1.0, points / size)
    return Tiling(places, window, tuple(block), ())


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do on every block of a tiling, at the cost of so many passes over its places."""

    work: Callable[[Region], None]
    tiling: Tiling
    passes: float
    blocks: Sequence[Region] | None = None  # some of them only
    compiled: bool = False  # each block in one go

    @property
    def places(self) -> int:
        """Count the places there are to work on."""
        if self.blocks is None:
            return math.prod(self.tiling.places)
        return sum(math.prod(s.stop - s.start for s in block) for block in self.blocks)


class Meter:
    """Tells how much of some work is done, as a share that never shrinks."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._tell, self.total = progress, total
        self._done, self._told, self._lock = 0, 0.0, threading.Lock()

    def advance(self) -> None:
        """Count one more piece of work."""
        if self._tell is None:
            return
        with self._lock:
            self._done += 1
            share = min(self._done / self.total, 1.0)
            if share > self._told:
                self._told = share
                self._tell(share)


def run(
    *jobs: Job, workers: int | None = None, progress: Progress | None = None, meter: Meter | None = None
) -> None:
    """Do the jobs block by block, on so many threads (None: one per core) if that is worth it."""
    _keep_memory()
    blocks = ((job.work, block) for job in jobs for block in job.blocks or job.tiling.blocks())
    pending = collections.deque(enumerate(blocks))
    meter = meter or Meter(progress, len(pending))
    errors: list[tuple[int, BaseException]] = []

    def drain() -> None:
        while pending:
            try:
                number, (work, block) = pending.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                work(block)
                meter.advance()
            except BaseException as error:  # noqa: BLE001  also Ctrl-C: tiles not yet begun are dropped
                pending.clear()
                errors.append((number, error))

    enough = _COMPILED_THREAD_WORK if all(job.compiled for job in jobs) else _THREAD_WORK
    many = sum(job.passes * job.places for job in jobs) > enough
    threads = min(len(pending), workers or available_cores()) if many else 1
    try:
        ends = [_start(drain) for _ in range(threads - 1)]
        drain()
        for end in ends:
            end.acquire()
    finally:  # Ctrl-C out here: the others stop after the tile at hand
        pending.clear()
    if errors:  # the first tile's, whichever thread was first
        raise min(errors, key=operator.itemgetter(0))[1]


@functools.cache
def _keep_memory() -> None:
    """Let the allocator keep the memory of tiles: to get it from the system again takes longer than a transform.

    glibc does so for blocks no larger than the largest one, of up to 32 MiB, that was freed: mallopt(3).
    """
    np.empty(2**25 - 2**16, np.uint8)


def _start(work: Callable[[], None]) -> _thread.LockType:
    """Call `work` on a thread of its own, and give a lock that it frees at its end.

    `threading.Thread.start` waits until the other core has woken up, half a millisecond that this one can work in.
    """
    end = _thread.allocate_lock()
    end.acquire()

    def work_and_tell() -> None:
        try:
            work()
        finally:
            end.release()

    _thread.start_new_thread(work_and_tell, ())
    return end


def available_cores() -> int:
    """Count the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
