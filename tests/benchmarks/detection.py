"""How well tmatch decides: false alarms where the template is not, and what is found where it is.

    python tests/benchmarks/detection.py --study absent

All studies search by `tmatch.locate`; with --pictures in the images of a folder instead of those that are at hand.
Every trial has a seed of its own, so that results do not depend on --workers. The last line is the whole in JSON.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import DATASETS, rounded
from detection_cases import cases
from detection_copies import many, twins
from detection_scenes import (
    SIGNAL_LENGTH,
    SIGNALS,
    Scene,
    draw,
    files_of,
    noisy_photo,
    other_photo,
    photos_of,
    scan,
    screen,
    signal,
    small_photo,
)
from detection_trials import (
    LEVEL,
    MIRRORED,
    PREFILTERS,
    PROTOTYPE,
    STUDIES,
    THRESHOLD,
    One,
    Pixels,
    Rule,
    Trial,
    Tried,
    beside_thresholds,
    by,
    count_of,
    print_head,
    print_row,
    run,
    run_trials,
    share_of,
    standard_error,
    times_of,
    trials_of,
    try_rules,
    verdict,
)
from numpy.typing import NDArray

import tmatch

OTHERS = (THRESHOLD, PROTOTYPE, MIRRORED)
LEVELS = (0.1, 0.05, 0.01)  # false alarms allowed where the template is absent
ALIKE = 0.7  # score of objects that share half of what is seen
LEEWAY = 1.5  # how many times what was asked for is still right
PRESENT_STATED = {25: 0.52, 50: 0.49, 80: 0.32}  # share found, by sigma of the noise in grey levels
SMOOTH_BARS = {10: 0.42, 25: 0.19, 50: 0.09, 80: 0.08}
NOISE_SIDE, NOISE_BLURS, NOISE_TEMPLATES, NOISE_BAR = 256, (0, 1, 2), (7, 15, 31), (0.5, 1.5)
NOISE_BITS = {64: "floats", 8: "8 bits"}


def main() -> None:
    options = parse()
    # What tmatch comes to by itself, once there is work enough; here from the start, as it fixes the last digits.
    os.environ.setdefault("TMATCH_ENGINE", "numba" if importlib.util.find_spec("numba") else "numpy")
    found = describe(options)
    print(", ".join(f"{name} {value}" for name, value in found.items()))
    for study in chosen_of(options):
        begin = time.perf_counter()
        found[study] = RUNS[study](options)
        print(f"{time.perf_counter() - begin:.0f} s", flush=True)
    print(f"\n{json.dumps(rounded(found))}")


def chosen_of(options: argparse.Namespace) -> list[str]:
    """Return the studies that were asked for."""
    if "all" not in options.study:
        return list(dict.fromkeys(options.study))
    if options.pictures is not None:
        return list(STUDIES)
    print("smooth is left out: it needs --pictures, a folder of smooth photographs")
    return [study for study in STUDIES if study != "smooth"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=[*STUDIES, "all"], nargs="+", default=["all"])
    parser.add_argument("--trials", type=int, help="of each study, or of each of its settings")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="search its images instead")
    parser.add_argument("--prefilter", choices=PREFILTERS, nargs="+", help="only these")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, metavar="PROCESSES")
    options = parser.parse_args()
    if options.workers < 1 or options.seed < 0 or (options.trials is not None and options.trials < 1):
        parser.error("--trials and --workers are at least 1, --seed at least 0")
    if "smooth" in options.study and options.pictures is None:
        parser.error("--study smooth needs --pictures, a folder of smooth photographs")
    if options.pictures is not None and not options.pictures.is_dir():
        parser.error(f"--pictures {options.pictures} is no folder")
    if options.study != ["datasets"] and len(files_of(options.pictures)) < 2:
        parser.error(f"--pictures {options.pictures} holds fewer than two images")
    return options


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the numbers depend on."""
    packages = ("tmatch", "numpy", "scipy", "scikit-image", "pillow")
    return {
        "Python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "engine": os.environ["TMATCH_ENGINE"],
        "seed": options.seed,
        "pictures": len(files_of(options.pictures)),
    }


