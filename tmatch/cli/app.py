"""The command line: parse, call the public functions, print."""

import contextlib
import inspect
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

import tmatch
from tmatch._arrays.options import Border, Output
from tmatch._detection.criterion import Criterion
from tmatch._engine.select import describe
from tmatch._engine.threads import available_cores
from tmatch._filtering.ranges import RangeRule
from tmatch._io import kernels as kernel_files
from tmatch._io import pairs, writing
from tmatch._plotting.filters import plot_filters, plot_kernel
from tmatch._results import formats
from tmatch._scoring.maps import ScoreMap
from tmatch._search.matcher import map_scores
from tmatch.cli import diagnostics
from tmatch.cli.options import (
    BAD_INPUT,
    INTERRUPTED,
    MAX_OVERLAP,
    METRIC,
    MIN_OVERLAP,
    NONE_FOUND,
    PIPE_CLOSED,
    PLACES,
    PREFILTER,
    AlphaRule,
    FalseAlarms,
    Gray,
    ImageFile,
    ImageMaskFile,
    MaskFile,
    MaxCount,
    MaxOverlap,
    MetricName,
    MinOverlap,
    PixelRatio,
    Places,
    PrefilterName,
    RegionText,
    Threshold,
    default_of,
    matcher_of,
    moved,
    part_of,
    read_region,
    say,
    show_progress,
    show_working,
    table_width,
)
from tmatch.cli.scipy_filter import filter_with_scipy


