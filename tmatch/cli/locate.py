"""The command locate."""

import contextlib
import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

import typer

from tmatch._batch.cluster import connected
from tmatch._batch.images import ImageSearch
from tmatch._detection.criterion import Criterion
from tmatch._io import pairs
from tmatch._io.sources import find_sources
from tmatch._poses.options import PoseOptions
from tmatch.cli import options, parsing
from tmatch.cli.console import console_of
from tmatch.cli.many import ManyImages
from tmatch.cli.one import Figures, locate_in_one
from tmatch.cli.reports import Report
from tmatch.cli.telling import Telling
from tmatch.cli.wording import describe_error


def locate(
    ctx: typer.Context,
    files: options.ImagesAndTemplates,
    template: options.TemplateOption = None,
    region: options.RegionText = None,
    gray: options.Gray = False,
    pages: options.Pages = None,
    every: options.Every = 1,
    channel: options.Channel = None,
    level: options.Level = None,
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
    subpixel: options.Subpixel = False,
    mask: options.MaskFile = None,
    image_mask: options.ImageMaskFile = None,
    alpha: options.AlphaRule = "opaque",
    output: options.Positions = options.POSITIONS,
    min_overlap: options.MinOverlap = options.MIN_OVERLAP,
    missing: options.MissingRule = "refuse",
    nodata: options.NoData = None,
    out: options.OutFiles = None,
    overlay: options.Overlay = None,
    report: options.ReportFile = None,
    form: options.MatchForm = "table",
    as_json: options.AsJson = False,
    heatmap: options.HeatmapFile = None,
    scores: options.ScoresFile = None,
    pixel_ratio: options.PixelRatio = 1.0,
    required: options.Required = "any",
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    fail_fast: options.FailFast = False,
    cluster: options.Cluster = None,
) -> None:
    """Find a small image in a large one, and print where it is.

    Boxes are in pixels: x and y of the top left corner, counted from the top left pixel of IMAGE, then width and
    height.
    """
    console = console_of(ctx)
    criterion = Criterion.of(
        metric, false_alarms=false_alarms, threshold=threshold, max_count=max_count, max_overlap=max_overlap,
        prefilter=prefilter, copies_only=copies_only,
    )  # fmt: skip
    poses = parsing.given_poses(angles, scales, flips, pose_search, subpixel)
    asked_poses = PoseOptions.of(**poses)
    images, templates = parsing.split_files(files, template or [])
    named = template_files(templates)
    figures, outputs = Figures(overlay, heatmap, scores), out or []
    form = parsing.form_of_output(form, as_json=as_json)
    page = Report.of(report, ctx)
    if page is not None and cluster is not None:
        msg = "--report shows the candidates of a search, which --cluster does not send back: leave one of them out"
        raise ValueError(msg)
    inputs = [Path(name) for name in images] + [path for _, path in named]
    figures.check(inputs, [*outputs, *([report] if report else [])], len(named), asked_poses)
    search = ImageSearch(
        pairs.read_templates(named, alpha=alpha, mask=mask),
        criterion,
        {"metric": metric, "min_overlap": min_overlap, "output": output, "missing": missing, **poses},
        alpha=alpha,
        gray=gray,
        image_mask=image_mask,
        find_part=parsing.part_finder(region, pixel_ratio),
        nodata=nodata,
        in_parts=True,
        level=level,
        channel=channel,
        recorded=page is not None,
    )
    sources = find_sources(images, pages=pages, every=every, level=level, channel=channel)
    figures.check_folder([*map(Path, sources.names), *(path for _, path in named)])
    every_source = iter(sources)
    first = [*itertools.islice(every_source, 2)]
    one = len(first) == 1 and not resume
    single = one and not template and pages is None and first[0].name == images[0]
    telling = Telling(form, outputs, pixel_ratio, poses, single=single, required=required)
    reword = functools.partial(describe_error, options=parsing.options_of(ctx.command))
    if one:
        others = parsing.other_poses(poses, metric, output) if region is None and not copies_only else []
        code = locate_in_one(
            console, search, first[0], telling, figures, others, reword, by_option=bool(template), report=page
        )
    else:
        overlays = figures.folder()
        with contextlib.nullcontext() if cluster is None else connected(cluster) as client:
            many = ManyImages(
                console, search, telling, jobs=jobs, resume=resume, overlays=overlays, fail_fast=fail_fast,
                reword=reword, client=client, report=page,
            )  # fmt: skip
            code = many.locate_in(itertools.chain(first, every_source), lambda: sources.total)
    if code:
        raise typer.Exit(code)


def template_files(named: Sequence[tuple[str | None, str]]) -> list[tuple[str | None, Path]]:
    """Return the files of templates, those of folders and patterns too, with the labels that were given."""
    return [(label, Path(source.name)) for label, name in named for source in find_sources([name])]
