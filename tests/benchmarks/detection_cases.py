"""A study of whole scenes as they are met: sheets, scores, micrographs, heat images, heartbeats, earthquakes."""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from detection_copies import count_found, window
from detection_scenes import Scene, smooth_noise
from detection_trials import (
    LEVEL,
    One,
    Pixels,
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
from PIL import Image, ImageDraw, ImageFont

import tmatch

BAR, MOST_FALSE = 0.9, 0.02  # share found; false boxes, as a share of what is there, or one


def cases(options: argparse.Namespace) -> dict[str, Any]:
    """How many objects are found in scenes as they are met, and what else is."""
    count, rules, names = count_of("cases", options), beside_thresholds(options), [*CASES]
    tried = run_trials(
        try_case, trials_of("cases", [(i,) for i in range(len(CASES))], rules, options), options
    )
    sums = tried.by_setting(len(CASES)).sum(axis=1)
    print(
        f"\ncases: {count} scenes of each kind; objects found, and false boxes (those called copies).\n"
        f"{LEVEL:.0%} is allowed. Bar: at least {BAR:.0%} found; false at most {MOST_FALSE:.0%} of the objects, or one."
    )
    print_head(rules)
    for name, row in zip(names, sums, strict=True):
        print_row(
            name, [case_of(each, judged="score" not in rule) for rule, each in zip(rules, row, strict=True)]
        )
    print_row("ms", [f"{np.median(ms):.0f}, at most {ms.max():.0f}" for ms in tried.ms.T])
    keys = ("objects", "found", "false", "false copies")
    found = {
        name: by(rules, (by(keys, each.tolist()) for each in row))
        for name, row in zip(names, sums, strict=True)
    }
    return {"trials": count, "cases": found, "times": by(rules, map(times_of, tried.ms.T))}


def case_of(counts: Pixels, *, judged: bool) -> str:
    objects, found, false, copies = counts
    fits = found >= BAR * objects and false <= max(1, MOST_FALSE * objects)
    return f"{found:.0f} of {objects:.0f}, {false:.0f} ({copies:.0f}){verdict(fits) if judged else ''}"


def try_case(trial: Trial) -> One:
    """Count objects, those found, and false boxes."""
    name = [*CASES][trial.setting[0]]
    scene = CASES[name](trial.rng(*trial.setting))
    return try_rules(trial, name, lambda rule: (len(scene.copies), *count_found(scene, rule)))


def with_grain(page: Image.Image, rng: np.random.Generator, contrast: float = 1.0) -> Pixels:
    """Return a page as a camera sees it: a little blurred, paler, with noise."""
    from scipy.ndimage import gaussian_filter

    pixels = 255 - contrast * (255 - np.asarray(page, float))
    return tmatch.to_range(gaussian_filter(pixels, 0.6) - 8 + rng.normal(0, 4, pixels.shape))


def answer_sheet(rng: np.random.Generator) -> Scene:
    """Look for bubbles filled with pencil, none like the other, by one of them, among empty ones with letters."""
    page = Image.new("L", (600, 800), 250)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    rows = [(30 + 25 * i, 40 + 140 * column) for column in range(4) for i in range(30)]
    for y, x in rows:
        for k, letter in enumerate("ABCDE"):
            pen.ellipse([x + 23 * k, y, x + 23 * k + 17, y + 17], outline=120)
            pen.text((x + 23 * k + 8.5, y + 8.5), letter, fill=120, font=font, anchor="mm")
    filled = [(y, x + 23 * int(rng.integers(5))) for y, x in rows]
    pixels = np.array(page, float)
    for start in filled:
        part = pixels[window(start, (18, 18))]
        r = np.hypot(*(np.indices(part.shape) - 8.5 - rng.normal(0, 0.5, (2, 1, 1))))
        cover = np.clip(rng.uniform(7, 8.5) - r + 0.5, 0, 1)
        part[...] = (1 - cover) * part + cover * (rng.uniform(30, 90) + 12 * smooth_noise(rng, part.shape, 1))
    image = with_grain(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), rng)
    return Scene(image, image[window(filled[0], (18, 18))].copy(), copies=filled)


def note_heads(rng: np.random.Generator) -> Scene:
    """Look for filled note heads, drawn without their staff, among hollow ones and stems on staves."""
    page = Image.new("L", (1300, 520), 255)
    pen, filled = ImageDraw.Draw(page), []
    for top in (90, 350):
        for k in range(5):
            pen.rectangle([30, top + 20 * k, 1270, top + 20 * k + 1], fill=0)
        for x in range(80, 1230, 72):
            y, hollow = top + 10 * int(rng.integers(-2, 8)), rng.random() < 0.25
            page.paste(0, (x, y), _head(hollow=hollow))
            pen.rectangle([x + 26, y - 50, x + 28, y + 8], fill=0)
            if not hollow:
                filled.append((y, x))
    template = Image.new("L", (30, 22), 255)
    template.paste(0, (0, 0), _head(hollow=False))
    return Scene(with_grain(page, rng, 0.8), np.asarray(template), copies=filled, tolerance=3)


