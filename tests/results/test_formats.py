import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from loops import each
from tmatch import Box, Match
from tmatch._results import formats
from tmatch._results.poses import PoseErrors

pytestmark = pytest.mark.engine_free

ABOUT = {"about": {"image": "photo.png", "threshold": 0.7}, "size": (200, 300)}
ERRORS = PoseErrors(center=(0.0123456, 0.25), angle=0.04321, scale=None)
# 20 x 30 pixels, twice as large, turned by 90 degrees: 40 columns from 20, 60 rows from 10; then a little moved.
TURNED = Match(
    Box((10, 20), (60, 40)), 0.9, "eye", (0.25, 0.0), angle=90.0, scale=2.0, flip=True, template_shape=(20, 30),
    errors=ERRORS,
)  # fmt: skip
PLAIN = Match(Box((3, 4), (5, 6)), 0.8, "ear")
CORNERS = [
    [19.5, 9.75],
    [19.5, 69.75],
    [59.5, 69.75],
    [59.5, 9.75],
]  # x, y, from the top left of what is flipped


def written(form, matches=(TURNED, PLAIN), **options):
    return formats.format_matches(matches, form, **ABOUT, **options)


@each("form", ["json", "jsonl", "csv", "coco"])
def test_poses_are_told_only_on_request(form):
    plain = [
        dataclasses.replace(PLAIN, box=match.box, score=match.score, label=match.label)
        for match in (TURNED, PLAIN)
    ]
    assert written(form) == written(form, plain) != written(form, poses=True)


def test_rows_tell_the_pose_in_json():
    row, upright = json.loads(written("json", poses=True))["matches"]
    assert {name: row[name] for name in ("x", "y", "width", "height")} == {
        "x": 20,
        "y": 10,
        "width": 40,
        "height": 60,
    }
    assert (row["angle"], row["scale"], row["flip"]) == (90, 2, True)
    assert row["center"] == {"x": 39.5, "y": 39.75}
    assert row["corners"] == CORNERS
    assert row["errors"] == {"center_x": 0.25, "center_y": 0.0123, "angle": 0.0432, "scale": None}
    assert [*row][-6:] == ["angle", "scale", "flip", "center", "corners", "errors"]
    assert (upright["angle"], upright["scale"], upright["flip"], upright["errors"]) == (0, 1, False, None)
    assert upright["center"] == {"x": 6.5, "y": 5.0}
    assert upright["corners"] == [[3.5, 2.5], [9.5, 2.5], [9.5, 7.5], [3.5, 7.5]]
    lines = map(json.loads, written("jsonl", poses=True).splitlines())
    assert [*lines] == [{"image": "photo.png", **each} for each in (row, upright)]


def test_lengths_of_poses_are_in_units():
    pixels, units = (json.loads(written("json", poses=True, pixel_ratio=r))["matches"][0] for r in (1, 2.5))
    assert np.array(units["corners"]) * 2.5 == pytest.approx(np.array(pixels["corners"]))
    assert units["center"] == {"x": 39.5 / 2.5, "y": 39.75 / 2.5}
    assert units["errors"] == {"center_x": 0.1, "center_y": 0.00494, "angle": 0.0432, "scale": None}
    assert (units["angle"], units["scale"]) == (90, 2)


def test_columns_tell_the_pose_and_what_is_not_known_is_empty():
    row, upright = csv.DictReader(io.StringIO(written("csv", poses=True)))
    added = [
        "angle",
        "scale",
        "flip",
        "center_x",
        "center_y",
        "center_x_error",
        "center_y_error",
        "angle_error",
        "scale_error",
    ]
    assert [*row][-9:] == added
    assert [row[name] for name in added] == [
        "90.0",
        "2.0",
        "True",
        "39.5",
        "39.75",
        "0.25",
        "0.0123",
        "0.0432",
        "",
    ]
    assert [upright[name] for name in added] == ["0.0", "1.0", "False", "6.5", "5.0", "", "", "", ""]
    unplaced = dataclasses.replace(TURNED, errors=PoseErrors(angle=0.5))
    (row,) = csv.DictReader(io.StringIO(written("csv", [unplaced], poses=True)))
    assert [row[name] for name in added[5:]] == ["", "", "0.5", ""]
    assert written("csv", [], poses=True).endswith(",kind," + ",".join(added))


@each("pixel_ratio", [1, 2])
def test_outlines_are_segments_that_their_boxes_bound_in_the_coordinates_of_coco(pixel_ratio):
    turned, upright = json.loads(written("coco", poses=True, pixel_ratio=pixel_ratio))["annotations"]
    assert turned["bbox"] == [20 / pixel_ratio, 10 / pixel_ratio, 40 / pixel_ratio, 60 / pixel_ratio]
    assert turned["segmentation"] == [[(value + 0.5) / pixel_ratio for corner in CORNERS for value in corner]]
    assert turned["area"] == 2400 / pixel_ratio**2
    x, y, width, height = upright["bbox"]
    assert upright["segmentation"] == [[x, y, x + width, y, x + width, y + height, x, y + height]]
    assert upright["area"] == width * height
    tilted = dataclasses.replace(TURNED, angle=30.0)
    (annotation,) = json.loads(written("coco", [tilted], poses=True))["annotations"]
    x, y = np.reshape(annotation["segmentation"], (-1, 2)).T
    shoelace = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    assert annotation["area"] == pytest.approx(shoelace, rel=1e-4)


def test_digits_beyond_what_can_be_known_are_not_written():
    match = dataclasses.replace(TURNED, angle=12.34567891, scale=1.23456789, offset=(0.123456789, 0.0))
    (row,) = json.loads(written("json", [match], poses=True))["matches"]
    assert (row["angle"], row["scale"], row["center"]["y"]) == (12.3457, 1.234568, 39.6235)


def test_fields_of_poses_are_left_out_of_matches_alone():
    told = dataclasses.asdict(TURNED, dict_factory=formats.without_poses)
    assert [*told] == [
        "box", "score", "label", "offset", "false_alarms", "second_best", "expected_score", "kind",
    ]  # fmt: skip
    assert dataclasses.asdict(ERRORS, dict_factory=formats.without_poses) == dataclasses.asdict(ERRORS)
