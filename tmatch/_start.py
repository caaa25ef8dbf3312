"""While the command line is loaded, an interrupt ends it by the signal itself: nothing would catch an exception."""

import itertools
import signal
import sys
import threading
from pathlib import Path


def _is_command_line() -> bool:
    first = next(iter(getattr(sys, "argv", ())), "")
    if first == "-m":  # Python loads a package before its program
        return ("-m", "tmatch") in itertools.pairwise(sys.orig_argv)
    return Path(first).stem == "tmatch"


if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    and _is_command_line()
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
