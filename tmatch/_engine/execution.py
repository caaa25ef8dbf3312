"""The execution policy: measured limits, which tests can replace."""

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tmatch._arrays.typing import Shape

# Passes times points, about 2 ms: with less work, starting threads costs more than it saves.
THREADED_WORK = 10_000_000


@dataclass(frozen=True, slots=True)
class Execution:
    """Limits and choices. None: the cheapest choice, or that of the environment."""

    engine: str | None = None  # "auto", "numpy" or "numba"; None: TMATCH_ENGINE
    # Passes times points that NumPy computes in half a second, a little more than loading compiled code takes; and in
    # the time of compiling it. See tests/benchmarks/loading.py.
    loading_work: float = 1.6e9
    compiling_work: float = 4e10
    tile: Shape | None = None  # maximum shape of a block of results
    cores: int | None = None
    min_compiled_side: int = (
        32  # minimum side of an image for compiled transforms: two of the longest vectors
    )
    threaded_work: float = THREADED_WORK  # with more, threads are started
    fused_threaded_work: float = (
        3_000_000  # the same for fused jobs, whose threads rarely wait for each other
    )
    transform_passes: float | None = None  # cost of a pair of transforms, in passes over a tile
    direct_products: bool | None = None  # whether to correlate without transforms
    mask_runs: int | None = None  # maximum number of runs in the rows of a mask for sums without transforms
    strip_bytes: int = 2**18  # size of the rows read before they are filtered, which stay in the cache
    band_positions: int = 2**22  # minimum size of a band of scores that is searched for peaks
    # Maximum number of scores kept until the floor is known; above, positions are rescored.
    kept_positions: int = 2**23
    part_pixels: int = 2**22  # of a part of an image that one task on a cluster searches, about
    block_peaks: int = 16  # minimum number of peaks of a block that are kept until the floor is known


_current = Execution()


# What was settled for a task before it was begun, perhaps in another process.
_settled: contextvars.ContextVar[Execution | None] = contextvars.ContextVar("settled", default=None)


def current() -> Execution:
    """Return the current policy."""
    return _settled.get() or _current


@contextlib.contextmanager
def settled(policy: Execution) -> Iterator[None]:
    """Follow one policy within a context, in this thread."""
    token = _settled.set(policy)
    try:
        yield
    finally:
        _settled.reset(token)


@contextlib.contextmanager
def using(**changes: Any) -> Iterator[None]:
    """Replace parts of the policy within a context, in all threads; for tests."""
    global _current  # noqa: PLW0603
    before = _current
    _current = replace(before, **changes)
    try:
        yield
    finally:
        _current = before
