"""Options and arguments that several commands share: their types, help texts and defaults, and how to parse them."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import tmatch
from tmatch._arrays.options import Metric, Missing, Output, Prefilter
from tmatch._io import pairs
from tmatch._poses.options import SearchName

# headings of the help
_IMAGES, _DECISION, _POSES, _SCORING, RESULT = (
    "Images and templates",
    "Decision",
    "Poses",
    "Comparison",
    "Output",
)


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
ImagesAndTemplates = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE TEMPLATE...",
        help="The image to search and the templates to find; with -t, images alone: files, folders, patterns in "
        "quotes, - for stdin, screen: for the screen.",
        show_default=False,
    ),
]
TemplateOption = Annotated[
    list[str] | None,
    typer.Option(
        "-t",
        "--template",
        metavar="[NAME=]FILE",
        help="A template to find, or a folder of them. With a name before it, that is its label, which several files "
        "may have: its appearances.",
        rich_help_panel=_IMAGES,
    ),
]
Pages = Annotated[
    str | None,
    typer.Option(
        metavar="all|LIST",
        help="Pages of stacks or frames to search, counted from 0: all, or some as in 0,3,5-9. By default the first "
        "page, and all frames of a video.",
        rich_help_panel=_IMAGES,
    ),
]
Every = Annotated[
    int, typer.Option(metavar="N", help="Search every Nth frame of a video.", rich_help_panel=_IMAGES)
]
Jobs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Images searched at a time; by default as many as there are cores, or on a --cluster twice as many as it "
        "has threads. Results are the same.",
        rich_help_panel=_IMAGES,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS|FILE",
        help="Have many images searched by the workers of a dask cluster, named by the address of its scheduler, as "
        "tcp://host:8786, or by its scheduler file. They read the files themselves. Results are the same.",
        rich_help_panel=_IMAGES,
    ),
]

Level = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Level of a pyramid (OME-Zarr, TIFF) to search: 0, as by default, is the full resolution, 1 the next "
        "smaller one. Boxes are in pixels of that level.",
        rich_help_panel=_IMAGES,
    ),
]
Channel = Annotated[
    str | None,
    typer.Option(
        metavar="N|NAME",
        help="Channel to search of an OME-Zarr or OME-TIFF: its number, from 0 on, or its name. By default channels "
        "are pages.",
        rich_help_panel=_IMAGES,
    ),
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
MissingRule = Annotated[
    Missing,
    typer.Option(
        "--missing",
        help="Whether NaN in IMAGE is an error, or means that the pixel is missing.",
        rich_help_panel=_SCORING,
    ),
]
NoData = Annotated[
    float | None,
    typer.Option(
        metavar="VALUE",
        help="Pixels of IMAGE with this value in all channels are not valid, as 0 or -9999 in maps.",
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


AsJson = Annotated[bool, typer.Option("--json", help="The same as --format json.", rich_help_panel=RESULT)]
OutFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "-o",
        "--out",
        metavar="FILE",
        help="Write results to a file, too, in the format of its ending: .csv, .json, .jsonl, .coco.json, .geojson, "
        ".txt (YOLO), .xml (JUnit), .zip (ImageJ ROIs).",
        rich_help_panel=RESULT,
    ),
]
Required = Annotated[
    str,
    typer.Option(
        "--require",
        metavar="all|any|none|N",
        help="When the exit code is 0: if all templates are found in each image, any in any, none at all, or at least "
        "N matches in each image.",
        rich_help_panel=RESULT,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the .jsonl file of -o where a former run has stopped.",
        rich_help_panel=RESULT,
    ),
]
FailFast = Annotated[
    bool,
    typer.Option(
        "--fail-fast", help="Stop at the first image that cannot be searched.", rich_help_panel=RESULT
    ),
]


def target(metavar: str, text: str) -> Any:
    """Return an option that names a file to write."""
    return typer.Option(metavar=metavar, help=text, rich_help_panel=RESULT)
