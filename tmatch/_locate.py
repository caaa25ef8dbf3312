"""Locate templates in an image: score, peaks, decision, matches, suppression."""

import numbers
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tmatch._match import Box, Match, non_max_suppression
from tmatch._peaks import find_peaks
from tmatch._score import Metric, Scores, match_template


def locate(
    image: ArrayLike,
    templates: ArrayLike | Mapping[str, ArrayLike],
    /,
    *,
    threshold: float = 0.8,
    max_count: int | None = None,
    max_overlap: float = 0.3,
    min_distance: int = 1,
    metric: Metric = "zncc",
    channel_axis: int | None = None,
) -> list[Match]:
    """Find every place of an image where a template fits.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array of real numbers
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
    metric : {"zncc"}
        How fit is measured, see `match_template`.
    channel_axis : int or None
        The axis that holds the channels (colours), in all arrays; None if there are none.

    Returns
    -------
    list of Match
        By score, best first; equal scores in row-major order of place. Empty if nothing reaches the
        threshold. The order of `templates` does not matter.

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
    if not (isinstance(threshold, numbers.Real) and -1 <= threshold <= 1):
        msg = f"`threshold` is {threshold!r}; {metric} scores are from -1 to 1"
        raise ValueError(msg)
    matches = []
    for label, template in _labelled(templates).items():
        scores = _scores(image, template, label, metric, channel_axis)
        peaks = find_peaks(scores, threshold=threshold, min_distance=min_distance)
        values = scores[tuple(peaks.T)].tolist()
        boxes = (_box(place, template, channel_axis) for place in peaks.tolist())
        matches += [Match(box, score, label) for box, score in zip(boxes, values, strict=True)]
    return non_max_suppression(matches, max_overlap=max_overlap, max_count=max_count)


def best_match(
    image: ArrayLike,
    templates: ArrayLike | Mapping[str, ArrayLike],
    /,
    *,
    metric: Metric = "zncc",
    channel_axis: int | None = None,
) -> Match:
    """Find the one place that fits best, however badly it does.

    Parameters
    ----------
    image, templates, metric, channel_axis
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
    best = []
    for label, template in _labelled(templates).items():
        scores = _scores(image, template, label, metric, channel_axis)
        place = [int(i) for i in np.unravel_index(scores.argmax(), scores.shape)]
        best.append(Match(_box(place, template, channel_axis), float(scores[tuple(place)]), label))
    return non_max_suppression(best, max_count=1)[0]


def _labelled(templates: ArrayLike | Mapping[str, ArrayLike]) -> Mapping[str, ArrayLike]:
    if not isinstance(templates, Mapping):
        return {"": templates}
    if not templates:
        msg = "`templates` is an empty mapping; it must hold at least one template"
        raise ValueError(msg)
    if not all(isinstance(label, str) for label in templates):
        msg = f"`templates` has the labels {list(templates)}; they must be strings"
        raise TypeError(msg)
    return templates


def _scores(
    image: ArrayLike, template: ArrayLike, label: str, metric: Metric, channel_axis: int | None
) -> Scores:
    """Score one template; what is wrong with it is told with its label."""
    try:
        return match_template(image, template, metric=metric, channel_axis=channel_axis)
    except (ValueError, TypeError) as error:
        if not label:
            raise
        raise type(error)(str(error).replace("`template`", f'template "{label}"')) from error


def _box(place: Sequence[int], template: ArrayLike, channel_axis: int | None) -> Box:
    """Box of a template whose first pixel lies at a place."""
    shape = list(np.shape(template))
    if channel_axis is not None:
        del shape[channel_axis]
    return Box(tuple(place), tuple(shape))
