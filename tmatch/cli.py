"""The command line: parse, call the public functions, print."""

import contextlib
import inspect
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import tmatch
from tmatch import _io
from tmatch._borders import Border
from tmatch._engine import describe
from tmatch._filter import Output, RangeRule, filter_with_scipy
from tmatch._inputs import Metric
from tmatch._inputs import Output as ScoreOutput
from tmatch._matcher import FALSE_ALARMS, Matcher, ScoreMap, check_decision, score_with_validity, ways_of
from tmatch._plot import plot_filters, plot_kernel
from tmatch._prefilter import Prefilter
from tmatch._tiles import available_cores

FOUND, NONE_FOUND, BAD_INPUT, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141


class _Commands(TyperGroup):
    """The commands, with one place that turns errors into a line on stderr and an exit code."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader has had enough, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, TypeError, OSError, MemoryError) as error:
            if ctx.params.get("debug"):
                raise
            text = (
                "not enough memory; crop or shrink the image"
                if isinstance(error, MemoryError)
                else str(error)
            )
            _say("error: " + " ".join(text.split()))
            raise typer.Exit(BAD_INPUT) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _default(function: Callable[..., Any], option: str) -> Any:
    return inspect.signature(function).parameters[option].default


@contextlib.contextmanager
def _working(on: str) -> Iterator[None]:
    """Show that something is going on, if a person is looking."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415

    with Console(stderr=True).status(on):
        yield


@contextlib.contextmanager
def _progress(on: str) -> Iterator[Callable[[float], None] | None]:
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


def _table_width() -> int:
    """Columns of the terminal, or enough of them where a file or another program reads."""
    return max(60, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 120


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tmatch {tmatch.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")] = False,
) -> None:
    """Find a small picture in a big one, show where, and say how sure that is."""


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
    _io.Alpha,
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
    ScoreOutput,
    typer.Option(help="Templates inside the picture only, or with their centre in it, or just touching it."),
]
RegionText = Annotated[
    str | None, typer.Option("--region", metavar="X,Y,W,H", help="Search this part of IMAGE only.")
]
PixelRatio = Annotated[
    float,
    typer.Option(
        metavar="F",
        help="Pixels of IMAGE in a unit of length, 2 on many screens: boxes and --region are in units.",
    ),
]
METRIC, MIN_OVERLAP, PLACES = (
    _default(tmatch.match_template, option) for option in ("metric", "min_overlap", "output")
)


