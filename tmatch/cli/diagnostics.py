"""Commands that study rather than search: how good a template is, what it can stand, why it was not found."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

import tmatch
from tmatch._diagnostics.distortions import DISTORTIONS, Kind
from tmatch._diagnostics.robustness import format_rows
from tmatch._io import pairs, writing
from tmatch.cli.options import (
    MAX_OVERLAP,
    METRIC,
    MIN_OVERLAP,
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
    Places,
    PlaceText,
    PrefilterName,
    Threshold,
    default_of,
    read_place,
    say,
    show_progress,
    show_working,
)

TemplateFile = Annotated[
    Path, typer.Argument(metavar="TEMPLATE", help="The picture to find.", show_default=False)
]
TextForm = Annotated[
    Literal["text", "json"], typer.Option("--format", help="Lines to read, or JSON for programs.")
]


def inspect(
    template: TemplateFile,
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
    writing.check_targets(given, [plot] if plot else [])
    picture = pairs.read_search_image(image, alpha) if image else pairs.read_search_image(template, "ignore")
    pair = pairs.read_pair(picture, [template], gray=gray, alpha=alpha, mask=mask)
    [(label, pixels)] = pair.templates.items()
    options: dict[str, Any] = {"mask": pair.masks.get(label), "channel_axis": pair.channel_axis}
    with show_working("comparing"):
        found = tmatch.inspect_template(pixels, pair.image if image else None, **options)
    print(json.dumps(asdict(found), indent=2) if form == "json" else _tell(found))
    if plot:
        writing.write_figure(plot, tmatch.plot_inspection(pixels, found, **options))
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


def robustness(
    image: ImageFile,
    template: TemplateFile,
    at: PlaceText = None,
    kinds: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help=f"Some of {', '.join(DISTORTIONS)}, with commas; all without."),
    ] = None,
    trials: Annotated[
        int, typer.Option(metavar="N", help="Searches for each level that leaves something to chance.")
    ] = default_of(tmatch.robustness, "trials"),
    seed: Annotated[int, typer.Option(metavar="N", help="Other numbers draw other noise and patches.")] = 0,
    false_alarms: FalseAlarms = None,
    threshold: Threshold = None,
    prefilter: PrefilterName = PREFILTER,
    gray: Gray = False,
    mask: MaskFile = None,
    alpha: AlphaRule = "opaque",
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How the rows are printed.")
    ] = "table",
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the study.")] = None,
) -> None:
    """Find out what TEMPLATE can stand: IMAGE is harmed by and by, and TEMPLATE is sought each time.

    The true place is that of the best match in IMAGE as it is, or that of --at.
    """
    writing.check_targets([path for path in (image, template, mask) if path], [plot] if plot else [])
    pair = pairs.read_pair(
        pairs.read_search_image(image, alpha), [template], gray=gray, alpha=alpha, mask=mask
    )
    [(label, sought)] = pair.templates.items()
    pictures = [
        tmatch.to_range(p) if p.dtype.kind == "f" else p for p in (pair.image, sought)
    ]  # grey of colours
    corner = read_place(at)
    with show_progress("harming and searching") as progress:
        rows = tmatch.robustness(
            *pictures, box=None if corner is None else tmatch.Box(corner, sought.shape[:2]),
            kinds=None if kinds is None else cast("list[Kind]", kinds.split(",")), trials=trials,
            false_alarms=false_alarms, threshold=threshold, prefilter=prefilter, mask=pair.masks.get(label),
            channel_axis=pair.channel_axis, rng=seed, progress=progress,
        )  # fmt: skip
    if form == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print(format_rows(rows).rstrip("\n") if form == "csv" else _lay_out(rows))
    if plot:
        writing.write_figure(plot, tmatch.plot_robustness(rows))
        say(f"written: {plot}")


def _lay_out(rows: list[tmatch.RobustnessRow]) -> str:
    lines = [f"{'harm':28}{'level':>7}{'found':>8}{'false':>8}{'off by':>9}{'score':>8}"]
    for before, row in zip([None, *rows], rows, strict=False):
        name = "" if before is not None and before.kind == row.kind else f"{row.kind}, {row.unit}"
        found = f"{round(row.detection * row.trials)}/{row.trials}"
        off = "-" if row.error is None else f"{row.error:.1f} px"
        score = "-" if row.score is None else f"{row.score:.3f}"
        lines.append(f"{name:28}{row.level:>7g}{found:>8}{row.false_matches:>8.3g}{off:>9}{score:>8}")
    return "\n".join(lines)


def explain(
    image: ImageFile,
    template: TemplateFile,
    at: PlaceText = None,
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
    form: TextForm = "text",
) -> None:
    """Tell why a place of IMAGE was reported by `tmatch locate` with the same options, or why not.

    Without --at the best place is explained, and for a miss, whether another size or turn would do better.
    """
    pair = pairs.read_pair(
        pairs.read_search_image(image, alpha),
        [template],
        gray=gray,
        alpha=alpha,
        mask=mask,
        image_mask=image_mask,
    )
    [(label, sought)] = pair.templates.items()
    with show_progress("looking for reasons") as progress:
        told = tmatch.explain(
            pair.image, sought, at=read_place(at), false_alarms=false_alarms, threshold=threshold,
            max_count=max_count, max_overlap=max_overlap, prefilter=prefilter, metric=metric,
            mask=pair.masks.get(label), image_mask=pair.image_mask, min_overlap=min_overlap, output=output,
            channel_axis=pair.channel_axis, progress=progress,
        )  # fmt: skip
    print(json.dumps(asdict(told), indent=2) if form == "json" else told.text)
