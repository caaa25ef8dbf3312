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
import tifffile
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
    few = run(folder / "shots" / there, *icons, "--require", len(found) + 1)
    told = f"--require {len(found) + 1} is not met: {len(found)} found in {folder / 'shots' / there}"
    assert few.stderr.splitlines()[-1] == told
    many = run(folder / "shots", *icons, "--require", "none")
    assert many.exit_code == 1
    assert many.stderr.splitlines()[-1].startswith("--require none is not met: ")
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


def test_each_image_has_an_overlay_in_a_folder(folder, tmp_path):
    result = run(folder / "shots", "-t", folder / "icons", "--overlay", tmp_path, "--jobs", 2)
    assert result.exit_code == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name[-9:] for name in names] == [f"shot{n}.png" for n in range(6)]
    with Image.open(tmp_path / names[0]) as drawn:
        assert drawn.size[0] % SMALL[1] == 0
    (tmp_path / "one").mkdir()
    assert (
        run(
            folder / "shots" / "shot0.png", folder / "icons" / "ok.png", "--overlay", tmp_path / "one"
        ).exit_code
        < 2
    )
    assert [path.name[-9:] for path in (tmp_path / "one").iterdir()] == ["shot0.png"]


def test_what_no_library_can_write_is_refused_before_any_search(folder, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "roifile", None)
    for images in (["shot0.png"], ["shot0.png", "shot1.png"]):
        result = run(
            *(folder / "shots" / name for name in images),
            "-t",
            folder / "icons" / "ok.png",
            "-o",
            tmp_path / "a.zip",
        )
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith("error: a .zip file is one of regions for ImageJ")


@pytest.mark.parametrize("images", [["shot0.png"], ["shot0.png", "shot1.png"]])
def test_no_overlay_takes_the_place_of_an_image(folder, monkeypatch, images):
    monkeypatch.chdir(folder / "shots")
    before = {path: path.read_bytes() for path in (folder / "shots").iterdir()}
    result = run(*images, "-t", folder / "icons" / "ok.png", "--overlay", ".")
    assert result.exit_code == 2
    assert result.stderr == (
        'error: --overlay "." is a folder of files that are read; name another, so that none is lost\n'
    )
    assert {path: path.read_bytes() for path in (folder / "shots").iterdir()} == before


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
        (["--heatmap", "h.png"], "--heatmap writes a figure of one image, but there are many"),
        (
            ["--overlay", "o.png"],
            '--overlay is "o.png", but there are many images; name a folder that is there',
        ),
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


# --- stacks, animations, video, stdin -----------------------------------------------------------------


def rings(seed, shape=(200, 200), count=15):
    """A page of ring-like particles in noise, and where they lie."""
    rng = np.random.default_rng(seed)
    page, found = 1000 + rng.normal(0, 30, shape), []
    while len(found) < count:
        y, x = (int(value) for value in rng.integers(0, shape[0] - 21, 2))
        if all(max(abs(y - a), abs(x - b)) >= 22 for a, b in found):
            found.append((y, x))
            page[y : y + 21, x : x + 21] += RING * 300 * rng.uniform(0.7, 1.3)
    return page.astype(np.uint16), found


RING = np.exp(-(((np.hypot(*np.mgrid[-10:11, -10:11]) - 6) / 2) ** 2))


def test_all_particles_in_all_pages_of_a_stack_have_records(tmp_path):
    pages, truth = zip(*map(rings, range(12)), strict=True)
    tifffile.imwrite(tmp_path / "stack.tif", np.stack(pages), metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "ring.tif", (RING * 300 + 1000).astype(np.uint16))
    pair = tmp_path / "stack.tif", tmp_path / "ring.tif"
    rows = [*csv.DictReader(run(*pair, "--pages", "all", "--format", "csv").stdout.splitlines())]
    assert len(rows) == 180
    for page, places in enumerate(truth):
        found = {(int(row["y"]), int(row["x"])) for row in rows if row["page"] == str(page)}
        assert all(min(max(abs(y - a), abs(x - b)) for a, b in found) <= 1 for y, x in places)
    some = [*csv.DictReader(run(*pair, "--pages", "2,5-6", "--format", "csv").stdout.splitlines())]
    assert some == [row for row in rows if row["page"] in {"2", "5", "6"}]
    first = run(*pair, "--json")
    assert len(json.loads(first.stdout)["matches"]) == 15
    assert "has 12 pages; only the first is read, 11 are left out (--pages all reads them" in first.stderr
    piped = CliRunner().invoke(
        app, ["locate", "-", str(pair[1]), "--pages", "5", "--format", "csv"], input=pair[0].read_bytes()
    )
    [*told] = csv.DictReader(piped.stdout.splitlines())
    assert [row["x"] for row in told] == [row["x"] for row in rows if row["page"] == "5"]
    assert {row["image"] for row in told} == {"-"}


