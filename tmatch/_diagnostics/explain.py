"""Why a place was reported or was not."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.options import Prefilter
from tmatch._arrays.typing import Array
from tmatch._diagnostics.variants import find_hints, variants_of
from tmatch._diagnostics.view import Deciding, View, heights_of, place_of
from tmatch._diagnostics.wording import describe_explanation
from tmatch._engine.progress import Progress, Work
from tmatch._filtering.noise import estimate_noise
from tmatch._results.boxes import Box
from tmatch._results.decisions import HOPELESS, PASSED, Decision, Place
from tmatch._results.explanation import Explanation
from tmatch._scoring.maps import Preparing, Scoring
from tmatch._search.locate import make_matcher
from tmatch._search.matcher import Matcher
from tmatch._search.stages import stages_of

_FEW = 64  # pixels of a masked template: smaller or turned, hardly any would be left
_BEST = 5  # places are told besides
_NEAR = 4  # a quarter of the template's side
_LONG = 10  # times as long as one search takes the one for other sizes and turns


def explain(
    image: ArrayLike,
    template: ArrayLike,
    /,
    *,
    at: Sequence[int] | None = None,
    false_alarms: float | None = None,
    threshold: float | None = None,
    max_count: int | None = None,
    max_overlap: float = 0.3,
    min_distance: int = 1,
    prefilter: Prefilter = "auto",
    mask: ArrayLike | None = None,
    **scoring: Unpack[Scoring],
) -> Explanation:
    """Tell why `locate` reports a place of an image, or why it does not.

    Parameters
    ----------
    image : array of real numbers, any dimension
        The array searched.
    template : array of real numbers
        The array sought.
    at : sequence of int, or None
        The first pixel of the window to be explained on each axis, (row, column) in 2-D. None: that of the best match,
        or, if nothing is found, of the place that came nearest to being one.
    false_alarms, threshold, max_count, max_overlap, min_distance, prefilter
        How it is decided what is a match, as in `locate`.
    mask : array of bool or of weights, or None
        The template's mask, see `match_template`.
    **scoring
        How fit is measured: `metric`, `image_mask`, `missing`, `min_overlap`, `output`, `channel_axis`,
        `channel_weights`, `channel_means`, `workers`, `progress` as in `match_template`.

    Returns
    -------
    Explanation
        What became of the place, and of a better peak near it; the best places; and, if what is sought is not found,
        whether it is in another size, turned or mirrored. All of it in words, too.

    Raises
    ------
    ValueError, TypeError
        As in `locate`; and if `at` is no place of an image with these axes, or there are several templates.

    See Also
    --------
    locate : what is explained.

    Notes
    -----
    Whole score maps are made. For the hints the template is tried at 0.5, 0.67, 0.75, 0.8, 0.9, 1.1, 1.25, 1.33, 1.5
    and 2 times its size, turned by 90, 180 and 270 degrees and mirrored both ways. A hint is what `locate` finds of
    all these together, if it has a higher score than the place, and a tenth of its false alarms or less.
    That takes two axes besides that of channels, and a metric for which it is known what chance gives.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
    >>> told = tmatch.explain(image, np.rot90(image[20:30, 40:52]))
    >>> told.reported, told.rule, told.turn_hint.turn, told.turn_hint.match.box.start
    (False, 'false alarms', 'turned 270', (20, 40))
    """
    if isinstance(template, Mapping):
        msg = f"`template` is a mapping with the labels {list(template)}; explain one template at a time"
        raise TypeError(msg)
    deciding = Deciding(false_alarms, threshold, max_count, max_overlap, min_distance, prefilter)
    matcher, of_image = make_matcher(template, mask, scoring)
    axis = scoring.get("channel_axis")
    asked = None if at is None else _checked(at, np.ndim(template) - (axis is not None))
    judge = _Judge(matcher, image, deciding, of_image)
    verdict = judge.about(judge.best_start() if asked is None else asked)
    peak = judge.nearest_peak(verdict) if asked is not None else None
    told = Explanation(
        **{field.name: getattr(verdict, field.name) for field in fields(verdict)},
        asked=asked is not None,
        allowed=deciding.allowed,
        threshold=None if threshold is None else float(threshold),
        nearest_peak=peak,
        matches=len(judge.matches),
        best=judge.best(verdict),
        noise=_noise_of(image, axis),
    )
    if (peak or verdict).rule not in PASSED and judge.metric.has_null_model:
        told = replace(told, **_hints_for(told, image, template, mask, scoring, judge))
    judge.steps.finish()
    return replace(told, text=describe_explanation(told))


class _Judge:
    """What `locate` reports of an image, and why; to be asked about places."""

    def __init__(
        self, matcher: Matcher, image: ArrayLike, deciding: Deciding, of_image: dict[str, Any]
    ) -> None:
        self.deciding, self.of_image = deciding, of_image
        workers, progress = of_image.get("workers"), of_image.get("progress")
        self.steps = _Steps(progress, total=4 + _LONG)
        self.matches = matcher.locate(image, **asdict(deciding), **(of_image | self.steps.take()))
        [search] = matcher._searches(image, of_image.get("image_mask"))  # noqa: SLF001
        self.metric, self._search = search.metric, search
        scores = heights_of(search, Work(workers, **self.steps.take()))
        self._views: list[View] = []
        for way in stages_of(deciding.prefilter, deciding.threshold, search.metric.name):
            self._views.append(View(search, scores, deciding, way, Work(workers, **self.steps.take())))
            if self._views[-1].found:  # then `locate` tries no other way
                break

    def about(self, start: Place, view: View | None = None) -> Decision:
        """Tell what became of a window by its first pixel, in the way in which it did best, unless one is named."""
        place = place_of(self._search, start)
        if not all(0 <= p < n for p, n in zip(place, self._search.map_shape, strict=True)):
            box = Box(start, self._search.template[0].shape)
            return Decision(box=box, reported=False, rule="outside", prefilter=self._views[0].way.how)
        for match in self.matches:
            if match.box.start == start:
                told = replace(
                    self._views[-1].judge(place), score=match.score, false_alarms=match.false_alarms
                )
                return replace(told, reported=True, rule="reported")
        return max((each.judge(place) for each in ([view] if view else self._views)), key=_success)

    def best_start(self) -> Place:
        """Give the first pixel of the best match; if there is none, of the place that came nearest to being one."""
        if self.matches:
            return self.matches[0].box.start
        nearest = [view.nearest() for view in self._views]
        starts = [self._start(place) for place in nearest if place is not None]
        first = self._start((0,) * len(self._search.map_shape))
        return max(starts, key=lambda start: _success(self.about(start)), default=first)

    def nearest_peak(self, verdict: Decision) -> Decision | None:
        """Tell what became of the best peak within a quarter of the template's side, if it is above this place."""
        if verdict.reported:
            return None
        reach = np.maximum(np.array(verdict.box.shape) // _NEAR, 1)
        place = place_of(self._search, verdict.box.start)
        peaks = [view.peak_near(place, reach) for view in self._views]
        return max((self.about(self._start(peak)) for peak in peaks if peak), key=_success, default=None)

    def best(self, verdict: Decision) -> tuple[Decision, ...]:
        """Tell what became of the best places, looked at in the way in which a place was judged."""
        view = next(view for view in self._views if view.way.how == verdict.prefilter)
        return tuple(self.about(view.box(place).start, view) for place in view.best(_BEST))

    def _start(self, place: Place) -> Place:
        return self._views[0].box(place).start


@dataclass
class _Steps:
    """Work that is done in steps, each of which tells its share."""

    progress: Progress | None
    total: int
    done: int = 0
    told: float = 0.0

    def take(self, count: int = 1) -> dict[str, Any]:
        """Give an option for the next steps."""
        first = self.done
        self.done += count
        if not callable(self.progress):
            return {"progress": self.progress}
        return {"progress": lambda share: self._tell((first + share * count) / self.total)}

    def finish(self) -> None:
        """Tell that all is done, if that was not told: some steps may not have been needed."""
        if self.progress is not None and self.told < 1:
            self._tell(1.0)

    def _tell(self, share: float) -> None:
        self.told = share
        cast("Progress", self.progress)(share)


def _success(verdict: Decision) -> tuple[int, float]:
    """Tell how near a place came to being reported. The hopeless ones are all alike."""
    passed = PASSED.index(verdict.rule) + 1 if verdict.rule in PASSED else 0
    expected = HOPELESS if verdict.false_alarms is None else verdict.false_alarms
    return passed, -min(expected, HOPELESS)


def _hints_for(
    told: Explanation,
    image: ArrayLike,
    template: ArrayLike,
    mask: ArrayLike | None,
    scoring: Scoring,
    judge: _Judge,
) -> dict[str, Any]:
    """Look for other sizes and turns that do better than a place."""
    axis = scoring.get("channel_axis")
    pixels, searched = _channels_last(template, axis), _channels_last(image, axis)
    if pixels.ndim - (axis is not None) != 2:
        return {}
    weights = None if mask is None else np.asarray(mask)
    if weights is not None and np.count_nonzero(weights) < _FEW:
        return {}
    if weights is not None and weights.ndim == pixels.ndim:
        weights = _channels_last(weights, axis)
    preparing = {name: value for name, value in scoring.items() if name in Preparing.__annotations__}
    preparing["channel_axis"] = None if axis is None else -1
    room = searched.shape if scoring.get("output", "valid") == "valid" else None
    options = cast("Preparing", preparing)
    changes = variants_of(pixels, weights, room, options)
    if not changes:
        return {}
    scale, turn = find_hints(
        searched, changes, told.nearest_peak or told, told.box if told.asked else None,
        prefilter=judge.deciding.prefilter, preparing=options, **(judge.of_image | judge.steps.take(_LONG)),
    )  # fmt: skip
    return {"scale_hint": scale, "turn_hint": turn, "tried": len(changes)}


def _channels_last(values: ArrayLike, axis: int | None) -> Array:
    array = np.asarray(values)
    return array if axis is None else np.moveaxis(array, axis, -1)


def _noise_of(image: ArrayLike, channel_axis: int | None) -> float | None:
    """Estimate the noise; None where pixels are missing, or too few."""
    try:
        return estimate_noise(image, channel_axis=channel_axis)
    except ValueError:
        return None


def _checked(at: Sequence[int], axes: int) -> Place:
    """Check a place that was asked for."""
    try:
        place = tuple(operator.index(number) for number in at)
    except TypeError:
        place = ()
    if len(place) != axes:
        what = ", (row, column)" if axes == 2 else ""
        msg = (
            f"`at` is {at!r}; it must be {axes} whole numbers: the first pixel of a window on each axis{what}"
        )
        raise ValueError(msg)
    return place
