"""Matcher: templates prepared once, for any number of images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Unpack

from numpy.typing import ArrayLike

from tmatch._arrays.options import Prefilter
from tmatch._detection.candidates import best_in_map, find_best
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.decide import TemplateCandidates, decide
from tmatch._detection.false_alarms import COPY_SCORE
from tmatch._engine.progress import Progress, Work
from tmatch._results.decisions import CandidateDecision
from tmatch._results.matches import Match, order_of
from tmatch._scoring.image import prepare_image
from tmatch._scoring.maps import Preparing, ScoreMap, Scores, score_maps
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.search import Search, pair
from tmatch._scoring.template import PreparedTemplate, prepare_template
from tmatch._search.competition import compete
from tmatch._search.options import Labelled, by_label, call_with_label, check_options, checked_copy
from tmatch._search.stages import StageResult, find_candidates, find_in_maps, score_all, stages_of


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
    >>> import numpy as np
    >>> import tmatch
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
        >>> import numpy as np
        >>> import tmatch
        >>> image = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
        >>> parts = {"left": image[20:30, 5:15], "right": image[40:50, 60:70]}
        >>> [match.label for match in tmatch.Matcher(parts).locate(image)]
        ['left', 'right']
        """
        criterion = Criterion.of(
            self._metric, false_alarms=false_alarms, threshold=threshold, max_count=max_count,
            max_overlap=max_overlap, min_distance=min_distance, prefilter=prefilter,
        )  # fmt: skip
        return self.search(
            image, criterion, image_mask=image_mask, workers=workers, progress=progress
        ).matches

    def search(
        self,
        image: ArrayLike,
        criterion: Criterion,
        /,
        *,
        keep: Literal["candidates", "maps", "peaks"] = "candidates",
        image_mask: ArrayLike | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> "SearchResult":
        """Find every place of an image where a template fits, with all that was found on the way.

        Parameters
        ----------
        image, image_mask, workers, progress
            As in `locate`.
        criterion : Criterion
            Which places are matches.
        keep : {"candidates", "maps", "peaks"}
            With "maps" and "peaks", score maps are made in double precision, and candidates found in them. "peaks"
            decides on all peaks of the maps, "maps" and "candidates" on those only that the criterion may accept.

        Returns
        -------
        SearchResult
            Matches, decisions on candidates, and, if they are kept, score maps.
        """
        searches, work = self._searches(image, image_mask), Work.of(workers, progress)
        stages, several = stages_of(criterion, self._metric), len(searches) > 1
        unscored = keep != "candidates" and stages[0].how != "none"  # then one more map is made
        n_steps = len(stages) + unscored
        maps = [] if keep == "candidates" else score_all(searches, work.step(1, n_steps))
        results: list[StageResult] = []
        for step, stage in enumerate(stages, 1 + unscored):
            n_tests = len(searches) * stage.n_tests
            rule = criterion.shared_by(n_tests, copy_score=COPY_SCORE if several else math.inf)
            part, own = work.step(step, n_steps), maps[:0]
            if keep == "candidates":
                peaks = find_candidates(searches, stage.how, rule, part)
            else:
                peaks, own = find_in_maps(maps, stage.how, None if keep == "peaks" else rule, part)
            pairs = zip(searches, peaks, strict=True)
            found = compete([TemplateCandidates(*each, n_tests, stage.how) for each in pairs], criterion)
            results.append(StageResult(stage, found, decide(found, criterion, first=stage.first), own))
            if results[-1].successful:
                break
        if len(results) < len(stages):
            work.finish()
        return SearchResult(searches, results, maps)

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
        return _best_of(searches, find_best(searches, Work.of(workers, progress)))

    def _searches(self, image: ArrayLike, image_mask: ArrayLike | None) -> list[Search]:
        """Pair an image with each template."""
        prepared = prepare_image(image, image_mask, self._options)
        return [call_with_label(each.label, pair, prepared, each) for each in self._prepared]


@dataclass(frozen=True)
class SearchResult:
    """What one search of an image has found, stage by stage; the last stage decides."""

    searches: list[Search]
    stages: list[StageResult]
    maps: list[ScoreMap]  # of the image as it is; empty if they were not kept

    @property
    def decisions(self) -> list[CandidateDecision]:
        """The decisions on the candidates of the last stage."""
        return self.stages[-1].decisions

    @property
    def matches(self) -> list[Match]:
        """The matches, best first."""
        return sorted((each.match for each in self.decisions if each.reported), key=order_of)

    def best(self, *, workers: int | None = None, progress: Progress | None = None) -> Match:
        """Find the best place as `Matcher.best` does: in the maps if they were kept, else all is scored again."""
        if self.maps:
            return _best_of(self.searches, [best_in_map(made) for made in self.maps])
        return _best_of(self.searches, find_best(self.searches, Work.of(workers, progress)))


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


def _best_of(searches: Sequence[Search], peaks: Sequence[Candidates]) -> Match:
    """Return the best of the best places of each template."""
    found = [TemplateCandidates(*each, n_tests=len(searches)) for each in zip(searches, peaks, strict=True)]
    return min((match for each in found for match in each.matches()), key=order_of)
