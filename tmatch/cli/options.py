"""Options and arguments that several commands share: their types, help texts and defaults, and how to parse them."""

import functools
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

import tmatch
from tmatch._arrays.options import Metric, Output, Prefilter
from tmatch._io import pairs
from tmatch._poses.options import SearchName

_DECISION, _POSES, _SCORING, RESULT = "Decision", "Poses", "Comparison", "Output"  # headings of the help


def default_of(function: Callable[..., Any], option: str) -> Any:
    """Return the default of a function's option."""
    return inspect.signature(function).parameters[option].default


# --- files ------------------------------------------------------------------------------------------

ImageFile = Annotated[Path, typer.Argument(metavar="IMAGE", help="The image to search.", show_default=False)]
OptionalImageFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="IMAGE", help="An image in which the template is to be found.", show_default=False
    ),
]
TemplateFile = Annotated[
    Path, typer.Argument(metavar="TEMPLATE", help="The template to find.", show_default=False)
]
TemplateFiles = Annotated[
    list[Path], typer.Argument(metavar="TEMPLATE", help="The templates to find.", show_default=False)
]

# --- what is a match --------------------------------------------------------------------------------

FalseAlarms = Annotated[
    float | None,
    typer.Option(
        metavar="F",
        help="Maximum expected number of false alarms in the whole search; 0.01 if neither this nor --threshold "
        "is given.",
        rich_help_panel=_DECISION,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="F",
        help="Decide by the score instead: the minimum score of a match. From -1 to 1 for zncc, ncc and orientation; "
        "at most 0 for ssd and nssd.",
        rich_help_panel=_DECISION,
    ),
]
CopiesOnly = Annotated[
    bool,
    typer.Option(
        "--copies-only",
        help="Report only copies, where template and noise explain all that is seen; not what is similar.",
        rich_help_panel=_DECISION,
    ),
]
MaxCount = Annotated[
    int | None, typer.Option(metavar="N", help="Maximum number of matches.", rich_help_panel=_DECISION)
]
MaxOverlap = Annotated[
    float,
    typer.Option(
        metavar="F",
        help="Maximum intersection over union of two boxes; of two that overlap more, only the better one is kept.",
        rich_help_panel=_DECISION,
    ),
]
PrefilterName = Annotated[
    Prefilter,
    typer.Option(
        help="How image and templates are filtered first. auto: not at all, and whitened as well if that leaves "
        "a question.",
        rich_help_panel=_DECISION,
    ),
]
PREFILTER, MAX_OVERLAP = (default_of(tmatch.locate, option) for option in ("prefilter", "max_overlap"))

# --- which poses ------------------------------------------------------------------------------------

AnglesText = Annotated[
    str | None,
    typer.Option(
        "--angles",
        metavar="all|LOW:HIGH|LIST",
        help="Search for rotated templates, too: at all angles, at those of a range as in -30:30, or at some as in "
        "0,90,180,270. Degrees, counter-clockwise as seen on the screen.",
        rich_help_panel=_POSES,
    ),
]
ScalesText = Annotated[
    str | None,
    typer.Option(
        "--scales",
        metavar="LOW:HIGH|LIST",
        help="Search for templates of other sizes, too: size in IMAGE divided by that of TEMPLATE, in a range as in "
        "0.8:1.25, or some as in 0.5,1,2.",
        rich_help_panel=_POSES,
    ),
]
Flips = Annotated[
    bool,
    typer.Option("--flips", help="Search for mirrored templates, too.", rich_help_panel=_POSES),
]
PoseSearch = Annotated[
    SearchName,
    typer.Option(
        "--search",
        help="How poses are searched. auto: at reduced resolution first; exhaustive: every pose at full resolution; "
        "certified: only those that could reach a --threshold of 0.7 or more.",
        rich_help_panel=_POSES,
    ),
]
Subpixel = Annotated[
    bool,
    typer.Option(
        "--subpixel",
        help="Refine upright matches to fractions of a pixel, too; others always are.",
        rich_help_panel=_POSES,
    ),
]

# --- what is compared, and where --------------------------------------------------------------------

Gray = Annotated[
    bool,
    typer.Option(
        "--gray", help="Compare grey levels even if all images have colour.", rich_help_panel=_SCORING
    ),
]
MetricName = Annotated[
    Metric,
    typer.Option(
        help="How similarity is measured; the formulas are in the documentation of match_template.",
        rich_help_panel=_SCORING,
    ),
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="An image of the template's size that says how much each pixel counts: white fully, black not at all.",
        rich_help_panel=_SCORING,
    ),
]
ImageMaskFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="An image of the size of IMAGE: pixels of IMAGE that are black in it are not valid.",
        rich_help_panel=_SCORING,
    ),
]
AlphaRule = Annotated[
    pairs.Alpha,
    typer.Option(
        "--alpha",
        help="Which pixels of a template count: opaque ones, each by its opacity (weights), those that are not black, "
        "or all (ignore). Transparent pixels of IMAGE are not valid, except with ignore.",
        rich_help_panel=_SCORING,
    ),
]
MinOverlap = Annotated[
    float,
    typer.Option(
        metavar="F",
        help="Share of the template that must lie on valid pixels, above 0 and at most 1.",
        rich_help_panel=_SCORING,
    ),
]
Positions = Annotated[
    Output,
    typer.Option(
        "--places",
        help="Positions searched: those where the template lies inside IMAGE (valid), where its centre does (same), or "
        "where the two overlap (full).",
        rich_help_panel=_SCORING,
    ),
]
RegionText = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="X,Y,W,H", help="Search only this part of IMAGE.", rich_help_panel=_SCORING
    ),
]
PixelRatio = Annotated[
    float,
    typer.Option(
        metavar="F",
        help="Pixels per unit of length, 2 on many screens; boxes, positions and --region are in these units.",
        rich_help_panel=_SCORING,
    ),
]
METRIC, MIN_OVERLAP, POSITIONS = (
    default_of(tmatch.match_template, option) for option in ("metric", "min_overlap", "output")
)
PositionText = Annotated[
    str | None,
    typer.Option("--at", metavar="X,Y", help="Position in IMAGE: x and y of the template's top left corner."),
]

# --- what is written --------------------------------------------------------------------------------

TextForm = Annotated[
    Literal["text", "json"], typer.Option("--format", help="Print text to read, or JSON for programs.")
]
Plot = Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the results as a figure.")]


def target(metavar: str, text: str) -> Any:
    """Return an option that names a file to write."""
    return typer.Option(metavar=metavar, help=text, rich_help_panel=RESULT)


# --- parsing ----------------------------------------------------------------------------------------


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
