"""The upper tail of the null distribution, fitted or analytic."""

import math
from dataclasses import dataclass

import numpy as np

from tmatch._arrays.typing import Array

POWER = 0.8  # between 1, for noise, and 0.5, for pictures in which the unlikely is less rare than in noise
_TAIL = 0.03  # share of the peaks that the tail is learnt from
MIN_TAIL = 20  # peaks
_MIN_SCALE = 0.02  # of a tail, as a share of where it begins: equal scores do not make a steep one
VARIANCE_BOUNDS = 1e-9, 0.999  # bounds of a mean square that is divided by
MAX_FITTED_SCORE = (
    1 - 2.0**-12
)  # higher scores are learnt from as this one: in single precision they are not exact
_NEARLY_1 = 1 - 1e-9  # scores above count as this one


@dataclass(frozen=True)
class FittedTail:
    """The tail of k heights, evidence to a power, among peaks and hollows; half of them are peaks.

    Its scale is known from these only, so that what is to be expected is Pareto's tail.
    """

    k: int
    least: float
    scale: float

    weight = 1.0  # of a unit of evidence
    most = MAX_FITTED_SCORE  # score that counts

    @classmethod
    def of(cls, evidence: Array) -> "FittedTail":
        """Fit it to the evidence of peaks and hollows."""
        k = min(max(MIN_TAIL, int(_TAIL * len(evidence))), len(evidence) - 1)
        heights = np.partition(evidence, len(evidence) - k - 1)[-k - 1 :] ** POWER
        least = float(heights[0])
        scale = float((heights[1:] - least).mean())
        return cls(k, least, max(scale, _MIN_SCALE * least, 1e-9))

    def expect(self, evidence: Array) -> Array:
        """Give how many peaks chance would give; below the tail, a bound."""
        beyond = (evidence**POWER - self.least) / self.scale
        above = (1 + np.maximum(beyond, 0) / self.k) ** -self.k
        result: Array = self.k / 2 * above * np.exp(clip(-beyond, 0, 50))
        return result

    def needed(self, false_alarms: float) -> float:
        """Give the evidence for which chance would give so many."""
        share = 2 * false_alarms / self.k
        beyond = self.k * (share ** (-1 / self.k) - 1) if share < 1 else -math.log(share)
        return float(max(self.least + self.scale * beyond, 0.0) ** (1 / POWER))


@dataclass(frozen=True)
class AnalyticTail:
    """Correlations of white noise with so many pixels, at so many places; evidence is ``-log(1 - r^2) / 2``."""

    places: float
    pixels: float
    most = _NEARLY_1

    @property
    def weight(self) -> float:
        """The weight of a unit of evidence."""
        return self.pixels - 1

    def expect(self, evidence: Array) -> Array:
        """Give how many places chance would give."""
        from scipy.special import betainc  # noqa: PLC0415

        result: Array = self.places / 2 * betainc((self.pixels - 1) / 2, 0.5, np.exp(-2 * evidence))
        return result

    def needed(self, false_alarms: float) -> float:
        """Give the evidence for which chance would give so many."""
        from scipy.special import betaincinv  # noqa: PLC0415

        share = min(2 * false_alarms / self.places, 1.0)
        return float(-0.5 * np.log(max(betaincinv((self.pixels - 1) / 2, 0.5, share), 1e-300)))


def evidence_of(scores: Array, usual: Array) -> Array:
    """Tell how unlikely scores are, as the negative logarithm of a chance; 0 if they are not above 0."""
    score = clip(scores.astype(np.float64, copy=False), 0, _NEARLY_1)
    mean_square = clip(usual, *VARIANCE_BOUNDS)
    result: Array = -(1 - mean_square) / (2 * mean_square) * np.log1p(-score * score)
    return result


def clip(values: Array, low: float, high: float) -> Array:
    """Do what np.clip does, in a quarter of its time for few values."""
    result: Array = np.minimum(np.maximum(values, low), high)
    return result
