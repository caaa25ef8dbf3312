import csv
import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import tmatch
from tmatch.cli.app import app
from tmatch.cli.console import Console

pytestmark = pytest.mark.one_engine

ROOT = Path(__file__).parents[2]
RACCOON = ROOT / "datasets" / "raccoon"
NOISY, EYE = str(RACCOON / "noisy.png"), str(RACCOON / "eye.png")
COIN = ROOT / "datasets" / "coins" / "big.png"
SCREEN = ROOT / "datasets" / "screenshot"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def pair(tmp_path):
    """A picture with three exact copies of a template, two of which overlap by half."""
    template = tmatch.to_range(tmatch.synthetic.make_clutter((10, 12), rng=1))
    ground = tmatch.synthetic.make_clutter((60, 80), rng=2)
    image, _ = tmatch.synthetic.make_scene(ground, template, [(5, 8), (30, 50)])
    Image.fromarray(tmatch.to_range(image)).save(tmp_path / "image.png")
    Image.fromarray(template).save(tmp_path / "template.png")
    return tmp_path / "image.png", tmp_path / "template.png"


# --- locate -------------------------------------------------------------------------------------------


def test_the_eye_is_found_in_the_noisy_photo_as_json():
    result = run("locate", NOISY, EYE, "--threshold", 0.7, "--format", "json")
    assert result.exit_code == 0
    (match,) = json.loads(result.stdout)["matches"]
    score = pytest.approx(0.79, abs=0.005)
    assert match.pop("false_alarms") < 1e-10
    sure = {
        "second_best": pytest.approx(0.735, abs=0.01),
        "expected_score": pytest.approx(0.79, abs=0.005),
        "kind": "copy",
    }
    assert match == {"label": "eye", "x": 670, "y": 300, "width": 80, "height": 65, "score": score, **sure}
    assert result.stderr == ""


def test_a_miss_tells_the_best_score_and_its_place_and_exits_with_1():
    result = run("locate", NOISY, EYE, "--threshold", 0.8, "--format", "json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["matches"] == []
    assert 'no score reached 0.8; the best score was 0.79 of "eye" at x=670, y=300' in result.stderr
    assert "lower --threshold below that score" in result.stderr


def test_without_a_threshold_the_noisy_eye_is_the_one_match_and_a_coin_is_none():
    (match,) = json.loads(run("locate", NOISY, EYE, "--format", "json").stdout)["matches"]
    assert (match["x"], match["y"]) == (670, 300)
    assert match["false_alarms"] <= 0.01
    assert 0.1 < match["second_best"] < 0.9
    result = run("locate", NOISY, COIN)
    assert result.exit_code == 1
    assert 'the best score was 0.47 of "big" at x=543, y=224; ' in result.stderr
    expected = r"; \S+ false alarms are expected at this score and at most 0.01 are allowed\."
    assert re.search(expected, result.stderr)
    assert "allow more --false-alarms, or decide by the score with --threshold" in result.stderr
    assert run("locate", NOISY, COIN, "--false-alarms", 100).exit_code == 0


@pytest.mark.engine_free
def test_a_threshold_and_false_alarms_together_mean_both():
    assert run("locate", NOISY, EYE, "--threshold", 0.7, "--false-alarms", 0.1).exit_code == 0
    assert run("locate", NOISY, EYE, "--threshold", 0.8, "--false-alarms", 0.1).exit_code == 1
    assert run("locate", NOISY, COIN, "--threshold", 0.3, "--false-alarms", 0.1).exit_code == 1


def test_all_formats_tell_the_same_boxes(pair):
    def ran(form):
        result = run("locate", *pair, "--format", form)
        assert result.exit_code == 0
        return result.stdout

    truth = {(8, 5, 12, 10), (50, 30, 12, 10)}
    keys = ("x", "y", "width", "height")
    assert {tuple(m[k] for k in keys) for m in json.loads(ran("json"))["matches"]} == truth
    told = [match for line in ran("jsonl").splitlines() for match in json.loads(line)["matches"]]
    assert {tuple(m[k] for k in keys) for m in told} == truth
    assert {tuple(int(row[k]) for k in keys) for row in csv.DictReader(io.StringIO(ran("csv")))} == truth
    assert {tuple(a["bbox"]) for a in json.loads(ran("coco"))["annotations"]} == truth
    rings = [f["geometry"]["coordinates"][0] for f in json.loads(ran("geojson"))["features"]]
    assert {(x, y, right - x, bottom - y) for (x, y), _, (right, bottom), *_ in rings} == truth
    assert len(ran("yolo").splitlines()) == 2
    assert 'tests="1" failures="0"' in ran("junit")
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in ran("table").splitlines() if "│" in line]
    assert {tuple(map(int, row[1:5])) for row in cells} == truth


def test_options_reach_the_library(pair):
    def boxes(*options):
        return json.loads(run("locate", *pair, "--format", "json", *options).stdout)["matches"]

    assert len(boxes("--max-count", 1)) == 1
    assert (
        len(boxes("--threshold", -1, "--max-overlap", 1))
        > len(boxes("--threshold", -1, "--max-overlap", 0))
        > 2
    )


