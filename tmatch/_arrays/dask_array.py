"""Arrays of dask: read in parts, and graphs of tasks each of which gets the parts of arrays that it needs.

Such a graph is built as a plain dictionary: dask's own indexing would take a hundred times as long for each task.
"""

import bisect
import contextlib
import gc
import itertools
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from tmatch._arrays.dask_chunks import KEPT_SHARE, Chunks, Intervals
from tmatch._arrays.dask_twin import twin
from tmatch._arrays.facts import Facts
from tmatch._arrays.lazy import LazyArray, Pieces
from tmatch._arrays.typing import Array, Region, Shape

Key = str | tuple[Any, ...]  # of tuples the first item is a string

_MERGED = 16  # results that a task merges


def is_dask(array: object) -> bool:
    """Return whether an array is dask's; dask is not imported for that."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(array, module.Array)


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Pause the garbage collector while a graph is built, in a third of the time.

    It would look at all tasks over and over, and none is garbage. At the end they count as old, as what it has seen.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():  # of others, who want it to stay
                gc.freeze()
                gc.unfreeze()
            gc.enable()


@dataclass(frozen=True, eq=False)
class DaskArray(LazyArray):
    """An array of dask, whose chunks have known sizes. `name` is that of the argument."""

    array: Any
    name: str = "image"
    keeps: bool = False

    def __post_init__(self) -> None:
        from dask.array.utils import meta_from_array  # noqa: PLC0415

        if any(math.isnan(n) for n in self.array.shape):
            msg = f"`{self.name}` has chunks of unknown sizes; call its method compute_chunk_sizes() first"
            raise ValueError(msg)
        if np.ma.isMaskedArray(meta_from_array(self.array)):
            msg = (
                f"`{self.name}` has chunks that are masked arrays; fill them first, for instance with "
                "dask.array.ma.filled"
            )
            raise TypeError(msg)

    @cached_property
    def shape(self) -> Shape:  # type: ignore[override]
        """The array's."""
        return tuple(map(int, self.array.shape))

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """The array's."""
        dtype: np.dtype[Any] = self.array.dtype
        return dtype

    def regions(self) -> Iterator[Region]:
        """Return the chunks that are not empty."""
        return itertools.product(*([part for _, part in axis] for axis in self._filled))

    def keys(self) -> Iterator[Any]:
        """Return the keys of the chunks that are not empty."""
        return itertools.product(
            [self.array.name], *([number for number, _ in axis] for axis in self._filled)
        )

    @property
    def _filled(self) -> list[list[tuple[int, slice]]]:
        """Number and pixels of the chunks on each axis that are not empty."""
        axes = (enumerate(itertools.pairwise(ends)) for ends in self.chunk_ends)
        return [[(number, slice(a, b)) for number, (a, b) in axis if a < b] for axis in axes]

    def read(self, region: Region) -> Array:
        """Compute a region."""
        return self.read_many([region])[0]

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Compute several regions at once: by one task those that begin in one chunk."""
        numbers: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, region in enumerate(regions):
            pairs = zip(self.chunk_ends, region, strict=True)
            numbers[tuple(bisect.bisect_right(ends, part.start) for ends, part in pairs)].append(number)
        tasks, keys = Tasks(f"read-{self.token(regions)}"), []
        for group, which in enumerate(numbers.values()):
            some = [regions[number] for number in which]
            needs = [(self, intervals_of(_hull(some)))]
            keys.append(tasks.add((tasks.name, group), _read_regions, needs, some).key)
        results: dict[int, Array] = {}
        for which, found in zip(numbers.values(), tasks.compute(keys), strict=True):
            results |= zip(which, found, strict=True)
        return [results[number] for number in range(len(regions))]

    @cached_property
    def facts(self) -> Facts:
        """What is known of all values; found block by block, and no block is held."""
        tasks, ref = facts_tasks(self, None)
        [[facts]] = tasks.compute([ref.key])
        return facts  # type: ignore[no-any-return]

    def twin(self, seed: str) -> "DaskArray":
        """Return an array with the same chunks, that are computed by tasks of their own."""
        return replace(self, array=twin(self.array, seed))

    def token(self, *others: Any) -> str:
        """Return a token of the array and of what is made of it."""
        from dask.base import tokenize  # noqa: PLC0415

        return str(tokenize(self.array.name, *others))

    @cached_property
    def chunk_ends(self) -> list[list[int]]:
        """Where chunks begin on each axis, and where the last one ends."""
        return [[0, *itertools.accumulate(map(int, sizes))] for sizes in self.array.chunks]


def first_dask(array: Array | LazyArray) -> tuple[DaskArray, Region] | None:
    """Return the first dask array that an array is made of, and its region; None if there is none."""
    if isinstance(array, LazyArray):
        for leaf, region in array.leaves(tuple(slice(0, n) for n in array.shape)):
            if isinstance(leaf, DaskArray):
                return leaf, region
    return None


def is_on_dask(array: Array | LazyArray) -> bool:
    """Return whether an array is made of a dask array."""
    return first_dask(array) is not None


def intervals_of(region: Region) -> list[Intervals]:
    """Return the intervals of a region that is one piece."""
    return [[(part.start, part.stop)] for part in region]


def _hull(regions: Sequence[Region]) -> Region:
    """Return the smallest region that holds all of some."""
    return tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*regions, strict=True)
    )


def _read_regions(pieces: Pieces, regions: Sequence[Region]) -> list[Array]:
    return [pieces.read(region) for region in regions]


def read_region(pieces: Pieces, region: Region) -> Array:
    """Read a region of pieces: what a task can do."""
    return pieces.read(region)


def facts_tasks(array: DaskArray, axis: int | None, *, of_twin: bool = False) -> tuple["Tasks", Any]:
    """Return tasks that find the facts of the channels along an axis, or of all values, and the reference to them.

    `of_twin`: of an array that is read in the same graph, too, after these are known.
    """
    tasks = Tasks(f"facts-{array.token(axis, of_twin)}")
    source = array.twin("facts") if of_twin else array
    n = 1 if axis is None else array.shape[axis]
    tasks.add(
        (tasks.name, 0), _in_order, [], tasks.reduce(source, _facts_of_chunk, _merged_facts, axis), range(n)
    )
    return tasks, tasks.ref((tasks.name, 0))


def _facts_of_chunk(pieces: Pieces, axis: int | None) -> dict[int, Facts]:
    [(region, values)] = pieces.parts
    if axis is None:
        return {0: Facts.of(values)}
    numbers = range(region[axis].start, region[axis].stop)
    return dict(zip(numbers, map(Facts.of, np.moveaxis(values, axis, 0)), strict=True))


def _merged_facts(some: Sequence[dict[int, Facts]]) -> dict[int, Facts]:
    merged: dict[int, Facts] = {}
    for facts in some:
        merged |= {number: merged.get(number, each) | each for number, each in facts.items()}
    return merged


def _in_order(facts: dict[int, Facts], numbers: range) -> list[Facts]:
    return [facts[number] for number in numbers]


class Tasks:
    """Tasks on parts of dask arrays, that become one layer of a graph; `upstream` is what else they may refer to.

    The layer's name, which is that of the array if the results are chunks of one, is a part of its other keys.
    """

    def __init__(self, name: str, *upstream: "Tasks") -> None:
        from dask import task_spec  # noqa: PLC0415

        self._spec: Any = task_spec
        self.name, self._cut_name, self._upstream = name, f"cut-{name}", upstream
        self._made: dict[Any, Any] = {}
        self._arrays: dict[str, Any] = {}
        self._chunks: dict[str, Chunks] = {}

    def add(
        self,
        key: Key,
        function: Callable[..., Any],
        needs: Sequence[tuple[DaskArray, Sequence[Intervals]]],
        *args: Any,
    ) -> Any:
        """Add a task that calls a function with the pieces that it needs of each array, and then `args`.

        Needed are, for each axis, some intervals, in order and apart, and all pixels that are in one on every axis. An
        argument may be a reference to another task's result, as is returned. Large ones should be made `constant`.
        """
        layouts, parts = [], []
        for array, intervals in needs:
            regions, refs = self._pieces(array, intervals)
            layouts.append((array.shape, array.dtype, regions))
            parts += refs
        return self._add(key, _call, function, layouts, len(args), *args, *parts)

    def constant(self, key: Key, value: Any) -> Any:
        """Add a value that tasks share, and return the reference to it; each worker gets it once."""
        self._made[key] = self._spec.DataNode(key, value)
        return self._spec.TaskRef(key)

    def reduce(
        self,
        array: DaskArray,
        function: Callable[..., Any],
        merge: Callable[[Sequence[Any]], Any],
        *args: Any,
    ) -> Any:
        """Add tasks that call a function with each chunk, the only one of its pieces, and merge the results."""
        self._source(array)
        chunks = zip(array.regions(), map(self._spec.TaskRef, array.keys()), strict=True)
        shape, dtype, count, name = array.shape, array.dtype, len(args), f"chunk-{self.name}"
        refs = [
            self._add((name, number), _call, function, [(shape, dtype, [region])], count, *args, ref)
            for number, (region, ref) in enumerate(chunks)
        ]
        return self.merged(refs, merge)

    def merged(self, refs: Sequence[Any], merge: Callable[[Sequence[Any]], Any]) -> Any:
        """Add tasks that merge results in their order, some at a time; return the reference to the last one."""
        level = 0
        while level == 0 or len(refs) > 1:
            level += 1
            groups = [refs[start : start + _MERGED] for start in range(0, len(refs), _MERGED)]
            refs = [
                self._add((f"merge-{self.name}", level, number), _merge, merge, *group)
                for number, group in enumerate(groups)
            ]
        return refs[0]

    def ref(self, key: Key) -> Any:
        """Return the reference to the result of a task."""
        return self._spec.TaskRef(key)

    def _add(self, key: Key, function: Callable[..., Any], *args: Any) -> Any:
        self._made[key] = self._spec.Task(key, function, *args)
        return self._spec.TaskRef(key)

    def _source(self, array: DaskArray) -> Chunks:
        name = array.array.name
        if name not in self._arrays:
            self._arrays[name] = array.array
            self._chunks[name] = Chunks(name, array.chunk_ends, array.itemsize)
        return self._chunks[name]

    def _pieces(self, array: DaskArray, intervals: Sequence[Intervals]) -> tuple[list[Region], list[Any]]:
        """Return the regions of the pieces that are needed, and references to them."""
        source = self._source(array)
        refs, regions, made, task, ref_to = [], [], self._made, self._spec.Task, self._spec.TaskRef
        for key, whole, region, inside, kept, sizes in source.parts(intervals):
            share = math.prod(kept)
            if share <= KEPT_SHARE and (1 - share) * math.prod(sizes) >= source.left:
                cut = (self._cut_name, len(made))
                made[cut] = task(cut, _cut, ref_to(key), inside)
                refs.append(ref_to(cut))
                regions.append(region)
            else:
                refs.append(ref_to(key))
                regions.append(whole)
        return regions, refs

    def graph(self) -> Any:
        """Return the graph of these tasks, and of all that they need."""
        from dask.highlevelgraph import HighLevelGraph, MaterializedLayer  # noqa: PLC0415

        arrays = [*self._arrays.values()]
        below = HighLevelGraph.merge(
            *(array.dask for array in arrays), *(each.graph() for each in self._upstream)
        )
        needed = {layer for array in arrays for layer in array.__dask_layers__()}
        needed |= {each.name for each in self._upstream}
        return HighLevelGraph(
            {**below.layers, self.name: MaterializedLayer(self._made)},
            {**below.dependencies, self.name: needed},
        )

    def compute(self, keys: Sequence[Key]) -> list[Any]:
        """Compute the results of some tasks at once, by the scheduler that dask is set to."""
        from dask.base import compute  # noqa: PLC0415
        from dask.delayed import Delayed  # noqa: PLC0415

        graph = self.graph()
        return list(compute(*(Delayed(key, graph, layer=self.name) for key in keys)))


def _cut(chunk: Array, region: Region) -> Array:
    """Copy a part of a chunk, which need not be kept for it."""
    return np.array(chunk[region])


def _call(
    function: Callable[..., Any],
    layouts: Sequence[tuple[Shape, np.dtype[Any], Sequence[Region]]],
    count: int,
    *values: Any,
) -> Any:
    """Call a function with pieces of arrays and `count` arguments; these come first in `values`, then the pieces."""
    parts = iter(values[count:])
    pieces = [
        Pieces(shape, dtype, [(region, np.asarray(next(parts))) for region in regions])
        for shape, dtype, regions in layouts
    ]
    return function(*pieces, *values[:count])


def _merge(merge: Callable[[Sequence[Any]], Any], *results: Any) -> Any:
    return merge(results)
