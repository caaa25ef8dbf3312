"""How well objects are found that are rotated, of another size or mirrored: misses, exactness, chance, speed, memory.

    python tests/benchmarks/poses.py --study misses

Objects are drawn from finer images, see tests/pose_scenes.py. "ok" or "NO" beside a figure says whether it keeps its
bar. Every search has a seed of its own, so that results do not depend on --workers. The last line is the whole in JSON.
"""

import argparse
import importlib.util
import json
import os
import time
from typing import Any

import poses_chance
import poses_memory
import poses_misses
import poses_refinement
import poses_speed
from common import Setup, rounded
from poses_cases import STUDIES, Study

from peers import ENOUGH_ROUNDS, describe, print_head


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Do what `peers.py --what poses` does."""
    setup = Setup(options.rounds, options.threads, full=False, quick=options.quick)
    return poses_speed.speed(setup).as_json()


RUNS: dict[str, Study] = {
    "misses": poses_misses.misses,
    "refinement": poses_refinement.refinement,
    "absent": poses_chance.absent,
    "present": poses_chance.present,
    "speed": speed,
    "memory": poses_memory.memory,
}


def main() -> None:
    options = parse()
    # What tmatch comes to by itself, once there is work enough; here from the start.
    options.engine = os.environ.setdefault(
        "TMATCH_ENGINE", "numba" if importlib.util.find_spec("numba") else "numpy"
    )
    options.what = "poses"
    found = describe(options) | {"seed": options.seed}
    print_head(found)
    for study in dict.fromkeys(options.study):
        begin = time.perf_counter()
        found[study] = RUNS[study](options)
        print(f"{time.perf_counter() - begin:.0f} s", flush=True)
    print(f"\n{json.dumps(rounded(found))}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=STUDIES, nargs="+", default=list(STUDIES))
    parser.add_argument("--quick", action="store_true", help="fewer searches, to see that it works")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=ENOUGH_ROUNDS, help="of the study of speed")
    parser.add_argument("--threads", type=int, help="of the study of speed; by default as each likes")
    parser.add_argument("--workers", type=int, default=2, metavar="PROCESSES", help="of the other studies")
    options = parser.parse_args()
    if min(options.workers, options.rounds) < 1 or options.seed < 0:
        parser.error("--workers and --rounds are at least 1, --seed at least 0")
    return options


if __name__ == "__main__":
    main()