@app.command(epilog="Exit code: 0 found, 1 nothing found, 2 bad input or usage.")
def locate(
    image: ImageFile,
    templates: Annotated[
        list[Path],
        typer.Argument(metavar="TEMPLATE", help="The pictures to find in it.", show_default=False),
    ],
    false_alarms: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="How many false matches chance may give in the whole search, on average; 0.01 if neither this "
            "nor --threshold is given.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="Decide by the score instead: the least one of a match, from -1 to 1; at most 0 for ssd and nssd.",
        ),
    ] = None,
    max_count: Annotated[
        int | None, typer.Option(metavar="N", help="At most so many matches, the best ones.")
    ] = None,
    max_overlap: Annotated[
        float,
        typer.Option(metavar="F", help="Of two boxes that overlap more (intersection over union), keep one."),
    ] = _default(tmatch.locate, "max_overlap"),
    prefilter: Annotated[
        Prefilter,
        typer.Option(
            help="Filter both pictures first; auto: search them as they are, then whitened if nothing was found."
        ),
    ] = _default(tmatch.locate, "prefilter"),
    gray: Gray = False,
    metric: MetricName = METRIC,
    mask: MaskFile = None,
    image_mask: ImageMaskFile = None,
    alpha: AlphaRule = "opaque",
    min_overlap: MinOverlap = MIN_OVERLAP,
    output: Places = PLACES,
    region: RegionText = None,
    pixel_ratio: PixelRatio = 1.0,
    form: Annotated[_io.Format, typer.Option("--format", help="How matches are printed.")] = "table",
    overlay: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Write the picture with boxes and scores.")
    ] = None,
    heatmap: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Write the score map as a figure.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(metavar="NPY", help="Write the score map as an array.")
    ] = None,
) -> None:
    """Find every place of IMAGE that looks like a TEMPLATE, and print the boxes.

    Boxes are in pixels: x and y of the top left corner, width, height. Try

        tmatch locate photo.png eye.png --overlay found.png
    """
    check_decision(false_alarms, threshold, metric)
    ways_of(prefilter, threshold, metric)
    allowed = FALSE_ALARMS if false_alarms is None and threshold is None else false_alarms
    if scores and len(templates) > 1:
        msg = f"--scores writes one score map, but {len(templates)} templates are given; name one of them"
        raise ValueError(msg)
    if scores and scores.suffix.lower() != ".npy":
        msg = f'cannot write "{scores}": --scores writes arrays; use the ending .npy'
        raise ValueError(msg)
    masks = [path for path in (mask, image_mask) if path]
    _io.check_targets(
        [image, *templates, *masks], [p for p in (overlay, heatmap) if p], [scores] if scores else []
    )
    picture = _io.read_picture(image, alpha)
    part = _region(region, pixel_ratio, picture[0].shape)
    pair = _io.read_pair(picture, templates, gray=gray, alpha=alpha, mask=mask, image_mask=image_mask)
    matcher = _matcher_of(pair, metric=metric, min_overlap=min_overlap, output=output)
    searched, searched_mask = _part_of(pair, part)
    with _progress("searching") as progress:
        matches = matcher.locate(
            searched, false_alarms=false_alarms, threshold=threshold, max_count=max_count, max_overlap=max_overlap,
            prefilter=prefilter, image_mask=searched_mask, progress=progress,
        )  # fmt: skip
    best = None
    if not matches:
        with _progress("looking for the best place") as progress:
            best = _moved(matcher.best(searched, image_mask=searched_mask, progress=progress), part)
    matches = [_moved(match, part) for match in matches]
    maps = []
    if heatmap or scores:
        with _progress("scoring every place") as progress:
            maps = score_with_validity(matcher, searched, searched_mask, progress)
    about = {"image": str(image), **({"false_alarms": allowed} if allowed else {"threshold": threshold})}
    _print_matches(matches, form, about, pair.image.shape[:2], pixel_ratio)
    with _working("writing pictures") if overlay or heatmap else contextlib.nullcontext():
        if overlay:
            _io.write_figure(overlay, tmatch.plot_matches(picture[0], matches, rejected=best))
        if heatmap:
            _io.write_figure(heatmap, _draw_maps(maps, matches, part))
        if scores:
            _io.write_array(scores, maps[0].scores)
    written = ", ".join(str(path) for path in (overlay, heatmap, scores) if path)
    if written:
        _say(f"written: {written}")
    if best is not None:
        _say(_explain_none(best, allowed, threshold, pixel_ratio))
        raise typer.Exit(NONE_FOUND)


