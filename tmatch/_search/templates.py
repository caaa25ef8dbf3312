"""The templates of a matcher, prepared for the images that come."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tmatch._arrays.options import ChannelAxis
from tmatch._arrays.typing import Array, Shape
from tmatch._io.given import ImageLike, read_mask
from tmatch._poses.exact import exact_copies
from tmatch._poses.options import PoseOptions
from tmatch._results.poses import PosedShape
from tmatch._scoring.inputs import Layout, layout_of, read_template, template_in
from tmatch._scoring.metrics import ScoringOptions
from tmatch._scoring.template import PreparedTemplate, prepare_template
from tmatch._search.options import NamedTemplate, call_with_label, checked_copy


@dataclass(frozen=True)
class _Given:
    """A copy of a template as it was given, with which of its pixels count and its mask."""

    label: str
    pixels: Array
    counts: Array | None
    mask: Array | None


class Templates:
    """Templates, prepared once for each layout of the images that they are searched in.

    Nearly always there is one: whether the last axis of a template holds colours, and the last colour is alpha, is
    known from the template, unless an image proves to be a volume, or to have another number of channels.
    """

    def __init__(
        self,
        named: Sequence[NamedTemplate],
        options: ScoringOptions,
        channel_axis: ChannelAxis,
        poses: PoseOptions,
    ) -> None:
        self._given: list[_Given] = [call_with_label(each.label, _copy, *each) for each in named]
        self._shapes = [given.pixels.shape for given in self._given]
        self._options, self._axis, self.poses = options, channel_axis, poses
        if options.info.directions and not poses.exact:  # directions turn with the template
            self.poses = poses.as_list(max(math.hypot(*shape[:2]) for shape in self._shapes))
        self._prepared: dict[Layout, list[PreparedTemplate]] = {}
        guess = self._layout_in(self._shapes[0])
        automatic = channel_axis == "auto"
        # Where there are no colours in the templates, no image changes anything.
        may_vary = guess.axis is not None and (automatic or any({3, 4} & {*shape} for shape in self._shapes))
        self._fixed = None if may_vary else guess
        self.first = self._prepare_first(guess, or_volume=automatic and may_vary)

    def prepared_for(self, image: Shape) -> tuple[Layout, list[PreparedTemplate]]:
        """Return the layout of an image of this shape, with the templates prepared for it."""
        layout = self._fixed or self._layout_in(image)
        return layout, self._prepare(layout)

    def _layout_in(self, image: Shape) -> Layout:
        return layout_of(self._axis, image, self._shapes)

    def _prepare_first(self, guess: Layout, *, or_volume: bool) -> list[PreparedTemplate]:
        """Prepare the templates as if no image were a volume; refuse what could be found in no image."""
        try:
            return self._prepare(guess)
        except ValueError:
            if or_volume:  # colours may be constant where a volume is not
                with contextlib.suppress(ValueError):
                    return self._prepare(Layout(None))
            raise

    def _prepare(self, layout: Layout) -> list[PreparedTemplate]:
        found = self._prepared.get(layout)
        if found is None:
            options = replace(self._options, channel_axis=layout.axis)
            found = [
                prepared
                for given in self._given
                for prepared in call_with_label(given.label, _prepare, given, layout, options, self.poses)
            ]
            self._prepared[layout] = found
        return found


def _copy(label: str, template: ImageLike, mask: ImageLike | None) -> _Given:
    pixels, counts = read_template(template)
    return _Given(
        label,
        np.array(pixels),
        counts,
        None if mask is None else checked_copy("mask", read_mask("mask", mask)),
    )


def _prepare(
    given: _Given, layout: Layout, options: ScoringOptions, poses: PoseOptions
) -> list[PreparedTemplate]:
    """Prepare a template, or all its copies in poses that are exact."""
    pixels, mask = template_in(layout, given.pixels, given.counts, given.mask)
    weights = None if mask is None else np.asarray(mask)
    prepared = prepare_template(pixels, weights, options, given.label)
    if not poses.upright or poses.subpixel:
        _check_dimensions(prepared, poses)
    if poses.upright or not poses.exact:
        return [prepared]
    shape = prepared.shape
    return [
        replace(prepare_template(turned, turned_mask, options, given.label), posed=PosedShape(pose, shape))
        for pose, turned, turned_mask in exact_copies(pixels, weights, poses, layout.axis)
    ]


def _check_dimensions(template: PreparedTemplate, poses: PoseOptions) -> None:
    """Check that a template can be searched for in poses."""
    if len(template.shape) != 2:
        axes = "axis" if len(template.shape) == 1 else "axes"
        msg = (
            f"`template` has {len(template.shape)} {axes} without channels; poses and sub-pixel places are for images, "
            "which have 2: leave angles, scales, flips and subpixel out"
        )
        raise ValueError(msg)
    if poses.exact and not poses.subpixel:
        return
    options = template.options
    if options.metric != "zncc" and not poses.exact:
        msg = (
            f'`metric` is "{options.metric}"; poses that need interpolation are searched by "zncc" or "orientation": '
            "use one of them, or right angles and whole-number scales"
        )
        raise ValueError(msg)
    if options.metric != "zncc":
        msg = f'`metric` is "{options.metric}"; sub-pixel places are fitted by "zncc": use that, or leave subpixel out'
        raise ValueError(msg)
    if options.output != "valid":
        msg = f'`output` is "{options.output}"; in poses the template must lie inside the image: use "valid"'
        raise ValueError(msg)
