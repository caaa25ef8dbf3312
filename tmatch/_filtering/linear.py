"""A linear filter, checked: what is computed of an image, or of a region of the result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tmatch._arrays.channels import split_channels, with_channel_axis, without_channel_axis
from tmatch._arrays.geometry import Margins, valid_shape
from tmatch._arrays.lazy import any_in, computed
from tmatch._arrays.options import Border, Missing
from tmatch._arrays.padding import PaddedImage
from tmatch._arrays.typing import Array, Region, Shape
from tmatch._engine import threads
from tmatch._engine.progress import Resources
from tmatch._engine.targets import Target
from tmatch._engine.threads import Job
from tmatch._filtering import correlation
from tmatch._filtering.missing import plan_present


@dataclass(frozen=True)
class LinearFilter:
    """A correlation with kernels that are as they are applied: conjugated, or flipped.

    `margins` is how far windows reach beyond the image, `axis` that of its channels, `steps` those between results.
    """

    kernels: Sequence[Array]
    margins: Margins
    border: Border
    fill: float
    missing: Missing
    axis: int | None
    steps: Sequence[int]
    dtype: np.dtype[Any]

    def shape(self, image: Shape) -> Shape:
        """Return the shape of the results for an image, without channels and strides."""
        plane = without_channel_axis(image, self.axis)
        padded = (n + before + after for n, (before, after) in zip(plane, self.margins, strict=True))
        return valid_shape(tuple(padded), self.kernels[0].shape)

    def apply(self, image: Array, region: Region | None = None, *, workers: int | None = None) -> Array:
        """Filter an image; return a region of the result, or all of it."""
        planes, whole = split_channels(image, self.axis), self.shape(image.shape)
        plane = tuple(slice(0, n) for n in whole)
        if region is not None:
            parts = zip(self.without_channels(region), self.steps, strict=True)
            plane = tuple(slice(part.start * step, (part.stop - 1) * step + 1) for part, step in parts)
        shape: Shape = tuple(part.stop - part.start for part in plane)
        steps = [slice(None, None, step) for step in self.steps]
        if self.axis is not None:
            shape = with_channel_axis(shape, self.axis, len(planes))
            steps.insert(self.axis, slice(None))
        result = np.empty(shape, self.dtype)
        outs = [Target(part, plane, whole) for part in split_channels(result, self.axis)]
        jobs, finish = self.plan(planes, outs)
        threads.run(*jobs, resources=Resources(workers))
        finish()
        return np.ascontiguousarray(result[tuple(steps)])

    def plan(self, planes: Sequence[Array], outs: Sequence[Target]) -> tuple[list[Job], Callable[[], object]]:
        """Plan jobs that filter the channels of an image, and what is to be done after them."""
        if self.missing == "ignore" and any(map(_has_nan, planes)):
            return plan_present(planes, self.kernels, outs, self.margins, self.border, self.fill)
        images = [PaddedImage(plane, self.margins, self.border, self.fill) for plane in planes]
        return correlation.plan_planes(images, self.kernels, outs), lambda: None

    def without_channels(self, axes: Sequence[Any]) -> list[Any]:
        """Return what there is for each axis, without that of channels."""
        return [each for axis, each in enumerate(axes) if axis != self.axis]


def _has_nan(plane: Array) -> bool:
    return any_in(computed(np.isnan, bool, plane))
