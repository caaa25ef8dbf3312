"""Studies of many copies of a template, and of copies beside similar objects."""

import argparse
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from detection_scenes import Scene, draw, glyph, photos_of, smooth_noise
from detection_trials import (
    LEVEL,
    One,
    Pixels,
    Rule,
    Trial,
    beside_thresholds,
    by,
    count_of,
    print_head,
    print_row,
    run_trials,
    times_of,
    trials_of,
    try_rules,
    verdict,
)
from PIL import Image, ImageDraw

import tmatch

KINDS = ("patch", "stripes", "blob", "letter", "icon", "wavelet")
COUNTS = (1, 5, 20, 100, 400)
COPY_SCORES = {"none": 1.0, "some": 0.9, "much": 0.6, "differ": 0.97}  # of copies in the noise, by its name
MANY_BARS = {"none": 0.99, "some": 0.95, "much": 0.8, "differ": 0.85}  # share found, on average
MOST_FALSE = 0.5  # boxes in a search, on average
SIDE, CELLS, PITCH = 24, 22, 28  # of copies: pixels; how many fit along a side; pixels from one to the next
WAVELET, SLOT = 150, 170  # pixels
PAIRS = (("O", "Q"), ("E", "F"), ("R", "B"), ("c", "e"), ("8", "3"), ("tick", "cross"), ("red", "green"))
COLOURS = {
    "red": (205, 50, 40),
    "green": (60, 160, 50),
    "blue": (70, 90, 200),
}  # of sprites; blue ones are square
LINES = {  # of icons, on a square of 96
    "tick": [[(16, 50), (40, 76), (80, 20)]],
    "cross": [[(16, 16), (80, 80)], [(16, 80), (80, 16)]],
    "plus": [[(48, 10), (48, 86)], [(10, 48), (86, 48)]],
}
SHAPES = {
    "house": [(48, 10), (88, 46), (76, 46), (76, 86), (20, 86), (20, 46), (8, 46)],
    "arrow": [(8, 36), (50, 36), (50, 12), (88, 48), (50, 84), (50, 60), (8, 60)],
    "diamond": [(48, 8), (84, 48), (48, 88), (12, 48)],
    "flag": [(20, 8), (80, 28), (30, 48), (30, 88), (20, 88)],
}
TWIN_NOISES, N_TWINS, TWIN_CELLS = (0, 5, 15, 40, 80), 20, 14  # sigma; copies, and twins; cells along a side


def compare(matches: Sequence[tmatch.Match], truth: Sequence[Any], tolerance: int) -> tuple[Pixels, Pixels]:
    """Find which true positions have a match nearby, and which matches have a true position nearby."""
    if not len(matches) or not len(truth):
        return np.zeros(len(truth), bool), np.zeros(len(matches), bool)
    starts, true = np.array([m.box.start for m in matches]), np.array(truth)
    near = np.abs(starts[:, None] - true).max(axis=-1) <= tolerance
    return near.any(axis=0), near.any(axis=1)


def count_found(scene: Scene, rule: Rule) -> tuple[int, int, int]:
    """Count copies found, boxes that lie on none, and those of them that are called copies."""
    matches = rule(scene.image, scene.template, LEVEL, channel_axis=scene.channel_axis)
    found, right = compare(matches, scene.copies, scene.tolerance)
    false = [match for match, on_copy in zip(matches, right, strict=True) if not on_copy]
    return int(found.sum()), len(false), sum(match.kind == "copy" for match in false)


def cells(rng: np.random.Generator, along: int) -> Pixels:
    """Return positions on a jittered grid in random order; copies there do not overlap."""
    order = rng.permutation(along * along)
    return np.stack(np.divmod(order, along), axis=1) * PITCH + rng.integers(0, 3, (along * along, 2))


def window(start: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(int(s), int(s) + k) for s, k in zip(start, shape, strict=False))


# --- many copies ----------------------------------------------------------------------------------


