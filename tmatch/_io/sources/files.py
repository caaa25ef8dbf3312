"""The images of a file: one, or some of the pages of a stack."""

import contextlib
import functools
import io
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence

from tmatch._io.decoders import WHOLE, Choice, FindPart
from tmatch._io.files import named
from tmatch._io.images import ImageFile, Pixels, SeveralImagesWarning, missing_page, open_stream
from tmatch._io.sources.selection import Selection
from tmatch._io.sources.source import Source

OpenFile = Callable[[], ImageFile]


class FileImages:
    """The images of a file that are chosen; without a choice the first, and a note if there are others.

    The file is opened when its turn comes, to count them. One that cannot be opened is an image that cannot be read.
    """

    def __init__(
        self,
        name: str,
        open_file: OpenFile,
        chosen: Selection | None,
        level: int | None = None,
        *,
        through_pipe: bool = False,
    ) -> None:
        self.name, self._open, self._chosen = name, open_file, chosen
        self._level, self._through_pipe = level, through_pipe
        self.count = 1 if chosen is None else None

    def counted(self) -> int:
        """Open the file, if that is needed to count the images."""
        if self.count is None:
            self.count = len(self._choose(self._measure()[0]))
        return self.count

    def check(self) -> None:
        """Refuse a choice of pages that are not there."""
        count, unit = self._measure()
        missing = self._chosen.missing(count) if self._chosen and count else None
        if missing is not None:
            raise missing_page(self.name, count, unit, missing)

    def __iter__(self) -> Iterator[Source]:
        count, unit = self._measure()
        if self._chosen is None and count > 1:
            msg = (
                f'"{self.name}" has {count:,} {unit}; only the first is read, {count - 1:,} are left out '
                '(choose pages "all", or some as "2-5", to read them)'
            )
            warnings.warn(msg, SeveralImagesWarning, stacklevel=4)
        pages = self._choose(count)
        self.count = len(pages)
        shared = SharedFile(self._open, pages)
        # One frame among many is found by decoding those before it.
        elsewhere = not self._through_pipe and (len(pages) == 1 or unit != "frames")
        for page in pages:
            number = None if page == 0 and count < 2 else page
            read = functools.partial(shared.read, number)
            yield Source(self.name, read, number, level=self._level, elsewhere=elsewhere)

    def _measure(self) -> tuple[int, str]:
        """Count the images in the file, 0 if it cannot be opened, and tell what they are called."""
        with contextlib.suppress(OSError), self._open() as file:
            return file.count, file.unit
        return 0, ""

    def _choose(self, count: int) -> list[int]:
        """Return the pages to read; the last of them may be one that is asked for and not there."""
        if self._chosen is None or not count:
            return [0]
        missing = self._chosen.missing(count)
        return [*self._chosen.numbers(count), *([] if missing is None else [missing])]


class SharedFile:
    """A file that is opened once for several of its images, and closed when all were read, or are no longer wanted.

    Finding one page among many takes the longer the more there are, where the file is opened for each. Several threads
    may read: of a single image each by itself, of others one after the other.
    """

    def __init__(self, open_file: OpenFile, pages: Sequence[int]) -> None:
        self._open, self._is_single, self._unread = open_file, len(pages) == 1, set(pages)
        self._lock = threading.Lock()
        self._file: ImageFile | None = None
        self._closing = contextlib.ExitStack()
        weakref.finalize(self, self._closing.close)

    def __reduce__(self) -> tuple[type["SharedFile"], tuple[OpenFile, Sequence[int]]]:
        """Pickle as a file of which one image is read."""
        return SharedFile, (self._open, (0,))

    def read(self, page: int | None, find_part: FindPart | None) -> Pixels:
        """Read an image."""
        if self._is_single:
            with self._open() as file:
                return file.read(page, find_part)
        with self._lock:
            return self._read_shared(page, find_part)

    def _read_shared(self, page: int | None, find_part: FindPart | None) -> Pixels:
        if self._file is None:
            self._file = self._closing.enter_context(self._open())
        self._unread.discard(page or 0)
        is_over = True  # also after an error, which may leave the decoder in disorder
        try:
            pixels = self._file.read(page, find_part)
            is_over = not self._unread
        finally:
            if is_over:
                self._file = None
                self._closing.close()
        return pixels


class Stream:
    """What comes through a pipe: it is read once, when it is needed, and may then be opened several times."""

    def __init__(self, name: str, read: Callable[[], bytes]) -> None:
        self._name, self._read = name, read

    def open(self, choice: Choice = WHOLE) -> ImageFile:
        """Open it as a file of images."""
        if isinstance(self._data, OSError):
            raise self._data
        return open_stream(self._name, io.BytesIO(self._data), choice)

    @functools.cached_property
    def _data(self) -> bytes | OSError:
        try:
            with named(self._name):
                return self._read()
        except OSError as error:
            return error
