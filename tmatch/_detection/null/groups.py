"""Peaks that are too many to be left out one by one: a gap parts them from the tail of the null distribution."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.typing import Array
from tmatch._detection.null.tails import POWER, FittedTail

LEAST_LIKENESS = 0.6, 0.7  # beyond the noise, of all of a group, and of nearly all if there is no noise
_NOISY = 0.1  # share of noise in the variance of a window that is much
_NEARLY, _APART = 0.6, 0.05  # share of the widest gap, and likeness, by which one peak stands alone
_SURE_LIKENESS = 0.7  # beyond white noise, of all of a group; otherwise its gap must be rarer
_RARE, _RARER = 1e-6, 1e-10  # chance of a gap below a group
_WIDE = 0.7  # least width of a gap, in scales of the tail below it
_MINIMA = 0.1  # minima that may stand above a gap, as a share of the group
_INTRUDERS = 0.2  # others that may stand as high by the other measure, as a share of the group
LEAST_OTHERS = 16  # peaks and minima to fit a tail to
_ALIKE = 0.95  # share of a group that must reach the first
# Correlation of what is left of members that differ in the same way, and in a similar one.
_SAME, _SIMILAR = 0.9, 0.7
# Others that differ in the same way, at least, and their share of the similar ones: there is no continuum.
_SHARING, _MOST_SAME = 2, 1 / 3
_LESS_ALIKE = 0.1  # likeness by which look-alikes are below members that differ in their own way
_MOST_GAPS = 40  # that are tested


@dataclass(frozen=True)
class Group:
    """The first of the peaks, best first, and the chance of the gap below them."""

    members: NDArray[np.intp]
    chance: float


def find_group(
    evidence: list[tuple[Array, Array]], likeness: Array, sure_likeness: Array, noise_share: Array
) -> Group | None:
    """Find a group of peaks by two measures of evidence: that of their surroundings, and that of the whole map.

    `evidence` holds for each measure that of the peaks and that of the minima. A group by one measure must nearly be
    one by the other, too. `noise_share` is the share of noise in the variance of each window.
    """
    alike = likeness >= LEAST_LIKENESS[0]
    best: Group | None = None
    for (peaks, minima), (other_peaks, other_minima) in (evidence, evidence[::-1]):
        found = _above_widest_gap(peaks, minima, alike, sure_likeness)
        if found is None or (best is not None and len(found.members) <= len(best.members)):
            continue
        least = np.quantile(other_peaks[found.members], 0.1)
        others = np.delete(other_peaks, found.members)
        intruders = np.count_nonzero(others >= least) + np.count_nonzero(other_minima >= least)
        if intruders > _INTRUDERS * len(found.members):
            continue
        share = float(np.median(noise_share[found.members]))
        if np.quantile(likeness[found.members], 0.1) >= _least_likeness(share):
            best = found
    return best


def may_be_group(likeness: Array) -> bool:
    """Check whether two peaks are as alike as nearly all of a group are."""
    return int(np.count_nonzero(likeness >= LEAST_LIKENESS[0])) >= 2


def others_of_a_kind(patterns: Array, likeness: Array) -> NDArray[np.bool_]:
    """Find the members that are copies of something else.

    Copies that are not exact differ from the template each in its own way; look-alikes all in the same way. `patterns`
    are what is left of each member without the template, as unit vectors. If all share theirs, nothing is known.
    """
    correlations = patterns @ patterns.T
    same, similar = (np.count_nonzero(correlations >= least, axis=1) for least in (_SAME, _SIMILAR))
    shares = (same > _SHARING) & (same > _MOST_SAME * similar)
    differ = same == 1  # each is the same as itself
    if not differ.any():
        return np.zeros(len(same), bool)
    return np.asarray(shares & (likeness < np.median(likeness[differ]) - _LESS_ALIKE))


def _least_likeness(noise_share: float) -> float:
    """Return the likeness that nearly all of a group must have: less where noise may be stronger than estimated."""
    return LEAST_LIKENESS[1] - (LEAST_LIKENESS[1] - LEAST_LIKENESS[0]) * min(noise_share / _NOISY, 1)


def _above_widest_gap(
    peaks: Array, minima: Array, alike: NDArray[np.bool_], sure_likeness: Array
) -> Group | None:
    """Find the peaks above the widest gap that the tail below it hardly has.

    In an exponential tail of scale b, the gap below the m-th of all is exponential with mean b / m. As b is estimated
    from k values, it has a heavier tail; and as any m is tried, its chance is multiplied by m.
    """
    order = np.argsort(-peaks, kind="stable")
    most = int(np.count_nonzero(alike) / _ALIKE) + 1  # members that a group may have
    first, ranks = order[:most], np.arange(1, min(most, len(order)) + 1)
    are_alike = (np.cumsum(alike[first]) >= _ALIKE * ranks) & (ranks >= 2)
    if not are_alike.any():  # as where one peak or none is like the template
        return None
    powers = np.append(peaks[order[: most + 1]], 0)[: most + 1] ** POWER
    below = powers[1:]
    if len(minima):
        number = np.minimum((ranks * _MINIMA).astype(np.intp), len(minima) - 1)
        below = np.maximum(below, np.sort(minima)[::-1][number] ** POWER)
    widths = powers[:-1] - below
    sure = np.minimum.accumulate(sure_likeness[first]) >= _SURE_LIKENESS
    possible = np.flatnonzero(
        are_alike & (widths > 0) & (ranks + LEAST_OTHERS // 2 <= len(peaks) + len(minima))
    )
    possible = possible[np.argsort(-(ranks * widths)[possible], kind="stable")][:_MOST_GAPS]
    gaps = []
    for i in possible.tolist():
        others = np.concatenate([peaks[order[i + 1 :]], minima])
        if len(others) < LEAST_OTHERS:
            continue
        tail, m = FittedTail.of(others), i + 1
        chance = m * (1 + m * widths[i] / (tail.k * tail.scale)) ** -tail.k
        if widths[i] >= _WIDE * tail.scale and chance <= (_RARE if sure[i] else _RARER):
            gaps.append((float(widths[i]), m, float(chance)))
    if not gaps:
        return None
    widest, m, chance = max(gaps)
    first, second = sure_likeness[order[:2]]
    if widths[0] >= _NEARLY * widest and first - second >= _APART:
        return None  # the best peak stands alone
    return Group(order[:m], chance)