class _Commands(TyperGroup):
    """The commands, with one place that turns errors into a line on stderr and an exit code."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader has had enough, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(PIPE_CLOSED) from None
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, TypeError, OSError, MemoryError) as error:
            if ctx.params.get("debug"):
                raise
            text = (
                "not enough memory; crop or shrink the image"
                if isinstance(error, MemoryError)
                else str(error)
            )
            say("error: " + " ".join(text.split()))
            raise typer.Exit(BAD_INPUT) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


@app.command(epilog="Exit code: 0 found, 1 nothing found, 2 bad input or usage.")
def locate(
    image: ImageFile,
    templates: Annotated[
        list[Path],
        typer.Argument(metavar="TEMPLATE", help="The pictures to find in it.", show_default=False),
    ],
    false_alarms: FalseAlarms = None,
    threshold: Threshold = None,
    max_count: MaxCount = None,
    max_overlap: MaxOverlap = MAX_OVERLAP,
    prefilter: PrefilterName = PREFILTER,
    gray: Gray = False,
    metric: MetricName = METRIC,
    mask: MaskFile = None,
    image_mask: ImageMaskFile = None,
    alpha: AlphaRule = "opaque",
    min_overlap: MinOverlap = MIN_OVERLAP,
    output: Places = PLACES,
    region: RegionText = None,
    pixel_ratio: PixelRatio = 1.0,
    form: Annotated[formats.Format, typer.Option("--format", help="How matches are printed.")] = "table",
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
    allowed = Criterion.of(
        metric, false_alarms=false_alarms, threshold=threshold, prefilter=prefilter
    ).false_alarms
    if scores and len(templates) > 1:
        msg = f"--scores writes one score map, but {len(templates)} templates are given; name one of them"
        raise ValueError(msg)
    if scores and scores.suffix.lower() != ".npy":
        msg = f'cannot write "{scores}": --scores writes arrays; use the ending .npy'
        raise ValueError(msg)
    masks = [path for path in (mask, image_mask) if path]
    writing.check_targets(
        [image, *templates, *masks], [p for p in (overlay, heatmap) if p], [scores] if scores else []
    )
    picture = pairs.read_search_image(image, alpha)
    part = read_region(region, pixel_ratio, picture[0].shape)
    pair = pairs.read_pair(picture, templates, gray=gray, alpha=alpha, mask=mask, image_mask=image_mask)
    matcher = matcher_of(pair, metric=metric, min_overlap=min_overlap, output=output)
    searched, searched_mask = part_of(pair, part)
    with show_progress("searching") as progress:
        matches = matcher.locate(
            searched, false_alarms=false_alarms, threshold=threshold, max_count=max_count, max_overlap=max_overlap,
            prefilter=prefilter, image_mask=searched_mask, progress=progress,
        )  # fmt: skip
    best = None
    if not matches:
        with show_progress("looking for the best place") as progress:
            best = moved(matcher.best(searched, image_mask=searched_mask, progress=progress), part)
    matches = [moved(match, part) for match in matches]
    maps = []
    if heatmap or scores:
        with show_progress("scoring every place") as progress:
            maps = map_scores(matcher, searched, searched_mask, progress)
    about = {"image": str(image), **({"false_alarms": allowed} if allowed else {"threshold": threshold})}
    _print_matches(matches, form, about, pair.image.shape[:2], pixel_ratio)
    with show_working("writing pictures") if overlay or heatmap else contextlib.nullcontext():
        if overlay:
            writing.write_figure(overlay, tmatch.plot_matches(picture[0], matches, rejected=best))
        if heatmap:
            writing.write_figure(heatmap, _draw_maps(maps, matches, part))
        if scores:
            writing.write_array(scores, maps[0].scores)
    written = ", ".join(str(path) for path in (overlay, heatmap, scores) if path)
    if written:
        say(f"written: {written}")
    if best is not None:
        say(_explain_none(best, allowed, threshold, pixel_ratio))
        raise typer.Exit(NONE_FOUND)


def _draw_maps(maps: list[ScoreMap], matches: list[tmatch.Match], part: tuple[slice, slice]) -> Any:
    first = {m.label: tuple(f + p.start for f, p in zip(m.first, part, strict=True)) for m in maps}
    return tmatch.plot_heatmap({m.label: m.masked_scores for m in maps}, matches, first=first)


def _print_matches(
    matches: list[tmatch.Match],
    form: Any,
    about: dict[str, Any],
    size: tuple[int, int],
    pixel_ratio: float,
) -> None:
    if form != "table":
        text = formats.format_matches(matches, form, about=about, size=size, pixel_ratio=pixel_ratio)
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
            numbers_of = (f"{formats.in_units(value, pixel_ratio):g}" for value in match.box.xywh)
            told = (
                "" if value is None else f"{value:.2g}" for value in (match.false_alarms, match.second_best)
            )
            table.add_row(Text(match.label), *numbers_of, f"{match.score:.3f}", *told)
        Console(width=table_width()).print(table)


def _explain_none(
    best: tmatch.Match, allowed: float | None, threshold: float | None, pixel_ratio: float
) -> str:
    x, y, _, _ = (formats.in_units(value, pixel_ratio) for value in best.box.xywh)
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
    writing.check_targets([image, template, *(path for path in (mask, image_mask) if path)], [out])
    picture = pairs.read_search_image(image, alpha)
    pair = pairs.read_pair(picture, [template], gray=gray, alpha=alpha, mask=mask, image_mask=image_mask)
    part = read_region(region, 1, pair.image.shape)
    matcher = matcher_of(pair, metric=metric, min_overlap=min_overlap, output=output)
    searched, searched_mask = part_of(pair, part)
    with show_progress("scoring every place") as progress:
        maps = map_scores(matcher, searched, searched_mask, progress)
    with show_working("writing pictures"):
        best = moved(maps[0].best, part)
        writing.write_figure(out, _draw_maps(maps, [best], part))
    x, y, _, _ = best.box.xywh
    say(f"best score {best.score:.3f} at x={x}, y={y}; written: {out}")


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
        kernel = kernel_files.find_kernel(name)
        if plot:
            writing.check_targets([Path(name)], [plot])
            writing.write_figure(plot, plot_kernel(kernel, name))
            say(f"written: {plot}")
        print(kernel_files.format_kernel(kernel))
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
        weights = kernel_files.format_kernel(kernel) if max(kernel.shape) <= 5 else f"tmatch kernels {known}"
        table.add_row(known, "x".join(map(str, kernel.shape)), summary, weights)
    Console(width=table_width()).print(table)


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
    border: Annotated[Border, typer.Option(help="How the picture goes on outside itself.")] = default_of(
        tmatch.convolve, "border"
    ),
    output: Annotated[
        Output, typer.Option(help="As large as the picture, only full overlap, or any overlap.")
    ] = default_of(tmatch.convolve, "output"),
    stride: Annotated[
        int, typer.Option(metavar="N", help="Keep every Nth result on each axis.")
    ] = default_of(tmatch.convolve, "stride"),
    how: Annotated[RangeRule, typer.Option("--range", help="How real numbers become pixels.")] = default_of(
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
    writing.check_targets([image, *map(Path, sources)], [out] if compare else [], [] if compare else [out])
    if not compare and out.suffix.lower() != ".npy":
        writing.check_image_target(out)
    pixels = tmatch.read_image(image)
    if pixels.dtype not in ("uint8", "uint16") and how != "rescale" and out.suffix.lower() != ".npy":
        msg = f'"{image}" holds {pixels.dtype}, whose values have no range of their own; use --range rescale or .npy'
        raise ValueError(msg)
    depth = "uint16" if pixels.dtype == "uint16" and not compare else "uint8"
    if compare and pixels.dtype == "uint16":
        pixels = pixels / 257  # shown with 8 bits
    bank_kernels = {source: kernel_files.find_kernel(source) for source in sources}
    options: dict[str, Any] = {"border": border, "output": output, "stride": stride}
    options["channel_axis"] = 2 if pixels.ndim == 3 else None
    with show_working("filtering"):
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
            writing.write_figure(out, plot_filters(original, shown))
        elif out.suffix.lower() == ".npy":
            writing.write_array(out, next(iter(results.values())))
        else:
            writing.write_image(out, tmatch.to_range(next(iter(results.values())), how=how, dtype=depth))
    say(f"written: {out}")


@app.command()
def info() -> None:
    """Tell what tmatch works with here: versions, engine, threads."""
    import platform  # noqa: PLC0415
    from importlib.metadata import version  # noqa: PLC0415

    print(f"tmatch {tmatch.__version__}, Python {platform.python_version()}")
    print(f"arrays: NumPy {version('numpy')}")
    print(f"transforms: scipy.fft of SciPy {version('scipy')}; with numba, in two dimensions, tmatch's own")
    print(f"engine: {describe()}")
    print(f"threads: {available_cores()}, the cores this process may use")


for _study in (diagnostics.inspect, diagnostics.robustness, diagnostics.explain):
    app.command(epilog="Exit code: 0 done, 2 bad input or usage.")(_study)


def _real(result: Any) -> Any:
    return abs(result) if result.dtype.kind == "c" else result


def main() -> None:
    """Run the command line."""
    if sys.stderr is None:  # closed by the caller: words have nowhere to go, data still do
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115
    app(prog_name="tmatch")
