"""The command line as a process: its streams, signals and exit code."""

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tmatch.cli.console import discard

BAD_INPUT, INTERRUPTED, PIPE_CLOSED = 2, 130, 141


def run(command: Callable[[], object]) -> None:
    """Run the command line; what stops it is told by the exit code, even if no word can be written."""
    _open_streams()
    _heed_signals()
    try:
        command()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # which rich makes 1, "nothing found"
            sys.exit(PIPE_CLOSED)
        raise
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:  # the help or a wrong usage could not be written
        discard(sys.stdout)
        discard(sys.stderr)
        sys.exit(PIPE_CLOSED if isinstance(error, BrokenPipeError) else BAD_INPUT)
    except Exception:  # noqa: BLE001  (a fault of our own, or --debug; 1 would be read as "nothing found")
        _print_traceback()
        sys.exit(BAD_INPUT)


def _print_traceback() -> None:
    try:
        traceback.print_exc()
    except OSError:
        discard(sys.stderr)


def _open_streams() -> None:
    if sys.stderr is None:  # closed by the caller: messages have nowhere to go, results still do
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files that are no text are written as they are
        sys.stdout.reconfigure(errors="surrogateescape")


def _heed_signals() -> None:
    """Clean up before the process ends by a signal, unless the caller wants it ignored."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:  # while modules were loaded
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
