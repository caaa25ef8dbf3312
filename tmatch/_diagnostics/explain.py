"""Why a position was reported or was not."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.keywords import answers_guesses
from tmatch._arrays.options import ChannelAxis, Means, Metric, Missing, Output, Prefilter
from tmatch._arrays.typing import Array
from tmatch._detection.criterion import Criterion
from tmatch._diagnostics.posed import PosedRecords
from tmatch._diagnostics.records import SearchRecords, fields_of
from tmatch._diagnostics.variants import prepare_variants
from tmatch._diagnostics.wording import describe_explanation
from tmatch._engine.progress import ProgressCallback, Resources
from tmatch._filtering.noise import estimate_noise
from tmatch._io.given import ImageLike
from tmatch._poses.options import Angles, Scales, SearchName
from tmatch._results.decisions import PASSED, Decision, Position
from tmatch._results.explanation import Explanation
from tmatch._results.poses import SearchedPoses
from tmatch._scoring.inputs import Inputs
from tmatch._scoring.maps import Preparing
from tmatch._scoring.metrics import METRICS
from tmatch._search.matcher import Matcher, check_poses, poses_of, searches_of
from tmatch._search.options import is_list
from tmatch._search.recipe import search as search_image


@answers_guesses
@own_errstate
def explain(
    image: ImageLike,
    template: ImageLike,
    /,
    *,
    at: Sequence[int] | None = None,
    false_alarms: float | None = None,
    threshold: float | None = None,
    max_count: int | None = None,
    max_overlap: float = 0.3,
    min_distance: int = 1,
    prefilter: Prefilter = "auto",
    copies_only: bool = False,
    mask: ImageLike | None = None,
    angles: Angles = None,
    scales: Scales = None,
    flips: bool = False,
    search: SearchName = "auto",
    metric: Metric = "zncc",
    image_mask: ImageLike | None = None,
    missing: Missing = "refuse",
    min_overlap: float = 0.5,
    output: Output = "valid",
    channel_axis: ChannelAxis = "auto",
    channel_weights: Sequence[float] | None = None,
    channel_means: Means = "separate",
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Explanation:
    """Explain why `locate` reports a position of an image, or why it does not.

    Parameters
    ----------
    image, template : array of real numbers, any dimension, path, open binary file, or Pillow image
        What is searched, and for what, see `match_template`.
    at : sequence of int, or None
        First pixel of the window to explain, (row, column) in 2-D; where poses are searched, the middle of the
        template, and the best candidate near it is explained. None: that of the best match or, if nothing is found,
        of the position that came nearest to acceptance.
    false_alarms, threshold, max_count, max_overlap, min_distance, prefilter, copies_only
        Which positions are matches, as in `locate`.
    mask : array of bool or of weights, or None
        The template's mask, see `match_template`.
    angles, scales, flips, search
        The poses that are searched, and how, as in `locate`.
    metric, image_mask, missing, min_overlap, output, channel_axis, channel_weights, channel_means
        How similarity is measured, as in `match_template`.
    workers, progress
        How the work is done, as in `match_template`.

    Returns
    -------
    Explanation
        What was decided about the position, and about a better peak near it; the best positions; and, if the position
        is not accepted, or only alike, whether the template fits in another size, rotated or flipped. `text` says it in
        words.

    Raises
    ------
    ValueError, TypeError
        As in `locate`; also if `at` has not one whole number for each axis, or there are several templates.

    See Also
    --------
    locate : find the matches.

    Notes
    -----
    Whole score maps are made, one for each stage of the search, and the null distribution is estimated from them in
    double precision: the third digit of false alarms may differ from that of `locate`. In ranges of poses there are no
    such maps: only what `locate` refines to the end is known, the best positions and what may be a match.

    For `scale_hint` and `turn_hint` the template is searched for at 0.5, 0.67, 0.75, 0.8, 0.9, 1.1, 1.25, 1.33, 1.5 and
    2 times its size, rotated by 90, 180 and 270 degrees and flipped both ways, all together and unfiltered. Large
    templates and the image are first reduced by block means, by 2 or 4 such that 12 pixels are left of the smallest
    side; the best positions are then scored at full resolution. A hint leaves at most a quarter of the variance
    unexplained, ``1 - score**2``, that the position leaves, and has at most one false alarm: look-alikes may hide more.
    If there is none, and the position is not accepted, it is what `locate` would find of all these together, if it has
    a higher score than the position, and at most a tenth of its false alarms. The image must have two axes besides that
    of channels, and false alarms must be known for the metric. Changes that have no score anywhere are left out.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
    >>> explanation = tmatch.explain(image, np.rot90(image[20:30, 40:52]))
    >>> explanation.reported, explanation.rule, explanation.turn_hint.turn, explanation.turn_hint.match.box.start
    (False, 'false alarms', 'turned 270', (20, 40))
    """
    if isinstance(template, Mapping):
        msg = f"`template` is a mapping with the labels {list(template)}; explain one template at a time"
        raise TypeError(msg)
    if is_list(template):
        msg = "`template` is a list of images; explain one template at a time"
        raise TypeError(msg)
    given = Inputs.of(image, image_mask, template, mask, channel_axis)
    axis = given.channel_axis
    preparing = Preparing(
        metric=metric, missing=missing, min_overlap=min_overlap, output=output, channel_axis=axis,
        channel_weights=channel_weights, channel_means=channel_means,
    )  # fmt: skip
    matcher = Matcher(
        given.template, masks=given.mask, angles=angles, scales=scales, flips=flips, search=search, **preparing
    )  # fmt: skip
    poses = poses_of(matcher)
    asked = None if at is None else _checked(at, given.template.ndim - (axis is not None))
    criterion = Criterion.of(
        metric, false_alarms=false_alarms, threshold=threshold, max_count=max_count, max_overlap=max_overlap,
        min_distance=min_distance, prefilter=prefilter, copies_only=copies_only,
    )  # fmt: skip
    check_poses(poses, criterion)
    resources = Resources.of(workers, progress)
    searching, hinting = resources.split(2)
    searches = searches_of(matcher, given.image, given.image_mask)
    result = search_image(searches, criterion, searching, keep="peaks", poses=poses)
    records = SearchRecords(result, criterion) if poses.upright else PosedRecords(result)
    decision, peak = records.explained(asked)
    parts = tuple(result.searched_poses)
    explanation = Explanation(
        **fields_of(decision),
        asked=asked is not None,
        allowed=criterion.false_alarms,
        threshold=None if threshold is None else float(threshold),
        nearest_peak=peak,
        matches=len(result.matches),
        near_misses=tuple(Decision(**fields_of(miss)) for miss in result.near_misses),
        best=records.best(decision),
        noise=_noise_of(given.image, axis),
        poses=SearchedPoses.of_parts(parts) if parts else None,
        pose_parts=parts if len(parts) > 1 else (),
    )
    wanted = poses.upright and _may_be_transformed(peak or decision) and METRICS[metric].has_null_model
    variants = prepare_variants(given, preparing) if wanted else None
    if variants is None:
        resources.progress.finish()
    else:
        near = None if asked is None else decision.box
        scale, turn = variants.find_hints(peak or decision, near, hinting)
        explanation = replace(explanation, scale_hint=scale, turn_hint=turn, tried=len(variants.variants))
    return replace(explanation, text=describe_explanation(explanation))


def _may_be_transformed(decision: Decision) -> bool:
    """Check whether the object may be there in another size or pose: nothing was found, or only what is alike."""
    return decision.rule not in PASSED or (decision.reported and decision.kind == "alike")


def _noise_of(image: Array, channel_axis: int | None) -> float | None:
    """Estimate the noise; None where pixels are missing, or too few."""
    try:
        return estimate_noise(image, channel_axis=channel_axis)
    except ValueError:
        return None


def _checked(at: Sequence[int], axes: int) -> Position:
    """Check the position that is to be explained."""
    try:
        position = tuple(operator.index(number) for number in at)
    except TypeError:
        position = ()
    if len(position) != axes:
        what = ", (row, column)" if axes == 2 else ""
        msg = (
            f"`at` is {at!r}; it must be {axes} whole numbers: the first pixel of a window on each axis{what}"
        )
        raise ValueError(msg)
    return position
