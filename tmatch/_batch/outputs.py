"""Files that records are written to while they come."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tmatch._io.writing import open_complete
from tmatch._results.formats import Writer
from tmatch._results.records import Record

Add = Callable[[Record], None]


@contextlib.contextmanager
def appended(path: Path, writer: Writer, end: int = 0) -> Iterator[Add]:
    """Append records to a file after `end` bytes, each as soon as it comes, so that nothing is lost with the run."""
    with _told(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        with _told(path):
            if os.fstat(descriptor).st_size != end:
                os.ftruncate(descriptor, end)

        def add(record: Record) -> None:
            with _told(path):
                rest = writer.add(record).encode(errors="surrogateescape")
                while rest:
                    rest = rest[os.write(descriptor, rest) :]

        yield add
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replaced(path: Path, writer: Writer) -> Iterator[Add]:
    """Write records to a file that takes the place of another one when all have come."""
    with _told(path), open_complete(path) as file:

        def write(piece: str | bytes) -> None:
            file.write(piece if isinstance(piece, bytes) else piece.encode(errors="surrogateescape"))

        write(writer.begin())
        yield lambda record: write(writer.add(record))
        write(writer.end())


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Name the file in errors of the system."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        msg = f'cannot write "{path}": {(error.strerror or str(error)).lower()}'
        raise OSError(msg) from error
