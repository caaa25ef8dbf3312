"""Score maps: how well a template fits at every place of an image."""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch import _tiles
from tmatch._inputs import BOUNDED, NORMALISED, Means, Metric, Missing, Output, Precision, make_search
from tmatch._match import check_count
from tmatch._sums import PASSES, Search, Sums
from tmatch._sums_exact import prepare_exact
from tmatch._sums_floats import prepare_floats
from tmatch._tiles import Region, Tiling

Scores = NDArray[np.floating[Any]]


class _Options(TypedDict, total=False):
    metric: Metric
    image_mask: ArrayLike | None
    missing: Missing
    min_overlap: float
    output: Output
    channel_axis: int | None
    channel_weights: Sequence[float] | None
    channel_means: Means


class Scoring(_Options, total=False):
    """How places are scored, told at `match_template`."""

    workers: int | None


class _AllOptions(_Options, total=False):
    mask: ArrayLike | None
    precision: Precision


_OVERSHOOT = 1e-9  # a score may pass 1 by rounding, and by no more
_TRUSTED_SINGLE = 5e-5  # where one in a tile may be off by more, the tile is done in double precision
_STEPS = 2.0**40  # scores of floats are multiples of 2**-40, about 1e-12


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
    workers: int | None = None,
) -> Scores:
    """Score how well a template fits at every place of an image.

    Parameters
    ----------
    image : array of bool, integers or real floats, any dimension
        The array searched: a signal, a picture, a volume, with or without an axis of channels.
    template : array of the same dimension
        The array sought, no larger than `image` on any axis unless `output` is "same" or "full".
    metric : {"zncc", "ncc", "zcc", "cc", "ssd", "nssd", "orientation"}
        How fit is measured, see Notes. Higher is better in all of them.
    mask : array of bool or of weights, of the template's shape (with or without channels), or None
        How much each pixel of the template counts: not at all where it is 0 or False. None: all alike.
    image_mask : array of bool, of the image's shape without channels, or None
        Which pixels of the image there are. What lies under False is never looked at. None: all.
    missing : {"refuse", "ignore"}
        Whether NaN in the image is an error or means that the pixel (all its channels) is missing.
    min_overlap : float
        Share of the template's weight, in (0, 1], that must lie on existing pixels for a place to have a score.
    output : {"valid", "same", "full"}
        Which places are scored: those where the template lies inside the image; those where its centre,
        element ``n // 2``, lies on a pixel; all where it touches the image. No pixel exists outside.
    channel_axis : int or None
        The axis that holds the channels (colours), in both arrays; None if there are none.
    channel_weights : sequence of float or None
        A factor for the weights of each channel's pixels; None: all alike.
    channel_means : {"separate", "joint"}
        Whether each channel has its own mean, so that a colour cast does not hurt, or all have one.
    precision : {"double", "single"}
        "single" is faster and gives float32, whose error stays below 1e-4 (of 1, or of the product of both norms):
        parts of an image where it would not, of much less contrast than what is around them, are done in double.
    workers : int or None
        At most so many threads; None for as many as this process may use cores. 1 starts none. Results are the same.

    Returns
    -------
    scores : array of float64, or of float32 if `precision` is "single"
        Of length ``N - n + 1``, ``N`` or ``N + n - 1`` on each axis for "valid", "same", "full". A window's index is
        that of its first pixel, its centre, or its last pixel. Always finite. A place that has no score (too little
        overlap, nothing to compare) has 0, but for "ssd" and "nssd", where 0 is the best, the lowest score of the
        map (at most -1 for "nssd"); `score_validity` tells which.

    Raises
    ------
    ValueError
        If an array is empty or not finite, shapes do not go together, the template has nothing that the metric
        could compare, an option is out of range, or no place at all has enough overlap.
    TypeError
        If an array does not hold real numbers.

    See Also
    --------
    score_validity : which scores mean something.
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

    Integers of 8 bits, and of more with smaller templates, are summed without rounding if the mask is of 0 and 1:
    such scores are the same bits on any machine. Of others, "zncc", "ncc" and "orientation" are rounded to a
    multiple of 2**-40. The error stays below 1e-9, of 1 for these three and of the product of both norms for the rest.

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
    return score_with_validity(
        image, template, metric=metric, mask=mask, image_mask=image_mask, missing=missing, min_overlap=min_overlap,
        output=output, channel_axis=channel_axis, channel_weights=channel_weights, channel_means=channel_means,
        precision=precision, workers=workers,
    )[0]  # fmt: skip


def score_validity(
    image: ArrayLike, template: ArrayLike, /, *, mask: ArrayLike | None = None, **scoring: Unpack[Scoring]
) -> NDArray[np.bool_]:
    """Tell which scores of `match_template` mean something.

    Parameters
    ----------
    image, template, mask
        As in `match_template`.
    **scoring
        `metric`, `image_mask`, `missing`, `min_overlap`, `output`, `channel_axis`, `channel_weights`,
        `channel_means`, `workers` as in `match_template`.

    Returns
    -------
    array of bool
        Of the shape of the scores. False where too little of the template lies on existing pixels, and, for
        metrics that divide by norms, where the window or the part of the template that is seen has none:
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
    return score_with_validity(image, template, mask=mask, **scoring)[1]


def score_with_validity(
    image: ArrayLike, template: ArrayLike, *, workers: int | None = None, **options: Unpack[_AllOptions]
) -> tuple[Scores, NDArray[np.bool_], tuple[int, ...]]:
    """Score all places, say which have a score, and where the first window begins."""
    check_count("workers", workers)
    search = make_search(image, template, **options)
    first = tuple(-before for before, _ in search.margins)
    return *_score_map(search, options.get("metric", "zncc"), workers), first


