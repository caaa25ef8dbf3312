"""Commands that search: locate and heatmap."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import tmatch
from tmatch._detection.criterion import Criterion
from tmatch._io import pairs, writing
from tmatch._poses.options import PoseOptions
from tmatch._results import formats
from tmatch._results.decisions import CandidateDecision
from tmatch._results.records import Record
from tmatch._scoring.metrics import MetricInfo
from tmatch._search.matcher import poses_of
from tmatch._search.recipe import SearchResult
from tmatch._search.wording import (
    describe_allowed,
    describe_expected,
    describe_found,
    describe_near_miss,
    describe_pose,
    describe_poses,
    poses_of_template,
)
from tmatch.cli import options
from tmatch.cli.console import Console, console_of, printable
from tmatch.cli.part import PartSearch

NONE_FOUND = 1
_NOTHING = (
    "no position has a score, as there is nothing to compare: the image is constant wherever it is valid"
)


def locate(
    ctx: typer.Context,
    image: options.ImageFile,
    templates: options.TemplateFiles,
    false_alarms: options.FalseAlarms = None,
    threshold: options.Threshold = None,
    max_count: options.MaxCount = None,
    max_overlap: options.MaxOverlap = options.MAX_OVERLAP,
    prefilter: options.PrefilterName = options.PREFILTER,
    copies_only: options.CopiesOnly = False,
    angles: options.AnglesText = None,
    scales: options.ScalesText = None,
    flips: options.Flips = False,
    pose_search: options.PoseSearch = "auto",
    subpixel: options.Subpixel = False,
    gray: options.Gray = False,
    metric: options.MetricName = options.METRIC,
    mask: options.MaskFile = None,
    image_mask: options.ImageMaskFile = None,
    alpha: options.AlphaRule = "opaque",
    min_overlap: options.MinOverlap = options.MIN_OVERLAP,
    output: options.Positions = options.POSITIONS,
    region: options.RegionText = None,
    pixel_ratio: options.PixelRatio = 1.0,
    form: Annotated[
        formats.Format,
        typer.Option("--format", help="How matches are printed.", rich_help_panel=options.RESULT),
    ] = "table",
    overlay: Annotated[Path | None, options.target("PNG", "Write the image with boxes and scores.")] = None,
    heatmap: Annotated[Path | None, options.target("PNG", "Write the score map as a figure.")] = None,
    scores: Annotated[Path | None, options.target("NPY", "Write the score map as an array.")] = None,
) -> None:
    """Find every position of IMAGE that matches a TEMPLATE, and print the boxes.

    Boxes are in pixels: x and y of the top left corner, width, height. Try

        tmatch locate photo.png eye.png --overlay found.png
    """
    console = console_of(ctx)
    criterion = Criterion.of(
        metric, false_alarms=false_alarms, threshold=threshold, max_count=max_count, max_overlap=max_overlap,
        prefilter=prefilter, copies_only=copies_only,
    )  # fmt: skip
    poses = options.given_poses(angles, scales, flips, pose_search, subpixel)
    files = _Files(overlay, heatmap, scores)
    files.check(
        [image, *templates, *(path for path in (mask, image_mask) if path)],
        len(templates),
        PoseOptions.of(**poses),
    )
    searched = pairs.read_search_image(image, alpha, options.part_finder(region, pixel_ratio))
    pair = pairs.read_pair(searched, templates, gray=gray, alpha=alpha, mask=mask, image_mask=image_mask)
    search = PartSearch.of(
        console, pair, searched.part, metric=metric, min_overlap=min_overlap, output=output, **poses
    )
    result, matches, best = search.locate(criterion, keep_maps=bool(heatmap or scores))
    misses = [search.decision_in_image(miss) for miss in result.near_misses]
    if form == "table":
        _print_table(console, matches, pixel_ratio, poses)
    else:
        found = tmatch.Matches(
            matches, shape=searched.shape, labels=pair.templates, best={best.label: best} if best else {},
            near_misses=misses, decision=_about(result, criterion),
        )  # fmt: skip
        writer = formats.writer_of(form, pixel_ratio=pixel_ratio, poses=bool(poses), single=True)
        text = str(formats.written(writer, [Record(str(image), matches=found)]))
        if text:
            console.print(text.removesuffix("\n"))
    files.write(search, searched, matches, best, result)
    if best is not None and _has_no_score(best, result.searches[0].metric):
        console.say(f"nothing found: {_NOTHING}")
        raise typer.Exit(NONE_FOUND)
    if best is None and form == "table":
        console.say("\n".join(filter(None, [describe_found(result), describe_poses(result.searched_poses)])))
    if best is not None:
        others = _others(poses, metric, output) if region is None and not copies_only else []
        console.say(_explain_none(best, result, pixel_ratio, poses, others))
    if best is not None or form == "table":
        _say_near_misses(console, misses, pixel_ratio)
    if best is not None:
        raise typer.Exit(NONE_FOUND)


def heatmap(
    ctx: typer.Context,
    image: options.ImageFile,
    template: options.TemplateFile,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="PNG", help="The figure to write.", show_default=False)
    ],
    gray: options.Gray = False,
    metric: options.MetricName = options.METRIC,
    mask: options.MaskFile = None,
    image_mask: options.ImageMaskFile = None,
    alpha: options.AlphaRule = "opaque",
    min_overlap: options.MinOverlap = options.MIN_OVERLAP,
    output: options.Positions = options.POSITIONS,
    region: options.RegionText = None,
    pixel_ratio: options.PixelRatio = 1.0,
    angles: options.AnglesText = None,
    scales: options.ScalesText = None,
    flips: options.Flips = False,
    pose_search: options.PoseSearch = "auto",
) -> None:
    """Draw the score of TEMPLATE at every position of IMAGE.

    With --angles, --scales or --flips the best score over all poses is drawn at the middle of TEMPLATE, and beside it
    which pose that is.
    """
    console = console_of(ctx)
    poses = options.given_poses(angles, scales, flips, pose_search, False)
    writing.check_targets([image, template, *(path for path in (mask, image_mask) if path)], [out])
    searched = pairs.read_search_image(image, alpha, options.part_finder(region, pixel_ratio))
    pair = pairs.read_pair(searched, [template], gray=gray, alpha=alpha, mask=mask, image_mask=image_mask)
    search = PartSearch.of(
        console, pair, searched.part, metric=metric, min_overlap=min_overlap, output=output, **poses
    )
    if not poses_of(search.matcher).upright:
        found = _draw_best_poses(search, out, pixel_ratio)
    else:
        maps = search.score_maps()
        with console.status("drawing"):
            best = search.in_image(maps[0].best)
            writing.write_figure(out, search.draw_scores(maps, [best]))
        x, y, _, _ = (formats.in_units(value, pixel_ratio) for value in best.box.xywh)
        found = f"best score {best.score:.3f} at x={x:g}, y={y:g}" if maps[0].valid.any() else _NOTHING
    console.say(f"{found}; written: {out}")


def _draw_best_poses(search: PartSearch, out: Path, pixel_ratio: float) -> str:
    """Draw the best score over poses, and say where it is highest."""
    nothing = Criterion(threshold=math.inf)  # is a match
    result, _, best = search.locate(nothing, keep_maps=True)
    if best is None or _has_no_score(best, result.searches[0].metric):
        best, found = None, _NOTHING
    else:
        y, x = (round(value / pixel_ratio, 2) for value in best.center)
        pose = describe_pose(best)
        found = f"best score {best.score:.3f} about x={x:g}, y={y:g}{', ' if pose else ''}{pose}"
    with search.console.status("drawing"):
        writing.write_figure(out, search.draw(result, [best] if best else []))
    return f"{found}; {describe_poses(result.searched_poses)}"


@dataclass(frozen=True)
class _Files:
    """The files that `locate` writes."""

    overlay: Path | None
    heatmap: Path | None
    scores: Path | None

    def check(self, inputs: list[Path], n_templates: int, poses: PoseOptions) -> None:
        """Refuse, before any work, what cannot be written."""
        if self.scores and n_templates > 1:
            msg = f"--scores writes one score map, but {n_templates} templates are given; name one of them"
            raise ValueError(msg)
        if self.scores and not (poses.exact and poses.count == 1):
            msg = (
                "--scores writes the score map of one pose that needs no interpolation, but --angles, --scales or "
                "--flips ask for others; leave them out, or draw the best score over all poses with --heatmap"
            )
            raise ValueError(msg)
        if self.scores and self.scores.suffix.lower() != ".npy":
            msg = f'cannot write "{self.scores}": --scores writes arrays; use the ending .npy'
            raise ValueError(msg)
        figures = [path for path in (self.overlay, self.heatmap) if path]
        writing.check_targets(inputs, figures, [self.scores] if self.scores else [])

    def write(
        self,
        search: PartSearch,
        searched: pairs.SearchImage,
        matches: list[tmatch.Match],
        best: tmatch.Match | None,
        result: SearchResult,
    ) -> None:
        with search.console.status("writing files"):
            if self.overlay:
                writing.write_figure(self.overlay, _draw_matches(searched, matches, best))
            if self.heatmap:
                writing.write_figure(self.heatmap, search.draw(result, matches))
            if self.scores:
                writing.write_array(self.scores, np.max([made.scores for made in result.maps], axis=0))
        written = ", ".join(str(path) for path in (self.overlay, self.heatmap, self.scores) if path)
        if written:
            search.console.say(f"written: {written}")


def _draw_matches(searched: pairs.SearchImage, matches: list[tmatch.Match], best: tmatch.Match | None) -> Any:
    """Draw matches in the image, or in the part of it that was read."""
    corner = [side.start for side in searched.shown_part]

    def move(match: tmatch.Match) -> tmatch.Match:
        start = tuple(s - c for s, c in zip(match.box.start, corner, strict=True))
        return replace(match, box=replace(match.box, start=start))

    rejected = None if best is None else move(best)
    return tmatch.plot_matches(searched.shown, [move(match) for match in matches], rejected=rejected)


def _about(result: SearchResult, criterion: Criterion) -> dict[str, Any]:
    """Return how it was decided: what was allowed in all, and in each stage."""
    about: dict[str, Any] = {}
    if criterion.false_alarms is not None:
        about["false_alarms"] = criterion.false_alarms
    if criterion.threshold is not None:
        about["threshold"] = criterion.threshold
    if criterion.false_alarms is not None:
        about["stages"] = [
            {"prefilter": each.stage.how, "false_alarms": criterion.false_alarms / each.stage.n_tests}
            for each in result.stages
        ]
    if searched := result.searched_poses:
        about["poses"] = [asdict(each) for each in searched]
    return about


def _say_near_misses(console: Console, misses: list[CandidateDecision], pixel_ratio: float) -> None:
    """Say which positions nearly are matches, and why they are none."""
    if misses:
        console.say("near misses:" if len(misses) > 1 else "a near miss:")
    for miss in misses:
        x, y, _, _ = (formats.in_units(value, pixel_ratio) for value in miss.box.xywh)
        label = f'"{miss.label}" ' if miss.label else ""
        pose = describe_pose(miss.match)
        console.say(f"  {label}at x={x:g}, y={y:g}, {pose}{', ' if pose else ''}{describe_near_miss(miss)}")


def _print_table(
    console: Console, matches: list[tmatch.Match], pixel_ratio: float, poses: Mapping[str, Any]
) -> None:
    if not matches:
        return
    from rich.table import Column, Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    columns = _columns(matches, pixel_ratio, poses)
    headings = (name.replace(" ", "\n") if poses else name for name in columns)
    table = Table(
        Column("label", overflow="fold"), *(Column(name, justify="right", no_wrap=True) for name in headings)
    )
    for match, *cells in zip(matches, *columns.values(), strict=True):
        table.add_row(Text(printable(match.label)), *cells)
    console.print_table(table, whole=bool(poses))


def _columns(
    matches: list[tmatch.Match], pixel_ratio: float, poses: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Write what the table tells of matches: their boxes, what was asked about poses, and how good they are."""
    boxes = ([f"{formats.in_units(v, pixel_ratio):g}" for v in match.box.xywh] for match in matches)
    columns = dict(zip(("x", "y", "width", "height"), map(list, zip(*boxes, strict=True)), strict=True))
    if "angles" in poses:
        columns["angle"] = [f"{match.angle:.2f}" for match in matches]
    if "scales" in poses:
        columns["scale"] = [f"{match.scale:.4f}" for match in matches]
    if "flips" in poses:
        columns["flip"] = ["yes" if match.flip else "no" for match in matches]
    if any(match.errors for match in matches):
        columns["center"] = [_center(match, pixel_ratio) for match in matches]
    columns["score"] = [f"{match.score:.3f}" for match in matches]
    for name in ("false_alarms", "second_best"):
        values = [getattr(match, name) for match in matches]
        columns[name.replace("_", " ")] = ["" if value is None else f"{value:.2g}" for value in values]
    return {**columns, "kind": [match.kind or "" for match in matches]}


