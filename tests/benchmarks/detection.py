"""How well tmatch decides: false alarms where the template is not, and what is found where it is.

    python tests/benchmarks/detection.py --study absent

Five studies, all through `tmatch.locate`; with --pictures in the pictures of a folder instead of those that are at
hand. Every trial has a seed of its own, so that results do not depend on --workers. The last line is the whole in JSON.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import DATASETS, rounded
from numpy.typing import NDArray
from PIL import Image, ImageOps

import tmatch

Picture = NDArray[Any]
One = tuple[
    str, list[tuple[int, ...]], list[float]
]  # what was sought; of each rule: what it came to, milliseconds
Rule = Callable[[Picture, Picture, float], list[tmatch.Match]]  # image, template, false alarms allowed

BUNDLED = {
    "astronaut", "brick", "camera", "cell", "chelsea", "clock_motion", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "ihc", "moon", "motorcycle_left", "page", "retina", "rocket", "text",
}  # fmt: skip
SIDES, LEAST_CONTRAST = (16, 64), 8  # of templates: pixels, and grey levels
LEVELS = (0.1, 0.05, 0.01)  # false alarms allowed where the template is absent
LEVEL = 0.01  # and where it is present
LEEWAY = 1.5  # how many times what was asked for is still right
PREFILTERS = ("none", "whiten", "bandpass", "auto")
THRESHOLD, PROTOTYPE, MIRRORED = "score >= 0.8", "prototype", "prototype, mirrored"
OTHERS = (THRESHOLD, PROTOTYPE, MIRRORED)
PRESENT_STATED = {25: 0.52, 50: 0.49, 80: 0.32}  # share found, by sigma of the noise in grey levels
SMOOTH_BARS = {10: 0.42, 25: 0.19, 50: 0.09, 80: 0.08}
NOISE_SIDE, NOISE_BLURS, NOISE_TEMPLATES, NOISE_BAR = 256, (0, 1, 2), (7, 15, 31), (0.5, 1.5)
NOISE_BITS = {64: "floats", 8: "8 bits"}
STUDIES = ("absent", "noise", "present", "smooth", "datasets")
TRIALS = {"absent": 2000, "noise": 150, "present": 500, "smooth": 500}


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


def main() -> None:
    options = parse()
    # What tmatch comes to by itself, once there is work enough; here from the start, as it fixes the last digits.
    os.environ.setdefault("TMATCH_ENGINE", "numba" if importlib.util.find_spec("numba") else "numpy")
    found = describe(options)
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    chosen = [options.study] if options.study != "all" else list(STUDIES)
    if options.study == "all" and options.pictures is None:
        chosen.remove("smooth")
        print("smooth is left out: it needs --pictures, a folder of smooth photographs")
    for study in chosen:
        begin = time.perf_counter()
        found[study] = RUNS[study](options)
        print(f"{time.perf_counter() - begin:.0f} s", flush=True)
    print(f"\n{json.dumps(rounded(found))}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=[*STUDIES, "all"], default="all")
    parser.add_argument("--trials", type=int, help="of each study, or of each of its settings")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="search its pictures instead")
    parser.add_argument("--prefilter", choices=PREFILTERS, nargs="+", help="only these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, metavar="PROCESSES")
    options = parser.parse_args()
    if options.workers < 1 or options.seed < 0 or (options.trials is not None and options.trials < 1):
        parser.error("--trials and --workers are at least 1, --seed at least 0")
    if options.study == "smooth" and options.pictures is None:
        parser.error("--study smooth needs --pictures, a folder of smooth photographs")
    if options.pictures is not None and not options.pictures.is_dir():
        parser.error(f"--pictures {options.pictures} is no folder")
    if options.study != "datasets" and len(files_of(options.pictures)) < 2:
        parser.error(f"--pictures {options.pictures} holds fewer than two pictures")
    return options


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on."""
    packages = ("tmatch", "numpy", "scipy", "scikit-image", "pillow")
    return {
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "engine": os.environ["TMATCH_ENGINE"],
        "seed": options.seed,
        "pictures": len(files_of(options.pictures)),
    }


# --- pictures -------------------------------------------------------------------------------------


def files_of(folder: Path | None) -> list[Path]:
    """The pictures of a folder; without one those that come with scikit-image, and the raccoon."""
    if folder is not None:
        return sorted(p for p in folder.iterdir() if p.suffix.lower() in Image.registered_extensions())
    spec = importlib.util.find_spec("skimage")
    bundled = sorted((Path(spec.origin).parent / "data").iterdir())
    return [p for p in bundled if p.stem in BUNDLED] + [DATASETS / "raccoon" / "face_gray.png"]


