"""Detection rate of a template under increasing distortion of the image."""

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.channels import channels_last, without_channel_axis
from tmatch._arrays.keywords import answers_guesses
from tmatch._arrays.options import ChannelAxis, Prefilter
from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_axis, check_count, check_name, check_numbers
from tmatch._diagnostics.distortions import DISTORTIONS, Kind, Scene, distort, has_jpeg
from tmatch._engine.progress import Progress, ProgressCallback
from tmatch._io.given import ImageLike
from tmatch._poses.options import Angles, Scales
from tmatch._results.boxes import Box, iou
from tmatch._results.matches import Match
from tmatch._scoring.inputs import Inputs
from tmatch._search.matcher import Matcher

_MIN_IOU = 0.5  # of a match with the true box


@dataclass(frozen=True, slots=True)
class RobustnessRow:
    """Results of a search under one distortion at one level. Fields are JSON-serializable.

    Parameters
    ----------
    kind : str
        Name of the distortion.
    level : float
        Its strength.
    unit : str
        Unit of the level.
    trials : int
        Number of searches, each with other random numbers; 1 if the distortion is not random.
    detection : float
        Detection rate: share of searches with a match whose intersection over union with the true box is at least 0.5.
    false_matches : float
        Mean number of other matches in a search.
    error : float or None
        Mean distance in pixels between the true box and the match, where it was found; None if it never was.
    score : float or None
        Mean score of these matches; None if there is none.

    Examples
    --------
    >>> RobustnessRow("noise", 25, "grey levels", trials=10, detection=0.9, false_matches=0, error=0.2, score=0.7).unit
    'grey levels'
    """

    kind: str
    level: float
    unit: str
    trials: int
    detection: float
    false_matches: float
    error: float | None
    score: float | None


