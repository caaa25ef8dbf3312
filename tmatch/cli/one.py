"""`tmatch locate` for one image: what is printed, what is drawn, and what is said if nothing is found."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import tmatch
from tmatch._arrays.lazy import is_lazy
from tmatch._batch.images import ImageSearch, OpenImage
from tmatch._batch.tally import Tally
from tmatch._detection.criterion import Criterion
from tmatch._io import pairs, writing
from tmatch._io.decoders import pages
from tmatch._io.sources import Source
from tmatch._poses.options import PoseOptions
from tmatch._results import formats
from tmatch._results.decisions import CandidateDecision
from tmatch._results.records import Record
from tmatch._scoring.metrics import MetricInfo
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
from tmatch.cli import part
from tmatch.cli.console import Console
from tmatch.cli.reports import Report
from tmatch.cli.tables import print_records
from tmatch.cli.telling import Telling

NOTHING = (
    "no position has a score, as there is nothing to compare: the image is constant wherever it is valid"
)


def locate_in_one(
    console: Console,
    search: ImageSearch,
    source: Source,
    telling: Telling,
    figures: "Figures",
    others: list[str],
    reword: Callable[[Exception], str],
    *,
    by_option: bool,
    report: Report | None = None,
) -> int:
    """Search one image, tell what was found, draw it, and return the exit code.

    `others` are options to try for poses that were not searched for; `by_option` is whether templates were named by -t.
    An image that cannot be searched has a record of the error, in the words of `reword`, where there could be several.
    """
    try:
        opened = search.open(source)
        if not by_option:
            _refuse_second_images(search.templates, opened)
        figures.check_size(opened.searched, source.title)
        result, best = part.search_once(
            console, opened, search.criterion, keep_maps=figures.need_maps, recorded=search.recorded
        )
    except (OSError, ValueError, TypeError, MemoryError) as error:
        if not telling.single:
            search.check()  # or it is no fault of the image
            failed = Record(source.name, source.page, source.time, error=reword(error), level=source.level)
            _tell(console, failed, search, telling)
        raise
    record = Record(source.name, source.page, source.time, opened.matches_of(result), level=source.level)
    if best is not None:
        record.matches.best.setdefault(best.label, best)  # as in records of many images, where that is known
    tally = Tally(record.matches.labels)
    tally.add(record)
    if telling.form == "table":
        print_records(console, [record], telling.pixel_ratio, telling.poses, with_image=False)
    _tell(console, record, search, telling)
    if figures.overlay is not None:
        figures = replace(figures, overlay=overlay_path(figures.overlay, source.name))
    written = [*telling.files]
    if report is not None:
        with console.status("writing the report"), report.write(search, telling) as page:
            page.found(opened, record, result)
            page.add(record)
        written.append(report.path)
    figures.write(console, opened, record.matches, best, result, written)
    _say(console, record, result, best, telling, others)
    return telling.conclude(tally, console.say)


def _tell(console: Console, record: Record, search: ImageSearch, telling: Telling) -> None:
    """Print a record, but no table, and write it to files."""
    if telling.form != "table":
        console.write(str(formats.written(telling.writer(telling.form), [record])))
    for path in telling.files:
        with telling.to_file(path, search) as add:
            add(record)


def _refuse_second_images(templates: pairs.Templates, opened: OpenImage) -> None:
    """Refuse what is probably a list of images, as a shell makes of a pattern, and not of templates."""
    shape = opened.searched.shape
    large = [p for p, a in zip(templates.paths, templates.arrays, strict=True) if a.shape[:2] == shape]
    if large and len(templates.paths) > 1:
        msg = (
            f'"{large[0]}" is as large as the image, so it is probably a second image; with -t before templates, '
            "all other arguments are images, as in: tmatch locate one.png two.png -t icon.png"
        )
        raise ValueError(msg)


def _say(
    console: Console,
    record: Record,
    result: SearchResult,
    best: tmatch.Match | None,
    telling: Telling,
    others: list[str],
) -> None:
    """Say on stderr what a table does not tell, and why nothing was found or labels are missing."""
    if best is not None and has_no_score(best, result.searches[0].metric):
        console.say(f"nothing found: {NOTHING}")
        return
    if best is not None:
        console.say(_explain_none(best, result, telling.pixel_ratio, telling.poses, others))
    elif telling.form == "table":
        console.say("\n".join(filter(None, [describe_found(result), describe_poses(result.searched_poses)])))
    if best is None and record.matches.missing:
        console.say(f"not found: {', '.join(record.matches.missing)}")
    if best is not None or telling.form == "table":
        _say_near_misses(console, record.matches.near_misses, telling.pixel_ratio)


@dataclass(frozen=True)
class Figures:
    """The files that `locate` writes."""

    overlay: Path | None
    heatmap: Path | None
    scores: Path | None

    @property
    def need_maps(self) -> bool:
        """Whether score maps are to be kept."""
        return bool(self.heatmap or self.scores)

    def folder(self) -> Path | None:
        """Return the folder for overlays of many images, if any; refuse figures of one image."""
        for option, path in (("--heatmap", self.heatmap), ("--scores", self.scores)):
            if path is not None:
                msg = f"{option} writes a figure of one image, but there are many; name one of them, or leave it out"
                raise ValueError(msg)
        if self.overlay is not None and not self.overlay.is_dir():
            msg = f'--overlay is "{self.overlay}", but there are many images; name a folder that is there'
            raise ValueError(msg)
        return self.overlay

    def check_folder(self, files: Iterable[Path]) -> None:
        """Refuse a folder for overlays, which are named like the images, that holds files which are read."""
        folders = {path.parent for path in files if path.exists()}
        if self.overlay is not None and self.overlay.resolve() in {folder.resolve() for folder in folders}:
            msg = f'--overlay "{self.overlay}" is a folder of files that are read; name another, so that none is lost'
            raise ValueError(msg)

    def check(self, inputs: list[Path], outputs: list[Path], n_templates: int, poses: PoseOptions) -> None:
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
        overlay = None if self.overlay and self.overlay.is_dir() else self.overlay
        figures = [path for path in (overlay, self.heatmap) if path]
        writing.check_targets(inputs, figures, [*([self.scores] if self.scores else []), *outputs])

    def check_size(self, searched: pairs.SearchImage, name: str) -> None:
        """Refuse figures of an image that is searched in parts, as it is not in memory."""
        for option, path in (
            ("--overlay", self.overlay),
            ("--heatmap", self.heatmap),
            ("--scores", self.scores),
        ):
            if path is not None and is_lazy(searched.pixels):
                msg = f"{option} {too_large_to_draw(name)}"
                raise ValueError(msg)

    def write(
        self,
        console: Console,
        opened: OpenImage,
        matches: tmatch.Matches,
        best: tmatch.Match | None,
        result: SearchResult,
        others: Sequence[Path],
    ) -> None:
        """Write the figures, and say which files were written, `others` among them."""
        with console.status("writing files"):
            if self.overlay:
                writing.write_figure(self.overlay, draw_matches(opened.searched, matches, best))
            if self.heatmap:
                writing.write_figure(self.heatmap, part.draw(opened, result, matches))
            if self.scores:
                writing.write_array(self.scores, np.max([made.scores for made in result.maps], axis=0))
        written = ", ".join(str(path) for path in (*others, self.overlay, self.heatmap, self.scores) if path)
        if written:
            console.say(f"written: {written}")


def too_large_to_draw(name: str) -> str:
    """Write that an image is too large for a figure, and what to do."""
    return (
        f'draws at most {pages.LARGE_PIXELS:,} pixels, but what is searched of "{name}" has more; choose a part with '
        "--region, or leave the figure out"
    )


def overlay_path(overlay: Path, name: str) -> Path:
    """Return the file to draw an image in: in a folder, under the image's name with all folders in it."""
    if not overlay.is_dir():
        return overlay
    name = name.replace("\\", "/").lstrip("./").replace("/", "_")
    return overlay / (name if name.endswith(".png") else f"{name}.png")


