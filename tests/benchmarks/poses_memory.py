"""Memory that a search over all poses takes beyond that of a plain one, each in a process of its own."""

import argparse
import functools
import gc
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import Child
from detection_trials import verdict
from memory import MIB, SHAPE, WARM_UP_SIDE, give_back, make_file, planted, resident, sampled, shown
from poses_cases import print_table

import tmatch

LARGE, QUICK_LARGE = (20000, 20000), (8000, 8000)
SEARCHES = {
    "upright": {},
    "all angles": {"angles": "all"},
    "scales, too": {"angles": "all", "scales": (0.8, 1.25)},
}
MOST_MORE = 200  # MB more than a plain search
THRESHOLD = 0.8


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the peaks of resident memory beyond the image."""
    if sys.platform != "linux":
        print("\nmemory: reads /proc/self/status, which only Linux has")
        return {}
    shapes = SHAPE, (QUICK_LARGE if options.quick else LARGE)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for shape in shapes:
            path = Path(folder) / f"{shape[0]}.npy"
            with Child() as child:
                child.call(make_file, path, shape)
            found[shown(shape)] = {}
            for name, sought in SEARCHES.items():
                with Child() as child:
                    found[shown(shape)][name] = child.call(peak_of, path, sought)
    print_table(
        f"memory: peak of the process's own memory during a search of a mapped file, MiB. Bar: {MOST_MORE} MB\n"
        "more than upright.",
        ["", *SEARCHES],
        [[shape, *cells_of(peaks)] for shape, peaks in found.items()],
    )
    return found


def cells_of(peaks: dict[str, float]) -> list[str]:
    least = peaks["upright"]
    return [
        f"{peak:.0f}" + ("" if name == "upright" else verdict(peak - least <= MOST_MORE * 1e6 / MIB))
        for name, peak in peaks.items()
    ]


def peak_of(path: Path, sought: dict[str, Any]) -> float:
    """Search once for what the image has, and return the peak in MiB; libraries are loaded before."""
    image = np.load(path, mmap_mode="r")
    template = np.array(image[planted()])
    search = functools.partial(tmatch.locate, threshold=THRESHOLD, **sought)
    small = np.random.default_rng(0).integers(0, 256, (WARM_UP_SIDE, WARM_UP_SIDE), dtype=np.uint8)
    search(small, template)
    gc.collect()
    give_back()
    before = resident()["RssAnon"]
    with sampled() as samples:
        matches = search(image, template)
    middle = [(part.start + part.stop - 1) / 2 for part in planted()]
    if not np.allclose(matches[0].center, middle, atol=1):
        msg = f"the best match is at {matches[0].center} and should be at {middle}"
        raise AssertionError(msg)
    return (max(sample["RssAnon"] for sample in samples) - before) / MIB
