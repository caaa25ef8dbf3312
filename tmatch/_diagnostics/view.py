"""One way to look at an image, as it is or filtered: all its scores, and what `locate` finds that way."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tmatch._arrays.options import Prefilter
from tmatch._arrays.typing import Array
from tmatch._detection.criterion import Candidates, Criterion, allowed_by
from tmatch._detection.peaks import by_height, find_peaks
from tmatch._engine.numpy.maxima import shifts
from tmatch._engine.progress import Work
from tmatch._results.boxes import Box, iou
from tmatch._results.decisions import HOPELESS, Decision, Place, Reason
from tmatch._results.matches import Match, order_of, stronger
from tmatch._scoring.maps import score_maps
from tmatch._scoring.search import Search
from tmatch._search.matcher import match_at
from tmatch._search.prefilter import filtered
from tmatch._search.stages import Stage, find_filtered


@dataclass(frozen=True)
class Deciding:
    """The options of `locate` that say which places are matches."""

    false_alarms: float | None
    threshold: float | None
    max_count: int | None
    max_overlap: float
    min_distance: int
    prefilter: Prefilter

    @property
    def allowed(self) -> float | None:
        """The false alarms that are allowed; None if a threshold decides."""
        return allowed_by(self.false_alarms, self.threshold)


class View:
    """One way to look at an image.

    Parameters
    ----------
    search : Search
        The image and the template as they are.
    scores : array
        Their score map; minus infinity where there is no score.
    deciding : Deciding
        How it is decided.
    way : Way
        How to look.
    work : Work
        On how many threads, and whom to tell.
    """

    def __init__(self, search: Search, scores: Array, deciding: Deciding, way: Stage, work: Work) -> None:
        self._search, self._scores, self._deciding, self.way = search, scores, deciding, way
        allowed = deciding.allowed
        self._rule = (
            Criterion(deciding.threshold) if allowed is None else Criterion(None, allowed / way.shares)
        )
        [found] = find_filtered([search], way.how, self._rule, work)
        self.chance, self._least = found.chance, 0.0
        self.heights = scores if way.how == "none" else _filtered_heights(search, way.how, work.workers)
        self._take(found)
        if allowed is not None and way.first < 1:
            left = [place_of(search, start) for start in self._numbers]
            least = self._expected(np.array(left) if left else self.peaks).min(initial=np.inf)
            self._least = least / way.first
            if self._least > allowed:  # then the next way is tried, and nothing counts as found
                self._take(found.chosen(np.zeros(0, np.intp)))
                self._rule = Criterion(None, allowed * way.first)

    def _take(self, found: Candidates) -> None:
        """Take something for found: let it suppress each other, and number what is left from 1, by its start."""
        search, deciding = self._search, self._deciding
        self.found = {tuple(place): i for i, place in enumerate(found.places.tolist())}
        self._found_scores, self._found_judged = found.scores.tolist(), found.judged.tolist()
        order = by_height(found.places, found.scores, deciding.min_distance).tolist()
        apart = [match_at(search, tuple(found.places[i].tolist()), found.scores[i], "") for i in order]
        self._apart = sorted(apart, key=order_of)
        by = stronger(self._apart, deciding.max_overlap)
        self._beaten_by = {match.box.start: other for match, other in zip(self._apart, by, strict=True)}
        left = (start for start, other in self._beaten_by.items() if other is None)
        self._numbers = {start: number for number, start in enumerate(left, 1)}

    @cached_property
    def peaks(self) -> NDArray[np.intp]:
        """All places of the map that no neighbour is above, best first."""
        return find_peaks(self.heights)

    @cached_property
    def _ranks(self) -> dict[Place, int]:
        return {tuple(place): rank for rank, place in enumerate(self.peaks.tolist(), 1)}

    def _expected(self, places: NDArray[np.intp]) -> NDArray[np.float64]:
        """Tell how many peaks as good as some chance would give in one such way."""
        if self.chance is None or not len(places):
            return np.empty(0)
        judged = self.heights[tuple(places.T)]
        return self.chance.false_alarms(places, judged)

    def box(self, place: Place) -> Box:
        """Give the window at a place."""
        return match_at(self._search, place, 0.0, "").box

    def match(self, place: Place) -> Match:
        """Make a match of any place that has a score."""
        known, chance = self.found.get(place), self.chance
        score, judged = float(self._scores[place]), float(self.heights[place])
        if known is not None:
            score, judged = self._found_scores[known], self._found_judged[known]
        if score == -np.inf:  # only the filtered pictures have one
            score = 0.0
        if chance is None:
            return Match(self.box(place), score)
        expected = float(chance.false_alarms([place], [judged])[0]) * self.way.shares
        expected = float(f"{max(expected, self._least):.3g}")
        second = (
            round(float(chance.cells.best_elsewhere(np.array([place]))[0]) / judged, 4)
            if judged > 0
            else None
        )
        return Match(self.box(place), score, false_alarms=expected, second_best=second)

    def best(self, count: int) -> list[Place]:
        """Give the best peaks that do not overlap each other too much."""
        kept: list[tuple[Place, Box]] = []
        for place in map(tuple, self.peaks.tolist()):
            box = self.box(place)
            if all(iou(box, other) <= self._deciding.max_overlap for _, other in kept):
                kept.append((place, box))
            if len(kept) == count:
                break
        return [place for place, _ in kept]

    def nearest(self) -> Place | None:
        """Give the peak that came nearest to being enough: the best one, if all are hopeless. None if there is none."""
        if not len(self.peaks):
            return None
        first = 0
        if self.chance is not None and self._deciding.allowed is not None:
            first = int(np.minimum(self._expected(self.peaks) * self.way.shares, HOPELESS).argmin())
        return tuple(self.peaks[first].tolist())

    def peak_near(self, place: Place, reach: NDArray[np.intp]) -> Place | None:
        """Give the best peak so near; None if it is not above this place."""
        near = self.peaks[(np.abs(self.peaks - place) <= reach).all(axis=1)]
        if not len(near) or (near[0] == place).all():
            return None
        peak = tuple(near[0].tolist())
        inside = all(0 <= p < n for p, n in zip(place, self.heights.shape, strict=True))
        here = self.heights[place] if inside else -np.inf
        level = inside and self.heights[peak] == here and place in self._ranks
        return peak if self.heights[peak] >= here and not level else None

    def judge(self, place: Place) -> Decision:
        """Tell what became of a place of the map, as far as this way goes: "count" may as well be reported."""
        box = self.box(place)
        least = self._least_score(place)
        if self.heights[place] == -np.inf and place not in self.found:
            seen, enough = _seen(self._search, place)
            return Decision(
                box=box, reported=False, rule="no score", prefilter=self.way.how, least_score=least, seen=seen,
                lacks="contrast" if enough else "overlap",
            )  # fmt: skip
        match = self.match(place)
        rule, other = self._rule_of(place, box)
        return Decision(
            box=box,
            reported=False,
            rule=rule,
            score=match.score,
            filtered_score=None if self.way.how == "none" else float(self.heights[place]),
            prefilter=self.way.how,
            rank=self._ranks.get(place),
            number=self._numbers.get(box.start),
            false_alarms=match.false_alarms,
            least_score=least,
            higher=other if rule == "not a peak" else None,
            removed_by=other if rule in ("distance", "overlap") else None,
            iou=iou(box, other.box) if other is not None and rule == "overlap" else None,
        )

    def _rule_of(self, place: Place, box: Box) -> tuple[Reason, Match | None]:
        """Give the first rule that leaves a place out, and the place that is better."""
        if place not in self.found:
            if place not in self._ranks:
                return "not a peak", self._highest_neighbour(place)
            if self._is_unlike(place):
                return "unlike", None
            return ("threshold" if self._deciding.allowed is None else "false alarms"), None
        if box.start not in self._beaten_by:
            near = (m for m in self._apart if _distance(m.box, box) < self._deciding.min_distance)
            return "distance", self._told(next(near))
        by = self._beaten_by[box.start]
        return ("count", None) if by is None else ("overlap", self._told(by))

    def _is_unlike(self, place: Place) -> bool:
        """Tell whether a peak is good enough in the filtered pictures, but not at all like the template before."""
        share = self._rule.false_alarms
        if self.way.how == "none" or share is None or self._scores[place] > 0:
            return False
        return bool(self._expected(np.array([place]))[0] <= share)

    def _told(self, match: Match) -> Match:
        """Add to a match how it is judged."""
        return self.match(place_of(self._search, match.box.start))

    def _highest_neighbour(self, place: Place) -> Match:
        near = place + shifts(len(place))
        near = near[((near >= 0) & (near < self.heights.shape)).all(axis=1)]
        return self.match(tuple(near[self.heights[tuple(near.T)].argmax()].tolist()))

    def _least_score(self, place: Place) -> float | None:
        """Give the score that is enough at a place."""
        chance, share = self.chance, self._rule.false_alarms
        if chance is None or share is None:
            return self._rule.threshold
        return float(chance.least_scores(share)[chance.cells.of(np.array([place]))][0])


def place_of(search: Search, start: Place) -> Place:
    """Give the place on the score map of a window by its first pixel."""
    return search.position_of(start)


def heights_of(search: Search, work: Work) -> Array:
    """Score all places; minus infinity where there is no score."""
    return score_maps([search], work)[0].masked_scores


def _filtered_heights(search: Search, how: Prefilter, workers: int | None) -> Array:
    [prepared] = filtered([search], how)
    if not any(np.ptp(channel) for channel in prepared.template):  # nothing is left to be compared
        return np.full(search.map_shape, -np.inf)
    return heights_of(prepared, Work(workers))


def _seen(search: Search, place: Place) -> tuple[float, bool]:
    """Tell how much of the template's weight lies on existing pixels, a share of it, and whether that is enough."""
    _, there = search.read(
        tuple(slice(p, p + n) for p, n in zip(place, search.template[0].shape, strict=True))
    )
    if there is None:
        return 1.0, True
    weight = float(sum(np.sum(w * there, dtype=np.float64) for w in search.weights))
    return weight / search.total, weight >= search.least


def _distance(a: Box, b: Box) -> int:
    return max(abs(s - t) for s, t in zip(a.start, b.start, strict=True))
