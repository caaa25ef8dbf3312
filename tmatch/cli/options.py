"""Options and arguments of the commands: their panels in the help, types, texts and defaults."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import tmatch
from tmatch._arrays.options import Metric, Missing, Output, Prefilter
from tmatch._io import pairs
from tmatch._poses.options import SearchName
from tmatch._results import formats

# Panels of the help, in the order in which they are shown.
ARGUMENTS, KERNEL, SEARCHED, DISTORTIONS, DECIDES, POSES, EDGES, WRITTEN, MANY, OTHER = PANELS = (
    "Arguments",
    "Image and kernel",
    "What is searched",
    "Distortions",
    "What decides",
    "Poses: rotation, size, mirroring",
    "Masks and edges",
    "What is written",
    "Many images",
    "Other options",
)


def default_of(function: Callable[..., Any], option: str) -> Any:
    """Return the default of a function's option."""
    return inspect.signature(function).parameters[option].default


def argument(panel: str, name: str, text: str) -> Any:
    """Return an argument, with its place in the help."""
    return typer.Argument(metavar=name, help=text, rich_help_panel=panel, show_default=False)


def option(panel: str, value: str, text: str, *names: str, least: int | None = None) -> Any:
    """Return an option that takes a value, with its place in the help."""
    return typer.Option(*names, metavar=value, help=text, rich_help_panel=panel, min=least)


def flag(panel: str, name: str, text: str) -> Any:
    """Return an option without a value, with its place in the help."""
    return typer.Option(name, help=text, rich_help_panel=panel)


# --- what is searched -------------------------------------------------------------------------------

ImageFile = Annotated[Path, argument(SEARCHED, "IMAGE", "The image to search.")]
OptionalImageFile = Annotated[
    Path | None, argument(SEARCHED, "IMAGE", "An image in which the template is to be found.")
]
TemplateFile = Annotated[Path, argument(SEARCHED, "TEMPLATE", "The small image to find.")]
ImagesAndTemplates = Annotated[
    list[str],
    argument(
        SEARCHED,
        "IMAGE TEMPLATE...",
        "The image to search, then the small images to find in it; if those are named by -t, any number of images. An "
        'image is a file, a folder, a pattern in quotes as "shots/*.png", - for stdin, or screen: for the screen.',
    ),
]
TemplateOption = Annotated[
    list[str] | None,
    option(
        SEARCHED,
        "FILE",
        "A template to find, or a folder of them; give -t before each. Its matches have the name of the file, or as "
        "NAME=FILE another one, which several files may share.",
        "-t",
        "--template",
    ),
]
RegionText = Annotated[
    str | None,
    option(
        SEARCHED,
        "X,Y,W,H",
        "Search only a part of IMAGE: x and y of its top left corner, its width and height, in pixels or in units of "
        "--pixel-ratio.",
        "--region",
    ),
]
Gray = Annotated[bool, flag(SEARCHED, "--gray", "Compare grey levels, even if all images have colour.")]
Pages = Annotated[
    str | None,
    option(
        SEARCHED,
        "PAGES",
        "Pages of a stack, or frames of a video, counted from 0: all, or some as in 0,3,5-9. By default the first "
        "page, and all frames of a video.",
    ),
]
Every = Annotated[int, option(SEARCHED, "N", "Search only every Nth of these pages or frames.")]
Level = Annotated[
    int | None,
    option(
        SEARCHED,
        "N",
        "Level of an image pyramid (OME-Zarr, TIFF): 0, the default, is the full resolution, 1 the next smaller one. "
        "Boxes are in pixels of that level.",
        least=0,
    ),
]
Channel = Annotated[
    str | None,
    option(
        SEARCHED,
        "CHANNEL",
        "Channel of an OME-Zarr or OME-TIFF: its number, counted from 0, or in an OME-Zarr its name. By default each "
        "channel is a page.",
    ),
]


def position(text: str) -> Any:
    """Return an option that names a position."""
    return option(SEARCHED, "X,Y", text, "--at")


