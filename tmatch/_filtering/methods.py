"""Choose how a kernel is applied: all weights at once, axis by axis, or by transforms."""

import functools
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.finite import is_finite
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import select
from tmatch._engine.numpy.taps import correlate_by_parts, count_passes

_REMEMBERED_WEIGHTS = 2**12  # of a kernel about which is kept what was found out
_COMPILED_TAP = 0.07  # what a tap costs compiled code, as passes of adding or multiplying over a tile
_COMPILED_KERNEL = 1.5  # and reading and writing
_READ = [np.dtype(name) for name in ("u1", "u2", "f4", "f8")]  # by compiled code, which is made for each
# Sums into an array, and tells whether sums and pixels are finite.
SumWindows = Callable[[PaddedImage, Region, Array], bool]


def choose_method(
    image: Array, weights: Array, work: np.dtype[Any], places: int, *, whole: bool
) -> tuple[float, SumWindows, bool]:
    """Choose between all taps at once and axis after axis, and the engine.

    Say how many passes over a tile it takes, and whether compiled code does all of a block in one go.
    """
    full = bool(weights.all())
    ways_of = _methods_for if weights.size <= _REMEMBERED_WEIGHTS else _methods_for.__wrapped__
    ways = ways_of(weights.tobytes(), weights.shape, weights.dtype, work, whole)
    best, sparing = (min(ways, key=operator.attrgetter(cost)) for cost in ("passes", "compiled_passes"))
    dear = work.kind == "c" or sparing.compiled_passes > best.passes
    if dear or not select.compiled(best.passes * places):
        by_numpy = functools.partial(correlate_by_parts, best.parts)
        return best.passes, functools.partial(sum_tile, by_numpy, work, full=full), False
    from tmatch._engine.numba import taps  # noqa: PLC0415

    if image.ndim == 2 and image.dtype in _READ and image.flags.aligned:
        filter_picture = functools.partial(taps.filter_picture, sparing.taps, full=full)
        return sparing.compiled_passes, filter_picture, True
    sum_lines = functools.partial(taps.sum_lines, sparing.taps)
    return sparing.compiled_passes, functools.partial(sum_tile, sum_lines, work, full=full), False


@dataclass(frozen=True)
class SumMethod:
    """Kernels to correlate with one after another, and the passes over a tile that takes NumPy and compiled code."""

    parts: list[Array]
    work: np.dtype[Any]
    passes: float
    compiled_passes: float

    @functools.cached_property
    def taps(self) -> list[Any]:
        from tmatch._engine.numba.taps import Taps  # noqa: PLC0415

        return [Taps(part, self.work) for part in self.parts]


@functools.lru_cache(maxsize=32)
def _methods_for(
    data: bytes,
    shape: Shape,
    dtype: np.dtype[Any],
    work: np.dtype[Any],
    whole: bool,  # noqa: FBT001
) -> list[SumMethod]:
    """Give the ways to sum with a kernel, which are remembered: often many images are filtered with one."""
    weights = np.frombuffer(data, dtype).reshape(shape)
    factors = _separate(weights, float(np.finfo(work).eps), whole=whole)
    ways = []
    for parts in [[weights], *([factors] if factors else [])]:
        passes = sum(count_passes(part, single=work in (np.float32, np.complex64)) for part in parts)
        compiled = sum(_COMPILED_KERNEL + _COMPILED_TAP * np.count_nonzero(part) for part in parts)
        ways.append(SumMethod(parts, work, passes, compiled))
    return ways


def _separate(kernel: Array, precision: float, *, whole: bool) -> list[Array] | None:
    """Take a kernel of rank 1 apart into one kernel along each axis; None if it is of higher rank.

    The lines through its largest element are the factors, but for scale. Whole numbers give whole factors.
    """
    peak = tuple(int(i) for i in np.unravel_index(np.abs(kernel).argmax(), kernel.shape))
    largest = kernel[peak]
    if kernel.ndim == 1 or largest == 0:
        return None
    lines = [np.moveaxis(kernel, axis, -1)[(*peak[:axis], *peak[axis + 1 :])] for axis in range(kernel.ndim)]
    if whole:
        factors = [line / np.gcd.reduce(line.astype(np.int64)) for line in lines]
        factors[0] = factors[0] * (largest / math.prod(f[p] for f, p in zip(factors, peak, strict=True)))
    else:
        factors = [lines[0], *(line / largest for line in lines[1:])]
    shaped = [
        np.expand_dims(f, [a for a in range(kernel.ndim) if a != axis]) for axis, f in enumerate(factors)
    ]
    allowed = 0 if whole else 2 * precision * np.abs(largest)
    return shaped if np.abs(math.prod(shaped) - kernel).max() <= allowed else None


def sum_tile(
    sum_windows: Callable[[Array, Array], bool],
    work: np.dtype[Any],
    image: PaddedImage,
    region: Region,
    out: Array,
    *,
    full: bool,
) -> bool:
    """Sum windows of a tile."""
    tile = image.tile(region, work)
    # What is not finite in a tile shows in its sums, but for pixels that have no weight.
    return sum_windows(tile, out) and (full or is_finite(tile))
