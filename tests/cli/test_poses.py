"""Poses at the command line, on scenes with exact truth."""

import csv
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pose_scenes
import tmatch
from tmatch.cli import parsing
from tmatch.cli.app import app

pytestmark = pytest.mark.one_engine
EVERYTHING = ["--angles", "all", "--scales", "0.8:1.25", "--flips"]


def run(*arguments):
    return CliRunner().invoke(app, ["locate", *map(str, arguments)])


def cells_of(told):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.splitlines() if "│" in line]


def write(folder, image, template):
    folder.mkdir(exist_ok=True)
    Image.fromarray(image).save(folder / "image.png")
    Image.fromarray(template).save(folder / "template.png")
    return folder / "image.png", folder / "template.png"


@pytest.fixture
def pair(tmp_path):
    """An image with two exact copies of a template."""
    template = tmatch.to_range(tmatch.synthetic.make_clutter((10, 12), rng=1))
    ground = tmatch.synthetic.make_clutter((60, 80), rng=2)
    image, _ = tmatch.synthetic.make_scene(ground, template, [(5, 8), (30, 50)])
    return write(tmp_path, tmatch.to_range(image), template)


@pytest.fixture(scope="module")
def scene():
    rng, kind = np.random.default_rng(3), pose_scenes.KINDS["cup"]
    placed = [
        pose_scenes.Placed((60.3, 50.8), angle=-120.5, scale=1.15, flip=True),
        pose_scenes.Placed((70.6, 140.2), angle=35.25, scale=0.9),
    ]
    ground, _ = pose_scenes.ground_of(rng, kind.source, (240, 320))
    for each in placed:
        pose_scenes.draw(ground, pose_scenes.finer(kind), each)
    return pose_scenes.Scene(pose_scenes.expose(ground, rng, sigma=4), pose_scenes.template_of(kind), placed)


@pytest.fixture
def turned(scene, tmp_path):
    """Files of an image with two turned copies of a template, of which the first is mirrored."""
    return write(tmp_path / "turned", scene.image, scene.template)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, {}),
        ({"pose_search": "auto"}, {}),
        ({"angles": "all"}, {"angles": "all"}),
        ({"angles": "-30:30", "flips": True}, {"angles": (-30, 30), "flips": True}),
        ({"scales": "0.5,2", "subpixel": True}, {"scales": [0.5, 2], "subpixel": True}),
        ({"angles": "0,90", "pose_search": "exhaustive"}, {"angles": [0, 90], "search": "exhaustive"}),
    ],
)
def test_only_what_is_given_about_poses_reaches_the_library(given, asked):
    nothing = {"angles": None, "scales": None, "flips": False, "pose_search": "auto", "subpixel": False}
    assert parsing.given_poses(**(nothing | given)) == asked


def test_the_table_tells_what_was_asked_about_poses_and_cuts_nothing(turned, scene):
    result = run(*turned, *EVERYTHING)
    assert "…" not in result.stdout
    rows = sorted(cells_of(result.stdout), key=lambda row: float(row[1]))
    for row, placed in zip(rows, scene.placed, strict=True):
        assert float(row[5]) == pytest.approx(placed.angle, abs=0.2)
        assert float(row[6]) == pytest.approx(placed.scale, abs=0.005)
        assert row[7] == ("yes" if placed.flip else "no")
        place, error = row[8].split(" ± ")
        assert [*map(float, place.split(", "))] == pytest.approx(placed.center[::-1], abs=0.1)
        assert 0 < float(error) < 0.1
    assert result.stderr.startswith("2 found (2 copies), score 1.00")


def test_exact_poses_have_no_errors_and_halves_count_in_units(pair):
    flipped = cells_of(run(*pair, "--flips").stdout)
    assert [row[5:7] for row in flipped] == [["no", "1.000"], ["no", "1.000"]]
    refined = cells_of(run(*pair, "--subpixel", "--pixel-ratio", 2).stdout)
    assert [row[5].split(" ± ")[0] for row in refined] == ["6.75, 4.75", "27.75, 17.25"]


def test_a_table_without_poses_is_what_it_was(pair):
    told = run(*pair).stdout
    assert "second best" in told
    assert [len(row) for row in cells_of(told)] == [9, 9]


def test_files_tell_poses_where_they_were_asked_for(turned, pair, scene):
    rows = csv.DictReader(io.StringIO(run(*turned, *EVERYTHING, "--format", "csv").stdout))
    first, _ = sorted(rows, key=lambda row: float(row["x"]))
    assert float(first["angle"]) == pytest.approx(scene.placed[0].angle, abs=0.2)
    assert float(first["center_x"]) == pytest.approx(scene.placed[0].center[1], abs=0.1)
    assert 0 < float(first["angle_error"]) < 0.5
    told = json.loads(run(*turned, *EVERYTHING, "--format", "json").stdout)
    assert {match["flip"] for match in told["matches"]} == {True, False}
    assert {np.shape(match["corners"]) for match in told["matches"]} == {(4, 2)}
    plain = json.loads(run(*pair, "--format", "json").stdout)
    assert "poses" not in plain
    assert "angle" not in plain["matches"][0]