# --- what is a match --------------------------------------------------------------------------------

Threshold = Annotated[
    float | None,
    option(
        DECIDES,
        "SCORE",
        "Minimum score of a match. It decides in place of --false-alarms, or beside it if both are given. From -1 to 1 "
        "for zncc, ncc and orientation; at most 0 for ssd and nssd.",
    ),
]
FalseAlarms = Annotated[
    float | None,
    option(
        DECIDES,
        "NUMBER",
        "Maximum number of false matches to expect in the whole search: the smaller, the stricter. 0.01 if neither "
        "this nor --threshold is given.",
    ),
]
MaxCount = Annotated[
    int | None,
    option(
        DECIDES, "N", "Maximum number of matches in an image, the best ones. By default there is no limit."
    ),
]
MaxOverlap = Annotated[
    float,
    option(
        DECIDES,
        "RATIO",
        "How much two matches may overlap: the area they share, divided by the area they cover together, from 0 to 1. "
        "Of two that overlap more, the better one is kept.",
    ),
]
CopiesOnly = Annotated[
    bool,
    flag(
        DECIDES,
        "--copies-only",
        "Report only copies, which differ from the template by noise alone, not what is merely similar.",
    ),
]
MetricName = Annotated[
    Metric,
    option(
        DECIDES,
        "NAME",
        "How similarity is measured: by zncc, whatever the brightness and contrast; by orientation, the directions of "
        "edges; or by ncc, zcc, cc, ssd or nssd.",
    ),
]
PrefilterName = Annotated[
    Prefilter,
    option(
        DECIDES,
        "NAME",
        "Filter of image and templates before they are compared: none, whiten, bandpass, or auto, which is none, and "
        "whiten as well if none leaves doubts.",
    ),
]
METRIC, MIN_OVERLAP, POSITIONS = (
    default_of(tmatch.match_template, name) for name in ("metric", "min_overlap", "output")
)
PREFILTER, MAX_OVERLAP = (default_of(tmatch.locate, name) for name in ("prefilter", "max_overlap"))

# --- which poses ------------------------------------------------------------------------------------

AnglesText = Annotated[
    str | None,
    option(
        POSES,
        "DEGREES",
        "Find rotated copies, too: at all angles, in a range as in -30:30, or at some as in 0,90,180,270. Degrees, "
        "counter-clockwise as seen on the screen.",
        "--angles",
    ),
]
ScalesText = Annotated[
    str | None,
    option(
        POSES,
        "FACTORS",
        "Find larger and smaller copies, too: size in IMAGE divided by the size of TEMPLATE, in a range as in "
        "0.8:1.25, or some as in 0.5,1,2.",
        "--scales",
    ),
]
Flips = Annotated[bool, flag(POSES, "--flips", "Find mirrored copies, too.")]
PoseSearch = Annotated[
    SearchName,
    option(
        POSES,
        "NAME",
        "How poses are searched: auto, at reduced resolution first; exhaustive, every pose at full resolution; "
        "certified, all that could reach a --threshold of 0.7 or more.",
        "--search",
    ),
]
Subpixel = Annotated[
    bool,
    flag(
        POSES,
        "--subpixel",
        "Give positions of upright matches to fractions of a pixel, too; those of others always are.",
    ),
]

# --- masks and edges --------------------------------------------------------------------------------

