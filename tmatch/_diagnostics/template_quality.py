"""Quality of a template: effective pixels, self-similarity, and the noise that it tolerates."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.keywords import answers_guesses
from tmatch._arrays.options import ChannelAxis
from tmatch._arrays.typing import Array
from tmatch._detection.false_alarms import effective_pixels
from tmatch._detection.peaks import find_peaks
from tmatch._diagnostics.turns import about_poses
from tmatch._diagnostics.wording import name_position
from tmatch._io.given import ImageLike
from tmatch._poses.transform import transform
from tmatch._results.poses import Pose
from tmatch._scoring.inputs import Inputs, layout_of, read_template, template_in
from tmatch._scoring.maps import Scores, match_template, score_map
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.template import prepare_template

Values = NDArray[np.float64]
SIMILAR = 0.8  # a common threshold
_POSITIONS = 1_000_000  # if there is no image: those of one of about 1000 x 1000 pixels
_FALSE_ALARMS = 0.01  # expected number of other positions that reach the critical score
_DIP = 0.1  # minimum fall of the score on the way to a side lobe; less is a ripple of the main lobe
_LOW_CONTRAST = 0.01  # share of the greatest absolute value: 2.55 grey levels of 8 bits
_OVERLAP = 0.5  # minimum share of the template that overlaps a copy of itself
_ROUNDING = 1e-9  # scores that differ by less are equal
_NEAR_ONE = 0.95  # with any noise, scores at the true position stay below


@dataclass(frozen=True, slots=True)
class Inspection:
    """Result of `inspect_template`. Fields are JSON-serializable.

    Parameters
    ----------
    shape : tuple of int
        The template's number of pixels on each axis, without that of channels.
    pixels : int
        Number of them that count.
    contrast : float
        Standard deviation in grey levels of the pixels that count; of channels the root of the mean variance.
    effective_pixels : float
        Effective degrees of freedom, at least 1: independent pixels with the same variance of the score.
    side_lobe : float
        Highest score of the template with a shifted copy of itself, outside the main lobe: on every path
        from shift 0, by single steps along the axes, the score falls at least 0.1 below it. 0 if there is none.
    side_lobe_at : tuple of int
        That shift in pixels on each axis, the shortest of equal ones (its negative is as good); empty if there is none.
    separation : tuple of float
        Minimum distance in pixels along each axis at which two copies have separate peaks: half way between them the
        score of either has fallen to one half. At least 1; the template's length where the score never does.
    likeness : tuple of (str, float)
        Self-similarity of a 2-D template: its score with flipped and rotated copies, by name; empty for other
        dimensions.
    places : int
        Number of positions searched: those of the image; a million if there is none.
    chance_score : float
        Critical score: 0.01 false alarms are expected above it in so many positions.
    noise : float
        Standard deviation in grey levels of the white normal noise in which the expected score at the true position
        falls to the critical score, if nothing is clipped: half of it should not hide the template.
    advice : str
        The most important finding, in one line.
    best_score, second_score : float or None
        Score of the best position of the image, and of the best one at least half a template away from it. None
        without an image, or if there is no such position.
    best_at, second_at : tuple of int
        First pixel of these windows on each axis; empty if there is none.
    second_ratio : float or None
        The second score over the best: near 1 the two are hard to distinguish. None if there is none above 0.
    alternatives : tuple of (float, bool), or None
        Degrees by which a copy is rotated, and whether it is mirrored first, that looks alike: their correlation in the
        image where a search begins is at least 0.8. None if it would take long to compare them, or there are other than
        two dimensions.
    has_angle : bool or None
        Whether the template is not the same at all angles; None as for `alternatives`.
    reduction : int or None
        How many times smaller the image is in which a search over all angles begins; None without two dimensions.

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
    alternatives: tuple[tuple[float, bool], ...] | None = None
    has_angle: bool | None = None
    reduction: int | None = None


