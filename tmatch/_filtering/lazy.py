"""Filters of dask arrays: graphs of tasks, each of which filters a part of the image."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.channels import split_channels, with_channel_axis
from tmatch._arrays.dask_array import DaskArray, Tasks, building, facts_tasks
from tmatch._arrays.facts import Facts
from tmatch._arrays.known import Known
from tmatch._arrays.lazy import Pieces, as_array
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import select
from tmatch._engine.lazy_results import Axis, Parts, Reach, lazy_result
from tmatch._engine.targets import Target
from tmatch._engine.tiling import Tiling
from tmatch._filtering.linear import LinearFilter

if TYPE_CHECKING:
    from tmatch._arrays.dask_chunks import Intervals

_WIDE = 2**62  # a magnitude of integers of whose sums float64 is not sure


@building()
def lazily_filtered(operation: str, made: LinearFilter, image: DaskArray, *, whole: bool) -> Any:
    """Return the lazy array of an image's results; `whole` says that there is one for each pixel."""
    engine, tilings = _tilings(made, image)
    token = image.token(made, engine)
    facts, upstream = [], []
    if _needs_facts(made, image.dtype):
        before, ref = facts_tasks(image, made.axis, of_twin=True)
        facts, upstream = [ref], [before]
    tasks = Tasks(f"{operation}-tiles-{token}", *upstream)
    shared = tasks.constant((f"filter-{token}", 0), (made, engine))
    axes, parts = _axes(made, image, tilings, whole=whole)
    for index, region, pixels in parts:
        tasks.add((tasks.name, *index), _filter_part, [(image, pixels)], shared, region, *facts)
    return lazy_result(tasks, made.dtype, axes, parts)


@own_errstate
def _filter_part(
    pieces: Pieces, shared: tuple[LinearFilter, str], region: Region, facts: Sequence[Facts] | None = None
) -> Array:
    made, engine = shared
    image = pieces if facts is None else Known(pieces, facts, made.axis)
    with select.settled(engine):
        return made.apply(as_array(image), region, workers=1)


def _needs_facts(made: LinearFilter, dtype: np.dtype[Any]) -> bool:
    """Return whether something has to be known of all pixels: how large they are, or if any is missing."""
    if dtype.kind in "iu":
        return dtype.itemsize > 2
    return dtype.kind in "fc" and made.missing == "ignore"


def _tilings(made: LinearFilter, image: DaskArray) -> tuple[str, list[Tiling]]:
    """Choose an engine, and return the tilings that the results may be computed on; the first is the likeliest.

    They depend on the magnitude of integers: it decides about the precision, and whether transforms are exact enough.
    """
    facts = [Facts(0.0, 1.0, whole=False, missing=False)]
    if image.dtype.kind in "iu":
        sums = {float(np.abs(kernel).sum()) or 1.0 for kernel in made.kernels}
        single = [math.ceil(2**24 / total) + 1 for total in sums]
        facts = [Facts(0, high, whole=True, missing=False) for high in (*single, 0, _WIDE)]
    if made.missing == "ignore" and image.dtype.kind in "fc":
        facts.insert(0, Facts(0.0, 1.0, whole=False, missing=True))
    _tilings_for(made, image, facts[0])  # the work counts once for the choice of the engine
    engine = select.current()
    with select.settled(engine):
        found = [tiling for each in facts for tiling in _tilings_for(made, image, each)]
    return engine, [*dict.fromkeys(found)]


def _tilings_for(made: LinearFilter, image: DaskArray, facts: Facts) -> list[Tiling]:
    n = 1 if made.axis is None else image.shape[made.axis]
    unread = Known(Pieces(image.shape, image.dtype, []), [facts] * n, made.axis)
    planes, plane = split_channels(as_array(unread), made.axis), made.shape(image.shape)
    one = tuple(slice(0, 1) for _ in plane)
    shape: Shape = (1,) * len(plane)
    if made.axis is not None:
        shape = with_channel_axis(shape, made.axis, n)
    result = np.empty(shape, made.dtype)
    outs = [Target(part, one, plane) for part in split_channels(result, made.axis)]
    jobs, _ = made.plan(planes, outs)
    return [job.tiling for job in jobs]


def _axes(
    made: LinearFilter, image: DaskArray, tilings: Sequence[Tiling], *, whole: bool
) -> tuple[list[Axis], Parts]:
    """Return the axes of the result, and its parts."""
    axes: list[Axis] = []
    ends: list[Sequence[int]] = []
    pixels: list[list[Intervals]] = []
    chunks, sides = made.without_channels(image.chunk_ends), made.without_channels(image.shape)
    planes = zip(
        sides, chunks, made.margins, made.kernels[0].shape, made.steps, made.shape(image.shape), strict=True
    )
    for number, (n, pixel_ends, (before, _), k, step, length) in enumerate(planes):
        axis = Axis.of(pixel_ends, 0 if whole else before - k // 2, length, step)
        reach, aligned = Reach(n, before, made.border), axis.aligned(tilings[0].block[number])
        spans = [axis.positions(slice(*pair)) for pair in itertools.pairwise(aligned)]
        axes.append(axis)
        ends.append(aligned)
        pixels.append([reach.pixels(tilings, number, span) for span in spans])
    if made.axis is not None:
        n = image.shape[made.axis]
        axes.insert(made.axis, Axis(n, sorted({*image.chunk_ends[made.axis]})))
        ends.insert(made.axis, [0, n])
        pixels.insert(made.axis, [[(0, n)]])
    return axes, Parts(ends, pixels)
