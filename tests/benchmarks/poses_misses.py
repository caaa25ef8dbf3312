"""What the coarse search for poses loses of what a search of every pose at full size finds."""

import argparse
from typing import Any, NamedTuple

import numpy as np
from detection_trials import run, verdict
from poses_cases import Job, is_near, jobs_of, print_table, scenes, score_at

import tmatch

SIGMAS = (0, 10, 25, 50)
SHAPE, SMALL_SHAPE = (256, 256), (144, 144)
# What is searched besides all angles; of each five scenes of one kind, three have nothing else.
MODES = ("", "", "", "flips", "scales")
SCALES = (0.9, 1.1)
COUNT, QUICK_COUNT = 500, 44  # scenes; of five, one has a long template
BELOW = 0.05  # the threshold is so much lower than the score where the object is
AS_GOOD = 0.005  # by which a score may be lower and be as good
MOST_LOST = 0.002
LEVELS = (2, 3, 4)


class Compared(NamedTuple):
    """What came of one scene."""

    about: str
    sigma: int
    right: bool  # the exhaustive search finds the object
    lost: bool  # it does, and the other one neither finds it nor anything as good
    worse: bool  # it finds something else, and the other one nothing as good
    scores: tuple[float, float, float]  # where the object is, of the exhaustive search, of the other one
    shares: tuple[float, ...]  # of the template's energy that block means keep


def misses(options: argparse.Namespace) -> dict[str, Any]:
    """Compare `search="auto"` with `search="exhaustive"`; a threshold decides."""
    count = QUICK_COUNT if options.quick else COUNT
    ordinary = jobs_of("misses", options, scenes.KINDS, SIGMAS, count * 4 // 5)
    jobs = [job._replace(mode=MODES[job.number % len(MODES)]) for job in ordinary]
    jobs += jobs_of("misses", options, scenes.LONG, SIGMAS, count // 5)
    found = [Compared(*each) for each in run(try_both, jobs, options, "misses")]
    rows = [row_of(str(sigma), [f for f in found if f.sigma == sigma]) for sigma in SIGMAS]
    print_table(
        f"misses: {len(jobs)} scenes of {SHAPE[0]} x {SHAPE[1]}, all angles, a fifth of them with templates of 3 : 1\n"
        "and 6 : 1, some with mirrored objects or other scales. Lost: exhaustive finds the object, auto neither it\n"
        f"nor a score as good. Bar: {MOST_LOST:.1%} in all, none where block means keep half of the template's energy.",
        ["sigma", "scenes", "found by exhaustive", "lost by auto", "worse elsewhere"],
        [*rows, row_of("all", found)],
    )
    for each in found:
        if each.lost or each.worse:
            print_miss(each)
    lost = sum(each.lost for each in found)
    return {
        "scenes": len(found),
        "found by exhaustive": sum(each.right for each in found),
        "lost": [each.about for each in found if each.lost],
        "worse elsewhere": [each.about for each in found if each.worse],
        "ok": lost <= MOST_LOST * len(found),
    }


def try_both(job: Job) -> Compared:
    """Search one scene both ways."""
    sought = {"flips": {"flips": True}, "scales": {"scales": SCALES}}.get(job.mode, {})
    shape = SMALL_SHAPE if job.mode == "scales" else SHAPE
    image, template, [placed] = scenes.make_scene(job.kind, job.rng(), shape=shape, sigma=job.sigma, **sought)
    there = score_at(image, template, placed)
    best = []
    for search in ("exhaustive", "auto"):
        matches = tmatch.locate(
            image,
            template,
            angles="all",
            search=search,
            threshold=max(there - BELOW, 0.05),
            max_count=1,
            workers=1,
            **sought,
        )
        best.append(matches[0] if matches else None)
    exhaustive, auto = best
    scores = there, *(match.score if match else 0.0 for match in best)
    as_good = is_near(auto, placed) or scores[2] >= scores[1] - AS_GOOD
    right = is_near(exhaustive, placed)
    return Compared(
        str(job),
        job.sigma,
        right,
        right and not as_good,
        not right and not as_good,
        scores,
        kept_by(template),
    )


def kept_by(template: np.ndarray) -> tuple[float, ...]:
    """Return the shares of the zero-mean energy that means of blocks keep."""
    levels = [scenes.block_means(template.astype(float), factor) for factor in LEVELS]
    return tuple(float(level.var() / template.var()) for level in levels)


def row_of(name: str, found: list[Compared]) -> list[str]:
    lost = sum(each.lost for each in found)
    return [
        name,
        str(len(found)),
        str(sum(each.right for each in found)),
        f"{lost}{verdict(lost <= MOST_LOST * len(found))}",
        str(sum(each.worse for each in found)),
    ]


def print_miss(miss: Compared) -> None:
    scores = ", ".join(
        f"{who} {score:.3f}" for who, score in zip(("object", "exhaustive", "auto"), miss.scores, strict=True)
    )
    shares = ", ".join(f"1/{k} {share:.2f}" for k, share in zip(LEVELS, miss.shares, strict=True))
    print(
        f"  {'lost' if miss.lost else 'worse elsewhere'}: {miss.about}; scores: {scores}; energy kept: {shares}"
    )
