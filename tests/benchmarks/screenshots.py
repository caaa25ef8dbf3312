"""Many screenshots and a few icons in one call, beside a loop of a kept matcher and one of OpenCV."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from common import Setup, from_tests, optional
from PIL import Image

import tmatch

if TYPE_CHECKING:
    from collections.abc import Callable

screens = from_tests("screens")

LOOP_BAR, PEER_BAR = 1.2, 3.0  # times a loop of Matcher.locate at most, and an OpenCV loop at least


def batch(setup: Setup) -> dict[str, Any]:
    """Search drawn screenshots for icons, from files to what was found; medians of interleaved runs."""
    count = 8 if setup.quick else 40
    drawn = [screens.screen(seed) for seed in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, each in enumerate(drawn):
            paths.append(Path(folder) / f"shot{number:02d}.png")
            Image.fromarray(each.pixels).save(paths[-1])
        icons = {name: screens.icon(name) for name in screens.ICONS}
        contest: dict[str, Callable[[], Any]] = {
            "locate_many": lambda: many(paths, icons),
            "loop of Matcher.locate": lambda: loop(paths, icons),
        }
        cv2 = optional("cv2")
        if cv2 is not None:
            contest["loop of cv2, score 0.9"] = lambda: opencv(cv2, paths, icons)
        times: dict[str, list[float]] = {name: [] for name in contest}
        results = {}
        for _ in range(setup.rounds):
            for name, run in contest.items():
                begin = time.perf_counter()
                results[name] = run()
                times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(each) for name, each in times.items()}
    print(f"{count} screenshots of 1280 x 800, {len(icons)} icons: {count * len(icons)} searches, from files")
    for name, seconds in medians.items():
        wrong = sum(found != set(places(each)) for found, each in zip(results[name], drawn, strict=True))
        print(
            f"{name:26}{seconds:8.2f} s{seconds / medians['locate_many']:8.2f}   {wrong} screenshots told wrongly"
        )
    return {"seconds": medians, "loop_bar": LOOP_BAR, "peer_bar": PEER_BAR}


def places(drawn: Any) -> list[tuple[str, int, int]]:
    return [(name, *place) for name, place in drawn.icons.items() if place]


def many(paths: list[Path], icons: dict[str, np.ndarray]) -> list[set[tuple[str, int, int]]]:
    images = tmatch.open_images(*paths)
    found = tmatch.locate_many(images, icons, copies_only=True)
    return [{(match.label, match.x, match.y) for match in matches} for _, matches in found]


def loop(paths: list[Path], icons: dict[str, np.ndarray]) -> list[set[tuple[str, int, int]]]:
    matcher = tmatch.Matcher(icons)
    found = (matcher.locate(tmatch.read_image(path), copies_only=True) for path in paths)
    return [{(match.label, match.x, match.y) for match in matches} for matches in found]


def opencv(cv2: Any, paths: list[Path], icons: dict[str, np.ndarray]) -> list[set[tuple[str, int, int]]]:
    """What tutorials tell: read, match in colour, take what scores 0.9 or more."""
    templates = {name: cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) for name, pixels in icons.items()}
    results = []
    for path in paths:
        image = cv2.imread(str(path))
        found = set()
        for name, template in templates.items():
            rows, columns = np.nonzero(cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED) >= 0.9)
            found |= {(name, int(x), int(y)) for x, y in zip(columns, rows, strict=True)}
        results.append(found)
    return results