MaskFile = Annotated[
    Path | None,
    option(
        EDGES,
        "FILE",
        "An image of the size of TEMPLATE that says how much each pixel counts: fully where it is white, not at all "
        "where it is black.",
    ),
]
ImageMaskFile = Annotated[
    Path | None,
    option(EDGES, "FILE", "An image of the size of IMAGE that is black where pixels of IMAGE do not count."),
]
AlphaRule = Annotated[
    pairs.Alpha,
    option(
        EDGES,
        "NAME",
        "Which pixels of a template with transparency count: opaque ones (opaque), each as much as it is opaque "
        "(weights), those that are not black (black), or all (ignore). Transparent pixels of IMAGE do not count, "
        "except with ignore.",
        "--alpha",
    ),
]
Positions = Annotated[
    Output,
    option(
        EDGES,
        "NAME",
        "Where TEMPLATE may lie: all of it inside IMAGE (valid), its centre inside (same), or any part of it (full).",
        "--places",
    ),
]
MinOverlap = Annotated[
    float,
    option(
        EDGES,
        "SHARE",
        "Share of the template that must lie on pixels of IMAGE that count, above 0 and at most 1.",
    ),
]
MissingRule = Annotated[
    Missing,
    option(
        EDGES,
        "NAME",
        "What NaN in IMAGE is: an error (refuse), or a pixel that does not count (ignore).",
        "--missing",
    ),
]
NoData = Annotated[
    float | None,
    option(
        EDGES,
        "VALUE",
        "Pixels of IMAGE with this value in all channels do not count, as 0 or -9999 in maps; nan, too.",
    ),
]

# --- what is written --------------------------------------------------------------------------------

TextForm = Annotated[
    Literal["text", "json"],
    option(WRITTEN, "NAME", "What is printed: text to read, or json for programs.", "--format"),
]
MatchForm = Annotated[
    formats.Format,
    option(
        WRITTEN,
        "NAME",
        "How the matches are printed: as a table, or as json, jsonl (JSON lines), csv, coco, geojson, yolo or junit.",
        "--format",
    ),
]
AsJson = Annotated[bool, flag(WRITTEN, "--json", "The same as --format json.")]
OutFiles = Annotated[
    list[Path] | None,
    option(
        WRITTEN,
        "FILE",
        "Write the matches to a file, too, in the format of its ending: .csv, .json, .jsonl, .coco.json, .geojson, "
        ".txt (YOLO), .xml (JUnit), .zip (ImageJ ROIs). May be repeated.",
        "-o",
        "--out",
    ),
]
PixelRatio = Annotated[
    float,
    option(
        WRITTEN,
        "NUMBER",
        "Pixels for each unit of length, 2 on many screens. Boxes, positions and --region are in these units.",
    ),
]


def target(text: str, *names: str) -> Any:
    """Return an option that names a file to write."""
    return option(WRITTEN, "FILE", text, *names)


Plot = Annotated[Path | None, target("Draw the results as a figure in this file.")]
Overlay = Annotated[
    Path | None,
    target(
        "Write IMAGE with boxes and scores drawn on it; of many images, each into this folder, which must exist."
    ),
]
ReportFile = Annotated[
    Path | None,
    target("Write an .html page with images, boxes and scores, on which other limits can be tried."),
]
HeatmapFile = Annotated[Path | None, target("Write the score map, the score of every position, as a figure.")]
ScoresFile = Annotated[Path | None, target("Write the score map as an array: a .npy file.")]

# --- many images ------------------------------------------------------------------------------------

Required = Annotated[
    str,
    option(
        MANY,
        "RULE",
        "When the exit code is 0: if every template is in each image (all), if there is a match in any image (any), if "
        "there is none at all (none), or if each image has at least that number of matches, as in 3.",
        "--require",
    ),
]
Jobs = Annotated[
    int | None,
    option(
        MANY,
        "N",
        "How many images are searched at the same time. By default one for each core, or two for each thread of a "
        "--cluster. Results do not depend on it.",
        least=1,
    ),
]
Resume = Annotated[
    bool,
    flag(MANY, "--resume", "Continue an earlier run, whose results are in the .jsonl file of -o."),
]
FailFast = Annotated[bool, flag(MANY, "--fail-fast", "Stop at the first image that cannot be searched.")]
Cluster = Annotated[
    str | None,
    option(
        MANY,
        "ADDRESS",
        "Let the workers of a dask cluster search the images: the address of its scheduler, as in tcp://host:8786, or "
        "its scheduler file. Workers read the image files themselves.",
        "--cluster",
    ),
]
