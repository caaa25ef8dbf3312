"""Why a position was reported or was not."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Unpack, cast

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.arithmetic import own_errstate
from tmatch._arrays.channels import channels_last
from tmatch._arrays.options import Prefilter
from tmatch._detection.criterion import Criterion
from tmatch._diagnostics.records import StageRecords
from tmatch._diagnostics.variants import Scene, prepare_variants, variants_of
from tmatch._diagnostics.wording import describe_explanation
from tmatch._engine.progress import Resources
from tmatch._filtering.noise import estimate_noise
from tmatch._results.decisions import MANY, PASSED, Decision, Position
from tmatch._results.explanation import Explanation
from tmatch._scoring.maps import Preparing, Scoring
from tmatch._scoring.metrics import METRICS
from tmatch._search.locate import make_matcher
from tmatch._search.matcher import searches_of
from tmatch._search.recipe import SearchResult, search

_FEW = 64  # pixels of a masked template: of fewer, hardly any are left at half the size
_BEST = 5  # positions are described besides
_NEAR = 4  # a quarter of the template's side


@own_errstate
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
    """Explain why `locate` reports a position of an image, or why it does not.

    Parameters
    ----------
    image : array of real numbers, any dimension
        The array searched.
    template : array of real numbers
        The array sought.
    at : sequence of int, or None
        The first pixel of the window to be explained on each axis, (row, column) in 2-D. None: that of the best match,
        or, if nothing is found, of the position that came nearest to acceptance.
    false_alarms, threshold, max_count, max_overlap, min_distance, prefilter
        Which positions are matches, as in `locate`.
    mask : array of bool or of weights, or None
        The template's mask, see `match_template`.
    **scoring
        How fit is measured: `metric`, `image_mask`, `missing`, `min_overlap`, `output`, `channel_axis`,
        `channel_weights`, `channel_means`, `workers`, `progress` as in `match_template`.

    Returns
    -------
    Explanation
        What was decided about the position, and about a better peak near it; the best positions; and, if the template
        is not found, whether it is in another size, rotated or flipped. All of it in words, too.

    Raises
    ------
    ValueError, TypeError
        As in `locate`; and if `at` is no position of an image with these axes, or there are several templates.

    See Also
    --------
    locate : what is explained.

    Notes
    -----
    Whole score maps are made, one for each stage of the search, and the null distribution is estimated from them in
    double precision: the third digit of false alarms may differ from that of `locate`.

    For the hints the template is searched for at 0.5, 0.67, 0.75, 0.8, 0.9, 1.1, 1.25, 1.33, 1.5 and 2 times its size,
    rotated by 90, 180 and 270 degrees and flipped both ways, all together and unfiltered. Large templates and the image
    are first reduced by block means, by 2 or 4 such that 12 pixels are left of the smallest side; the best positions
    are then scored at full resolution. A hint is what `locate` would find of all these together, if it has a higher
    score than the position, and a tenth of its false alarms or less. That takes two axes besides that of channels, and
    a metric for which false alarms can be estimated.

    Examples
    --------
    >>> import numpy as np
    >>> import tmatch
    >>> image = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
    >>> explanation = tmatch.explain(image, np.rot90(image[20:30, 40:52]))
    >>> explanation.reported, explanation.rule, explanation.turn_hint.turn, explanation.turn_hint.match.box.start
    (False, 'false alarms', 'turned 270', (20, 40))
    """
    if isinstance(template, Mapping):
        msg = f"`template` is a mapping with the labels {list(template)}; explain one template at a time"
        raise TypeError(msg)
    matcher, of_image = make_matcher(template, mask, scoring)
    axis, metric = scoring.get("channel_axis"), scoring.get("metric", "zncc")
    asked = None if at is None else _checked(at, np.ndim(template) - (axis is not None))
    criterion = Criterion.of(
        metric, false_alarms=false_alarms, threshold=threshold, max_count=max_count, max_overlap=max_overlap,
        min_distance=min_distance, prefilter=prefilter,
    )  # fmt: skip
    resources = Resources.of(of_image.get("workers"), of_image.get("progress"))
    searching, hinting = resources.split(2)
    searches = searches_of(matcher, image, of_image.get("image_mask"))
    records = _Records(search(searches, criterion, searching, keep="peaks"), criterion)
    decision = records.about(records.best_start() if asked is None else asked)
    peak = records.nearest_peak(decision) if asked is not None else None
    explanation = Explanation(
        **{field.name: getattr(decision, field.name) for field in fields(decision)},
        asked=asked is not None,
        allowed=criterion.false_alarms,
        threshold=None if threshold is None else float(threshold),
        nearest_peak=peak,
        matches=records.n_matches,
        best=records.best(decision),
        noise=_noise_of(image, axis),
    )
    hints: dict[str, Any] = {}
    if (peak or decision).rule not in PASSED and METRICS[metric].has_null_model:
        hints = _hints_for(explanation, image, template, mask, scoring, hinting)
    if not hints:
        resources.progress.finish()
    explanation = replace(explanation, **hints)
    return replace(explanation, text=describe_explanation(explanation))


class _Records:
    """Decisions of all stages of a search, looked up by position."""

    def __init__(self, result: SearchResult, criterion: Criterion) -> None:
        [scores] = result.maps
        self._stages = [StageRecords(scores, stage, criterion) for stage in result.stages]
        self._matches, self.n_matches = [match.box.start for match in result.matches], len(result.matches)

    def about(self, start: Position, stage: StageRecords | None = None) -> Decision:
        """Look up a window by its first pixel, in one stage or in that in which it did best."""
        if start in self._matches:
            return self._stages[-1].about(start)
        return max((each.about(start) for each in ([stage] if stage else self._stages)), key=_success)

    def best_start(self) -> Position:
        """Find the first pixel of the best match, or of the position that came nearest to acceptance."""
        if self._matches:
            return self._matches[0]
        nearest = [(stage, stage.nearest()) for stage in self._stages]
        starts = [stage.box(position).start for stage, position in nearest if position is not None]
        return max(starts, key=lambda start: _success(self.about(start)), default=self._stages[0].first)

    def nearest_peak(self, decision: Decision) -> Decision | None:
        """Look up the best peak within a quarter of the template's side, if it is above this position."""
        if decision.reported:
            return None
        reach = np.maximum(np.array(decision.box.shape) // _NEAR, 1)
        peaks = [
            (stage, stage.peak_near(stage.position(decision.box.start), reach)) for stage in self._stages
        ]
        found = [self.about(stage.box(peak).start) for stage, peak in peaks if peak is not None]
        return max(found, key=_success, default=None)

    def best(self, decision: Decision) -> tuple[Decision, ...]:
        """Look up the best positions of the stage in which a position did best."""
        stage = next(stage for stage in self._stages if stage.how == decision.prefilter)
        return tuple(self.about(box.start, stage) for box in stage.best(_BEST))


def _success(decision: Decision) -> tuple[int, float]:
    """Rank a position by how close it came to acceptance; all with many false alarms are equal."""
    passed = PASSED.index(decision.rule) + 1 if decision.rule in PASSED else 0
    expected = MANY if decision.false_alarms is None else decision.false_alarms
    return passed, -min(expected, MANY)


def _hints_for(
    explanation: Explanation,
    image: ArrayLike,
    template: ArrayLike,
    mask: ArrayLike | None,
    scoring: Scoring,
    resources: Resources,
) -> dict[str, Any]:
    """Search for the template in other sizes, rotated and flipped, that does better than a position."""
    axis = scoring.get("channel_axis")
    pixels, searched = channels_last(np.asarray(template), axis), channels_last(np.asarray(image), axis)
    if pixels.ndim - (axis is not None) != 2:
        return {}
    weights = None if mask is None else np.asarray(mask)
    if weights is not None and np.count_nonzero(weights) < _FEW:
        return {}
    if weights is not None and weights.ndim == pixels.ndim:
        weights = channels_last(weights, axis)
    options = {name: value for name, value in scoring.items() if name in Preparing.__annotations__}
    options["channel_axis"] = None if axis is None else -1
    preparing = cast("Preparing", options)
    image_mask = scoring.get("image_mask")
    scene = Scene(searched, None if image_mask is None else np.asarray(image_mask))
    variants = prepare_variants(
        scene, variants_of(pixels, weights, scene, scoring.get("output", "valid")), preparing
    )
    if variants is None:
        return {}
    scale, turn = variants.find_hints(
        explanation.nearest_peak or explanation, explanation.box if explanation.asked else None, resources
    )
    return {"scale_hint": scale, "turn_hint": turn, "tried": len(variants.variants)}


def _noise_of(image: ArrayLike, channel_axis: int | None) -> float | None:
    """Estimate the noise; None where pixels are missing, or too few."""
    try:
        return estimate_noise(image, channel_axis=channel_axis)
    except ValueError:
        return None


def _checked(at: Sequence[int], axes: int) -> Position:
    """Check the position that is to be explained."""
    try:
        position = tuple(operator.index(number) for number in at)
    except TypeError:
        position = ()
    if len(position) != axes:
        what = ", (row, column)" if axes == 2 else ""
        msg = (
            f"`at` is {at!r}; it must be {axes} whole numbers: the first pixel of a window on each axis{what}"
        )
        raise ValueError(msg)
    return position
