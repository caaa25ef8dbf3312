"""Parse what options and arguments of the command line say."""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

from tmatch._arrays.options import Output


def part_finder(region: str | None, pixel_ratio: float) -> Callable[[tuple[int, int]], tuple[slice, slice]]:
    """Return a function that finds the region in an image of some shape."""
    return functools.partial(read_region, region, pixel_ratio)


def read_region(text: str | None, pixel_ratio: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Read a region of an image, in units of `pixel_ratio` pixels; the whole image if there is none."""
    if not 0.01 <= pixel_ratio <= 100:
        msg = (
            f"--pixel-ratio is {pixel_ratio:g}; it must be from 0.01 to 100, as 2 where a unit is two pixels"
        )
        raise ValueError(msg)
    if text is None:
        return slice(0, shape[0]), slice(0, shape[1])
    try:
        x, y, width, height = (round(float(number) * pixel_ratio) for number in text.split(","))
    except (ValueError, OverflowError):
        msg = f'--region is "{text}"; it must be four numbers with commas, as in 100,50,640,480: x, y, width, height'
        raise ValueError(msg) from None
    if min(x, y) < 0 or min(width, height) < 1 or x + width > shape[1] or y + height > shape[0]:
        msg = (
            f"--region {text} is {width:.9g} x {height:.9g} pixels at x={x:.9g}, y={y:.9g}, which is not inside the "
            f"image of {shape[1]} x {shape[0]} pixels"
        )
        raise ValueError(msg)
    return slice(y, y + height), slice(x, x + width)


def read_position(text: str | None, pixel_ratio: float = 1.0) -> tuple[int, int] | None:
    """Read x and y, in units of `pixel_ratio` pixels, as (row, column) in pixels."""
    if text is None:
        return None
    read = int if pixel_ratio == 1 else float
    try:
        x, y = (round(read(number) * pixel_ratio) for number in text.split(","))
    except (ValueError, OverflowError):
        msg = f'--at is "{text}"; it must be two whole numbers with a comma, as in 670,300: x, y'
        raise ValueError(msg) from None
    return y, x


def read_angles(text: str | None) -> Literal["all"] | tuple[float, float] | list[float] | None:
    """Read angles as `locate` takes them: all, a range or a list."""
    if text is None:
        return None
    if text == "all":
        return "all"
    try:
        return _read_numbers(text)
    except ValueError:
        msg = (
            f'--angles is "{text}"; it must be all, a range of degrees with a colon, as in -30:30, or degrees with '
            "commas, as in 0,90,180,270"
        )
        raise ValueError(msg) from None


def read_scales(text: str | None) -> tuple[float, float] | list[float] | None:
    """Read scales as `locate` takes them: a range or a list."""
    if text is None:
        return None
    try:
        scales = _read_numbers(text)
        if min(scales) > 0 and (isinstance(scales, list) or scales[0] <= scales[1]):
            return scales
    except ValueError:
        pass
    msg = (
        f'--scales is "{text}"; it must be a range of factors above 0 with a colon, the smaller first, as in 0.8:1.25, '
        "or factors with commas, as in 0.5,1,2"
    )
    raise ValueError(msg)


def given_poses(
    angles: str | None, scales: str | None, flips: bool, pose_search: str, subpixel: bool
) -> dict[str, Any]:
    """Return what was asked about poses, as `Matcher` takes it, without what was not."""
    read = {
        "angles": read_angles(angles),
        "scales": read_scales(scales),
        "flips": flips,
        "search": pose_search,
    }
    asked = {**read, "subpixel": subpixel}
    return {name: value for name, value in asked.items() if value not in (None, False, "auto")}


def _read_numbers(text: str) -> tuple[float, float] | list[float]:
    """Read two finite numbers with a colon as a range, and some with commas as a list."""
    low, colon, high = text.partition(":")
    read = (float(low), float(high)) if colon else [float(number) for number in text.split(",")]
    if not all(map(math.isfinite, read)):
        raise ValueError(text)
    return read


# --- the former name of --places, which is read for one more release --------------------------------

_FORMER = "--output"
_FILES = {"locate": "--overlay, --heatmap or --scores", "heatmap": "--out", "filter": "--out"}


def options_of(command: Any) -> list[str]:
    """Return the long options of a command."""
    return [name for parameter in command.params for name in parameter.opts if name.startswith("--")]


def with_places(arguments: list[str], command: str, say: Callable[[str], None]) -> list[str]:
    """Rename --output to --places among the arguments of a command, and say so; refuse it before a file."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    renamed = list(arguments)
    for i, argument in enumerate(arguments[:end]):
        name, equals, value = argument.partition("=")
        if name != _FORMER:
            continue
        value = value if equals else "".join(arguments[i + 1 : i + 2])
        if value not in get_args(Output):
            raise ValueError(_refusal(command, value))
        renamed[i] = f"--places{equals}{value if equals else ''}"
        say(f"note: --output is now --places, and will be gone in the next release; use --places {value}")
    return renamed


def _refusal(command: str, value: str) -> str:
    files = f"name a file with {_FILES[command]}" if command in _FILES else "results go to stdout"
    return f'--output is "{value}"; it is the former name of --places, which is valid, same or full; {files}'
