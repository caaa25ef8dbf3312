"""Time tmatch beside its peers in one run and print the ratios.

    python tests/benchmarks/peers.py --what heatmap

Runs are interleaved, medians are compared, results are checked to be equal first. A peer that is
not installed is left out by name.
"""

import argparse
import importlib
import itertools
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tmatch

DATASETS = Path(__file__).parents[2] / "datasets"
Contest = dict[str, Callable[[], np.ndarray]]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=["heatmap", "filter"], default="heatmap")
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
    else:
        filters(options.rounds, full=options.full)


if __name__ == "__main__":
    sys.exit(main())
