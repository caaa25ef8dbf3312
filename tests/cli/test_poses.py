import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import tmatch
from tmatch._results.poses import PoseErrors
from tmatch.cli import locate
from tmatch.cli.app import app

pytestmark = pytest.mark.one_engine


def run(*arguments):
    return CliRunner().invoke(app, ["locate", *map(str, arguments)])


def cells_of(told):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.splitlines() if "│" in line]


@pytest.fixture
def pair(tmp_path):
    """An image with two exact copies of a template."""
    template = tmatch.to_range(tmatch.synthetic.make_clutter((10, 12), rng=1))
    ground = tmatch.synthetic.make_clutter((60, 80), rng=2)
    image, _ = tmatch.synthetic.make_scene(ground, template, [(5, 8), (30, 50)])
    Image.fromarray(tmatch.to_range(image)).save(tmp_path / "image.png")
    Image.fromarray(template).save(tmp_path / "template.png")
    return tmp_path / "image.png", tmp_path / "template.png"


@pytest.fixture
def asked(monkeypatch):
    """What a matcher is asked about poses; it searches without."""
    names, seen = {"angles", "scales", "flips", "search", "subpixel"}, {}

    def matcher(templates, **options):
        seen.update({name: value for name, value in options.items() if name in names})
        return tmatch.Matcher(templates, **{k: v for k, v in options.items() if k not in names})

    monkeypatch.setattr(locate, "Matcher", matcher)
    return seen


@pytest.fixture
def placed(monkeypatch):
    """Search, and tell of the first match that it is turned, and how exactly that is known."""
    search = locate._Search.locate

    def turned(self, criterion, *, keep_maps):
        result, matches, best = search(self, criterion, keep_maps=keep_maps)
        pose = {"angle": -120.5, "scale": 1.25, "flip": True, "template_shape": (10, 12)}
        errors = PoseErrors((0.0123, 0.02), 0.05, 0.001)
        return result, [replace(matches[0], **pose, offset=(0.25, -0.5), errors=errors), *matches[1:]], best

    monkeypatch.setattr(locate._Search, "locate", turned)


@pytest.mark.parametrize(
    ("options", "options_asked"),
    [
        ([], {}),
        (["--search", "auto"], {}),
        (["--angles", "all"], {"angles": "all"}),
        (["--angles", "-30:30", "--flips"], {"angles": (-30, 30), "flips": True}),
        (["--scales=0.5,2", "--subpixel"], {"scales": [0.5, 2], "subpixel": True}),
        (["--angles=0,90", "--search", "exhaustive"], {"angles": [0, 90], "search": "exhaustive"}),
    ],
)
def test_only_what_is_given_about_poses_reaches_the_library(pair, asked, options, options_asked):
    assert run(*pair, *options).exit_code == 0
    assert asked == options_asked


@pytest.mark.usefixtures("asked", "placed")
def test_the_table_tells_what_was_asked_about_poses_and_cuts_nothing(pair):
    told = run(*pair, "--angles", "all", "--scales", "0.8:1.25", "--flips").stdout
    first, second = cells_of(told)
    assert "…" not in told
    assert first[:9] == ["template", "8", "5", "12", "10", "-120.50", "1.2500", "yes", "13.00, 9.75 ± 0.02"]
    assert second[:9] == ["template", "50", "30", "12", "10", "0.00", "1.0000", "no", "55.50, 34.50"]
    assert "angle" in told
    flipped = cells_of(run(*pair, "--flips").stdout)
    assert [row[5:7] for row in flipped] == [["yes", "13.00, 9.75 ± 0.02"], ["no", "55.50, 34.50"]]
    units = cells_of(run(*pair, "--scales", "1,2", "--pixel-ratio", 2).stdout)
    assert [row[5:7] for row in units] == [["1.2500", "6.50, 4.88 ± 0.01"], ["1.0000", "27.75, 17.25"]]


def test_a_table_without_poses_is_what_it_was(pair):
    told = run(*pair).stdout
    assert "second best" in told
    assert [len(row) for row in cells_of(told)] == [9, 9]


@pytest.mark.usefixtures("asked", "placed")
def test_files_tell_poses_where_they_were_asked_for(pair):
    row, _ = csv.DictReader(io.StringIO(run(*pair, "--angles", "all", "--format", "csv").stdout))
    assert (row["angle"], row["center_x"], row["angle_error"]) == ("-120.5", "13.0", "0.05")
    match, _ = json.loads(run(*pair, "--flips", "--format", "json").stdout)["matches"]
    assert match["flip"] is True
    assert np.shape(match["corners"]) == (4, 2)
    plain, _ = json.loads(run(*pair, "--format", "json").stdout)["matches"]
    assert "angle" not in plain


@pytest.mark.usefixtures("asked", "placed")
def test_positions_in_a_region_keep_their_part_of_a_pixel(pair):
    (match,) = json.loads(run(*pair, "--region", "40,20,40,40", "--subpixel", "--format", "json").stdout)[
        "matches"
    ]
    assert match["center"] == {"x": 55.0, "y": 34.75}


@pytest.mark.parametrize(
    ("options", "guess"),
    [
        ([], "rotated, of another size, or absent"),
        (["--angles", "all"], "of another size, or absent"),
        (["--scales", "0.5:2"], "rotated, or absent"),
        (["--angles", "all", "--scales", "0.5:2"], "absent"),
    ],
)
@pytest.mark.usefixtures("asked")
def test_a_miss_names_what_was_not_searched_for(pair, options, guess):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    Image.fromarray(noise).save(pair[0])
    result = run(*pair, *options)
    assert result.exit_code == 1
    assert f"the object may be {guess}: try a template cut from this image." in result.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--angles", "left"], 'error: --angles is "left"; it must be all, a range of degrees with a colon'),
        (["--scales", "2:1"], 'error: --scales is "2:1"; it must be a range of factors above 0 with a colon'),
    ],
)
def test_bad_poses_are_told_in_a_line_before_any_file_is_read(options, sentence):
    result = run("missing.png", "missing_too.png", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith(sentence)
