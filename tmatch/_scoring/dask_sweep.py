"""Sweeps over dask arrays: graphs whose tasks score parts of the image, where the chunks are."""

import contextlib
import itertools
import math
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tmatch._arrays.dask_array import DaskArray, Tasks, building, first_dask, intervals_of
from tmatch._arrays.lazy import LazyArray, Pieces
from tmatch._arrays.typing import Region, Shape
from tmatch._engine import execution
from tmatch._engine.progress import Resources
from tmatch._engine.tiling import Tiling
from tmatch._scoring.remote import Part, Results, Sending
from tmatch._scoring.search import Search
from tmatch._scoring.sweep import Task

_WINDOWS = 2  # sides of a window that a part has, at least
_WAVE, _WAVE_ROWS = 64, 2  # parts of a graph, at least, and rows of them: these share chunks
_TRIES = 4  # of a part, each of which has cost some workers their lives

Take = Callable[[Results], None]


def sweep_on_dask(tasks: Sequence[Task], resources: Resources) -> None:
    """Do all tasks, part by part: on the cluster whose client is dask's scheduler, or by any other scheduler."""
    sending = Sending(tasks, uuid.uuid4().hex)
    parts = _Parts(tasks)

    def take(results: Results) -> None:
        for number, found in results:
            for each in found:
                tasks[number].use(each)
                resources.progress.advance()

    waves = (_Wave(sending, list(some)) for some in _batched(iter(parts), parts.per_wave))
    client = _client()
    if client is None:
        _on_threads(waves, take, resources.workers)
    else:
        _on_cluster(client, sending, waves, take, 2 * parts.per_wave)


def _batched(parts: Iterator[Part], size: int) -> Iterator[list[Part]]:
    while some := list(itertools.islice(parts, size)):
        yield some


class _Parts:
    """Divides the blocks of tasks into parts, each of those that begin in one cell of a grid, in order of cells."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        search = tasks[0].searches[0]
        self._side = _side(_chunk_of(search), search.image[0].shape, [task.scorer.tiling for task in tasks])
        self._axes = [_by_cell(task, self._side) for task in tasks]
        maps = [task.scorer.tiling.positions for task in tasks]
        self._counts = [
            -(-max(n) // side) for n, side in zip(zip(*maps, strict=True), self._side, strict=True)
        ]
        self._chosen = [None if task.blocks is None else _cells_of(task.blocks, self._side) for task in tasks]

    @property
    def per_wave(self) -> int:
        """Number of parts that are known to the scheduler at once."""
        return max(_WAVE, _WAVE_ROWS * int(math.prod(self._counts[1:])))

    def __iter__(self) -> Iterator[Part]:
        for cell in np.ndindex(*self._counts):
            blocks: list[tuple[int, Sequence[Sequence[slice]]]] = []
            for number, (axes, chosen) in enumerate(zip(self._axes, self._chosen, strict=True)):
                if chosen is not None:
                    blocks += [(number, [[part] for part in block]) for block in chosen.get(cell, ())]
                elif all(i in axis for axis, i in zip(axes, cell, strict=True)):
                    blocks.append((number, [axis[i] for axis, i in zip(axes, cell, strict=True)]))
            if blocks:
                yield Part(blocks)


def _by_cell(task: Task, side: Shape) -> list[dict[int, list[slice]]]:
    """Return the slices of blocks on each axis, by the cells in which they begin."""
    tiling = task.scorer.tiling
    axes: list[dict[int, list[slice]]] = []
    for n, block, length in zip(tiling.positions, tiling.block, side, strict=True):
        cells: dict[int, list[slice]] = defaultdict(list)
        for start in range(0, n, block):
            cells[start // length].append(slice(start, min(start + block, n)))
        axes.append(dict(cells))
    return axes


def _cells_of(blocks: Sequence[Region], side: Shape) -> dict[tuple[int, ...], list[Region]]:
    cells: dict[tuple[int, ...], list[Region]] = defaultdict(list)
    for block in blocks:
        cells[tuple(part.start // n for part, n in zip(block, side, strict=True))].append(block)
    return cells


def _side(chunk: Shape, image: Shape, tilings: Sequence[Tiling]) -> Shape:
    """Choose the sides of parts: about those of chunks, if these are neither small nor large."""
    windows, blocks = (
        [max(sides) for sides in zip(*(getattr(tiling, name) for tiling in tilings), strict=True)]
        for name in ("window", "block")
    )
    pixels = execution.current().part_pixels
    side = [max(n, _WINDOWS * k) for n, k in zip(chunk, windows, strict=True)]
    while math.prod(side) * 2 <= pixels and any(s < n for s, n in zip(side, image, strict=True)):
        axis = min((s, i) for i, (s, n) in enumerate(zip(side, image, strict=True)) if s < n)[1]
        side[axis] *= 2
    while math.prod(side) > 2 * pixels:
        axis = side.index(max(side))
        side[axis] = -(-side[axis] // 2)
    return tuple(max(1, round(s / b)) * b for s, b in zip(side, blocks, strict=True))


def _chunk_of(search: Search) -> Shape:
    """Return the largest sides of chunks, on the axes of the image: those of channels are short."""
    found, shape = first_dask(search.image[0]), search.image[0].shape
    if found is None:
        return shape
    array, region = found
    sizes = [
        max(each) for each, part in zip(array.array.chunks, region, strict=True) if part.stop - part.start > 1
    ]
    return tuple(map(int, sizes)) if len(sizes) == len(shape) else shape


class _Wave:
    """Parts in one graph."""

    def __init__(self, sending: Sending, parts: Sequence[Part]) -> None:
        self.tasks = Tasks(f"search-{uuid.uuid4().hex}")
        with building():
            shared = self.tasks.constant((f"sent-{self.tasks.name}", 0), sending.sent)
            self.parts = {self._add(sending, number, part, shared): part for number, part in enumerate(parts)}

    def _add(self, sending: Sending, number: int, part: Part, shared: Any) -> Any:
        remote: list[tuple[int, DaskArray, Region]] = []
        local: dict[int, Pieces] = {}
        for at, region in sending.needs(part).items():
            array = sending.arrays[at]
            if isinstance(array, DaskArray):
                remote.append((at, array, region))
            else:
                local[at] = _piece(array, region)
        needs = [(array, intervals_of(region)) for _, array, region in remote]
        given = _Given([at for at, *_ in remote], local, part)
        return self.tasks.add((self.tasks.name, number), _search_part, needs, shared, given).key

    @property
    def keys(self) -> list[Any]:
        """The keys of the results."""
        return list(self.parts)


class _Given:
    """What the task of a part is given; dask does not look into it."""

    def __init__(self, numbers: Sequence[int], local: dict[int, Pieces], part: Part) -> None:
        self.numbers, self.local, self.part = numbers, local, part


def _piece(array: LazyArray, region: Region) -> Pieces:
    return Pieces(array.shape, array.dtype, [(region, array.read(region))])


def _search_part(*values: Any) -> Results:
    """Search a part: the task's function, called with pieces of dask arrays, what is sent, and what is given."""
    *pieces, sent, given = values
    arrays = dict(zip(given.numbers, pieces, strict=True)) | given.local
    results: Results = sent.search(given.part, arrays)
    return results


