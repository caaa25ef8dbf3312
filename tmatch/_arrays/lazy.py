"""Arrays that are larger than memory, or not computed yet: only the parts that are asked for are read.

Code that reads an image region by region takes such an array as it takes one in memory; what needs all of it at once
asks for its `facts`, and what needs single windows for `windows_at`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NoReturn, cast

import numpy as np
from numpy.typing import DTypeLike

from tmatch._arrays.facts import Facts
from tmatch._arrays.geometry import common_part, laid_end_to_end, runs_of, within
from tmatch._arrays.typing import Array, Positions, Region, Shape

_SCANNED = 2**22  # values that are read at once to learn facts, about


class LazyArray(ABC):
    """An array that is read part by part. `shape` and `dtype` are known at once.

    `keeps` says whether what will be needed again is worth keeping while it is read: not where much is read at once,
    or where all is in memory.
    """

    shape: Shape
    dtype: np.dtype[Any]
    keeps: bool = True

    @abstractmethod
    def read(self, region: Region) -> Array:
        """Read a region inside the array, whose slices have starts and stops; the result must not be written to."""

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Read several regions, at once where that is faster."""
        return [self.read(region) for region in regions]

    def leaves(self, region: Region) -> "Iterator[tuple[LazyArray, Region]]":
        """Return the arrays that this one is made of, which are made of no others, and what of them a region needs."""
        yield self, region

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of a value."""
        return self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        """Read a region by slices with step 1, as of a NumPy array; of axes that are left out, all."""
        parts = index if isinstance(index, tuple) else (index,)
        region = tuple(
            slice(*part.indices(n)[:2])
            for part, n in zip(parts, self.shape, strict=False)
            if part.step in (None, 1)
        )
        if len(region) != len(parts):
            msg = f"{index!r} does not select a region of an array that is read in parts"
            raise IndexError(msg)
        return self.read((*region, *(slice(0, n) for n in self.shape[len(region) :])))

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        msg = f"an array of shape {self.shape} is read in parts, and not read whole unless by slices, as array[:]"
        raise TypeError(msg)

    def regions(self) -> Iterator[Region]:
        """Divide the array into regions that are read well."""
        rows = max(1, _SCANNED * self.shape[0] // max(self.size, 1))
        for start in range(0, self.shape[0], rows):
            yield (slice(start, min(start + rows, self.shape[0])), *(slice(0, n) for n in self.shape[1:]))

    def known_facts(self) -> Facts | None:
        """Return what is known of all values without reading them; None if nothing is."""
        return self.__dict__.get("facts")

    def known_facts_of(self, axis: int, number: int) -> Facts | None:  # noqa: ARG002
        """Return what is known of one channel."""
        return None

    @cached_property
    def facts(self) -> Facts:
        """What is known of all values; all of them are read if nothing is known."""
        known = self.known_facts()
        if known is not None:
            return known
        first, *others = self.regions()
        facts = Facts.of(self.read(first))
        for region in others:
            facts |= Facts.of(self.read(region))
        return facts


@dataclass(frozen=True)
class Computed(LazyArray):
    """What a function makes, value by value, of arrays of one shape.

    An increasing one makes the extremes of the results from those of its arguments; of NaN it may make anything.
    """

    sources: Sequence[LazyArray]
    function: Callable[..., Array]
    dtype: np.dtype[Any]
    increasing: bool = True

    def known_facts(self) -> Facts | None:
        """Return what follows from the facts of the sources."""
        facts = [source.known_facts() for source in self.sources]
        if not self.increasing or any(each is None for each in facts):
            return super().known_facts()
        known = [each for each in facts if each is not None]
        lows, highs = [each.low for each in known], [each.high for each in known]
        missing = [
            [*lows[:number], np.nan, *lows[number + 1 :]] for number, each in enumerate(known) if each.missing
        ]
        columns = zip(*([lows, highs] if None not in lows else []), *missing, strict=True)
        values = [
            np.array(column).astype(source.dtype)
            for column, source in zip(columns, self.sources, strict=True)
        ]
        found = Facts.of(self.function(*values))
        return replace(found, whole=self.dtype.kind in "biu" or all(each.whole for each in known))

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Shape of each source."""
        return self.sources[0].shape

    def leaves(self, region: Region) -> Iterator[tuple[LazyArray, Region]]:
        """Return those of the sources."""
        for source in self.sources:
            yield from source.leaves(region)

    @property
    def keeps(self) -> bool:  # type: ignore[override]
        """As of all sources."""
        return all(source.keeps for source in self.sources)

    def read(self, region: Region) -> Array:
        """Read a region of the sources, and compute."""
        return self.function(*(source.read(region) for source in self.sources))

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Read several regions."""
        parts = [source.read_many(regions) for source in self.sources]
        return [self.function(*each) for each in zip(*parts, strict=True)]


@dataclass(frozen=True)
class View(LazyArray):
    """What is read of another array."""

    source: LazyArray

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """The source's."""
        return self.source.dtype

    @property
    def keeps(self) -> bool:  # type: ignore[override]
        """As of the source."""
        return self.source.keeps


