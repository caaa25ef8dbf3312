"""Maps by other metrics, with masks, holes and borders, beside plain ones and beside OpenCV where it has the same.

Of soft masks it has not quite the same: its means are weighted by the mask, its products by the mask squared.
"""

import functools
from typing import Any

import numpy as np
from common import Contest, Report, Setup, opencv, photo_of_floats, race
from heatmap import FULL_HD, cell

import tmatch

SIDES, QUICK_SIDES = (16, 64, 256), (64,)
CORNER = (300, 700)
DOUBLE, SINGLE, OPENCV = OURS = ["double", "single", "OpenCV"]
HOLES = 0.001  # share of the pixels that are missing, in small blocks
BLOCK = 4
METHODS = {  # what OpenCV has for options
    "plain": "TM_CCOEFF_NORMED",
    "soft mask": "TM_CCOEFF_NORMED",
    "binary mask": "TM_CCOEFF_NORMED",
    "ncc": "TM_CCORR_NORMED",
    "ssd": "TM_SQDIFF",
}
TOLERANCES = {SINGLE: 1e-4, OPENCV: 1e-2}  # of the largest score


def options(setup: Setup) -> Report:
    """Race by options."""
    cv2, report = opencv(setup), Report([DOUBLE, SINGLE])
    for dtype in ("uint8", "float32"):
        for side in QUICK_SIDES if setup.quick else SIDES:
            print_head(dtype, side)
            plain = f"{dtype} {side}x{side} plain"
            for name, arrays, given in searches(dtype, side, setup.seed):
                case = f"{dtype} {side}x{side} {name}"
                contest = contest_of(name, arrays, given, cv2, setup.threads)
                timings = race(contest, setup.rounds, functools.partial(check, name))
                pixels = arrays[0].size
                cpu = {who: 1e6 * timing.cpu / pixels for who, timing in timings.items()}
                times = {who: timing.ms for who, timing in timings.items()}
                report.add(case, times, groups=(), **{"CPU ns per pixel": cpu})
                print_row(name, report.cases[case], report.cases[plain])
    return report


def searches(
    dtype: str, side: int, seed: int
) -> list[tuple[str, tuple[np.ndarray, np.ndarray], dict[str, Any]]]:
    """Names, arrays and options of match_template; the first is plain."""
    image = photo_of_floats(*FULL_HD, seed=seed)
    image = tmatch.to_range(image) if dtype == "uint8" else image.astype(dtype)
    template = image[CORNER[0] : CORNER[0] + side, CORNER[1] : CORNER[1] + side].copy()
    rows, columns = np.indices(template.shape)
    distance = np.hypot(rows - (side - 1) / 2, columns - (side - 1) / 2) / side
    exists = np.ones(image.shape, bool)
    rng = np.random.default_rng(seed)
    for row, column in rng.integers(0, image.shape, (int(HOLES * image.size / BLOCK**2), 2)):
        exists[row : row + BLOCK, column : column + BLOCK] = False
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "binary mask": {"mask": distance <= 0.5},
        "soft mask": {"mask": np.clip(1.2 - 2 * distance, 0, 1).astype(np.float32)},
        "image mask": {"image_mask": exists},
        "NaN": {"missing": "ignore"},
        "orientation": {"metric": "orientation"},
        "full": {"output": "full"},
        "ssd": {"metric": "ssd"},
        "ncc": {"metric": "ncc"},
    }
    if dtype == "uint8":
        del kinds["NaN"]
    holed = np.where(exists, image, np.nan).astype(dtype) if dtype != "uint8" else image
    return [(name, (holed if name == "NaN" else image, template), given) for name, given in kinds.items()]


def contest_of(
    name: str, arrays: tuple[np.ndarray, np.ndarray], given: dict[str, Any], cv2: Any, threads: int | None
) -> Contest:
    search = functools.partial(tmatch.match_template, *arrays, **given, workers=threads)
    contest: Contest = {DOUBLE: search, SINGLE: functools.partial(search, precision="single")}
    if cv2 and name in METHODS:
        mask = given.get("mask")
        theirs = {} if mask is None else {"mask": mask.astype(np.uint8 if mask.dtype == bool else np.float32)}
        sign = -1 if name == "ssd" else 1  # theirs is a distance
        find = functools.partial(cv2.matchTemplate, *arrays, getattr(cv2, METHODS[name]), **theirs)
        contest[OPENCV] = find if sign == 1 else lambda: np.negative(scores := find(), out=scores)
    return contest


def check(kind: str, name: str, result: np.ndarray, first: np.ndarray) -> None:
    if (kind, name) != ("soft mask", OPENCV):
        bound = TOLERANCES.get(name, 0) * max(1, np.abs(first).max())
        np.testing.assert_allclose(result, first, rtol=0, atol=bound, err_msg=f"{kind}, {name}")


def print_head(dtype: str, side: int) -> None:
    print(
        f"\n{dtype} {'x'.join(map(str, FULL_HD))}, {side}x{side}; ms, times as long as plain, as tmatch; CPU ns/px"
    )
    print(
        f"{'':14}{'double':>9}{'single':>9}{'/ plain':>9}{'/ plain':>9}{'OpenCV':>9}{'x double':>10}{'x single':>9}"
        f"{'ns/px: double':>15}{'single':>8}{'OpenCV':>8}"
    )


def print_row(name: str, reported: dict[str, Any], plain: dict[str, Any]) -> None:
    ms, cpu, against = reported["ms"], reported["CPU ns per pixel"], reported["ratios"]
    print(
        f"{name:14}"
        + "".join(f"{ms[our]:9.1f}" for our in (DOUBLE, SINGLE))
        + "".join(f"{ms[our] / plain['ms'][our]:9.2f}" for our in (DOUBLE, SINGLE))
        + f"{cell(ms.get(OPENCV)):>9}"
        + f"{cell(against[DOUBLE].get(OPENCV), 2, 'x'):>10}{cell(against[SINGLE].get(OPENCV), 2, 'x'):>9}"
        + "".join(f"{cell(cpu.get(who)):>{width}}" for who, width in zip(OURS, (15, 8, 8), strict=True)),
        flush=True,
    )
