"""Whole maps, and places, of pixels of 8 and 16 bits and of floats, in both precisions, beside OpenCV and others.

OpenCV takes 8 bits and float32: the others are given to it as float32, which is not timed. Memory is kept. Times are
medians; ns/px is the CPU time of all threads together for a pixel of the image, which hardly depends on what else the
machine does.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import heatmap_hard
import heatmap_options
import heatmap_shapes
import numpy as np
from common import Contest, Report, Setup, Timing, keep_memory, opencv, photo_of_floats, race
from heatmap import FULL_HD, ULTRA_HD, cell

import tmatch

SIZES = [(8, 8), (16, 16), (31, 200), (64, 64), (128, 128), (256, 256), (512, 512)]
QUICK_SIZES = [(16, 16), (64, 64), (256, 256)]
DTYPES = {  # what a grey level becomes
    "uint8": lambda photo: np.clip(np.rint(photo), 0, 255),
    "uint16": lambda photo: np.clip(np.rint(photo * 200), 0, 65535),
    "float32": lambda photo: photo,
    "float64": lambda photo: photo,
}
CORNER = (300, 700)  # of the template
DOUBLE, SINGLE, LOCATE, OPENCV = "tmatch double", "tmatch single", "tmatch.locate", "OpenCV"
OURS = [DOUBLE, SINGLE, LOCATE]
TOLERANCES = {SINGLE: 1e-4, OPENCV: 1e-3}


class Case(NamedTuple):
    """One search."""

    dtype: str
    image_shape: tuple[int, int]
    template_shape: tuple[int, int]

    def __str__(self) -> str:
        return " ".join(
            [self.dtype, *("x".join(map(str, s)) for s in (self.image_shape, self.template_shape))]
        )


def dtypes(setup: Setup) -> dict[str, Any]:
    """Make the tables that are asked for."""
    keep_memory()
    return {table: TABLES[table](setup).as_json() for table in setup.tables or TABLES}


def maps(setup: Setup) -> Report:
    """Race in photos by dtype."""
    cv2, report = opencv(setup), Report(OURS)
    shapes = [FULL_HD] if setup.quick else [FULL_HD, ULTRA_HD]
    for dtype, shape in itertools.product(DTYPES, shapes):
        print_head(dtype)
        for size in QUICK_SIZES if setup.quick else SIZES:
            case = Case(dtype, shape, size)
            timings = race(contest_of(case, setup, cv2), setup.rounds, check)
            add_to(report, case, timings)
            print_row(case, report)
    print_means(report)
    return report


@functools.lru_cache(maxsize=2)
def photo_of(dtype: str, shape: tuple[int, int], seed: int) -> np.ndarray:
    return DTYPES[dtype](photo_of_floats(*shape, seed=seed)).astype(dtype)


def contest_of(case: Case, setup: Setup, cv2: Any) -> Contest:
    image = photo_of(case.dtype, case.image_shape, setup.seed)
    template = image[tuple(slice(c, c + n) for c, n in zip(CORNER, case.template_shape, strict=True))].copy()
    search = functools.partial(tmatch.match_template, image, template, workers=setup.threads)
    contest: Contest = {
        DOUBLE: search,
        SINGLE: functools.partial(search, precision="single"),
        LOCATE: functools.partial(tmatch.locate, image, template, workers=setup.threads),
    }
    if cv2:
        theirs = [a if a.dtype == np.uint8 else a.astype(np.float32) for a in (image, template)]
        contest[OPENCV] = functools.partial(cv2.matchTemplate, *theirs, cv2.TM_CCOEFF_NORMED)
    return contest


def check(name: str, result: Any, first: np.ndarray) -> None:
    """Compare maps; the best match is where the template was cut, if any is sure enough to be told."""
    if name == LOCATE:
        assert not result or result[0].box.start == CORNER, f"{name} found {result[0]}"
    else:
        np.testing.assert_allclose(result, first, rtol=0, atol=TOLERANCES.get(name, 0), err_msg=name)


# --- what is shown --------------------------------------------------------------------------------


def add_to(report: Report, case: Case, timings: dict[str, Timing]) -> None:
    pixels = case.image_shape[0] * case.image_shape[1]
    report.add(
        str(case),
        {name: timing.ms for name, timing in timings.items()},
        groups=(f"{case.dtype} {'x'.join(map(str, case.image_shape))}", case.dtype),
        **{"CPU ns per pixel": {name: 1e6 * timing.cpu / pixels for name, timing in timings.items()}},
    )


def print_head(dtype: str) -> None:
    print(f"\n{dtype}; ms, times as long as tmatch, CPU ns/px")
    print(
        f"{'image':>10} {'template':>9}{'double':>9}{'single':>9}{'locate':>9}{'OpenCV':>9}"
        f"{'x double':>10}{'x single':>9}{'x locate':>9}{'ns/px: double':>15}{'single':>8}{'locate':>8}{'OpenCV':>8}"
    )


def print_row(case: Case, report: Report) -> None:
    reported = report.cases[str(case)]
    ms, cpu, against = reported["ms"], reported["CPU ns per pixel"], reported["ratios"]
    image, template = ("x".join(map(str, shape)) for shape in (case.image_shape, case.template_shape))
    names = [*OURS, OPENCV]
    print(
        f"{image:>10} {template:>9}"
        + "".join(f"{cell(ms.get(name)):>9}" for name in names)
        + "".join(
            f"{cell(against[our].get(OPENCV), 2, 'x'):>{width}}"
            for our, width in zip(OURS, (10, 9, 9), strict=True)
        )
        + "".join(
            f"{cell(cpu.get(name)):>{width}}" for name, width in zip(names, (15, 8, 8, 8), strict=True)
        ),
        flush=True,
    )


def print_means(report: Report) -> None:
    print("\ngeometric means: times as long as tmatch that OpenCV takes (above 1: tmatch is faster)")
    print(f"{'':20}{'double':>9}{'single':>9}{'locate':>9}")
    for group, means in report.means().items():
        print(f"{group:20}" + "".join(f"{cell(means[our].get(OPENCV), 2, 'x'):>9}" for our in OURS))


TABLES: dict[str, Callable[[Setup], Report]] = {
    "maps": maps,
    "options": heatmap_options.options,
    "shapes": heatmap_shapes.shapes,
    "frames": heatmap_shapes.frames,
    "hard": heatmap_hard.hard,
}
