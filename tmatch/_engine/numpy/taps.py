"""Correlate a tile with small kernels by summing weighted shifted copies."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tmatch._arrays.finite import is_finite
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine.interface import TapPlan
from tmatch._engine.numpy.sliding import as_windows, steps_of, sweep

_MAX_ROW_TAPS = 9  # np.correlate unrolls its loop up to this length, and is slow from 12 on
_MAX_COUNTED_TAPS = 84  # with more, transforms are cheaper anyway


def tap_passes(weights: Array, dtype: np.dtype[Any]) -> float:
    """Return the cost of summing weighted shifted copies of a tile, in passes."""
    if _is_box(weights):
        return 2 * math.log2(weights.size) + 1
    single = dtype in (np.float32, np.complex64)
    return min(_passes_by_weight(weights), _passes_by_row(weights, single=single))


def plan_taps(parts: Sequence[Array], dtype: np.dtype[Any], image: Array, *, full: bool) -> TapPlan:  # noqa: ARG001
    """Plan to correlate with one kernel after another, on a copy of each tile."""
    sum_windows = functools.partial(sum_tile, functools.partial(_correlate_by_parts, parts), dtype, full=full)
    return TapPlan(sum(tap_passes(part, dtype) for part in parts), sum_windows)


def sum_tile(
    sum_windows: Callable[[Array, Array], bool],
    dtype: np.dtype[Any],
    image: PaddedImage,
    region: Region,
    out: Array,
    *,
    full: bool,
) -> bool:
    """Read a tile and sum its windows; return whether sums and pixels are finite."""
    tile = image.tile(region, dtype)
    # Sums show any pixel that is not finite, except those of zero weight.
    return sum_windows(tile, out) and (full or is_finite(tile))


def _passes_by_weight(weights: Array) -> float:
    count = np.count_nonzero(weights)
    if count > _MAX_COUNTED_TAPS:
        return float(count)
    return float(count + len(np.unique(np.abs(weights[weights != 0]))))


def _passes_by_row(weights: Array, *, single: bool) -> float:
    """Return the measured cost of `np.correlate`, which sums a short row of real weights in one call."""
    if weights.dtype.kind == "c" or weights.shape[-1] == 1:
        return math.inf
    taps = min(weights.shape[-1], _MAX_ROW_TAPS)
    rows = weights.size // weights.shape[-1] * -(-weights.shape[-1] // _MAX_ROW_TAPS)
    return float(rows * (1 + (max(7.0, 1.5 * taps) if single else 0.8 * taps)))


def _is_box(weights: Array) -> bool:
    """Return whether a kernel is a constant along one axis, of more than 3 weights."""
    return 3 < weights.size == max(weights.shape) and bool((weights == weights.flat[0]).all())


def _correlate_by_parts(parts: Sequence[Array], tile: Array, out: Array) -> bool:
    """Correlate with one kernel after another."""
    line, steps = tile.ravel(), steps_of(tile.shape)
    for weights in parts:
        if _is_box(weights):
            step = steps[weights.shape.index(weights.size)]
            line = sweep(line, weights.size, step, np.add) * line.dtype.type(weights.flat[0])
        else:
            line = _sum_line(line, weights, steps)
    window = tuple(n - m + 1 for n, m in zip(tile.shape, out.shape, strict=True))
    out[...] = as_windows(line, tile.shape, window)
    return is_finite(out)


def _sum_line(line: Array, weights: Array, steps: Sequence[int]) -> Array:
    """Sum weighted shifted copies of a line; `steps` are the shifts between neighbouring weights on each axis."""
    size = line.size - _span(weights.shape, steps)
    if _passes_by_row(weights, single=line.dtype == np.float32) < _passes_by_weight(weights):
        total = np.zeros(size, line.dtype)
        for position, taps in _rows(weights.astype(line.dtype)):
            start = sum(p * step for p, step in zip(position, steps, strict=True))
            total += np.correlate(line[start : start + size + len(taps) - 1], taps)
        return total
    shifts = np.argwhere(weights) @ np.array(steps)
    return _sum_shifted(line, shifts, weights[weights != 0], size)


def _rows(weights: Array) -> list[tuple[tuple[int, ...], Array]]:
    """Divide a kernel into short rows along its last axis, each with its position; omit rows of zeros."""
    pieces = []
    for lead in np.ndindex(weights.shape[:-1]):
        for start in range(0, weights.shape[-1], _MAX_ROW_TAPS):
            taps = weights[lead][start : start + _MAX_ROW_TAPS]
            if taps.any():
                pieces.append(((*lead, start), taps))
    return pieces


def _span(shape: Shape, steps: Sequence[int]) -> int:
    """Return the distance on the line between the first and the last element of a window."""
    return sum((k - 1) * step for k, step in zip(shape, steps, strict=True))


def _sum_shifted(line: Array, shifts: Array, weights: Array, size: int) -> Array:
    """Sum weighted shifted copies of a line; copies of equal or opposite weight are combined before multiplying."""
    copies = [line[shift : shift + size] for shift in shifts.tolist()]
    groups: dict[complex, list[int]] = {}
    for i, weight in enumerate(weights.tolist()):
        groups.setdefault(-weight if -weight in groups else weight, []).append(i)
    total, term = np.zeros_like(copies[0]) if copies else np.zeros(size, line.dtype), None
    for weight, members in groups.items():
        first, *others = members
        if others:
            term = np.add(copies[first], 0, out=term)
            for i in others:
                (np.add if weights[i] == weight else np.subtract)(term, copies[i], out=term)
            if weight != 1:
                term *= line.dtype.type(weight)
        else:
            term = np.multiply(copies[first], line.dtype.type(weight), out=term)
        total += term
    return total
