"""A search: an image and a template, checked and split into channels."""

import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tmatch._arrays.channels import split_channels
from tmatch._arrays.finite import check_finite
from tmatch._arrays.options import Means, Metric, Missing, Output, Precision
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._arrays.validation import check_name
from tmatch._scoring.image import check_pair, scale_together, subtract_common_offset, valid_pixels
from tmatch._scoring.metrics import BOUNDED, CENTRED, NORMALISED, normalise_weights
from tmatch._scoring.orientation import image_directions, template_directions
from tmatch._scoring.template import template_weights

PASSES = 100  # over a tile, that its scores cost about
TRUSTED_SINGLE = 8e-5  # scores in single precision that may be off by more are done in double
_EPS_SINGLE = float(np.finfo(np.float32).eps)
_MAX_CACHED = 4  # things made of one template: they can be as large as a tile


@dataclass(frozen=True)
class Search:
    """An image and a template, checked and taken apart into channels.

    `exists` says which pixels of the image there are, None for all. `weights` are those of the template's pixels, for
    each channel; `least` of their sum has to be seen. `margins` say how far windows reach beyond the image; no pixel
    exists there. With `centred`, values are taken about their mean over the window, of each channel or, if `joint`,
    of all. With `differs`, sums of squared differences are wanted. `scale_free` scores stay the same when an image or
    a template is multiplied by a number. With `single`, products go through transforms in single precision where that
    is good enough. `memory` is for what is made of the template alone; it outlives the search if its caller keeps it.
    """

    metric: str
    image: list[Array]
    exists: Array | None
    template: list[Array]
    weights: list[Array]
    margins: list[tuple[int, int]]
    least: float
    centred: bool
    joint: bool
    differs: bool
    scale_free: bool
    single: bool
    memory: dict[Any, Any]

    @cached_property
    def shape(self) -> Shape:
        """Shape of the image with its margins."""
        return PaddedImage(self.image[0], self.margins).shape

    @cached_property
    def total(self) -> float:
        """Weight of the whole template."""
        return float(sum(np.sum(w, dtype=np.float64) for w in self.weights))

    def remember(self, key: Any, make: Callable[[], Any]) -> Any:
        """Give what was made of the template before, or make it."""
        try:
            return self.memory[key]
        except KeyError:
            made = make()
            if len(self.memory) >= _MAX_CACHED:
                self.memory.clear()
            self.memory[key] = made
            return made

    def read(self, region: Region) -> tuple[list[Array], Array | None]:
        """Read a tile: its channels, 0 where no pixel exists, and where one does; None for everywhere."""
        there: Array | None = None
        if self.exists is not None or any(map(any, self.margins)):
            exists = np.broadcast_to(True, self.image[0].shape) if self.exists is None else self.exists  # noqa: FBT003
            there = PaddedImage(exists, self.margins).read(region, np.dtype(bool))
            there = None if there.all() else there
        native = self.image[0].dtype.newbyteorder("=")
        tiles = [PaddedImage(channel, self.margins).read(region, native) for channel in self.image]
        if there is not None:
            for tile in tiles:
                tile[~there] = 0
        corner = [part.start - before for part, (before, _) in zip(region, self.margins, strict=True)]
        check_finite("image", tiles, corner)
        return tiles, there

    def groups(self, values: list[Any]) -> list[Any]:
        """Add up what has one mean."""
        return [sum(values[1:], values[0])] if self.joint else values


def single_error(lines: float) -> float:
    """Estimate the largest error of a correlation by transforms in single precision.

    It grows with the largest norm of a row or a column, of tile (times the template's norm) and result (also where it
    wraps round): where rows are alike so are their errors, which then add up. Measured over drawn and made-up pictures:
    at most 3.3 times.
    """
    return 8 * _EPS_SINGLE * lines


_ROUNDING = 1e-9  # an overlap this much below the least one still counts


def make_search(
    image: ArrayLike,
    template: ArrayLike,
    *,
    metric: Metric = "zncc",
    mask: ArrayLike | None = None,
    image_mask: ArrayLike | None = None,
    missing: Missing = "refuse",
    min_overlap: float = 0.5,
    output: Output = "valid",
    channel_axis: int | None = None,
    channel_weights: Sequence[float] | None = None,
    channel_means: Means = "separate",
    precision: Precision = "double",
    memory: dict[Any, Any] | None = None,
) -> Search:
    """Check everything and take it apart into channels."""
    for option, value, known in (
        ("metric", metric, Metric),
        ("missing", missing, Missing),
        ("output", output, Output),
        ("channel_means", channel_means, Means),
        ("precision", precision, Precision),
    ):
        check_name(option, value, known)
    if not isinstance(min_overlap, numbers.Real) or not 0 < min_overlap <= 1:
        msg = f"`min_overlap` is {min_overlap!r}; it must be above 0 and at most 1"
        raise ValueError(msg)
    planes, sought = (
        split_channels("image", image, channel_axis),
        split_channels("template", template, channel_axis),
    )
    check_pair(planes, sought, output)
    weights = template_weights(mask, sought, channel_axis, channel_weights)
    planes, sought = subtract_common_offset(planes, sought, metric)
    if metric == "nssd":
        planes, sought = scale_together(planes, sought)
    sought = [
        t if w.all() else np.where(w > 0, t, t.dtype.type(0)) for t, w in zip(sought, weights, strict=True)
    ]
    check_finite("template", sought)
    exists = valid_pixels(planes, image_mask, missing)
    if metric == "orientation":
        reach = np.ones(planes[0].shape, bool) if exists is None and output != "valid" else exists
        planes, exists = image_directions(planes, reach, border=output != "valid")
        sought, weights = template_directions(sought, weights)
    if metric in NORMALISED:
        weights = normalise_weights(weights)
    total = float(sum(w.sum(dtype=np.float64) for w in weights))
    sides = sought[0].shape
    margins = {
        "valid": [(0, 0) for _ in sides],
        "same": [(n // 2, n - 1 - n // 2) for n in sides],
        "full": [(n - 1, n - 1) for n in sides],
    }[output]
    joint = channel_means == "joint" and len(planes) > 1
    search = Search(
        metric, planes, exists, sought, weights, margins, least=total * min_overlap * (1 - _ROUNDING),
        centred=metric in CENTRED, joint=joint and metric in CENTRED, differs=metric in ("ssd", "nssd"),
        scale_free=metric in BOUNDED,
        single=precision == "single", memory={} if memory is None else memory,
    )  # fmt: skip
    # A template made ready was checked then, but one of "nssd" is scaled with each image.
    if memory is None or metric == "nssd":
        _check_contrast(search, metric)
    return search


def _check_contrast(search: Search, metric: Metric) -> None:
    """Refuse a template that has nothing the metric could compare."""
    counted = [t[w > 0] for t, w in zip(search.template, search.weights, strict=True) if w.any()]
    if metric == "zncc":
        if search.joint:
            counted = [np.concatenate(counted)]
        if all((t == t[0]).all() for t in counted):
            where = "" if all(w.all() for w in search.weights) else " where its mask counts"
            msg = f"`template` is constant{where}: every window would fit as well; use one with some contrast"
            raise ValueError(msg)
    elif metric in NORMALISED and not any(t.any() for t in counted):
        what = "no gradient" if metric == "orientation" else "no pixel that is not 0"
        msg = f'`template` has {what} where its mask counts, and "{metric}" compares nothing else; use another one'
        raise ValueError(msg)
