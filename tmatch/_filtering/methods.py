"""Choose how a kernel is applied: all weights at once or axis by axis, and by which engine."""

import functools
import math
from typing import Any

import numpy as np

from tmatch._arrays.typing import Array, Shape
from tmatch._engine import select
from tmatch._engine.interface import TapPlan

_TRANSFORM_PASSES = 45  # approximate cost of NumPy's transforms, which replace what takes more passes
_CACHED_WEIGHTS = 2**12  # maximum size of a kernel whose factors are cached


def plan_taps(
    image: Array, weights: Array, dtype: np.dtype[Any], positions: int, *, integer: bool
) -> TapPlan:
    """Choose the cheapest method without transforms.

    The engine that is loaded for this work is used, unless NumPy's takes fewer passes.
    """
    factor = _factorings if weights.size <= _CACHED_WEIGHTS else _factorings.__wrapped__
    choices = factor(weights.tobytes(), weights.shape, weights.dtype, dtype, integer)
    passes, parts = min(choices, key=lambda choice: choice[0])
    chosen = select.reference()
    work = min(passes, _TRANSFORM_PASSES) * positions
    engine = select.choose(work) if dtype.kind != "c" else chosen
    for _, factors in choices:
        engine_passes = sum(engine.tap_passes(part, dtype) for part in factors)
        if engine_passes < passes or (engine_passes == passes and chosen is not engine):
            passes, parts, chosen = engine_passes, factors, engine
    return chosen.plan_taps(parts, dtype, image, full=bool(weights.all()))


@functools.lru_cache(maxsize=32)
def _factorings(
    data: bytes,
    shape: Shape,
    dtype: np.dtype[Any],
    work_dtype: np.dtype[Any],
    integer: bool,  # noqa: FBT001
) -> list[tuple[float, list[Array]]]:
    """Return factorings of a kernel into kernels applied one after another, with the cost of each in NumPy passes."""
    weights = np.frombuffer(data, dtype).reshape(shape)
    factors = _separate(weights, float(np.finfo(work_dtype).eps), integer=integer)
    choices = [[weights], *([factors] if factors else [])]
    reference = select.reference()
    return [(sum(reference.tap_passes(part, work_dtype) for part in parts), parts) for parts in choices]


def _separate(kernel: Array, precision: float, *, integer: bool) -> list[Array] | None:
    """Factor a kernel of rank 1 into one kernel along each axis; None if its rank is higher.

    The factors are proportional to the lines through its largest element. Integer kernels have integer factors.
    """
    peak = tuple(int(i) for i in np.unravel_index(np.abs(kernel).argmax(), kernel.shape))
    largest = kernel[peak]
    if kernel.ndim == 1 or largest == 0:
        return None
    lines = [np.moveaxis(kernel, axis, -1)[(*peak[:axis], *peak[axis + 1 :])] for axis in range(kernel.ndim)]
    if integer:
        factors = [line / np.gcd.reduce(line.astype(np.int64)) for line in lines]
        factors[0] = factors[0] * (largest / math.prod(f[p] for f, p in zip(factors, peak, strict=True)))
    else:
        factors = [lines[0], *(line / largest for line in lines[1:])]
    shaped = [
        np.expand_dims(f, [a for a in range(kernel.ndim) if a != axis]) for axis, f in enumerate(factors)
    ]
    allowed = 0 if integer else 2 * precision * np.abs(largest)
    return shaped if np.abs(math.prod(shaped) - kernel).max() <= allowed else None
