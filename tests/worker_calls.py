"""Calls that tests have done on the workers of a cluster, which import them from here."""

import importlib
import itertools
import multiprocessing
import os
import time
from pathlib import Path

from tmatch._engine import select

_loads = itertools.count(1)


def die(folder, *_):
    """Tell in a folder which process is to be killed, and wait for it."""
    assert multiprocessing.parent_process(), "this is no worker"
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


class Deadly(os.PathLike):
    """A path that ends each worker that reads it."""

    def __init__(self, folder):
        self.folder = folder

    def __fspath__(self):
        die(self.folder)
        return "deadly.png"


class Loaded:
    """A call that tells how often its process has loaded it, and which process that is."""

    def __init__(self, number=0):
        self.number = number

    def __reduce__(self):
        return _load, ()

    def __call__(self, item, resources):
        return item, os.getpid(), self.number, resources.workers


def _load():
    return Loaded(next(_loads))


def engine_of(*_):
    return select.policy().engine


def import_what_is_absent(*_):
    importlib.import_module("absent")


class Once:
    """A call that fails the first time for each item, so many times in all."""

    def __init__(self, folder, times):
        self.folder, self.times = Path(folder), times

    def __call__(self, item, _):
        tried = self.folder / str(item)
        with tried.open("a") as file:
            file.write("x")
        if tried.stat().st_size <= self.times:
            raise ValueError(item)
        return item


class Gate:
    """A call that tells that it has begun, and once the first has, waits until a file is there."""

    def __init__(self, path):
        self.path = Path(path)

    def __call__(self, item, _):
        self.path.with_suffix(f".{item}").touch()
        end = time.monotonic() + 60
        if not self.path.with_suffix(".0").exists():
            return item
        while item and not self.path.exists() and time.monotonic() < end:
            time.sleep(0.005)
        return item


def peak_bytes():
    """Return the most memory that this process has had."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
