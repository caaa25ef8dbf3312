"""How exact refined poses are, and whether their standard errors say so, beside OpenCV's ECC."""

import argparse
import math
from typing import Any, NamedTuple

import numpy as np
from common import optional
from detection_trials import run
from numpy.typing import NDArray
from poses_cases import Z95, Job, barred, is_near, print_table, scenes

import tmatch

SIGMAS = (0, 2, 10, 25, 50)
SHAPE = (112, 112)
POSES, QUICK_POSES = 2000, 100  # of each mode
MODES = ("place", "angle", "angle and scale")  # what is refined
SCALES = (0.8, 1.25)
QUANTITIES = ("rows", "columns", "degrees", "ln scale")
ROBUST_BAR, ECC_BAR, KIND_BAR = 0.012, 1.4, 0.85  # pixels; times as good; share of intervals
PREDICTED_BARS = {10: 1.5, 25: 1.25, 50: 1.25}  # sigma: errors over predicted ones
COVERAGE_BARS = {0: (0.90, 0.99), 2: (0.90, 0.99), 10: (0.92, 0.98), 25: (0.92, 0.98), 50: (0.92, 0.98)}


class Errors(NamedTuple):
    """Of one pose: rows, columns, degrees, logarithm of the scale; NaN where not known."""

    kept: bool  # the best match is the object
    actual: NDArray[np.float64]
    predicted: NDArray[np.float64]
    ecc: NDArray[np.float64]


def refinement(options: argparse.Namespace) -> dict[str, Any]:
    """Compare refined poses with where objects were drawn; each search starts from nothing."""
    optional("cv2")  # says so if it is missing
    count = QUICK_POSES if options.quick else POSES
    return {mode: of_mode(mode, count, options) for mode in MODES}