@dataclass(frozen=True)
class Part(View):
    """A region of another array."""

    region: Region

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Shape of the region."""
        return tuple(part.stop - part.start for part in self.region)

    def known_facts_of(self, axis: int, number: int) -> Facts | None:
        """Return what the source knows of a channel, if all of it is in the region."""
        sides = enumerate(zip(self.shape, self.source.shape, strict=True))
        if any(here != there for other, (here, there) in sides if other != axis):
            return None
        return self.source.known_facts_of(axis, number + self.region[axis].start)

    def _in_source(self, region: Region) -> Region:
        pairs = zip(region, self.region, strict=True)
        return tuple(slice(part.start + whole.start, part.stop + whole.start) for part, whole in pairs)

    def leaves(self, region: Region) -> Iterator[tuple[LazyArray, Region]]:
        """Return those of the source."""
        return self.source.leaves(self._in_source(region))

    def read(self, region: Region) -> Array:
        """Read a region of the source."""
        return self.source.read(self._in_source(region))

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Read several regions."""
        return self.source.read_many([*map(self._in_source, regions)])


@dataclass(frozen=True, eq=False)
class Whole(LazyArray):
    """An array in memory, read as if it were not: beside others that are not."""

    values: Array

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Shape of the array."""
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]
        """The array's."""
        return self.values.dtype

    def read(self, region: Region) -> Array:
        """Return a view."""
        return self.values[region]


@dataclass(frozen=True)
class Channel(View):
    """One channel of an array whose channels are along an axis."""

    axis: int
    number: int

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """Shape without the axis of channels."""
        return (*self.source.shape[: self.axis], *self.source.shape[self.axis + 1 :])

    def known_facts(self) -> Facts | None:
        """Return what the source knows of the channel."""
        return super().known_facts() or self.source.known_facts_of(self.axis, self.number)

    def _in_source(self, region: Region) -> Region:
        return (*region[: self.axis], slice(self.number, self.number + 1), *region[self.axis :])

    def leaves(self, region: Region) -> Iterator[tuple[LazyArray, Region]]:
        """Return those of the source."""
        return self.source.leaves(self._in_source(region))

    def read(self, region: Region) -> Array:
        """Read a region of the source."""
        return self.source.read(self._in_source(region)).squeeze(self.axis)

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Read several regions."""
        return [each.squeeze(self.axis) for each in self.source.read_many([*map(self._in_source, regions)])]


@dataclass(frozen=True)
class Pieces(LazyArray):
    """The parts of an array that are in memory, each with its region of the whole; others cannot be read."""

    shape: Shape
    dtype: np.dtype[Any]
    parts: Sequence[tuple[Region, Array]]
    keeps: bool = False

    def read(self, region: Region) -> Array:
        """Read a region that the parts cover."""
        result, missing = (
            np.empty([s.stop - s.start for s in region], self.dtype),
            math.prod(s.stop - s.start for s in region),
        )
        for where, values in self.parts:
            common = common_part(region, where)
            if all(part.start < part.stop for part in common):
                result[within(common, region)] = values[within(common, where)]
                missing -= math.prod(part.stop - part.start for part in common)
        if missing > 0:
            msg = f"{region} of an array of shape {self.shape} was not loaded: this is a bug in tmatch"
            raise IndexError(msg)
        return result


def as_array(lazy: LazyArray) -> Array:
    """Return an array that is read in parts, for code whose types know only NumPy's."""
    return cast("Array", lazy)


