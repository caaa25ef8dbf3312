"""The command heatmap."""

import math
from pathlib import Path
from typing import Annotated

import typer

from tmatch._batch.images import ImageSearch, OpenImage
from tmatch._detection.criterion import Criterion
from tmatch._io import pairs, writing
from tmatch._results import formats
from tmatch._search.matcher import poses_of
from tmatch._search.wording import describe_pose, describe_poses
from tmatch.cli import options, parsing, part
from tmatch.cli.console import Console, console_of
from tmatch.cli.one import NOTHING, has_no_score

_NO_MATCH = Criterion(threshold=math.inf)


def heatmap(
    ctx: typer.Context,
    image: options.ImageFile,
    template: options.TemplateFile,
    out: Annotated[
        Path, options.target("The figure to write, as a .png file or another kind of image.", "-o", "--out")
    ],
    region: options.RegionText = None,
    gray: options.Gray = False,
    metric: options.MetricName = options.METRIC,
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
    pixel_ratio: options.PixelRatio = 1.0,
) -> None:
    """Draw how well TEMPLATE fits at every position of IMAGE.

    The score of a position is drawn where the top left corner of TEMPLATE would lie. With --angles, --scales or
    --flips, the best score of all poses is drawn where its middle would lie, and beside it which pose that is.
    """
    console = console_of(ctx)
    poses = parsing.given_poses(angles, scales, flips, pose_search, False)
    writing.check_targets([image, template, *(path for path in (mask, image_mask) if path)], [out])
    search = ImageSearch(
        pairs.read_templates([(None, template)], alpha=alpha, mask=mask),
        _NO_MATCH,
        {"metric": metric, "min_overlap": min_overlap, "output": output, "missing": missing, **poses},
        alpha=alpha,
        gray=gray,
        image_mask=image_mask,
        find_part=parsing.part_finder(region, pixel_ratio),
        nodata=nodata,
    )
    opened = search.open(pairs.file_source(image))
    if not poses_of(opened.matcher).upright:
        found = _draw_best_poses(console, opened, out, pixel_ratio)
    else:
        maps = part.score_maps(console, opened)
        with console.status("drawing"):
            best = opened.in_image(maps[0].best)
            writing.write_figure(out, part.draw_scores(opened, maps, [best]))
        x, y, _, _ = (formats.in_units(value, pixel_ratio) for value in best.box.xywh)
        found = f"best score {best.score:.3f} at x={x:g}, y={y:g}" if maps[0].valid.any() else NOTHING
    console.say(f"{found}; written: {out}")


def _draw_best_poses(console: Console, opened: OpenImage, out: Path, pixel_ratio: float) -> str:
    """Draw the best score over poses, and say where it is highest."""
    result, best = part.search_once(console, opened, _NO_MATCH, keep_maps=True)
    if best is None or has_no_score(best, result.searches[0].metric):
        best, found = None, NOTHING
    else:
        y, x = (round(value / pixel_ratio, 2) for value in best.center)
        pose = describe_pose(best)
        found = f"best score {best.score:.3f} about x={x:g}, y={y:g}{', ' if pose else ''}{pose}"
    with console.status("drawing"):
        writing.write_figure(out, part.draw(opened, result, [best] if best else []))
    return f"{found}; {describe_poses(result.searched_poses)}"
