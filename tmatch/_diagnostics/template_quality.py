"""Is this a good template? What it can be told by, what it is like, how much noise it should survive."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.typing import Array
from tmatch._detection.false_alarms import effective_pixels
from tmatch._detection.peaks import find_peaks
from tmatch._scoring.maps import Scores, match_template, score_map
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.template import prepare_template
from tmatch._search.poses import Pose, transform

Heights = NDArray[np.float64]
ALIKE = 0.8  # a usual threshold
_PLACES = 1_000_000  # where no image is given: those of a picture of about 1000 x 1000
_FALSE_ALARMS = 0.01  # expected number of chance places that score as high
_DIP = 0.1  # the score must fall by so much on the way to a side lobe; less is a ripple of the main lobe
_FAINT = 0.01  # of the greatest absolute value: 2.55 grey levels of 8 bits
_OVERLAP = 0.5  # share of the template on which a score with a copy of itself must rest
_ROUNDING = 1e-9  # scores that differ by less are equal
_NEAR_ONE = 0.95  # true places in pictures with any noise score no more


@dataclass(frozen=True, slots=True)
class Inspection:
    """What `inspect_template` found. Fields are built-in numbers, strings and tuples: JSON as they stand.

    Parameters
    ----------
    shape : tuple of int
        The template's number of pixels on each axis, without that of channels.
    pixels : int
        How many of them count.
    contrast : float
        Standard deviation in grey levels of the pixels that count; of channels the root of the mean variance.
    effective_pixels : float
        As many independent pixels would be like chance places as seldom as this template is. At least 1.
    side_lobe : float
        Highest score of the template with a shifted copy of itself, apart from shifts that only blur it: on every way
        from shift 0, by single steps along the axes, the score falls at least 0.1 below it. 0 if there is none.
    side_lobe_at : tuple of int
        That shift in pixels on each axis, the shortest of equal ones (its negative is as good); empty if there is none.
    separation : tuple of float
        Least distance in pixels along each axis of two copies that show as two: that at which, half way between
        them, the score of either has fallen to one half. At least 1; the template's length where the score never does.
    likeness : tuple of (str, float)
        Score of a 2-D template with its own mirror images and turned copies, by name; empty for other dimensions.
    places : int
        Number of places at which chance is given a try: those of the image; a million if there is none.
    chance_score : float
        The score that 0.01 of so many places are expected to reach by chance.
    noise : float
        Standard deviation in grey levels of the white normal noise at which the true place is expected to score no
        more than the best of chance places do, if nothing is clipped: half of it should not hide the template.
    advice : str
        The most important of all this, in one line.
    best_score, second_score : float or None
        Score of the best place of the image, and of the best place at least half a template away from it. None
        without an image, or if there is no such place.
    best_at, second_at : tuple of int
        First pixel of these places on each axis; empty if there is none.
    second_ratio : float or None
        The second score over the best: near 1 the two are hardly told apart. None if there is none above 0.

    Examples
    --------
    >>> inspect_template([0, 1, 0, 0, 2, 3, 1, 5]).shape
    (8,)
    """

    shape: tuple[int, ...]
    pixels: int
    contrast: float
    effective_pixels: float
    side_lobe: float
    side_lobe_at: tuple[int, ...]
    separation: tuple[float, ...]
    likeness: tuple[tuple[str, float], ...]
    places: int
    chance_score: float
    noise: float
    advice: str
    best_score: float | None = None
    second_score: float | None = None
    best_at: tuple[int, ...] = ()
    second_at: tuple[int, ...] = ()
    second_ratio: float | None = None


def inspect_template(
    template: ArrayLike,
    image: ArrayLike | None = None,
    /,
    *,
    mask: ArrayLike | None = None,
    channel_axis: int | None = None,
) -> Inspection:
    """Tell how good a template is: how much there is to compare, what it may be confused with, what noise it survives.

    Parameters
    ----------
    template : array of bool, integers or real floats, any dimension
        The array to be sought.
    image : array of the same dimension, or None
        An array to search it in: the number of its places counts, and its two best ones are told.
    mask : array of bool or of weights, of the template's shape without channels, or None
        How much each pixel of the template counts: not at all where it is 0 or False. None: all alike.
    channel_axis : int or None
        The axis that holds the channels (colours), in both arrays; None if there are none.

    Returns
    -------
    Inspection
        What was found; its fields are told there.

    Raises
    ------
    ValueError, TypeError
        As in `match_template`: if the template is constant or not finite, or shapes do not go together.

    See Also
    --------
    match_template : the score of which all this is told.

    Notes
    -----
    The number of effective pixels is that of the pixels over the sum of ``a(shift)**2``, with the autocorrelation a of
    the template about its mean (of channels each about its own, and their sum), times its weights, nothing lying
    outside, 1 at shift 0 (M. S. Bartlett, J. R. Stat. Soc. 98:536, 1935; P. Clifford, S. Richardson and D. Hemon,
    Biometrics 45:123, 1989). One over it is the variance of the score at places that have nothing but their texture in
    common with the template. Its likeness by chance with shifts of itself counts as well, which is on the safe side: of
    white noise about half of the pixels are effective. Weights w count as ``sum(w)**2 / sum(w**2)`` pixels (L. Kish).

    Chance places score more than r with the probability of random directions in n dimensions, n effective pixels:
    ``P(r, n) = betainc((n - 1) / 2, 1 / 2, 1 - r**2) / 2``, so that ``places * P(chance_score, n)`` is 0.01. In white
    noise of standard deviation s a template of contrast c scores about ``r = c / sqrt(c**2 + s**2)`` at its true place.
    The noise makes chance places less like the template, too: if the image has its contrast and texture there, their n
    is ``1 / (r**2 / n + (1 - r**2) / values)``, values being pixels times channels. `noise` is the least s for which
    ``places * P(r, n)`` reaches 0.01 with both. Other things that look like the template are not in this account.

    Scores with shifted, mirrored and turned copies are those of the parts that overlap, if they are at least half of
    the template. The score with a copy turned by 270 degrees is always that with a copy turned by 90.

    The advice is that of the first rule that holds: contrast below 0.01 of the greatest absolute value; a side lobe
    above 0.8, a usual threshold, and above the chance score; a chance score above 0.8; a second place of the
    image above 0.8; none of this, but a likeness above 0.8; none at all.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(128, 30, (20, 20))
    >>> found = inspect_template(np.hstack([noise, noise]))
    >>> round(found.side_lobe, 6), found.side_lobe_at, found.advice
    (1.0, (0, 20), 'repeats itself: ...')
    """
    channels, weights = take_apart(template, mask, channel_axis)
    contrast, effective, values = spread(channels, weights)
    heights = self_scores(channels, weights)
    side_lobe, side_lobe_at = _side_lobe(heights)
    there: dict[str, Any] = {"places": _PLACES}
    if image is not None:
        scores = match_template(image, template, mask=mask, channel_axis=channel_axis)
        there = _two_best(scores, weights.shape)
    found = Inspection(
        shape=weights.shape,
        pixels=int(np.count_nonzero(weights)),
        contrast=contrast,
        effective_pixels=effective,
        side_lobe=side_lobe,
        side_lobe_at=side_lobe_at,
        separation=_separation(heights),
        likeness=_likeness(channels, weights),
        chance_score=float(chance_scores(1.0, effective, values, there["places"])),
        noise=contrast * _noise(effective, values, there["places"]),
        advice="",
        **there,
    )
    brightest = max(float(np.abs(channel[weights > 0].astype(np.float64)).max()) for channel in channels)
    return replace(found, advice=_advise(found, contrast / brightest))


def take_apart(
    template: ArrayLike, mask: ArrayLike | None, channel_axis: int | None
) -> tuple[list[Array], NDArray[np.float64]]:
    """Check a template; return its channels, 0 where they do not count, and the weights of its pixels."""
    prepared = prepare_template(template, mask, ScoringOptions(channel_axis=channel_axis))
    weights = prepared.weights[0].astype(np.float64)
    if any((other != weights).any() for other in prepared.weights):
        msg = f"`mask` differs between channels; give one for all of them, of shape {weights.shape}"
        raise ValueError(msg)
    return prepared.channels, weights


def self_scores(channels: list[Array], weights: NDArray[np.float64]) -> Heights:
    """Score a template with shifted copies of itself; minus infinity where less than half of it overlaps.

    Shift 0 is in the middle, and opposite shifts score the same.
    """
    pixels = np.stack(channels, axis=-1)
    heights = score_map(
        pixels, pixels, mask=weights, image_mask=weights > 0, min_overlap=_OVERLAP, output="full", channel_axis=-1
    ).masked_scores  # fmt: skip
    return np.maximum(heights, np.flip(heights))  # rounding and weights make opposite shifts differ


def spread(channels: list[Array], weights: NDArray[np.float64]) -> tuple[float, float, float]:
    """Give the contrast, and the numbers of effective pixels and of values."""
    share = weights / weights.sum()
    values = [channel.astype(np.float64) for channel in channels]
    values = [value - np.sum(value * share) for value in values]
    values = [value - np.sum(value * share) for value in values]  # the mean of large numbers is rounded
    largest = max(float(np.abs(value[weights > 0]).max()) for value in values)
    values = [value / largest for value in values]  # no square is too large or too small
    contrast = largest * math.sqrt(sum(float(np.sum(value**2 * share)) for value in values) / len(values))
    pixels = float(weights.sum() ** 2 / np.sum(weights**2))
    return contrast, effective_pixels(values, weights), pixels * len(channels)


def _side_lobe(heights: Heights) -> tuple[float, tuple[int, ...]]:
    """Find the highest score that a dip divides from shift 0, and its shift."""
    from scipy import ndimage  # noqa: PLC0415

    centre = tuple(n // 2 for n in heights.shape)
    left = heights.copy()
    left[centre] = -np.inf
    while (highest := left.max()) > 0:
        shifts = np.argwhere(left >= highest - _ROUNDING)[::-1] - centre  # of two opposite ones the later
        shift = shifts[np.argmin(np.sum(shifts**2, axis=1))]
        regions, _ = ndimage.label(heights > highest - _DIP)
        if regions[tuple(shift + centre)] != regions[centre]:
            return float(highest), tuple(shift.tolist())
        left[regions == regions[centre]] = -np.inf  # lower places in here have no deeper dip before them
    return 0.0, ()


def _separation(heights: Heights) -> tuple[float, ...]:
    """Find for each axis twice the shift at which the score falls to one half."""
    centre = [n // 2 for n in heights.shape]
    widths = []
    for axis, middle in enumerate(centre):
        line = np.moveaxis(heights, axis, -1)[tuple(np.delete(centre, axis))][middle:]
        low = np.flatnonzero(line < 0.5)
        half = len(line) / 2
        if len(low) and np.isfinite(line[low[0]]):
            before, after = line[low[0] - 1], line[low[0]]
            half = low[0] - (0.5 - after) / (before - after)  # on the straight line between the two
        widths.append(max(1.0, float(2 * half)))
    return tuple(widths)


def _likeness(channels: list[Array], weights: NDArray[np.float64]) -> tuple[tuple[str, float], ...]:
    """Score a picture with its own mirror images and turned copies."""
    if weights.ndim != 2:
        return ()
    poses = {
        "mirrored left-right": Pose(flip=True),
        "mirrored up-down": Pose(angle=180, flip=True),
        "turned 180": Pose(angle=180),
    }
    if weights.shape[0] == weights.shape[1]:
        poses["turned 90 or 270"] = Pose(angle=90)
    pixels = np.stack(channels, axis=-1)
    return tuple((name, _pose_score(pixels, weights, pose)) for name, pose in poses.items())


def _pose_score(pixels: Array, weights: NDArray[np.float64], pose: Pose) -> float:
    """Score a template with a copy of itself in another pose; 0 if less than half of it counts in both."""
    copy, copied_weights = transform(pixels, weights, pose)
    valid = np.asarray(copied_weights) > 0
    if np.sum(weights * valid) < _OVERLAP * weights.sum():
        return 0.0
    scores = match_template(copy, pixels, mask=weights, image_mask=valid, channel_axis=-1)
    return float(scores.item())


def chance_scores(
    true_scores: ArrayLike, effective: float, values: float, places: int
) -> NDArray[np.float64]:
    """Give the score that some of so many places are expected to reach by chance, in noise that lowers the true one."""
    from scipy.special import betaincinv  # noqa: PLC0415

    square = np.square(true_scores)
    dimensions = 1 / (square / effective + (1 - square) / values)
    half = np.maximum(dimensions - 1, 1e-9) / 2  # in one dimension every score is 1
    return np.asarray(np.sqrt(1 - betaincinv(half, 0.5, 2 * _FALSE_ALARMS / places)))


def _noise(effective: float, values: float, places: int) -> float:
    """Find the least noise, in units of the contrast, in which the true place does not stand out from chance."""
    levels = np.geomspace(1e-3, 1e4, 3000)
    true_scores = 1 / np.hypot(1, levels)
    lead = true_scores - chance_scores(true_scores, effective, values, places)
    lost = int(np.argmax(lead <= 0))
    if lost == 0:
        return 0.0
    return float(np.interp(0, lead[[lost, lost - 1]], levels[[lost, lost - 1]]))


def _two_best(scores: Scores, shape: tuple[int, ...]) -> dict[str, Any]:
    """Tell the best place of an image, and the best one away from it."""
    peaks = find_peaks(scores)
    best = float(scores[tuple(peaks[0])])
    told = {"places": scores.size, "best_score": best, "best_at": tuple(peaks[0].tolist())}
    away = peaks[np.any(2 * np.abs(peaks - peaks[0]) >= shape, axis=1)]
    if len(away):
        second = float(scores[tuple(away[0])])
        ratio = second / best if best > 0 else None
        told |= {"second_score": second, "second_at": tuple(away[0].tolist()), "second_ratio": ratio}
    return told


def _advise(found: Inspection, faintness: float) -> str:
    """Say the most important thing; the rules are told at `inspect_template`."""
    if faintness < _FAINT:
        return (
            f"nearly constant: its contrast of {found.contrast:.3g} is {100 * faintness:.1g} % of its greatest value "
            "and drowns in any noise; take a part with edges or texture"
        )
    if found.side_lobe > max(ALIKE, found.chance_score):
        return (
            f"repeats itself: it scores {found.side_lobe:.2f} with itself shifted by {found.side_lobe_at} pixels, "
            "and may be found that far off; take a part that holds something single"
        )
    if found.chance_score > ALIKE:
        remedy = "trust no lower score there, or take" if found.chance_score < _NEAR_ONE else "take"
        return (
            f"small or smooth, as good as {found.effective_pixels:.3g} independent pixels: in a clean image "
            f"chance places score up to {found.chance_score:.2f}; {remedy} a larger or busier part"
        )
    if found.second_score is not None and found.second_score > ALIKE:
        return (
            f"not alone: the image has another place, {found.second_at}, that scores {found.second_score:.2f}; "
            "if that is another thing, take a larger part, or one with more of what tells the two apart"
        )
    name, likeness = max(found.likeness, key=lambda pair: pair[1], default=("", 0.0))
    if likeness > ALIKE:
        return f"good, but much like itself {name} ({likeness:.2f}): such copies may be found as well"
    return "good: enough to compare, and nothing in it that repeats"