def test_several_templates_are_told_apart_by_their_names():
    result = run(
        "locate", SCREEN / "image.png", SCREEN / "button.png", SCREEN / "icon.png", "--format", "json"
    )
    labels = [m["label"] for m in json.loads(result.stdout)["matches"]]
    assert sorted(labels) == ["button"] * 5 + ["icon"] * 5


def test_colour_tells_red_from_blue_and_gray_does_not():
    found = {}
    for options in ((), ("--gray",)):
        result = run("locate", SCREEN / "image.png", SCREEN / "dot.png", "--format", "json", *options)
        found[options] = len(json.loads(result.stdout)["matches"])
    assert found == {(): 2, ("--gray",): 4}


def test_pictures_and_scores_are_written(pair, tmp_path):
    files = {"--overlay": tmp_path / "o.png", "--heatmap": tmp_path / "h.png", "--scores": tmp_path / "s.npy"}
    result = run("locate", *pair, *(a for item in files.items() for a in item))
    assert result.exit_code == 0
    for path in files.values():
        assert str(path) in result.stderr
    overlay = tmatch.read_image(files["--overlay"]).astype(int)
    assert overlay.shape == (300, 400, 3)  # 60 x 80, enlarged fivefold to be readable
    assert (np.ptp(overlay, axis=2) > 100).sum() > 500  # coloured boxes on a grey picture
    image, template = map(tmatch.read_image, pair)
    np.testing.assert_array_equal(np.load(files["--scores"]), tmatch.match_template(image, template))


def test_overlay_of_a_miss_shows_the_best_place(pair, tmp_path):
    result = run("locate", pair[0], EYE, "--overlay", tmp_path / "o.png")
    assert result.exit_code == 2  # the eye is larger than this picture
    result = run("locate", NOISY, pair[1], "--overlay", tmp_path / "o.png")
    assert result.exit_code == 1
    assert tmatch.read_image(tmp_path / "o.png").shape[:2] == (768, 1024)


# --- the other commands -------------------------------------------------------------------------------


def test_heatmap_writes_a_figure_and_tells_the_best_place(pair, tmp_path):
    result = run("heatmap", *pair, "-o", tmp_path / "h.png")
    assert result.exit_code == 0
    assert "best score 1.000 at x=8, y=5" in result.stderr
    assert tmatch.read_image(tmp_path / "h.png").shape[1] > 500


@pytest.mark.engine_free
def test_kernels_are_listed_with_their_numbers():
    result = run("kernels")
    assert result.exit_code == 0
    for name in tmatch.kernels.names():
        assert name in result.stdout


def test_filter_writes_the_convolved_picture(pair, tmp_path):
    result = run("filter", pair[0], "-k", "sharpen", "-o", tmp_path / "f.png")
    assert result.exit_code == 0
    expected = tmatch.convolve(tmatch.read_image(pair[0]), tmatch.kernels.sharpen(), channel_axis=None)
    np.testing.assert_array_equal(tmatch.read_image(tmp_path / "f.png"), tmatch.to_range(expected))


@pytest.mark.engine_free
def test_version_and_help():
    assert run("--version").stdout.strip() == f"tmatch {tmatch.__version__}"
    for command in ([], ["locate"], ["heatmap"], ["kernels"], ["filter"]):
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.stdout


