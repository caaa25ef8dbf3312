"""The streams of the command line: results to stdout; messages and progress to stderr."""

import contextlib
import logging
import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from tmatch._io.images import SeveralImagesWarning
from tmatch.cli.wording import in_options

if TYPE_CHECKING:
    import typer
    from rich.table import Table

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_MIN_WIDTH, _FILE_WIDTH = 60, 120  # columns of a table on a narrow terminal, and in a file
_WIDEST = 1000  # columns of a table in which nothing is to be cut


class Console:
    """Where results, messages, progress and tables are written."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.out, self.err = out, err

    @classmethod
    def of_process(cls) -> "Console":
        """Return the console of the running process."""
        return cls(sys.stdout, sys.stderr)

    @property
    def width(self) -> int:
        """Columns of the terminal, or enough of them where a file or another program reads."""
        if not self.out.isatty():
            return _FILE_WIDTH
        return max(_MIN_WIDTH, shutil.get_terminal_size().columns)

    def print(self, text: str) -> None:
        """Write a result to stdout."""
        print(text, file=self.out)

    def write(self, text: str) -> None:
        """Write a part of a result to stdout, and let a reader have it at once."""
        if text:
            self.out.write(text)
            self.out.flush()

    def has_room_for(self, table: "Table") -> bool:
        """Check whether a table fits, with its columns as narrow as they can be."""
        return bool(self._measure(table).minimum <= self.width)

    def print_table(self, table: "Table", *, whole: bool = False) -> None:
        """Write a table to stdout; wider than the terminal if it would be cut, or folded and is to be whole."""
        from rich.console import Console as RichConsole  # noqa: PLC0415

        needed = self._measure(table)
        width = max(self.width, needed.maximum if whole else needed.minimum)
        RichConsole(file=self.out, width=width).print(table)

    def _measure(self, table: "Table") -> Any:
        from rich.console import Console as RichConsole  # noqa: PLC0415

        return RichConsole(file=self.out, width=_WIDEST).measure(table)

    def say(self, text: str) -> None:
        """Write a message to stderr, if that can be: the exit code tells without it."""
        try:
            print(printable(text), file=self.err, flush=True)
        except OSError:
            discard(self.err)

    @contextlib.contextmanager
    def notes(self) -> Iterator[None]:
        """Write each warning as a line to stderr, once."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", SeveralImagesWarning)
            shown = set()

            def say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
                if str(message) not in shown:
                    shown.add(str(message))
                    kind = "note" if issubclass(category, SeveralImagesWarning) else "warning"
                    self.say(f"{kind}: {in_options(str(message), ())}")

            warnings.showwarning = say
            yield

    @contextlib.contextmanager
    def log(self) -> Iterator[None]:
        """Write what is logged of decisions as lines to stderr."""
        handler, logger = _Lines(self), logging.getLogger("tmatch")
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeHandler(handler)

    @contextlib.contextmanager
    def flushed(self) -> Iterator[None]:
        """Write out in the end what is buffered; where that fails, it is not tried again."""
        try:
            yield
        finally:
            try:
                self.out.flush()
            except OSError:
                discard(self.out)
                raise

    @contextlib.contextmanager
    def status(self, task: str) -> Iterator[None]:
        """Show on a terminal that a task is running."""
        if not self.err.isatty():
            yield
            return
        from rich.console import Console as RichConsole  # noqa: PLC0415

        with RichConsole(file=self.err).status(task):
            yield

    @contextlib.contextmanager
    def progress(self, task: str) -> Iterator[Callable[[float], None] | None]:
        """Return a function that draws a progress bar, if the task takes more than a second on a terminal."""
        if not self.err.isatty():
            yield None
            return
        bars: list[Any] = []
        begin = time.monotonic()

        def draw(share: float) -> None:
            if not bars and time.monotonic() - begin > 1:
                bars.append(self._start_bar(task))
            for bar in bars:
                bar.update(bar.task_ids[0], completed=share)

        try:
            yield draw
        finally:
            for bar in bars:
                bar.stop()

    def _start_bar(self, task: str) -> Any:
        from rich.console import Console as RichConsole  # noqa: PLC0415
        from rich.progress import Progress  # noqa: PLC0415

        bar = Progress(console=RichConsole(file=self.err), transient=True)
        bar.add_task(task, total=1.0)
        bar.start()
        return bar


class _Lines(logging.Handler):
    """Lets a console say what is logged."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._console.say(f"{record.name}: {record.getMessage()}")


def printable(text: str) -> str:
    """Escape characters of names that would control a terminal; lines stay lines."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def discard(stream: TextIO) -> None:
    """Send what is left of a stream nowhere, as it cannot be written."""
    with contextlib.suppress(OSError):  # a stream of no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def console_of(ctx: "typer.Context") -> Console:
    """Return the console that was handed to a command."""
    console: Console = ctx.obj
    return console
