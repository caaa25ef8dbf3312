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
