"""Matcher: templates prepared once, for any number of images."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tmatch._arrays.options import Prefilter
from tmatch._detection.candidates import find_best, null_of_map
from tmatch._detection.criterion import Candidates, Criterion
from tmatch._detection.decide import TemplateCandidates, decide
from tmatch._detection.false_alarms import COPY_SCORE
from tmatch._engine.progress import Progress, Work
from tmatch._results.boxes import Box
from tmatch._results.decisions import CandidateDecision, Place
from tmatch._results.matches import Match, order_of
from tmatch._scoring.maps import Preparing, Scores, empty_map, fill_maps
from tmatch._scoring.search import Search, make_search
from tmatch._search.competition import compete
from tmatch._search.options import Labelled, by_label, call_with_label, check_options, checked_copy
from tmatch._search.stages import (
    PlainMap,
    StageResult,
    find_candidates,
    find_in_maps,
    score_all,
    stages_of,
)


class Matcher:
    """One template or several, made ready to be sought in any number of images.

    What is made of a template, its spectra and norms, is kept for images of sizes that were seen before. What is
    made of an image is shared by all templates. The results are those of `match_template` and `locate`.

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
        told = {} if masks is None else by_label(masks, "masks", named)
        self._single = not isinstance(templates, Mapping)
        self._options = copy.deepcopy(preparing)
        self._metric = preparing.get("metric", "zncc")
        self._prepared = [
            call_with_label(label, _prepare, label, template, told.get(label), preparing)
            for label, template in named.items()
        ]

    def __repr__(self) -> str:
        shapes = (f"{each.label or 'template'} {each.template.shape}" for each in self._prepared)
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
        """Score how well the templates fit at every place of an image.

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
        searches = self._searches(image, image_mask)
        maps = [empty_map(search) for search in searches]
        fill_maps(searches, maps, [None] * len(maps), Work.of(workers, progress))
        labels = (each.label for each in self._prepared)
        return maps[0] if self._single else dict(zip(labels, maps, strict=True))

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
                peaks, own = find_in_maps(searches, maps, stage.how, None if keep == "peaks" else rule, part)
            found = compete(self._with_labels(searches, peaks, n_tests, stage.how), criterion)
            results.append(StageResult(stage, found, decide(found, criterion, first=stage.first), own))
            if results[-1].successful:
                break
        if len(results) < len(stages):
            work.finish()
        return SearchResult(self, searches, results, maps)

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
        return self._best_of(searches, find_best(searches, Work.of(workers, progress)))

    def _best_of(self, searches: Sequence[Search], peaks: Sequence[Candidates]) -> Match:
        """Return the best of the best places of each template."""
        found = self._with_labels(searches, peaks, len(searches), "none")
        return min((match for each in found for match in each.matches()), key=order_of)

    def _with_labels(
        self, searches: Sequence[Search], peaks: Sequence[Candidates], n_tests: float, how: Prefilter
    ) -> list[TemplateCandidates]:
        """Add to candidates what makes matches of them."""
        parts = zip(self._prepared, searches, peaks, strict=True)
        return [
            TemplateCandidates(each.label, first_of(search), search.template[0].shape, own, n_tests, how)
            for each, search, own in parts
        ]

    def _searches(self, image: ArrayLike, image_mask: ArrayLike | None) -> list[Search]:
        return [
            call_with_label(
                each.label, make_search, image, each.template, mask=each.mask, image_mask=image_mask,
                memory=each.memory, **self._options,
            )
            for each in self._prepared
        ]  # fmt: skip


@dataclass(frozen=True)
class ScoreMap:
    """The scores of one template, and which of them are valid."""

    label: str
    search: Search
    scores: Scores
    valid: NDArray[np.bool_]

    @property
    def first(self) -> tuple[int, ...]:
        """The first pixel of the first window."""
        return first_of(self.search)

    @property
    def heights(self) -> Scores:
        """The scores; minus infinity where there is none."""
        return np.where(self.valid, self.scores, -np.inf)

    @property
    def best_place(self) -> Place:
        """The place with the highest score, the first of equal ones."""
        masked = self.heights if self.valid.any() else self.scores
        return tuple(int(i) for i in np.unravel_index(masked.argmax(), masked.shape))

    @property
    def best(self) -> Match:
        """A match at the place with the highest score, the first of equal ones."""
        start = tuple(p + f for p, f in zip(self.best_place, self.first, strict=True))
        return Match(
            Box(start, self.search.template[0].shape), float(self.scores[self.best_place]), self.label
        )


@dataclass(frozen=True)
class SearchResult:
    """What one search of an image has found, stage by stage; the last stage decides."""

    matcher: Matcher
    searches: list[Search]
    stages: list[StageResult]
    plain_maps: list[PlainMap]

    @property
    def decisions(self) -> list[CandidateDecision]:
        """The decisions on the candidates of the last stage."""
        return self.stages[-1].decisions

    @property
    def matches(self) -> list[Match]:
        """The matches, best first."""
        return sorted((each.match for each in self.decisions if each.reported), key=order_of)

    @property
    def maps(self) -> list[ScoreMap]:
        """The score maps of the image as it is; empty if they were not kept."""
        labels = (each.label for each in self.matcher._prepared)  # noqa: SLF001
        parts = zip(labels, self.searches, self.plain_maps, strict=False)
        return [ScoreMap(label, search, made.scores, made.valid) for label, search, made in parts]

    def best(self, progress: Progress | None = None, workers: int | None = None) -> Match:
        """Find the best place as `Matcher.best` does: in the maps if they were kept, else all is scored again."""
        peaks = [_best_in_map(each) for each in self.maps]
        peaks = peaks or find_best(self.searches, Work.of(workers, progress))
        return self.matcher._best_of(self.searches, peaks)  # noqa: SLF001


@dataclass(frozen=True)
class _PreparedTemplate:
    """A template, and what was made of it."""

    label: str
    template: NDArray[Any]
    mask: NDArray[Any] | None
    memory: dict[Any, Any]


def score_with_validity(
    matcher: Matcher, image: ArrayLike, image_mask: ArrayLike | None, progress: Progress | None
) -> list[ScoreMap]:
    """Score all places, and say which have a score; for heatmaps."""
    searches = matcher._searches(image, image_mask)  # noqa: SLF001
    maps = [empty_map(search) for search in searches]
    valid = [np.empty(m.shape, bool) for m in maps]
    fill_maps(searches, maps, valid, Work(None, progress))
    parts = zip(matcher._prepared, searches, maps, valid, strict=True)  # noqa: SLF001
    return [ScoreMap(each.label, search, scores, v) for each, search, scores, v in parts]


def _prepare(
    label: str, template: ArrayLike, mask: ArrayLike | None, preparing: Preparing
) -> _PreparedTemplate:
    """Copy a template, and refuse one that cannot be sought in an empty image as large as itself."""
    own, own_mask = checked_copy("template", template), None if mask is None else checked_copy("mask", mask)
    make_search(np.zeros([max(n, 1) for n in own.shape or (1,)]), own, mask=own_mask, **preparing)
    return _PreparedTemplate(label, own, own_mask, {})


def _best_in_map(scored: ScoreMap) -> Candidates:
    null = null_of_map(scored.scores, scored.valid, scored.search)
    place = scored.best_place
    return Candidates(np.array([place], np.intp), np.array([float(scored.scores[place])]), null)


def first_of(search: Search) -> Place:
    """Return the first pixel of the first window of a score map."""
    return tuple(-before for before, _ in search.margins)