def _score_map(search: Search, metric: Metric, workers: int | None) -> tuple[Scores, NDArray[np.bool_]]:
    """Score all places, and say which have a score."""
    tiling = _tiles.plan_tiles(search.shape, search.template[0].shape)
    with np.errstate(over="ignore", invalid="ignore"):  # told by `_scores`
        sum_block, exact = _prepare(search, tiling)
    scores: Scores = np.empty(tiling.places, np.float32 if search.single else np.float64)
    valid = np.empty(tiling.places, bool)
    overlaps: list[float] = []

    def work(block: Region) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            sums = sum_block(block)
        overlaps.append(float(np.max(sums.weight)))
        if sums.engine and metric == "zncc":
            largest = sums.engine.normalise(
                sums.product, sums.image_square, float(sums.template_square), scores[block], valid[block]
            )
            _check_bounds(-largest, largest, 1e-4 if search.single else _OVERSHOOT)
            return
        valid[block] = sums.weight >= search.least
        if metric in NORMALISED:
            valid[block] &= (sums.image_square > 0) & (sums.template_square > 0)
        scores[block] = _scores(sums, search, metric, valid[block], exact=exact)

    _tiles.run(_tiles.Job(work, tiling, PASSES), workers=workers)
    if max(overlaps) < search.least:
        msg = (
            f"at most {max(max(overlaps) / search.total, 0):.2g} of the template lies on existing pixels at any place, "
            f"and `min_overlap` asks for {search.least / search.total:.2g}: lower it, use a smaller template, or see "
            "which pixels of the image are missing"
        )
        raise ValueError(msg)
    if metric in ("ssd", "nssd") and not valid.all():
        scores[~valid] = scores[valid].min(initial=-1 if metric == "nssd" else 0)
    return scores, valid


def _prepare(search: Search, tiling: Tiling) -> tuple[Callable[[Region], Sums], bool]:
    """Prepare the sums over a block of places, and say whether they are exact."""
    exact = prepare_exact(search, tiling)
    sum_block = exact or prepare_floats(search, tiling)

    def sum_double_where_needed(block: Region) -> Sums:
        sums = sum_block(block, search.single)
        if not search.single:
            return sums
        if _too_coarse(search, sums):
            return sum_block(block, False)  # noqa: FBT003
        return sums

    return sum_double_where_needed, exact is not None and not search.single


def _too_coarse(search: Search, sums: Sums) -> bool:
    """Tell whether sums in single precision leave some score of the tile in doubt."""
    if sums.engine:
        norm = math.sqrt(sums.least_square * float(sums.template_square))
        return norm < sums.error_single * float(sums.factor) / _TRUSTED_SINGLE
    squares = np.asarray(sums.image_square, np.float64), np.asarray(sums.template_square, np.float64)
    norms = np.sqrt(np.maximum(squares[0], 0)) * np.sqrt(np.maximum(squares[1], 0))
    counts = (norms > 0) & (sums.weight >= search.least)
    return bool(
        (counts & (norms < sums.error_single * np.asarray(sums.factor, float) / _TRUSTED_SINGLE)).any()
    )


def _scores(
    sums: Sums, search: Search, metric: Metric, valid: NDArray[np.bool_], *, exact: bool
) -> NDArray[np.float64]:
    """Make scores of sums; 0 where there is none."""
    product = sums.product
    if search.single and metric not in NORMALISED:
        product = np.where(sums.image_square > 0, product, 0)  # of nothing nothing is left but rounding
    if metric in ("ssd", "nssd"):
        difference = sums.difference
        if difference is None:
            difference = sums.image_square + sums.template_square - 2 * product
        product = np.minimum(-difference, 0)
    with np.errstate(over="ignore", invalid="ignore"):  # where it matters, told below
        if metric == "nssd":
            norm = np.sqrt(sums.image_square, dtype=np.float64) * np.sqrt(sums.template_square)
        elif metric in NORMALISED:
            squares = np.asarray(sums.image_square, np.float64), np.asarray(sums.template_square, np.float64)
            norm = np.multiply(*squares)
            np.sqrt(norm, out=norm)
        else:
            weight = np.asarray(sums.weight, np.float64)
            norm = np.broadcast_to(np.asarray(sums.factor, np.float64) * (weight / search.total), valid.shape)
        scores: NDArray[np.float64]
        if valid.all():
            scores = np.divide(product, norm)
        else:
            scores = np.divide(product, norm, out=np.zeros(valid.shape), where=valid)
    if metric in BOUNDED and not exact and not search.single:
        # Equal scores that rounding set apart become equal again: plateaus stay whole, exact copies score 1.
        scores *= _STEPS
        np.rint(scores, out=scores)
        scores /= _STEPS
    least, most = float(scores.min()), float(scores.max())
    if metric in BOUNDED:
        _check_bounds(least, most, 1e-4 if search.single else _OVERSHOOT)
        return np.clip(scores, -1, 1, out=scores) if least < -1 or most > 1 else scores
    dtype = np.float32 if search.single else np.float64
    if not max(most, -least) <= float(np.finfo(dtype).max):
        msg = f'"{metric}" scores pass the largest {dtype.__name__}; scale `image` and `template` down'
        raise ValueError(msg)
    return scores


def _check_bounds(least: float, most: float, allowed: float) -> None:
    """Allow for the little by which rounding may pass 1; anything more, and NaN, is an error of ours."""
    if not (least >= -1 - allowed and most <= 1 + allowed):
        msg = f"scores from {least} to {most} are outside [-1, 1]: this is a bug in tmatch, please report it"
        raise ArithmeticError(msg)
