"""When is compiled code worth loading? What loading costs, what calls cost without and with it, and the worst rule.

A rule loads it before the call with which the work done without it passes a bound. Its cost after so many calls is
compared with the better of two others, which know how many come: never load, or load at once. The bound with the
lowest ratio at worst, over all cases and counts of calls, is the best one: `loading_work` of the execution policy.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import Child, Setup, photo

import tmatch
from tmatch._engine import execution, select

SIDE, MOST_CALLS = 32, 100_000
SIZES = {"320 x 240": (240, 320), "640 x 480": (480, 640), "1920 x 1080": (1080, 1920)}
BOUNDS = [1e8 * factor for factor in (2, 4, 6, 8, 10, 12, 14, 16, 20, 25, 30, 40)]
ABOUT = f"""\
Processor time of one call with a template of {SIDE} x {SIDE}, milliseconds, the least of some; all threads together.

{"":36}{"NumPy":>9}{"numba":>9}{"work":>9}{"ns/unit":>9}"""


@dataclass(frozen=True)
class Case:
    """Seconds of one call by NumPy and by compiled code, and the work that it is counted as."""

    numpy: float
    compiled: float
    work: float

    def worst_ratio(self, bound: float, loading: float) -> float:
        """Cost of a rule divided by that of the better choice, for the worst number of calls."""
        calls = np.arange(1, MOST_CALLS)
        before = np.minimum(calls, int(bound / self.work))
        cost = before * self.numpy + (calls - before) * self.compiled + np.where(calls > before, loading, 0)
        best = np.minimum(calls * self.numpy, loading + calls * self.compiled)
        return float((cost / best).max())


def loading(setup: Setup) -> dict[str, Any]:
    with Child(TMATCH_ENGINE="numba") as child:  # compiles what no process before has
        child.call(measure_calls, setup)
    costs = []
    for _ in range(1 if setup.quick else 5):
        with Child(TMATCH_ENGINE="numba") as child:
            costs.append(child.call(measure_loading))
    cost = min(costs, key=sum)
    print(f"loading: {1000 * cost[0]:.0f} ms to import, {1000 * cost[1]:.0f} ms until a search is done\n")
    measured = {}
    for engine in ("auto", "numba"):
        with Child(TMATCH_ENGINE=engine) as child:
            measured[engine] = child.call(measure_calls, setup)
    cases = {}
    print(ABOUT)
    for name, (seconds, work) in measured["auto"].items():
        case = cases[name] = Case(seconds, measured["numba"][name][0], work)
        row = 1000 * case.numpy, 1000 * case.compiled, case.work / 1e6, 1e9 * case.numpy / case.work
        print(f"{name:36}{row[0]:9.2f}{row[1]:9.2f}{row[2]:8.1f}M{row[3]:9.2f}")
    return {"loading": cost, "ms": measured, "worst ratios": compare(cases, sum(cost))}


def compare(cases: dict[str, Case], cost: float) -> dict[str, float]:
    """Print the worst ratio of each bound, and in which case."""
    print(f"\n{'bound':>9}{'ratio':>8}  in the worst case (now {execution.current().loading_work:.3g})")
    ratios = {}
    for bound in BOUNDS:
        name, ratio = max(
            ((name, case.worst_ratio(bound, cost)) for name, case in cases.items()), key=lambda pair: pair[1]
        )
        ratios[f"{bound:.3g}"] = ratio
        print(f"{bound:9.3g}{ratio:8.2f}  {name}")
    return ratios


def measure_loading() -> tuple[float, float]:
    """Seconds to import compiled code, and then to search with it more than once it is loaded."""
    image, template = scene(*SIZES["320 x 240"])
    with execution.using(engine="numpy"):
        tmatch.locate(image, template)  # what NumPy needs as well is imported
    begin = time.process_time()
    select.choose()
    imported = time.process_time()
    tmatch.locate(image, template)
    first = time.process_time()
    tmatch.locate(image, template)
    return imported - begin, 2 * first - imported - time.process_time()


def measure_calls(setup: Setup) -> dict[str, tuple[float, float]]:
    """Seconds of each call, and its work, by the engine of this process."""
    measured = {}
    with execution.using(loading_work=1e300):
        for size, shape in SIZES.items():
            for dtype in ("u1", "f4"):
                image, template = scene(*shape, dtype)
                for name, call in calls(image, template).items():
                    key = f"{size} {np.dtype(dtype).name}, {name}"
                    measured[key] = cost_of(call, 1 if setup.quick else max(3, 1_000_000 // image.size))
    return measured


def calls(image: np.ndarray, template: np.ndarray) -> dict[str, Callable[[], Any]]:
    matcher = tmatch.Matcher(template)
    return {
        "locate": lambda: matcher.locate(image),
        "match_template": lambda: tmatch.match_template(image, template),
        "correlate 5 x 5": lambda: tmatch.correlate(image, template[:5, :5]),
        f"correlate {SIDE} x {SIDE}": lambda: tmatch.correlate(image, template),
    }


def cost_of(call: Callable[[], Any], rounds: int) -> tuple[float, float]:
    call()
    before, seconds = select._work_done, []
    for _ in range(rounds):
        begin = time.process_time()
        call()
        seconds.append(time.process_time() - begin)
    return min(seconds), (select._work_done - before) / rounds


def scene(height: int, width: int, dtype: str = "u1") -> tuple[np.ndarray, np.ndarray]:
    image = photo(height, width).astype(dtype)
    return image, image[100 : 100 + SIDE, 150 : 150 + SIDE].copy()
