import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tmatch.cli.app import app

pytestmark = pytest.mark.one_engine

DATASETS = Path(__file__).parents[2] / "datasets"
NOISY, EYE = DATASETS / "raccoon" / "noisy.png", DATASETS / "raccoon" / "eye.png"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


# --- inspect --------------------------------------------------------------------------------------


def test_a_template_is_inspected_alone_and_in_its_image(tmp_path):
    alone, both = run("inspect", EYE), run("inspect", EYE, NOISY, "--plot", tmp_path / "eye.png")
    assert alone.exit_code == both.exit_code == 0
    assert "size              80 x 65 pixels, all count" in alone.stdout
    assert "effective pixels  21.7" in alone.stdout
    assert "critical score    0.89 (0.01 false alarms in 1,000,000 positions)" in alone.stdout
    assert "best position     0.79 at x=670, y=300" in both.stdout
    assert alone.stdout.splitlines()[-1].startswith("small or smooth")
    assert both.stderr == f"written: {tmp_path / 'eye.png'}\n"
    with Image.open(tmp_path / "eye.png") as figure:
        assert min(figure.size) > 500


def test_what_inspect_tells_is_json_on_request(tmp_path):
    told = json.loads(run("inspect", EYE, "--format", "json").stdout)
    assert told["shape"] == [65, 80]
    assert told["best_score"] is None
    round_mask = np.hypot(*np.mgrid[-32:33, -39.5:40]) < 32
    Image.fromarray(np.uint8(255 * round_mask)).save(tmp_path / "round.png")
    masked = json.loads(run("inspect", EYE, "--mask", tmp_path / "round.png", "--format", "json").stdout)
    assert masked["pixels"] == round_mask.sum()
    colour = json.loads(run("inspect", DATASETS / "raccoon" / "eye_color.png", "--format", "json").stdout)
    grey = json.loads(
        run("inspect", DATASETS / "raccoon" / "eye_color.png", "--gray", "--format", "json").stdout
    )
    assert colour["contrast"] != grey["contrast"]


def test_a_constant_template_is_refused_in_a_sentence(tmp_path):
    Image.new("L", (20, 20), 90).save(tmp_path / "flat.png")
    result = run("inspect", tmp_path / "flat.png")
    assert result.exit_code == 2
    assert re.fullmatch(r"error: .*constant.*\n", result.stderr)


@pytest.mark.engine_free
@pytest.mark.parametrize("plot", ["eye.png", "no/eye.png", "eye.docx"])
def test_figures_go_where_they_can_and_overwrite_nothing_read(tmp_path, plot):
    eye = tmp_path / "eye.png"
    eye.write_bytes(EYE.read_bytes())
    result = run("inspect", eye, "--plot", tmp_path / plot)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert eye.read_bytes() == EYE.read_bytes()


def test_a_template_and_its_image_are_named_in_either_order():
    told = run("inspect", EYE, NOISY)
    other = run("inspect", NOISY, EYE)
    assert (other.exit_code, other.stdout) == (0, told.stdout)
    assert "best position     0.79 at x=670, y=300" in told.stdout


def test_a_flat_image_has_no_best_position(tmp_path):
    Image.new("L", (100, 90), 90).save(tmp_path / "flat.png")
    told = run("inspect", EYE, tmp_path / "flat.png")
    assert told.exit_code == 0
    assert "best position" not in told.stdout


# --- robustness -----------------------------------------------------------------------------------

STUDY = "robustness", DATASETS / "raccoon" / "face_gray.png", EYE, "--kinds", "noise,scale", "--trials", 2


def test_what_a_template_stands_is_told_in_rows_and_drawn(tmp_path):
    table = run(*STUDY, "--plot", tmp_path / "study.png")
    assert table.exit_code == 0
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["distortion", "level", "found", "false", "off", "by", "score"]
    assert lines[1].split() == ["noise,", "grey", "levels", "0", "1/1", "0", "0.0", "px", "1.000"]
    assert lines[-1].split() == ["1.2", "0/1", "0", "-", "-"]
    with Image.open(tmp_path / "study.png") as figure:
        assert min(figure.size) > 300
    assert table.stdout == run(*STUDY).stdout  # seeded
    assert table.stdout != run(*STUDY, "--seed", 1).stdout


def test_rows_are_csv_and_json_on_request():
    rows = list(csv.DictReader(io.StringIO(run(*STUDY, "--format", "csv").stdout)))
    same = json.loads(run(*STUDY, "--format", "json").stdout)
    assert [(row["kind"], float(row["level"]), float(row["detection"])) for row in rows] == [
        (row["kind"], row["level"], row["detection"]) for row in same
    ]
    placed = json.loads(run(*STUDY, "--at", "10,20", "--format", "json").stdout)
    assert {row["detection"] for row in placed} == {0}


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--kinds", "fog"], "--kinds is 'fog'; it must be one of \"noise\""),
        (["--at", "3"], '--at is "3"; it must be two whole numbers with a comma, as in 670,300: x, y'),
        (
            ["--at", "5000,3"],
            "the box at --at goes from x=5000, y=3 to x=5080, y=68, which is not all inside IMAGE of 1024 x 768",
        ),
        (["--trials", "0"], "--trials is 0; it must be a whole number of at least 1"),
    ],
)
def test_studies_that_cannot_be_are_refused(options, sentence):
    result = run(*STUDY, *options)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_template_that_is_not_there_has_no_robustness():
    result = run("robustness", DATASETS / "raccoon" / "face_gray.png", DATASETS / "coins" / "big.png")
    assert result.exit_code == 2
    assert "TEMPLATE is not found in IMAGE as it is: its best position, x=542, y=223, scores" in result.stderr
    assert "if that is right, name it with --at, else see with `tmatch explain` why" in result.stderr


