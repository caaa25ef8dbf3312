"""The null distribution of a score map for callers outside the package: `estimate_chance`."""

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.channels import split_channels
from tmatch._arrays.options import ChannelAxis
from tmatch._arrays.typing import Array
from tmatch._arrays.validation import check_axis, check_numbers
from tmatch._detection.false_alarms import NullDistribution, check_false_alarms, effective_pixels
from tmatch._detection.null.fit import TemplateFacts, fit_null
from tmatch._detection.null.footprint import Footprint
from tmatch._detection.null.summary import SummaryBuilder


class Chance:
    """Expected numbers of false alarms in one search.

    Made by `estimate_chance`.

    Parameters
    ----------
    null : NullDistribution
        What was estimated; private.

    Attributes
    ----------
    effective_pixels : float
        Independent pixels whose scores have the same variance: 1 over the mean square of all scores. With too few
        peaks, 1 over that of the scores away from the best ones, limited by the template's autocorrelation.
    learnt_from : int
        Number of peaks and minima that the tail was fitted to; 0 if there were too few, see `estimate_chance`.
    cell_shape : tuple of int
        Positions in a cell, on each axis: the null distribution has one local variance per cell.

    See Also
    --------
    locate : decides by these numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.random.default_rng(0).normal(size=(200, 200))
    >>> tmatch.estimate_chance(tmatch.match_template(image, image[:12, :12]), image[:12, :12]).cell_shape
    (3, 3)
    """

    def __init__(self, null: NullDistribution) -> None:
        self._null = null

    def __repr__(self) -> str:
        return f"Chance(effective_pixels={self.effective_pixels:.4g}, learnt_from={self.learnt_from})"

    @property
    def effective_pixels(self) -> float:
        """Independent pixels whose scores have the same variance."""
        return self._null.effective_pixels

    @property
    def learnt_from(self) -> int:
        """Number of peaks and minima that the tail was fitted to."""
        return self._null.n_fitted

    @property
    def cell_shape(self) -> tuple[int, ...]:
        """Positions in a cell, on each axis."""
        return self._null.cells.size

    def false_alarms(self, places: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
        """Compute the expected number of false alarms: of peaks as good as these where the template is absent.

        Parameters
        ----------
        places : (N, ndim) array of int
            Indices into the score map.
        scores : (N,) array of real numbers
            The scores there.

        Returns
        -------
        (N,) array of float64
            Expected in the whole search; rounded to three digits, as it is an estimate. Large where a score is no
            evidence.

        Examples
        --------
        >>> import numpy as np
        >>> import tmatch
        >>> image = np.random.default_rng(0).normal(size=(200, 200))
        >>> chance = tmatch.estimate_chance(tmatch.match_template(image, image[:12, :12]), image[:12, :12])
        >>> chance.false_alarms([[50, 50], [50, 50]], [0.4, 1.0]) < [1, 1e-6]
        array([ True,  True])
        """
        return self._null.false_alarms(np.asarray(places, np.intp), np.asarray(scores, np.float64))

    def least_scores(self, false_alarms: float) -> NDArray[np.float64]:
        """Compute the score at which so many false alarms are expected, in each cell of the map.

        Parameters
        ----------
        false_alarms : float
            The number that is allowed, above 0.

        Returns
        -------
        array of float64
            One score for each cell of `cell_shape` positions; 1 where perhaps no score is high enough.

        Raises
        ------
        ValueError
            If `false_alarms` is not above 0.

        Examples
        --------
        >>> import numpy as np
        >>> import tmatch
        >>> image = np.random.default_rng(0).normal(size=(200, 200))
        >>> chance = tmatch.estimate_chance(tmatch.match_template(image, image[:12, :12]), image[:12, :12])
        >>> (chance.least_scores(0.01) > chance.least_scores(1)).all()
        np.True_
        """
        check_false_alarms(false_alarms)
        return self._null.least_scores(false_alarms)


@own_errstate
def estimate_chance(
    scores: ArrayLike,
    template: ArrayLike,
    /,
    *,
    valid: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    channel_axis: ChannelAxis = "auto",
) -> Chance:
    """Estimate the null distribution of a score map: its scores where the template is absent.

    Parameters
    ----------
    scores : array of real numbers in [-1, 1]
        A score map of "zncc" or "orientation".
    template : array of real numbers
        The template that was sought.
    valid : array of bool or None
        Which scores are valid, see `score_validity`; None: those that are not 0.
    mask : array of bool or of weights, of the template's shape (with or without channels), or None
        The template's mask; of several channels that of the first.
    channel_axis : int, "auto" or None
        The template's axis of channels. "auto": the last of three axes if `scores` has two.

    Returns
    -------
    Chance
        Computes the false alarms expected at a score, and the scores for a number of false alarms.

    Raises
    ------
    ValueError
        If the shapes do not go together, scores are outside [-1, 1], or the template has no axis `channel_axis`.
    TypeError
        If an array does not hold real numbers.

    See Also
    --------
    locate : estimates this from its own scores, and decides by it.

    Notes
    -----
    Only the scores and the template are known here. `locate` knows the image besides: it certifies copies by what is
    left of their windows without the template, and compares peaks with the noise. Its false alarms may be far fewer.

    The evidence of a score r is ``q = -(1 - v) / (2 v) log(1 - r^2)``, where v is the local variance: the mean square
    of the scores in a ring of cells 5 to 8 away, averaged with that of the whole map. A cell is a quarter of the
    template's side, and the scores that a copy leaves around itself do not reach the ring. 1 / v independent pixels
    have scores of this variance, and q is the negative logarithm of how rarely they reach r. Where v is above 0.1 in
    most cells, as on slopes, it is measured in each cell and its neighbours instead.

    The tail of the null distribution is fitted to the peaks of the map (at most one per cell) and to its minima,
    which are the peaks of the negated template: it is absent from the image, so that no match contaminates them.
    Those that a stronger one explains are left out: they are no higher than expected around a copy of its score. Of
    all the k largest q (3 %, at least 20), with u the next one below them, the mean of ``q^0.8 - u^0.8`` is the scale
    b of the tail: ``k / 2 (1 + (q^0.8 - u^0.8) / (k b))^-k`` false alarms, a generalised Pareto distribution.

    The best peak is left out of the fit, as it may be a match. Further peaks, from the best on down, are left out
    only if they can be nothing else, that is if each of them has a score of at least 0.7 and fewer than 1e-4 false
    alarms by the tail of the minima alone, and they stand apart from all lower peaks, by more than three scales b of
    that tail. Peaks above a gap that the tail of all others hardly has are a group: its false alarms are the chance
    of the gap, at most 1e-6. All of them have a score of at least 0.6, and nearly all of 0.7.

    With fewer than 17 peaks and minima, or fewer than 8 minima, scores are taken for those of independent pixels: as
    many as the template has by its autocorrelation (M. S. Bartlett, 1935), or up to four times as many if the scores
    away from the best peaks show them, but no more than 1 over the mean square of these. The false alarms are then
    ``N P(R > r)`` for N positions, and R^2 has the beta distribution of correlations of white noise.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.random.default_rng(0).normal(size=(200, 200))
    >>> template = image[90:102, 40:52] + np.random.default_rng(1).normal(size=(12, 12))
    >>> scores = tmatch.match_template(image, template)
    >>> chance = tmatch.estimate_chance(scores, template)
    >>> bool(chance.false_alarms([[90, 40]], scores[90:91, 40])[0] < 0.01)
    True
    """
    values, pixels = check_numbers("scores", scores), check_numbers("template", template)
    if channel_axis == "auto":
        channel_axis = 2 if (pixels.ndim, values.ndim) == (3, 2) else None
    channels = split_channels(pixels, check_axis("template", pixels, channel_axis))
    if (
        values.size == 0
        or channels[0].ndim != values.ndim
        or values.max() > 1 + 1e-6
        or values.min() < -1 - 1e-6
    ):
        msg = (
            f"`scores` has shape {values.shape} and values from {values.min(initial=0):.3g} to "
            f"{values.max(initial=0):.3g}; it must be a map of scores in [-1, 1] with the axes of the template"
        )
        raise ValueError(msg)
    is_valid = values != 0 if valid is None else np.asarray(valid, bool)
    if is_valid.shape != values.shape:
        msg = f"`valid` has shape {is_valid.shape}; it must have that of `scores`, {values.shape}"
        raise ValueError(msg)
    weights = np.ones(channels[0].shape) if mask is None else _mask_weights(mask, pixels, channel_axis)
    summary = SummaryBuilder(values.shape, channels[0].shape)
    summary.add(tuple(slice(0, n) for n in values.shape), values, is_valid)
    footprint = Footprint(channels, [weights] * len(channels))
    return Chance(
        fit_null(
            summary.merged(),
            TemplateFacts(partial(effective_pixels, channels, weights), partial(_same, footprint)),
        )
    )


def _same(footprint: Footprint) -> Footprint:
    return footprint


def _mask_weights(mask: ArrayLike, template: Array, channel_axis: int | None) -> Array:
    """Check a mask, and return its weights as floats, those of the first channel."""
    weights = check_numbers("mask", mask).astype(np.float64)
    if weights.shape == template.shape:
        return split_channels(weights, channel_axis)[0]
    shape = split_channels(template, channel_axis)[0].shape
    if weights.shape != shape:
        msg = f"`mask` has shape {weights.shape}; it must have the template's: {shape}, with or without channels"
        raise ValueError(msg)
    return weights
