"""How work is executed: one policy, with the measured limits of this machine's kind, that a test can replace."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tmatch._arrays.typing import Shape

THREADED_WORK = (
    10_000_000  # passes times points, about 2 ms: below, starting threads costs more than it saves
)


@dataclass(frozen=True, slots=True)
class Execution:
    """The policy. None means: whatever is cheapest, or what the environment says."""

    engine: str | None = None  # "auto", "numpy" or "numba"; None: TMATCH_ENGINE
    loading_work: float = (
        2e9  # passes times points that NumPy does in the half second that loading numba takes
    )
    tile: Shape | None = None  # results in a block, at most, on each axis
    cores: int | None = None
    min_compiled_side: int = 32  # of images whose tiles compiled code transforms: two of the longest vectors
    threaded_work: float = THREADED_WORK
    fused_threaded_work: float = 3_000_000  # the same where threads hardly wait for one another
    transform_passes: float | None = None  # cost of a pair of transforms, as passes over a tile
    direct_products: bool | None = None  # whether products are summed without transforms
    mask_runs: int | None = None  # in the rows of a mask, beyond which windows are summed by transforms
    strip_bytes: int = 2**18  # of rows read before they are filtered: so many stay in the cache
    band_positions: int = 2**22  # scored, at least, before peaks are looked for
    kept_positions: int = 2**23  # scores kept, at most, until the floor is known; others are scored again


_current = Execution()


def current() -> Execution:
    """Return the policy in force."""
    return _current


@contextlib.contextmanager
def using(**changes: Any) -> Iterator[None]:
    """Replace parts of the policy for a block, in all threads; for tests."""
    global _current  # noqa: PLW0603
    before = _current
    _current = replace(before, **changes)
    try:
        yield
    finally:
        _current = before
