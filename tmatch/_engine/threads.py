"""Run jobs on tiles, on one thread or several."""

import _thread
import collections
import functools
import math
import operator
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tmatch._arrays.typing import Region
from tmatch._engine import execution
from tmatch._engine.progress import Resources
from tmatch._engine.tiling import Tiling

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # in glibc's malloc.h


@dataclass(frozen=True, slots=True)
class Job:
    """A function to call for each block of a tiling, at the cost of so many passes over its positions."""

    work: Callable[[Region], None]
    tiling: Tiling
    passes: float
    blocks: Sequence[Region] | None = None  # some of them only
    fused: bool = False  # each block in one call, so that threads rarely wait for each other

    @property
    def positions(self) -> int:
        """Number of positions in its blocks."""
        if self.blocks is None:
            return math.prod(self.tiling.positions)
        return sum(math.prod(s.stop - s.start for s in block) for block in self.blocks)


def run(*jobs: Job, resources: Resources | None = None, together: bool = False) -> None:
    """Run jobs block by block, on several threads if that is faster; each block advances the progress.

    Blocks are begun job by job or, if jobs go `together`, by their first rows. Of several errors, that of the first
    block is raised.
    """
    resources = resources or Resources()
    _keep_memory()
    blocks = ((job.work, block) for job in jobs for block in job.blocks or job.tiling.blocks())
    ordered = sorted(blocks, key=lambda pair: pair[1][0].start) if together and len(jobs) > 1 else blocks
    pending = collections.deque(enumerate(ordered))
    errors: list[tuple[int, BaseException]] = []

    def drain() -> None:
        while pending:
            try:
                number, (work, block) = pending.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                work(block)
                resources.progress.advance()
            except BaseException as error:  # noqa: BLE001  also Ctrl-C: blocks not yet begun are dropped
                pending.clear()
                errors.append((number, error))

    limits = execution.current()
    enough = limits.fused_threaded_work if all(job.fused for job in jobs) else limits.threaded_work
    many = sum(job.passes * job.positions for job in jobs) > enough
    threads = min(len(pending), resources.workers or available_cores()) if many else 1
    try:
        ends = [_start(drain) for _ in range(threads - 1)]
        drain()
        for end in ends:
            end.acquire()
    finally:  # after Ctrl-C here, the other threads stop at the end of their block
        pending.clear()
    if errors:  # whichever thread was first: blocks are begun in order
        raise min(errors, key=operator.itemgetter(0))[1]


@functools.cache
def _keep_memory() -> None:
    """Make the allocator keep the memory of tiles: to get it from the system again takes longer than a transform.

    glibc keeps blocks no larger than the largest one, of up to 32 MiB, that was freed: mallopt(3). Where the
    environment sets a threshold, as that of dask's workers does, it learns nothing from what is freed, and is told.
    """
    np.empty(2**25 - 2**16, np.uint8)
    if sys.platform == "linux" and "MALLOC_TRIM_THRESHOLD_" in os.environ:
        import ctypes  # noqa: PLC0415

        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # which other libraries of C have not
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, 2**25)
            mallopt(_TRIM_THRESHOLD, 2**26)


def _start(work: Callable[[], None]) -> _thread.LockType:
    """Call `work` on a new thread, and return a lock that is released at its end.

    `threading.Thread.start` would wait until another core has woken up, half a millisecond in which this one can work.
    """
    end = _thread.allocate_lock()
    end.acquire()

    def work_and_release() -> None:
        try:
            work()
        finally:
            end.release()

    _thread.start_new_thread(work_and_release, ())
    return end


def available_cores() -> int:
    """Count the cores this process may use."""
    cores = execution.current().cores
    if cores is not None:
        return cores
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
