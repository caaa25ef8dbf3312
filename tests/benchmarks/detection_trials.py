"""What the studies of the decision share: trials with seeds of their own, rules, processes, tables."""

import argparse
import functools
import math
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import tmatch

Pixels = NDArray[Any]
One = tuple[
    str, list[tuple[int, ...]], list[float]
]  # what was sought; of each rule: what it came to, milliseconds
Rule = Callable[
    ..., list[tmatch.Match]
]  # of image, template, false alarms allowed, and options of tmatch.locate

PREFILTERS = ("none", "whiten", "bandpass", "auto")
THRESHOLD, LOW_THRESHOLD = "score >= 0.8", "score >= 0.6"
PROTOTYPE, MIRRORED = "prototype", "prototype, mirrored"
LEVEL = 0.01  # false alarms allowed where the template is present
# The number of a study is part of its seeds: new ones go to the end.
STUDIES = (
    "absent", "noise", "present", "smooth", "datasets", "screens", "scans", "signals", "small", "noisy", "many",
    "twins", "cases",
)  # fmt: skip
TRIALS = {
    "absent": 2000, "noise": 150, "present": 500, "smooth": 500, "screens": 200, "scans": 160, "signals": 40,
    "small": 60, "noisy": 100, "many": 3, "twins": 2, "cases": 3,
}  # fmt: skip


class Trial(NamedTuple):
    """One search, by several rules."""

    study: str
    number: int
    rules: tuple[str, ...]
    seed: int
    folder: Path | None = None
    setting: tuple[int, ...] = ()

    def rng(self, *more: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, STUDIES.index(self.study), self.number, *more])


class Tried(NamedTuple):
    """What came of some trials."""

    about: list[str]
    values: NDArray[np.float64]  # (trials, rules, what is counted)
    ms: NDArray[np.float64]  # (trials, rules)

    def by_setting(self, count: int) -> NDArray[np.float64]:
        """Return the values with an axis of settings before the trials of each: so many settings there are."""
        return self.values.reshape(count, -1, *self.values.shape[1:])


def count_of(study: str, options: argparse.Namespace) -> int:
    """Return the number of trials of a study, or of each of its settings."""
    return options.trials or TRIALS[study]


def trials_of(
    study: str,
    settings: Sequence[tuple[int, ...]],
    rules: tuple[str, ...],
    options: argparse.Namespace,
) -> list[Trial]:
    """Make the trials of a study, setting by setting."""
    numbers = range(count_of(study, options))
    return [
        Trial(study, number, rules, options.seed, options.pictures, setting)
        for setting in settings
        for number in numbers
    ]


