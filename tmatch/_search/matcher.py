"""Matcher: templates prepared once, for any number of images."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Unpack

from numpy.typing import ArrayLike

from tmatch._arrays.options import Prefilter
from tmatch._arrays.validation import check_count
from tmatch._detection.candidates import find_best
from tmatch._detection.criterion import Candidates, Criterion, allowed_by, check_decision
from tmatch._detection.false_alarms import COPY_SCORE
from tmatch._detection.peaks import by_height
from tmatch._engine.progress import Progress, Work
from tmatch._results.matches import Match, keep_apart, non_max_suppression, order_of
from tmatch._scoring.image import prepare_image
from tmatch._scoring.maps import Preparing, ScoreMap, Scores, score_maps
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.search import Search, pair
from tmatch._scoring.template import PreparedTemplate, prepare_template
from tmatch._search.competition import compete, evidence
from tmatch._search.options import Labelled, by_label, call_with_label, check_options, checked_copy
from tmatch._search.stages import accept_first_stage, find_filtered, stages_of


class Matcher:
    """One template or several, prepared once for any number of images.

    Spectra and norms of templates are cached for images of sizes that were seen before. What is computed of an image
    is shared by all templates. The results are those of `match_template` and `locate`.

    Parameters
    ----------
    templates : array of real numbers, or mapping of str to such arrays
        The array sought, or several with a label each. They are copied.
    masks : array of bool or of weights, mapping of str to such arrays, or None
        The template's mask, see `match_template`; with several templates those of some or all, by label.
    **preparing
        How fit is measured: `metric`, `missing`, `min_overlap`, `output`, `channel_axis`, `channel_weights`,
        `channel_means`, `precision` as in `match_template`. `precision` is that of score maps.

    Raises
    ------
    ValueError, TypeError
        As in `match_template`, if a template could not be found in any image.

    See Also
    --------
    locate : the same for one image.

    Notes
    -----
    A matcher may be used by several threads at a time.

    Examples
    --------
    >>>     >>> import tmatch
    >>> frames = np.random.default_rng(0).integers(0, 256, (3, 60, 80), dtype=np.uint8)
    >>> matcher = tmatch.Matcher(frames[1, 20:30, 40:52])
    >>> [len(matcher.locate(frame)) for frame in frames]
    [0, 1, 0]
    """

    def __init__(
        self, templates: Labelled, /, *, masks: Labelled | None = None, **preparing: Unpack[Preparing]
    ) -> None:
        check_options(preparing, Preparing.__annotations__)
        named = by_label(templates)
        named_masks = {} if masks is None else by_label(masks, "masks", named)
        self._single = not isinstance(templates, Mapping)
        self._options = ScoringOptions(**preparing)
        self._metric = self._options.metric
        self._prepared: list[PreparedTemplate] = [
            call_with_label(label, _prepare, template, named_masks.get(label), self._options, label)
            for label, template in named.items()
        ]

    def __repr__(self) -> str:
        shapes = (f"{each.label or 'template'} {each.shape}" for each in self._prepared)
        return f"Matcher({', '.join(shapes)}; {self._metric})"

    def score(
        self,
        image: ArrayLike,
        /,
        *,
        image_mask: ArrayLike | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> Scores | dict[str, Scores]:
        """Score how well the templates fit at every position in an image.

        Parameters
        ----------
        image, image_mask, workers, progress
            As in `match_template`.

        Returns
        -------
        array, or dict of str to array
            The score map; maps by label if the templates have labels. Of one precision, but in "single" the last
            digits may depend on which templates are sought together.

        Raises
        ------
        ValueError, TypeError
            As in `match_template`.

        Examples
        --------
        >>> import tmatch
        >>> tmatch.Matcher([1, 2]).score([0, 0, 0, 1, 3])
        array([0., 0., 1., 1.])
        """
        maps = score_maps(self._searches(image, image_mask), Work.of(workers, progress), validity=False)
        return maps[0].scores if self._single else {each.label: each.scores for each in maps}

    def locate(
        self,
        image: ArrayLike,
        /,
        *,
        false_alarms: float | None = None,
        threshold: float | None = None,
        max_count: int | None = None,
        max_overlap: float = 0.3,
        min_distance: int = 1,
        prefilter: Prefilter = "auto",
        image_mask: ArrayLike | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> list[Match]:
        """Find every place of an image where a template fits.

        Parameters
        ----------
        image, false_alarms, threshold, max_count, max_overlap, min_distance, prefilter, image_mask,
        workers, progress
            As in `locate`.

        Returns
        -------
        list of Match
            As from `locate`.

        Raises
        ------
        ValueError, TypeError
            As in `locate`.

        Examples
        --------
        >>>         >>> import tmatch
        >>> image = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
        >>> parts = {"left": image[20:30, 5:15], "right": image[40:50, 60:70]}
        >>> [match.label for match in tmatch.Matcher(parts).locate(image)]
        ['left', 'right']
        """
        check_decision(false_alarms, threshold, self._metric)
        ways = stages_of(prefilter, threshold, self._metric)
        check_count("min_distance", min_distance)
        non_max_suppression([], max_overlap=max_overlap, max_count=max_count)  # checks them before the work
        searches, work = self._searches(image, image_mask), Work.of(workers, progress)
        allowed = allowed_by(false_alarms, threshold)
        several = len(searches) > 1
        matches: dict[Match, float] = {}
        for n, way in enumerate(ways, 1):
            shares = len(searches) * way.shares
            rule = Criterion(threshold)
            if allowed is not None:
                rule = Criterion(None, allowed / shares, COPY_SCORE if several else math.inf)
            found = find_filtered(searches, way.how, rule, work.step(n, len(ways)))
            if several and allowed is not None:
                boxes = [_boxes(*each) for each in zip(self._prepared, searches, found, strict=True)]
                found = compete(boxes, found, rule, max_overlap)
            for each, search, peaks in zip(self._prepared, searches, found, strict=True):
                order = by_height(peaks.places, peaks.scores, min_distance)
                ordered = peaks.chosen(order)
                weights = evidence(ordered) if several else [0.0] * len(order)
                own = dict(zip(_with_false_alarms(each, search, ordered, shares), weights, strict=True))
                matches |= {
                    match: own[match] for match in non_max_suppression([*own], max_overlap=max_overlap)
                }
            if allowed is not None and way.first < 1:
                matches = accept_first_stage(matches, allowed, way.first)
            if matches:
                if n < len(ways):
                    work.finish()
                break
        # Where templates compete, a score of many pixels is worth more than the same one of few.
        best_first = sorted(matches, key=lambda m: (-matches[m], *order_of(m)))
        return sorted(keep_apart(best_first, max_overlap=max_overlap, max_count=max_count), key=order_of)

    def best(
        self,
        image: ArrayLike,
        /,
        *,
        image_mask: ArrayLike | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> Match:
        """Find the one place that fits best, however badly it does.

        Parameters
        ----------
        image, image_mask, workers, progress
            As in `match_template`.

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
        >>> tmatch.Matcher([[1, 2]]).best([[0, 1, 0, 0], [5, 9, 0, 3]]).box.start
        (0, 0)
        """
        searches = self._searches(image, image_mask)
        found = zip(self._prepared, searches, find_best(searches, Work.of(workers, progress)), strict=True)
        matches = [match for each in found for match in _with_false_alarms(*each, len(searches))]
        return non_max_suppression(matches, max_count=1)[0]

    def _searches(self, image: ArrayLike, image_mask: ArrayLike | None) -> list[Search]:
        """Pair an image with each template."""
        prepared = prepare_image(image, image_mask, self._options)
        return [call_with_label(each.label, pair, prepared, each) for each in self._prepared]


def map_scores(
    matcher: Matcher, image: ArrayLike, image_mask: ArrayLike | None, progress: Progress | None
) -> list[ScoreMap]:
    """Score all positions, and find which have a score; for heatmaps."""
    return score_maps(matcher._searches(image, image_mask), Work(None, progress))  # noqa: SLF001


def _prepare(
    template: ArrayLike, mask: ArrayLike | None, options: ScoringOptions, label: str
) -> PreparedTemplate:
    """Prepare a copy of a template."""
    own, own_mask = checked_copy("template", template), None if mask is None else checked_copy("mask", mask)
    return prepare_template(own, own_mask, options, label)


def _boxes(each: PreparedTemplate, search: Search, found: Candidates) -> list[Match]:
    """Make matches of places and scores."""
    pairs = zip(found.places.tolist(), found.scores.tolist(), strict=True)
    return [match_at(search, place, score, each.label) for place, score in pairs]


def _with_false_alarms(
    each: PreparedTemplate, search: Search, found: Candidates, shares: float
) -> list[Match]:
    """Make matches of what was found by one of so many ways."""
    matches = _boxes(each, search, found)
    if found.chance is None:
        return matches
    expected = found.chance.false_alarms(found.places, found.judged) * shares
    elsewhere = found.chance.cells.best_elsewhere(found.places).tolist()
    judged = found.judged.tolist()
    return [
        replace(
            match,
            false_alarms=float(f"{number:.3g}"),
            second_best=round(other / own, 4) if own > 0 else None,
        )
        for match, number, other, own in zip(matches, expected.tolist(), elsewhere, judged, strict=True)
    ]


def match_at(search: Search, place: tuple[int, ...], score: float, label: str) -> Match:
    """Make a match of a position on a score map."""
    return Match(search.box_at(place), score, label)