def many(options: argparse.Namespace) -> dict[str, Any]:
    """How many of 1 to 400 copies are found, and what else is."""
    count, rules = count_of("many", options), beside_thresholds(options)
    names = [(kind, noise, n) for kind in KINDS for noise in COPY_SCORES for n in COUNTS]
    settings = [(KINDS.index(kind), [*COPY_SCORES].index(noise), n) for kind, noise, n in names]
    tried = run_trials(try_many, trials_of("many", settings, rules, options), options)
    means = tried.by_setting(len(settings)).mean(axis=1)
    means[..., 0] /= np.array([n for *_, n in names])[:, None]
    table = means.reshape(len(KINDS), len(COPY_SCORES), len(COUNTS), len(rules), 3)
    print(
        f"\nmany: {count} searches for each kind of copies and number of them; the share found, and false boxes in\n"
        f"a search (those called copies). {LEVEL:.0%} is allowed. Copies score about {COPY_SCORES['some']} in some "
        f"noise,\n{COPY_SCORES['much']} in much; or they differ from each other. Bars: "
        + ", ".join(f"{noise} {100 * bar:g} %" for noise, bar in MANY_BARS.items())
        + f"; at most {MOST_FALSE} false."
    )
    print_head(rules)
    for i, kind in enumerate(KINDS):
        for j, noise in enumerate(COPY_SCORES):
            print_many(f"{kind}, {noise}", table[i, j].mean(axis=0), rules, noise)
    for k, n in enumerate(COUNTS):
        for j, noise in enumerate(COPY_SCORES):
            print_many(
                f"{n} {'copy' if n == 1 else 'copies'}, {noise}", table[:, j, k].mean(axis=0), rules, noise
            )
    print_row("all", [cell_of(*each) for each in means.mean(axis=0)])
    print_row("ms", [f"{np.median(ms):.0f}, at most {ms.max():.0f}" for ms in tried.ms.T])
    of_settings = {
        f"{kind}, {noise}, {n}": by(
            rules, (by(("found", "false", "false copies"), each.tolist()) for each in row)
        )
        for (kind, noise, n), row in zip(names, means, strict=True)
    }
    return {"trials": count, "searches": of_settings, "times": by(rules, map(times_of, tried.ms.T))}


def cell_of(found: float, false: float, copies: float) -> str:
    return f"{100 * found:.1f} %, {false:.2f} ({copies:.2f})"


def print_many(name: str, means: Pixels, rules: Sequence[str], noise: str) -> None:
    fits = [found >= MANY_BARS[noise] and false <= MOST_FALSE for found, false, _ in means]
    texts = [
        cell_of(*each) + ("" if "score" in rule else verdict(ok))
        for each, ok, rule in zip(means, fits, rules, strict=True)
    ]
    print_row(name, texts)


def try_many(trial: Trial) -> One:
    """Count copies found, and false boxes."""
    scene = plant(trial)
    return try_rules(trial, scene.about, lambda rule: count_found(scene, rule))


def plant(trial: Trial) -> Scene:
    """Plant copies; every other image is rounded to 8 bits."""
    kind, noise, n = KINDS[trial.setting[0]], [*COPY_SCORES][trial.setting[1]], trial.setting[2]
    rng = trial.rng(*trial.setting)
    template, image, starts = make_wavelet() if kind == "wavelet" else make_objects(kind, trial, rng)
    starts = rng.permutation(starts) if kind == "wavelet" else starts
    contrast = template.std()
    for start in starts[:n]:
        part, copy = image[window(start, template.shape)], template
        if noise == "differ":
            deviation = smooth_noise(rng, template.shape, 2)
            copy = template + contrast * rng.uniform(0.3, 0.8) * deviation
        part[...] = part + copy if kind in ("blob", "wavelet") else copy
    if COPY_SCORES[noise] < 1:
        image += rng.normal(0, contrast * math.sqrt(COPY_SCORES[noise] ** -2 - 1), image.shape)
    if trial.number % 2 == 0 and kind != "wavelet":
        image, template = tmatch.to_range(image), tmatch.to_range(template)
    return Scene(image, template, kind, copies=starts[:n])