# --- explain --------------------------------------------------------------------------------------


def test_a_place_and_a_miss_are_explained():
    found, low = run("explain", NOISY, EYE), run("explain", NOISY, EYE, "--threshold", 0.8)
    assert found.exit_code == low.exit_code == 0
    assert found.stdout.startswith("x=670, y=300 is reported, match number 1 of 1: its score is 0.79")
    assert low.stdout.startswith(
        "x=670, y=300 is not reported: its score is 0.79 (the best peak), and at least 0.80 is required"
    )
    other = run("explain", NOISY, EYE, "--at", "673,301").stdout
    assert other.startswith("x=673, y=301 is not reported")
    assert "A better peak is near. x=670, y=300 is reported" in other


def test_explanations_are_json_on_request():
    told = json.loads(run("explain", NOISY, DATASETS / "coins" / "big.png", "--format", "json").stdout)
    assert (told["reported"], told["rule"], told["allowed"]) == (False, "false alarms", 0.01)
    assert told["box"]["start"] == [224, 543]
    assert told["noise"] == pytest.approx(46, abs=3)
    beside = json.loads(run("explain", NOISY, EYE, "--at", "671,300", "--format", "json").stdout)
    assert [*beside["higher"]] == [
        "box", "score", "label", "offset", "false_alarms", "second_best", "expected_score", "kind",
    ]  # fmt: skip


def test_a_part_is_explained_in_units_and_positions_of_the_whole_image():
    part = ("--region", "300,100,100,100", "--pixel-ratio", 2)
    found = run("explain", NOISY, EYE, *part)
    assert found.stdout.startswith("x=335, y=150 is reported, match number 1 of 1: its score is 0.79")
    near = run("explain", NOISY, EYE, *part, "--at", "336.5,150.5", "--format", "json")
    told = json.loads(near.stdout)
    assert told["box"] == {"start": [150.5, 336.5], "shape": [32.5, 40]}
    assert told["nearest_peak"]["box"]["start"] == [150, 335]
    assert told["text"].startswith("x=336.5, y=150.5 is not reported")
    assert run("explain", NOISY, EYE, "--region", "0,0,300,300").stdout.startswith("x=")
    located = json.loads(run("locate", NOISY, EYE, *part, "--format", "json").stdout)["matches"]
    assert [(match["x"], match["y"]) for match in located] == [(335, 150)]


def test_explanations_speak_of_options(tmp_path):
    Image.fromarray(np.tile(np.asarray(Image.open(EYE)), (3, 3))).save(tmp_path / "tiles.png")
    told = run("explain", tmp_path / "tiles.png", EYE, "--max-count", 1, "--at", "80,65").stdout
    assert "and --max-count is 1. Raise --max-count to" in told


@pytest.mark.engine_free
@pytest.mark.parametrize("command", ["locate", "explain", "heatmap", "inspect", "robustness", "filter"])
def test_pixels_that_are_not_finite_are_refused_in_the_words_of_the_command_line(tmp_path, command):
    import tifffile

    gaps = np.random.default_rng(0).normal(size=(100, 110)).astype("f4")
    gaps[3, 5] = np.nan
    tifffile.imwrite(tmp_path / "gaps.tif", gaps)
    files = [tmp_path / "gaps.tif"] + [EYE] * (command not in ("inspect", "filter"))
    options = {"heatmap": ["-o", tmp_path / "h.png"], "filter": ["-k", "box", "-o", tmp_path / "f.npy"]}
    told = run(command, *files, *options.get(command, []))
    assert told.exit_code == 2
    assert "at x=5, y=3" in told.stderr
    assert not re.search(r"`|missing=|np\.", told.stderr)
    assert ("--image-mask" in told.stderr) == (command in ("locate", "explain", "heatmap"))


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--at", "x,y"], '--at is "x,y"; it must be two whole numbers'),
        (["--metric", "ssd"], "give a --threshold"),
        (
            ["--prefilter", "whiten", "--threshold", "0.5"],
            "filtered images are decided on by zncc and --false-alarms",
        ),
    ],
)
def test_what_cannot_be_explained_is_refused(options, sentence):
    result = run("explain", NOISY, EYE, *options)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_inspect_tells_which_poses_look_alike(tmp_path):
    rows, columns = np.mgrid[-30:30, -30:30] + 0.5
    Image.fromarray(np.uint8(255 * ((abs(rows) < 8) & (abs(columns) < 24)))).save(tmp_path / "bar.png")
    told = run("inspect", tmp_path / "bar.png").stdout
    assert (
        "other poses       alike rotated by 180 degrees, or mirrored and rotated by 0, 180 degrees; a search over all "
        "angles begins in an image 4 times smaller\n" in told
    )
    spot = np.uint8(255 * np.exp(-(np.hypot(*np.mgrid[-12:13, -12:13]) ** 2) / 50))
    Image.fromarray(spot).save(tmp_path / "spot.png")
    assert "the same at all angles: no angle can be told;" in run("inspect", tmp_path / "spot.png").stdout


def test_robustness_searches_poses_on_request():
    study = (
        "robustness",
        DATASETS / "raccoon" / "face_gray.png",
        EYE,
        "--kinds",
        "rotation",
        "--format",
        "json",
    )
    upright, turned = (json.loads(run(*study, *asked).stdout) for asked in ([], ["--angles=-15:15"]))
    assert [row["detection"] for row in turned] == [1] * 5
    assert upright[-1]["score"] is None or upright[-1]["score"] < turned[-1]["score"]
