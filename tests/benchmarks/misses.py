"""What a search costs that finds nothing, beside one that finds its template."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import DATASETS, Setup, photo

import tmatch

SHAPES, SIDES = ((480, 640), (1080, 1920)), (16, 32, 64, 128)
SCENES = ("raccoon", "gravel/image.png", "coins/image.png")  # searched, each for a piece of the next one
BAR = 2.2  # times a hit
Costs = tuple[float, float]  # milliseconds of CPU and of the clock


def misses(setup: Setup) -> dict[str, Any]:
    """Compare the least costs of interleaved runs."""
    print(
        f"tmatch.Matcher, default options; least of {setup.rounds} interleaved runs; bar: {BAR} times a hit"
    )
    print(
        f"{'image':34}{'template':>9}{'':10}{'hit, ms':>16}{'miss, ms':>16}{'ratio':>14}\n{'':60}CPU, clock"
    )
    found: dict[str, Any] = {}
    for shape in SHAPES[:1] if setup.quick else SHAPES:
        images = [scene(name, shape) for name in SCENES]
        for name, image, other in zip(SCENES, images, images[1:] + images[:1], strict=True):
            for side in SIDES[1:3] if setup.quick else SIDES:
                case = f"{name} {shape[0]} x {shape[1]}, {side} x {side}"
                found[case] = compare(image, cut(image, side), cut(other, side), setup)
                print_row(f"{name} {shape[0]} x {shape[1]}", side, **found[case])
    ratios = [case["ratio"][0] for case in found.values() if case["missed"]]
    print(f"CPU: median {statistics.median(ratios):.2f}, most {max(ratios):.2f} times a hit")
    return {
        "cases": found,
        "median": statistics.median(ratios),
        "most": max(ratios),
        "ok": max(ratios) <= BAR,
    }


def scene(name: str, shape: tuple[int, int]) -> np.ndarray:
    """An image of the data sets as it is, mirrored as often as needed."""
    if name == "raccoon":
        return photo(*shape)
    pixels = tmatch.read_image(DATASETS / name)
    margins = [(0, max(0, n - k)) for n, k in zip(shape, pixels.shape, strict=True)]
    return np.ascontiguousarray(np.pad(pixels, margins, mode="symmetric")[: shape[0], : shape[1]])


def cut(image: np.ndarray, side: int) -> np.ndarray:
    return image[100 : 100 + side, 200 : 200 + side].copy()


def compare(image: np.ndarray, present: np.ndarray, absent: np.ndarray, setup: Setup) -> dict[str, Any]:
    """Search for what is there and for what is not, in turn."""
    matchers = tmatch.Matcher(present), tmatch.Matcher(absent)
    hits, others = (matcher.locate(image) for matcher in matchers)
    assert hits
    runs: list[list[Costs]] = [[], []]
    for _ in range(setup.rounds):
        for costs, matcher in zip(runs, matchers, strict=True):
            costs.append(cost(lambda matcher=matcher: matcher.locate(image, workers=setup.threads)))
    hit, miss = ([min(each) for each in zip(*costs, strict=True)] for costs in runs)
    ratio = [b / a for a, b in zip(hit, miss, strict=True)]
    return {"hit": hit, "miss": miss, "ratio": ratio, "missed": not others}


def cost(run: Callable[[], Any]) -> Costs:
    cpu, clock = time.process_time(), time.perf_counter()
    run()
    return 1000 * (time.process_time() - cpu), 1000 * (time.perf_counter() - clock)


def print_row(
    image: str, side: int, *, hit: list[float], miss: list[float], ratio: list[float], missed: bool
) -> None:
    cells = [f"{cpu:.1f}, {clock:.1f}" for cpu, clock in (hit, miss)] + ["{:.2f}, {:.2f}".format(*ratio)]
    found = "" if missed else "finds some"
    print(f"{image:34}{f'{side} x {side}':>9}{found:>10}" + "".join(f"{cell:>16}" for cell in cells))
