"""One image that is not read yet."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
    elsewhere : bool
        Another process that sees the same files can read it.
    """

    name: str
    read: Callable[[FindPart | None], Pixels]
    page: int | None = None
    time: float | None = None
    level: int | None = None
    elsewhere: bool = False

    @property
    def title(self) -> str:
        """The name, with the page if there are several."""
        return name_of(self.name, self.page)


def failing(name: str, error: Exception, page: int | None = None) -> Source:
    """Return a source of an image that cannot be read."""
    return Source(name, functools.partial(_fail, error), page)


def portable(source: Source, find_part: FindPart | None) -> Source:
    """Return a source that can be pickled, and read by another process; what only this one can read is read now."""
    if source.elsewhere:
        return source
    try:
        read = functools.partial(held, source.read(find_part))
    except (OSError, ValueError, MemoryError) as error:
        read = functools.partial(_fail, error)
    return replace(source, read=read)


def held(pixels: Pixels, _: object) -> Pixels:
    """Return pixels that were read before."""
    return pixels


def _fail(error: Exception, _: object) -> Pixels:
    raise error


class Images(Protocol):
    """The images of a file, a video or a screen; `count` is how many are asked for, None where that is not known."""

    name: str
    count: int | None

    def __iter__(self) -> Iterator[Source]: ...

    def counted(self) -> int | None:
        """Count them, where that takes no more than to open a file."""
