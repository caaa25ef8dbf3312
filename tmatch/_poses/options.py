"""Which poses are searched, and how."""

import itertools
import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tmatch._arrays.validation import check_name

SearchName = Literal["auto", "exhaustive", "certified"]
Angles = Literal["all"] | tuple[float, float] | Sequence[float] | None
Scales = tuple[float, float] | Sequence[float] | None

LEAST_CERTIFIED = 0.7  # threshold of a search that proves that it misses nothing
_SCALES = 1 / 16, 16.0  # of a template
_WIDE = 1.6  # ratio of scales that are searched together
_LISTED_STEP = 2.0  # pixels by which a corner moves from one pose to the next
_MOST_LISTED = 1000  # poses
_MAX_LISTED = 10_000  # angles or scales in a list


@dataclass(frozen=True)
class Values:
    """Angles or scales: some of them, or a range with both ends."""

    values: tuple[float, ...]
    is_range: bool = False

    @property
    def low(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest value."""
        return max(self.values)


@dataclass(frozen=True)
class PoseOptions:
    """Which poses are searched: angles in degrees, scales, mirrored or not; and how. Made by `PoseOptions.of`."""

    angles: Values = Values((0.0,))
    scales: Values = Values((1.0,))
    flips: tuple[bool, ...] = (False,)
    search: SearchName = "auto"
    subpixel: bool = False
    listed: bool = False  # each pose is searched for as a template of its own

    @classmethod
    def of(
        cls,
        angles: Angles = None,
        scales: Scales = None,
        flips: bool = False,  # noqa: FBT001, FBT002
        search: SearchName = "auto",
        subpixel: bool = False,  # noqa: FBT001, FBT002
    ) -> "PoseOptions":
        """Check and convert the options of `locate`."""
        check_name("search", search, SearchName)
        return cls(
            _angles(angles), _scales(scales), (False, True) if _flag("flips", flips) else (False,), search,
            _flag("subpixel", subpixel),
        )  # fmt: skip

    @property
    def upright(self) -> bool:
        """Whether only the template as it is is searched for."""
        return self.angles.values == (0.0,) and self.scales.values == (1.0,) and self.flips == (False,)

    @property
    def exact(self) -> bool:
        """Whether each pose is a template of its own.

        These are poses that need no interpolation: right angles, and scales that are whole numbers or one over them;
        and all that are `listed`.
        """
        if self.listed:
            return True
        angles = not self.angles.is_range and all(angle % 90 == 0 for angle in self.angles.values)
        return angles and not self.scales.is_range and all(map(is_exact_scale, self.scales.values))

    def as_list(self, size: float) -> "PoseOptions":
        """Return the poses as a list: a corner of a template of a diagonal of `size` moves by two pixels at most."""
        scales = self.scales
        if scales.is_range:
            steps = math.ceil(math.log(scales.high / scales.low) * size * scales.high / 2 / _LISTED_STEP)
            scales = Values(tuple(np.geomspace(scales.low, scales.high, steps + 1).tolist()))
        angles = self.angles
        if angles.is_range:
            step = math.degrees(2 * math.asin(min(_LISTED_STEP / (scales.high * size), 1.0)))
            steps = math.ceil((angles.high - angles.low) / step)
            turns = np.linspace(angles.low, angles.high, steps + 1)[: -1 if self.full_circle else None]
            angles = Values(tuple(map(wrapped, turns.tolist())))
        count = len(scales.values) * len(angles.values) * len(self.flips)
        if count > _MOST_LISTED:
            msg = (
                f"`angles` and `scales` make {count} poses, each of which is searched at full size by this metric; "
                f'{_MOST_LISTED} are possible: narrow the ranges, or use the metric "zncc"'
            )
            raise ValueError(msg)
        return replace(self, angles=angles, scales=scales, listed=True)

    def by_size(self) -> list["PoseOptions"]:
        """Divide a wide range of scales into narrow ones, each to be searched in an image made smaller to suit."""
        scales = self.scales
        count = math.ceil(math.log(scales.high / scales.low) / math.log(_WIDE)) if scales.is_range else 1
        if count <= 1:
            return [self]
        ends = np.geomspace(scales.low, scales.high, count + 1).tolist()
        return [replace(self, scales=Values(pair, is_range=True)) for pair in itertools.pairwise(ends)]

    @property
    def count(self) -> int | None:
        """How many poses there are; None if there is a range of them."""
        if self.angles.is_range or self.scales.is_range:
            return None
        return len(self.angles.values) * len(self.scales.values) * len(self.flips)

    @property
    def full_circle(self) -> bool:
        """Whether all angles are searched."""
        return self.angles.is_range and self.angles.high - self.angles.low >= 360


def is_exact_scale(scale: float) -> bool:
    """Check that a scale is a whole number, or one over a whole number."""
    return float(scale).is_integer() or float(round(1 / scale)) == 1 / scale


def wrapped(angle: float) -> float:
    """Return an angle in (-180, 180]."""
    return 180 - (180 - angle) % 360


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        msg = f"`{name}` is {value!r}; it must be True or False"
        raise TypeError(msg)
    return bool(value)


def _angles(angles: Any) -> Values:
    if angles is None:
        return Values((0.0,))
    if isinstance(angles, str):
        if angles != "all":
            msg = f'`angles` is "{angles}"; it must be "all", a range as (-30, 30), or a list as [0, 90, 180, 270]'
            raise ValueError(msg)
        return Values((-180.0, 180.0), is_range=True)
    values = _numbers("angles", angles, "(-30, 30) for a range of degrees, [0, 90] for these two")
    if not isinstance(angles, tuple):
        return Values(tuple(dict.fromkeys(map(wrapped, values))))
    low, high = values
    if high < low:  # a range that passes 180 degrees
        high += 360 * math.ceil((low - high) / 360)
    return Values((low, high), is_range=True) if high > low else Values((wrapped(low),))


def _scales(scales: Any) -> Values:
    if scales is None:
        return Values((1.0,))
    values = _numbers("scales", scales, "(0.8, 1.25) for a range, [1, 2] for these two")
    if not all(_SCALES[0] <= value <= _SCALES[1] for value in values):
        msg = f"`scales` is {scales!r}; a scale is the size in the image divided by the template's, from 1/16 to 16"
        raise ValueError(msg)
    if not isinstance(scales, tuple):
        return Values(tuple(dict.fromkeys(values)))
    if values[0] > values[1]:
        msg = f"`scales` is {scales!r}; the lower end of a range comes first, as in (0.8, 1.25)"
        raise ValueError(msg)
    return Values(values, is_range=True) if values[1] > values[0] else Values(values[:1])


def _numbers(name: str, given: Any, examples: str) -> tuple[float, ...]:
    """Check that these are finite numbers: two if they are a tuple, a range; one or more if they are a list."""
    msg = f"`{name}` is {given!r}; it must hold finite numbers: {examples}"
    if isinstance(given, numbers.Real) or not isinstance(given, Sequence | np.ndarray):
        raise TypeError(msg)
    values = list(np.asarray(given).ravel().tolist()) if isinstance(given, np.ndarray) else list(given)
    if not all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in values):
        raise TypeError(msg)
    right = len(values) == 2 if isinstance(given, tuple) else 1 <= len(values) <= _MAX_LISTED
    if not right or not all(map(math.isfinite, values)):
        raise ValueError(msg)
    return tuple(map(float, values))
