"""What the commands have in common: words to the user, and options."""

import contextlib
import inspect
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

import tmatch
from tmatch._arrays.options import Metric, Output, Prefilter
from tmatch._io import pairs
from tmatch._search.matcher import Matcher

FOUND, NONE_FOUND, BAD_INPUT, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141


def say(text: str) -> None:
    """Print words to stderr."""
    print(text, file=sys.stderr)


def default_of(function: Callable[..., Any], option: str) -> Any:
    """Return the default of a function's option."""
    return inspect.signature(function).parameters[option].default


@contextlib.contextmanager
def show_working(on: str) -> Iterator[None]:
    """Show that something is going on, if a person is looking."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415

    with Console(stderr=True).status(on):
        yield


@contextlib.contextmanager
def show_progress(on: str) -> Iterator[Callable[[float], None] | None]:
    """Give a function that draws how much is done, from the second second on, if a person is looking."""
    if not sys.stderr.isatty():
        yield None
        return
    bars: list[Any] = []
    begin = time.monotonic()

    def draw(share: float) -> None:
        if not bars and time.monotonic() - begin > 1:
            from rich.console import Console  # noqa: PLC0415
            from rich.progress import Progress  # noqa: PLC0415

            bars.append(Progress(console=Console(stderr=True), transient=True))
            bars[0].add_task(on, total=1.0)
            bars[0].start()
        for bar in bars:
            bar.update(bar.task_ids[0], completed=share)

    try:
        yield draw
    finally:
        for bar in bars:
            bar.stop()


def table_width() -> int:
    """Columns of the terminal, or enough of them where a file or another program reads."""
    return max(60, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 120


ImageFile = Annotated[
    Path, typer.Argument(metavar="IMAGE", help="The picture to search.", show_default=False)
]
Gray = Annotated[bool, typer.Option("--gray", help="Match grey levels even where both pictures have colour.")]
MetricName = Annotated[
    Metric, typer.Option(help="How fit is measured; `tmatch.match_template` tells the formulas.")
]
MaskFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A picture: what is black in it does not count in the template; nor does what is transparent there.",
    ),
]
ImageMaskFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A picture: where it is black, IMAGE has no pixels.")
]
AlphaRule = Annotated[
    pairs.Alpha,
    typer.Option(
        "--alpha",
        help="What counts in a transparent template: opaque pixels, each as much as it is opaque, all that is not "
        "black, or everything. Transparent parts of IMAGE are missing, unless everything counts.",
    ),
]
MinOverlap = Annotated[
    float, typer.Option(metavar="F", help="Share of the template that must lie on pixels there are.")
]
Places = Annotated[
    Output,
    typer.Option(help="Templates inside the picture only, or with their centre in it, or just touching it."),
]
RegionText = Annotated[
    str | None, typer.Option("--region", metavar="X,Y,W,H", help="Search this part of IMAGE only.")
]
PlaceText = Annotated[
    str | None, typer.Option("--at", metavar="X,Y", help="Where the top left corner of the template lies.")
]
PixelRatio = Annotated[
    float,
    typer.Option(
        metavar="F",
        help="Pixels of IMAGE in a unit of length, 2 on many screens: boxes and --region are in units.",
    ),
]
FalseAlarms = Annotated[
    float | None,
    typer.Option(
        metavar="F",
        help="How many false matches chance may give in the whole search, on average; 0.01 if neither this nor "
        "--threshold is given.",
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="F",
        help="Decide by the score instead: the least one of a match, from -1 to 1; at most 0 for ssd and nssd.",
    ),
]
PrefilterName = Annotated[
    Prefilter,
    typer.Option(
        help="Filter both pictures first; auto: search them as they are, then whitened if nothing was found."
    ),
]
METRIC, MIN_OVERLAP, PLACES = (
    default_of(tmatch.match_template, option) for option in ("metric", "min_overlap", "output")
)
MaxCount = Annotated[int | None, typer.Option(metavar="N", help="At most so many matches, the best ones.")]
MaxOverlap = Annotated[
    float,
    typer.Option(metavar="F", help="Of two boxes that overlap more (intersection over union), keep one."),
]
PREFILTER, MAX_OVERLAP = (default_of(tmatch.locate, option) for option in ("prefilter", "max_overlap"))


def read_region(text: str | None, pixel_ratio: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Read a region of a picture, in units of so many pixels; the whole picture if there is none."""
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
            f"--region {text} is {width} x {height} pixels at x={x}, y={y}, which is not inside the picture of "
            f"{shape[1]} x {shape[0]} pixels"
        )
        raise ValueError(msg)
    return slice(y, y + height), slice(x, x + width)


def read_place(text: str | None) -> tuple[int, int] | None:
    """Read x and y; give row and column."""
    if text is None:
        return None
    try:
        x, y = map(int, text.split(","))
    except ValueError:
        msg = f'--at is "{text}"; it must be two whole numbers with a comma, as in 670,300: x, y'
        raise ValueError(msg) from None
    return y, x


def matcher_of(pair: pairs.Pair, **preparing: Any) -> Matcher:
    """Make a matcher of the templates that were read."""
    return Matcher(pair.templates, masks=pair.masks, channel_axis=pair.channel_axis, **preparing)


def part_of(pair: pairs.Pair, part: tuple[slice, slice]) -> tuple[Any, Any]:
    """Cut a part out of the picture and its mask."""
    return pair.image[part], None if pair.image_mask is None else pair.image_mask[part]


def moved(match: tmatch.Match, part: tuple[slice, slice]) -> tmatch.Match:
    """Tell the place in the picture of a match in a part of it."""
    start = tuple(s + p.start for s, p in zip(match.box.start, part, strict=True))
    return replace(match, box=replace(match.box, start=start))
