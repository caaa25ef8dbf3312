"""The upper tail of the null distribution, fitted or analytic."""

import math
from dataclasses import dataclass

import numpy as np

from tmatch._arrays.typing import Array

POWER = 0.8  # of evidence: between 1, for noise, and 0.5, for images with heavier tails
_TAIL = 0.03  # share of the peaks and minima that the tail is fitted to
MIN_TAIL = 20  # peaks or minima
_MIN_SCALE = 0.02  # of a tail, as a share of where it begins: equal scores do not make a steep one
VARIANCE_BOUNDS = 1e-9, 0.999  # bounds of a variance that is divided by
MAX_FITTED_SCORE = (
    1 - 2.0**-12
)  # higher scores are fitted as this one: in single precision they are not exact
MIN_FALSE_ALARMS = 1e-300  # fewer count as so many
MAX_SCORE = 1 - 1e-9  # higher scores count as this one


@dataclass(frozen=True)
class FittedTail:
    """Generalised Pareto tail fitted to the k largest of evidence to a power, of peaks and minima.

    Half of them are taken for peaks. As the scale is estimated from k values, the tail is heavier than exponential.
    """

    k: int
    start: float  # the largest value below the tail
    scale: float

    max_score = MAX_FITTED_SCORE

    @classmethod
    def of(cls, evidence: Array) -> "FittedTail":
        """Fit the tail to the evidence of peaks and minima."""
        n = len(evidence)
        k = min(max(MIN_TAIL, int(_TAIL * n)), max(n // 2, 1), n - 1)
        powers = np.partition(evidence, n - k - 1)[-k - 1 :] ** POWER
        start = float(powers[0])
        scale = float((powers[1:] - start).sum()) / k
        return cls(k, start, max(scale, _MIN_SCALE * start, 1e-9))

    def expect(self, evidence: Array) -> Array:
        """Compute the expected number of false alarms; below the tail, a bound."""
        beyond = (evidence**POWER - self.start) / self.scale
        above = (1 + np.maximum(beyond, 0) / self.k) ** -self.k
        result: Array = self.k / 2 * above * np.exp(clip(-beyond, 0, 50))
        return result

    def needed(self, false_alarms: float) -> float:
        """Compute the evidence at which so many false alarms are expected."""
        share = 2 * false_alarms / self.k
        beyond = self.k * (share ** (-1 / self.k) - 1) if share < 1 else -math.log(share)
        return float(max(self.start + self.scale * beyond, 0.0) ** (1 / POWER))


@dataclass(frozen=True)
class AnalyticTail:
    """Tail of the correlations of white noise with so many pixels, at so many positions.

    Evidence is ``-log(1 - r^2) / 2``.
    """

    positions: float
    pixels: float
    max_score = MAX_SCORE

    def expect(self, evidence: Array) -> Array:
        """Compute the expected number of false alarms."""
        from scipy.special import betainc  # noqa: PLC0415

        result: Array = self.positions / 2 * betainc((self.pixels - 1) / 2, 0.5, np.exp(-2 * evidence))
        return result

    def expect_scores(self, scores: Array) -> Array:
        """Compute the expected number of false alarms of scores."""
        return self.expect(logs_of(clip(scores, 0, self.max_score)) / 2)

    def needed(self, false_alarms: float) -> float:
        """Compute the evidence at which so many false alarms are expected."""
        from scipy.special import betaincinv  # noqa: PLC0415

        share = min(2 * false_alarms / self.positions, 1.0)
        return float(-0.5 * np.log(max(betaincinv((self.pixels - 1) / 2, 0.5, share), 1e-300)))


def evidence_of(scores: Array, variance: Array) -> Array:
    """Compute the negative logarithm of how rarely scores are reached; 0 if they are not above 0."""
    return np.asarray(
        logs_of(clip(scores.astype(np.float64, copy=False), 0, MAX_SCORE)) * weight_of(variance)
    )


def logs_of(scores: Array) -> Array:
    """Compute ``-log(1 - r^2)``: what evidence is proportional to at one place."""
    return np.asarray(-np.log1p(-scores * scores))


def weight_of(variance: Array | float) -> Array:
    """Compute the evidence of a unit of these logarithms among scores of some variance."""
    bounded = clip(np.asarray(variance), *VARIANCE_BOUNDS)
    return np.asarray((1 - bounded) / (2 * bounded))


def clip(values: Array, low: float, high: float) -> Array:
    """Clip as np.clip does, in a quarter of its time for few values."""
    result: Array = np.minimum(np.maximum(values, low), high)
    return result