def _region(text: str | None, pixel_ratio: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
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


def _matcher_of(pair: _io.Pair, **preparing: Any) -> Matcher:
    return Matcher(pair.templates, masks=pair.masks, channel_axis=pair.channel_axis, **preparing)


def _part_of(pair: _io.Pair, part: tuple[slice, slice]) -> tuple[Any, Any]:
    """Cut a part out of the picture and its mask."""
    return pair.image[part], None if pair.image_mask is None else pair.image_mask[part]


def _moved(match: tmatch.Match, part: tuple[slice, slice]) -> tmatch.Match:
    """Tell the place in the picture of a match in a part of it."""
    start = tuple(s + p.start for s, p in zip(match.box.start, part, strict=True))
    return replace(match, box=replace(match.box, start=start))


def _draw_maps(maps: list[ScoreMap], matches: list[tmatch.Match], part: tuple[slice, slice]) -> Any:
    first = {m.label: tuple(f + p.start for f, p in zip(m.first, part, strict=True)) for m in maps}
    return tmatch.plot_heatmap({m.label: m.heights for m in maps}, matches, first=first)


def _print_matches(
    matches: list[tmatch.Match],
    form: Any,
    about: dict[str, Any],
    size: tuple[int, int],
    pixel_ratio: float,
) -> None:
    if form != "table":
        text = _io.format_matches(matches, form, about=about, size=size, pixel_ratio=pixel_ratio)
        if text:
            print(text)
    elif matches:
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Column, Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        numbers = (
            Column(name, justify="right", no_wrap=True)
            for name in ("x", "y", "width", "height", "score", "false alarms", "second best")
        )
        table = Table(Column("label", overflow="fold"), *numbers)
        for match in matches:
            numbers_of = (f"{_io.in_units(value, pixel_ratio):g}" for value in match.box.xywh)
            told = (
                "" if value is None else f"{value:.2g}" for value in (match.false_alarms, match.second_best)
            )
            table.add_row(Text(match.label), *numbers_of, f"{match.score:.3f}", *told)
        Console(width=_table_width()).print(table)


def _explain_none(
    best: tmatch.Match, allowed: float | None, threshold: float | None, pixel_ratio: float
) -> str:
    x, y, _, _ = (_io.in_units(value, pixel_ratio) for value in best.box.xywh)
    if threshold is not None:
        digits = 2 if round(best.score, 2) < threshold else 6
        told = (
            f"no score reached {threshold:g}; "
            f'the best score was {best.score:.{digits}f} of "{best.label}" at x={x}, y={y}.'
        )
        remedy = "lower --threshold below that score"
    else:
        told = (
            f'the best score was {best.score:.2f} of "{best.label}" at x={x}, y={y}; chance gives '
            f"{best.false_alarms:.2g} as good in a search like this, and {allowed:g} are allowed."
        )
        remedy = "allow more --false-alarms, or decide by the score with --threshold"
    return (
        f"nothing found: {told}\n"
        f"Look at that place with --overlay or --heatmap; if it is right, {remedy}.\n"
        "If it is wrong, the object may be turned, of another size, or not there: try a template cut from this picture."
    )


@app.command(epilog="Exit code: 0 written, 2 bad input or usage.")
def heatmap(
    image: ImageFile,
    template: Annotated[
        Path, typer.Argument(metavar="TEMPLATE", help="The picture to find in it.", show_default=False)
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="PNG", help="The figure to write.", show_default=False)
    ],
    gray: Gray = False,
    metric: MetricName = METRIC,
    mask: MaskFile = None,
    image_mask: ImageMaskFile = None,
    alpha: AlphaRule = "opaque",
    min_overlap: MinOverlap = MIN_OVERLAP,
    output: Places = PLACES,
    region: RegionText = None,
) -> None:
    """Draw how well TEMPLATE fits at every place of IMAGE."""
    _io.check_targets([image, template, *(path for path in (mask, image_mask) if path)], [out])
    picture = _io.read_picture(image, alpha)
    pair = _io.read_pair(picture, [template], gray=gray, alpha=alpha, mask=mask, image_mask=image_mask)
    part = _region(region, 1, pair.image.shape)
    matcher = _matcher_of(pair, metric=metric, min_overlap=min_overlap, output=output)
    searched, searched_mask = _part_of(pair, part)
    with _progress("scoring every place") as progress:
        maps = score_with_validity(matcher, searched, searched_mask, progress)
    with _working("writing pictures"):
        best = _moved(maps[0].best, part)
        _io.write_figure(out, _draw_maps(maps, [best], part))
    x, y, _, _ = best.box.xywh
    _say(f"best score {best.score:.3f} at x={x}, y={y}; written: {out}")


@app.command(epilog="Exit code: 0 done, 2 bad input or usage.")
def kernels(
    name: Annotated[
        str | None,
        typer.Argument(help="A kernel's name or file; all are listed without.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the kernel NAME and its frequency response.")
    ] = None,
) -> None:
    """Print the numbers of a kernel, or list all that `tmatch filter` knows."""
    if name is not None:
        kernel = _io.find_kernel(name)
        if plot:
            _io.check_targets([Path(name)], [plot])
            _io.write_figure(plot, plot_kernel(kernel, name))
            _say(f"written: {plot}")
        print(_io.format_kernel(kernel))
        return
    if plot:
        msg = "--plot draws one kernel; name it, as in: tmatch kernels sobel_x --plot sobel_x.png"
        raise ValueError(msg)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    note = (
        "Directions hold for --op correlate, which lays a kernel as it is; convolve turns it by half a turn."
    )
    table = Table("kernel", "size", "what it does", "weights", show_lines=True, caption=note)
    for known in tmatch.kernels.names():
        kernel = tmatch.kernels.get(known)
        summary = (inspect.getdoc(getattr(tmatch.kernels, known)) or "").splitlines()[0]
        weights = _io.format_kernel(kernel) if max(kernel.shape) <= 5 else f"tmatch kernels {known}"
        table.add_row(known, "x".join(map(str, kernel.shape)), summary, weights)
    Console(width=_table_width()).print(table)