def _client() -> Any:
    """Return the client of a cluster if that is dask's scheduler; None if it is another one."""
    from dask.base import get_scheduler  # noqa: PLC0415

    scheduler = getattr(get_scheduler(), "__self__", None)
    return scheduler if hasattr(scheduler, "scheduler_info") else None


def _on_threads(waves: Iterator[_Wave], take: Take, workers: int | None) -> None:
    """Compute waves one after the other, by the scheduler that dask is set to."""
    import dask  # noqa: PLC0415
    from dask.callbacks import Callback  # noqa: PLC0415

    for wave in waves:
        left = set(wave.keys)

        def done(key: Any, result: Any, *_: Any, left: set[Any] = left) -> None:
            if key in left:
                left.remove(key)
                take(result)

        limit = {} if workers is None else {"num_workers": workers}
        with Callback(posttask=done), dask.config.set(limit):
            results = wave.tasks.compute(wave.keys)
        for key, result in zip(wave.keys, results, strict=True):
            if key in left:  # by a scheduler that calls nothing back
                take(result)


def _on_cluster(client: Any, sending: Sending, waves: Iterator[_Wave], take: Take, most: int) -> None:
    """Compute waves on a cluster; at most so many parts are known to it at once."""
    with contextlib.closing(_Cluster(client, sending)) as cluster:
        for wave in waves:
            cluster.submit(wave)
            while cluster.count > most:
                take(cluster.next())
        while cluster.count:
            take(cluster.next())


class _Cluster:
    """Parts that are searched on a cluster."""

    def __init__(self, client: Any, sending: Sending) -> None:
        from distributed import as_completed  # noqa: PLC0415

        self._client, self._sending = client, sending
        self._running = as_completed()
        self._parts: dict[Any, tuple[Any, Part, int]] = {}  # with futures and tries

    @property
    def count(self) -> int:
        """Number of parts that are not done."""
        return len(self._parts)

    def submit(self, wave: _Wave, tries: int = 1) -> None:
        """Have parts searched; a worker that is lost changes nothing."""
        graph = wave.tasks.graph().cull(set(wave.keys))
        futures = self._client.get(graph, wave.keys, sync=False)
        for key, future in zip(wave.keys, futures, strict=True):
            self._parts[future.key] = future, wave.parts[key], tries
            self._running.add(future)

    def next(self) -> Results:
        """Wait for the results of a part."""
        from distributed.scheduler import KilledWorker  # noqa: PLC0415

        while True:
            future = next(self._running)
            try:
                results: Results = future.result()
            except KilledWorker as error:
                _, part, tries = self._parts.pop(future.key)
                if tries == _TRIES:
                    msg = (
                        f"workers of the cluster have died one after the other, the last one as told: {error}"
                    )
                    raise OSError(msg) from error
                self.submit(_Wave(self._sending, [part]), tries + 1)
                continue
            del self._parts[future.key]
            return results

    def close(self) -> None:
        """Cancel what is not done."""
        if self._parts and self._client.status == "running":
            self._client.cancel([future for future, *_ in self._parts.values()])
        self._parts.clear()
