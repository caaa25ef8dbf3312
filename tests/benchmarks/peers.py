"""Time tmatch beside its peers in one run and print the ratios.

    python tests/benchmarks/peers.py --what heatmap

Runs are interleaved, medians are compared, results are checked to be equal first. A peer that is
not installed is left out by name. With --what robust nothing is timed: it shows what each makes of
data on which scores go wrong.
"""

import argparse
import importlib
import importlib.util
import itertools
import math
import os
import platform
import re
import statistics
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import tmatch

DATASETS = Path(__file__).parents[2] / "datasets"
ORACLE = Path(__file__).parents[1] / "oracle.py"
Contest = dict[str, Callable[[], np.ndarray]]
Case = tuple[str, np.ndarray, np.ndarray, dict]  # its name, image, template, options of match_template


def photo(height: int, width: int) -> np.ndarray:
    """A photograph of any size: the raccoon in grey, mirrored as often as needed, with a little noise."""
    face = tmatch.read_image(DATASETS / "raccoon" / "face_gray.png").astype(np.float64)
    tiled = np.pad(
        face, [(0, max(0, height - face.shape[0])), (0, max(0, width - face.shape[1]))], mode="symmetric"
    )
    noise = np.random.default_rng(0).normal(0, 2, (height, width))
    return tmatch.to_range(tiled[:height, :width] + noise)


def optional(module: str):
    try:
        return importlib.import_module(module)
    except ImportError:
        print(f"{module} is not installed: left out")
        return None


def race(contest: Contest, tolerance: float, rounds: int) -> dict[str, float]:
    """Medians in milliseconds, after checking that all give what the first gives."""
    first, *_ = results = [run() for run in contest.values()]
    for name, result in zip(contest, results, strict=True):
        np.testing.assert_allclose(result, first, atol=tolerance, err_msg=name)
    times = {name: [] for name in contest}
    for _ in range(rounds):
        for name, run in contest.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    return {name: 1000 * statistics.median(t) for name, t in times.items()}


def heatmap(rounds: int) -> None:
    """Whole ZNCC maps of 8-bit grey images."""
    skimage, cv2 = optional("skimage.feature"), optional("cv2")
    print(
        f"{'image':>11} {'template':>9} {'tmatch ms':>10} {'scikit-image':>16} {'OpenCV':>16}   (ms, times tmatch)"
    )
    for height, width in [(1080, 1920)]:
        image = photo(height, width)
        for h, w in [(16, 16), (64, 64), (256, 256), (31, 200)]:
            template = image[300 : 300 + h, 700 : 700 + w].copy()
            contest: Contest = {"tmatch": lambda i=image, t=template: tmatch.match_template(i, t)}
            if skimage:
                contest["scikit-image"] = lambda i=image, t=template: skimage.match_template(i, t)
            if cv2:
                contest["OpenCV"] = lambda i=image, t=template: cv2.matchTemplate(i, t, cv2.TM_CCOEFF_NORMED)
            times = race(contest, tolerance=1e-3, rounds=rounds)
            ours = times.pop("tmatch")
            peers = "".join(f"{t:9.1f} {t / ours:5.2f}x" for t in times.values())
            print(f"{height:5}x{width:<5} {h:4}x{w:<4} {ours:9.1f}  {peers}", flush=True)


def filters(rounds: int, *, full: bool) -> None:
    """Convolution with zeros outside, results as large as the image, in the precision of the image (8 bit: double)."""
    from scipy import ndimage, signal

    cv2 = optional("cv2")
    shapes = [(512, 512), (1080, 1920)] + ([(2160, 3840)] if full else [])
    print(
        "     image  colours  dtype    kernel             tmatch ms   times tmatch of each peer with the same numbers"
    )
    worst: dict[str, float] = {}
    for (height, width), colours, dtype in itertools.product(shapes, (1, 3), ("u1", "f4", "f8")):
        image = np.stack([photo(height, width)] * 3, axis=-1).astype(dtype)
        image = image if colours == 3 else np.ascontiguousarray(image[..., 0])
        for separable, size in itertools.product((False, True), (3, 5, 7, 11, 21, 31, 64)):
            if colours == 3 and not full and size not in (3, 7, 21):
                continue
            kernel, column, row = make_kernel(size, separable=separable)
            contest = contest_of_filters(image, kernel, signal, ndimage, cv2)
            if separable:
                contest |= contest_of_separable(image, column, row, ndimage, cv2)
            tolerance = 1e-8 if dtype != "f4" else 2e-3  # of grey levels up to 255 times weights of sum 1
            times = race(contest, tolerance, rounds if height < 2000 else 3)
            ours = times.pop("tmatch")
            ratios = {name: t / ours for name, t in times.items()}
            for name, ratio in ratios.items():
                for key in bars(name, size, dtype, separable=separable):
                    worst[key] = min(worst.get(key, math.inf), ratio)
            shown = "  ".join(f"{name} {ratio:.2f}x" for name, ratio in ratios.items())
            kind = "separable" if separable else "general"
            print(
                f"{height:5}x{width:<5} {colours}  {dtype}  {size:3}x{size:<3} {kind:9} {ours:10.2f}   {shown}",
                flush=True,
            )
    print("\nleast ratio over the table (above 1: tmatch is faster)")
    for key, ratio in sorted(worst.items()):
        print(f"  {key:60} {ratio:.2f}x")