@functools.lru_cache(maxsize=1)
def pictures_of(folder: Path | None) -> dict[str, Picture]:
    """Grey pictures of 8 bits by name, none too large, none too small for a template."""
    most = 900 if folder is None else 800
    pictures = {p.parent.name if p.stem == "face_gray" else p.stem: grey(p, most) for p in files_of(folder)}
    return {name: pixels for name, pixels in pictures.items() if min(pixels.shape) >= 2 * SIDES[1]}


def grey(path: Path, most: int) -> Picture:
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("L")
    picture.thumbnail((most, most), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def cut(picture: Picture, rng: np.random.Generator) -> tmatch.Box | None:
    """Choose a piece that shows something."""
    for _ in range(1000):
        shape = tuple(rng.integers(SIDES[0], SIDES[1] + 1, 2).tolist())
        start = tuple(int(rng.integers(n - k + 1)) for n, k in zip(picture.shape, shape, strict=True))
        box = tmatch.Box(start, shape)
        if picture[box.slices].std() >= LEAST_CONTRAST:
            return box
    return None


def draw(pictures: dict[str, Picture], rng: np.random.Generator, count: int) -> tuple[list[str], tmatch.Box]:
    """Choose so many pictures, and a piece of the last."""
    for _ in range(1000):
        names = [str(name) for name in rng.choice(list(pictures), count, replace=False)]
        box = cut(pictures[names[-1]], rng)
        if box:
            return names, box
    msg = f"no picture has a piece with a standard deviation of {LEAST_CONTRAST} grey levels"
    raise ValueError(msg)


# --- rules ----------------------------------------------------------------------------------------


def rule_of(name: str) -> Rule:
    if name == THRESHOLD:
        return lambda image, template, _: tmatch.locate(image, template, threshold=0.8, workers=1)
    if name in (PROTOTYPE, MIRRORED):
        return functools.partial(by_prototype, mirrored=name == MIRRORED)
    return lambda image, template, level: tmatch.locate(
        image, template, false_alarms=level, prefilter=name, workers=1
    )


def by_prototype(image: Picture, template: Picture, level: float, *, mirrored: bool) -> list[tmatch.Match]:
    """The rule that tmatch was designed after: the tail of all local maxima but the best one is exponential.

    Those of the template's mirror images, which are not there, may be put to the others.
    """
    places, scores, heights = peaks_of(image, template)
    others = mirror_images(template) if mirrored else []
    pools = [np.delete(heights, heights.argmax()), *(peaks_of(image, other)[2] for other in others)]
    pool = np.sort(np.concatenate(pools))
    if len(pool) < 2:
        return []
    k = max(len(pool) // 10, 1)
    least, tail = pool[-k - 1], pool[-k:]
    expected = k / len(pools) * np.exp(-(heights - least) / max((tail - least).mean(), 1e-9))
    matches = [
        tmatch.Match(tmatch.Box(tuple(places[i].tolist()), template.shape), scores[i])
        for i in np.flatnonzero(expected <= level)
    ]
    return tmatch.non_max_suppression(matches)


def peaks_of(image: Picture, template: Picture) -> tuple[NDArray[Any], ...]:
    """All local maxima of the score map: where they are, their scores, and these on a scale without an end."""
    scores = tmatch.match_template(image, template, workers=1)
    places = tmatch.find_peaks(scores, threshold=-1)
    found = scores[tuple(places.T)]
    return places, found, np.arctanh(np.clip(found, -1 + 1e-9, 1 - 1e-9))


def mirror_images(template: Picture) -> list[Picture]:
    """The template mirrored and turned as far as its shape allows: 3 ways, or 7 if it is square."""
    ways = [template, template.T] if template.shape[0] == template.shape[1] else [template]
    return [np.flip(way, axes) for way in ways for axes in ((), 0, 1, (0, 1))][1:]


# --- trials ---------------------------------------------------------------------------------------


def run_trials(function: Callable[..., Any], trials: Sequence[Trial], options: argparse.Namespace) -> Tried:
    about, values, ms = zip(*run(function, trials, options, trials[0].study), strict=True)
    return Tried(list(about), np.array(values, float), np.array(ms))


def run(
    function: Callable[..., Any], jobs: Sequence[Any], options: argparse.Namespace, title: str
) -> list[Any]:
    """Do jobs in processes beside this one, and give what comes of them in their order."""
    with multiprocessing.get_context("spawn").Pool(min(options.workers, len(jobs)), warm_up) as pool:
        return list(shown(pool.imap(function, jobs, chunksize=4), len(jobs), title))


def warm_up() -> None:
    """Load what is loaded once, so that it is not in the time of the first trial."""
    noise = np.random.default_rng(0).normal(128, 30, (99, 99))
    for image in (noise, tmatch.to_range(noise)):
        tmatch.locate(image, image[:16, 16:].T, workers=1)


def shown(results: Iterable[Any], count: int, title: str) -> Iterable[Any]:
    """Show a progress bar, if somebody looks."""
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


def try_absent(trial: Trial) -> One:
    """Count what is reported at each level where a template of another picture is sought."""
    pictures, rng = pictures_of(trial.folder), trial.rng()
    (where, what), box = draw(pictures, rng, 2)
    image, template = pictures[where], pictures[what][box.slices]

    def judge(rule: Rule) -> tuple[int, ...]:
        # What is not reported where more is allowed is not reported where less is. Otherwise it is searched
        # again: "auto" ends with the first way that finds something, so that the least of its figures may be missed.
        most = len(rule(image, template, LEVELS[0]))
        return (most, *(len(rule(image, template, level)) if most else 0 for level in LEVELS[1:]))

    return try_rules(trial, f"{what} in {where}", judge)


def try_present(trial: Trial) -> One:
    """Tell whether a clean template is found in its noisy picture, and count what else is."""
    pictures, [sigma] = pictures_of(trial.folder), trial.setting
    [name], box = draw(pictures, trial.rng(), 1)
    picture = pictures[name]
    noisy = tmatch.to_range(picture + trial.rng(sigma).normal(0, sigma, picture.shape))

    def judge(rule: Rule) -> tuple[int, int]:
        matches = rule(noisy, picture[box.slices], LEVEL)
        right = sum(max(map(abs, np.subtract(m.box.start, box.start))) <= 1 for m in matches)
        return min(right, 1), len(matches) - right

    return try_rules(trial, f"{name} {box.start} {box.shape}", judge)


def try_noise(trial: Trial) -> One:
    """Count what is reported in noise if one false alarm is allowed."""
    blur, side, bits = trial.setting
    rng = trial.rng(*trial.setting)
    image, other = (stationary(rng, blur, bits) for _ in range(2))
    return try_rules(trial, "", lambda rule: (len(rule(image, other[:side, :side], 1.0)),))


def stationary(rng: np.random.Generator, blur: int, bits: int) -> Picture:
    """Gaussian noise, as correlated everywhere as a blur makes it."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.normal(size=(NOISE_SIDE, NOISE_SIDE)), blur, mode="wrap")
    noise /= noise.std()
    return tmatch.to_range(128 + 30 * noise) if bits == 8 else noise


def try_dataset(job: tuple[str, dict[str, Any], str]) -> tuple[int, int, float]:
    """Count true boxes found and false matches in one search of the datasets, with no options."""
    scene, search, prefilter = job
    pictures = [tmatch.read_image(DATASETS / scene / search[what]) for what in ("image", "template")]
    in_colour = all(p.ndim == 3 for p in pictures)
    if not in_colour:
        pictures = [p @ np.array([0.2125, 0.7154, 0.0721]) if p.ndim == 3 else p for p in pictures]
    begin = time.perf_counter()
    matches = tmatch.locate(*pictures, prefilter=prefilter, channel_axis=2 if in_colour else None, workers=1)
    ms = 1000 * (time.perf_counter() - begin)
    right = count_right(matches, search["boxes"])
    return right, len(matches) - right, ms


def count_right(matches: Sequence[tmatch.Match], boxes: Sequence[dict[str, int]]) -> int:
    """Count matches that lie on a true box; each box accepts one."""
    missing = [tmatch.Box((b["y"], b["x"]), (b["height"], b["width"])) for b in boxes]
    for match in matches:
        nearest = max(missing, key=lambda box: tmatch.iou(box, match.box), default=None)
        if nearest and tmatch.iou(nearest, match.box) >= 0.5:
            missing.remove(nearest)
    return len(boxes) - len(missing)


# --- studies --------------------------------------------------------------------------------------


def absent(options: argparse.Namespace) -> dict[str, Any]:
    """How often something is reported where a template is not."""
    count, rules = options.trials or TRIALS["absent"], (*(options.prefilter or PREFILTERS), *OTHERS)
    tried = run_trials(
        try_absent, [Trial("absent", i, rules, options.seed, options.pictures) for i in range(count)], options
    )
    shares, means = (tried.values > 0).mean(axis=0), tried.values.mean(axis=0)
    bars = [LEEWAY * level + 2 * standard_error(LEEWAY * level, count) for level in LEVELS]
    print(
        f"\nabsent: {count} searches for a template of another picture; the share that reported anything, with two\n"
        f"standard errors. Bar: {LEEWAY:g} times what was asked for, and two standard errors of that."
    )
    print_head([*(f"asked {level:.0%}" for level in LEVELS), f"matches at {LEVELS[-1]:.0%}"])
    for name, share, mean, ms in zip(rules, shares, means, tried.ms.T, strict=True):
        cells = [
            share_of(s, count) + (verdict(s <= bar) if name in PREFILTERS else "")
            for s, bar in zip(share, bars, strict=True)
        ]
        print_row(name, [*cells, f"{mean[-1]:.3f}"], ms)
    print_row("bar", [f"{100 * bar:.1f} %" for bar in bars])
    print_most(tried, rules)
    of_rules = {
        name: {"share": by(LEVELS, shares[i]), "matches": by(LEVELS, means[i]), **times_of(tried.ms[:, i])}
        for i, name in enumerate(rules)
    }
    return {"trials": count, "bars": by(LEVELS, bars), "rules": of_rules}


def print_most(tried: Tried, rules: Sequence[str]) -> None:
    """Name the pairs of pictures in which most was reported at the lowest level."""
    for i, name in enumerate(rules):
        reported = np.flatnonzero(tried.values[:, i, -1])
        often = Counter(tried.about[number] for number in reported).most_common(5)
        if name in PREFILTERS and often:
            print(f"{name} at {LEVELS[-1]:.0%}: " + ", ".join(f"{pair} ({times})" for pair, times in often))


def noise(options: argparse.Namespace) -> dict[str, Any]:
    """How many matches are reported in noise, if one is allowed."""
    count, rules = options.trials or TRIALS["noise"], tuple(options.prefilter or ("none", "auto"))
    settings = [(blur, side, bits) for blur in NOISE_BLURS for side in NOISE_TEMPLATES for bits in NOISE_BITS]
    trials = [Trial("noise", i, rules, options.seed, None, s) for s in settings for i in range(count)]
    tried = run_trials(try_noise, trials, options)
    values = tried.values[..., 0].reshape(len(settings), count, len(rules))
    means, errors = values.mean(axis=1), 2 * values.std(axis=1) / math.sqrt(count)
    low, high = NOISE_BAR
    print(
        f"\nnoise: matches reported in {count} searches of {NOISE_SIDE} x {NOISE_SIDE} pixels of noise for other\n"
        f"noise of its kind, on average, with two standard errors; one is allowed. Bar for none: {low} to {high}."
    )
    print_head([f"{kind}, {name}" for kind in NOISE_BITS.values() for name in rules])
    cells = [
        f"{mean:.2f} +- {error:.2f}" + (verdict(low <= mean <= high) if name == "none" else "")
        for each in zip(means, errors, strict=True)
        for mean, error, name in zip(*each, rules, strict=True)
    ]
    in_row = len(rules) * len(NOISE_BITS)
    for i, (blur, side, _) in enumerate(settings[:: len(NOISE_BITS)]):
        kind = f"blurred by {blur}" if blur else "white"
        print_row(f"{kind}, {side} px", cells[i * in_row : (i + 1) * in_row])
    named = [f"blur {blur}, {side} px, {NOISE_BITS[bits]}" for blur, side, bits in settings]
    found = {n: by(rules, m) | {"2 se": by(rules, e)} for n, m, e in zip(named, means, errors, strict=True)}
    return {"trials": count, "searches": found, "times": by(rules, map(times_of, tried.ms.T))}


def present(options: argparse.Namespace) -> dict[str, Any]:
    """How often a template is found in its picture with noise, beside what is known of the prototype."""
    return in_noise("present", PRESENT_STATED, f"{PROTOTYPE}, stated", options)


def smooth(options: argparse.Namespace) -> dict[str, Any]:
    """The same in pictures of slopes and skies, beside what was asked for."""
    return in_noise("smooth", SMOOTH_BARS, "bar", options)


def in_noise(study: str, known: dict[int, float], whose: str, options: argparse.Namespace) -> dict[str, Any]:
    """How often a template is found in its picture with noise."""
    count, rules = options.trials or TRIALS[study], (*(options.prefilter or PREFILTERS), *OTHERS)
    trials = [
        Trial(study, i, rules, options.seed, options.pictures, (sigma,))
        for sigma in known
        for i in range(count)
    ]
    tried = run_trials(try_present, trials, options)
    means = tried.values.reshape(len(known), count, len(rules), 2).mean(axis=1)
    print(
        f"\n{study}: {count} searches for a piece of a picture to which noise was added; the share that found it,\n"
        f"with two standard errors, and false matches in a search. {LEVEL:.0%} is allowed. ok: at least the last line."
    )
    print_head([f"sigma {sigma}" for sigma in known])
    of_rules = {}
    for i, name in enumerate(rules):
        found, false = means[:, i].T
        cells = [
            f"{share_of(f, count)}{verdict(f >= k) if name in PREFILTERS else ''}, {wrong:.3f}"
            for f, wrong, k in zip(found, false, known.values(), strict=True)
        ]
        print_row(name, cells, tried.ms[:, i])
        of_rules[name] = {"found": by(known, found), "false": by(known, false), **times_of(tried.ms[:, i])}
    print_row(whose, [f"{100 * share:.1f} %" for share in known.values()])
    return {"trials": count, "rules": of_rules, whose: by(known, known.values())}


def datasets(options: argparse.Namespace) -> dict[str, Any]:
    """How many true boxes are found with no options, and what else is."""
    prefilters = options.prefilter or ["auto"]
    searches = [
        (path.parent.name, search)
        for path in sorted(DATASETS.glob("*/truth.json"))
        for search in json.loads(path.read_text())["searches"]
    ]
    jobs = [(*search, prefilter) for search in searches for prefilter in prefilters]
    results = np.array(run(try_dataset, jobs, options, "datasets")).reshape(len(searches), len(prefilters), 3)
    true = np.array([len(search["boxes"]) for _, search in searches])
    names = [f"{scene}: {Path(s['template']).stem} in {Path(s['image']).stem}" for scene, s in searches]
    totals = [total(true, results[:, i]) for i in range(len(prefilters))]
    print(f"\ndatasets: {len(searches)} searches with no options: true boxes found, false matches")
    print_head(prefilters)
    for name, boxes, row in zip(names, true, results, strict=True):
        print_row(
            name, [f"{right:.0f} of {boxes}, {wrong:.0f} false, {ms:.0f} ms" for right, wrong, ms in row]
        )
    print_row("all", [f"{t['found']} of {t['true']}, {t['false']} false{verdict(t['ok'])}" for t in totals])
    print("bar: at least 90 % of the true boxes, at most one false match in all, none where nothing is")
    keys = ("found", "false", "ms")
    of_searches = {
        n: by(prefilters, (by(keys, r) for r in row)) for n, row in zip(names, results, strict=True)
    }
    return {"totals": by(prefilters, totals), "searches": of_searches}


def total(true: NDArray[np.intp], results: NDArray[np.float64]) -> dict[str, Any]:
    """Sum up all searches of the datasets, and judge."""
    found, false = map(int, results[:, :2].sum(axis=0))
    boxes, ghosts = int(true.sum()), int(results[true == 0, 1].sum())
    ok = found >= 0.9 * boxes and false <= 1 and ghosts == 0
    return {"true": boxes, "found": found, "false": false, "false where absent": ghosts, "ok": ok}


RUNS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "absent": absent, "noise": noise, "present": present, "smooth": smooth, "datasets": datasets,
}  # fmt: skip


# --- what is shown --------------------------------------------------------------------------------


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


def print_head(columns: Sequence[str]) -> None:
    print(f"{'':32}" + "".join(f"{column:>26}" for column in columns))


def print_row(name: str, cells: Sequence[str], ms: NDArray[np.float64] | None = None) -> None:
    times = "" if ms is None else f"   {np.median(ms):.0f} ms, at most {ms.max():.0f}"
    print(f"{name:32}" + "".join(f"{cell:>26}" for cell in cells) + times, flush=True)


if __name__ == "__main__":
    main()
