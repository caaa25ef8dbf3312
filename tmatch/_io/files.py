"""What can be read as a file: a path, or an open file."""

import contextlib
import io
import os
import re
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeGuard

from tmatch._arrays.lazy import LazyArray
from tmatch._io.decoders import MAX_BYTES

FileLike = str | os.PathLike[str] | BinaryIO
_folder: ContextVar[str] = ContextVar("_folder", default="")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://?(?=[^/])|file:/")  # `Path` leaves one slash of two


class FileObject:
    """A file that a caller has opened, with the name that messages call it by; it is read from where it stands."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __str__(self) -> str:
        name = getattr(self._file, "name", None)
        return name if isinstance(name, str) else "open file"

    def read(self) -> BinaryIO:
        """Read all that is left, as not every file can be read twice."""
        return read_whole(self._file, "an open file")


def is_file(given: object) -> TypeGuard[FileLike]:
    """Check for a path or an open file."""
    if isinstance(given, LazyArray):
        return False
    return isinstance(given, str | os.PathLike) or callable(getattr(given, "read", None))


def file_of(name: str, given: Any) -> Path | FileObject:
    """Return a path or an open file to read; refuse what is neither, and URLs."""
    if isinstance(given, str | os.PathLike):
        if _URL.match(os.fspath(given)):
            msg = f'`{name}` is the URL "{given}", and files alone are read: download it, and pass the path'
            raise ValueError(msg)
        return Path(given)
    if callable(getattr(given, "read", None)):
        return FileObject(given)
    what = "bytes" if isinstance(given, bytes | bytearray | memoryview) else f"of type {type(given).__name__}"
    msg = f"`{name}` is {what}; give a path or an open binary file, of bytes `io.BytesIO(...)`"
    raise TypeError(msg)


@contextlib.contextmanager
def paths_from(folder: str) -> Iterator[None]:
    """Read paths as they count from a folder, in which another process has named them."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def located(name: str) -> Path:
    """Return the path of a file by its name."""
    return Path(_folder.get(), name)


@contextlib.contextmanager
def named(file: object, what: Literal["read", "write"] = "read") -> Iterator[None]:
    """Name the file in errors of the system."""
    try:
        yield
    except OSError as error:
        msg = f'cannot {what} "{file}": {(error.strerror or str(error)).lower()}'
        raise (FileNotFoundError if isinstance(error, FileNotFoundError) else OSError)(msg) from error


def read_whole(file: Any, what: str) -> BinaryIO:
    """Read all of a file that cannot be read twice, up to a bound."""
    data = io.BytesIO()
    is_text = isinstance(file, io.TextIOBase)  # what is none would fail to be decoded
    while block := "text" if is_text else file.read(1 << 20):
        if not isinstance(block, bytes | bytearray):
            msg = "it is open as text; open it as binary, as in `open(path, 'rb')`"
            raise OSError(msg)
        if data.tell() + len(block) > MAX_BYTES:
            msg = f"more than {MAX_BYTES:,} bytes came through {what}; crop or shrink the image first"
            raise OSError(msg)
        data.write(block)
    data.seek(0)
    return data
