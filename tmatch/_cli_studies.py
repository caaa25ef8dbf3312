"""Commands that study rather than search: how good a template is, what it can stand, why it was not found."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import tmatch
from tmatch import _io
from tmatch._cli_common import AlphaRule, Gray, MaskFile, say, show_working

TextForm = Annotated[
    Literal["text", "json"], typer.Option("--format", help="Lines to read, or JSON for programs.")
]


def inspect(
    template: Annotated[
        Path, typer.Argument(metavar="TEMPLATE", help="The picture to find.", show_default=False)
    ],
    image: Annotated[
        Path | None, typer.Argument(metavar="[IMAGE]", help="Where it is to be found.", show_default=False)
    ] = None,
    gray: Gray = False,
    mask: MaskFile = None,
    alpha: AlphaRule = "opaque",
    form: TextForm = "text",
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw what was found out.")] = None,
) -> None:
    """Tell whether TEMPLATE is a good one: how much there is to compare, what it is like, what noise it stands."""
    given = [path for path in (template, image, mask) if path]
    _io.check_targets(given, [plot] if plot else [])
    pair = _io.read_pair(
        _io.read_picture(image or template, alpha), [template], gray=gray, alpha=alpha, mask=mask
    )
    [(label, pixels)] = pair.templates.items()
    options: dict[str, Any] = {"mask": pair.masks.get(label), "channel_axis": pair.channel_axis}
    with show_working("comparing"):
        found = tmatch.inspect_template(pixels, pair.image if image else None, **options)
    print(json.dumps(asdict(found), indent=2) if form == "json" else _tell(found))
    if plot:
        _io.write_figure(plot, tmatch.plot_inspection(pixels, found, **options))
        say(f"written: {plot}")


def _tell(found: tmatch.Inspection) -> str:
    height, width = found.shape
    counted = "all" if round(found.pixels) == height * width else f"{found.pixels:.0f}"
    lines = [
        ("size", f"{width} x {height} pixels, {counted} count"),
        ("contrast", f"{found.contrast:.3g} grey levels"),
        ("compares as", f"{found.effective_pixels:.3g} independent pixels"),
        ("chance score", f"{found.chance_score:.2f}, once in 100 clean pictures of {found.places:,} places"),
        ("noise", f"up to {found.noise:.2g} grey levels"),
        ("side lobe", f"{found.side_lobe:.2f}{_at(found.side_lobe_at)}" if found.side_lobe_at else "none"),
        ("separation", f"{found.separation[1]:.3g} pixels across, {found.separation[0]:.3g} down"),
        ("likeness", ", ".join(f"{score:.2f} {name}" for name, score in found.likeness)),
    ]
    if found.best_score is not None:
        lines.append(("best place", f"{found.best_score:.2f}{_at(found.best_at)}"))
    if found.second_score is not None:
        of = "" if found.second_ratio is None else f" ({found.second_ratio:.2f} of the best)"
        lines.append(("second place", f"{found.second_score:.2f}{_at(found.second_at)}{of}"))
    return "\n".join([*(f"{name:16}{text}" for name, text in lines if text), found.advice])


def _at(place: tuple[int, ...]) -> str:
    return f" at x={place[1]}, y={place[0]}"
