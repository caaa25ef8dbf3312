"""Score maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.dask_array import is_dask
from tmatch._arrays.keywords import answers_guesses
from tmatch._arrays.lazy import is_lazy
from tmatch._arrays.options import ChannelAxis, Means, Metric, Missing, Output, Precision
from tmatch._engine.progress import ProgressCallback, Resources
from tmatch._io.given import ImageLike
from tmatch._results.matches import Match
from tmatch._scoring.image import prepare_image
from tmatch._scoring.inputs import Inputs
from tmatch._scoring.lazy import check_lazy, lazily_scored
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.planning import log_plan, plan
from tmatch._scoring.scorer import ScoredBlock, run
from tmatch._scoring.search import Search, pair
from tmatch._scoring.template import prepare_template

Scores = NDArray[np.floating[Any]]
Validity = NDArray[np.bool_]


class Preparing(TypedDict, total=False):
    """Options of `match_template` that say how templates are prepared."""

    metric: Metric
    missing: Missing
    min_overlap: float
    output: Output
    channel_axis: int | None
    channel_weights: Sequence[float] | None
    channel_means: Means
    precision: Precision


@answers_guesses
@own_errstate
def match_template(
    image: ImageLike,
    template: ImageLike,
    /,
    *,
    metric: Metric = "zncc",
    mask: ImageLike | None = None,
    image_mask: ImageLike | None = None,
    missing: Missing = "refuse",
    min_overlap: float = 0.5,
    output: Output = "valid",
    channel_axis: ChannelAxis = "auto",
    channel_weights: Sequence[float] | None = None,
    channel_means: Means = "separate",
    precision: Precision = "double",
    out: Scores | None = None,
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> Scores:
    """Score how well a template fits at every position in an image.

    Parameters
    ----------
    image : array of bool, integers or real floats, any dimension, path, open binary file, or Pillow image
        The array searched: a signal, an image, a volume, with or without an axis of channels. Files and Pillow images
        are read as by `read_image`, and pixels that are less than half opaque are not valid. Neither are those that a
        `numpy.ma.MaskedArray` masks. Or a dask array, see Notes.
    template : the same, of the same dimension
        The array sought, no larger than `image` on any axis unless `output` is "same" or "full". Pixels that are not
        wholly opaque, or masked, do not count.
    metric : {"zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation"}
        How similarity is measured, see Notes. Higher is better in all of them.
    mask : array of bool or of weights, of the template's shape (with or without channels), or None
        How much each pixel of the template counts: not at all where it is 0 or False. None: all equally. A file, or a
        Pillow image, counts by its grey levels.
    image_mask : array of bool, of the image's shape without channels, or None
        Which pixels of the image are valid. Values under False are never used. None: all. A file, or a Pillow image,
        is valid where it is not black. A dask array, too, if `image` is one.
    missing : {"refuse", "ignore"}
        Whether NaN in the image is an error or means that the pixel (all its channels) is missing.
    min_overlap : float
        Share of the template's weight, in (0, 1], that must lie on valid pixels for a position to have a score.
    output : {"valid", "same", "full"}
        Which positions are scored: those where the template lies inside the image; those where its centre,
        element ``n // 2``, lies on a pixel; all where it touches the image. No pixel outside is valid.
    channel_axis : int, "auto" or None
        The axis that holds the channels (colours), in both arrays; None if there are none. "auto": the last axis if
        both have three axes and the same number of channels, 2 to 4, or one 3 and the other 4; otherwise None. Of four
        channels the last is alpha then: it is left out, and transparent pixels are treated as those of files are.
        Where an axis is named, that is so only if one array has 4 channels and the other 3. Name None to search a
        volume for one that is as deep.
    channel_weights : sequence of float or None
        A factor for the weights of each channel's pixels; None: 1 for all.
    channel_means : {"separate", "joint"}
        Whether each channel has its own mean, so that a colour cast does not matter, or all have one.
    precision : {"double", "single"}
        "single" is faster and returns float32, with an error below 1e-4, relative to the same as in Notes: parts
        of an image whose estimated error is larger, as their contrast is low beside others, are done in double.
    out : array or None
        Where to write the scores: an array, or a `numpy.memmap`, of the dtype and shape of the result.
    workers : int or None
        Maximum number of threads; None for the number of cores this process may use. 1 starts none. Results are equal.
    progress : callable or None
        Called with the share of the work done so far, a float in (0, 1]; by any thread, one at a time.

    Returns
    -------
    scores : array of float64, or of float32 if `precision` is "single"
        Of length ``N - n + 1``, ``N`` or ``N + n - 1`` on each axis for "valid", "same", "full". A window's index is
        that of its first pixel, its centre, or its last pixel. Always finite. A position without a score (too little
        overlap, nothing to compare) has 0, but for "ssd" and "nssd", where 0 is the best, the lowest score of the
        map (at most -1 for "nssd"); see `score_validity`. Of a dask array, a lazy dask array of the same values.

    Raises
    ------
    ValueError
        If an array is empty or not finite, shapes do not go together, the template has nothing that the metric
        could compare, an option is out of range, or no position has enough overlap.
    TypeError
        If an array does not hold real numbers.

    See Also
    --------
    score_validity : which positions have a score.
    locate : from scores to boxes.

    Notes
    -----
    With pixels w of the window, t of the template, and weights m (0 where either is missing), means and sums
    weighted by m over the pixels and channels that both have:

    ============= =========================================================== =============== =================
    metric        formula                                                     range           not changed by
    ============= =========================================================== =============== =================
    "zncc"        sum((w - w0) (t - t0)) / sqrt(sum((w-w0)^2) sum((t-t0)^2))  [-1, 1]         gain, offset
    "ncc"         sum(w t) / sqrt(sum(w^2) sum(t^2))                          [-1, 1]         gain
    "zcc"         sum((w - w0) (t - t0))                                      any             offset
    "cc"          sum(w t)                                                    any
    "ssd"         -sum((w - t)^2)                                             at most 0       one offset on both
    "nssd"        -sum((w - t)^2) / sqrt(sum(w^2) sum(t^2))                   at most 0       one gain on both
    "orientation" ncc of the unit vectors along the gradients                 [-1, 1]         slow changes of light
    ============= =========================================================== =============== =================

    OpenCV calls the first six TM_CCOEFF_NORMED, TM_CCORR_NORMED, TM_CCOEFF, TM_CCORR, TM_SQDIFF and
    TM_SQDIFF_NORMED (the last two without the minus). Where pixels are missing "zcc", "cc" and "ssd" are
    scaled up to the template's whole weight. "zncc" is Pearson's correlation: J. P. Lewis, "Fast Template
    Matching", Vision Interface 1995; with masks D. Padfield, IEEE Trans. Image Process. 21:2706, 2012. For
    "orientation" (A. J. Fitch et al., BMVC 2002) gradients are central differences; a pixel whose neighbour is
    missing has none, and neither have flat places, which weigh nothing.

    Whole numbers of 8 bits, and of 16 with smaller templates, are summed without rounding if the mask is of 0 and 1,
    whatever their dtype: such scores are the same bits on any machine. Of others, "zncc", "ncc" and "orientation" are
    rounded to a multiple of 2**-40. The error stays below 1e-9: of 1 for these three, of the product of both norms for
    "zcc" and "cc", of the sum of their squares for "ssd", and of 1 or the score, whichever is larger, for "nssd".

    Where the image is a dask array nothing is computed yet, and `out` and `progress` have no use. Each task scores some
    whole tiles, by one thread, from the parts of the chunks that it needs; scores do not depend on the chunks. Chunks
    of the map end where those of the image do, counted by the windows' centres. Chunks of 8 and 16 bits are read once,
    others twice: first for what has to be known of all. "nssd", and "ssd" where pixels may be missing, is computed
    twice, for the lowest score. That no position has enough overlap is no error: no task knows of all.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.zeros((5, 6))
    >>> image[2:4, 3:5] = [[1, 2], [3, 4]]
    >>> scores = tmatch.match_template(image, [[1, 2], [3, 4]])
    >>> scores.shape
    (4, 5)
    >>> np.argwhere(scores > 0.999)
    array([[2, 3]])
    """
    if is_dask(image):
        check_lazy(out, workers, progress)
        lazy: Scores = lazily_scored(
            image, template, mask, image_mask, channel_axis, "scores", metric=metric, missing=missing,
            min_overlap=min_overlap, output=output, channel_weights=channel_weights, channel_means=channel_means,
            precision=precision,
        )  # fmt: skip
        return lazy
    resources = Resources.of(workers, progress)
    given = Inputs.of(image, image_mask, template, mask, channel_axis)
    options = ScoringOptions(
        metric, missing, min_overlap, output, given.channel_axis, channel_weights, channel_means, precision
    )
    return scores_of([_search(given, options)], resources, out=out)[0]


@answers_guesses
def score_validity(
    image: ImageLike,
    template: ImageLike,
    /,
    *,
    metric: Metric = "zncc",
    mask: ImageLike | None = None,
    image_mask: ImageLike | None = None,
    missing: Missing = "refuse",
    min_overlap: float = 0.5,
    output: Output = "valid",
    channel_axis: ChannelAxis = "auto",
    channel_weights: Sequence[float] | None = None,
    channel_means: Means = "separate",
    workers: int | None = None,
    progress: ProgressCallback | None = None,
) -> NDArray[np.bool_]:
    """Find the positions at which `match_template` has a score.

    Parameters
    ----------
    image, template, metric, mask, image_mask, missing, min_overlap, output
        As in `match_template`.
    channel_axis, channel_weights, channel_means, workers, progress
        As in `match_template`.

    Returns
    -------
    array of bool
        Of the shape of the scores; lazy, as these are, of a dask array. False where too little of the template lies on
        valid pixels, and, for metrics that divide by norms, where the window or the visible part of the template has
        none: "zncc" needs some contrast, "ncc" and "nssd" a pixel that is not 0, "orientation" a gradient.

    Raises
    ------
    ValueError, TypeError
        As in `match_template`.

    Examples
    --------
    >>> import tmatch
    >>> tmatch.match_template([0, 0, 0, 1, 3], [1, 2])
    array([0., 0., 1., 1.])
    >>> tmatch.score_validity([0, 0, 0, 1, 3], [1, 2])
    array([False, False,  True,  True])
    """
    if is_dask(image):
        check_lazy(None, workers, progress)
        lazy: Validity = lazily_scored(
            image, template, mask, image_mask, channel_axis, "validity", metric=metric, missing=missing,
            min_overlap=min_overlap, output=output, channel_weights=channel_weights, channel_means=channel_means,
        )  # fmt: skip
        return lazy
    return score_map(
        image, template, mask=mask, image_mask=image_mask, channel_axis=channel_axis, workers=workers,
        progress=progress, metric=metric, missing=missing, min_overlap=min_overlap, output=output,
        channel_weights=channel_weights, channel_means=channel_means,
    ).valid  # fmt: skip


@dataclass(frozen=True)
class ScoreMap:
    """The scores of one search, and which positions have one."""

    search: Search
    scores: Scores
    valid: Validity

    @property
    def label(self) -> str:
        """The template's label."""
        return self.search.label

    @property
    def first(self) -> tuple[int, ...]:
        """Where the first window starts."""
        return self.search.start_of((0,) * self.scores.ndim)

    @property
    def masked_scores(self) -> Scores:
        """The scores, and minus infinity where there is none."""
        return np.where(self.valid, self.scores, -np.inf)

    @property
    def best(self) -> Match:
        """The window with the highest score, the first of equal ones."""
        scores = self.masked_scores if self.valid.any() else self.scores
        position = tuple(map(int, np.unravel_index(scores.argmax(), scores.shape)))
        return Match(self.search.box_at(position), float(self.scores[position]), self.label)