def test_json_tells_how_many_poses_were_searched_and_how_small(turned, pair):
    [told] = json.loads(run(*turned, *EVERYTHING, "--format", "json").stdout)["poses"]
    assert (told["label"], told["limit"]) == ("template", None)
    assert told["number"] > 500
    assert told["reduction"] in (2, 3)
    assert 0.5 <= told["kept"] <= 1
    [exact] = json.loads(run(*pair, "--angles", "0,90", "--flips", "--format", "json").stdout)["poses"]
    assert exact == {
        "label": "template",
        "number": 4,
        "reduction": 1,
        "kept": 1.0,
        "limit": None,
        "opened": None,
    }
    [small] = json.loads(run(*pair, "--angles", "all", "--format", "json").stdout)["poses"]
    assert (small["reduction"], small["limit"]) == (1, "size")


def test_positions_in_a_region_are_those_of_the_whole_image(turned):
    whole, part = (
        json.loads(run(*turned, "--angles", "all", "--scales", "0.9", *region, "--format", "json").stdout)
        for region in ([], ["--region", "90,30,110,100"])
    )
    [one], [other] = whole["matches"], part["matches"]
    assert [other[name] for name in ("x", "y", "width", "height")] == [
        one[name] for name in ("x", "y", "width", "height")
    ]
    assert other["center"] == pytest.approx(one["center"], abs=1e-3)
    assert np.array(other["corners"]) == pytest.approx(np.array(one["corners"]), abs=1e-2)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (EVERYTHING, r"[\d,]+ poses searched, in an image [23] times smaller"),
        (["--angles=0,90,180,270"], "4 poses searched, at full size"),
        (["--angles=30"], "1 pose searched, in an image [234] times smaller"),
        (
            ["--angles=20:50", "--scales=0.9", "--search=certified", "--threshold=0.8"],
            r"\d+ poses searched, in an image [23] times smaller; [\d.]+ % of the positions were not ruled out there",
        ),
        (["--angles=0:20", "--search=exhaustive"], r"\d+ poses searched, at full size"),
        (
            ["--angles=0:20", "--scales=0.25:0.3"],
            r"\d+ poses searched, all at full size, which takes longer: the template is too small for a smaller image",
        ),
    ],
)
def test_what_was_searched_is_told(turned, asked, told):
    lines = run(*turned, *asked).stderr.splitlines()
    assert any(re.fullmatch(rf"{told}\.?", line) for line in lines), lines


