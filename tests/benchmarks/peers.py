"""Time tmatch beside its peers in one run and print the ratios.

    python tests/benchmarks/peers.py --what heatmap

Runs are interleaved, medians are compared, results are checked to be equal first. A peer that is
not installed is left out by name. With --what robust nothing is timed: it shows what each makes of
data on which scores go wrong. With --what heatmap --dtypes pixels are of 8 and 16 bits and floats,
images are hard, and searches have masks, holes and other metrics. The last line is the whole in JSON.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import filters
import heatmap
import heatmap_dtypes
import loading
import memory
import misses
import places
import poses_speed
import robust
import screenshots
from common import Setup, rounded

CONTESTS = {
    "heatmap": heatmap.heatmap,
    "locate": places.locate,
    "multi": places.multi,
    "poses": poses_speed.speed,
    "memory": memory.memory,
    "misses": misses.misses,
    "batch": screenshots.batch,
    "filter": filters.filters,
    "loading": loading.loading,
    "robust": lambda _: robust.robust(),
}
ENOUGH_ROUNDS = 7


def main() -> None:
    options = parse()
    if options.engine is None and options.what not in ("filter", "loading", "robust"):
        # What tmatch comes to by itself, once there is work enough; here from the start.
        options.engine = os.environ.get("TMATCH_ENGINE") or (
            "numba" if importlib.util.find_spec("numba") else "numpy"
        )
    if options.engine:
        os.environ["TMATCH_ENGINE"] = options.engine
    about = describe(options)
    print_head(about)
    tables = None if options.dtypes is None else tuple(options.dtypes or heatmap_dtypes.TABLES)
    setup = Setup(options.rounds, options.threads, options.full, options.quick, options.seed, tables)
    contest = CONTESTS[options.what] if tables is None else heatmap_dtypes.dtypes
    result = contest(setup)
    found = result if isinstance(result, dict) else result.as_json()
    about["load"].append(load())
    print(f"\nload at the end {about['load'][-1]}\n")
    print(json.dumps(about | rounded(found)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=CONTESTS, default="heatmap")
    parser.add_argument("--full", action="store_true", help="all sizes and colours: minutes, not seconds")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases, to see that it works")
    parser.add_argument("--rounds", type=int, default=ENOUGH_ROUNDS)
    parser.add_argument(
        "--engine",
        choices=["numpy", "numba"],
        help="the one that does the work; by default as tmatch chooses",
    )
    parser.add_argument("--threads", type=int, help="of tmatch and OpenCV; by default as each likes")
    parser.add_argument(
        "--dtypes",
        nargs="*",
        choices=heatmap_dtypes.TABLES,
        help="of --what heatmap: pixels of other kinds than 8 bits; some tables, or all",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise in the images of --dtypes")
    options = parser.parse_args()
    if options.dtypes is not None and options.what != "heatmap":
        parser.error("--dtypes goes with --what heatmap")
    if options.rounds < 1 or (options.threads is not None and options.threads < 1):
        parser.error("--rounds and --threads are at least 1")
    return options


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on."""
    packages = {
        "opencv": ["opencv-python-headless", "opencv-python", "opencv-contrib-python"],
        "scikit-image": ["scikit-image"],
        "mtm": ["Multi-Template-Matching"],
        "numba": ["numba"],
    }
    return {
        "what": options.what,
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
        **{name: version(*names) for name, names in packages.items()},
        "load": [load()],
        "engine": options.engine or "auto",
        "threads": options.threads,
        "rounds": options.rounds,
        "quick": options.quick,
        "seed": options.seed,
    }


def print_head(about: dict[str, Any]) -> None:
    peers = ", ".join(
        f"{name} {about[name] or 'missing'}" for name in ("opencv", "scikit-image", "mtm", "numba")
    )
    print(f"Python {about['python']}, numpy {about['numpy']}, scipy {about['scipy']}, {peers}")
    print(f"{about['machine']}; load {about['load'][0]}")
    threads = "as each likes" if about["threads"] is None else about["threads"]
    few = f" (fewer than {ENOUGH_ROUNDS}: not to be quoted)" if about["rounds"] < ENOUGH_ROUNDS else ""
    print(f"engine {about['engine']}; threads {threads}; medians of {about['rounds']} interleaved runs{few}")


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        "unknown processor",
    )


def version(*packages: str) -> str | None:
    """The version of the first of these that is installed."""
    for package in packages:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def load() -> float | None:
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


if __name__ == "__main__":
    sys.exit(main())
