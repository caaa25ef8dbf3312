"""Locate templates in one image."""

from typing import Any, Unpack, cast

from numpy.typing import ArrayLike

from tmatch._match import Match
from tmatch._matcher import Labelled, Matcher, check_options
from tmatch._score import Scoring


def locate(
    image: ArrayLike,
    templates: Labelled,
    /,
    *,
    threshold: float = 0.8,
    max_count: int | None = None,
    max_overlap: float = 0.3,
    min_distance: int = 1,
    masks: Labelled | None = None,
    **scoring: Unpack[Scoring],
) -> list[Match]:
    """Find every place of an image where a template fits.

    Parameters
    ----------
    image : array of real numbers, any dimension
        The array searched.
    templates : array of real numbers, or mapping of str to such arrays
        The array sought, or several with a label each.
    threshold : float
        Least score of a match.
    max_count : int or None
        At most so many matches, the best ones; None for no limit.
    max_overlap : float
        Intersection over union, in [0, 1], above which the weaker of two matches is dropped, whatever
        their labels. 1 switches this off.
    min_distance : int
        Least distance in pixels between two matches of one template; 1 for no limit.
    masks : array of bool or of weights, mapping of str to such arrays, or None
        The template's mask, see `match_template`; with several templates those of some or all, by label.
    **scoring
        How fit is measured: `metric`, `image_mask`, `missing`, `min_overlap`, `output`, `channel_axis`,
        `channel_weights`, `channel_means`, `workers`, `progress` as in `match_template`.

    Returns
    -------
    list of Match
        By score, best first; equal scores in row-major order of place. Empty if nothing reaches the
        threshold. The order of `templates` does not matter. With ``output="same"`` or "full" boxes may reach
        beyond the image.

    Raises
    ------
    ValueError
        If an array or option is out of bounds, as in `match_template` and `non_max_suppression`.
    TypeError
        If an array does not hold real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.random.default_rng(0).normal(size=(60, 80))
    >>> tmatch.locate(image, {"patch": image[20:30, 40:52]})
    [Match(box=Box(start=(20, 40), shape=(10, 12)), score=1.0, label='patch', offset=())]
    """
    matcher, image_options = _prepare(templates, masks, scoring)
    return matcher.locate(
        image, threshold=threshold, max_count=max_count, max_overlap=max_overlap, min_distance=min_distance,
        **image_options,
    )  # fmt: skip


def best_match(
    image: ArrayLike,
    templates: Labelled,
    /,
    *,
    masks: Labelled | None = None,
    **scoring: Unpack[Scoring],
) -> Match:
    """Find the one place that fits best, however badly it does.

    Parameters
    ----------
    image, templates, masks, **scoring
        As in `locate`.

    Returns
    -------
    Match
        The best; of equal ones the first in row-major order.

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
    matcher, image_options = _prepare(templates, masks, scoring)
    return matcher.best(image, **image_options)


def _prepare(templates: Labelled, masks: Labelled | None, scoring: Scoring) -> tuple[Matcher, dict[str, Any]]:
    """Make a matcher, and give the options that go with the image."""
    check_options(scoring, Scoring.__annotations__)
    options = cast("dict[str, Any]", dict(scoring))
    of_image = ("image_mask", "workers", "progress")
    image_options: dict[str, Any] = {name: options.pop(name) for name in of_image if name in options}
    return Matcher(templates, masks=masks, **options), image_options