@pytest.mark.engine_free
def test_warm_up_ends_with_an_exit_code_where_there_is_nothing_to_compile(monkeypatch):
    monkeypatch.setenv("TMATCH_ENGINE", "numpy")
    result = run("warm-up", "uint8")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("nothing to compile; engine: NumPy and SciPy")
    assert run("warm-up", "pixels").stderr.startswith("error: DTYPE has pixels, which is no dtype of images")


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["locate", "missing.png", EYE], 'error: cannot read "missing.png": no such file or directory'),
        (["locate", "image_mask.png", EYE], 'error: cannot read "image_mask.png": no such file or directory'),
        (
            ["locate", EYE, NOISY],
            'error: template "noisy" has shape (768, 1024), larger than IMAGE (65, 80) on axes 0, 1',
        ),
        (
            ["locate", NOISY, EYE, "--threshold", "80"],
            "error: --threshold is 80.0; zncc scores are from -1 to 1",
        ),
        (["locate", NOISY, EYE, "--max-count", "0"], "error: --max-count is 0; it must be a whole number"),
        (["locate", NOISY, EYE, "--max-overlap", "3"], "error: --max-overlap is 3.0; it must be from 0"),
        (
            ["locate", NOISY, EYE, NOISY, "--scores", "s.npy"],
            "error: --scores writes one score map, but 2 templates",
        ),
        (["heatmap", NOISY, EYE, "-o", "h.what"], '".what" is not a known format; use one of .png'),
        (
            ["filter", EYE, "-k", "sobl_x", "-o", "f.png"],
            'error: there is no kernel "sobl_x"; did you mean "sobel_x"?',
        ),
        (["locate"], "Missing argument"),
        (["locate", NOISY], "is the only file named; name templates after the image"),
        (["locate", NOISY, EYE, "--format", "xml"], "xml"),
    ],
)
def test_bad_input_is_told_in_a_line_and_exits_with_2(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.engine_free
def test_debug_shows_the_traceback():
    result = run("--debug", "locate", "missing.png", EYE)
    assert isinstance(result.exception, OSError)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OverflowError("too large\na number"), "error: too large a number\n"),
        (ZeroDivisionError(), "error: ZeroDivisionError\n"),
        (MemoryError(), "error: not enough memory; crop or shrink the image\n"),
    ],
)
def test_errors_of_arithmetic_and_memory_are_told_in_a_line_too(monkeypatch, error, sentence):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr("tmatch._batch.images.search", fail)
    result = run("locate", NOISY, EYE)
    assert (result.exit_code, result.stderr, result.stdout) == (2, sentence, "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [40, 80, 100, 200])
def test_tables_are_never_cut(pair, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    console = Console(Terminal(), io.StringIO())
    CliRunner().invoke(app, ["locate", *map(str, pair)], obj=console)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.out.getvalue())
    lines = text.splitlines()
    words = set(re.findall(r"[\w.…-]+", text))
    assert {"label", "x", "width", "score", "false", "alarms", "second", "best", "kind"} <= words
    assert "…" not in text
    assert max(map(len, lines)) <= max(columns, 80)
    assert ("false alarms" in text) == (columns >= 100)


def test_a_console_is_handed_to_the_commands(pair):
    console = Console(io.StringIO(), io.StringIO())
    result = CliRunner().invoke(app, ["locate", *map(str, pair), "--format", "csv"], obj=console)
    assert (result.exit_code, result.output) == (0, "")
    assert len(console.out.getvalue().splitlines()) == 3
    assert console.err.getvalue() == ""


def test_tables_are_as_wide_as_the_terminal_and_progress_is_drawn_there_alone(monkeypatch):
    terminal, file = Console(Terminal(), Terminal()), Console(io.StringIO(), io.StringIO())
    assert file.width == 120
    for columns, width in ((200, 200), (40, 60)):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert terminal.width == width
    with file.progress("searching") as progress:
        assert progress is None
    begin = time.monotonic()
    with terminal.progress("searching") as progress:
        progress(0.1)
        assert terminal.err.getvalue() == ""  # quick tasks have no bar
        monkeypatch.setattr(time, "monotonic", lambda: begin + 2)
        progress(0.5)
    assert "searching" in terminal.err.getvalue()
    assert terminal.out.getvalue() == ""


@pytest.mark.engine_free
def test_interrupt_is_no_miss(monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("tmatch._batch.images.search", interrupted)
    result = run("locate", NOISY, EYE)
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


# --- masks, regions, units ------------------------------------------------------------------------------


@pytest.fixture
def badge(tmp_path):
    """A round badge on two grounds, and templates of it on black: opaque, with a hard and with a soft rim."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:21, :21] - 10.0
    disc = np.clip(10.5 - np.hypot(y, x), 0, 1)  # soft at the rim
    face = rng.integers(60, 255, (21, 21))
    image = rng.integers(0, 255, (70, 90)).astype(float)
    for top, left in ((8, 12), (40, 60)):
        ground = image[top : top + 21, left : left + 21]
        image[top : top + 21, left : left + 21] = disc * face + (1 - disc) * ground
    Image.fromarray(image.astype(np.uint8)).save(tmp_path / "image.png")
    cut = np.where(disc == 1, face, 0).astype(np.uint8)
    Image.fromarray(cut).save(tmp_path / "black.png")
    Image.fromarray(((disc == 1) * 255).astype(np.uint8)).save(tmp_path / "mask.png")
    for name, alpha in (("hard", disc == 1), ("soft", disc)):
        layers = [Image.fromarray(face.astype(np.uint8)), Image.fromarray((alpha * 255).astype(np.uint8))]
        Image.merge("LA", layers).save(tmp_path / f"{name}.png")
    return tmp_path


def places(result):
    assert result.exit_code == 0, result.stderr
    return [(m["x"], m["y"], m["score"]) for m in json.loads(result.stdout)["matches"]]


@pytest.mark.parametrize(
    ("template", "options"),
    [
        ("hard.png", []),
        ("soft.png", []),
        ("black.png", ["--alpha", "black"]),
        ("black.png", ["--mask", "mask.png"]),
    ],
)
def test_what_is_transparent_in_a_template_does_not_count(badge, template, options):
    options = [badge / o if o.endswith(".png") else o for o in options]
    found = places(run("locate", badge / "image.png", badge / template, "--format", "json", *options))
    assert found == [(12, 8, 1.0), (60, 40, 1.0)]
    plain = run("locate", badge / "image.png", badge / template, "--alpha", "ignore", "--threshold", 0.8)
    assert plain.exit_code == 1


def test_soft_alpha_as_weights_counts_the_rim_a_little(badge):
    found = places(
        run("locate", badge / "image.png", badge / "soft.png", "--alpha", "weights", "--format", "json")
    )
    assert {f[:2] for f in found} == {(12, 8), (60, 40)}
    assert all(0.9 < f[2] < 1 for f in found)


def test_a_region_is_searched_alone_and_told_in_the_picture_s_own_pixels(badge):
    pair = badge / "image.png", badge / "hard.png"
    heat, over = badge / "heat.png", badge / "over.png"
    options = ["--region", "50,30,40,40", "--format", "json", "--heatmap", heat, "--overlay", over]
    assert places(run("locate", *pair, *options)) == [(60, 40, 1.0)]
    assert heat.exists()
    assert over.exists()
    assert places(run("locate", *pair, "--region", "0,0,40,40", "--format", "json")) == [(12, 8, 1.0)]
    drawn = run("heatmap", *pair, "--region", "50,30,40,40", "-o", heat)
    assert "best score 1.000 at x=60, y=40" in drawn.stderr


def test_a_region_of_an_image_that_is_too_large_is_read_alone(badge, monkeypatch):
    import tifffile

    monkeypatch.setattr("tmatch._io.decoders.pages.MAX_PIXELS", 5000)
    tifffile.imwrite(badge / "image.tif", np.asarray(Image.open(badge / "image.png")), tile=(16, 16))
    tifffile.imwrite(badge / "there.tif", np.full((70, 90), 255, np.uint8), tile=(16, 16))
    pair, over = (badge / "image.tif", badge / "hard.png"), badge / "over.png"
    options = ["--region", "50,30,40,40", "--image-mask", badge / "there.tif"]
    result = run("locate", *pair, *options, "--format", "json", "--overlay", over)
    assert places(result) == [(60, 40, 1.0)]
    assert (json.loads(result.stdout)["width"], json.loads(result.stdout)["height"]) == (90, 70)
    assert over.exists()
    assert (
        "best score 1.000 at x=60, y=40" in run("heatmap", *pair, *options, "-o", badge / "heat.png").stderr
    )
    assert "x=60, y=40 is reported" in run("explain", *pair, *options).stdout
    assert places(run("locate", *pair, "--format", "json")) == [(12, 8, 1.0), (60, 40, 1.0)]
    refused = run("heatmap", *pair, "-o", badge / "heat.png")
    assert refused.exit_code == 2
    assert "crop it or shrink it first, or search a part of it with --region" in refused.stderr
    outside = run("locate", *pair, "--region", "80,0,20,20")
    assert "which is not inside the image of 90 x 70 pixels" in outside.stderr


@pytest.mark.parametrize("form", ["json", "jsonl", "csv", "coco", "table"])
def test_pixel_ratio_tells_boxes_in_the_screen_s_units(badge, form):
    result = run("locate", badge / "image.png", badge / "hard.png", "--pixel-ratio", 2, "--format", form)
    assert result.exit_code == 0
    if form == "json":
        told = json.loads(result.stdout)
        assert (told["width"], told["height"]) == (45, 35)
        assert [(m["x"], m["y"], m["width"]) for m in told["matches"]] == [(6, 4, 10.5), (30, 20, 10.5)]
    elif form == "coco":
        assert json.loads(result.stdout)["annotations"][0]["bbox"] == [6, 4, 10.5, 10.5]
    else:
        told = result.stdout.replace(str(badge), "")
        assert "10.5" in told
        assert "21" not in told
    region = run(
        "locate",
        badge / "image.png",
        badge / "hard.png",
        "--pixel-ratio",
        2,
        "--region",
        "25,15,20,20",
        "--format",
        "json",
    )
    assert places(region) == [(30, 20, 1.0)]


def test_pixels_under_a_black_image_mask_are_not_there(badge):
    mask = np.full((70, 90), 255, np.uint8)
    mask[:, :34] = 0
    Image.fromarray(mask).save(badge / "there.png")
    pair = badge / "image.png", badge / "hard.png"
    found = places(run("locate", *pair, "--image-mask", badge / "there.png", "--format", "json"))
    assert found == [(60, 40, 1.0)]
    # The same by a transparent part of the picture itself.
    picture = Image.open(badge / "image.png")
    Image.merge("LA", [picture, Image.fromarray(mask)]).save(badge / "cut.png")
    assert places(run("locate", badge / "cut.png", badge / "hard.png", "--format", "json")) == [(60, 40, 1.0)]


def test_a_template_that_hangs_over_the_border_is_found_on_request(badge):
    picture = np.asarray(Image.open(badge / "image.png"))
    Image.fromarray(picture[:, 17:]).save(badge / "cut.png")
    pair = badge / "cut.png", badge / "hard.png"
    assert len(places(run("locate", *pair, "--format", "json"))) == 1
    found = places(run("locate", *pair, "--places", "full", "--format", "json", "--heatmap", badge / "h.png"))
    assert (-5, 8, 1.0) in found
    assert (43, 40, 1.0) in found
    none = run("locate", *pair, "--places", "full", "--min-overlap", 0.9, "--format", "json")
    assert (-5, 8, 1.0) not in places(none)


def test_other_metrics_need_thresholds_of_their_own(pair):
    result = run("locate", *pair, "--metric", "ssd")
    assert result.exit_code == 2
    assert "can be estimated for zncc and orientation only; give a --threshold alone" in result.stderr
    found = places(run("locate", *pair, "--metric", "ssd", "--threshold", 0, "--format", "json"))
    assert found == [(8, 5, 0.0), (50, 30, 0.0)]
    assert (
        len(places(run("locate", *pair, "--metric", "orientation", "--threshold", 0.9, "--format", "json")))
        == 2
    )
    assert run("heatmap", *pair, "--metric", "ncc", "-o", pair[0].parent / "h.png").exit_code == 0


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--region", "1,2,3"], '--region is "1,2,3"; it must be four numbers with commas'),
        (["--region", "80,0,20,20"], "which is not inside the image of 90 x 70 pixels"),
        (["--region", "0,0,10,10"], "larger than IMAGE (10, 10) on axes 0, 1"),
        (["--pixel-ratio", "0"], "--pixel-ratio is 0; it must be from 0.01 to 100"),
        (["--mask", "image.png"], 'image.png" is 90 x 70 pixels, but the template is 21 x 21 pixels'),
        (["--image-mask", "mask.png"], 'mask.png" is 21 x 21 pixels, but the image is 90 x 70 pixels'),
        (["--min-overlap", "0"], "--min-overlap is 0.0; it must be above 0 and at most 1"),
        (["--metric", "zcc2"], "zcc2"),
        (["--scores", "map.txt"], 'map.txt": --scores writes arrays; use the ending .npy'),
    ],
)
def test_masks_and_regions_that_cannot_be_are_refused(badge, options, sentence):
    options = [badge / o if o.endswith(".png") else o for o in options]
    result = run("locate", badge / "image.png", badge / "hard.png", *options)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.replace("│", " ").split())


def test_a_mask_file_and_transparency_count_together(badge):
    Image.new("L", (21, 21), 255).save(badge / "white.png")
    pair = badge / "image.png", badge / "hard.png"
    assert len(places(run("locate", *pair, "--mask", badge / "white.png", "--format", "json"))) == 2
    Image.new("L", (21, 21), 0).save(badge / "none.png")
    result = run("locate", *pair, "--mask", badge / "none.png")
    assert result.exit_code == 2
    assert 'none.png" is black wherever' in result.stderr


def test_pictures_of_8_and_16_bits_are_brought_to_one_range(pair, tmp_path):
    deep = np.asarray(Image.open(pair[0])).astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    found = run(
        "locate", tmp_path / "deep.png", pair[1], "--metric", "ssd", "--threshold", 0, "--format", "json"
    )
    assert places(found) == [(8, 5, 0.0), (50, 30, 0.0)]


def test_places_without_a_score_are_grey_in_heatmaps(badge):
    pair = badge / "image.png", badge / "hard.png"
    assert run("heatmap", *pair, "--places", "full", "-o", badge / "h.png").exit_code == 0
    drawn = np.asarray(Image.open(badge / "h.png").convert("RGB"))
    assert (drawn == 153).all(axis=2).mean() > 0.1  # grey level 0.6


@pytest.mark.engine_free
def test_a_template_without_an_opaque_pixel_is_refused_with_a_way_out(tmp_path, badge):
    clear = Image.merge("LA", [Image.new("L", (5, 5), 99), Image.new("L", (5, 5), 128)])
    clear.save(tmp_path / "clear.png")
    result = run("locate", badge / "image.png", tmp_path / "clear.png")
    assert result.exit_code == 2
    assert (
        'clear.png" has no opaque pixel, so nothing of it would count; try --alpha weights' in result.stderr
    )


# --- refusals and files ---------------------------------------------------------------------------------


@pytest.mark.engine_free
@pytest.mark.parametrize("option", ["--overlay", "--heatmap"])
def test_nothing_is_overwritten_unseen(pair, tmp_path, option):
    before = pair[0].read_bytes()
    for arguments in ([option, pair[0]], ["--overlay", tmp_path / "o.png", "--heatmap", tmp_path / "o.png"]):
        result = run("locate", *pair, *arguments)
        assert result.exit_code == 2
        assert "is named twice, or is one of the images read" in result.stderr
    assert pair[0].read_bytes() == before
    assert not (tmp_path / "o.png").exists()


@pytest.mark.engine_free
def test_missing_folder_is_told_before_the_work(pair, tmp_path):
    result = run("locate", *pair, "--overlay", tmp_path / "no" / "o.png")
    assert result.exit_code == 2
    assert "there is no folder" in result.stderr


def test_names_that_look_like_markup_or_mathematics_are_shown_as_they_are(pair, tmp_path):
    odd = tmp_path / "[red]a$_b$[bold].png"
    odd.write_bytes(pair[1].read_bytes())
    files = ("--heatmap", tmp_path / "h.png", "--overlay", tmp_path / "o.png")
    result = run("locate", pair[0], odd, pair[1], *files, "--max-overlap", 1)
    assert result.exit_code == 0
    assert odd.stem in result.stdout


def test_thin_pictures_get_an_overlay_of_sensible_size(tmp_path):
    strip = np.random.default_rng(0).integers(0, 256, (20, 1920), dtype=np.uint8)
    Image.fromarray(strip).save(tmp_path / "strip.png")
    Image.fromarray(strip[:, 500:540]).save(tmp_path / "part.png")
    result = run("locate", tmp_path / "strip.png", tmp_path / "part.png", "--overlay", tmp_path / "o.png")
    assert result.exit_code == 0
    assert tmatch.read_image(tmp_path / "o.png").shape[:2] == (20, 1920)


# --- filter and kernels -------------------------------------------------------------------------------


def test_look_alikes_are_named_where_only_copies_are_asked_for():
    letters = ROOT / "datasets" / "letters"
    image, glyph = str(letters / "image.png"), str(letters / "glyphs" / "upper_O.png")
    for options in ([], ["--threshold", "0.9"]):
        result = run("locate", image, glyph, "--copies-only", *options)
        assert result.exit_code == 1
        assert "that is alike, but no copy" in result.stderr
        assert "leave --copies-only out" in result.stderr
        assert "are allowed" not in result.stderr.split("near misses")[0]


def filtered(pair, tmp_path, *options):
    result = run("filter", pair[0], "-o", tmp_path / "f.png", *options)
    assert result.exit_code == 0, result.stderr
    return tmatch.read_image(tmp_path / "f.png")


def test_filter_options_reach_the_library(pair, tmp_path):
    pixels = tmatch.read_image(pair[0])
    kernel = tmatch.kernels.ripple()
    options = ("--op", "correlate", "--border", "wrap", "--places", "full", "--stride", 2, "--range", "wrap")
    expected = tmatch.correlate(pixels, kernel, border="wrap", output="full", stride=2)
    np.testing.assert_array_equal(
        filtered(pair, tmp_path, "-k", "ripple", *options), tmatch.to_range(expected, how="wrap")
    )


@pytest.mark.parametrize("ending", [".txt", ".csv", ".npy", ""])
def test_kernels_come_from_files_and_from_numbers(pair, tmp_path, ending):
    kernel = np.array([[0, -1.5, 0], [-1, 6, -1], [0, -1, 0.25]])
    source = tmp_path / f"kernel{ending}"
    if ending == ".npy":
        np.save(source, kernel)
    elif ending:
        np.savetxt(source, kernel, delimiter="," if ending == ".csv" else " ", header="a comment")
    else:
        source = "0 -1.5 0; -1 6 -1; 0,-1,0.25"
    expected = tmatch.to_range(tmatch.convolve(tmatch.read_image(pair[0]), kernel))
    np.testing.assert_array_equal(filtered(pair, tmp_path, "-k", source), expected)


def test_numbers_themselves_are_written_as_npy(pair, tmp_path):
    assert run("filter", pair[0], "-k", "laplacian", "-o", tmp_path / "f.npy").exit_code == 0
    expected = tmatch.convolve(tmatch.read_image(pair[0]), tmatch.kernels.laplacian())
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), expected)


def test_magnitude_of_a_complex_kernel_is_written(pair, tmp_path):
    edges = np.abs(tmatch.convolve(tmatch.read_image(pair[0]), tmatch.kernels.scharr_complex()))
    np.testing.assert_array_equal(filtered(pair, tmp_path, "-k", "scharr_complex"), tmatch.to_range(edges))


def test_compare_draws_every_result_and_scipy_beside_it(pair, tmp_path):
    plain = filtered(pair, tmp_path, "--bank", "small_blur,sharpen", "--compare").shape
    beside = filtered(pair, tmp_path, "--bank", "small_blur,sharpen", "--compare", "--against", "scipy").shape
    assert beside[1] > plain[1] > 900


def test_sixteen_bits_stay_sixteen(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (30, 40), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(filtered((tmp_path / "deep.png",), tmp_path, "-k", "identity"), deep)


@pytest.mark.engine_free
def test_printed_kernel_is_read_back(tmp_path):
    result = run("kernels", "scharr_complex", "--plot", tmp_path / "k.png")
    assert result.exit_code == 0
    (tmp_path / "kernel.txt").write_text(result.stdout)
    assert run("kernels", tmp_path / "kernel.txt").stdout == result.stdout
    assert tmatch.read_image(tmp_path / "k.png").shape[1] > 900


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "error: no kernel is given; name one with -k"),
        (["--bank", "box,sharpen"], "error: several kernels, and --against, make a figure; add --compare"),
        (
            ["-k", "1 2; 3"],
            'error: cannot read the kernel "1 2; 3": rows of 1 to 2 numbers; they must be equally long',
        ),
        (["-k", "missing.csv"], 'error: cannot read "missing.csv": no such file or directory'),
        (
            ["-k", "box", "--compare", "--against", "scipy", "--places", "full"],
            'scipy.ndimage knows only "same"',
        ),
        (["-k", "large_blur", "--places", "valid", "--stride", "0"], "error: --stride is 0"),
    ],
)
def test_filters_that_cannot_be_are_refused(pair, tmp_path, options, sentence):
    result = run("filter", pair[0], "-o", tmp_path / "f.png", *options)
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert not (tmp_path / "f.png").exists()


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1;2;3\n4;5;6\n", [[1, 2, 3], [4, 5, 6]]),
        ("1, 2\n3, 4", [[1, 2], [3, 4]]),
        ("\ufeff1 2 # Pascal\n\n2 4\n", [[1, 2], [2, 4]]),
        ("1;2;3", [[1], [2], [3]]),
    ],
)
def test_kernel_files_of_many_hands_are_read(tmp_path, text, rows):
    (tmp_path / "k.csv").write_text(text, encoding="utf-8")
    shown = run("kernels", tmp_path / "k.csv").stdout
    assert [[float(n) for n in line.split()] for line in shown.splitlines()] == rows


@pytest.mark.engine_free
@pytest.mark.parametrize(
    ("text", "sentence"), [("1,,2\n3,4,5", '"" is not a number'), ("a,b", '"a" is not a number')]
)
def test_cells_that_are_no_numbers_are_refused(tmp_path, text, sentence):
    (tmp_path / "k.csv").write_text(text)
    result = run("kernels", tmp_path / "k.csv")
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_sixteen_bits_are_compared_in_eight(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (300, 300), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    figure = filtered((tmp_path / "deep.png",), tmp_path, "-k", "identity", "--compare")[..., 0].astype(int)
    left, right = figure[60:-20, 40:420], figure[60:-20, 500:880]
    assert abs(left.mean() - right.mean()) < 3
    assert run("filter", tmp_path / "deep.png", "-k", "box", "-o", tmp_path / "f.webp").exit_code == 2


@pytest.mark.engine_free
def test_kernel_file_is_not_overwritten(pair, tmp_path):
    np.save(tmp_path / "k.npy", np.eye(3))
    result = run("filter", pair[0], "-k", tmp_path / "k.npy", "-o", tmp_path / "k.npy")
    assert result.exit_code == 2
    assert np.load(tmp_path / "k.npy").shape == (3, 3)


@pytest.mark.engine_free
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no array", b"\x93NUMPY\x01\x00 cut"])
def test_broken_kernel_files_are_told_in_a_line(pair, tmp_path, content):
    (tmp_path / "k.npy").write_bytes(content)
    result = run("filter", pair[0], "-k", tmp_path / "k.npy", "-o", tmp_path / "f.png")
    assert result.exit_code == 2
    assert "error: cannot read the kernel" in result.stderr


def test_float_pictures_have_no_range_to_clip_to(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", np.eye(9, dtype=np.float32))
    result = run("filter", tmp_path / "a.tif", "-k", "box", "-o", tmp_path / "f.png")
    assert result.exit_code == 2
    assert "holds float32, whose values have no range of their own; use --range rescale" in result.stderr
    assert (
        run(
            "filter", tmp_path / "a.tif", "-k", "box", "-o", tmp_path / "f.png", "--range", "rescale"
        ).exit_code
        == 0
    )


def test_a_flat_image_has_no_best_position(pair, tmp_path):
    Image.new("L", (60, 50), 90).save(tmp_path / "flat.png")
    nothing = (
        "no position has a score, as there is nothing to compare: the image is constant wherever it is valid"
    )
    result = run("locate", tmp_path / "flat.png", pair[1])
    assert (result.exit_code, result.stderr) == (1, f"nothing found: {nothing}\n")
    drawn = run("heatmap", tmp_path / "flat.png", pair[1], "-o", tmp_path / "h.png")
    assert (drawn.exit_code, drawn.stderr) == (0, f"{nothing}; written: {tmp_path / 'h.png'}\n")


def test_heatmaps_tell_positions_in_units(badge):
    pair = badge / "image.png", badge / "hard.png"
    told = run("heatmap", *pair, "-o", badge / "h.png").stderr
    halves = run("heatmap", *pair, "-o", badge / "h.png", "--pixel-ratio", 2, "--region", "0,0,45,35").stderr
    x, y = (int(number) for number in re.search(r"x=(\d+), y=(\d+);", told).groups())
    assert f"at x={x / 2:g}, y={y / 2:g};" in halves


def test_output_is_read_as_places_with_a_note_and_refused_before_a_file(badge, tmp_path):
    pair = badge / "image.png", badge / "hard.png"
    files = {
        "locate": "-o, --overlay, --heatmap or --scores",
        "explain": None,
        "heatmap": "--out",
        "filter": "--out",
    }
    for command, named in files.items():
        given = [pair[0], "-k", "box"] if command == "filter" else [*pair]
        given += ["-o", tmp_path / "o.png"] if named == "--out" else []
        wanted = run(command, *given, "--places", "full")
        for former in (["--output", "full"], ["--output=full"]):
            result = run(command, *given, *former)
            note, *others = result.stderr.splitlines()
            assert (
                note
                == "note: --output is now --places, and will be gone in the next release; use --places full"
            )
            assert (others, result.stdout) == (wanted.stderr.splitlines(), wanted.stdout)
        refused = run(command, *given, "--output", tmp_path / "f.png")
        end = f"; name a file with {named}\n" if named else "; results go to stdout\n"
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr.endswith(f"is the former name of --places, which is valid, same or full{end}")
        assert "--output" not in run(command, "--help").stdout
    assert "inspect has no option --output" in run("inspect", pair[1], "--output", "full").stderr


def test_results_that_are_clipped_are_told(tmp_path):
    bar = np.zeros((60, 60), np.uint8)
    bar[20:40] = 200
    Image.fromarray(bar).save(tmp_path / "bar.png")
    command = ("filter", tmp_path / "bar.png", "--border", "edge", "-o", tmp_path / "f.png")
    result = run(*command, "-k", "sobel_y")
    assert result.stderr.splitlines() == [
        f"written: {tmp_path / 'f.png'}",
        "note: 240 of 3,600 results were clipped to 0 to 255: 120 were negative, 120 too large; --range rescale or a "
        ".npy file keeps all, --range abs the magnitudes",
    ]
    for options in (
        ["--range", "abs"],
        ["--range", "rescale"],
        ["--range", "wrap"],
        ["-o", tmp_path / "f.npy"],
    ):
        assert "note:" not in run(*command, "-k", "sobel_y", *options).stderr
    assert "note:" not in run(*command, "-k", "box").stderr
    compared = run(*command, "--bank", "box,sobel_y", "--compare").stderr
    assert "note: 240 of 3,600 results of sobel_y were clipped" in compared
    Image.fromarray(bar.astype(np.uint16) * 300).save(tmp_path / "bar.png")
    assert "results were clipped to 0 to 65535: 120 were negative" in run(*command, "-k", "sobel_y").stderr


@pytest.mark.parametrize("command", ["locate", "explain", "heatmap", "inspect", "filter"])
def test_images_of_a_file_that_are_left_out_are_told_in_one_line(pair, tmp_path, command):
    first = Image.open(pair[0])
    first.save(tmp_path / "stack.tif", save_all=True, append_images=[first] * 11)
    rest = [] if command in ("inspect", "filter") else [pair[1]]
    options = {"heatmap": ["-o", tmp_path / "h.png"], "filter": ["-k", "box", "-o", tmp_path / "f.png"]}
    result = run(command, tmp_path / "stack.tif", *rest, *options.get(command, []))
    assert result.exit_code == 0
    told = [line for line in result.stderr.splitlines() if line.startswith("note: ")]
    how = ", 11 are left out (--pages all reads them, or some as 2-5)" if command == "locate" else ""
    assert told == [f'note: "{tmp_path / "stack.tif"}" has 12 pages; only the first is read{how}']


# --- as a process -------------------------------------------------------------------------------------


def test_runs_as_a_module_and_writes_nothing_but_data_to_stdout():
    command = [sys.executable, "-m", "tmatch", "locate", NOISY, EYE, "--threshold", "0.7", "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    header, row = done.stdout.splitlines()
    columns = "image,page,time,label,found,x,y,width,height,score,false_alarms,second_best,expected_score,kind,error"
    assert header == columns
    assert row.startswith(f"{NOISY},,,eye,True,670,300,80,65,0.79")
    assert done.stderr == ""


def test_closed_stderr_loses_words_and_no_data():
    command = f"{sys.executable} -m tmatch locate {NOISY} {EYE} --threshold 0.7 --format csv 2>&-"
    done = subprocess.run(["bash", "-c", command], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2


def test_pictures_are_read_from_pipes(tmp_path):
    options = f"--threshold 0.7 --format csv --overlay {tmp_path}/o.png"
    command = f"{sys.executable} -m tmatch locate <(cat {NOISY}) {EYE} {options}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ",eye,True,670,300,80,65," in done.stdout


@pytest.mark.engine_free
def test_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m tmatch kernels | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 141)


@pytest.mark.engine_free
def test_import_and_help_load_nothing_heavy():
    code = "import sys, {}; print(*sorted({{'scipy', 'skimage', 'matplotlib', 'PIL', 'tifffile'}} & set(sys.modules)))"
    for module in ("tmatch", "tmatch.cli"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(module)], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == ""


def test_what_is_found_is_summed_up_and_near_misses_are_told():
    small, coins = ROOT / "datasets/coins/small.png", ROOT / "datasets/coins/image.png"
    result = run("locate", coins, small)
    assert result.exit_code == 0
    assert (
        "3 found (1 copy, 2 alike), score 0.89 to 1.00; the best position besides scores 0.89"
        in result.stderr
    )
    assert 'near misses:\n  "small" at x=' in result.stderr
    assert "false alarms: too many false alarms" in result.stderr
    told = json.loads(run("locate", coins, small, "--format", "json").stdout)
    assert told["stages"] == [{"prefilter": how, "false_alarms": 0.005} for how in ("none", "whiten")]
    assert {miss["rule"] for miss in told["near_misses"]} == {"false alarms"}
    assert 1 <= len(told["near_misses"]) <= 5


def test_only_copies_are_reported_on_request():
    screen, icon = ROOT / "datasets/screenshot/image.png", ROOT / "datasets/screenshot/icon.png"
    for options, kinds in (((), ["copy"] * 4 + ["alike"]), (("--copies-only",), ["copy"] * 4)):
        result = run("locate", screen, icon, *options, "--format", "json")
        assert [match["kind"] for match in json.loads(result.stdout)["matches"]] == kinds