@own_errstate
def score_map(
    image: ImageLike,
    template: ImageLike,
    /,
    *,
    mask: ImageLike | None = None,
    image_mask: ImageLike | None = None,
    channel_axis: ChannelAxis = "auto",
    workers: int | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> ScoreMap:
    """Score a template at every position of an image, and find where there is a score; options as `ScoringOptions`."""
    resources = Resources.of(workers, progress)
    given = Inputs.of(image, image_mask, template, mask, channel_axis)
    checked = ScoringOptions(channel_axis=given.channel_axis, **options)
    return score_maps([_search(given, checked)], resources)[0]


def _search(given: Inputs, options: ScoringOptions) -> Search:
    return pair(
        prepare_image(given.image, given.image_mask, options),
        prepare_template(given.template, given.mask, options),
    )


def score_maps(searches: Sequence[Search], resources: Resources) -> list[ScoreMap]:
    """Score the templates of some searches in one image at every position, and find where there are scores."""
    valid = [np.empty(search.map_shape, bool) for search in searches]
    scores = scores_of(searches, resources, valid=valid)
    return [ScoreMap(*parts) for parts in zip(searches, scores, valid, strict=True)]


def scores_of(
    searches: Sequence[Search],
    resources: Resources,
    *,
    out: Scores | None = None,
    valid: Sequence[Validity | None] | None = None,
) -> list[Scores]:
    """Score the templates of some searches in one image at every position.

    `out` takes the scores of a single search; `valid`, an array for each search, which positions have a score.
    """
    scores = [_empty_map(search, out) for search in searches]
    if valid is None:
        valid = [np.empty(s.map_shape, bool) if s.metric.differences else None for s in searches]

    def fill(block: ScoredBlock) -> None:
        scores[block.template][block.region] = block.scores
        part = valid[block.template]
        if part is not None:
            part[block.region] = block.valid

    scorers = plan(searches)
    log_plan(scorers, searches)
    run(scorers, fill, resources)
    for search, values, where in zip(searches, scores, valid, strict=True):
        if search.metric.differences and where is not None and not where.all():
            worst = values.min(initial=search.metric.no_score, where=where)
            np.copyto(values, worst, where=~where)
    return scores


def _empty_map(search: Search, out: Scores | None) -> Scores:
    """Allocate a score map, or check the array that is to hold it."""
    shape, dtype = search.map_shape, np.dtype(np.float32 if search.single else np.float64)
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype or not out.flags.writeable:
        what = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        msg = f"`out` is {what}; it must be an array of {dtype} with shape {shape} that can be written to"
        raise ValueError(msg)
    arrays = [array for array in (*search.image, *search.template) if not is_lazy(array)]
    if any(np.may_share_memory(out, array) for array in arrays):
        msg = "`out` shares memory with `image` or `template`, which are read while it is written; give another array"
        raise ValueError(msg)
    return out
