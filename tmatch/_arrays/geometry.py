"""Shapes of score maps and filter results; positions on them, and pixels of windows.

Margins are the numbers of pixels, before and after, by which windows reach beyond an image on each axis.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tmatch._arrays.options import Output
from tmatch._arrays.typing import Array, Region, Shape

Margins = list[tuple[int, int]]


def valid_shape(shape: Shape, window: Shape) -> Shape:
    """Count the positions on each axis at which a window lies inside an array."""
    return tuple(n - k + 1 for n, k in zip(shape, window, strict=True))


def output_margins(window: Shape, output: Output, centre: Sequence[int] | None = None) -> Margins:
    """Find the margins for windows with this centre; None for element ``n // 2``."""
    if output == "valid":
        return [(0, 0) for _ in window]
    if output == "full":
        return [(n - 1, n - 1) for n in window]
    centre = [n // 2 for n in window] if centre is None else centre
    return [(c, n - 1 - c) for c, n in zip(centre, window, strict=True)]


def start_of(position: Sequence[int], margins: Margins) -> tuple[int, ...]:
    """Return the first pixel of the window at a position of a map."""
    return tuple(int(p) - before for p, (before, _) in zip(position, margins, strict=True))


def position_of(start: Sequence[int], margins: Margins) -> tuple[int, ...]:
    """Return the position on a map of the window that starts at a pixel."""
    return tuple(int(s) + before for s, (before, _) in zip(start, margins, strict=True))


def describe_shape(shape: Iterable[int]) -> str:
    """Write a shape as sides, as in 480 x 640."""
    return " x ".join(map(str, shape))


def runs_of(indices: Array) -> list[slice]:
    """Divide sorted indices into runs without gaps."""
    breaks = np.flatnonzero(np.diff(indices) > 1) + 1
    return [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(indices, breaks)]


def laid_end_to_end(runs: Sequence[slice]) -> Iterator[slice]:
    """Return where runs lie if they are laid end to end."""
    start = 0
    for run in runs:
        yield slice(start, start := start + run.stop - run.start)


def common_part(first: Region, second: Region) -> Region:
    """Return what two regions have in common; a slice that stops before it starts if that is nothing."""
    pairs = zip(first, second, strict=True)
    return tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in pairs)


def contains(outer: Region, region: Region) -> bool:
    """Check whether a region lies in another one."""
    return all(a.start <= b.start and b.stop <= a.stop for a, b in zip(outer, region, strict=True))


def within(region: Region, outer: Region) -> Region:
    """Count a region from the corner of another one."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(region, outer, strict=True))
