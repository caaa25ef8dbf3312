"""Files that records are written to while they come."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from tmatch._io.files import named
from tmatch._io.writing import open_appended, open_complete
from tmatch._results.formats import Writer
from tmatch._results.records import Record

Add = Callable[[Record], None]


@contextlib.contextmanager
def appended(path: Path, writer: Writer, end: int = 0) -> Iterator[Add]:
    """Append records to a file after `end` bytes, each as soon as it comes, so that nothing is lost with the run."""
    with open_appended(path, end) as append:
        yield lambda record: append(_encoded(writer.add(record)))


@contextlib.contextmanager
def replaced(path: Path, writer: Writer) -> Iterator[Add]:
    """Write records to a file that takes the place of another one when all have come."""
    with open_complete(path) as file:

        def write(piece: str | bytes) -> None:
            with named(path, "write"):
                file.write(_encoded(piece))

        write(writer.begin())
        yield lambda record: write(writer.add(record))
        write(writer.end())


def _encoded(piece: str | bytes) -> bytes:
    return piece if isinstance(piece, bytes) else piece.encode(errors="surrogateescape")