# --- trials ---------------------------------------------------------------------------------------


def try_absent(trial: Trial) -> One:
    """Count what is reported at each level where the template is absent; copies, and unlike boxes, at the last."""
    scene = ABSENCES[trial.study].scene(trial)

    def judge(rule: Rule) -> tuple[int, ...]:
        # What is not reported where more is allowed is not reported where less is. Otherwise it is searched
        # again: "auto" ends with the first way that finds something, so that the least of its numbers may be missed.
        counts, matches = [], rule(scene.image, scene.template, LEVELS[0])
        for level in LEVELS:
            matches = rule(scene.image, scene.template, level) if matches and counts else matches
            counts.append(len(matches))
        return (*counts, sum(m.kind == "copy" for m in matches), sum(m.score < ALIKE for m in matches))

    return try_rules(trial, scene.about, judge)


def try_present(trial: Trial) -> One:
    """Check whether a clean template is found in its image with noise, and count what else is."""
    photos, [sigma] = photos_of(trial.folder), trial.setting
    [name], box = draw(photos, trial.rng(), 1)
    photo = photos[name]
    noisy = tmatch.to_range(photo + trial.rng(sigma).normal(0, sigma, photo.shape))

    def judge(rule: Rule) -> tuple[int, int]:
        matches = rule(noisy, photo[box.slices], LEVEL)
        right = sum(max(map(abs, np.subtract(m.box.start, box.start))) <= 1 for m in matches)
        return min(right, 1), len(matches) - right

    return try_rules(trial, f"{name} {box.start} {box.shape}", judge)


def try_noise(trial: Trial) -> One:
    """Count what is reported in noise if one false alarm is allowed."""
    blur, side, bits = trial.setting
    rng = trial.rng(*trial.setting)
    image, other = (stationary(rng, blur, bits) for _ in range(2))
    return try_rules(trial, "", lambda rule: (len(rule(image, other[:side, :side], 1.0)),))