@app.command("filter", epilog="Exit code: 0 written, 2 bad input or usage.")
def filter_image(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="The picture to filter.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="The picture to write; as .npy the numbers themselves.",
            show_default=False,
        ),
    ],
    kernel: Annotated[
        str | None,
        typer.Option(
            "-k",
            "--kernel",
            metavar="NAME|FILE|NUMBERS",
            help='One of `tmatch kernels`, a text, CSV or NPY file, or rows as in "0 -1 0; -1 5 -1; 0 -1 0".',
        ),
    ] = None,
    bank: Annotated[
        str | None, typer.Option(metavar="NAME,NAME,...", help="Several kernels, for --compare.")
    ] = None,
    op: Annotated[
        Literal["convolve", "correlate"], typer.Option(help="With the kernel flipped, or as it is.")
    ] = "convolve",
    border: Annotated[Border, typer.Option(help="How the picture goes on outside itself.")] = _default(
        tmatch.convolve, "border"
    ),
    output: Annotated[
        Output, typer.Option(help="As large as the picture, only full overlap, or any overlap.")
    ] = _default(tmatch.convolve, "output"),
    stride: Annotated[int, typer.Option(metavar="N", help="Keep every Nth result on each axis.")] = _default(
        tmatch.convolve, "stride"
    ),
    how: Annotated[RangeRule, typer.Option("--range", help="How real numbers become pixels.")] = _default(
        tmatch.to_range, "how"
    ),
    compare: Annotated[
        bool, typer.Option("--compare", help="Write a figure of the picture and every result.")
    ] = False,
    against: Annotated[
        Literal["scipy"] | None,
        typer.Option(help="Beside each result of --compare that of SciPy, and the difference."),
    ] = None,
) -> None:
    """Filter IMAGE with a kernel and write the result as a picture.

    Colours are filtered one by one. Of complex results the magnitude is written.

        tmatch filter photo.png -k sobel_x --border reflect --range abs -o edges.png
    """
    sources = ([kernel] if kernel else []) + [
        part.strip() for part in (bank or "").split(",") if part.strip()
    ]
    if not sources:
        msg = "no kernel is given; name one with -k, or several with --bank; `tmatch kernels` lists them"
        raise ValueError(msg)
    if not compare and (len(sources) > 1 or against):
        msg = "several kernels, and --against, make a figure; add --compare"
        raise ValueError(msg)
    if len(set(sources)) < len(sources):
        msg = "the same kernel is given twice; name each one once"
        raise ValueError(msg)
    _io.check_targets([image, *map(Path, sources)], [out] if compare else [], [] if compare else [out])
    if not compare and out.suffix.lower() != ".npy":
        _io.check_picture(out)
    pixels = tmatch.read_image(image)
    if pixels.dtype not in ("uint8", "uint16") and how != "rescale" and out.suffix.lower() != ".npy":
        msg = f'"{image}" holds {pixels.dtype}, whose values have no range of their own; use --range rescale or .npy'
        raise ValueError(msg)
    depth = "uint16" if pixels.dtype == "uint16" and not compare else "uint8"
    if compare and pixels.dtype == "uint16":
        pixels = pixels / 257  # shown with 8 bits
    bank_kernels = {source: _io.find_kernel(source) for source in sources}
    options: dict[str, Any] = {"border": border, "output": output, "stride": stride}
    options["channel_axis"] = 2 if pixels.ndim == 3 else None
    with _working("filtering"):
        run = tmatch.convolve if op == "convolve" else tmatch.correlate
        results = {source: _real(run(pixels, k, **options)) for source, k in bank_kernels.items()}
        if compare:
            shown = {
                source: [("tmatch" if against else "", tmatch.to_range(result, how=how))]
                for source, result in results.items()
            }
            for source, k in bank_kernels.items() if against else ():
                theirs = _real(filter_with_scipy(pixels, k, op=op, **options))
                difference = abs(results[source] - theirs)
                shown[source] += [
                    ("SciPy", tmatch.to_range(theirs, how=how)),
                    (f"difference, at most {difference.max():.2g}", tmatch.to_range(difference)),
                ]
            original = tmatch.to_range(pixels) if how != "rescale" else pixels
            _io.write_figure(out, plot_filters(original, shown))
        elif out.suffix.lower() == ".npy":
            _io.write_array(out, next(iter(results.values())))
        else:
            _io.write_image(out, tmatch.to_range(next(iter(results.values())), how=how, dtype=depth))
    _say(f"written: {out}")


@app.command()
def info() -> None:
    """Tell what tmatch works with here: versions, engine, threads."""
    import platform  # noqa: PLC0415
    from importlib.metadata import version  # noqa: PLC0415

    print(f"tmatch {tmatch.__version__}, Python {platform.python_version()}")
    print(f"transforms: scipy.fft of SciPy {version('scipy')}; arrays: NumPy {version('numpy')}")
    print(f"engine: {describe()}")
    print(f"threads: {available_cores()}, the cores this process may use")


def _real(result: Any) -> Any:
    return abs(result) if result.dtype.kind == "c" else result


def main() -> None:
    """Run the command line."""
    if sys.stderr is None:  # closed by the caller: words have nowhere to go, data still do
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    app(prog_name="tmatch")
