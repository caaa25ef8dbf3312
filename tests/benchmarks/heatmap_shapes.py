"""Volumes beside scikit-image, signals beside SciPy, and small frames of a video beside OpenCV."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from common import Contest, Report, Setup, opencv, optional, photo_of_floats, race, within
from heatmap import cell
from scipy import ndimage

import tmatch

VOLUME, VOLUME_SIDE = (128, 160, 160), 16
SIGNAL, SIGNAL_LENGTH = 2_000_000, 512
FRAMES, FRAME_SIDE = [(240, 320), (480, 640)], 32
FRAME_COUNT = 10  # in one run, which is too short to be timed alone
DTYPES = ("uint8", "float32", "float64")
DOUBLE, SINGLE, MATCHER = "tmatch double", "tmatch single", "Matcher.locate"
OPENCV, SKIMAGE, SCIPY = "OpenCV", "scikit-image", "SciPy"


def shapes(setup: Setup) -> Report:
    """Race in a volume and in a signal."""
    report = Report([DOUBLE, SINGLE])
    print("\nms, times as long as tmatch in double and single precision, CPU ns for each pixel")
    skimage = optional("skimage.feature", install="scikit-image")
    volume = (VOLUME, (VOLUME_SIDE,) * 3, SKIMAGE, skimage and skimage.match_template)
    for shape, window, peer, search in (volume, ((SIGNAL,), (SIGNAL_LENGTH,), SCIPY, by_scipy)):
        print_head(shape, window, [DOUBLE, SINGLE], peer)
        for dtype in DTYPES:
            contest = contest_of(make(shape, dtype, setup.seed), window, setup.threads, peer, search)
            run(report, f"{dtype} {'x'.join(map(str, shape))}", dtype, contest, setup, int(np.prod(shape)))
    return report


def make(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Smooth grey levels with a little noise."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    values = 127 + 35 * smooth / smooth.std() + rng.normal(0, 2, shape)
    return tmatch.to_range(values) if dtype == "uint8" else values.astype(dtype)


def contest_of(
    image: np.ndarray,
    window: tuple[int, ...],
    threads: int | None,
    peer: str,
    by_peer: Callable[..., Any] | None,
) -> Contest:
    template = image[
        tuple(slice(n // 3, n // 3 + k) for n, k in zip(image.shape, window, strict=True))
    ].copy()
    search = functools.partial(tmatch.match_template, image, template, workers=threads)
    contest: Contest = {DOUBLE: search, SINGLE: functools.partial(search, precision="single")}
    if by_peer:
        contest[peer] = functools.partial(by_peer, image, template)
    return contest


def by_scipy(signal: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Compute ZNCC by a transform of the whole and by cumulative sums."""
    from scipy.signal import correlate

    values, n = signal - signal.mean(), template.size
    centred = template - template.mean()
    product = correlate(values, centred, mode="valid", method="fft")
    sums, squares = (np.concatenate([[0], np.cumsum(v, dtype=np.float64)]) for v in (values, values * values))
    first, second = sums[n:] - sums[:-n], squares[n:] - squares[:-n]
    return product / np.sqrt((second - first * first / n) * np.sum(centred * centred))


# --- frames ---------------------------------------------------------------------------------------


def frames(setup: Setup) -> Report:
    """Race in small frames, each with the template at another place."""
    cv2, report = opencv(setup), Report([MATCHER])
    print(f"\nms a frame; OpenCV: matchTemplate and minMaxLoc; runs of {FRAME_COUNT} frames")
    for shape in FRAMES:
        print_head(shape, (FRAME_SIDE, FRAME_SIDE), [MATCHER], OPENCV)
        for dtype in ("uint8", "float32"):
            images, template = make_frames(shape, dtype, setup.seed)
            matcher = tmatch.Matcher(template)
            contest: Contest = {MATCHER: functools.partial(best_by_matcher, matcher, images, setup.threads)}
            if cv2:
                contest[OPENCV] = functools.partial(best_by_opencv, cv2, images, template)
            case = f"{dtype} {'x'.join(map(str, shape))}"
            run(report, case, dtype, contest, setup, shape[0] * shape[1], FRAME_COUNT)
    return report


def make_frames(shape: tuple[int, int], dtype: str, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    scene = photo_of_floats(900, 1200, seed=seed)
    template = scene[300 : 300 + FRAME_SIDE, 500 : 500 + FRAME_SIDE].T.copy()
    images = []
    for _ in range(FRAME_COUNT):
        top, left = rng.integers(0, np.subtract(scene.shape, shape))
        row, column = rng.integers(0, np.subtract(shape, FRAME_SIDE))
        image = scene[top : top + shape[0], left : left + shape[1]].copy()
        image[row : row + FRAME_SIDE, column : column + FRAME_SIDE] = template
        images.append(image + rng.normal(0, 2, shape))
    convert = tmatch.to_range if dtype == "uint8" else functools.partial(np.asarray, dtype=dtype)
    return [convert(image) for image in images], convert(template)


def best_by_matcher(matcher: tmatch.Matcher, images: list[np.ndarray], workers: int | None) -> np.ndarray:
    return np.array([matcher.locate(image, workers=workers)[0].box.start for image in images])


def best_by_opencv(cv2: Any, images: list[np.ndarray], template: np.ndarray) -> np.ndarray:
    scores = (cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED) for image in images)
    return np.array([cv2.minMaxLoc(each)[3][::-1] for each in scores])


# --- the race -------------------------------------------------------------------------------------


def run(
    report: Report, case: str, dtype: str, contest: Contest, setup: Setup, pixels: int, count: int = 1
) -> None:
    """Race, and print who took how long, for each of so many images."""
    timings = race(contest, setup.rounds, within(1e-3, **{SINGLE: 1e-4}))
    times = {name: timing.ms / count for name, timing in timings.items()}
    cpu = {name: 1e6 * timing.cpu / count / pixels for name, timing in timings.items()}
    report.add(case, times, **{"CPU ns per pixel": cpu})
    ratios = [
        f"{cell(next(iter(of.values()), None), 2, 'x'):>16}" for of in report.cases[case]["ratios"].values()
    ]
    print(
        f"{dtype:10}" + "".join(f"{ms:16.2f}" for ms in times.values()) + "".join(ratios)
        + "   " + "".join(f"{ns:8.1f}" for ns in cpu.values()),
        flush=True,
    )  # fmt: skip


def print_head(shape: tuple[int, ...], window: tuple[int, ...], ours: list[str], peer: str) -> None:
    print(
        f"\n{'x'.join(map(str, shape))}, template {'x'.join(map(str, window))}; ms, ratios, CPU ns/px in this order"
    )
    columns = [*ours, peer, *(f"x {our.split()[-1].split('.')[-1]}" for our in ours)]
    print(f"{'':10}" + "".join(f"{column:>16}" for column in columns))
