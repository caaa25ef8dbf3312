"""One image that is not read yet."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tmatch._io.decoders import FindPart
from tmatch._io.images import Pixels, name_of


@dataclass(frozen=True)
class Source:
    """One image that is not read yet.

    Parameters
    ----------
    name : str
        The path as given, of files in a folder or glob with it; "-" for stdin; "screen:1".
    read : callable
        Reads the pixels, or the part that the argument names of a large image, which may be read later. Raises OSError
        or ValueError, with a sentence that names the file, if the image cannot be read. Several threads may call it.
    page : int or None
        Page of a stack or frame of a video, counted from 0; None if the file holds a single image.
    time : float or None
        Seconds from the start of a video.
    level : int or None
        Level of a pyramid; None if none was chosen.
    """

    name: str
    read: Callable[[FindPart | None], Pixels]
    page: int | None = None
    time: float | None = None
    level: int | None = None

    @property
    def title(self) -> str:
        """The name, with the page if there are several."""
        return name_of(self.name, self.page)


def failing(name: str, error: Exception, page: int | None = None) -> Source:
    """Return a source of an image that cannot be read."""

    def fail(_: object) -> Pixels:
        raise error

    return Source(name, fail, page)


class Images(Protocol):
    """The images of a file, a video or a screen; `count` is how many are asked for, None where that is not known."""

    name: str
    count: int | None

    def __iter__(self) -> Iterator[Source]: ...

    def counted(self) -> int | None:
        """Count them, where that takes no more than to open a file."""
