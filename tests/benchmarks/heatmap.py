"""Whole ZNCC maps: grey, in colour, and with a mask, in both precisions, beside OpenCV and scikit-image.

OpenCV makes tables of 16 bytes a pixel at each call. How long it takes depends on where that memory comes from, which
depends on what the process did before; so it is timed in both states, and compared where it is faster.
"""

import contextlib
import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from common import (
    Child,
    Contest,
    Elsewhere,
    Report,
    Setup,
    Timing,
    keep_memory,
    opencv,
    optional,
    photo,
    race,
    within,
)

import tmatch

SIZES = [(8, 8), (16, 16), (32, 32), (64, 64), (128, 128), (256, 256), (512, 512), (31, 200)]
FULL_HD, ULTRA_HD = (1080, 1920), (2160, 3840)
SINGLE_TOLERANCE, TOLERANCE = 1e-4, 1e-3
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**17), "MALLOC_TRIM_THRESHOLD_": str(2**17)}
KEPT, FRESH, FASTER = "OpenCV kept", "OpenCV fresh", "OpenCV, faster"
ABOUT = f"""\
Scores were compared before: single within {SINGLE_TOLERANCE:g} of double precision, all others within {TOLERANCE:g}.
OpenCV kept:  in this process, as all others; the allocator keeps what is freed for the next call
OpenCV fresh: in a child whose allocator gives all back to the system (both MALLOC thresholds fixed at 128 KiB)
B/px:         bytes of memory, a pixel of the image, that one call got fresh from the system (page faults)"""


