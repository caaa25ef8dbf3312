"""Time tmatch beside its peers in one run and print the ratios.

    python tests/benchmarks/peers.py --what heatmap

Runs are interleaved, medians are compared, results are checked to be equal first. A peer that is
not installed is left out by name.
"""

import argparse
import importlib
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=["heatmap"], default="heatmap")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    import scipy

    print(
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}, "
        f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}; "
        f"medians of {options.rounds} interleaved runs"
    )
    {"heatmap": heatmap}[options.what](options.rounds)


if __name__ == "__main__":
    sys.exit(main())
