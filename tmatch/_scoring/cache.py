"""A cache of what was computed of a template or an image."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

_MAX_CACHED = 8  # results for one template, each of which can be as large as a tile

T = TypeVar("T")


class Cache:
    """What was computed of a template or an image. Threads may share it: a race only computes twice."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Any] = {}

    def __reduce__(self) -> tuple[type["Cache"], tuple[()]]:
        """Copy and pickle without what was computed, which is bound to the engine of this process."""
        return Cache, ()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what was computed before under this key, or compute it.

        The key names all that the result depends on besides the template or the image.
        """
        try:
            return cast("T", self._made[key])
        except KeyError:
            made = make()
            if len(self._made) >= _MAX_CACHED:
                self._made.clear()
            self._made[key] = made
            return made