@answers_guesses
@own_errstate
def robustness(
    image: ImageLike,
    template: ImageLike,
    /,
    *,
    box: Box | None = None,
    kinds: Iterable[Kind] | Mapping[Kind, Iterable[float]] | None = None,
    trials: int = 10,
    false_alarms: float | None = None,
    threshold: float | None = None,
    prefilter: Prefilter = "auto",
    angles: Angles = None,
    scales: Scales = None,
    flips: bool = False,
    mask: ImageLike | None = None,
    channel_axis: ChannelAxis = "auto",
    rng: int | np.random.Generator | None = None,
    progress: ProgressCallback | None = None,
) -> list[RobustnessRow]:
    """Measure how much distortion of the image the search for a template tolerates.

    Parameters
    ----------
    image : (H, W) array of integers or real floats, with or without an axis of channels, or as in `match_template`
        The image to search. All its pixels must be valid.
    template : array of real numbers, with the same axes, or as in `match_template`
        The template to find.
    box : Box or None
        The true position, of the template's shape; None: the best match in the undistorted image.
    kinds : iterable of str, mapping of str to iterable of float, or None
        Distortions to apply; a mapping names their levels, too. None: all that are possible for the image, see Notes.
    trials : int
        Number of searches at each level of a random distortion: noise and occlusion.
    false_alarms, threshold, prefilter
        What is a match, as in `locate`.
    angles, scales, flips
        The poses that are searched, as in `locate`; a match counts by where its middle is.
    mask : array of bool or of weights, or None
        The template's mask, as in `match_template`.
    channel_axis : int, "auto" or None
        The axis that holds the channels (colours), as in `match_template`.
    rng : int, Generator or None
        Seed or generator. Each search has a seed of its own, by kind, level and number: other kinds or levels in the
        same study change nothing.
    progress : callable or None
        Called with the share of the work that is done, above 0 and at most 1.

    Returns
    -------
    list of RobustnessRow
        One for each level, in the order of kinds in Notes and of levels as given.

    Raises
    ------
    ValueError, TypeError
        As in `locate`; if the image is not 2-D or not of integers or floats; if a kind, level or `box` is out of
        bounds; if without `box` nothing is found in the undistorted image.

    See Also
    --------
    locate : the search.

    Notes
    -----
    Kinds and their levels, the weakest first:

    - ``"noise"``: normal white noise of standard deviation 0, 10, 25, 50, 80 grey levels.
    - ``"blur"``: by a Gaussian of standard deviation 0, 0.5, 1, 2, 4 pixels.
    - ``"gain"``: contrast times 1, 0.5, 0.25, 0.1 about middle grey.
    - ``"gradient"``: brightness that increases from left to right, by 0, 50, 100, 200 grey levels in all.
    - ``"occlusion"``: a share of 0, 0.1, 0.25, 0.5 of the true box is covered by a patch at a random position in it,
      half of them a constant grey, the others a part of the image from elsewhere, rotated by 180 degrees.
    - ``"jpeg"``: saved with quality 100, 75, 50, 25, 10; for 8-bit images in grey or in three colours.
    - ``"rotation"``: by 0, 1, 2, 5, 10 degrees, counter-clockwise about the centre of the true box.
    - ``"scale"``: enlarged by 1, 1.02, 1.05, 1.1, 1.2 about the same centre. Both by cubic splines.

    Images are distorted as a camera would take them: integers are rounded, and clipped to their range. A grey
    level is 1 for 8-bit images; 1/255 of the range of the pixels for others.

    Copies of the object elsewhere in the image count among the other matches: compare with the first level.

    Examples
    --------
    >>> import tmatch
    >>> template = tmatch.synthetic.make_clutter((16, 24), rng=1)
    >>> image, _ = tmatch.synthetic.make_scene(tmatch.synthetic.make_clutter((120, 160), rng=2), template, [(50, 60)])
    >>> rows = robustness(tmatch.to_range(image), template, kinds={"noise": [0, 40, 200]}, trials=5, rng=0)
    >>> [(row.level, row.detection) for row in rows]
    [(0.0, 1.0), (40.0, 1.0), (200.0, 0.0)]
    """
    given = Inputs.of(image, None, template, mask, channel_axis)
    axis = given.channel_axis
    pixels, pattern = _check_image("image", given.image, axis), _check_image("template", given.template, axis)
    if given.image_mask is not None:
        msg = "`image` has pixels that are transparent or masked; robustness distorts all of them: fill these first"
        raise ValueError(msg)
    check_count("trials", trials)
    reported = Progress.of(progress)
    shape, planes = without_channel_axis(pattern.shape, axis), channels_last(pixels, axis)
    plan = _plan(kinds, planes)
    entropy = _entropy(rng)
    if box is not None:
        _check_box(box, shape, planes.shape)
    matcher = Matcher(pattern, masks=given.mask, channel_axis=axis, angles=angles, scales=scales, flips=flips)

    def search(channels_last: Array) -> list[Match]:
        array = channels_last if axis is None else np.moveaxis(channels_last, -1, axis)
        return matcher.locate(array, false_alarms=false_alarms, threshold=threshold, prefilter=prefilter)

    clean = search(planes)  # first, as it refuses what cannot be searched
    scene = Scene.of(planes, box or _true_box(clean, clean[0] if clean else matcher.best(pixels), shape))
    counts = [_count(kind, level, trials) for kind, level in plan]
    reported.expect(sum(counts))
    rows = []
    for (kind, level), count in zip(plan, counts, strict=True):
        outcomes = []
        for trial in range(count):
            seed = np.random.SeedSequence(entropy, spawn_key=(_spawn_key(kind, level), trial))
            distorted = distort(scene, kind, level, np.random.default_rng(seed))
            found = clean if distorted is scene.pixels else search(distorted)
            outcomes.append(_judge(found, scene.box))
            reported.advance()
        rows.append(_row(kind, level, DISTORTIONS[kind].unit_in(scene), outcomes))
    return rows


class _Outcome(NamedTuple):
    """The result of one search."""

    found: Match | None
    error: float
    others: int


def _judge(matches: Sequence[Match], box: Box) -> _Outcome:
    """Find the match on the true box, of several the one with the largest intersection over union; count the others."""
    found = max(matches, key=lambda match: iou(_upright(match, box.shape), box), default=None)
    if found is None or iou(_upright(found, box.shape), box) < _MIN_IOU:
        return _Outcome(None, 0.0, len(matches))
    return _Outcome(found, math.dist(found.center, box.center), len(matches) - 1)


def _row(kind: str, level: float, unit: str, outcomes: Sequence[_Outcome]) -> RobustnessRow:
    errors = [each.error for each in outcomes if each.found]
    scores = [each.found.score for each in outcomes if each.found]
    return RobustnessRow(
        kind, level, unit, len(outcomes),
        detection=len(errors) / len(outcomes),
        false_matches=sum(each.others for each in outcomes) / len(outcomes),
        error=math.fsum(errors) / len(errors) if errors else None,
        score=math.fsum(scores) / len(scores) if scores else None,
    )  # fmt: skip


