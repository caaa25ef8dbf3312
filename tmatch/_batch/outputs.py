"""Files that records are written to while they come."""

import contextlib
import errno
import os
import stat
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
            _lock(descriptor)
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


def _lock(descriptor: int) -> None:
    """Refuse a file to which another run appends, until that ends."""
    try:
        import fcntl  # noqa: PLC0415
    except ImportError:  # on Windows
        return
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(errno.EBUSY, "another run writes to it; let that end, or name another file") from None
    except OSError:  # a file system without locks
        return


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