def test_details_that_a_smaller_image_loses_are_told(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    files = write(tmp_path, noise, noise[10:42, 20:52])
    result = run(*files, "--angles", "-2:2")
    assert result.exit_code == 0
    assert (
        "all at full size, which takes longer: the details of the template are too fine for a"
        in result.stderr
    )


def test_nothing_is_told_of_poses_that_were_not_asked_for(pair):
    for asked in ([], ["--subpixel"], ["--angles", "0"]):
        assert run(*pair, *asked).stderr.splitlines() == run(*pair).stderr.splitlines()


@pytest.mark.parametrize(
    ("asked", "guess"),
    [
        ([], "rotated, of another size, or absent: try --angles all and --scales 0.8:1.25, or a"),
        (["--region", "0,0,70,60"], "rotated, of another size, or absent: try a"),
        (["--metric", "ncc", "--threshold", "0.99"], "rotated, of another size, or absent: try a"),
        (["--angles", "all"], "of another size, or absent: try --scales 0.8:1.25, or a"),
        (["--scales", "0.8:1.2"], "rotated, or absent: try --angles all, or a"),
        (["--angles", "0,90", "--scales", "0.5,1"], "absent: try a"),
    ],
)
def test_a_miss_names_what_was_not_searched_for(pair, asked, guess):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    Image.fromarray(noise).save(pair[0])
    result = run(*pair, *asked)
    assert result.exit_code == 1
    assert f"the object may be {guess} template cut from this image." in result.stderr


def test_a_miss_tells_the_pose_and_how_many_were_searched(turned):
    result = run(*turned, "--angles", "all", "--scales", "1.15", "--false-alarms", "1e-300")
    assert result.exit_code == 1
    assert re.search(r"rotated by [-\d.]+ degrees, 1.15 times the size; \S+ false alarms", result.stderr)
    assert re.search(r"are expected at this score in \d+ poses and at most 1e-300", result.stderr)


def test_of_a_wide_range_of_scales_all_poses_are_told(turned):
    wide = *turned, "--angles=0:40", "--scales=0.5:1.5", "--false-alarms", "1e-300"
    result = run(*wide)
    parts = json.loads(run(*wide, "--format", "json").stdout)["poses"]
    number, sizes = sum(part["number"] for part in parts), [part["reduction"] for part in parts]
    assert (result.exit_code, len(parts), sizes[0] < sizes[-1]) == (1, 3, True)
    assert f"are expected at this score in {number:,} poses and at most 1e-300" in result.stderr
    smaller = f"{number:,} poses searched, in an image {sizes[0]} to {sizes[-1]} times smaller"
    assert f"\n{smaller}.\n" in result.stderr
    assert f"{smaller}, which keeps" in explain(*wide).stdout
    told = json.loads(explain(*wide, "--format", "json").stdout)
    assert (told["poses"]["number"], told["poses"]["reduction"]) == (number, sizes[0])
    assert told["pose_parts"] == [{**part, "label": ""} for part in parts]


def test_near_misses_are_told_in_their_poses(turned, scene):
    asked = *turned, *EVERYTHING, "--false-alarms", "1e-300"
    line = next(line for line in run(*asked).stderr.splitlines() if "mirrored, score" in line)
    assert re.search(
        r'"template" at x=\d+, y=\d+, rotated by -120\.\d degrees, 1\.1[45]\d* times the size', line
    )
    rows = json.loads(run(*asked, "--format", "json").stdout)["near_misses"]
    first, second = sorted(rows[:2], key=lambda row: row["x"])
    for row, placed in zip((first, second), scene.placed, strict=True):
        assert row["rule"] == "false alarms"
        assert row["filtered_score"] is None
        assert [row["center"]["y"], row["center"]["x"]] == pytest.approx(placed.center, abs=0.2)
        assert row["angle"] == pytest.approx(placed.angle, abs=0.3)


def test_a_near_miss_of_an_exact_copy_is_told_in_its_pose(tmp_path):
    scene = pose_scenes.make_scene(
        pose_scenes.KINDS["eye"], np.random.default_rng(1), shape=(100, 120), sigma=90
    )
    files = write(tmp_path, scene.image, np.rot90(scene.template))
    rows = json.loads(run(*files, "--angles", "0,90,180,270", "--format", "json").stdout)["near_misses"]
    assert {row["angle"] for row in rows} <= {0.0, 90.0, 180.0, -90.0}


@pytest.mark.parametrize(
    "asked", [["--angles", "all"], ["--angles=30"], ["--angles=0,90"], ["--scales=0.8:1.2"], ["--flips"]]
)
def test_scores_of_several_poses_are_no_map(turned, asked, tmp_path):
    result = run(*turned, *asked, "--scores", tmp_path / "scores.npy")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: --scores writes the score map of one pose that needs no interpolation, but --angles, --scales or "
        "--flips ask for others; leave them out, or draw the best score over all poses with --heatmap\n"
    )


def test_scores_of_one_exact_pose_are_a_map(pair, tmp_path):
    Image.fromarray(np.rot90(np.asarray(Image.open(pair[1])), -1)).save(pair[1])
    assert run(*pair, "--angles", "90", "--scores", tmp_path / "scores.npy").exit_code == 0
    scores = np.load(tmp_path / "scores.npy")
    assert scores.shape == (51, 69)
    assert scores[5, 8] == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--angles", "left"], 'error: --angles is "left"; it must be all, a range of degrees with a colon'),
        (["--scales", "2:1"], 'error: --scales is "2:1"; it must be a range of factors above 0 with a colon'),
        (
            ["--scales", "0.01:2"],
            "error: --scales is 0.01:2.0; a scale is the size in the image divided by the",
        ),
        (
            ["--scales", "0.01,2"],
            "error: --scales is 0.01, 2.0; a scale is the size in the image divided by the",
        ),
    ],
)
def test_bad_poses_are_told_in_a_line_before_any_file_is_read(options, sentence):
    result = run("missing.png", "missing_too.png", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith(sentence)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            ["--angles=all", "--metric=ssd", "--threshold=-1"],
            '--metric is "ssd"; poses that need interpolation',
        ),
        (
            ["--angles=all", "--places=same"],
            '--places is "same"; in poses the template must lie inside the image',
        ),
        (["--angles=all", "--prefilter=whiten"], '--prefilter is "whiten", which is for upright templates'),
        (
            ["--angles=all", "--search=certified"],
            '--search is "certified", which needs a --threshold of at least',
        ),
        (
            ["--scales=0.0625"],
            "--scales holds 0.0625, which leaves no pixel of a template of 12 x 10 pixels;",
        ),
        (
            ["--scales=12:16"],
            "no pose of the template lies inside the image; use smaller scales, or a larger image",
        ),
    ],
)
def test_what_poses_cannot_do_is_told_in_the_words_of_the_command_line(pair, asked, sentence):
    result = run(*pair, *asked)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {sentence}")
    assert result.stderr.count("\n") == 1