def beside_thresholds(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the rules of studies that compare tmatch with fixed thresholds alone."""
    return (*(options.prefilter or ["auto"]), THRESHOLD, LOW_THRESHOLD)


# --- rules ----------------------------------------------------------------------------------------


def rule_of(name: str) -> Rule:
    if name in (THRESHOLD, LOW_THRESHOLD):
        least = float(name.removeprefix("score >= "))
        return lambda image, template, _, **options: tmatch.locate(
            image, template, threshold=least, workers=1, **options
        )
    if name in (PROTOTYPE, MIRRORED):
        return functools.partial(by_prototype, mirrored=name == MIRRORED)
    return lambda image, template, level, **options: tmatch.locate(
        image, template, false_alarms=level, prefilter=name, workers=1, **options
    )


def by_prototype(image: Pixels, template: Pixels, level: float, *, mirrored: bool) -> list[tmatch.Match]:
    """Find matches by the rule that tmatch was designed after.

    The tail of all local maxima but the best one is exponential. Those of the template's mirror images, which are
    absent, may be added to the others.
    """
    positions, scores, evidence = peaks_of(image, template)
    others = mirror_images(template) if mirrored else []
    pools = [np.delete(evidence, evidence.argmax()), *(peaks_of(image, other)[2] for other in others)]
    pool = np.sort(np.concatenate(pools))
    if len(pool) < 2:
        return []
    k = max(len(pool) // 10, 1)
    least, tail = pool[-k - 1], pool[-k:]
    expected = k / len(pools) * np.exp(-(evidence - least) / max((tail - least).mean(), 1e-9))
    matches = [
        tmatch.Match(tmatch.Box(tuple(positions[i].tolist()), template.shape), scores[i])
        for i in np.flatnonzero(expected <= level)
    ]
    return tmatch.non_max_suppression(matches)


def peaks_of(image: Pixels, template: Pixels) -> tuple[Pixels, ...]:
    """Find all local maxima of the score map: their positions, scores, and these on a scale without an end."""
    scores = tmatch.match_template(image, template, workers=1)
    positions = tmatch.find_peaks(scores, threshold=-1)
    found = scores[tuple(positions.T)]
    return positions, found, np.arctanh(np.clip(found, -1 + 1e-9, 1 - 1e-9))


def mirror_images(template: Pixels) -> list[Pixels]:
    """Flip and transpose the template as far as its shape allows: 3 ways, or 7 if it is square."""
    ways = [template, template.T] if template.shape[0] == template.shape[1] else [template]
    return [np.flip(way, axes) for way in ways for axes in ((), 0, 1, (0, 1))][1:]


# --- running --------------------------------------------------------------------------------------


def run_trials(function: Callable[..., Any], trials: Sequence[Trial], options: argparse.Namespace) -> Tried:
    about, values, ms = zip(*run(function, trials, options, trials[0].study), strict=True)
    return Tried(list(about), np.array(values, float), np.array(ms))


def run(
    function: Callable[..., Any], jobs: Sequence[Any], options: argparse.Namespace, title: str
) -> list[Any]:
    """Do jobs in other processes, and return their results in order."""
    with multiprocessing.get_context("spawn").Pool(min(options.workers, len(jobs)), warm_up) as pool:
        return list(shown(pool.imap(function, jobs, chunksize=4), len(jobs), title))


def warm_up() -> None:
    """Load what is loaded once, so that it is not in the time of the first trial."""
    noise = np.random.default_rng(0).normal(128, 30, (99, 99))
    for image in (noise, tmatch.to_range(noise)):
        tmatch.locate(image, image[:16, 16:].T, workers=1)


def shown(results: Iterable[Any], count: int, title: str) -> Iterable[Any]:
    """Show a progress bar on a terminal."""
    if not sys.stderr.isatty():
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, title, total=count, console=Console(stderr=True), transient=True)


def try_rules(trial: Trial, about: str, judge: Callable[[Rule], tuple[int, ...]]) -> One:
    """Judge all rules by the same search."""
    values, ms = [], []
    for name in trial.rules:
        begin = time.perf_counter()
        try:
            values.append(judge(rule_of(name)))
        except Exception as error:
            error.add_note(f"{name} in {trial}, {about}")
            raise
        ms.append(1000 * (time.perf_counter() - begin))
    return about, values, ms


# --- tables ---------------------------------------------------------------------------------------


def by(keys: Iterable[Any], values: Iterable[Any]) -> dict[str, Any]:
    return {str(key): value for key, value in zip(keys, values, strict=True)}


def times_of(ms: NDArray[np.float64]) -> dict[str, float]:
    return {"ms": float(np.median(ms)), "slowest ms": float(ms.max())}


def standard_error(share: float, count: int) -> float:
    return math.sqrt(share * (1 - share) / count)


def share_of(share: float, count: int) -> str:
    return f"{100 * share:.1f} +- {200 * standard_error(share, count):.1f} %"


def verdict(fits: bool) -> str:
    return " ok" if fits else " NO"


def print_head(columns: Sequence[str], width: int = 26) -> None:
    print(f"{'':32}" + "".join(f"{column:>{width}}" for column in columns))


def print_row(
    name: str, cells: Sequence[str], ms: NDArray[np.float64] | None = None, width: int = 26
) -> None:
    times = "" if ms is None else f"   {np.median(ms):.0f} ms, at most {ms.max():.0f}"
    print(f"{name:32}" + "".join(f"{cell:>{width}}" for cell in cells) + times, flush=True)
