"""Choose how a kernel is applied: all weights at once or axis by axis, by which engine."""

import functools
import math
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine import select
from tmatch._engine.interface import TapPlan

_CACHED_WEIGHTS = 2**12  # of a kernel whose factors are cached


def plan_taps(image: Array, weights: Array, work: np.dtype[Any], positions: int, *, whole: bool) -> TapPlan:
    """Choose the cheapest way to sum window times weight without transforms.

    The engine that is loaded for so much work does it, unless NumPy's own shortcuts take fewer passes.
    """
    make = _factorings if weights.size <= _CACHED_WEIGHTS else _factorings.__wrapped__
    known = make(weights.tobytes(), weights.shape, weights.dtype, work, whole)
    passes, parts = min(known, key=lambda choice: choice[0])
    chosen = select.reference()
    engine = select.choose(passes * positions) if work.kind != "c" else chosen
    for _, others in known:
        fewer = sum(engine.tap_passes(part, work) for part in others)
        if fewer < passes or (fewer == passes and chosen is not engine):
            passes, parts, chosen = fewer, others, engine
    return chosen.plan_taps(parts, work, image, full=bool(weights.all()))


@functools.lru_cache(maxsize=32)
def _factorings(
    data: bytes,
    shape: Shape,
    dtype: np.dtype[Any],
    work: np.dtype[Any],
    whole: bool,  # noqa: FBT001
) -> list[tuple[float, list[Array]]]:
    """Return the ways to write a kernel as kernels applied one after another, with the passes each takes NumPy."""
    weights = np.frombuffer(data, dtype).reshape(shape)
    factors = _separate(weights, float(np.finfo(work).eps), whole=whole)
    choices = [[weights], *([factors] if factors else [])]
    reference = select.reference()
    return [(sum(reference.tap_passes(part, work) for part in parts), parts) for parts in choices]


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
