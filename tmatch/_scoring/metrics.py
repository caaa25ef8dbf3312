"""What each metric is, and the options of scoring."""

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tmatch._arrays.options import Means, Metric, Missing, Output, Precision
from tmatch._arrays.validation import check_name

Invariance = Literal["each", "both", "none"]


@dataclass(frozen=True)
class MetricInfo:
    """What a metric is.

    Parameters
    ----------
    name : str
        The value of the option `metric`.
    centred : bool
        Means are subtracted from the window and from the template.
    normalised : bool
        Scores are divided by both norms; where one is 0 there is no score.
    offset, gain : {"each", "both", "none"}
        Whether an offset or a gain changes no score: one of the image or the template alone, the same one of both.
    bounds : (float, float)
        The lowest and the highest score that is possible.
    no_score : float
        The highest score that a position without a score is given.
    differences : bool
        Squared differences are summed instead of products.
    directions : bool
        Gradient directions are compared instead of values.
    has_null_model : bool
        Where the template is not, scores are distributed around 0.
    """

    name: Metric
    centred: bool = False
    normalised: bool = False
    offset: Invariance = "none"
    gain: Invariance = "none"
    bounds: tuple[float, float] = (-math.inf, math.inf)
    no_score: float = 0.0
    differences: bool = False
    directions: bool = False
    has_null_model: bool = False

    @property
    def bounded(self) -> bool:
        """Whether scores have a bound on either side."""
        return all(map(math.isfinite, self.bounds))


_UNIT, _AT_MOST_0 = (-1.0, 1.0), (-math.inf, 0.0)
METRICS: dict[str, MetricInfo] = {
    info.name: info
    for info in (
        MetricInfo(
            "zncc", centred=True, normalised=True, offset="each", gain="each", bounds=_UNIT, has_null_model=True
        ),
        MetricInfo("ncc", normalised=True, gain="each", bounds=_UNIT),
        MetricInfo("zcc", centred=True, offset="each"),
        MetricInfo("cc"),
        MetricInfo("ssd", offset="both", bounds=_AT_MOST_0, differences=True),
        MetricInfo("nssd", normalised=True, gain="both", bounds=_AT_MOST_0, no_score=-1.0, differences=True),
        MetricInfo(
            "orientation", normalised=True, offset="each", gain="each", bounds=_UNIT, directions=True,
            has_null_model=True,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class ScoringOptions:
    """The options of `match_template` that say how scores are defined; checked once."""

    metric: Metric = "zncc"
    missing: Missing = "refuse"
    min_overlap: float = 0.5
    output: Output = "valid"
    channel_axis: int | None = None
    channel_weights: Sequence[float] | None = None
    channel_means: Means = "separate"
    precision: Precision = "double"

    def __post_init__(self) -> None:
        check_name("metric", self.metric, Metric)
        check_name("missing", self.missing, Missing)
        check_name("output", self.output, Output)
        check_name("channel_means", self.channel_means, Means)
        check_name("precision", self.precision, Precision)
        if not isinstance(self.min_overlap, numbers.Real) or not 0 < self.min_overlap <= 1:
            msg = f"`min_overlap` is {self.min_overlap!r}; it must be above 0 and at most 1"
            raise ValueError(msg)

    @property
    def info(self) -> MetricInfo:
        """What the metric is."""
        return METRICS[self.metric]