def make_wavelet() -> tuple[Pixels, Pixels, Pixels]:
    """Return a damped oscillation, a signal without anything, and where copies may start."""
    t = np.arange(WAVELET)
    starts = np.arange(10, 10 + SLOT * CELLS**2, SLOT)[:, None]
    return np.sin(t / 2.5) * np.exp(-t / 40), np.zeros(20 + SLOT * CELLS**2), starts


def make_objects(kind: str, trial: Trial, rng: np.random.Generator) -> tuple[Pixels, Pixels, Pixels]:
    """Return a template, an image without it, and where copies may start."""
    starts = cells(rng, CELLS)
    shape = (PITCH * CELLS,) * 2
    rest = starts[trial.setting[2] :]
    if kind == "patch":
        photos = photos_of(trial.folder)
        (where, what), box = draw(photos, rng, 2, sides=(SIDE, SIDE), contrast=20)
        return photos[what][box.slices].astype(float), extended(photos[where], shape), starts
    if kind == "stripes":
        return stripes(diagonal=trial.number % 2 == 1), tmatch.synthetic.make_clutter(shape, rng=rng), starts
    if kind == "blob":
        y, x = np.indices(shape) / shape[0]
        return blob(), 90 + 40 * y + 20 * x, starts
    others = [glyph(c) for c in "aesnktxHMWZ475"] if kind == "letter" else [icon(c) for c in [*SHAPES][1:]]
    image = np.full(shape, 250.0)
    for start in rest:
        image[window(start, (SIDE, SIDE))] = others[int(rng.integers(len(others)))]
    return glyph("R") if kind == "letter" else icon("house"), image, starts


def extended(photo: Pixels, shape: tuple[int, ...]) -> Pixels:
    """Cut a photograph to a shape, or extend it by reflection."""
    margins = [(0, max(0, n - k)) for n, k in zip(shape, photo.shape, strict=True)]
    return np.pad(photo.astype(float), margins, mode="symmetric")[window((0, 0), shape)]


def stripes(*, diagonal: bool) -> Pixels:
    y, x = np.indices((SIDE, SIDE))
    return np.where((x + diagonal * y) % 8 < 4, 210.0, 60.0)


def blob() -> Pixels:
    """Return a bright ring with a core; the margin is 0."""
    r = np.hypot(*(np.indices((SIDE, SIDE)) - (SIDE - 1) / 2))
    return 90 * np.exp(-(((r - 7) / 1.6) ** 2)) + 50 * np.exp(-((r / 2.5) ** 2))


# --- copies and twins -----------------------------------------------------------------------------


def twins(options: argparse.Namespace) -> dict[str, Any]:
    """How many copies and how many similar objects are found, and how many of them are called copies."""
    count, rules = count_of("twins", options), beside_thresholds(options)
    settings = [(pair, sigma) for pair in range(len(PAIRS)) for sigma in TWIN_NOISES]
    tried = run_trials(try_twins, trials_of("twins", settings, rules, options), options)
    means = tried.by_setting(len(settings)).mean(axis=1).reshape(len(PAIRS), len(TWIN_NOISES), len(rules), 5)
    print(
        f"\ntwins: {count} pages for each pair of similar objects, {N_TWINS} copies of the template and {N_TWINS}\n"
        "of its twin: copies found (called copies), twins found (called copies); at last boxes elsewhere in a search."
    )
    names, found = [f"{a}, {b}" for a, b in PAIRS], {}
    for k, rule in enumerate(rules):
        print(f"{rule}:")
        print_head([*(f"sigma {sigma}" for sigma in TWIN_NOISES), "elsewhere"], 22)
        for name, row in zip([*names, "mean"], [*means[:, :, k], means[:, :, k].mean(axis=0)], strict=True):
            texts = ["{:.4g} ({:.4g}), {:.4g} ({:.4g})".format(*each.round(1)) for each in row[:, :4]]
            print_row(name, [*texts, f"{row[:, 4].mean():.2f}"], width=22)
        found[rule] = by(names, (by(TWIN_NOISES, each.tolist()) for each in means[:, :, k]))
    keys = ["copies", "called copies", "twins", "twins called copies", "elsewhere"]
    return {"trials": count, "counted": keys, "rules": found, "times": by(rules, map(times_of, tried.ms.T))}