def heatmap(*arguments):
    return CliRunner().invoke(app, ["heatmap", *map(str, arguments)])


def test_a_heatmap_shows_the_best_over_poses(turned, scene, tmp_path):
    result = heatmap(*turned, "--angles", "20:50", "--scales", "0.9", "-o", tmp_path / "map.png")
    assert result.exit_code == 0
    told = re.fullmatch(
        r"best score 0\.9\d+ about x=([\d.]+), y=([\d.]+), rotated by 35\.\d+ degrees, 0\.9 times the size; \d+ poses "
        rf"searched, in an image 3 times smaller; written: {tmp_path / 'map.png'}\n",
        result.stderr,
    )
    assert [float(told[2]), float(told[1])] == pytest.approx(scene.placed[1].center, abs=0.1)
    with Image.open(tmp_path / "map.png") as figure:
        assert figure.width == 1440


def test_a_heatmap_of_exact_poses_takes_any_metric(pair, tmp_path):
    asked = "--flips", "--metric", "ssd", "--pixel-ratio", 2, "-o", tmp_path / "map.png"
    result = heatmap(*pair, *asked)
    assert result.stderr.startswith(
        "best score 0.000 about x=6.75, y=4.75; 2 poses searched, at full size; written"
    )


def test_a_heatmap_of_a_flat_image_says_so(pair, tmp_path):
    Image.new("L", (80, 60), 90).save(pair[0])
    for asked in (["--flips"], ["--angles", "0:20"]):
        result = heatmap(*pair, *asked, "-o", tmp_path / "map.png")
        assert (result.exit_code, result.stderr[:26]) == (0, "no position has a score, a")


def test_a_search_draws_its_heatmap_too(turned, tmp_path):
    asked = (
        "--angles",
        "20:50",
        "--scales",
        "0.9",
        "--region",
        "90,30,110,100",
        "--heatmap",
        tmp_path / "map.png",
    )
    assert run(*turned, *asked).exit_code == 0
    with Image.open(tmp_path / "map.png") as figure:
        assert figure.width == 1440


def test_several_templates_compete_in_all_poses(turned, tmp_path):
    other = pose_scenes.template_of(pose_scenes.KINDS["cup"])[4:-4, 6:-2]
    Image.fromarray(other).save(tmp_path / "part.png")
    rows = cells_of(run(*turned, tmp_path / "part.png", *EVERYTHING, "--false-alarms", 0.1).stdout)
    assert [row[0] for row in rows if row[-1] != "not found"] == ["template", "template"]


def explain(*arguments):
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


ONE = "--angles", "20:50", "--scales", "0.9"


def test_a_pose_is_explained(turned, scene):
    told = explain(*turned, *ONE).stdout.splitlines()
    assert re.match(
        r"x=1\d\d, y=\d+ \(rotated by 35\.\d+ degrees, 0\.9 times the size\) is reported, match", told[0]
    )
    assert re.match(r"\d+ poses searched, in an image 3 times smaller, which keeps \d+ % of", told[-1])
    at = f"--at={scene.placed[1].center[1]:.0f},{scene.placed[1].center[0]:.0f}"
    assert explain(*turned, *ONE, at).stdout.startswith(f"Nearest to that place: {told[0]}")


def test_a_pose_in_a_part_is_explained_in_units_of_the_whole_image(turned, scene):
    asked = *turned, *ONE, "--pixel-ratio", 2, "--format", "json"
    told = json.loads(explain(*asked, "--region", "45,15,55,50").stdout)
    [match] = json.loads(run(*asked).stdout)["matches"]
    assert [told["box"]["start"][1], told["box"]["start"][0]] == [match["x"], match["y"]]
    assert told["pose"]["center"] == pytest.approx(match["center"], abs=0.01)
    assert told["best"][0]["pose"] == told["pose"]
    assert told["poses"]["number"] > 3
    y, x = scene.placed[1].center
    at = json.loads(explain(*asked, "--region", "45,15,55,50", f"--at={x / 2:.1f},{y / 2:.1f}").stdout)
    assert at["pose"] == told["pose"]


def test_an_explanation_without_poses_tells_none(pair):
    told = json.loads(explain(*pair, "--format", "json").stdout)
    assert not {"pose", "posed", "poses"} & told.keys()
    assert not {"pose", "posed"} & told["best"][0].keys()
