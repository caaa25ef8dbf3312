"""How fast poses are found: a published case and images of 1920 x 1080, beside single calls of OpenCV."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from common import Contest, Report, Setup, Times, from_tests, keep_memory, opencv, race
from detection_trials import verdict

import tmatch

scenes = from_tests("pose_scenes")

THRESHOLD = 0.8
LOCATE, MATCHER, MADE, OPENCV = (
    "tmatch.locate",
    "tmatch.Matcher",
    "tmatch.Matcher, no threshold",
    "one call of OpenCV",
)
# Places and angles of the three objects, of a scene of 4024 x 3036 with a template of 762 x 521 that was published with
# "Fastest Image Pattern Matching"; the images are other ones.
PUBLISHED_SHAPE, PUBLISHED_TEMPLATE = (3036, 4024), (521, 762)
PUBLISHED = (
    scenes.Placed((1045.433, 1725.857), 0.046),
    scenes.Placed((2100.446, 2662.869), -119.979),
    scenes.Placed((2098.494, 1000.936), 120.150),
)
SCALES = (0.8, 1.25)
SMALL, LARGE = scenes.KINDS["tripod"], scenes.Kind("raccoon", (164, 544), (96, 96))


class Case(NamedTuple):
    """A scene, what is asked of it, and the bars."""

    name: str
    scene: Any
    options: dict[str, Any]
    ms: float = math.inf  # at most
    of_opencv: float = math.inf  # at most so many times one call
    pixels: float = 0.1  # at most, from the truth
    degrees: float = 0.5


def speed(setup: Setup) -> Report:
    """Time searches for three objects at any angle, beside one call of OpenCV for one pose."""
    cv2 = opencv(setup)
    keep_memory()
    print(
        f"Three objects at any angle; all were found, scores at least {THRESHOLD} but where none is asked for.\n"
        "tmatch.Matcher: made before. OpenCV: matchTemplate for a single pose, TM_CCOEFF_NORMED."
    )
    report = Report([LOCATE, MATCHER, MADE])
    for case in (published(), *full_hd(setup)):
        run(report, case, setup, cv2)
    return report


# --- scenes ---------------------------------------------------------------------------------------


def published(seed: int = 0) -> Case:
    """Draw raccoons on gravel, with little noise."""
    from scipy.ndimage import zoom

    rng, factor = np.random.default_rng(seed), 2
    height, width = (factor * n for n in PUBLISHED_TEMPLATE)
    fine = zoom(scenes.source_of("raccoon")[40:700, 40:1000], 1.6, order=3)[:height, :width]
    gravel = scenes.source_of("gravel")
    ground = np.pad(
        gravel, [(0, n - k) for n, k in zip(PUBLISHED_SHAPE, gravel.shape, strict=True)], mode="symmetric"
    )
    for placed in PUBLISHED:
        scenes.draw(ground, fine, placed, factor)
    template = scenes.expose(scenes.block_means(fine, factor))
    scene = scenes.Scene(scenes.expose(ground, rng, sigma=2), template, list(PUBLISHED))
    return Case(
        "published: 4024 x 3036, 762 x 521",
        scene,
        {"angles": "all"},
        of_opencv=0.25,
        pixels=0.01,
        degrees=0.003,
    )


def full_hd(setup: Setup) -> list[Case]:
    """Draw objects of 48 and 96 pixels, upright in size and not, with noise."""
    bars = {("48 px", False): 100, ("96 px", False): 65, ("48 px", True): 600, ("96 px", True): 180}
    cases = []
    for (name, scaled), ms in bars.items():
        kind, scales = (SMALL if name == "48 px" else LARGE), (SCALES if scaled else (1, 1))
        options = {"angles": "all"} | ({"scales": SCALES} if scaled else {})
        scene = on_raccoons(kind, scales)
        title = f"1920 x 1080, {name}" + (", scales 0.8 to 1.25" if scaled else "")
        cases.append(Case(title, scene, options, ms=ms, of_opencv=math.inf if scaled else 360 / 120))
    return cases[:2] if setup.quick else cases


def on_raccoons(kind: Any, scales: tuple[float, float], seed: int = 1) -> Any:
    rng, photo = np.random.default_rng(seed), scenes.source_of("raccoon")
    ground = np.pad(
        photo, [(0, n - k) for n, k in zip((1080, 1920), photo.shape, strict=True)], mode="symmetric"
    )
    placed = [
        scenes.Placed(
            tuple(center + rng.uniform(-1, 1, 2)),
            float(rng.uniform(-180, 180)),
            math.exp(rng.uniform(*np.log(scales))),
        )
        for center in np.array([(300, 300), (700, 900), (500, 1500)])
    ]
    for each in placed:
        scenes.draw(ground, scenes.finer(kind), each)
    return scenes.Scene(scenes.expose(ground, rng, sigma=10), scenes.template_of(kind), placed)


# --- the race -------------------------------------------------------------------------------------


def run(report: Report, case: Case, setup: Setup, cv2: Any) -> None:
    """Race, and print who took how long and how far off the places are."""
    image, template, placed = case.scene
    matcher = tmatch.Matcher(template, **case.options)
    search = {"threshold": THRESHOLD, "workers": setup.threads}
    contest: Contest = {
        LOCATE: lambda: tmatch.locate(image, template, **case.options, **search),
        MATCHER: lambda: matcher.locate(image, **search),
        MADE: lambda: matcher.locate(image, workers=setup.threads),
    }
    if cv2:
        contest[OPENCV] = lambda: cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED)
    print(f"\n{case.name}")
    worst: list[tuple[float, float]] = []
    timings = race(contest, setup.rounds, functools.partial(check, placed, worst))
    times = {name: timing.ms for name, timing in timings.items()}
    pixels, degrees = map(max, zip(*worst, strict=True))
    report.add(case.name, times, pixels=pixels, degrees=degrees)
    print_times(case, times)
    print(
        f"  worst of the three: {pixels:.4f} px{verdict(pixels <= case.pixels)} (bar {case.pixels}), "
        f"{degrees:.4f} degrees{verdict(degrees <= case.degrees)} (bar {case.degrees})"
    )


def check(placed: list[Any], worst: list[tuple[float, float]], name: str, result: Any, _first: Any) -> None:
    """Check that all objects are found, and keep the largest errors."""
    if name == OPENCV:
        return
    for each in placed:
        match = scenes.nearest(result, each)
        rows, columns, angle, _ = scenes.off_by(match, each) if match else (math.inf,) * 4
        if math.hypot(rows, columns) > 1:
            msg = f"{name} did not find {each}: {result}"
            raise AssertionError(msg)
        worst.append((max(abs(rows), abs(columns)), abs(angle)))
    if len(result) != len(placed):
        print(f"  {name} found {len(result)} matches, {len(placed)} are there")


def print_times(case: Case, times: Times) -> None:
    """Print medians, beside the bars and OpenCV."""
    for name, ms in times.items():
        line = f"  {name:30}{ms:9.1f} ms"
        if name != OPENCV:
            if case.ms < math.inf:
                line += f"{verdict(ms <= case.ms)} (bar {case.ms:g})"
            if OPENCV in times:
                ratio = ms / times[OPENCV]
                line += f"; {ratio:.3f} of one call of OpenCV"
                if case.of_opencv < math.inf:
                    line += f"{verdict(ratio <= case.of_opencv)} (bar {case.of_opencv:g})"
                line += f", {360 / ratio:.0f} times as fast as 360"
        print(line, flush=True)