def as_lazy(array: Array | LazyArray) -> LazyArray:
    """Return an array as one that is read in parts."""
    return array if isinstance(array, LazyArray) else Whole(array)


def is_lazy(array: object) -> bool:
    """Return whether an array is read in parts."""
    return isinstance(array, LazyArray)


def facts_of(array: Array) -> Facts:
    """Return the facts of an array, which may be read in parts."""
    return array.facts if isinstance(array, LazyArray) else Facts.of(array)


def all_in(array: Array) -> bool:
    """Check whether all of some bools are True."""
    return bool(array.facts.low if isinstance(array, LazyArray) else array.all())


def any_in(array: Array) -> bool:
    """Check whether any of some bools is True."""
    return bool(array.facts.high if isinstance(array, LazyArray) else array.any())


def computed(
    function: Callable[..., Array], dtype: DTypeLike, *arrays: Array, increasing: bool = True
) -> Array:
    """Compute an array value by value from others of one shape: later and in parts, if one of them is read so."""
    if not any(map(is_lazy, arrays)):
        return function(*arrays)
    return as_array(Computed([*map(as_lazy, arrays)], function, np.dtype(dtype), increasing))


def windows_at(
    channels: Sequence[Array], positions: Positions, window: Shape
) -> tuple[tuple[Array, ...], Positions]:
    """Return arrays in memory that hold the windows at some positions, and where these begin in them.

    The channels themselves if they are in memory.
    """
    if not channels or not is_lazy(channels[0]):
        return tuple(channels), positions
    if not len(positions):
        return tuple(np.zeros(window, c.dtype) for c in channels), positions
    cells, which = np.unique(positions // np.array(window), axis=0, return_inverse=True)
    which = which.ravel()
    first = np.full(cells.shape, np.iinfo(np.intp).max, np.intp)
    last = np.zeros(cells.shape, np.intp)
    np.minimum.at(first, which, positions)
    np.maximum.at(last, which, positions)
    sides: list[int] = ((last - first).max(axis=0) + np.array(window)).tolist()
    ends = last + np.array(window)
    regions = [tuple(map(slice, corner, end)) for corner, end in np.stack([first, ends], axis=1).tolist()]
    gathered: list[Array] = []
    for channel in channels:
        stacked = np.zeros((len(regions) * sides[0], *sides[1:]), channel.dtype.newbyteorder("="))
        for number, part in enumerate(as_lazy(channel).read_many(regions)):
            stacked[
                (slice(number * sides[0], number * sides[0] + len(part)), *map(slice, part.shape[1:]))
            ] = part
        gathered.append(stacked)
    starts = positions - first[which]
    starts[:, 0] += which * sides[0]
    return tuple(gathered), starts


def gather(array: Array | LazyArray, axes: Sequence[Array]) -> tuple[Array, list[Array]]:
    """Return an array in memory with the indices of each axis that are named, and where each of these is in it.

    The array itself if it is in memory.
    """
    if not isinstance(array, LazyArray):
        return array, [*axes]
    runs = [runs_of(np.unique(indices)) for indices in axes]
    lengths = [sum(run.stop - run.start for run in each) for each in runs]
    result = np.empty(lengths, array.dtype.newbyteorder("="))
    grid = [*np.ndindex(*map(len, runs))]
    targets = [list(laid_end_to_end(each)) for each in runs]
    parts = array.read_many([tuple(each[i] for each, i in zip(runs, at, strict=True)) for at in grid])
    for at, part in zip(grid, parts, strict=True):
        result[tuple(each[i] for each, i in zip(targets, at, strict=True))] = part
    places = [np.searchsorted(np.unique(indices), indices) for indices in axes]
    return result, places
