"""Locate templates in one image."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tmatch._arrays.keywords import answers_guesses
from tmatch._arrays.options import ChannelAxis, Means, Metric, Missing, Output, Prefilter
from tmatch._engine.progress import ProgressCallback
from tmatch._io.given import ImageLike
from tmatch._poses.options import Angles, Scales, SearchName
from tmatch._results.collection import Matches
from tmatch._results.matches import Match
from tmatch._search.matcher import Matcher
from tmatch._search.options import Labelled, LabelledMasks

if TYPE_CHECKING:
    from distributed import Client


@answers_guesses
def locate(
    image: ImageLike,
    templates: Labelled,
    /,
    *,
    false_alarms: float | None = None,
    threshold: float | None = None,
    max_count: int | None = None,
    max_overlap: float = 0.3,
    min_distance: int = 1,
    prefilter: Prefilter = "auto",
    copies_only: bool = False,
    masks: LabelledMasks = None,
    angles: Angles = None,
    scales: Scales = None,
    flips: bool = False,
    search: SearchName = "auto",
    subpixel: bool = False,
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
) -> Matches:
    """Find every position in an image that matches a template.

    Parameters
    ----------
    image : array of real numbers, any dimension, path, open binary file, or Pillow image
        What is searched, see `match_template`.
    templates : image, list of images, or mapping of str to either
        What is to be found, each as `image`. Several are labelled: by a mapping; in a list by "0", "1", ..., and paths
        by file names without ending, those of equal ones by their whole paths. If a mapping has a list for a label,
        these are its appearances: all are searched for.
    false_alarms : float or None
        Expected number of false alarms that are allowed in the whole search, above 0. None: 0.01, one in a hundred
        searches, unless a threshold is given. It is estimated from the image and the scores in it, see Notes.
    threshold : float or None
        Minimum score of a match, to decide by the score instead, or as well if `false_alarms` is given, too. Metrics
        other than "zncc" and "orientation" need it.
    max_count : int or None
        Maximum number of matches, the best ones; None for no limit.
    max_overlap : float
        Intersection over union, in [0, 1], above which the weaker of two matches is dropped, whatever
        their labels. 1 switches this off. Of matches rotated by other than right angles the outlines are compared.
    min_distance : int
        Minimum distance in pixels between two matches of one template; 1 for no limit.
    prefilter : {"auto", "none", "whiten", "bandpass"}
        How image and templates are filtered before the search. "none": not at all. "whiten": so that all frequencies
        are equally strong in the image, its noise included, and rare details count. "bandpass": without the finest and
        the coarsest details. "auto": not at all and, if nothing is found or a peak stands apart that is not accepted,
        whitened as well, each with half of the false alarms allowed; with a threshold alone, a metric other than
        "zncc", or poses that need interpolation, not at all. Scores of matches are those of the unfiltered arrays.
    copies_only : bool
        Report only matches of the kind "copy", see `Match`: not what is similar.
    masks : mask, list of masks, mapping of str to either, or None
        The template's mask, see `match_template`; with several templates those of some or all, by label, or in a list
        as the templates are, with None where there is none.
    angles : None, "all", tuple of 2 floats or list of floats
        Angles by which the template may be rotated, in degrees, counter-clockwise as seen on the screen. None: not at
        all. "all"; a tuple is a range with both ends, which may pass 180 degrees, as (170, 190); a list holds just
        these angles. Images must have two axes, besides channels. Other than right angles, and other scales than
        whole numbers and one over them, need interpolation and the metric "zncc" or "orientation". The latter searches
        a list of poses, up to 1000, about two pixels apart, as templates of their own, which are not refined.
    scales : None, tuple of 2 floats or list of floats
        Size in the image divided by that of the template, from 1/16 to 16: None for 1, a range, or just these.
    flips : bool
        Search for the mirrored template as well: left and right exchanged, then rotated.
    search : {"auto", "exhaustive", "certified"}
        How ranges of poses are searched. "auto": in a smaller image first, as far as the template can be told from
        others there. "exhaustive": in every pose at full size. "certified": proved to find what reaches the
        `threshold`, which must be at least 0.7; the template must have no mask, and be less than 1.5 times as long as
        wide.
    subpixel : bool
        Refine the places of upright matches, and of those in poses that need no interpolation, to a part of a pixel
        (metric "zncc"). Where poses need it, all are refined by that metric.
    metric, image_mask, missing, min_overlap, output, channel_axis, channel_weights, channel_means
        How similarity is measured, as in `match_template`.
    workers, progress
        How the work is done, as in `match_template`.

    Returns
    -------
    Matches
        A list of `Match` by score, best first; equal scores in row-major order of position. Empty if there is none.
        The order of `templates` does not matter: where boxes overlap, the match with more evidence is kept.
        With ``output="same"`` or "full" boxes may reach beyond the image.

    Raises
    ------
    ValueError
        If an array or option is out of bounds, as in `match_template` and `non_max_suppression`.
    TypeError
        If an array does not hold real numbers.

    Notes
    -----
    The false alarms of a peak are expected from a generalised Pareto tail, fitted to the evidence of the other peaks
    and of the minima of the score map; with fewer than 17 of them, from the law of correlations of white noise. Not
    fitted are side lobes, which stronger peaks explain by the scores that a copy of the template leaves around
    itself; and copies, of which nothing but white noise or rounding is left without gain, offset and template. Peaks
    above a gap that the tail of all lower ones hardly has are a group.

    A peak is a match if it has no more false alarms than are allowed, by the tail, as a copy or in a group; if it is
    no side lobe of a better match; and, unless it is a copy or in a group, if its score in the unfiltered image would
    be at least 0.7 without the noise, or 0.6 in poses that are interpolated. What really looks like the template is no
    false alarm in this sense: see `Match.kind` and `copies_only`. docs/explanation/decision.md has the reasons, and
    what the number does not say.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.random.default_rng(0).normal(size=(60, 80))
    >>> [match] = tmatch.locate(image, {"patch": image[20:30, 40:52]})
    >>> match.box.start, match.score, match.label, match.false_alarms < 1e-9
    ((20, 40), 1.0, 'patch', True)
    """
    matcher = Matcher(
        templates, masks=masks, angles=angles, scales=scales, flips=flips, search=search, subpixel=subpixel,
        metric=metric, missing=missing, min_overlap=min_overlap, output=output, channel_axis=channel_axis,
        channel_weights=channel_weights, channel_means=channel_means,
    )  # fmt: skip
    return matcher.locate(
        image, false_alarms=false_alarms, threshold=threshold, max_count=max_count, max_overlap=max_overlap,
        min_distance=min_distance, prefilter=prefilter, copies_only=copies_only, image_mask=image_mask,
        workers=workers, progress=progress,
    )  # fmt: skip


@answers_guesses
def locate_many(
    images: Iterable[ImageLike | tuple[str, ImageLike]],
    templates: Labelled,
    /,
    *,
    jobs: int | None = None,
    client: "Client | None" = None,
    false_alarms: float | None = None,
    threshold: float | None = None,
    max_count: int | None = None,
    max_overlap: float = 0.3,
    min_distance: int = 1,
    prefilter: Prefilter = "auto",
    copies_only: bool = False,
    masks: LabelledMasks = None,
    angles: Angles = None,
    scales: Scales = None,
    flips: bool = False,
    search: SearchName = "auto",
    subpixel: bool = False,
    metric: Metric = "zncc",
    image_mask: ImageLike | None = None,
    missing: Missing = "refuse",
    min_overlap: float = 0.5,
    output: Output = "valid",
    channel_axis: ChannelAxis = "auto",
    channel_weights: Sequence[float] | None = None,
    channel_means: Means = "separate",
) -> Iterator[tuple[str, Matches]]:
    """Find every position that matches a template in each of many images.

    Parameters
    ----------
    images : iterable of images, or of (str, image)
        With names or without, as `open_images` yields them, see `Matcher.locate_many`.
    templates : image, list of images, or mapping of str to either
        What is to be found, see `locate`.
    jobs : int or None
        Images searched at a time, by threads; None for the number of cores. Results are equal.
    client : dask.distributed.Client or None
        A cluster whose workers search the images, see `Matcher.locate_many`. Results are equal.
    false_alarms, threshold, max_count, max_overlap, min_distance, prefilter, copies_only
        Which positions are matches, as in `locate`, for each image.
    masks, angles, scales, flips, search, subpixel
        As in `locate`.
    metric, image_mask, missing, min_overlap, output, channel_axis, channel_weights, channel_means
        As in `locate`.

    Returns
    -------
    iterator of (str, Matches)
        The name of each image: as given, or its path; "0", "1", ... for others. And what was found there, in the order
        of the images; `Matches.missing` and `Matches.best` tell what was not.

    Raises
    ------
    ValueError, TypeError, OSError
        As in `locate`, when the image is due; the text names it.

    Examples
    --------
    >>> import tmatch
    >>> images = tmatch.open_images("datasets/raccoon/face_gray.png", "datasets/raccoon/noisy.png")
    >>> for name, matches in tmatch.locate_many(images, "datasets/raccoon/eye.png"):
    ...     print(name, [match.box.xywh for match in matches])
    datasets/raccoon/face_gray.png [(670, 300, 80, 65)]
    datasets/raccoon/noisy.png [(670, 300, 80, 65)]
    """
    matcher = Matcher(
        templates, masks=masks, angles=angles, scales=scales, flips=flips, search=search, subpixel=subpixel,
        metric=metric, missing=missing, min_overlap=min_overlap, output=output, channel_axis=channel_axis,
        channel_weights=channel_weights, channel_means=channel_means,
    )  # fmt: skip
    return matcher.locate_many(
        images, jobs=jobs, client=client, false_alarms=false_alarms, threshold=threshold, max_count=max_count,
        max_overlap=max_overlap, min_distance=min_distance, prefilter=prefilter, copies_only=copies_only,
        image_mask=image_mask,
    )  # fmt: skip


@answers_guesses
def best_match(
    image: ImageLike,
    templates: Labelled,
    /,
    *,
    masks: LabelledMasks = None,
    angles: Angles = None,
    scales: Scales = None,
    flips: bool = False,
    search: SearchName = "auto",
    subpixel: bool = False,
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
) -> Match:
    """Find the position with the highest score, however low it is.

    Parameters
    ----------
    image, templates, masks, angles, scales, flips, search, subpixel
        As in `locate`.
    metric, image_mask, missing, min_overlap, output, channel_axis, channel_weights, channel_means
        As in `locate`.
    workers, progress
        As in `locate`.

    Returns
    -------
    Match
        The best position; of equal ones the first in row-major order. Its false alarms are those of a search that
        filters nothing, as one of the two stages of `locate`: where that whitens as well, it may tell fewer.

    Raises
    ------
    ValueError, TypeError
        As in `locate`.

    Examples
    --------
    >>> import tmatch
    >>> tmatch.best_match([[0, 1, 0, 0], [5, 9, 0, 3]], [[1, 2]]).box.start
    (0, 0)
    """
    matcher = Matcher(
        templates, masks=masks, angles=angles, scales=scales, flips=flips, search=search, subpixel=subpixel,
        metric=metric, missing=missing, min_overlap=min_overlap, output=output, channel_axis=channel_axis,
        channel_weights=channel_weights, channel_means=channel_means,
    )  # fmt: skip
    return matcher.best(image, image_mask=image_mask, workers=workers, progress=progress)