def _count(kind: Kind, level: float, trials: int) -> int:
    """Count the trials that differ from each other."""
    return trials if DISTORTIONS[kind].random and level != DISTORTIONS[kind].identity_level else 1


def _spawn_key(kind: str, level: float) -> int:
    """Return a number of its own for each level of each kind."""
    return int.from_bytes(f"{kind} {level}".encode(), "big")


def _entropy(rng: int | np.random.Generator | None) -> int | list[int] | None:
    if isinstance(rng, np.random.Generator):
        return [int(n) for n in rng.integers(2**32, size=4)]
    if rng is None:
        return np.random.SeedSequence().entropy  # type: ignore[return-value]
    if not isinstance(rng, numbers.Integral) or rng < 0:
        msg = f"`rng` is {rng!r}; it must be a whole number of at least 0, a numpy.random.Generator or None"
        raise ValueError(msg)
    return int(rng)


def _plan(
    kinds: Iterable[Kind] | Mapping[Kind, Iterable[float]] | None, planes: Array
) -> list[tuple[Kind, float]]:
    """List the kinds and levels to try."""
    if kinds is None:
        kinds = [kind for kind in DISTORTIONS if kind != "jpeg" or has_jpeg(planes)]
    elif isinstance(kinds, str):
        msg = f"`kinds` is {kinds!r}; it must be a list of names, as [{kinds!r}]"
        raise TypeError(msg)
    names = list(kinds)
    for name in names:
        check_name("kinds", name, Kind)
    wanted = {name: kinds[name] if isinstance(kinds, Mapping) else DISTORTIONS[name].levels for name in names}
    for name, levels in wanted.items():
        if not np.iterable(levels):
            msg = f"`kinds` has {levels!r} for {name}; it must be a list of levels, as [{levels!r}]"
            raise TypeError(msg)
    plan = [
        (kind, DISTORTIONS[kind].check(kind, level)) for kind in DISTORTIONS for level in wanted.get(kind, ())
    ]
    if not plan:
        msg = f"`kinds` is {kinds!r}; it must name at least one kind of distortion, with a level"
        raise ValueError(msg)
    if "jpeg" in wanted and not has_jpeg(planes):
        msg = (
            f'`kinds` has "jpeg", but `image` has dtype {planes.dtype} and shape {planes.shape}; JPEG holds 8-bit '
            "images in grey or three colours: leave it out, or make one with `to_range`"
        )
        raise ValueError(msg)
    return plan


def _check_image(name: str, values: Array, channel_axis: int | None) -> Array:
    """Check that an array is an image."""
    array = check_numbers(name, values)
    axis = check_axis(name, array, channel_axis)
    if array.ndim - (axis is not None) != 2:
        msg = (
            f"`{name}` has shape {array.shape} and `channel_axis` is {channel_axis!r}; robustness needs "
            "images, with two axes besides that of channels"
        )
        raise ValueError(msg)
    if name == "image" and array.dtype.kind == "b":
        msg = "`image` has dtype bool, which has no shades to distort; make it 8-bit grey: `image * np.uint8(255)`"
        raise TypeError(msg)
    return array


def _check_box(box: Box, shape: tuple[int, ...], image_shape: tuple[int, ...]) -> None:
    """Check that a match could be at the true box."""
    if box.shape != shape:
        msg = f"`box` has shape {box.shape}, but `template` {shape}; they must be equal, as every match has its shape"
        raise ValueError(msg)
    if min(box.start) < 0 or any(e > n for e, n in zip(box.stop, image_shape[:2], strict=True)):
        msg = f"`box` goes from {box.start} to {box.stop}, which is not all inside `image` {image_shape[:2]}"
        raise ValueError(msg)


def _upright(match: Match, shape: tuple[int, ...]) -> Box:
    """Return the box of a match or, if that is in another pose, of the template as it is about the same middle."""
    return Box(tuple(round(c - (n - 1) / 2) for c, n in zip(match.center, shape, strict=True)), shape)


def _true_box(clean: Sequence[Match], best: Match, shape: tuple[int, ...]) -> Box:
    """Return the box of the best match in the undistorted image."""
    if not clean:
        msg = (
            f"`template` is not found in `image` as it is: its best position, {best.box.start}, scores "
            f"{best.score:.2f}; if that is right, name it with `box`, else see with `explain` why"
        )
        raise ValueError(msg)
    return _upright(clean[0], shape)
