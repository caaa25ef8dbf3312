"""Sweeps in other processes: what a task is sent, and what it does with its part of the image."""

import io
import itertools
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.facts import Facts
from tmatch._arrays.known import Known
from tmatch._arrays.lazy import LazyArray, Pieces, as_array, as_lazy
from tmatch._arrays.typing import Region
from tmatch._engine import execution, select
from tmatch._engine.execution import Execution
from tmatch._scoring.cache import Cache
from tmatch._scoring.planning import plan
from tmatch._scoring.search import Search
from tmatch._scoring.sweep import Blocks, Task, pixels_needed

_KEPT = 4  # sweeps of which a process keeps what was computed of their templates

Results = list[tuple[int, list[Any]]]  # of blocks, by the number of the task


@dataclass(frozen=True)
class Part:
    """Blocks that are near each other: of some tasks, by their numbers, all combinations of slices on each axis."""

    blocks: Sequence[tuple[int, Sequence[Sequence[slice]]]]

    @property
    def extents(self) -> Iterator[tuple[int, Region]]:
        """The positions of all blocks of each task, as regions."""
        for number, axes in self.blocks:
            yield number, tuple(slice(each[0].start, each[-1].stop) for each in axes)


@dataclass(frozen=True)
class Sent:
    """Tasks as they are sent to other processes, without the pixels of images.

    `arrays` are the places of those in `pickled`, and `facts` what is known of all their values.
    """

    token: str
    pickled: bytes
    facts: Sequence[Facts | None]
    visits: Sequence[tuple[int, tuple[int, ...], Callable[[Any, Region], Any], bool]]
    policy: Execution = field(default_factory=select.policy)

    @own_errstate
    def search(self, part: Part, arrays: Mapping[int, Pieces]) -> Results:
        """Visit the blocks of a part, on this thread; of each array there is what it needs."""
        with execution.settled(self.policy):
            plans: dict[int, dict[tuple[int, ...], Any]] = {}
            lists = _load(self, arrays)
            results: Results = []
            for number, axes in part.blocks:
                which, templates, visit, is_scored = self.visits[number]
                if is_scored and which not in plans:
                    plans[which] = {tuple(scorer.templates): scorer for scorer in plan(lists[which])}
                subject = plans[which][templates] if is_scored else lists[which][templates[0]]
                results.append((number, [visit(subject, block) for block in itertools.product(*axes)]))
            return results


class Sending:
    """Tasks that are to be sent, and the arrays that they read."""

    def __init__(self, tasks: Sequence[Task], token: str) -> None:
        self.tasks, self._token = tasks, token
        lists = {id(task.searches): task.searches for task in tasks}
        self._lists = [[_without_cache(search) for search in searches] for searches in lists.values()]
        self._which = {key: number for number, key in enumerate(lists)}
        self._numbers: dict[int, int] = {}
        self.arrays: list[LazyArray] = []
        for search in itertools.chain(*self._lists):
            for channel in _channels(search):
                for leaf, _ in channel.leaves(tuple(slice(0, n) for n in channel.shape)):
                    if id(leaf) not in self._numbers:
                        self._numbers[id(leaf)] = len(self.arrays)
                        self.arrays.append(leaf)

    def needs(self, part: Part) -> dict[int, Region]:
        """Return the region of each array from which the blocks of a part are computed."""
        needs: dict[int, Region] = {}
        for number, extent in part.extents:
            task = self.tasks[number]
            search = task.searches[task.scorer.templates[0]]
            pixels = pixels_needed(search, task.scorer.tiling, extent)
            for channel in self._sources[self._which[id(task.searches)]]:
                for leaf, region in channel.leaves(pixels):
                    at = self._numbers[id(leaf)]
                    needs[at] = _both(needs[at], region) if at in needs else region
        return needs

    @cached_property
    def _sources(self) -> list[list[LazyArray]]:
        """The channels of the image of each list of searches, and which of its pixels are valid."""
        return [
            list({id(c): c for search in each for c in _channels(search)}.values()) for each in self._lists
        ]

    @cached_property
    def sent(self) -> Sent:
        """What is sent once for all parts."""
        buffer = io.BytesIO()
        _Pickler(buffer, self._numbers, self._lists).dump(self._lists)
        visits = [
            (
                self._which[id(t.searches)],
                tuple(t.scorer.templates),
                t.visit,
                not isinstance(t.scorer, Blocks),
            )
            for t in self.tasks
        ]
        facts = [array.known_facts() for array in self.arrays]
        return Sent(self._token, buffer.getvalue(), facts, visits)


def _without_cache(search: Search) -> Search:
    """Return a search that holds of its image no more than the arrays."""
    valid = None if search.valid is None else as_array(as_lazy(search.valid))
    return replace(search, valid=valid, image_cache=Cache(), unfiltered=None)


def _channels(search: Search) -> list[LazyArray]:
    arrays = [*search.image] if search.valid is None else [*search.image, search.valid]
    return [as_lazy(array) for array in arrays]


def _both(one: Region, other: Region) -> Region:
    """Return the region that holds both."""
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))


class _Pickler(pickle.Pickler):
    """Pickles searches; in place of arrays that are read in parts, and of what is kept of templates, their numbers."""

    def __init__(
        self, file: io.BytesIO, arrays: Mapping[int, int], lists: Sequence[Sequence[Search]]
    ) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._arrays = arrays
        self._caches = {id(search.cache): i for i, search in enumerate(itertools.chain(*lists))}

    def persistent_id(self, obj: Any) -> tuple[str, int] | None:
        """Return the number of what is not pickled."""
        if isinstance(obj, LazyArray) and id(obj) in self._arrays:
            return "array", self._arrays[id(obj)]
        if isinstance(obj, Cache) and id(obj) in self._caches:
            return "cache", self._caches[id(obj)]
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: Mapping[int, LazyArray], caches: dict[int, Cache]) -> None:
        super().__init__(file)
        self._arrays, self._caches = arrays, caches

    def persistent_load(self, pid: tuple[str, int]) -> Any:
        """Return an array, or what this process keeps of a template."""
        kind, number = pid
        return self._arrays[number] if kind == "array" else self._caches.setdefault(number, Cache())


_caches: OrderedDict[str, dict[int, Cache]] = OrderedDict()
_lock = threading.Lock()


def _load(sent: Sent, arrays: Mapping[int, Pieces]) -> list[list[Search]]:
    """Return the searches with the pieces of arrays that a task has."""
    with _lock:
        caches = _caches.setdefault(sent.token, {})
        _caches.move_to_end(sent.token)
        while len(_caches) > _KEPT:
            _caches.popitem(last=False)
    known = {
        number: pieces if (facts := sent.facts[number]) is None else Known(pieces, [facts])
        for number, pieces in arrays.items()
    }
    lists: list[list[Search]] = _Unpickler(io.BytesIO(sent.pickled), known, caches).load()
    return lists