class Case(NamedTuple):
    """One search."""

    kind: str
    image_shape: tuple[int, int]
    template_shape: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.kind} {'x'.join(map(str, self.image_shape))} {'x'.join(map(str, self.template_shape))}"

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Image, template and mask."""
        (h, w), image = self.template_shape, picture(*self.image_shape, colours=self.kind == "colour")
        mask = None
        if self.kind == "masked":
            rows, columns = np.indices((h, w))
            mask = np.hypot(rows - (h - 1) / 2, columns - (w - 1) / 2) <= h / 2
        return image, image[300 : 300 + h, 700 : 700 + w].copy(), mask


@functools.lru_cache(maxsize=1)
def picture(height: int, width: int, *, colours: bool) -> np.ndarray:
    return photo(height, width, colours=colours)


def cases(*, quick: bool) -> Iterator[Case]:
    for shape in [FULL_HD] if quick else [FULL_HD, ULTRA_HD]:
        yield from (Case("grey", shape, size) for size in (SIZES[1::3] if quick else SIZES))
    yield from (Case("colour", FULL_HD, (k, k)) for k in ([64] if quick else [16, 64, 256]))
    yield from (Case("masked", FULL_HD, (k, k)) for k in ([32] if quick else [32, 128]))


def heatmap(setup: Setup) -> Report:
    cv2, skimage = opencv(setup), optional("skimage.feature", install="scikit-image")
    report, kind = Report(["tmatch double", "tmatch single"]), ""
    print(ABOUT)
    keep_memory()
    with contextlib.ExitStack() as stack:
        child = stack.enter_context(Child(**GIVEN_BACK)) if cv2 else None
        for case in cases(quick=setup.quick):
            if case.kind != kind:
                kind = case.kind
                print_head(kind)
            contest = tmatch_beside_opencv(case, setup, child)
            if skimage and kind == "grey" and (case.image_shape == FULL_HD or setup.full):
                image, template, _ = case.arrays()
                contest["scikit-image"] = functools.partial(skimage.match_template, image, template)
            timings = race(contest, setup.rounds, within(TOLERANCE, **{"tmatch single": SINGLE_TOLERANCE}))
            add_to(report, case, timings)
            print_row(case, report)
    print_means(report)
    return report


def tmatch_beside_opencv(case: Case, setup: Setup, child: Child | None) -> Contest:
    image, template, mask = case.arrays()
    search = functools.partial(
        tmatch.match_template, image, template, mask=mask, workers=setup.threads,
        channel_axis=2 if case.kind == "colour" else None,
    )  # fmt: skip
    contest: Contest = {
        "tmatch double": search,
        "tmatch single": functools.partial(search, precision="single"),
    }
    if child:
        contest[KEPT] = functools.partial(by_opencv, image, template, mask)
        child.call(hold, setup.threads, image, template, mask)
        contest[FRESH] = Elsewhere(child, search_held)
    return contest


def by_opencv(image: np.ndarray, template: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    import cv2

    mask = None if mask is None else mask.astype(np.uint8)
    return cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED, mask=mask)


_held: list[np.ndarray | None] = []


def hold(threads: int | None, *arrays: np.ndarray | None) -> None:
    """Keep what is to be searched, in a child."""
    import cv2

    if threads is not None:
        cv2.setNumThreads(threads)
    _held[:] = arrays


def search_held() -> np.ndarray:
    return by_opencv(*_held)


# --- what is shown --------------------------------------------------------------------------------


def add_to(report: Report, case: Case, timings: dict[str, Timing]) -> None:
    times = {name: timing.ms for name, timing in timings.items()}
    pixels = case.image_shape[0] * case.image_shape[1]
    fresh = {name: timing.fresh / pixels for name, timing in timings.items()}
    if KEPT in times:
        times[FASTER] = min(times[KEPT], times[FRESH])
    whole = f"{case.kind} {'x'.join(map(str, case.image_shape))}"
    report.add(
        str(case),
        times,
        groups=(whole, case.kind) if case.kind == "grey" else (case.kind,),
        **{"fresh bytes per pixel": fresh},
    )


def print_head(kind: str) -> None:
    print(f"\n8 bits, {kind}; ms, and times as long as tmatch in double and single precision")
    print(
        f"{'':20}{'----- tmatch -----':>20}{'--- OpenCV kept --':>20}{'-- OpenCV fresh --':>20}"
        f"{'- faster OpenCV --':>20}{'-- scikit-image --':>20}"
    )
    print(
        f"{'image':>10} {'template':>9}{'double':>10}{'single':>10}{'ms':>11}{'B/px':>9}{'ms':>11}{'B/px':>9}"
        f"{'x double':>11}{'x single':>9}{'ms':>11}{'x double':>9}"
    )


def print_row(case: Case, report: Report) -> None:
    reported = report.cases[str(case)]
    ms, fresh, against = reported["ms"], reported["fresh bytes per pixel"], reported["ratios"]
    image, template = ("x".join(map(str, shape)) for shape in (case.image_shape, case.template_shape))
    print(
        f"{image:>10} {template:>9}{ms['tmatch double']:10.1f}{ms['tmatch single']:10.1f}"
        + "".join(f"{cell(ms.get(state)):>11}{cell(fresh.get(state)):>9}" for state in (KEPT, FRESH))
        + "".join(
            f"{cell(against[our].get(FASTER), 2, 'x'):>{width}}"
            for our, width in zip(report.ours, (11, 9), strict=True)
        )
        + f"{cell(ms.get('scikit-image')):>11}{cell(against['tmatch double'].get('scikit-image'), 2, 'x'):>9}",
        flush=True,
    )


def print_means(report: Report) -> None:
    peers = [KEPT, FRESH, FASTER, "scikit-image"]
    print(
        "\ngeometric means: times as long as tmatch in double / single precision (above 1: tmatch is faster)"
    )
    print(f"{'':20}" + "".join(f"{peer:>20}" for peer in peers))
    for group, means in report.means().items():
        pairs = [[cell(means[our].get(peer), 2) for our in report.ours] for peer in peers]
        print(f"{group:20}" + "".join(f"{' / '.join(pair):>20}" for pair in pairs))


def cell(value: float | None, digits: int = 1, unit: str = "") -> str:
    """A number in a table, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}{unit}"
