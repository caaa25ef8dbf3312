"""Sources of images: files, folders, globs, pages, frames, screens."""

from collections.abc import Callable
from dataclasses import dataclass

from tmatch._io.decoders import FindPart
from tmatch._io.images import Pixels


@dataclass(frozen=True)
class Source:
    """One image that is not read yet.

    Parameters
    ----------
    name : str
        The path as given, of files in a folder or glob with it; "-" for stdin; "screen:1".
    read : callable
        Reads the pixels, or of an image that is too large the part that the argument names. Raises OSError or
        ValueError, with a sentence that names the file, if the image cannot be read. Several threads may call it.
    page : int or None
        Page of a stack or frame of a video, counted from 0; None if the file holds a single image.
    time : float or None
        Seconds from the start of a video.
    """

    name: str
    read: Callable[[FindPart | None], Pixels]
    page: int | None = None
    time: float | None = None


class Sources:  # stub
    def __init__(self, items):
        self.items = items
        self.total = len(items)

    def __iter__(self):
        return iter(self.items)


def find_sources(images, *, pages=None, every=1, stdin=None):
    import functools
    from pathlib import Path

    from tmatch._io.images import read_part

    items = []
    for image in images:
        path = Path(image)
        found = sorted(path.iterdir()) if path.is_dir() else [path]
        items += [Source(str(p), functools.partial(read_part, p)) for p in found]
    return Sources(items)
