"""Arrays that are read in parts, of which some facts are known before."""

import functools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tmatch._arrays.facts import Facts
from tmatch._arrays.lazy import LazyArray, View
from tmatch._arrays.typing import Array, Region, Shape


@dataclass(frozen=True, eq=False)
class Known(View):
    """An array of whose channels, along an axis, some facts are known; of all values if there is no axis."""

    of_channels: Sequence[Facts]
    axis: int | None = None

    @property
    def shape(self) -> Shape:  # type: ignore[override]
        """The source's."""
        return self.source.shape

    def known_facts(self) -> Facts:
        """Return what is known of all channels together."""
        return functools.reduce(operator.or_, self.of_channels)

    def known_facts_of(self, axis: int, number: int) -> Facts | None:
        """Return what is known of one channel."""
        return self.of_channels[number] if axis == self.axis else None

    def leaves(self, region: Region) -> Iterator[tuple[LazyArray, Region]]:
        """Return those of the source."""
        return self.source.leaves(region)

    def read(self, region: Region) -> Array:
        """Read a region of the source."""
        return self.source.read(region)

    def read_many(self, regions: Sequence[Region]) -> list[Array]:
        """Read several regions."""
        return self.source.read_many(regions)