def make_kernel(size: int, *, separable: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(size)
    column, row = random.random(size), random.random(size)
    kernel = np.outer(column, row) if separable else random.random((size, size))
    return kernel / kernel.sum(), column / column.sum(), row / row.sum()


def contest_of_filters(image, kernel, signal, ndimage, cv2) -> Contest:
    size, colour = len(kernel), image.ndim == 3
    single = image.dtype == np.float32
    weights = kernel[..., None] if colour else kernel
    weights = weights.astype(np.float32) if single else weights
    origin = [(size % 2) - 1] * 2 + [0] * colour  # ndimage's centre of even kernels lies one pixel further
    anchor = ((size - 1) // 2,) * 2
    target = np.float32 if single else np.float64
    contest: Contest = {
        "tmatch": lambda: tmatch.convolve(image, kernel, anchor=anchor, channel_axis=2 if colour else None),
        "fftconvolve": lambda: signal.fftconvolve(image, weights, mode="same", axes=(0, 1)),
        "oaconvolve": lambda: signal.oaconvolve(image, weights, mode="same", axes=(0, 1)),
    }
    if image.size * size * size < 3e8:  # beyond that these take seconds
        contest["ndimage"] = lambda: ndimage.convolve(
            image, weights, output=target, mode="constant", origin=origin
        )
        if not colour:
            contest["convolve2d"] = lambda: signal.convolve2d(image, weights, mode="same")
    if cv2:
        flipped = np.ascontiguousarray(kernel[::-1, ::-1])
        depth = cv2.CV_32F if single else cv2.CV_64F
        contest["filter2D"] = lambda: cv2.filter2D(image, depth, flipped, borderType=cv2.BORDER_CONSTANT)
    return contest


def contest_of_separable(image, column, row, ndimage, cv2) -> Contest:
    single = image.dtype == np.float32
    origin = (len(row) % 2) - 1
    options = {"output": np.float32 if single else np.float64, "mode": "constant", "origin": origin}

    def chain() -> np.ndarray:
        return ndimage.convolve1d(
            ndimage.convolve1d(image, column, axis=0, **options), row, axis=1, **options
        )

    contest: Contest = {"1d chain": chain}
    if cv2:
        depth = cv2.CV_32F if single else cv2.CV_64F
        x, y = row[::-1].copy(), column[::-1].copy()
        contest["sepFilter2D"] = lambda: cv2.sepFilter2D(image, depth, x, y, borderType=cv2.BORDER_CONSTANT)
    return contest


def bars(name: str, size: int, dtype: str, *, separable: bool) -> list[str]:
    """The promises a peer's ratio counts for."""
    if name in ("fftconvolve", "oaconvolve", "1d chain"):
        return ["any of SciPy: at least 1"]
    if name == "convolve2d":
        return ["any of SciPy: at least 1", "scipy.signal.convolve2d: at least 5"]
    if name == "ndimage":
        return ["any of SciPy: at least 1"] + (
            ["scipy.ndimage from 7 x 7 on: at least 5"] if size >= 7 else []
        )
    if name == "filter2D" and size >= 21 and dtype == "f4" and not separable:
        return ["cv2.filter2D, general, from 21 x 21 on, float32: at least 2"]
    return []


def robust() -> None:
    """Errors of ZNCC maps on data that is hard on them, against the definition in long double."""
    spec = importlib.util.spec_from_file_location("oracle", ORACLE)
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    searchers = searchers_of_robust(optional("cv2"), optional("skimage"))
    print(
        "largest error against the definition; refused: an error with a reason; silent: no error, and wrong"
    )
    print(f"{'':30}" + "".join(f"{name:36}" for name in searchers).rstrip())
    for name, image, template, options in robust_cases():
        try:
            expected = oracle.score(image, template, **options)[0]
        except ValueError:  # there is nothing to compare, or nowhere
            expected = None
        cells = [outcome(search, image, template, options, expected) for search in searchers.values()]
        print(f"{name:30}" + "".join(f"{cell:36}" for cell in cells).rstrip(), flush=True)


def searchers_of_robust(cv2, skimage) -> dict[str, Callable[..., np.ndarray]]:
    """All with the signature of tmatch.match_template, as far as they can do what it asks for."""

    def by_opencv(image, template, mask=None, channel_axis=None) -> np.ndarray:  # noqa: ARG001 - it guesses the axis
        if mask is not None:
            mask = mask.astype(np.uint8 if mask.dtype == bool else np.float32)
        return cv2.matchTemplate(image, template, cv2.TM_CCOEFF_NORMED, mask=mask)

    def by_skimage(image, template, mask=None, channel_axis=None) -> np.ndarray:  # noqa: ARG001 - to it colour is depth
        if mask is not None:
            msg = "has no masks"
            raise NotImplementedError(msg)
        return skimage.feature.match_template(image, template).squeeze()

    def by_tmatch_single(*arrays, **options) -> np.ndarray:
        return tmatch.match_template(*arrays, **options, precision="single")

    searchers: dict[str, Callable[..., np.ndarray]] = {}
    if cv2:
        searchers[f"OpenCV {cv2.__version__}"] = by_opencv
    if skimage:
        searchers[f"scikit-image {skimage.__version__}"] = by_skimage
    return searchers | {"tmatch": tmatch.match_template, "tmatch, single": by_tmatch_single}


def robust_cases() -> Iterator[Case]:
    """The template is always a piece of the image, unless that is the point."""
    noise, piece = np.random.default_rng(0).normal(size=(48, 60)), np.s_[24:33, 36:47]
    single = noise.astype(np.float32)

    def cut(name: str, image: np.ndarray, **options) -> Case:
        return name, image, image[piece].copy(), options

    yield cut("8 bits, a photo", photo(400, 700)[300:348, 600:660])
    for dtype, offset in itertools.product(("f4", "f8"), (1e2, 1e3, 1e4, 1e6, 1e8)):
        yield cut(f"offset {offset:.0e}, float{8 * np.dtype(dtype).itemsize}", (noise + offset).astype(dtype))
    for dtype, scale in itertools.product(("f4", "f8"), (1e-9, 1e9)):
        yield cut(f"scale {scale:.0e}, float{8 * np.dtype(dtype).itemsize}", (noise * scale).astype(dtype))
    left = np.arange(60) < 30
    yield cut("faint beside a bright flat", np.where(left, np.float32(1e4), single))
    yield cut("flat windows, float32", np.where(left, np.float32(0.1), single))
    yield "flat template", single, np.full((9, 11), 0.1, np.float32), {}
    yield cut(
        "one NaN in a corner", np.where(np.indices(noise.shape).sum(axis=0) == 0, np.float32(np.nan), single)
    )
    yield cut("uint16", (noise * 5000 + 32768).astype(np.uint16))
    yield cut("bool", noise > 0)
    distance = np.hypot(*(np.indices((9, 11)) - np.array([[[4]], [[5]]])))
    yield cut("mask", single, mask=distance < 4.5)
    yield cut("mask, half is flat", np.where(left, np.float32(100), single), mask=distance < 4.5)
    yield cut("soft mask", single, mask=np.clip((5.5 - distance) / 4, 0, 1).astype(np.float32))
    yield "swapped arguments", single[piece].copy(), single, {}
    colour = np.random.default_rng(1).normal(size=(48, 60, 3)).astype(np.float32)
    yield "colour cast", colour + np.float32([0, 1, 3]), colour[piece].copy(), {"channel_axis": 2}


def outcome(search: Callable[..., np.ndarray], image, template, options: dict, expected) -> str:
    """One cell of the table: how far off the scores are, or what else happened."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = np.asarray(search(image, template, **options))
    except Exception as error:  # noqa: BLE001 - every peer has its own
        reason = re.sub(r"^OpenCV.* error: \(.*?\) ", "", str(error)).splitlines()[0]
        return "refused: " + textwrap.shorten(reason, 25, placeholder="..")
    if not np.isfinite(scores).all():
        what = "NaN" if np.isnan(scores).any() else "inf"
        return f"{what} at {np.mean(~np.isfinite(scores)):.0%} of places"
    if scores.min() == scores.max():
        return f"silent: all {scores.min():zg}"
    if expected is None:
        swapped = image.shape < template.shape and np.array_equal(scores, search(template, image, **options))
        return "silent: swapped" if swapped else f"silent: up to {scores.max():.2g}"
    return f"{np.abs(scores - expected).max():.0e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=["heatmap", "filter", "robust"], default="heatmap")
    parser.add_argument("--full", action="store_true", help="all sizes and colours: minutes, not seconds")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--engine",
        choices=["numpy", "numba"],
        help="the one that does the work; by default as tmatch chooses",
    )
    options = parser.parse_args()
    if options.engine:
        os.environ["TMATCH_ENGINE"] = options.engine
    import scipy

    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}; "
        f"medians of {options.rounds} interleaved runs"
    )
    if options.what == "heatmap":
        heatmap(options.rounds)
    elif options.what == "robust":
        robust()
    else:
        filters(options.rounds, full=options.full)


if __name__ == "__main__":
    sys.exit(main())
