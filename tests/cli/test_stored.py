"""`tmatch locate` on images that are searched block by block."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

import tmatch
from tmatch.cli.app import app

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.one_engine


def run(*arguments):
    return CliRunner().invoke(app, ["locate", *map(str, arguments)])


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """An image of two channels and two levels, the second of which has copies of a template; it counts as large."""
    monkeypatch.setattr("tmatch._io.decoders.pages.LARGE_PIXELS", 5000)
    ground = tmatch.to_range(tmatch.synthetic.make_clutter((150, 190), rng=2))
    template = tmatch.to_range(tmatch.synthetic.make_clutter((16, 20), rng=1))
    Image.fromarray(template).save(tmp_path / "eye.png")
    other = np.array(ground)
    for y, x in [(20, 30), (90, 110), (120, 60)]:
        other[y : y + 16, x : x + 20] = template
    group = zarr.create_group(str(tmp_path / "scan.zarr"))
    group.create_array("0", data=np.stack([ground, other]), chunks=(1, 64, 64))
    group.create_array("1", data=np.stack([ground, other])[:, 10:, 20:], chunks=(1, 64, 64))
    datasets = [{"path": "0"}, {"path": "1"}]
    axes = [{"name": name} for name in "cyx"]
    channels = {"channels": [{"label": "DAPI"}, {"label": "GFP"}]}
    about = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}], "omero": channels}
    group.attrs["ome"] = about
    tifffile.imwrite(tmp_path / "scan.tif", other, tile=(64, 64))
    Image.fromarray(other).save(tmp_path / "scan.png")
    return tmp_path


def told(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def places(matches):
    return sorted((match["x"], match["y"]) for match in matches)


FOUND = [(30, 20), (60, 120), (110, 90)]


def test_channels_and_levels_are_chosen_and_recorded(scene):
    pair = scene / "scan.zarr", scene / "eye.png", "--format", "json"
    for channel in ("GFP", 1):
        found = told(run(*pair, "--channel", channel))
        assert places(found["matches"]) == FOUND
        assert "level" not in found
    found = told(run(*pair, "--channel", "GFP", "--level", 1))
    assert places(found["matches"]) == [(x - 20, y - 10) for x, y in FOUND]
    assert (found["level"], found["width"], found["height"]) == (1, 170, 140)
    lines = run(*pair[:2], "--channel", "GFP", "--level", 0, "--format", "jsonl").stdout
    assert json.loads(lines)["level"] == 0
    assert run(*pair, "--channel", "DAPI").exit_code == 1
    for options, sentence in [
        (
            ("--level", 2),
            'scan.zarr" has 2 levels, the last is 1; 2 does not exist (0 is the full resolution)',
        ),
        (
            ("--channel", "red"),
            'scan.zarr" has 2 channels, from 0 to 1, 0 is "DAPI", 1 is "GFP"; the channel "red"',
        ),
    ]:
        refused = run(*pair, *options)
        assert refused.exit_code == 2
        assert sentence in refused.stderr


def test_what_is_stored_in_blocks_gives_what_the_image_in_memory_gives(scene):
    whole = run(scene / "scan.png", scene / "eye.png", "--format", "csv")
    assert whole.stdout.count("\n") == 4
    tiff = run(scene / "scan.tif", scene / "eye.png", "--format", "csv")
    assert tiff.stdout.replace("scan.tif", "scan.png") == whole.stdout
    several = run(scene / "scan.tif", scene / "scan.png", "-t", scene / "eye.png", "--format", "csv")
    assert several.stdout == whole.stdout.split("\n", 1)[0] + "\n" + "".join(
        each.stdout.split("\n", 1)[1] for each in (tiff, whole)
    )
    within = run(scene / "scan.tif", scene / "eye.png", "--region", "20,10,150,120", "--format", "json")
    assert places(told(within)["matches"]) == [(30, 20), (110, 90)]


@pytest.mark.parametrize(
    "options",
    [
        ("--nodata", 0),
        ("--image-mask", "mask.tif"),
        ("--gray",),
        ("--metric", "orientation"),
        ("--threshold", 0.9),
    ],
)
def test_options_mean_the_same_for_blocks(scene, options):
    white = np.full((150, 190), 255, np.uint8)
    white[:60] = 0
    tifffile.imwrite(scene / "mask.tif", white, tile=(64, 64))
    options = [scene / option if option == "mask.tif" else option for option in options]
    one, other = (
        run(scene / f"scan.{kind}", scene / "eye.png", *options, "--format", "csv") for kind in ("tif", "png")
    )
    assert one.exit_code == other.exit_code == 0
    assert one.stdout.replace("scan.tif", "scan.png") == other.stdout


def test_colours_and_alpha_mean_the_same_for_blocks(scene):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (150, 190, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    pixels[:70, :, 3] = 0
    Image.fromarray(pixels).save(scene / "colour.png")
    tifffile.imwrite(
        scene / "colour.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64)
    )
    Image.fromarray(pixels[80:100, 50:80, :3]).save(scene / "part.png")
    for options in [(), ("--gray",), ("--alpha", "ignore")]:
        one, other = (run(scene / f"colour.{kind}", scene / "part.png", *options) for kind in ("tif", "png"))
        assert one.exit_code == 0, one.stderr
        assert one.stdout.replace("colour.tif", "colour.png") == other.stdout


def test_a_broken_chunk_is_told_in_one_line_and_nothing_is_written(scene):
    chunk = scene / "scan.zarr" / "0" / "c" / "1" / "1" / "2"
    chunk.write_bytes(chunk.read_bytes()[:100])
    out = scene / "found.csv"
    result = run(scene / "scan.zarr", scene / "eye.png", "--channel", 1, "-o", out)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    place = 'scan.zarr" has a broken block at [1, 2] (rows 64 to 127, columns 128 to 189): '
    assert place in result.stderr
    assert result.stderr.endswith("; copy the file again, or search other parts with --region\n")
    assert not out.exists()
    left = run(
        scene / "scan.zarr", scene / "eye.png", "--channel", 1, "--region", "0,0,120,150", "--format", "json"
    )
    assert places(told(left)["matches"]) == [(30, 20), (60, 120)]


def test_figures_of_what_is_not_in_memory_are_refused_before_the_search(scene):
    for option, name in [("--overlay", "a.png"), ("--heatmap", "a.png"), ("--scores", "a.npy")]:
        result = run(scene / "scan.tif", scene / "eye.png", option, scene / name)
        assert result.exit_code == 2
        assert f"{option} draws at most 5,000 pixels, but what is searched of" in result.stderr
        assert not (scene / name).exists()
    part = run(scene / "scan.tif", scene / "eye.png", "--region", "20,10,60,60", "--overlay", scene / "a.png")
    assert part.exit_code == 0
    assert (scene / "a.png").exists()