def stationary(rng: np.random.Generator, blur: int, bits: int) -> Pixels:
    """Return Gaussian noise, as correlated everywhere as a blur makes it."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.normal(size=(NOISE_SIDE, NOISE_SIDE)), blur, mode="wrap")
    noise /= noise.std()
    return tmatch.to_range(128 + 30 * noise) if bits == 8 else noise


def try_dataset(job: tuple[str, dict[str, Any], str]) -> tuple[int, int, float]:
    """Count true boxes found and false matches in one search of the datasets, with no options."""
    scene, search, prefilter = job
    arrays = [tmatch.read_image(DATASETS / scene / search[what]) for what in ("image", "template")]
    in_colour = all(p.ndim == 3 for p in arrays)
    if not in_colour:
        arrays = [p @ np.array([0.2125, 0.7154, 0.0721]) if p.ndim == 3 else p for p in arrays]
    begin = time.perf_counter()
    matches = tmatch.locate(*arrays, prefilter=prefilter, channel_axis=2 if in_colour else None, workers=1)
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


class Absence(NamedTuple):
    """A study of absent templates: how scenes are made, what they are, settings by name."""

    scene: Callable[[Trial], Scene]
    what: str
    settings: dict[str, tuple[int, ...]]


ABSENCES = {
    "absent": Absence(other_photo, "photographs for a piece of another one", {"": ()}),
    "screens": Absence(screen, "drawn screens for a piece of another one with other text", {"": ()}),
    "scans": Absence(scan, "scanned pages for a piece of another one with other text", {"": ()}),
    "signals": Absence(
        signal,
        f"signals of {SIGNAL_LENGTH} samples for a piece of another one of its kind",
        {f"{kind}, {n}": (i, n) for i, kind in enumerate(SIGNALS) for n in (60, 200, 500)},
    ),
    "small": Absence(
        small_photo,
        "small pieces of photographs for a piece of another one",
        {f"{k} in {side} px": (side, k) for side, k in ((100, 24), (128, 32), (128, 48), (200, 64))},
    ),
    "noisy": Absence(
        noisy_photo,
        "photographs with noise for a clean piece of another one",
        {f"sigma {sigma}": (sigma,) for sigma in (10, 25, 50, 80)},
    ),
}


def absent(study: str, options: argparse.Namespace) -> dict[str, Any]:
    """How often something is reported where a template is not."""
    (_, what, settings), count = ABSENCES[study], count_of(study, options)
    rules = (*(options.prefilter or PREFILTERS), *OTHERS) if study == "absent" else beside_thresholds(options)
    tried = run_trials(try_absent, trials_of(study, [*settings.values()], rules, options), options)
    values = tried.by_setting(len(settings))
    shares, means = (values > 0).mean(axis=1), values.mean(axis=1)
    bars = [LEEWAY * level + 2 * standard_error(LEEWAY * level, count) for level in LEVELS]
    print(
        f"\n{study}: {count} searches of {what};\nthe share that reported anything, with two standard errors. Bar: "
        f"{LEEWAY:g} times what was asked for, and two standard errors of that.\n"
        f"Last column, at {LEVELS[-1]:.0%}: boxes in a search; those called copies; those that score below {ALIKE}."
    )
    print_head([*(f"asked {level:.0%}" for level in LEVELS), "boxes; copies; unlike"])
    found = {}
    for i, setting in enumerate(settings):
        for k, rule in enumerate(rules):
            texts = [
                share_of(share, count) + (verdict(share <= bar) if rule in PREFILTERS else "")
                for share, bar in zip(shares[i, k], bars, strict=False)
            ]
            name = f"{setting}: {rule}" if setting else rule
            ms = tried.ms[i * count : (i + 1) * count, k]
            print_row(name, [*texts, "; ".join(f"{mean:.3f}" for mean in means[i, k, -3:])], ms)
            found[name] = {
                "share": by(LEVELS, shares[i, k, : len(LEVELS)]),
                "matches": by(LEVELS, means[i, k, : len(LEVELS)]),
                "copies": means[i, k, -2],
                "unlike": means[i, k, -1],
                **times_of(ms),
            }
    print_row("bar", [f"{100 * bar:.1f} %" for bar in bars])
    print_most(tried, rules)
    return {"trials": count, "bars": by(LEVELS, bars), "rules": found}


def print_most(tried: Tried, rules: Sequence[str]) -> None:
    """Name the pairs of images in which most was reported at the lowest level."""
    for i, name in enumerate(rules):
        reported = np.flatnonzero(tried.values[:, i, len(LEVELS) - 1])
        often = Counter(tried.about[number] for number in reported).most_common(5)
        if name in PREFILTERS and often and any(tried.about):
            print(f"{name} at {LEVELS[-1]:.0%}: " + ", ".join(f"{pair} ({times})" for pair, times in often))


def noise(options: argparse.Namespace) -> dict[str, Any]:
    """How many matches are reported in noise, if one is allowed."""
    count, rules = count_of("noise", options), tuple(options.prefilter or ("none", "auto"))
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
    """How often a template is found in its image with noise, beside what is known of the prototype."""
    return in_noise("present", PRESENT_STATED, f"{PROTOTYPE}, stated", options)


def smooth(options: argparse.Namespace) -> dict[str, Any]:
    """How often it is in images of slopes and skies, beside what was asked for."""
    return in_noise("smooth", SMOOTH_BARS, "bar", options)


def in_noise(study: str, known: dict[int, float], whose: str, options: argparse.Namespace) -> dict[str, Any]:
    """How often a template is found in its image with noise."""
    count, rules = count_of(study, options), (*(options.prefilter or PREFILTERS), *OTHERS)
    trials = [
        Trial(study, i, rules, options.seed, options.pictures, (sigma,))
        for sigma in known
        for i in range(count)
    ]
    tried = run_trials(try_present, trials, options)
    means = tried.values.reshape(len(known), count, len(rules), 2).mean(axis=1)
    print(
        f"\n{study}: {count} searches for a piece of an image to which noise was added; the share that found it,\n"
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
    **{study: functools.partial(absent, study) for study in ABSENCES},
    "noise": noise, "present": present, "smooth": smooth, "datasets": datasets, "many": many, "twins": twins,
    "cases": cases,
}  # fmt: skip


if __name__ == "__main__":
    main()
