"""Commands of linear filters: filter and kernels."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

import tmatch
from tmatch._arrays.channels import split_channels
from tmatch._arrays.options import Border, Output
from tmatch._arrays.typing import Array
from tmatch._filtering.ranges import RangeRule
from tmatch._io import images, writing
from tmatch._io import kernels as kernel_files
from tmatch._plotting.filters import plot_filters, plot_kernel
from tmatch.cli import options
from tmatch.cli.console import Console, console_of
from tmatch.cli.options import default_of

Operation = Literal["convolve", "correlate"]
_SCIPY_MODES = {
    "constant": "constant",
    "edge": "nearest",
    "reflect": "mirror",
    "symmetric": "reflect",
    "wrap": "wrap",
}


def kernels(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        options.argument(
            options.KERNEL, "NAME", "Name or file of a kernel to print. By default all kernels are listed."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        options.target(
            "Draw the kernel, and how strongly it lets each frequency pass, as a figure in this file."
        ),
    ] = None,
) -> None:
    """List the kernels that `tmatch filter` knows, or print the weights of one."""
    console = console_of(ctx)
    if name is not None:
        kernel = kernel_files.find_kernel(name)
        if plot:
            writing.check_targets([Path(name)], [plot])
            writing.write_figure(plot, plot_kernel(kernel, name))
            console.say(f"written: {plot}")
        console.print(kernel_files.format_kernel(kernel))
        return
    if plot:
        msg = "--plot draws one kernel; name it, as in: tmatch kernels sobel_x --plot sobel_x.png"
        raise ValueError(msg)
    _list_kernels(console)


def filter_image(
    ctx: typer.Context,
    image: Annotated[Path, options.argument(options.KERNEL, "IMAGE", "The image to filter.")],
    out: Annotated[
        Path,
        options.target("The image to write, or a .npy file for numbers that are not rounded.", "-o", "--out"),
    ],
    kernel: Annotated[
        str | None,
        options.option(
            options.KERNEL,
            "KERNEL",
            "The kernel: a name that `tmatch kernels` lists, a text, CSV or NPY file, or its rows as in "
            '"0 -1 0; -1 5 -1; 0 -1 0".',
            "-k",
            "--kernel",
        ),
    ] = None,
    bank: Annotated[
        str | None,
        options.option(
            options.KERNEL, "KERNELS", "Names of several kernels, separated by commas, for --compare."
        ),
    ] = None,
    op: Annotated[
        Operation,
        options.option(
            options.KERNEL, "NAME", "Apply the kernel flipped (convolve) or as it is (correlate)."
        ),
    ] = "convolve",
    stride: Annotated[
        int, options.option(options.KERNEL, "N", "Keep every Nth pixel of the result, across and down.")
    ] = default_of(tmatch.convolve, "stride"),
    border: Annotated[
        Border,
        options.option(
            options.EDGES,
            "NAME",
            "What lies around IMAGE: zeros (constant), its outermost pixels repeated (edge), its mirror image with "
            "the outermost pixels once (reflect) or twice (symmetric), or IMAGE again (wrap).",
        ),
    ] = default_of(tmatch.convolve, "border"),
    output: Annotated[
        Output,
        options.option(
            options.EDGES,
            "NAME",
            "Pixels of the result: those of IMAGE (same), those where the kernel lies inside IMAGE (valid), or all "
            "where the two overlap (full).",
            "--places",
        ),
    ] = default_of(tmatch.convolve, "output"),
    how: Annotated[
        RangeRule,
        options.option(
            options.WRITTEN,
            "NAME",
            "How results become pixels: cut off below 0 and above white (clip), stretched to that range (rescale), "
            "beginning again at 0 above white (wrap), or without their sign and then cut off (abs).",
            "--range",
        ),
    ] = default_of(tmatch.to_range, "how"),
    compare: Annotated[
        bool,
        options.flag(
            options.WRITTEN,
            "--compare",
            "Write a figure of the image and the results of all kernels instead.",
        ),
    ] = False,
    against: Annotated[
        Literal["scipy"] | None,
        options.option(
            options.WRITTEN,
            "NAME",
            "With --compare: what else to show; scipy, its results and the differences.",
        ),
    ] = None,
) -> None:
    """Filter an image with a kernel: blur, sharpen, find edges.

    Colours are filtered one by one. Of complex results the magnitude is written.
    """
    console = console_of(ctx)
    sources = [kernel] if kernel else []
    sources += [name.strip() for name in (bank or "").split(",") if name.strip()]
    _check_sources(sources, compare=compare, against=against)
    _check_target(image, sources, out, compare=compare)
    pixels = _read(image, out, how)
    depth = "uint16" if pixels.dtype == "uint16" else "uint8"
    if compare and depth == "uint16":
        pixels = pixels / 257  # shown with 8 bits
    filters = _Filters(
        {source: kernel_files.find_kernel(source) for source in sources}, op,
        {"border": border, "output": output, "stride": stride, "channel_axis": 2 if pixels.ndim == 3 else None},
    )  # fmt: skip
    with console.status("filtering"):
        results = filters.run(pixels)
        if compare:
            theirs = filters.run_scipy(pixels) if against else None
            original = tmatch.to_range(pixels) if how != "rescale" else pixels
            writing.write_figure(out, plot_filters(original, _panels(results, theirs, how)))
        else:
            _write_result(out, next(iter(results.values())), how, depth)
    console.say(f"written: {out}")
    if how == "clip" and out.suffix.lower() != ".npy":
        _say_clipped(console, results, 255 if compare else np.iinfo(depth).max, compared=compare)


@dataclass(frozen=True)
class _Filters:
    """Kernels by name, and how they are applied; of complex results the magnitude is returned."""

    kernels: Mapping[str, Array]
    op: Operation
    options: dict[str, Any]

    def run(self, pixels: Array) -> dict[str, Array]:
        function = tmatch.convolve if self.op == "convolve" else tmatch.correlate
        return {name: _real(function(pixels, k, **self.options)) for name, k in self.kernels.items()}

    def run_scipy(self, pixels: Array) -> dict[str, Array]:
        return {
            name: _real(filter_with_scipy(pixels, k, op=self.op, **self.options))
            for name, k in self.kernels.items()
        }


def filter_with_scipy(
    image: Array,
    kernel: Array,
    *,
    op: Operation,
    border: Border,
    output: Output,
    stride: int,
    channel_axis: int | None,
) -> Array:
    """Filter as `convolve` and `correlate` do, by `scipy.ndimage`, to compare with."""
    from scipy import ndimage  # noqa: PLC0415

    if output != "same":
        msg = f'`output` is "{output}"; scipy.ndimage knows only "same" to compare with'
        raise ValueError(msg)
    pixels = image.astype(np.float64)
    planes = split_channels(pixels, channel_axis)
    run = getattr(ndimage, op)
    done = [run(plane, kernel, mode=_SCIPY_MODES[border])[::stride, ::stride] for plane in planes]
    return np.asarray(done[0] if channel_axis is None else np.stack(done, axis=channel_axis))


def _check_sources(sources: list[str], *, compare: bool, against: str | None) -> None:
    if not sources:
        msg = "no kernel is given; name one with -k, or several with --bank; `tmatch kernels` lists them"
        raise ValueError(msg)
    if not compare and (len(sources) > 1 or against):
        msg = "several kernels, and --against, make a figure; add --compare"
        raise ValueError(msg)
    if len(set(sources)) < len(sources):
        msg = "the same kernel is given twice; name each one once"
        raise ValueError(msg)


def _check_target(image: Path, sources: list[str], out: Path, *, compare: bool) -> None:
    writing.check_targets([image, *map(Path, sources)], [out] if compare else [], [] if compare else [out])
    if not compare and out.suffix.lower() != ".npy":
        writing.check_image_target(out)


def _read(image: Path, out: Path, how: RangeRule) -> Array:
    """Read an image whose values can be written."""
    pixels = images.read_image(image)
    if pixels.dtype not in ("uint8", "uint16") and how != "rescale" and out.suffix.lower() != ".npy":
        msg = f'"{image}" holds {pixels.dtype}, whose values have no range of their own; use --range rescale or .npy'
        raise ValueError(msg)
    return pixels


def _panels(
    results: Mapping[str, Array], theirs: Mapping[str, Array] | None, how: RangeRule
) -> dict[str, list[tuple[str, Array]]]:
    """Return titled 8-bit images by kernel: the result, and in a comparison SciPy's and the difference."""
    if theirs is None:
        return {name: [("", tmatch.to_range(result, how=how))] for name, result in results.items()}
    panels = {}
    for name, result in results.items():
        difference = abs(result - theirs[name])
        panels[name] = [
            ("tmatch", tmatch.to_range(result, how=how)),
            ("SciPy", tmatch.to_range(theirs[name], how=how)),
            (f"maximum difference {difference.max():.2g}", tmatch.to_range(difference)),
        ]
    return panels