def try_twins(trial: Trial) -> One:
    """Count copies and twins found, those called copies, and boxes that lie on neither."""
    scene = make_twins(trial)

    def judge(rule: Rule) -> tuple[int, ...]:
        matches = rule(scene.image, scene.template, LEVEL, channel_axis=scene.channel_axis)
        called = [match for match in matches if match.kind == "copy"]
        counts = [
            int(compare(some, truth, scene.tolerance)[0].sum())
            for truth in (scene.copies, scene.twins)
            for some in (matches, called)
        ]
        right = compare(matches, [*scene.copies, *scene.twins], scene.tolerance)[1]
        return (*counts, int((~right).sum()))

    return try_rules(trial, scene.about, judge)


def make_twins(trial: Trial) -> Scene:
    """Draw copies of two similar objects, and others; every other search is for the second one."""
    (pair, sigma), rng = trial.setting, trial.rng(*trial.setting)
    names = PAIRS[pair] if trial.number % 2 == 0 else PAIRS[pair][::-1]
    in_colour = names[0] in COLOURS
    objects = [object_of(name) for name in names]
    starts = cells(rng, TWIN_CELLS)[: 4 * N_TWINS]
    page = np.full((PITCH * TWIN_CELLS,) * 2 + (3,) * in_colour, 250.0)
    for i, start in enumerate(starts):
        other = object_of("blue") if in_colour else glyph("aostnkxHMW"[i % 10])
        page[window(start, (SIDE, SIDE))] = objects[i // N_TWINS] if i < 2 * N_TWINS else other
    image = tmatch.to_range(page + rng.normal(0, sigma, page.shape) if sigma else page)
    copies, others = starts[:N_TWINS], starts[N_TWINS : 2 * N_TWINS]
    return Scene(
        image,
        tmatch.to_range(objects[0]),
        ", ".join(names),
        copies,
        others,
        channel_axis=2 if in_colour else None,
    )


def object_of(name: str) -> Pixels:
    """Draw a sprite, an icon or a letter."""
    if name in COLOURS:
        return sprite(name)
    return glyph(name) if len(name) == 1 else icon(name)


def icon(name: str) -> Pixels:
    """Draw an icon on a light square."""
    square = Image.new("L", (96, 96), 250)
    pen = ImageDraw.Draw(square)
    for line in LINES.get(name, []):
        pen.line(line, fill=20, width=10)
    if name in SHAPES:
        pen.polygon(SHAPES[name], fill=110, outline=50, width=4)
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS), float)


def sprite(name: str) -> Pixels:
    """Draw a body with two eyes in colour."""
    square = Image.new("RGB", (96, 96), (250, 250, 250))
    pen = ImageDraw.Draw(square)
    body = pen.rectangle if name == "blue" else pen.ellipse
    body([10, 14, 86, 86], fill=COLOURS[name], outline=(40, 40, 40), width=4)
    for x in (34, 62):
        pen.ellipse([x - 11, 30, x + 11, 52], fill=(255, 255, 255))
        pen.ellipse([x - 4, 38, x + 6, 48], fill=(10, 10, 10))
    return np.asarray(square.resize((SIDE, SIDE), Image.Resampling.LANCZOS), float)