@answers_guesses
@own_errstate
def inspect_template(
    template: ImageLike,
    image: ImageLike | None = None,
    /,
    *,
    mask: ImageLike | None = None,
    channel_axis: ChannelAxis = "auto",
) -> Inspection:
    """Assess a template: how much there is to compare, what it may be confused with, what noise it tolerates.

    Parameters
    ----------
    template : array of bool, integers or real floats, any dimension, or as in `match_template`
        The template.
    image : the same, of the same dimension, or None
        An image to search: its number of positions counts, and its two best positions are reported.
    mask : array of bool or of weights, of the template's shape without channels, or None
        How much each pixel of the template counts: not at all where it is 0 or False. None: all count equally.
    channel_axis : int, "auto" or None
        The axis that holds the channels (colours), as in `match_template`; without an image "auto" takes the last of
        three axes if it has 2 to 4.

    Returns
    -------
    Inspection
        The findings.

    Raises
    ------
    ValueError, TypeError
        As in `match_template`: if the template is constant or not finite, or shapes do not go together.

    See Also
    --------
    match_template : the score.

    Notes
    -----
    The number of effective pixels is that of the pixels over the sum of ``a(shift)**2``, with the autocorrelation a of
    the template about its mean (of channels each about its own, and their sum), times its weights, nothing lying
    outside, 1 at shift 0 (M. S. Bartlett, J. R. Stat. Soc. 98:536, 1935; P. Clifford, S. Richardson and D. Hemon,
    Biometrics 45:123, 1989). One over it is the variance of the score at positions that share nothing but their
    texture with the template. Accidental similarity with shifts of itself counts as well, which is conservative:
    of white noise about half of the pixels are effective. Weights w count as ``sum(w)**2 / sum(w**2)`` pixels
    (L. Kish).

    Other positions score more than r with the probability of random directions in n dimensions, n effective pixels:
    ``P(r, n) = betainc((n - 1) / 2, 1 / 2, 1 - r**2) / 2``, so that ``places * P(chance_score, n)`` is 0.01. In white
    noise of standard deviation s a template of contrast c scores about ``r = c / sqrt(c**2 + s**2)`` at its true
    position. The noise makes other positions less similar, too: if the image has the template's contrast and texture
    there, their n is ``1 / (r**2 / n + (1 - r**2) / values)``, values being pixels times channels. `noise` is the
    smallest s for which ``places * P(r, n)`` reaches 0.01 with both. Other objects that look like the template
    are not modelled.

    Scores with shifted, flipped and rotated copies are those of the parts that overlap, if they are at least half of
    the template. The score with a copy rotated by 270 degrees is always that with a copy rotated by 90.

    The advice is that of the first rule that holds: contrast below 0.01 of the greatest absolute value; a side lobe
    above 0.8, a common threshold, and above the critical score; a critical score above 0.8; a second position of the
    image above 0.8; none of these, but a self-similarity above 0.8; none at all.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(128, 30, (20, 20))
    >>> found = inspect_template(np.hstack([noise, noise]))
    >>> round(found.side_lobe, 6), found.side_lobe_at, found.advice
    (1.0, (0, 20), 'repeats itself: ...')
    """
    if image is None:
        pattern, weights_given, axis = read_alone(template, mask, channel_axis)
    else:
        given = Inputs.of(image, None, template, mask, channel_axis)
        pattern, weights_given, axis = given.template, given.mask, given.channel_axis
    channels, weights = split_template(pattern, weights_given, axis)
    contrast, effective, values = measure_contrast(channels, weights)
    shifted = self_scores(channels, weights)
    side_lobe, side_lobe_at = _side_lobe(shifted)
    in_image: dict[str, Any] = {"places": _POSITIONS}
    if image is not None:
        made = score_map(
            given.image, pattern, mask=weights_given, image_mask=given.image_mask, channel_axis=axis
        )
        in_image = _two_best(made.scores, weights.shape) if made.valid.any() else {"places": made.scores.size}
    found = Inspection(
        shape=weights.shape,
        pixels=int(np.count_nonzero(weights)),
        contrast=contrast,
        effective_pixels=effective,
        side_lobe=side_lobe,
        side_lobe_at=side_lobe_at,
        separation=_separation(shifted),
        likeness=_likeness(channels, weights),
        chance_score=float(critical_scores(1.0, effective, values, in_image["places"])),
        noise=contrast * _noise_limit(effective, values, in_image["places"]),
        advice="",
        **in_image,
        **about_poses(pattern, weights_given, axis),
    )
    brightest = max(float(np.abs(channel[weights > 0].astype(np.float64)).max()) for channel in channels)
    return replace(found, advice=_advise(found, contrast / brightest, values))