def of_mode(mode: str, count: int, options: argparse.Namespace) -> dict[str, Any]:
    numbers = range(count // (len(SIGMAS) * len(scenes.KINDS)))
    jobs = [
        Job("refinement", name, sigma, number, options.seed, mode)
        for sigma in SIGMAS
        for number in numbers
        for name in scenes.KINDS
    ]
    found = [Errors(*each) for each in run(try_pose, jobs, options, f"refinement of {mode}")]
    by_sigma = {
        sigma: [(j, e) for j, e in zip(jobs, found, strict=True) if j.sigma == sigma] for sigma in SIGMAS
    }
    print_table(
        f"refinement of {mode}: {len(jobs)} poses; errors in pixels (rows and columns together), degrees, ln scale.\n"
        f"Bars: robust error {ROBUST_BAR} px at sigma 0 and 2, over predicted "
        + ", ".join(f"{bar:g} at {sigma}" for sigma, bar in PREDICTED_BARS.items())
        + f"; ECC {ECC_BAR} times that up to sigma 25.",
        ["sigma", "found", "RMS", "robust", "over predicted", "ECC affine", "RMS deg", "robust", "over predicted",
         "RMS ln scale", "robust", "over predicted"],
        [errors_row(sigma, mode, [e for _, e in each]) for sigma, each in by_sigma.items()],
    )  # fmt: skip
    lost = [str(job) for job, errors in zip(jobs, found, strict=True) if not errors.kept]
    if lost:
        print("the best match is not the object: " + "; ".join(lost))
    print_table(
        "95 % intervals cover (bars: 90 to 99 % at sigma 0 and 2, else 92 to 98 %; places of the least kind 85 %)",
        ["sigma", *QUANTITIES, "least kind, places"],
        [coverage_row(sigma, each) for sigma, each in by_sigma.items()],
    )
    return {str(sigma): figures_of([e for _, e in each]) for sigma, each in by_sigma.items()}


# --- one pose -------------------------------------------------------------------------------------


def try_pose(job: Job) -> Errors:
    """Search one scene, and compare."""
    scales, angles = (
        (SCALES if "scale" in job.mode else (1, 1)),
        ((0, 0) if job.mode == "place" else (-180, 180)),
    )
    rng = job.rng()
    image, template, [placed] = scenes.make_scene(
        job.kind, rng, shape=SHAPE, sigma=job.sigma, scales=scales, angles=angles
    )
    sought = {"subpixel": True} if job.mode == "place" else {"angles": "all"}
    if "scale" in job.mode:
        sought["scales"] = SCALES
    match = tmatch.best_match(image, template, workers=1, **sought)
    return Errors(
        is_near(match, placed),
        np.array(scenes.off_by(match, placed)),
        np.array(predicted_of(match)),
        np.array(by_ecc(image, template, nearby(placed, template.shape, rng))) - truth_of(placed),
    )


def predicted_of(match: tmatch.Match) -> list[float]:
    """Return standard errors of rows, columns, degrees and ln scale; NaN for those that are not told."""
    errors = match.errors
    if errors is None:
        return [math.nan] * 4
    return [
        *(errors.center or (math.nan, math.nan)),
        math.nan if errors.angle is None else errors.angle,
        math.nan if errors.scale is None else errors.scale / match.scale,
    ]


def truth_of(placed: Any) -> NDArray[np.float64]:
    return np.array([*placed.center, 0, 0])


def nearby(placed: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Return a start for ECC: half a pixel off at most."""
    corner = math.hypot(*shape) / 2
    rows, columns, angle, scale = rng.uniform(-0.5, 0.5, 4)
    center = placed.center[0] + rows, placed.center[1] + columns
    return placed._replace(
        center=center,
        angle=placed.angle + math.degrees(angle / corner),
        scale=placed.scale * (1 + scale / corner),
    )


def by_ecc(image: NDArray[Any], template: NDArray[Any], start: Any) -> list[float]:
    """Return row and column of the middle by OpenCV's affine ECC; NaN if it fails, or is not installed."""
    try:
        import cv2
    except ImportError:
        return [math.nan] * 4
    middle = (np.array(template.shape[::-1]) - 1) / 2
    warp = np.zeros((2, 3), np.float32)
    warp[:, :2] = start.matrix[::-1, ::-1]
    warp[:, 2] = np.array(start.center[::-1]) - warp[:, :2] @ middle
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
    try:
        _, warp = cv2.findTransformECC(template, image, warp, cv2.MOTION_AFFINE, criteria, None, 1)
    except cv2.error:
        return [math.nan] * 4
    x, y = warp[:, :2] @ middle + warp[:, 2]
    return [float(y), float(x), math.nan, math.nan]


# --- figures --------------------------------------------------------------------------------------


def figures_of(found: list[Errors]) -> dict[str, Any]:
    """Sum up errors: of places, angles and scales."""
    kept = [e for e in found if e.kept]
    actual, predicted = (np.array([getattr(e, name) for e in kept]) for name in ("actual", "predicted"))
    ecc = np.array([e.ecc[:2] for e in found])
    parts = {"places": [0, 1], "degrees": [2], "ln scale": [3]}
    return {
        "found": len(kept) / len(found),
        "ECC robust": robust(ecc),
        "ECC failed": float(np.isnan(ecc).any(axis=1).mean()),
        "coverage": dict(zip(QUANTITIES, covered(actual, predicted), strict=True)),
        **{name: sums_of(actual[:, at], predicted[:, at]) for name, at in parts.items()},
    }


def sums_of(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    expected = math.sqrt(np.nanmean(predicted**2)) if np.isfinite(predicted).any() else math.nan
    return {"rms": math.sqrt(np.mean(actual**2)), "robust": robust(actual), "predicted": expected}


def robust(errors: NDArray[np.float64]) -> float:
    """Return the standard deviation of a bell as wide as these errors; those that are not known are infinite."""
    return float(np.median(np.abs(np.nan_to_num(errors, nan=np.inf)))) / 0.6745


def covered(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> list[float]:
    """Return the shares of intervals that hold the truth; NaN for what is not refined."""
    known = np.isfinite(predicted)
    inside = (np.abs(actual) <= Z95 * predicted) & known
    return [float(i.sum() / k.sum()) if k.any() else math.nan for i, k in zip(inside.T, known.T, strict=True)]


# --- rows of tables -------------------------------------------------------------------------------


def errors_row(sigma: int, mode: str, found: list[Errors]) -> list[str]:
    figures = figures_of(found)
    refined = [
        "places",
        *(["degrees"] if "angle" in mode else []),
        *(["ln scale"] if "scale" in mode else []),
    ]
    row = [str(sigma), f"{figures['found']:.1%}"]
    for name in ("places", "degrees", "ln scale"):
        values = figures[name]
        if name not in refined:
            row += ["", "", ""]
            continue
        bar = ROBUST_BAR if name == "places" and sigma <= 2 else math.inf
        over = values["robust"] / values["predicted"]
        row += [
            f"{values['rms']:.4f}",
            barred(values["robust"], "{:.4f}", values["robust"] <= bar if bar < math.inf else None),
            barred(over, "{:.2f}", over <= PREDICTED_BARS[sigma] if sigma in PREDICTED_BARS else None)
            + f" (RMS {values['rms'] / values['predicted']:.2f})",
        ]
        if name == "places":
            times = figures["ECC robust"] / values["robust"]
            row.append(
                ""
                if math.isinf(times)
                else barred(times, "{:.2f} times", times >= ECC_BAR if sigma <= 25 else None)
            )
    return row


def coverage_row(sigma: int, found: list[tuple[Job, Errors]]) -> list[str]:
    low, high = COVERAGE_BARS[sigma]
    shares = figures_of([e for _, e in found])["coverage"]
    cells = [
        "" if math.isnan(share) else barred(share, "{:.1%}", low <= share <= high)
        for share in shares.values()
    ]
    least, name = min((places_covered(found, name), name) for name in scenes.KINDS)
    return [str(sigma), *cells, f"{barred(least, '{:.0%}', least >= KIND_BAR)} {name}"]


def places_covered(found: list[tuple[Job, Errors]], name: str) -> float:
    """Return the share of intervals of rows and columns of one kind of template that hold the truth."""
    kept = [e for job, e in found if job.name == name and e.kept]
    if not kept:
        return math.nan
    return float(np.mean([np.abs(e.actual[:2]) <= Z95 * e.predicted[:2] for e in kept]))