def test_frames_of_an_animation_and_of_a_video_have_records_with_their_time(tmp_path):
    av = pytest.importorskip("av")
    ground = np.random.default_rng(0).integers(60, 120, (120, 160, 3), np.uint8)
    places = [(10 + 3 * n, 5 + 4 * n % 90) for n in range(30)]
    frames = [ground.copy() for _ in places]
    for number, (frame, (x, y)) in enumerate(zip(frames, places, strict=True)):
        if number % 10 != 9:
            frame[y : y + 24, x : x + 24] = screens.icon("error", 24)
    Image.fromarray(screens.icon("error", 24)).save(tmp_path / "icon.png")
    with av.open(str(tmp_path / "v.mp4"), "w") as video:
        stream = video.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 160, 120, "yuv420p", 8_000_000
        for frame in frames:
            video.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        video.mux(stream.encode())
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=40)
    for name, options in (("v.mp4", []), ("a.gif", ["--pages", "all"])):
        result = run(tmp_path / name, tmp_path / "icon.png", *options, "--format", "csv")
        rows = [*csv.DictReader(result.stdout.splitlines())]
        assert [int(row["page"]) for row in rows] == [*range(30)]
        for number, (row, place) in enumerate(zip(rows, places, strict=True)):
            assert ((int(row["x"]), int(row["y"])) if row["x"] else None) == (
                place if number % 10 != 9 else None
            )
    video = [
        json.loads(line)
        for line in run(tmp_path / "v.mp4", tmp_path / "icon.png", "--format", "jsonl").stdout.splitlines()
    ]
    assert [each["time"] for each in video] == pytest.approx([n / 25 for n in range(30)])
    third = run(tmp_path / "v.mp4", "-t", tmp_path / "icon.png", "--every", 3, "--format", "csv")
    assert [row["page"] for row in csv.DictReader(third.stdout.splitlines())] == [
        str(n) for n in range(0, 30, 3)
    ]


# --- going on after a kill ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def forty(folder):
    """Forty small screenshots."""
    (folder / "forty").mkdir()
    for number in range(40):
        pixels = screens.screen(number % 4, (80, 200)).pixels
        Image.fromarray(pixels).save(folder / "forty" / f"{number:02}.png")
    return folder / "forty"


def test_a_run_killed_at_random_moments_goes_on_to_the_same_bytes(folder, forty, tmp_path):
    whole, path = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    arguments = [
        forty,
        "-t",
        folder / "icons" / "ok.png",
        "-t",
        folder / "icons" / "save.png",
        "--copies-only",
    ]
    assert run(*arguments, "-o", whole).exit_code == 0
    content = whole.read_bytes()
    command = [sys.executable, "-c", _SLOW, "locate", *map(str, arguments), "-o", str(path), "--resume"]
    rng = np.random.default_rng(5)
    kills = cut = 0
    for _ in range(20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        size = path.stat().st_size if path.exists() else 0
        while process.poll() is None and (path.stat().st_size if path.exists() else 0) == size:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.05)
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        assert content.startswith(path.read_bytes())
        if rng.random() < 0.5:  # the machine stopped in the middle of a line
            cut += 1
            os.truncate(path, int(rng.integers(0, path.stat().st_size + 1)))
    assert (kills >= 15, cut >= 5) == (True, True)
    assert run(*arguments, "-o", path, "--resume").exit_code == 0
    assert path.read_bytes() == content
    done = run(*arguments, "-o", path, "--resume", "--format", "csv")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 1)  # nothing is searched twice
    other = run(*arguments, "-o", path, "--resume", "--threshold", 0.5)
    assert other.exit_code == 2
    assert "holds results of other templates or other options" in other.stderr
    assert path.read_bytes() == content


_SLOW = """
import time
from tmatch._batch import images
search = images.search
def slow(*arguments, **options):
    time.sleep(0.05)
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


def test_a_run_goes_on_with_the_file_of_a_single_image(folder, tmp_path):
    first, *others = sorted((folder / "shots").iterdir())[:3]
    icons = ["-t", folder / "icons", "--copies-only", "-o"]
    assert run(first, *icons, tmp_path / "r.jsonl").exit_code in (0, 1)
    assert run(first, *others, *icons, tmp_path / "r.jsonl", "--resume").exit_code == 0
    assert run(first, *others, *icons, tmp_path / "whole.jsonl").exit_code == 0
    assert (tmp_path / "r.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
