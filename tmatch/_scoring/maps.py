"""Score maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.options import Means, Metric, Missing, Output, Precision
from tmatch._arrays.validation import check_options
from tmatch._engine.progress import ProgressCallback, Resources
from tmatch._results.matches import Match
from tmatch._scoring.batch.batch import TemplateBatch, make_batches
from tmatch._scoring.general.scorer import GeneralScorer
from tmatch._scoring.image import prepare_image
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.scorer import ScoredBlock, run
from tmatch._scoring.search import Search, pair
from tmatch._scoring.template import prepare_template

Scores = NDArray[np.floating[Any]]
Validity = NDArray[np.bool_]


class _Options(TypedDict, total=False):
    metric: Metric
    missing: Missing
    min_overlap: float
    output: Output
    channel_axis: int | None
    channel_weights: Sequence[float] | None
    channel_means: Means


class Preparing(_Options, total=False):
    """Options of `match_template` that say how templates are prepared."""

    precision: Precision


class Scoring(_Options, total=False):
    """Options of `match_template` that say how one image is scored."""

    image_mask: ArrayLike | None
    workers: int | None
    progress: ProgressCallback | None


class _AllOptions(Scoring, total=False):
    precision: Precision


@own_errstate
def match_template(
    image: ArrayLike,
    template: ArrayLike,
    /,
    *,
    metric: Metric = "zncc",
    mask: ArrayLike | None = None,
    image_mask: ArrayLike | None = None,
    missing: Missing = "refuse",
    min_overlap: float = 0.5,
    output: Output = "valid",
    channel_axis: int | None = None,
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
    image : array of bool, integers or real floats, any dimension
        The array searched: a signal, an image, a volume, with or without an axis of channels.
    template : array of the same dimension
        The array sought, no larger than `image` on any axis unless `output` is "same" or "full".
    metric : {"zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation"}
        How similarity is measured, see Notes. Higher is better in all of them.
    mask : array of bool or of weights, of the template's shape (with or without channels), or None
        How much each pixel of the template counts: not at all where it is 0 or False. None: all equally.
    image_mask : array of bool, of the image's shape without channels, or None
        Which pixels of the image are valid. Values under False are never used. None: all.
    missing : {"refuse", "ignore"}
        Whether NaN in the image is an error or means that the pixel (all its channels) is missing.
    min_overlap : float
        Share of the template's weight, in (0, 1], that must lie on valid pixels for a position to have a score.
    output : {"valid", "same", "full"}
        Which positions are scored: those where the template lies inside the image; those where its centre,
        element ``n // 2``, lies on a pixel; all where it touches the image. No pixel outside is valid.
    channel_axis : int or None
        The axis that holds the channels (colours), in both arrays; None if there are none.
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
        map (at most -1 for "nssd"); see `score_validity`.

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
    resources = Resources.of(workers, progress)
    options = ScoringOptions(
        metric, missing, min_overlap, output, channel_axis, channel_weights, channel_means, precision
    )
    search = pair(prepare_image(image, image_mask, options), prepare_template(template, mask, options))
    return scores_of([search], resources, out=out)[0]


def score_validity(
    image: ArrayLike, template: ArrayLike, /, *, mask: ArrayLike | None = None, **scoring: Unpack[Scoring]
) -> NDArray[np.bool_]:
    """Find the positions at which `match_template` has a score.

    Parameters
    ----------
    image, template, mask
        As in `match_template`.
    **scoring
        `metric`, `image_mask`, `missing`, `min_overlap`, `output`, `channel_axis`, `channel_weights`,
        `channel_means`, `workers`, `progress` as in `match_template`.

    Returns
    -------
    array of bool
        Of the shape of the scores. False where too little of the template lies on valid pixels, and, for
        metrics that divide by norms, where the window or the visible part of the template has none:
        "zncc" needs some contrast, "ncc" and "nssd" a pixel that is not 0, "orientation" a gradient.

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
    check_options(scoring, _AllOptions.__annotations__)
    return score_map(image, template, mask=mask, **scoring).valid


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
    image: ArrayLike, template: ArrayLike, /, *, mask: ArrayLike | None = None, **options: Unpack[_AllOptions]
) -> ScoreMap:
    """Score a template at every position of an image, and find where there is a score."""
    resources = Resources.of(options.pop("workers", None), options.pop("progress", None))
    image_mask = options.pop("image_mask", None)
    checked = ScoringOptions(**options)  # type: ignore[misc]
    search = pair(prepare_image(image, image_mask, checked), prepare_template(template, mask, checked))
    return score_maps([search], resources)[0]


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

    run(plan(searches), fill, resources)
    for search, values, where in zip(searches, scores, valid, strict=True):
        if search.metric.differences and where is not None and not where.all():
            worst = values.min(initial=search.metric.no_score, where=where)
            np.copyto(values, worst, where=~where)
    return scores


def plan(searches: Sequence[Search]) -> list[TemplateBatch | GeneralScorer]:
    """Assign scorers to searches in one image."""
    batches = make_batches(searches)
    assigned = {number for batch in batches for number in batch.templates}
    return [*batches, *(GeneralScorer(i, search) for i, search in enumerate(searches) if i not in assigned)]


def _empty_map(search: Search, out: Scores | None) -> Scores:
    """Allocate a score map, or check the array that is to hold it."""
    shape, dtype = search.map_shape, np.dtype(np.float32 if search.single else np.float64)
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype or not out.flags.writeable:
        what = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        msg = f"`out` is {what}; it must be an array of {dtype} with shape {shape} that can be written to"
        raise ValueError(msg)
    if any(np.may_share_memory(out, array) for array in (*search.image, *search.template)):
        msg = "`out` shares memory with `image` or `template`, which are read while it is written; give another array"
        raise ValueError(msg)
    return out