def draw_matches(searched: pairs.SearchImage, matches: tmatch.Matches, best: tmatch.Match | None) -> Any:
    """Draw matches in the image, or in the part of it that was read."""
    corner = [side.start for side in searched.shown_part]

    def move(match: tmatch.Match) -> tmatch.Match:
        start = tuple(s - c for s, c in zip(match.box.start, corner, strict=True))
        return replace(match, box=replace(match.box, start=start))

    rejected = None if best is None else move(best)
    found = tmatch.Matches(map(move, matches), labels=matches.labels)
    return tmatch.plot_matches(searched.shown, found, rejected=rejected)


def _say_near_misses(console: Console, misses: Sequence[CandidateDecision], pixel_ratio: float) -> None:
    """Say which positions nearly are matches, and why they are none."""
    if misses:
        console.say("near misses:" if len(misses) > 1 else "a near miss:")
    for miss in misses:
        x, y, _, _ = (formats.in_units(value, pixel_ratio) for value in miss.box.xywh)
        label = f'"{miss.label}" ' if miss.label else ""
        pose = describe_pose(miss.match)
        console.say(f"  {label}at x={x:g}, y={y:g}, {pose}{', ' if pose else ''}{describe_near_miss(miss)}")


def has_no_score(best: tmatch.Match, metric: MetricInfo) -> bool:
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
