"""Commands that study a search: explain, inspect and robustness."""

import json
import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

import tmatch
from tmatch._arrays.validation import check_numbers
from tmatch._diagnostics.distortions import DISTORTIONS, Kind
from tmatch._diagnostics.wording import describe_explanation
from tmatch._io import images, pairs, writing
from tmatch._results import formats
from tmatch.cli import options, parsing
from tmatch.cli.console import console_of
from tmatch.cli.wording import in_options

_MOST_ANGLES = 4  # that are listed


def inspect(
    ctx: typer.Context,
    template: options.TemplateFile,
    image: options.OptionalImageFile = None,
    gray: options.Gray = False,
    mask: options.MaskFile = None,
    alpha: options.AlphaRule = "opaque",
    plot: options.Plot = None,
    form: options.TextForm = "text",
) -> None:
    """Tell how good a template is: its detail, what it may be confused with, what noise it tolerates.

    With an IMAGE, the two may stand in either order: the template is the one that fits into the other.
    """
    console = console_of(ctx)
    template, image = _in_order(template, image)
    writing.check_targets([path for path in (template, image, mask) if path], [plot] if plot else [])
    searched = pairs.read_search_image(image, alpha) if image else pairs.read_search_image(template, "ignore")
    pair = pairs.read_pair(searched, [template], gray=gray, alpha=alpha, mask=mask)
    pixels, weights = pair.only
    reading: dict[str, Any] = {"mask": weights, "channel_axis": pair.channel_axis}
    with console.status("comparing"):
        found = tmatch.inspect_template(pixels, pair.image if image else None, **reading)
    console.print(json.dumps(asdict(found), indent=2) if form == "json" else _describe(found))
    if plot:
        writing.write_figure(plot, tmatch.plot_inspection(pixels, found, **reading))
        console.say(f"written: {plot}")


def _in_order(first: Path, second: Path | None) -> tuple[Path, Path | None]:
    """Tell a template from the image that it is to be found in: only it fits into the other; else it is the first."""
    if second is None or not (first.is_file() and second.is_file()):  # what is a pipe is read only once
        return first, second
    sizes = [images.read_pixels(path)[0].shape[:2] for path in (first, second)]
    swapped = sizes[0] != sizes[1] and all(map(operator.ge, *sizes))
    return (second, first) if swapped else (first, second)


def robustness(
    ctx: typer.Context,
    image: options.ImageFile,
    template: options.TemplateFile,
    at: Annotated[
        str | None,
        options.position(
            "Where TEMPLATE truly is: x and y of its top left corner, in pixels. By default the best match in IMAGE "
            "as it is."
        ),
    ] = None,
    gray: options.Gray = False,
    kinds: Annotated[
        str | None,
        options.option(
            options.DISTORTIONS,
            "NAMES",
            f"Distortions to try, separated by commas: {', '.join(DISTORTIONS)}. By default all.",
        ),
    ] = None,
    trials: Annotated[
        int,
        options.option(
            options.DISTORTIONS, "N", "Searches at each level of noise and occlusion, which are random."
        ),
    ] = options.default_of(tmatch.robustness, "trials"),
    seed: Annotated[
        int,
        options.option(
            options.DISTORTIONS, "N", "Start of the random numbers: the same seed gives the same results."
        ),
    ] = 0,
    threshold: options.Threshold = None,
    false_alarms: options.FalseAlarms = None,
    prefilter: options.PrefilterName = options.PREFILTER,
    angles: options.AnglesText = None,
    scales: options.ScalesText = None,
    flips: options.Flips = False,
    mask: options.MaskFile = None,
    alpha: options.AlphaRule = "opaque",
    plot: options.Plot = None,
    form: Annotated[
        Literal["table", "csv", "json"],
        options.option(
            options.WRITTEN, "NAME", "How the results are printed: as a table, as csv or as json.", "--format"
        ),
    ] = "table",
) -> None:
    """Measure how much noise, blur and other distortions of IMAGE the search for TEMPLATE tolerates.

    IMAGE is distorted more and more, and searched each time.
    """
    console = console_of(ctx)
    writing.check_targets([path for path in (image, template, mask) if path], [plot] if plot else [])
    searched = pairs.read_search_image(image, alpha)
    pair = pairs.read_pair(searched, [template], gray=gray, alpha=alpha, mask=mask)
    sought, weights = pair.only
    whole = [  # grey made of colours is in floats
        tmatch.to_range(check_numbers(name, pixels)) if pixels.dtype.kind == "f" else pixels
        for name, pixels in (("image", pair.image), ("template", sought))
    ]
    corner = parsing.read_position(at)
    with console.progress("distorting and searching") as progress:
        rows = tmatch.robustness(
            *whole, box=None if corner is None else tmatch.Box(corner, sought.shape[:2]),
            kinds=None if kinds is None else cast("list[Kind]", kinds.split(",")), trials=trials,
            false_alarms=false_alarms, threshold=threshold, prefilter=prefilter, mask=weights,
            channel_axis=pair.channel_axis, rng=seed, progress=progress,
            **parsing.given_poses(angles, scales, flips, "auto", False),
        )  # fmt: skip
    if form == "json":
        console.print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        console.print(formats.format_rows(rows) if form == "csv" else _table(rows))
    if plot:
        writing.write_figure(plot, tmatch.plot_robustness(rows))
        console.say(f"written: {plot}")


