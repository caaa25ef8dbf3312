"""Summaries of score maps, in NumPy operations. `interface.Engine` describes each function."""

import functools

import numpy as np

from tmatch._arrays.typing import Array, Positions, Shape
from tmatch._engine.numpy import maxima


def candidates(scores: Array, floor: float, slack: float) -> Positions:
    """Find positions that reach the floor and that no neighbour exceeds by more than the slack."""
    return maxima.candidates(scores, floor, slack)[0]


def summarise(scores: Array, norms: Array, leads: Shape, size: Shape) -> Array:
    """Summarise scores in cells: maximum, negated minimum, sum of squares, count, positions of both extrema."""
    valid = norms > 0
    valid_scores = scores if valid.all() else np.where(valid, scores, 0)
    highest, highest_at = _find_maxima(valid_scores, leads, size)
    lowest, lowest_at = _find_maxima(-valid_scores, leads, size)
    squares = _reduce_cells(np.add, np.square(valid_scores), leads, size)[-1]
    count = _reduce_cells(np.add, valid.astype(np.float32), leads, size)[-1]
    parts = (highest, lowest, squares, count, highest_at, lowest_at)
    out = np.stack([part.astype(np.float64) for part in parts])
    out[4:][~(out[:2] > 0)] = 0
    np.maximum(out[:2], 0, out=out[:2])
    return out


def _find_maxima(values: Array, leads: Shape, size: Shape) -> tuple[Array, Array]:
    """Find the maximum of each cell and its position, the first of equal ones column by column."""
    stages = _reduce_cells(np.maximum, values, leads, size)
    grids: list[Array] = [*np.indices(stages[-1].shape, sparse=True)]
    cells = [grid[..., None] for grid in grids]
    found: list[Array] = []  # the indices on the axes from this one on
    for axis in reversed(range(values.ndim)):
        n, side = values.shape[axis], size[axis]
        starts = np.unique(np.append(0, np.arange(leads[axis], n, side)))
        members = np.minimum(starts[:, None] + np.arange(side), np.append(starts[1:], n)[:, None] - 1)
        here = members.reshape(*(-1 if a == axis else 1 for a in range(values.ndim)), side)
        among = stages[axis][(*cells[:axis], here, *(axis_index[..., None] for axis_index in found))]
        first = among.argmax(axis=-1)[..., None]
        found.insert(0, np.take_along_axis(np.broadcast_to(here, among.shape), first, axis=-1)[..., 0])
    return stages[-1], np.ravel_multi_index(tuple(found), values.shape, order="F")


def _reduce_cells(ufunc: np.ufunc, values: Array, leads: Shape, size: Shape) -> list[Array]:
    """Reduce the values of each cell axis by axis, many times faster than `reduceat`; return all stages."""
    stages = [values]
    for axis, (lead, side) in enumerate(zip(leads, size, strict=True)):
        moved = np.moveaxis(stages[-1], axis, 0)
        lead = min(lead, len(moved))  # noqa: PLW2901
        end = lead + (len(moved) - lead) // side * side
        pieces = [moved[lead:end].reshape(-1, side, *moved.shape[1:])]
        pieces += [moved[None, a:b] for a, b in ((0, lead), (end, len(moved))) if b > a]
        reduced = [functools.reduce(ufunc, np.moveaxis(piece, 1, 0)) for piece in pieces if len(piece)]
        order = [*reduced[1:2], reduced[0], *reduced[2:]] if lead and end > lead else reduced
        stages.append(np.moveaxis(np.concatenate(order), 0, axis))
    return stages


def merge_summary(
    summary: Array,
    start: Shape,
    part: Shape,
    whole: tuple[Shape, Shape],
    extrema: Array,
    places: Array,
    sums: Array,
) -> None:
    """Merge the summary of a block into that of the whole map, in place."""
    map_shape, size = whole
    ends = zip(start, size, summary.shape[1:], strict=True)
    at = slice(None), *(slice(s // n, s // n + k) for s, n, k in ends)
    sums[at] += summary[2:4]
    high, place = summary[:2].astype(np.float32), _places(summary[4:], start, part, map_shape)
    old_high, old_place = extrema[at], places[at]
    better = (high > old_high) | ((high == old_high) & (place < old_place))
    np.copyto(old_high, high, where=better)
    np.copyto(old_place, place, where=better, casting="unsafe")


def _places(local: Array, start: Shape, part: Shape, whole: Shape) -> Array:
    """Convert indices into a part of an array to indices into the whole; both column-major, in float64."""
    places, stride, whole_stride = local + start[0], 1, 1
    for n, n_of_all, first in zip(part, whole, start[1:], strict=False):
        stride *= n  # of the next axis
        places += np.floor(local / stride) * (n_of_all - n) * whole_stride + first * n_of_all * whole_stride
        whole_stride *= n_of_all
    return places


def ring_sums(values: Array, inner: int, outer: int) -> Array:
    """Sum the values in a ring around each; none is below 0."""
    return np.asarray(np.maximum(_box_sums(values, outer) - _box_sums(values, inner), 0))


def variance_in_ring(sums: Array, free: Array, inner: int, outer: int, local: float) -> Array:
    """Average the squared scores in a ring around each cell, of free cells, and of the whole map."""
    counted = sums * free
    squares, count = counted.reshape(2, -1).sum(axis=1).tolist()
    everywhere = squares / max(count, 1)
    rings = ring_sums(counted if free.all() else np.concatenate([counted, sums[1:]]), inner, outer)
    ring_squares, ring_count, full = rings[0], rings[1], rings[-1]
    known = ring_count >= 0.5
    near = np.where(known, ring_squares / np.maximum(ring_count, 1), everywhere)
    weight = local * np.where(known, np.clip(ring_count / np.maximum(full, 1), 0, 1), 0)
    return np.asarray(weight * near + (1 - weight) * everywhere)


def _box_sums(values: Array, reach: int) -> Array:
    for axis in range(1, values.ndim):
        n = values.shape[axis]
        total = np.concatenate([np.zeros_like(np.take(values, [0], axis)), np.cumsum(values, axis)], axis)
        ends = np.minimum(np.arange(n) + reach + 1, n), np.maximum(np.arange(n) - reach, 0)
        values = np.take(total, ends[0], axis) - np.take(total, ends[1], axis)
    return values


def with_neighbours(values: Array, largest: bool) -> Array:  # noqa: FBT001
    """Return the sum or maximum of each value and its neighbours, in arrays of any dimension."""
    ufunc = np.maximum if largest else np.add
    for axis in range(1, values.ndim):
        first, last = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        combined = values.copy()
        ufunc(combined[last], values[first], out=combined[last])
        ufunc(combined[first], values[last], out=combined[first])
        values = combined
    return values
