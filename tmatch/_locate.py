"""Locate templates in an image: score, peaks, decision, matches, suppression."""

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._inputs import BOUNDED, Metric
from tmatch._match import Box, Match, non_max_suppression
from tmatch._peaks import find_peaks
from tmatch._score import Scores, Scoring, score_with_validity

Labelled = ArrayLike | Mapping[str, ArrayLike]


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
        `channel_weights`, `channel_means`, `workers` as in `match_template`.

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
    check_threshold(threshold, scoring.get("metric", "zncc"))
    maps = score_each(image, templates, masks, scoring)
    return pick(
        maps, threshold=threshold, max_count=max_count, max_overlap=max_overlap, min_distance=min_distance
    )


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
    return pick_best(score_each(image, templates, masks, scoring))


# --- the steps, for those who want the score maps too ------------------------------------------------


@dataclass(frozen=True)
class ScoreMap:
    """The scores of one template, which of them mean something, and where its first and last places lie."""

    label: str
    scores: Scores
    valid: NDArray[np.bool_]
    first: tuple[int, ...]
    shape: tuple[int, ...]

    def match(self, place: Sequence[int]) -> Match:
        """Make a match of a place on the map."""
        start = tuple(int(p) + f for p, f in zip(place, self.first, strict=True))
        return Match(Box(start, self.shape), float(self.scores[tuple(place)]), self.label)


def check_threshold(threshold: float, metric: Metric) -> None:
    """Refuse a threshold that no score could reach, or that is none."""
    low, high = (-1.0, 1.0) if metric in BOUNDED else (-np.inf, np.inf)
    if metric in ("ssd", "nssd"):
        high = 0.0
    if not isinstance(threshold, numbers.Real) or not (low <= threshold <= high and np.isfinite(threshold)):
        bounds = {(-1.0, 1.0): "from -1 to 1", (-np.inf, 0.0): "at most 0, for a perfect fit"}
        known = bounds.get((low, high), "finite numbers")
        msg = (
            f"`threshold` is {threshold!r}; {metric} scores are {known}: name one that some place could reach"
        )
        raise ValueError(msg)


def score_each(
    image: ArrayLike, templates: Labelled, masks: Labelled | None, scoring: Scoring
) -> list[ScoreMap]:
    """Score each template; what is wrong with one is told with its label."""
    strange = set(scoring) - set(Scoring.__annotations__)
    if strange:
        hint = "; a template's mask goes into `masks`" if "mask" in strange else ""
        known = ", ".join(Scoring.__annotations__)
        msg = f"there is no option {', '.join(sorted(strange))} here; those of scoring are {known}{hint}"
        raise TypeError(msg)
    named, maps = _by_label(templates), []
    for label, template in named.items():
        mask = _by_label(masks, "masks", named).get(label) if masks is not None else None
        try:
            scores, valid, first = score_with_validity(image, template, mask=mask, **scoring)
        except (ValueError, TypeError) as error:
            if not label:
                raise
            text = (
                str(error)
                .replace("`template`", f'template "{label}"')
                .replace("`mask`", f'the mask of "{label}"')
            )
            raise type(error)(text) from error
        maps.append(ScoreMap(label, scores, valid, first, _sides(template, scoring.get("channel_axis"))))
    return maps


def pick(
    maps: list[ScoreMap],
    *,
    threshold: float,
    max_count: int | None,
    max_overlap: float,
    min_distance: int = 1,
) -> list[Match]:
    """Make matches of the peaks that reach the threshold, and drop those that overlap better ones."""
    matches = []
    for each in maps:
        peaks = find_peaks(heights(each), threshold=threshold, min_distance=min_distance)
        matches += [each.match(place) for place in peaks.tolist()]
    return non_max_suppression(matches, max_overlap=max_overlap, max_count=max_count)


def pick_best(maps: list[ScoreMap]) -> Match:
    """Make a match of the best place of all."""
    best = []
    for each in maps:
        scores = heights(each) if each.valid.any() else each.scores
        best.append(each.match(np.unravel_index(scores.argmax(), scores.shape)))  # type: ignore[arg-type]
    return non_max_suppression(best, max_count=1)[0]


def heights(each: ScoreMap) -> Scores:
    """Give the scores, and minus infinity where there is none."""
    return each.scores if each.valid.all() else np.where(each.valid, each.scores, -np.inf)


def _by_label(
    arrays: Labelled, name: str = "templates", known: Mapping[str, ArrayLike] | None = None
) -> Mapping[str, ArrayLike]:
    if not isinstance(arrays, Mapping):
        if known is not None and list(known) != [""]:
            msg = f"`{name}` is one array, but `templates` has labels; give a mapping with these labels"
            raise ValueError(msg)
        return {"": arrays}
    if not arrays and known is None:
        msg = f"`{name}` is an empty mapping; it must hold at least one template"
        raise ValueError(msg)
    if not all(isinstance(label, str) for label in arrays):
        msg = f"`{name}` has the labels {list(arrays)}; they must be strings"
        raise TypeError(msg)
    strange = [label for label in arrays if known is not None and label not in known]
    if strange and known is not None:
        msg = f"`{name}` has the labels {strange}, which `templates` has not; its labels are {list(known)}"
        raise ValueError(msg)
    return arrays


def _sides(template: Any, channel_axis: int | None) -> tuple[int, ...]:
    """Shape of a template without its channels."""
    shape = list(np.shape(template))
    if channel_axis is not None:
        del shape[channel_axis]
    return tuple(shape)