def explain(
    ctx: typer.Context,
    image: options.ImageFile,
    template: options.TemplateFile,
    at: Annotated[
        str | None,
        options.position(
            "Position to explain: x and y of the top left corner of TEMPLATE, or of its middle if there are --angles, "
            "--scales or --flips; in pixels, or in units of --pixel-ratio. By default the best position."
        ),
    ] = None,
    region: options.RegionText = None,
    gray: options.Gray = False,
    threshold: options.Threshold = None,
    false_alarms: options.FalseAlarms = None,
    max_count: options.MaxCount = None,
    max_overlap: options.MaxOverlap = options.MAX_OVERLAP,
    copies_only: options.CopiesOnly = False,
    metric: options.MetricName = options.METRIC,
    prefilter: options.PrefilterName = options.PREFILTER,
    angles: options.AnglesText = None,
    scales: options.ScalesText = None,
    flips: options.Flips = False,
    pose_search: options.PoseSearch = "auto",
    mask: options.MaskFile = None,
    image_mask: options.ImageMaskFile = None,
    alpha: options.AlphaRule = "opaque",
    output: options.Positions = options.POSITIONS,
    min_overlap: options.MinOverlap = options.MIN_OVERLAP,
    missing: options.MissingRule = "refuse",
    nodata: options.NoData = None,
    form: options.TextForm = "text",
    pixel_ratio: options.PixelRatio = 1.0,
) -> None:
    """Explain why `tmatch locate` finds TEMPLATE at a position of IMAGE, or why it does not.

    Give the same options as to `tmatch locate`. If the best position is no match, or only alike, other sizes and
    rotations are tried, too.
    """
    console = console_of(ctx)
    searched = pairs.read_search_image(image, alpha, parsing.part_finder(region, pixel_ratio), nodata)
    pair = pairs.read_pair(searched, [template], gray=gray, alpha=alpha, mask=mask, image_mask=image_mask)
    sought, weights = pair.only
    rows, columns = searched.part
    units, asked = _Units((rows.start, columns.start), pixel_ratio), parsing.read_position(at, pixel_ratio)
    with console.progress("looking for reasons") as progress:
        explanation = tmatch.explain(
            pair.image, sought, at=None if asked is None else units.in_part(asked), false_alarms=false_alarms,
            threshold=threshold, max_count=max_count, max_overlap=max_overlap, prefilter=prefilter,
            copies_only=copies_only, metric=metric, mask=weights, image_mask=pair.image_mask,
            min_overlap=min_overlap, output=output, missing=missing, channel_axis=pair.channel_axis, progress=progress,
            **parsing.given_poses(angles, scales, flips, pose_search, False),
        )  # fmt: skip
    text = in_options(describe_explanation(explanation, units.name), parsing.options_of(ctx.command))
    told = _told(replace(explanation, text=text), units)
    console.print(json.dumps(told, indent=2) if form == "json" else text)


def _told(explanation: tmatch.Explanation, units: "_Units") -> dict[str, Any]:
    """Return an explanation as JSON holds it; with poses where they were searched."""
    told: dict[str, Any] = units.boxes_of(asdict(explanation, dict_factory=formats.without_poses))
    if explanation.poses is None:
        return told
    others = [(told[name], getattr(explanation, name)) for name in ("near_misses", "best")]
    rows = [(told, explanation), *(pair for pairs in others for pair in zip(*pairs, strict=True))]
    for row, decision in rows:
        row["pose"] = None if decision.posed is None else units.pose_of(decision.posed)
        if decision.removed_by is not None:
            row["removed_by"]["pose"] = units.pose_of(decision.removed_by)
    parts = [asdict(each) for each in explanation.pose_parts]
    return {**told, "poses": asdict(explanation.poses), "pose_parts": parts}


