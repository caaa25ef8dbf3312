"""What is reported of poses where the template is not, and what is found where it is, with noise."""

import argparse
from typing import Any

import numpy as np
from detection_trials import by, run, share_of, standard_error, verdict
from poses_cases import Job, is_near, jobs_of, print_table, scenes

import tmatch

SHAPE = (384, 384)
LEVELS = {0.1: 0.10, 0.05: 0.05, 0.01: 0.015}  # false alarms allowed: bar of the share that reports something
FOUND = {25: 0.90, 50: 0.80, 80: 0.65}  # sigma: bar of the share found at 0.01
ABSENT, PRESENT, QUICK = 300, 100, 20  # searches; of each sigma


def absent(options: argparse.Namespace) -> dict[str, Any]:
    """Count searches over all angles that report an absent template."""
    jobs = jobs_of("absent", options, scenes.KINDS, (0, 10), QUICK if options.quick else ABSENT)
    found = run(try_absent, jobs, options, "absent")
    chances = np.array([chance for chance, _ in found])
    shares = [float((chances <= level).mean()) for level in LEVELS]
    cells = [
        share_of(share, len(jobs)) + verdict(share <= bar)
        for share, bar in zip(shares, LEVELS.values(), strict=True)
    ]
    print_table(
        f"absent: {len(jobs)} searches over all angles of {SHAPE[0]} x {SHAPE[1]} pixels for a piece of another\n"
        "photograph; the share that reported something, with two standard errors.",
        ["", *(f"asked {level:g}" for level in LEVELS)],
        [["tmatch", *cells], ["bar", *(f"{bar:.1%}" for bar in LEVELS.values())]],
    )
    for job, (chance, about) in zip(jobs, found, strict=True):
        if chance <= min(LEVELS):
            print(f"  {job}: {about}, false alarms {chance:.2g}")
    return {"searches": len(jobs), "share": by(LEVELS, shares), "bars": by(LEVELS, LEVELS.values())}


def try_absent(job: Job) -> tuple[float, str]:
    """Return the least false alarms of what is reported; infinity if nothing is."""
    image, template, _ = scenes.absent_scene(job.kind, job.rng(), SHAPE, job.sigma)
    matches = tmatch.locate(image, template, angles="all", false_alarms=max(LEVELS), workers=1)
    first = min(matches, key=lambda match: match.false_alarms, default=None)
    return (first.false_alarms, f"score {first.score:.2f}") if first else (np.inf, "")


def present(options: argparse.Namespace) -> dict[str, Any]:
    """Count objects in noise that are found over all angles, and what else is."""
    count = QUICK if options.quick else PRESENT
    jobs = [job for sigma in FOUND for job in jobs_of("present", options, scenes.KINDS, (sigma,), count)]
    values = np.array(run(try_present, jobs, options, "present")).reshape(len(FOUND), count, 2)
    shares, false = values[..., 0].mean(axis=1), values[..., 1].mean(axis=1)
    cells = [
        f"{share_of(share, count)}{verdict(share >= bar)}, {wrong:.2f}"
        for share, wrong, bar in zip(shares, false, FOUND.values(), strict=True)
    ]
    names = [job.name for job in jobs[:count]]
    print_table(
        f"present: {count} searches over all angles at 0.01, an object in noise; the share found, with two\n"
        "standard errors, and false matches in a search.",
        ["", *(f"sigma {sigma}" for sigma in FOUND)],
        [
            ["tmatch", *cells],
            ["bar", *(f"{bar:.0%}" for bar in FOUND.values())],
            *(
                [name, *(f"{each[[n == name for n in names], 0].mean():.0%}" for each in values)]
                for name in scenes.KINDS
            ),
        ],
    )
    standard_errors = [standard_error(share, count) for share in shares]
    return {
        "searches": count,
        "found": by(FOUND, shares),
        "se": by(FOUND, standard_errors),
        "false": by(FOUND, false),
    }


def try_present(job: Job) -> tuple[int, int]:
    """Return whether the object is found, and how many other matches there are."""
    image, template, [placed] = scenes.make_scene(job.kind, job.rng(), shape=SHAPE, sigma=job.sigma)
    matches = tmatch.locate(image, template, angles="all", false_alarms=0.01, workers=1)
    right = min(sum(is_near(match, placed) for match in matches), 1)
    return right, len(matches) - right
