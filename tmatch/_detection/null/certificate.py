"""Copies certified by what they leave: noise, or no more than rounding."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array
from tmatch._detection.null.residual import Residuals, beyond_noise
from tmatch._detection.null.tails import MIN_FALSE_ALARMS, AnalyticTail

CERTIFIED_LIKENESS = 0.8  # look-alikes half hidden by noise reach 0.7 to 0.8
_EXACT = (
    0.1  # share of the variance of a window that rounding may be: elsewhere it is the contrast that is low
)
_MAX_EXCESS = 2.5  # what is left, in units of the white noise: clipped and rounded noise is not exact
_RARE = 0.01  # false alarms of a score in white noise, at most
_SCORE_ERROR = 2e-4  # of scores in single precision
_CONTROLS = 0.01  # minima that may leave noise as well, as a share of the peaks
_LEAST_OF_GROUP = 0.35  # score of a group's members: lower ones may be one slope of light under noise
_GROUP_FACTOR = 100  # by which the chance of so few minima is multiplied
_FAR = 10  # factor by which the best minimum must have more false alarms


def leaves_rounding(left: Residuals, rounding: float) -> NDArray[np.bool_]:
    """Check which windows leave no more than rounding."""
    return np.asarray((left.left <= rounding) & (left.left <= _EXACT * left.variance))


def leaves_noise(left: Residuals, white_noise: float) -> NDArray[np.bool_]:
    """Check which windows leave white noise at most, and a plane if slopes were allowed."""
    return np.asarray(left.level & (left.left <= _MAX_EXCESS * white_noise))


@functools.lru_cache(maxsize=64)
def least_score(positions: float, pixels: float) -> float:
    """Compute the score that is rare enough in white noise."""
    tail = AnalyticTail(positions, max(pixels, 1.1))
    return float(np.sqrt(-np.expm1(-2 * tail.needed(_RARE)))) - _SCORE_ERROR


@dataclass(frozen=True)
class Noise:
    """Variances: of white noise in the image, of what rounding leaves of exact copies, and of the template.

    That of the template is infinite unless it was cut out of the image, noise included.
    """

    white: float
    rounding: float
    template: float = math.inf


def may_be_exact(scores: Array, variance: Array, rounding: float) -> NDArray[np.bool_]:
    """Check by their score and variance which windows may leave no more than rounding; scores are not quite exact."""
    left = 1 - np.minimum(scores + _SCORE_ERROR, 1) ** 2
    return np.asarray((variance * left <= rounding) & (left <= _EXACT))


def may_leave_noise(scores: Array, variance: Array, noise: Noise) -> NDArray[np.bool_]:
    """Check by their score and variance which windows may leave white noise."""
    left = variance * (1 - np.minimum(scores + _SCORE_ERROR, 1) ** 2)
    alike = beyond_noise(scores + _SCORE_ERROR, variance, noise.white, noise.template) >= CERTIFIED_LIKENESS
    return np.asarray(alike & (left <= _MAX_EXCESS * noise.white))


def certify(
    peaks: Residuals,
    minima: Callable[[], Residuals],
    *,
    positions: float,
    pixels: float,
    noise: Noise,
) -> Array:
    """Compute the false alarms of peaks as copies; infinite for those that leave structure.

    What is left of a copy in white noise is white noise, and its likeness is that of structure, as of `pixels`
    independent pixels. Minima, which are no copies, are tested in the same way as controls.

    Parameters
    ----------
    peaks : Residuals
        What is left of the windows of peaks.
    minima : callable
        Measures the minima; called only if a peak leaves white noise.
    positions : float
        Number of positions that are searched.
    pixels : float
        Effective pixels of the template.
    noise : Noise
        Of the image and the template.
    """
    exact = leaves_rounding(peaks, noise.rounding)
    result = np.where(exact, _law(positions, pixels, peaks.score), np.inf)
    eligible, in_noise = _in_noise(peaks, positions, noise)
    if not (result[eligible] > MIN_FALSE_ALARMS).any():
        return result
    lows = minima()
    controls = lows.likeness
    if len(controls):
        controls = controls[_in_noise(lows, positions, noise)[0]]
    alone = _law(positions, pixels, peaks.likeness)
    control = _law(positions, pixels, controls).min(initial=np.inf)
    alone[alone > control / _FAR] = np.inf
    together = _as_group(peaks.likeness, eligible & (peaks.score >= _LEAST_OF_GROUP), controls)
    certified = np.maximum(in_noise, np.minimum(alone, together))
    return np.where(eligible, np.minimum(result, certified), result)


def _in_noise(left: Residuals, positions: float, noise: Noise) -> tuple[NDArray[np.bool_], Array]:
    """Check which windows may be the template in white noise; compute the false alarms of their scores as such."""
    scores = np.abs(left.score)
    expected = _law(positions, left.pixels, scores)
    white = left.white & (left.left <= _MAX_EXCESS * noise.white)
    alike = (left.likeness >= CERTIFIED_LIKENESS) & (
        beyond_noise(scores, left.variance, noise.white, noise.template) >= CERTIFIED_LIKENESS
    )
    return white & alike & (expected <= _RARE), expected


def _as_group(likeness: Array, eligible: NDArray[np.bool_], controls: Array) -> Array:
    """Compute the false alarms of peaks as members of a group: of that many peaks hardly any minimum is as alike.

    A place that is none is as likely a peak as a minimum, and copies are no minima.
    """
    from scipy.special import bdtr  # noqa: PLC0415

    result = np.full(len(likeness), np.inf)
    order = np.flatnonzero(eligible)[np.argsort(likeness[eligible], kind="stable")]
    n_peaks = np.arange(len(order), 0, -1)
    n_controls = len(controls) - np.searchsorted(np.sort(controls), likeness[order])
    chance = bdtr(n_controls, n_peaks + n_controls, 0.5) * _GROUP_FACTOR
    chance[n_controls > _CONTROLS * n_peaks] = np.inf
    result[order] = np.minimum.accumulate(chance)
    return result


def _law(positions: float, pixels: float | Array, scores: Array) -> Array:
    """Compute how often a score is reached by so many independent pixels at so many positions."""
    tail = AnalyticTail(positions, np.maximum(pixels, 1.1))  # type: ignore[arg-type]
    return tail.expect_scores(scores)