def read_alone(
    template: ImageLike, mask: ImageLike | None, channel_axis: ChannelAxis
) -> tuple[Array, ArrayLike | None, int | None]:
    """Read a template for which there is no image, and its mask; return them with the axis of channels."""
    pixels, counts = read_template(template)
    layout = layout_of(channel_axis, pixels.shape, [pixels.shape])
    return (*template_in(layout, pixels, counts, mask), layout.axis)


def split_template(
    template: ArrayLike, mask: ArrayLike | None, channel_axis: int | None
) -> tuple[list[Array], NDArray[np.float64]]:
    """Check a template; return its channels, 0 where they do not count, and the weights of its pixels."""
    prepared = prepare_template(template, mask, ScoringOptions(channel_axis=channel_axis))
    weights = prepared.weights[0].astype(np.float64)
    if any((other != weights).any() for other in prepared.weights):
        msg = f"`mask` differs between channels; pass one for all of them, of shape {weights.shape}"
        raise ValueError(msg)
    return prepared.channels, weights


def self_scores(channels: list[Array], weights: NDArray[np.float64]) -> Values:
    """Score a template with shifted copies of itself; minus infinity where less than half of it overlaps.

    Shift 0 is in the middle, and opposite shifts score the same.
    """
    pixels = np.stack(channels, axis=-1)
    scores = score_map(
        pixels, pixels, mask=weights, image_mask=weights > 0, min_overlap=_OVERLAP, output="full", channel_axis=-1
    ).masked_scores  # fmt: skip
    return np.maximum(scores, np.flip(scores))  # rounding and weights make opposite shifts differ