def _head(*, hollow: bool) -> Image.Image:
    mask = Image.new("L", (120, 88), 0)
    pen = ImageDraw.Draw(mask)
    pen.ellipse([12, 16, 108, 72], fill=255)
    if hollow:
        pen.ellipse([26, 30, 94, 58], fill=0)
    return mask.rotate(20, Image.Resampling.BICUBIC).resize((30, 22), Image.Resampling.LANCZOS)


def micrograph(rng: np.random.Generator) -> Scene:
    """Look for particles in coloured noise, much fainter than the gold beads among them."""
    side, k, pitch = 960, 33, 78
    y, x = np.indices((k, k)) - k // 2
    r, angle = np.hypot(y, x), np.arctan2(y, x)
    particle = np.exp(-((r - 9) ** 2) / 6) * (1 + 0.35 * np.cos(3 * angle)) + 0.6 * np.exp(-(r**2) / 8)
    image = smooth_noise(rng, (side, side), 1) + 0.8 * smooth_noise(rng, (side, side), 30)
    starts = _grid(rng, 12, pitch, 75)
    for start in starts[:60]:
        image[window(start, (k, k))] += 2.4 * particle
    for start in starts[60:]:
        image[window(start, (k, k))] += 50 * np.clip(9.5 - r, 0, 1)
    return Scene(image, particle, copies=starts[:60])


def heat_image(rng: np.random.Generator) -> Scene:
    """Look for hot spots in an image of 16 bits that is rounded to steps of 20, by one of them."""
    y, x = np.indices((15, 15)) - 7
    spot = 1100 * np.exp(-((y / 2.2) ** 2) - (x / 4.2) ** 2)
    heat = 50000 + 80 * smooth_noise(rng, (480, 640), 2) + 40 * smooth_noise(rng, (480, 640), 30)
    starts = _grid(rng, 8, 58, 6)
    for start in starts:
        heat[window(start, spot.shape)] += spot
    image = (20 * np.rint(heat / 20)).astype(np.uint16)
    return Scene(image, image[window(starts[0], spot.shape)].copy(), copies=starts)


def _grid(rng: np.random.Generator, along: int, pitch: int, count: int) -> Pixels:
    """Choose positions far from each other."""
    order = rng.permutation(along * along)[:count]
    return 8 + np.stack(np.divmod(order, along), axis=1) * pitch + rng.integers(0, 12, (count, 2))


def heartbeats(rng: np.random.Generator) -> Scene:
    """Look for the beats of an electrocardiogram whose baseline drifts."""
    t = np.arange(-30, 31)
    waves = ((1, 0, 3), (-0.25, -7, 3), (-0.35, 7, 4), (0.2, 22, 8))  # height, middle, width
    beat = sum(height * np.exp(-(((t - middle) / width) ** 2)) for height, middle, width in waves)
    starts = np.cumsum(rng.integers(110, 165, 140))[:, None]
    line = smooth_noise(rng, (int(starts[-1, 0]) + 200,), 120) + rng.normal(0, 0.03, int(starts[-1, 0]) + 200)
    for start in starts:
        line[window(start, beat.shape)] += rng.uniform(0.85, 1.15) * beat
    return Scene(line, beat, copies=starts)


def earthquakes(rng: np.random.Generator) -> Scene:
    """Look for repeated events of different sizes in a long record, filtered as the template is."""
    t = np.arange(300) / 50  # seconds
    event = np.sin(2 * np.pi * (3 + 0.8 * np.sin(t)) * t) * np.exp(-t / 1.3) * (1 - np.exp(-8 * t))
    starts = 5000 + 12_000 * np.arange(7)[:, None] + rng.integers(0, 6000, (7, 1))
    record = rng.normal(size=90_000)
    for start in starts:
        record[window(start, event.shape)] += 6 * rng.uniform(0.6, 1.4) * event
    return Scene(_band(record), _band(np.pad(event, 500))[500:-500], copies=starts, tolerance=4)


def _band(record: Pixels) -> Pixels:
    """Keep the frequencies from 1 to 8 Hz of a record with 50 samples per second."""
    from scipy.signal import butter, sosfiltfilt

    return sosfiltfilt(butter(4, (1, 8), "bandpass", fs=50, output="sos"), record)


CASES: dict[str, Callable[[np.random.Generator], Scene]] = {
    "filled bubbles": answer_sheet, "note heads": note_heads, "particles beside gold beads": micrograph,
    "hot spots, 16 bits": heat_image, "heartbeats": heartbeats, "earthquakes": earthquakes,
}  # fmt: skip