@dataclass(frozen=True)
class _Units:
    """Positions and boxes in the searched part of an image, told from the corner of the image in units of length."""

    corner: tuple[int, int]
    pixel_ratio: float

    def in_part(self, position: tuple[int, int]) -> tuple[int, int]:
        return position[0] - self.corner[0], position[1] - self.corner[1]

    def name(self, start: Sequence[int]) -> str:
        y, x = self._start(start)
        return f"x={x:g}, y={y:g}"

    def boxes_of(self, value: Any) -> Any:
        """Convert all boxes among built-in values."""
        if isinstance(value, dict) and value.keys() == {"start", "shape"}:
            shape = [formats.in_units(side, self.pixel_ratio) for side in value["shape"]]
            return {"start": self._start(value["start"]), "shape": shape}
        if isinstance(value, dict):
            return {name: self.boxes_of(each) for name, each in value.items()}
        return [self.boxes_of(each) for each in value] if isinstance(value, (list, tuple)) else value

    def pose_of(self, match: tmatch.Match) -> dict[str, Any]:
        """Return how a match lies in the image."""
        start = tuple(s + c for s, c in zip(match.box.start, self.corner, strict=True))
        return formats.pose_row(replace(match, box=replace(match.box, start=start)), self.pixel_ratio)

    def _start(self, start: Sequence[int]) -> list[int | float]:
        return [formats.in_units(s + c, self.pixel_ratio) for s, c in zip(start, self.corner, strict=True)]


def _describe(found: tmatch.Inspection) -> str:
    height, width = found.shape
    counted = "all" if round(found.pixels) == height * width else f"{found.pixels:.0f}"
    lines = [
        ("size", f"{width} x {height} pixels, {counted} count"),
        ("contrast", f"{found.contrast:.3g} grey levels"),
        ("effective pixels", f"{found.effective_pixels:.3g}"),
        ("critical score", f"{found.chance_score:.2f} (0.01 false alarms in {found.places:,} positions)"),
        ("noise limit", f"{found.noise:.2g} grey levels"),
        ("side lobe", f"{found.side_lobe:.2f}{_at(found.side_lobe_at)}" if found.side_lobe_at else "none"),
        ("separation", f"{found.separation[1]:.3g} pixels across, {found.separation[0]:.3g} down"),
        ("self-similarity", ", ".join(f"{score:.2f} {name}" for name, score in found.likeness)),
    ]
    if found.reduction is not None:
        lines.append(("other poses", _other_poses(found)))
    if found.best_score is not None:
        lines.append(("best position", f"{found.best_score:.2f}{_at(found.best_at)}"))
    if found.second_score is not None:
        of = "" if found.second_ratio is None else f" ({found.second_ratio:.2f} of the best)"
        lines.append(("second best", f"{found.second_score:.2f}{_at(found.second_at)}{of}"))
    return "\n".join([*(f"{name:18}{text}" for name, text in lines if text), found.advice])


def _other_poses(found: tmatch.Inspection) -> str:
    """Write which poses look alike, and how small an image a search over all angles begins in."""
    size = f"in an image {found.reduction} times smaller" if found.reduction != 1 else "at full size"
    begins = f"a search over all angles begins {size}"
    if found.has_angle is None:
        return begins
    if not found.has_angle:
        return f"the same at all angles: no angle can be told; {begins}"
    return f"{_alternatives(found.alternatives or ())}; {begins}"


def _alternatives(alike: Sequence[tuple[float, bool]]) -> str:
    """Write in which other poses a template looks alike."""
    parts = []
    for flip in (False, True):
        angles = [f"{angle:g}" for angle, flipped in alike if flipped == flip]
        how = (
            f"at {len(angles)} angles"
            if len(angles) > _MOST_ANGLES
            else f"rotated by {', '.join(angles)} degrees"
        )
        if angles:
            parts.append("mirrored" if angles == ["0"] else "mirrored and " * flip + how)
    return "alike " + ", or ".join(parts) if parts else "none looks alike"


def _at(position: tuple[int, ...]) -> str:
    return f" at x={position[1]}, y={position[0]}"


def _table(rows: list[tmatch.RobustnessRow]) -> str:
    lines = [f"{'distortion':28}{'level':>7}{'found':>8}{'false':>8}{'off by':>9}{'score':>8}"]
    for before, row in zip([None, *rows], rows, strict=False):
        name = "" if before is not None and before.kind == row.kind else f"{row.kind}, {row.unit}"
        found = f"{round(row.detection * row.trials)}/{row.trials}"
        off = "-" if row.error is None else f"{row.error:.1f} px"
        score = "-" if row.score is None else f"{row.score:.3f}"
        lines.append(f"{name:28}{row.level:>7g}{found:>8}{row.false_matches:>8.3g}{off:>9}{score:>8}")
    return "\n".join(lines)
