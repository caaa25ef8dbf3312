"""Find the images that arguments name: files, folders, globs, stdin and screens."""

import fnmatch
import functools
import glob
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from tmatch._io import decoders
from tmatch._io.decoders import WHOLE, Choice
from tmatch._io.extras import require
from tmatch._io.files import named, read_whole
from tmatch._io.images import ImageFile, open_file
from tmatch._io.sources import screens, video
from tmatch._io.sources.files import FileImages, Stream
from tmatch._io.sources.selection import Selection
from tmatch._io.sources.source import Images, Source

# What is taken for an image in a folder; of files that are named, the first bytes tell.
_ENDINGS = {
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".btf", ".lsm", ".svs", ".ndpi", ".scn", ".gif",
    ".bmp", ".dib", ".webp", ".avif", ".avifs", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".jp2", ".j2k", ".jpc", ".jpf",
    ".jpx", ".j2c", ".mpo", ".tga", ".icb", ".vda", ".vst", ".ico", ".icns", ".cur", ".dds", ".pcx", ".dcx", ".psd",
    ".qoi", ".sgi", ".rgb", ".rgba", ".bw", ".ras", ".xbm", ".xpm", ".fli", ".flc", ".fits", ".fit", ".im", ".msp",
    ".pxr", ".npy",
}  # fmt: skip


class Sources:
    """The images that arguments name, in the order of the arguments.

    `total` is their number; None as long as it is not known.
    """

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[Source]:
        for part in self._parts:
            yield from part

    @property
    def names(self) -> list[str]:
        """Files, and screens, that the images are in."""
        return [part.name for part in self._parts]

    @property
    def total(self) -> int | None:
        """How many images there are; None until the files that may hold several were opened, one by one."""
        return _sum(part.count for part in self._parts)

    def counted(self) -> int | None:
        """Count the images, and open files for it; None if there is a video that was not read yet."""
        return _sum(part.counted() for part in self._parts)


