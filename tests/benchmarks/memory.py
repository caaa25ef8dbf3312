"""Memory that a call takes beyond its input, each in a process of its own; and a file larger than one likes to load.

The peak is the kernel's high-water mark of resident memory (VmHWM), set back to what is resident just before the call,
less that. Not `ru_maxrss`: a child begins with its parent's. Pages of a mapped file are resident too, but the system
takes them back when it needs room; so the file's and the process's own (anonymous) pages are sampled apart.
"""

import contextlib
import ctypes
import gc
import math
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import Child, Contest, Elsewhere, Report, Setup, optional, photo, race

import tmatch

SIDE, WARM_UP_SIDE, TILE = 64, 256, 2000
SHAPE = (2160, 3840)
PLANTED = (1234, 567)  # where the images have the template
SAMPLING, MIB = 0.002, 2**20  # seconds, bytes
ABOUT = f"""\
Peak of resident memory beyond the input, the libraries and what a small search left; each in a process of its own.
Templates of {SIDE}x{SIDE}, whose places were checked. A map takes 8 bytes a pixel; in single precision and OpenCV 4.
own: anonymous pages; file: pages of mapped files, which the system may take back (seen every {1000 * SAMPLING:g} ms).

{"":56}{"peak MiB":>13}{"B/px":>8}{"own MiB":>13}{"B/px":>8}{"file MiB":>13}{"B/px":>8}"""


@dataclass(frozen=True)
class Peak:
    """What one call took, in bytes."""

    most: int  # resident, beyond what was before the call
    own: int  # anonymous pages, by samples
    file: int  # pages of files, by samples


def memory(setup: Setup) -> Report:
    if sys.platform != "linux":
        sys.exit("--what memory reads /proc/self/status, which only Linux has")
    report = Report()
    searches = {"tmatch double": double, "tmatch single": single}
    if optional("cv2"):
        searches["OpenCV"] = by_opencv
    large = (8000, 8000) if setup.quick else (20000, 20000)
    print(ABOUT)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        files = {shape: Path(folder) / f"{shape[0]}.npy" for shape in (SHAPE, large)}
        with Child() as child:
            for shape, file in files.items():
                child.call(make_file, file, shape)
        for name, search in searches.items():
            with Child() as child:
                child.call(hold, search, files[SHAPE], setup.threads, None)
                add(report, f"{name}, map of {shown(SHAPE)}", SHAPE, child.call(measure))
        contest: Contest = {}
        for shape, file in files.items():
            child = stack.enter_context(Child())
            child.call(hold, locate, file, setup.threads, "r")
            case = f"tmatch.locate in a mapped file of {shown(shape)}"
            add(report, case, shape, child.call(measure))
            contest[case] = Elsewhere(child, search_held)
        race_of_files(report, contest, list(files), setup.rounds)
    return report


def race_of_files(report: Report, contest: Contest, shapes: list[tuple[int, int]], rounds: int) -> None:
    timings = race(contest, rounds, lambda *_: None)
    print(f"\n{'':56}{'ms':>10}{'ns/px':>8}")
    for (case, timing), shape in zip(timings.items(), shapes, strict=True):
        each = timing.ms * 1e6 / math.prod(shape)
        report.cases[case] |= {"ms": {"tmatch": timing.ms}, "ns per pixel": each}
        print(f"{case:56}{timing.ms:10.1f}{each:8.2f}")
    small, large = (report.cases[case]["ns per pixel"] for case in contest)
    report.cases[case]["ns per pixel, times that of the smaller"] = large / small
    print(f"a pixel of the larger takes {large / small:.2f} times as long")


def add(report: Report, case: str, shape: tuple[int, int], peak: Peak) -> None:
    sizes = vars(peak)
    report.cases[case] = {
        "MiB": {name: size / MIB for name, size in sizes.items()},
        "bytes per pixel": {name: size / math.prod(shape) for name, size in sizes.items()},
    }
    cells = "".join(f"{size / MIB:13.1f}{size / math.prod(shape):8.2f}" for size in sizes.values())
    print(f"{case:56}{cells}", flush=True)


def shown(shape: tuple[int, int]) -> str:
    return "x".join(map(str, shape))


# --- in a child -----------------------------------------------------------------------------------


def make_file(path: Path, shape: tuple[int, int]) -> None:
    """A large photo, as tiles of a small one, with something in it that is there but once."""
    tile = photo(TILE, TILE)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for top in range(0, shape[0], TILE):
        rows = file[top : top + TILE]
        rows[:] = np.tile(tile, (1, -(-shape[1] // TILE)))[: rows.shape[0], : shape[1]]
    file[planted()] = tile[300 : 300 + SIDE, 700 : 700 + SIDE].T
    file.flush()


def planted() -> tuple[slice, ...]:
    return tuple(slice(start, start + SIDE) for start in PLANTED)


def double(image: np.ndarray, template: np.ndarray, workers: int | None) -> np.ndarray:
    return tmatch.match_template(image, template, workers=workers)


def single(image: np.ndarray, template: np.ndarray, workers: int | None) -> np.ndarray:
    return tmatch.match_template(image, template, precision="single", workers=workers)


def by_opencv(image: np.ndarray, template: np.ndarray, workers: int | None) -> np.ndarray:
    import cv2

    if workers is not None:
        cv2.setNumThreads(workers)
    return cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED)


def locate(image: np.ndarray, template: np.ndarray, workers: int | None) -> list[tmatch.Match]:
    return tmatch.locate(image, template, workers=workers)


_held: list[Any] = []


def hold(search: Callable[..., Any], path: Path, threads: int | None, mmap_mode: str | None) -> None:
    """Open the image, and let the search load and compile what it needs."""
    image = np.load(path, mmap_mode=mmap_mode)
    _held[:] = search, image, np.array(image[planted()]), threads
    small = np.random.default_rng(0).integers(0, 256, (WARM_UP_SIDE, WARM_UP_SIDE), dtype=np.uint8)
    search(small, small[:SIDE, :SIDE], threads)


def search_held() -> Any:
    search, *arguments = _held
    return search(*arguments)


def measure() -> Peak:
    """Search once; and see that the template was found."""
    gc.collect()
    give_back()
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    with sampled() as samples:
        result = search_held()
    most = resident()["VmHWM"] - before["VmRSS"]
    best = (
        result[0].box.start if isinstance(result, list) else np.unravel_index(result.argmax(), result.shape)
    )
    if tuple(map(int, best)) != PLANTED:
        msg = f"the best place is {best} and should be {PLANTED}"
        raise AssertionError(msg)
    own = max(sample["RssAnon"] for sample in samples) - before["RssAnon"]
    file = max(sample["RssFile"] + sample["RssShmem"] for sample in samples)
    return Peak(most, own, file - before["RssFile"] - before["RssShmem"])


def give_back() -> None:
    """Let the allocator give back what is free, which a call could otherwise use without being seen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def resident() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return {
        name: 1024 * int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in lines)
        if name.startswith(("VmHWM", "VmRSS", "Rss"))
    }


@contextlib.contextmanager
def sampled() -> Iterator[list[dict[str, int]]]:
    """Look at the resident memory every few milliseconds meanwhile."""
    samples, done = [resident()], threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLING):
            samples.append(resident())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
        samples.append(resident())