def _write_result(out: Path, result: Array, how: RangeRule, depth: str) -> None:
    if out.suffix.lower() == ".npy":
        writing.write_array(out, result)
    else:
        writing.write_image(out, tmatch.to_range(result, how=how, dtype=depth))


def _say_clipped(console: Console, results: Mapping[str, Array], highest: int, *, compared: bool) -> None:
    """Say how many results were outside the range of pixels, and how to keep them."""
    file = "" if compared else " or a .npy file"
    for name, result in results.items():
        rounded = np.rint(result)
        below, above = int((rounded < 0).sum()), int((rounded > highest).sum())
        if below or above:
            of_one = f" of {name}" if len(results) > 1 else ""
            console.say(
                f"note: {below + above:,} of {result.size:,} results{of_one} were clipped to 0 to {highest}: {below:,} "
                f"were negative, {above:,} too large; --range rescale{file} keeps all, --range abs the magnitudes"
            )


def _list_kernels(console: Console) -> None:
    from rich.table import Table  # noqa: PLC0415

    note = "Directions are those of --op correlate; convolve rotates a kernel by 180 degrees."
    table = Table("kernel", "size", "what it does", "weights", show_lines=True, caption=note)
    for name in tmatch.kernels.names():
        kernel = tmatch.kernels.get(name)
        summary = (inspect.getdoc(getattr(tmatch.kernels, name)) or "").splitlines()[0]
        weights = kernel_files.format_kernel(kernel) if max(kernel.shape) <= 5 else f"tmatch kernels {name}"
        table.add_row(name, "x".join(map(str, kernel.shape)), summary, weights)
    console.print_table(table)


def _real(result: Array) -> Array:
    return np.abs(result) if result.dtype.kind == "c" else result