def _sum(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def find_sources(
    images: Sequence[str | os.PathLike[str]],
    *,
    pages: str | None = None,
    every: int = 1,
    level: int | None = None,
    channel: int | str | None = None,
    stdin: BinaryIO | None = None,
) -> Sources:
    """Find images, in the order of the arguments; nothing is read but what tells whether they are there.

    Parameters
    ----------
    images : sequence of paths
        A file; a folder, whose image files are taken in the natural order of their names ("2.png" before "10.png"),
        without hidden ones and those in folders below; a glob, in the natural order of the paths; "-" for stdin;
        "screen:" for all screens as one image, "screen:1" for the first of them.
    pages : str, optional
        Pages of stacks and frames of animations and videos: "all", or as "0", "2-5", "0,3,7-". They come in the order
        of the file. By default all frames of videos, and of others the first, with a note that tells of the others.
    every : int
        Of the pages and frames that are chosen every so many.
    level : int, optional
        Level of a pyramid that is read; 0, the default, is the full resolution.
    channel : int or str, optional
        Channel of OME-Zarr or OME-TIFF that is read, by its number or name; its pages are counted without the others.
    stdin : binary file, optional
        Where "-" is read.

    Returns
    -------
    Sources
        An iterable of `Source`. What is wrong with a single image, its `read` tells.

    Raises
    ------
    OSError, ValueError
        If a path, or a page of a file that is named, does not exist, a folder holds no image, no file matches a glob,
        options make no sense, or something cannot be read without an extra that is not installed.
    """
    if every < 1:
        msg = f"`every` is {every}; it must be 1 for all frames, 2 for every second one, or more"
        raise ValueError(msg)
    if not images:
        msg = "no image is named; name files, folders, globs, - or screen:"
        raise ValueError(msg)
    chosen = Selection.parse(pages, every) if pages is not None else None
    finder = _Finder(chosen, every, Choice(level or 0, channel), level, stdin)
    return Sources([part for image in images for part in finder.find(_name_of(image))])


def _name_of(image: object) -> str:
    if isinstance(image, str | os.PathLike):
        return os.fsdecode(image)
    msg = f"`images` are paths, each an argument of its own, but one of them is a {type(image).__name__}"
    raise TypeError(msg)


class _Finder:
    """Find what one argument after the other names."""

    def __init__(
        self, chosen: Selection | None, every: int, choice: Choice, level: int | None, stdin: BinaryIO | None
    ) -> None:
        self._chosen, self._every, self._choice, self._level = chosen, every, choice, level
        self._stdin = Stream("-", functools.partial(_read_stdin, stdin))

    def find(self, name: str) -> list[Images]:
        """Find what an argument names; check there, but not in each file of a folder or glob, that pages exist."""
        if name.startswith(screens.PREFIX):
            self._refuse_choice(name, "the screen")
            return [screens.ScreenImage(name)]
        if name == "-":
            return [self._checked(self._images(name, self._stdin.open, through_pipe=True))]
        if not os.path.lexists(name) and glob.escape(name) != name:
            return [self._of_file(path) for path in _matches(name)]
        kind = _kind_of(name)
        if kind == stat.S_IFDIR and not decoders.is_zarr(Path(name)):
            return [self._of_file(path) for path in _files_in(name)]
        return [self._checked(self._of_file(name, kind))]

    def _of_file(self, name: str, kind: int = stat.S_IFREG) -> Images:
        """Find what a file or zarr folder holds; only of one that is named it is known that it is there."""
        if Path(name).suffix.lower() in video.ENDINGS and kind == stat.S_IFREG:
            require("video", f'"{name}" is')
            self._refuse_choice(name, "a video")
            return video.VideoFrames(name, self._chosen or Selection.all(self._every))
        if kind == stat.S_IFIFO:
            stream = Stream(name, functools.partial(_read_pipe, name))
            return self._images(name, stream.open, through_pipe=True)
        if decoders.is_zarr(Path(name)):
            require("zarr", f'"{name}" is')
        return self._images(name, functools.partial(open_file, name))

    def _images(
        self, name: str, open_chosen: Callable[..., ImageFile], *, through_pipe: bool = False
    ) -> FileImages:
        opened = functools.partial(open_chosen, choice=self._choice)
        return FileImages(name, opened, self._chosen, self._level, through_pipe=through_pipe)

    def _refuse_choice(self, name: str, what: str) -> None:
        if self._choice != WHOLE:
            msg = f'"{name}" is {what}, which has no levels and no named channels; leave `level` and `channel` out'
            raise ValueError(msg)

    def _checked(self, images: Images) -> Images:
        if (
            isinstance(images, FileImages)
            and self._chosen is not None
            and self._chosen.missing(1) is not None
        ):
            images.check()
        return images


def _kind_of(name: str) -> int:
    """Tell what is there: a file, a folder, a pipe."""
    try:
        with named(name):
            return stat.S_IFMT(os.stat(name).st_mode)  # noqa: PTH116  (of a Path, "" would be this folder)
    except ValueError as error:  # of a name that no file can have
        msg = f'cannot read "{name}": {error}'
        raise OSError(msg) from error


def _read_stdin(stdin: BinaryIO | None) -> bytes:
    stream = stdin or getattr(sys.stdin, "buffer", None)
    if stream is None or stream.isatty():
        msg = "it is a terminal, or closed; send an image through a pipe"
        raise OSError(msg)
    return read_whole(stream, "a pipe").read()


def _read_pipe(name: str) -> bytes:
    with Path(name).open("rb") as pipe:
        return read_whole(pipe, "a pipe").read()


def _files_in(folder: str) -> list[str]:
    """Return the image files in a folder, in their natural order."""
    with named(folder), os.scandir(folder) as entries:
        seen = [entry for entry in entries if not entry.name.startswith(".")]
    names = [each.name for each in seen if _is_image(each.name) and not _is_folder(each)]
    if not names:
        folders = sum(map(_is_folder, seen))
        below = f'; folders in it are not entered ({folders:,}), which "{folder}/**" does' if folders else ""
        msg = f'there is no image in the folder "{folder}"{below}'
        raise ValueError(msg)
    return [os.path.join(folder, name) for name in sorted(names, key=_natural)]  # noqa: PTH118  (as it is given)


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that goes round in a circle; it is told when its turn comes
        return False


def _matches(pattern: str) -> list[str]:
    """Return what matches a glob, in natural order: files whose ending is of an image, or that which it names."""
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207  (paths as they are given, absolute ones too)
    ending = Path(pattern).suffix
    names = [
        name
        for name in found
        if (_is_image(name) or (ending not in {"", ".*"} and fnmatch.fnmatch(Path(name).suffix, ending)))
        and (not Path(name).is_dir() or decoders.is_zarr(Path(name)))
    ]
    if not names:
        msg = f'no image matches "{pattern}"' + (f", but {len(found):,} other names do" if found else "")
        raise ValueError(msg)
    return sorted(names, key=_natural)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in _ENDINGS


def _natural(name: str) -> tuple[object, ...]:
    """Return a key that sorts numbers in names by their value, and letters whether they are large or small."""
    parts = [re.split("([0-9]+)", part.casefold()) for part in Path(name).parts]
    return [[int(text) if i % 2 else text for i, text in enumerate(part)] for part in parts], name
