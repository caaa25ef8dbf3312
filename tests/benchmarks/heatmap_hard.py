"""Images on which scores lose digits: the CPU time they take, and the errors that are left.

Windows are faint beside others of their tile: a row that is quick may only have tiles that keep the faint ones apart,
which depends on the sides of the image and of the template.
"""

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from common import Report, Setup, from_tests

import tmatch

images = from_tests("hard_images")

SHAPE, QUICK_SHAPE = (720, 960), (360, 480)
LIMIT, QUICK_LIMIT = 10.0, 2.0  # seconds of CPU time for one map
SIDES, PRECISIONS = (16, 64), ("double", "single")
COUNT = 250  # of positions anywhere, and of those across the middle
RUNS, ENOUGH = 3, 1.0  # the fastest of so many, or of fewer beyond so many seconds
DTYPES_LEFT_OUT = ("i2", "u4")  # if it is to be quick


class TooLongError(Exception):
    """A search took longer than is waited for."""


def hard(setup: Setup) -> Report:
    """Show CPU ns for each pixel on one thread, and the largest error at some positions."""
    shape, limit = (QUICK_SHAPE, QUICK_LIMIT) if setup.quick else (SHAPE, LIMIT)
    print(
        f"\nhard images of {'x'.join(map(str, shape))}; CPU ns/px on one thread, largest error at {2 * COUNT} windows "
        "against long double\n"
        f"(promised: 1e-9 in double, 1e-4 in single precision); what takes {limit:g} s is given up"
    )
    columns = [f"{side} px {precision}" for side in SIDES for precision in PRECISIONS]
    print(f"{'':44}" + "".join(f"{column:>20}" for column in columns))
    report = Report([])
    for name in images.NAMES:
        if not (setup.quick and name.endswith(DTYPES_LEFT_OUT)):
            report.cases[name] = measure(name, shape, limit, setup.seed)
            print(f"{name:44}" + "".join(f"{shown(c):>20}" for c in report.cases[name].values()), flush=True)
    return report


def measure(name: str, shape: tuple[int, int], limit: float, seed: int) -> dict[str, dict[str, Any]]:
    """Search one image with each template in each precision."""
    image, cells = images.hard_image(name, shape, seed + 1), {}
    for side in SIDES:
        window = (side, side)
        place = images.template_place(name, shape, window, across=side == SIDES[-1])
        template = images.cut(image, place, window)
        positions = images.some_positions(name, image, window, COUNT, seed)
        expected = images.zncc_at(image, template, positions)
        for precision in PRECISIONS:
            warm_up(image, template, precision)
            seconds, scores = search(image, template, precision, limit)
            error = None if scores is None else float(np.abs(scores[tuple(positions.T)] - expected).max())
            cells[f"{side} {precision}"] = {
                "CPU ns per pixel": 1e9 * seconds / image.size,
                "given up": scores is None,
                "error": error,
            }
    return cells


def warm_up(image: np.ndarray, template: np.ndarray, precision: str) -> None:
    """Compile what the dtype needs: a small piece of the middle, where regions meet."""
    piece = tuple(slice(n // 2 - 60, n // 2 + 60) for n in image.shape)
    if np.ptp(template) > 0:
        tmatch.match_template(image[piece], template, precision=precision, workers=1)


def search(image: np.ndarray, template: np.ndarray, precision: str, limit: float) -> tuple[float, Any]:
    """Seconds that the fastest of a few searches took, and its scores; the limit and None if one takes longer.

    The time is that of this thread, the only one: while a timer runs, that of the process is known to a tick of 4 ms.
    """
    times: list[float] = []
    while len(times) < RUNS and sum(times) < ENOUGH:
        begin = time.thread_time()
        try:
            with limited(limit):
                scores = tmatch.match_template(image, template, precision=precision, workers=1)
        except TooLongError:
            return limit, None
        times.append(time.thread_time() - begin)
    return min(times), scores


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Give up after so many seconds of CPU time. Compiled loops come to their end first."""

    def give_up(*_: object) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def shown(found: dict[str, Any]) -> str:
    time_shown = (
        f"{found['CPU ns per pixel']:,.0f}" if found["given up"] else f"{found['CPU ns per pixel']:,.1f}"
    )
    return f"more than {time_shown}" if found["given up"] else f"{time_shown} {found['error']:9.1e}"