def _center(match: tmatch.Match, pixel_ratio: float) -> str:
    """Write where the middle of a match lies, x before y, and the larger of both standard errors."""
    y, x = (value / pixel_ratio for value in match.center)
    error = match.errors.center if match.errors else None
    return f"{x:.2f}, {y:.2f}" + (f" ± {max(error) / pixel_ratio:.2g}" if error else "")


def _has_no_score(best: tmatch.Match, metric: MetricInfo) -> bool:
    """Check whether the best position has no score, as all have none."""
    return metric.normalised and best.kind is None and best.score == metric.no_score


def _is_good_enough(best: tmatch.Match, criterion: Criterion) -> bool:
    """Check that a match fails neither by its score nor by its false alarms."""
    number = best.false_alarms
    few = criterion.false_alarms is None or number is None or number <= criterion.false_alarms
    return few and (criterion.threshold is None or best.score >= criterion.threshold)


def _explain_none(
    best: tmatch.Match, result: SearchResult, pixel_ratio: float, poses: Mapping[str, Any], others: list[str]
) -> str:
    """Write why nothing was found, and what to try: `others` are options that search for more poses."""
    criterion = result.criterion
    x, y, _, _ = (formats.in_units(value, pixel_ratio) for value in best.box.xywh)
    at = ", ".join(filter(None, [f"x={x}, y={y}", describe_pose(best)]))
    if criterion.copies_only and best.kind == "alike" and _is_good_enough(best, criterion):
        reason = f'the best score was {best.score:.2f} of "{best.label}" at {at}; that is alike, but no copy.'
        remedy = "leave --copies-only out"
    elif (threshold := criterion.threshold) is not None:
        digits = 2 if round(best.score, 2) < threshold else 6
        reason = (
            f"no score reached {threshold:g}; "
            f'the best score was {best.score:.{digits}f} of "{best.label}" at {at}.'
        )
        remedy = "lower --threshold below that score"
    else:
        searched_poses = result.searched_poses
        number = poses_of_template(searched_poses, best.label).number if searched_poses else 1
        expected = describe_expected(f"{best.false_alarms:.2g}") + f" in {number:,} poses" * (number > 1)
        reason = (
            f'the best score was {best.score:.2f} of "{best.label}" at {at}; '
            f"{expected} and {describe_allowed(criterion.false_alarms or 0)}."
        )
        remedy = "allow more --false-alarms, or decide by the score with --threshold"
    searched = describe_poses(result.searched_poses)
    known = {"rotated": "angles" in poses, "of another size": "scales" in poses}
    guesses = [*(how for how, done in known.items() if not done), "absent"]
    what = guesses[0] if len(guesses) == 1 else f"{', '.join(guesses[:-1])}, or {guesses[-1]}"
    trying = f"{' and '.join(others)}, or " if others else ""
    return (
        f"nothing found: {reason}\n{f'{searched}.{chr(10)}' if searched else ''}"
        f"Look at that position with --overlay or --heatmap; if it is right, {remedy}.\n"
        f"If it is wrong, the object may be {what}: try {trying}a template cut from this image."
    )


def _others(poses: Mapping[str, Any], metric: str, output: str) -> list[str]:
    """Return the options that search for poses that were not searched for; none where these cannot be."""
    if metric not in ("zncc", "orientation") or output != "valid":
        return []
    known = {"angles": "--angles all", "scales": "--scales 0.8:1.25"}
    return [option for name, option in known.items() if name not in poses]
