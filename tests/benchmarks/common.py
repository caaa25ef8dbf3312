"""What the contests share: the photo, peers that may be missing, the race, processes beside this one, the report."""

import ctypes
import importlib
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import tmatch

try:
    import resource
except ImportError:  # on Windows
    resource = None

TESTS = Path(__file__).parents[1]
DATASETS = TESTS.parent / "datasets"
Contest = dict[str, Callable[[], Any]]
Check = Callable[[str, Any, Any], None]  # told the name, its result, and the result of the first
Times = dict[str, float]  # milliseconds
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


@dataclass(frozen=True)
class Setup:
    """What the command line asks for."""

    rounds: int
    threads: int | None
    full: bool
    quick: bool
    seed: int = 0
    tables: tuple[str, ...] | None = None  # of the contest of dtypes; None: another contest


def photo(height: int, width: int, *, colours: bool = False) -> np.ndarray:
    """A photograph of any size: the raccoon, mirrored as often as needed, with a little noise."""
    return tmatch.to_range(photo_of_floats(height, width, colours=colours))


def photo_of_floats(height: int, width: int, *, colours: bool = False, seed: int = 0) -> np.ndarray:
    """Return the same before it is rounded to 8 bits and clipped."""
    name = "face.png" if colours else "face_gray.png"
    face = tmatch.read_image(DATASETS / "raccoon" / name).astype(np.float64)
    margins = [(0, max(0, height - face.shape[0])), (0, max(0, width - face.shape[1])), (0, 0)]
    tiled = np.pad(face, margins[: face.ndim], mode="symmetric")[:height, :width]
    return tiled + np.random.default_rng(seed).normal(0, 2, tiled.shape)


def optional(module: str, *, install: str = ""):
    try:
        return importlib.import_module(module)
    except ImportError:
        print(f"{install or module} is not installed: left out")
        return None


def from_tests(module: str) -> ModuleType:
    """Import a module that tests and benchmarks share."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    return importlib.import_module(module)


def opencv(setup: Setup):
    """OpenCV on so many threads, if there is one."""
    cv2 = optional("cv2")
    if cv2 and setup.threads is not None:
        cv2.setNumThreads(setup.threads)
    return cv2


# --- the race -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Medians of one contestant."""

    ms: float
    fresh: float  # bytes that one call got fresh from the system, by page faults
    cpu: float  # milliseconds of all threads together


class Elsewhere:
    """A contestant in a process beside this one, which holds its arrays and times itself."""

    def __init__(self, child: "Child", run: Callable[[], Any]) -> None:
        self.child, self.run = child, run

    def __call__(self) -> Any:
        return self.child.call(self.run)


def race(contest: Contest, rounds: int, check: Check) -> dict[str, Timing]:
    """Medians of interleaved runs, after checking what all give."""
    compare(contest, check)
    runs = {name: [] for name in contest}
    for _ in range(rounds):
        for name, run in contest.items():
            runs[name].append(timed(run))
    return {name: Timing(*map(statistics.median, zip(*each, strict=True))) for name, each in runs.items()}


def compare(contest: Contest, check: Check) -> None:
    first = None
    for name, run in contest.items():
        result = run()
        first = result if first is None else first
        check(name, result, first)


def timed(run: Callable[[], Any]) -> tuple[float, float, float]:
    """Milliseconds that one call takes, bytes it gets fresh from the system, milliseconds of all its threads."""
    if isinstance(run, Elsewhere):
        return run.child.call(timed, run.run)
    before, begin, cpu = fresh_bytes(), time.perf_counter(), time.process_time()
    run()
    wall = time.perf_counter() - begin
    return 1000 * wall, fresh_bytes() - before, 1000 * (time.process_time() - cpu)


def fresh_bytes() -> float:
    if resource is None:
        return math.nan
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt * resource.getpagesize()


def within(tolerance: float, **exceptions: float) -> Check:
    """Let nobody's array differ from the first one's by more, with exceptions by name."""

    def check(name: str, result: np.ndarray, first: np.ndarray) -> None:
        np.testing.assert_allclose(result, first, atol=exceptions.get(name, tolerance), err_msg=name)

    return check


# --- memory and processes -------------------------------------------------------------------------


def keep_memory() -> None:
    """Make glibc keep all memory that is freed, for the next call to use, whoever's it is.

    By itself it keeps blocks of up to 32 MiB, once a process has freed such a block, until 64 MiB are free together;
    before, and with larger blocks, each call pays for fresh pages. On which side of this a program is depends on what
    it did before: here everybody is on the better one, and stays there.
    """
    block = np.empty(2**25 - 2**16, np.uint8)
    del block  # this is all that older ones need, or understand
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if set_option:
        set_option(_TRIM_THRESHOLD, 2**31 - 1)
        set_option(_MMAP_THRESHOLD, 2**30)


class Child:
    """A process beside this one, with an environment of its own from its start."""

    def __init__(self, **environment: str) -> None:
        before = dict(os.environ)
        os.environ.update(environment)
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        self.call(os.getpid)  # it starts now
        os.environ.clear()
        os.environ.update(before)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """What a function of a module gives there."""
        return self._pool.submit(function, *args).result()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


# --- the report -----------------------------------------------------------------------------------


def ratios(times: Times, ours: list[str]) -> dict[str, dict[str, float]]:
    """How many times as long as each of ours the peers take."""
    return {
        our: {name: t / times[our] for name, t in times.items() if name not in ours}
        for our in ours
        if our in times
    }


@dataclass
class Report:
    """The medians of all cases, and what they come to."""

    ours: list[str] = field(default_factory=lambda: ["tmatch"])
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)

    def add(self, case: str, times: Times, *, groups: tuple[str, ...] = ("all",), **more: Any) -> None:
        self.cases[case] = {"ms": times, "ratios": ratios(times, self.ours), **more}
        for group in groups:
            self.groups.setdefault(group, []).append(case)

    def means(self) -> dict[str, dict[str, dict[str, float]]]:
        """Geometric means of the ratios by group, ours and peer."""
        found: dict[str, dict[str, dict[str, list[float]]]] = {}
        for group, cases in self.groups.items():
            for case in cases:
                for our, peers in self.cases[case]["ratios"].items():
                    for peer, ratio in peers.items():
                        found.setdefault(group, {}).setdefault(our, {}).setdefault(peer, []).append(ratio)
        return {
            group: {
                our: {peer: statistics.geometric_mean(r) for peer, r in peers.items()}
                for our, peers in table.items()
            }
            for group, table in found.items()
        }

    def as_json(self) -> dict[str, Any]:
        return {"cases": self.cases, "geometric means": self.means()}


def rounded(values: Any) -> Any:
    """The same with four digits, for a line of JSON that is not longer than it needs to be."""
    if isinstance(values, dict):
        return {key: rounded(value) for key, value in values.items()}
    if isinstance(values, float):
        return float(f"{values:.4g}") if math.isfinite(values) else None
    return values