def measure_contrast(channels: list[Array], weights: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the contrast, and the numbers of effective pixels and of values."""
    share = weights / weights.sum()
    values = [channel.astype(np.float64) for channel in channels]
    values = [value - np.sum(value * share) for value in values]
    values = [value - np.sum(value * share) for value in values]  # the mean of large numbers is rounded
    largest = max(float(np.abs(value[weights > 0]).max()) for value in values)
    values = [value / largest for value in values]  # no square is too large or too small
    contrast = largest * math.sqrt(sum(float(np.sum(value**2 * share)) for value in values) / len(values))
    pixels = float(weights.sum() ** 2 / np.sum(weights**2))
    return contrast, effective_pixels(values, weights), pixels * len(channels)


def _side_lobe(scores: Values) -> tuple[float, tuple[int, ...]]:
    """Find the highest score that a dip separates from shift 0, and its shift."""
    from scipy import ndimage  # noqa: PLC0415

    centre = tuple(n // 2 for n in scores.shape)
    left = scores.copy()
    left[centre] = -np.inf
    while (highest := left.max()) > 0:
        shifts = np.argwhere(left >= highest - _ROUNDING)[::-1] - centre  # of two opposite ones the later
        shift = shifts[np.argmin(np.sum(shifts**2, axis=1))]
        regions, _ = ndimage.label(scores > highest - _DIP)
        if regions[tuple(shift + centre)] != regions[centre]:
            return float(highest), tuple(shift.tolist())
        left[regions == regions[centre]] = -np.inf  # lower positions in here have no deeper dip before them
    return 0.0, ()


def _separation(scores: Values) -> tuple[float, ...]:
    """Find for each axis twice the shift at which the score falls to one half."""
    centre = [n // 2 for n in scores.shape]
    widths = []
    for axis, middle in enumerate(centre):
        line = np.moveaxis(scores, axis, -1)[tuple(np.delete(centre, axis))][middle:]
        low = np.flatnonzero(line < 0.5)
        half = len(line) / 2
        if len(low) and np.isfinite(line[low[0]]):
            before, after = line[low[0] - 1], line[low[0]]
            half = low[0] - (0.5 - after) / (before - after)  # on the straight line between the two
        widths.append(max(1.0, float(2 * half)))
    return tuple(widths)


def _likeness(channels: list[Array], weights: NDArray[np.float64]) -> tuple[tuple[str, float], ...]:
    """Score a template with flipped and rotated copies of itself."""
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


def critical_scores(
    true_scores: ArrayLike, effective: float, values: float, n_positions: int
) -> NDArray[np.float64]:
    """Return the score above which 0.01 false alarms are expected, in noise that lowers the true score as given."""
    from scipy.special import betaincinv  # noqa: PLC0415

    square = np.square(true_scores)
    dimensions = 1 / (square / effective + (1 - square) / values)
    half = np.maximum(dimensions - 1, 1e-9) / 2  # in one dimension every score is 1
    return np.asarray(np.sqrt(1 - betaincinv(half, 0.5, 2 * _FALSE_ALARMS / n_positions)))


def _noise_limit(effective: float, values: float, n_positions: int) -> float:
    """Find the noise, in units of the contrast, in which the true score falls to the critical score."""
    levels = np.geomspace(1e-3, 1e4, 3000)
    true_scores = 1 / np.hypot(1, levels)
    lead = true_scores - critical_scores(true_scores, effective, values, n_positions)
    lost = int(np.argmax(lead <= 0))
    if lost == 0:
        return 0.0
    return float(np.interp(0, lead[[lost, lost - 1]], levels[[lost, lost - 1]]))


def _two_best(scores: Scores, shape: tuple[int, ...]) -> dict[str, Any]:
    """Find the best position of an image, and the best one at least half a template away."""
    peaks = find_peaks(scores)
    best = float(scores[tuple(peaks[0])])
    result = {"places": scores.size, "best_score": best, "best_at": tuple(peaks[0].tolist())}
    away = peaks[np.any(2 * np.abs(peaks - peaks[0]) >= shape, axis=1)]
    if len(away):
        second = float(scores[tuple(away[0])])
        ratio = second / best if best > 0 else None
        result |= {"second_score": second, "second_at": tuple(away[0].tolist()), "second_ratio": ratio}
    return result


def _name_shift(shift: tuple[int, ...]) -> str:
    """Name a shift of pixels: across and down in two dimensions."""
    return f"{shift[1]} pixels across and {shift[0]} down" if len(shift) == 2 else f"{shift} pixels"


def _advise(found: Inspection, relative_contrast: float, values: float) -> str:
    """Return the most important finding; the rules are listed at `inspect_template`."""
    if relative_contrast < _LOW_CONTRAST:
        return (
            f"nearly constant: its contrast of {found.contrast:.3g} is {100 * relative_contrast:.1g} % of its greatest "
            "value, and is lost in any noise; use a part with edges or texture"
        )
    if found.side_lobe > max(SIMILAR, found.chance_score):
        return (
            f"repeats itself: it scores {found.side_lobe:.2f} with itself shifted by "
            f"{_name_shift(found.side_lobe_at)}, and may be found that far off; use a part without repetition"
        )
    if found.chance_score > SIMILAR:
        remedy = "accept no lower score there, or use" if found.chance_score < _NEAR_ONE else "use"
        if found.best_score is not None and 0 < found.best_score < found.chance_score:
            noisy = critical_scores(found.best_score, found.effective_pixels, values, found.places)
            remedy = f"up to {noisy:.2f} where noise lowers its own score to {found.best_score:.2f}, the best here; use"
        return (
            f"small or smooth, with {found.effective_pixels:.3g} effective pixels: in an image without noise other "
            f"positions score up to {found.chance_score:.2f}; {remedy} a larger or more textured part"
        )
    if found.second_score is not None and found.second_score > SIMILAR:
        return (
            f"not unique: the image has another position, {name_position(found.second_at)}, that scores "
            f"{found.second_score:.2f}; if that is another object, use a larger part, or one with more of what "
            "distinguishes the two"
        )
    name, similarity = max(found.likeness, key=lambda pair: pair[1], default=("", 0.0))
    if similarity > SIMILAR:
        return f"good, but similar to itself {name} ({similarity:.2f}): such copies may be found as well"
    return "good: enough to compare, and no repetition"
