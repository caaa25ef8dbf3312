"""Parse what options and arguments of the command line say."""

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from tmatch._arrays.options import Output
from tmatch._results.formats import Format


def part_finder(region: str | None, pixel_ratio: float) -> Callable[[tuple[int, int]], tuple[slice, slice]]:
    """Return a function that finds the region, in units of `pixel_ratio` pixels, in an image of some shape."""
    if not 0.01 <= pixel_ratio <= 100:
        msg = (
            f"--pixel-ratio is {pixel_ratio:g}; it must be from 0.01 to 100, as 2 where a unit is two pixels"
        )
        raise ValueError(msg)
    if region is None:
        return _whole
    try:
        x, y, width, height = (round(float(number) * pixel_ratio) for number in region.split(","))
    except (ValueError, OverflowError):
        msg = f'--region is "{region}"; it must be four numbers with commas, as in 100,50,640,480: x, y, width, height'
        raise ValueError(msg) from None
    return functools.partial(_part_in, region, (x, y, width, height))


def _whole(shape: tuple[int, ...]) -> tuple[slice, slice]:
    return slice(0, shape[0]), slice(0, shape[1])


def _part_in(text: str, sides: tuple[int, int, int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    x, y, width, height = sides
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


def other_poses(poses: Mapping[str, Any], metric: str, output: str) -> list[str]:
    """Return the options that search for poses that were not searched for; none where these cannot be."""
    if metric not in ("zncc", "orientation") or output != "valid":
        return []
    known = {"angles": "--angles all", "scales": "--scales 0.8:1.25"}
    return [option for name, option in known.items() if name not in poses]


def split_files(files: list[str], templates: list[str]) -> tuple[list[str], list[tuple[str | None, str]]]:
    """Tell images from templates: with -t, all arguments are images; otherwise the first is."""
    if templates:
        return files, [_split_label(text) for text in templates]
    if len(files) < 2:
        msg = (
            f'"{files[0]}" is the only file named; name templates after the image, as in tmatch locate image.png '
            "template.png, or with -t"
        )
        raise ValueError(msg)
    if "-" in files[1:]:
        msg = 'a template is "-", which is stdin; only images are read from there, so name a file'
        raise ValueError(msg)
    return files[:1], [(None, name) for name in files[1:]]


def _split_label(text: str) -> tuple[str | None, str]:
    """Read NAME=FILE, where no file has this very name."""
    label, equals, name = text.partition("=")
    if not equals or Path(text).exists():
        return None, text
    if not (label and name):
        msg = (
            f'-t is "{text}"; it must be a file, a folder, or a label and one of them, as in ok=icons/ok.png'
        )
        raise ValueError(msg)
    return label, name


def form_of_output(form: Format, *, as_json: bool) -> Format:
    """Return the format that --format and --json ask for."""
    if as_json and form not in ("table", "json"):
        msg = f"--json and --format {form} are given, which are two formats; leave one out"
        raise ValueError(msg)
    return "json" if as_json else form


def check_dashes(arguments: list[str], command: Any) -> None:
    """Refuse a long name with one dash, and a short one with =: they would be read as something else."""
    names = names_of_options(command)
    for argument in arguments[: _end_of_options(arguments)]:
        name, equals, value = argument.partition("=")
        if len(name) > 2 and f"-{name}" in names:
            msg = f"{argument} begins with one dash; did you mean -{argument}?"
            raise ValueError(msg)
        if len(name) == 2 and name in names and equals:
            msg = f"{argument} has a = after a short name; write {name} {value}"
            raise ValueError(msg)


def _end_of_options(arguments: list[str]) -> int:
    return arguments.index("--") if "--" in arguments else len(arguments)


# --- the former name of --places, which is read for one more release --------------------------------

_FORMER = "--output"
_FILES = {"locate": "-o, --overlay, --heatmap or --scores", "heatmap": "--out", "filter": "--out"}


def names_of_options(command: Any) -> list[str]:
    """Return the names of all options of a command, short ones, too."""
    return [name for parameter in command.params for name in parameter.opts if name.startswith("-")]


def options_of(command: Any) -> list[str]:
    """Return the long options of a command."""
    return [name for name in names_of_options(command) if name.startswith("--")]


def with_places(arguments: list[str], command: str, say: Callable[[str], None]) -> list[str]:
    """Rename --output to --places among the arguments of a command, and say so; refuse it before a file."""
    renamed = list(arguments)
    for i, argument in enumerate(arguments[: _end_of_options(arguments)]):
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
