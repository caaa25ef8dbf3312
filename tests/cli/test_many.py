"""`tmatch locate` for many images and templates, as a user calls it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import screens
from tmatch.cli.app import app

pytestmark = pytest.mark.one_engine
SMALL = (150, 260)


def run(*arguments):
    return CliRunner().invoke(app, ["locate", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six small screenshots, and a folder of icons; `truth` tells which icons lie where."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "shots").mkdir()
    (folder / "icons").mkdir()
    for name in screens.ICONS:
        Image.fromarray(screens.icon(name)).save(folder / "icons" / f"{name}.png")
    for number in range(6):
        Image.fromarray(screens.screen(number, SMALL).pixels).save(folder / "shots" / f"shot{number}.png")
    return folder


@pytest.fixture(scope="module")
def truth():
    return {f"shot{number}.png": screens.screen(number, SMALL).icons for number in range(6)}


def places(rows):
    """Rows of CSV as found places by image and label."""
    return {
        (row["image"].rsplit("/", 1)[-1], row["label"]): (int(row["x"]), int(row["y"])) if row["x"] else None
        for row in rows
    }


def expected(truth):
    return {(image, label): place for image, icons in truth.items() for label, place in icons.items()}


# --- what was found, and what was not -----------------------------------------------------------------


def test_each_icon_has_a_record_for_each_screenshot_in_one_table(folder, truth):
    result = run(folder / "shots", "-t", folder / "icons", "--copies-only", "--format", "csv")
    rows = [*csv.DictReader(result.stdout.splitlines())]
    assert len(rows) == 30
    assert places(rows) == expected(truth)
    assert [row["image"] for row in rows] == sorted(row["image"] for row in rows)
    assert {row["found"] for row in rows if not row["x"]} == {"False"}
    missing = [name for image in truth.values() for name, place in image.items() if place is None]
    first, *others = result.stderr.splitlines()
    assert (
        first
        == f"6 images searched for 5 templates: {30 - len(missing)} found, {len(missing)} of 30 not found"
    )
    named = [label for line in others for label in line.split(": ")[-1].split(", ")]
    assert sorted(named) == sorted(missing)


def test_the_files_of_one_run_tell_the_same(folder, truth, tmp_path):
    names = [
        tmp_path / f"r{ending}" for ending in (".csv", ".json", ".jsonl", ".xml", ".coco.json", ".geojson")
    ]
    outs = [part for name in names for part in ("-o", name)]
    result = run(folder / "shots", "-t", folder / "icons", "--copies-only", "--json", *outs)
    told = json.loads(result.stdout)
    assert told == json.loads((tmp_path / "r.json").read_text())
    assert places(csv.DictReader((tmp_path / "r.csv").read_text().splitlines())) == expected(truth)
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert len(lines) == 30
    for line in lines:
        place = truth[line["image"].rsplit("/", 1)[-1]][line["label"]]
        assert [(m["x"], m["y"]) for m in line["matches"]] == ([] if place is None else [place])
        assert (line["best"] is None) == (place is not None)
    cases = ET.fromstring((tmp_path / "r.xml").read_text()).iter("testcase")  # noqa: S314
    failed = {(case.get("classname").rsplit("/", 1)[-1], case.get("name")) for case in cases if len(case)}
    assert failed == {key for key, place in expected(truth).items() if place is None}
    assert f"written: {', '.join(map(str, names))}" in result.stderr


def test_the_exit_code_tells_whether_what_is_required_was_found(folder, truth):
    there = max(truth, key=lambda name: sum(map(bool, truth[name].values())))
    found = [name for name, place in truth[there].items() if place]
    absent = next((image, label) for (image, label), place in expected(truth).items() if place is None)
    icons = ["-t", folder / "icons", "--copies-only"]
    named = [part for name in found for part in ("-t", folder / "icons" / f"{name}.png")]
    assert run(folder / "shots" / there, *named, "--copies-only", "--require", "all").exit_code == 0
    assert run(folder / "shots", *icons, "--require", "all").exit_code == 1
    assert run(folder / "shots", *icons).exit_code == 0
    assert run(folder / "shots" / there, *icons, "--require", len(found)).exit_code == 0
    assert run(folder / "shots" / there, *icons, "--require", len(found) + 1).exit_code == 1
    alone = [folder / "shots" / absent[0], folder / "icons" / f"{absent[1]}.png", "--copies-only"]
    assert run(*alone).exit_code == 1
    assert run(*alone, "--require", "none").exit_code == 0
    refused = run(*alone, "--require", "some")
    assert refused.exit_code == 2
    assert '--require is "some"; it must be all' in refused.stderr


def test_a_label_is_given_to_several_files_and_found_in_either_look(folder, tmp_path):
    pixels = np.full((60, 120, 3), 240, np.uint8)
    rng = np.random.default_rng(0)
    pixels[:, :, 0] -= rng.integers(0, 40, (60, 120), np.uint8)
    pixels[10:42, 5:37], pixels[20:52, 70:102] = screens.icon("ok"), screens.icon("save")
    Image.fromarray(pixels).save(tmp_path / "both.png")
    looks = ["-t", f"go={folder / 'icons' / 'ok.png'}", "-t", f"go={folder / 'icons' / 'save.png'}"]
    result = run(
        tmp_path / "both.png", *looks, "-t", folder / "icons" / "lock.png", "--copies-only", "--json"
    )
    [told] = json.loads(result.stdout)
    assert {(m["label"], m["x"], m["y"]) for m in told["matches"]} == {("go", 5, 10), ("go", 70, 20)}
    assert [each["label"] for each in told["missing"]] == ["lock"]


def test_one_image_with_several_templates_names_those_that_are_missing(folder, truth):
    image = next(name for name, icons in truth.items() if None in icons.values() and any(icons.values()))
    result = run(folder / "shots" / image, *sorted((folder / "icons").iterdir()), "--copies-only")
    missing = sorted(label for label, place in truth[image].items() if place is None)
    assert result.stdout.count("not found") == len(missing)
    assert f"not found: {', '.join(missing)}" in result.stderr.splitlines()


def test_images_named_for_templates_are_refused_with_what_to_do(folder):
    shots = sorted((folder / "shots").iterdir())
    result = run(*shots, folder / "icons" / "ok.png")
    assert result.exit_code == 2
    assert result.stderr == (
        f'error: "{shots[1]}" is as large as the image, so it is probably a second image; with -t before templates, '
        "all other arguments are images, as in: tmatch locate one.png two.png -t icon.png\n"
    )


# --- images that cannot be searched -------------------------------------------------------------------


@pytest.fixture
def with_broken(folder, tmp_path):
    (tmp_path / "in").mkdir()
    for number in (0, 2):
        (tmp_path / "in" / f"{number}.png").write_bytes((folder / "shots" / f"shot{number}.png").read_bytes())
    (tmp_path / "in" / "1.png").write_text("this is text")
    return tmp_path / "in"


def test_a_broken_image_is_a_record_and_the_run_goes_on_to_exit_code_2(folder, with_broken, tmp_path):
    result = run(
        with_broken, "-t", folder / "icons", "--copies-only", "-o", tmp_path / "r.csv", "--format", "jsonl"
    )
    assert result.exit_code == 2
    rows = [*csv.DictReader((tmp_path / "r.csv").read_text().splitlines())]
    assert len(rows) == 11
    [broken] = [row for row in rows if row["error"]]
    assert broken["image"].endswith("1.png")
    assert "not an image, or a broken one" in broken["error"]
    assert len(result.stdout.splitlines()) == 11
    assert f"error: {broken['error']}" in result.stderr.splitlines()
    assert "3 images searched for 5 templates: " in result.stderr
    assert ", 1 could not be searched\n" in result.stderr


def test_fail_fast_stops_at_the_first_one(folder, with_broken):
    result = run(with_broken, "-t", folder / "icons", "--fail-fast", "--format", "csv")
    assert result.exit_code == 2
    rows = [*csv.DictReader(result.stdout.splitlines())]
    assert {row["image"].rsplit("/", 1)[-1] for row in rows} == {"0.png", "1.png"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--resume"], "--resume goes on with a file of JSON lines; name it, as in -o results.jsonl"),
        (["--resume", "-o", "r.jsonl", "-o", "r.csv"], "name only the .jsonl with -o"),
        (["-o", "r.what"], '".what" is not a known format'),
        (["--overlay", "o.png"], "--overlay writes a figure of one image, but there are many"),
        (["--json", "--format", "csv"], "--json and --format csv are given"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(folder, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    result = run(folder / "shots", "-t", folder / "icons", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-t", "flat.png"], 'template "flat" is constant'),
        (["--region", "0,0,9"], '--region is "0,0,9"; it must be four numbers'),
        (["--pixel-ratio", "0"], "--pixel-ratio is 0; it must be from 0.01 to 100"),
        (["--min-overlap", "0"], "--min-overlap is 0.0; it must be above 0"),
        (
            ["--angles", "0:10", "--prefilter", "whiten"],
            '--prefilter is "whiten", which is for upright templates',
        ),
        (["--image-mask", "absent.png"], 'cannot read "absent.png": no such file'),
    ],
)
def test_what_would_fail_in_each_image_is_told_once_and_no_file_is_replaced(
    folder, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.csv").write_text("of another run")
    Image.fromarray(np.full((9, 9), 50, np.uint8)).save(tmp_path / "flat.png")
    outputs = ["-o", "r.csv", "-o", "r.jsonl", "--format", "csv"]
    result = run(folder / "shots", "-t", folder / "icons", *arguments, *outputs)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: {sentence}")
    assert (tmp_path / "r.csv").read_text() == "of another run"
    assert not (tmp_path / "r.jsonl").exists()


def test_errors_of_single_images_name_them(folder, tmp_path):
    pixels = screens.screen(0, SMALL).pixels.astype(np.float32)
    np.save(tmp_path / "1.npy", pixels[:8])
    pixels[3, 4] = np.nan
    np.save(tmp_path / "2.npy", pixels)
    (tmp_path / "3.png").write_text("this is text")
    result = run(tmp_path, "-t", folder / "icons" / "ok.png")
    small, nan, broken, *_ = result.stderr.splitlines()
    assert small.startswith(
        f'error: image "{tmp_path}/1.npy": template "ok" has shape (32, 32), larger than IMAGE'
    )
    assert nan == (
        f'error: image "{tmp_path}/2.npy": IMAGE is nan at x=4, y=3; all pixels must be finite: replace NaN and '
        "infinity first, let NaN count as missing with --missing ignore, or name an --image-mask that is black there"
    )
    assert broken.startswith(f'error: cannot read "{tmp_path}/3.png"')


@pytest.mark.parametrize("name", ["", "1.png"])
def test_a_single_broken_image_has_a_record_too(folder, tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.png").write_text("this is text")
    outputs = [tmp_path / "r.xml", tmp_path / "r.csv"]
    files = [part for path in outputs for part in ("-o", path)]
    result = run(tmp_path / "in" / name, "-t", folder / "icons" / "ok.png", "--json", *files)
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    [row] = csv.DictReader(outputs[1].read_text().splitlines())
    assert line == f"error: {row['error']}"
    [case] = ET.fromstring(outputs[0].read_text()).iter("testcase")  # noqa: S314
    assert [problem.tag for problem in case] == ["error"]
    record = {"image": row["image"], "page": None, "time": None, "error": row["error"]}
    assert json.loads(result.stdout) == [record]
    refused = run(tmp_path / "in" / name, "-t", folder / "icons" / "ok.png", "--min-overlap", 0, *files)
    assert "--min-overlap is 0.0" in refused.stderr
    assert row["error"] in outputs[1].read_text().replace('""', '"')


# --- missing pixels -----------------------------------------------------------------------------------


def test_no_data_values_and_nan_are_missing_pixels(tmp_path, draw):
    image = (draw((60, 80), seed=1) * 20 + 100).astype(np.float32)
    template = image[20:36, 30:50].copy()
    holed = image.copy()
    holed[:, 60:] = -9999
    holed[5, 5] = np.nan
    for name, pixels in (("image", holed), ("template", template)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.tif")
    pair = tmp_path / "image.tif", tmp_path / "template.tif"
    assert run(*pair).exit_code == 2
    result = run(*pair, "--missing", "ignore", "--nodata", -9999, "--json")
    [match] = json.loads(result.stdout)["matches"]
    assert (match["x"], match["y"], match["score"]) == (30, 20, pytest.approx(1))


# --- going on after a kill ----------------------------------------------------------------------------


def test_a_run_killed_at_random_moments_goes_on_to_the_same_bytes(folder, tmp_path):
    whole, path = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    arguments = [folder / "shots", "-t", folder / "icons", "--copies-only"]
    assert run(*arguments, "-o", whole).exit_code == 0
    content = whole.read_bytes()
    command = [sys.executable, "-c", _SLOW, "locate", *map(str, arguments), "-o", str(path), "--resume"]
    rng = np.random.default_rng(5)
    kills = 0
    while kills < 3:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        size = path.stat().st_size if path.exists() else 0
        while process.poll() is None and (path.stat().st_size if path.exists() else 0) == size:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.1)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        assert content.startswith(path.read_bytes())
        if process.returncode == 0:
            break
    assert run(*arguments, "-o", path, "--resume").exit_code == 0
    assert path.read_bytes() == content
    done = run(*arguments, "-o", path, "--resume", "--format", "csv")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 1)  # nothing is searched twice
    assert path.read_bytes() == content
    other = run(*arguments, "-o", path, "--resume", "--threshold", 0.5)
    assert other.exit_code == 2
    assert "holds results of other templates or other options" in other.stderr
    assert path.read_bytes() == content


_SLOW = """
import time
from tmatch._batch import images
search = images.search
def slow(*arguments, **options):
    time.sleep(0.1)
    return search(*arguments, **options)
images.search = slow
from tmatch.cli.app import main
main()
"""


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_the_number_of_jobs_changes_no_byte(folder, jobs):
    arguments = [folder / "shots", "-t", folder / "icons", "--format", "jsonl", "--jobs", jobs]
    once = run(folder / "shots", "-t", folder / "icons", "--format", "jsonl")
    assert run(*arguments).stdout == once.stdout
