"""The command line: parse, call the public functions, print."""

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import tmatch
from tmatch import _io

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


ImageFile = Annotated[Path, typer.Argument(help="The picture to search.", show_default=False)]
Gray = Annotated[bool, typer.Option("--gray", help="Match grey levels even where both pictures have colour.")]


@app.command(epilog="Exit code: 0 found, 1 nothing found, 2 bad input or usage.")
def locate(
    image: ImageFile,
    templates: Annotated[
        list[Path],
        typer.Argument(metavar="TEMPLATE...", help="The pictures to find in it.", show_default=False),
    ],
    threshold: Annotated[
        float, typer.Option(metavar="F", help="Least score of a match, from -1 to 1.")
    ] = _default(tmatch.locate, "threshold"),
    max_count: Annotated[
        int | None, typer.Option(metavar="N", help="At most so many matches, the best ones.")
    ] = None,
    max_overlap: Annotated[
        float,
        typer.Option(metavar="F", help="Of two boxes that overlap more (intersection over union), keep one."),
    ] = _default(tmatch.locate, "max_overlap"),
    gray: Gray = False,
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
    if scores and len(templates) > 1:
        msg = f"--scores writes one score map, but {len(templates)} templates are given; name one of them"
        raise ValueError(msg)
    pixels, sought, channel_axis = _io.read_pair(image, templates, gray=gray)
    with _working("matching"):
        matches = tmatch.locate(
            pixels,
            sought,
            threshold=threshold,
            max_count=max_count,
            max_overlap=max_overlap,
            channel_axis=channel_axis,
        )
        best = None if matches else tmatch.best_match(pixels, sought, channel_axis=channel_axis)
        if heatmap or scores:
            maps = {k: tmatch.match_template(pixels, t, channel_axis=channel_axis) for k, t in sought.items()}
    with _working("writing pictures"):
        if overlay:
            shown = tmatch.read_image(image)
            _io.write_figure(overlay, tmatch.plot_matches(shown, matches, rejected=best))
        if heatmap:
            _io.write_figure(heatmap, tmatch.plot_heatmap(maps, matches))
        if scores:
            _io.write_array(scores, next(iter(maps.values())))
    _print_matches(matches, form, str(image), pixels.shape[:2], threshold)
    written = ", ".join(str(path) for path in (overlay, heatmap, scores) if path)
    if written:
        _say(f"written: {written}")
    if best is not None:
        _say(_explain_none(best, threshold))
        raise typer.Exit(NONE_FOUND)


def _print_matches(
    matches: list[tmatch.Match], form: Any, image: str, size: tuple[int, int], threshold: float
) -> None:
    if form != "table":
        text = _io.format_matches(matches, form, image=image, size=size, threshold=threshold)
        if text:
            print(text)
    elif matches:
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Column, Table  # noqa: PLC0415

        numbers = (Column(name, justify="right") for name in ("x", "y", "width", "height", "score"))
        table = Table("label", *numbers)
        for match in matches:
            table.add_row(match.label, *map(str, match.box.xywh), f"{match.score:.3f}")
        Console().print(table)


def _explain_none(best: tmatch.Match, threshold: float) -> str:
    x, y, _, _ = best.box.xywh
    digits = 2 if round(best.score, 2) < threshold else 6
    which = f' of "{best.label}"'
    return (
        f"nothing found: no score reached {threshold:g}; "
        f"the best score was {best.score:.{digits}f}{which} at x={x}, y={y}.\n"
        "Look at that place with --overlay or --heatmap; if it is right, lower --threshold below that score.\n"
        "If it is wrong, the object may be turned, of another size, or not there: try a template cut from this picture."
    )


@app.command(epilog="Exit code: 0 written, 2 bad input or usage.")
def heatmap(
    image: ImageFile,
    template: Annotated[Path, typer.Argument(help="The picture to find in it.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PNG", help="The figure to write.", show_default=False)
    ],
    gray: Gray = False,
) -> None:
    """Draw how well TEMPLATE fits at every place of IMAGE."""
    pixels, sought, channel_axis = _io.read_pair(image, [template], gray=gray)
    with _working("matching"):
        maps = {k: tmatch.match_template(pixels, t, channel_axis=channel_axis) for k, t in sought.items()}
        best = tmatch.best_match(pixels, sought, channel_axis=channel_axis)
        _io.write_figure(output, tmatch.plot_heatmap(maps, [best]))
    x, y, _, _ = best.box.xywh
    _say(f"best score {best.score:.3f} at x={x}, y={y}; written: {output}")


@app.command()
def kernels() -> None:
    """List the kernels that `tmatch filter` knows, with their numbers."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table("kernel", "size", "what it does", "weights", show_lines=True)
    for name in tmatch.kernels.names():
        kernel = tmatch.kernels.get(name)
        weights = (
            "\n".join(" ".join(f"{w:6.3g}" for w in row) for row in kernel) if kernel.shape[0] <= 5 else "..."
        )
        summary = (inspect.getdoc(getattr(tmatch.kernels, name)) or "").splitlines()[0]
        table.add_row(name, "x".join(map(str, kernel.shape)), summary, weights)
    Console().print(table)


@app.command("filter", epilog="Exit code: 0 written, 2 bad input or usage.")
def filter_image(
    image: Annotated[Path, typer.Argument(help="The picture to filter.", show_default=False)],
    kernel: Annotated[
        str,
        typer.Option("-k", "--kernel", metavar="NAME", help="One of `tmatch kernels`.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="PNG", help="The picture to write.", show_default=False)
    ],
) -> None:
    """Convolve IMAGE with a kernel of the bank and write the result, cut to 0..255."""
    pixels = tmatch.read_image(image)
    channel_axis = 2 if pixels.ndim == 3 else None
    result = tmatch.convolve(pixels, tmatch.kernels.get(kernel), border="reflect", channel_axis=channel_axis)
    _io.write_image(output, tmatch.to_range(result))
    _say(f"written: {output}")


def main() -> None:
    """Run the command line."""
    app(prog_name="tmatch")
