"""What a search tells of its decisions by `logging`, at the level DEBUG."""

import logging
import re
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import tmatch
from tmatch._engine import select
from tmatch._io.blocks.array import BlockArray
from tmatch.cli.app import app

pytestmark = pytest.mark.one_engine

WHITEN_FOLLOWS = "tmatch.search: prefilter whiten follows: nothing is found"
CHANCE = r"chance is known from \d+ peaks and minima, .*; scores of 0.005 false alarms are 0\.\d+ to 0\.\d+, "


@pytest.fixture
def told(caplog):
    """Call a function, and return the lines that are logged, each with the name of its logger."""
    select.load()  # which is told when it is done
    caplog.set_level(logging.DEBUG, "tmatch")

    def call(function, *arguments, **options):
        caplog.clear()
        function(*arguments, **options)
        records = [record for record in caplog.records if record.name.startswith("tmatch")]
        assert {record.levelno for record in records} <= {logging.DEBUG}
        return [f"{record.name}: {record.getMessage()}" for record in records]

    return call


@pytest.fixture
def scene():
    """An image, a part of it, and what is not in it."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (120, 160), dtype=np.uint8)
    return image, image[20:36, 40:60].copy(), rng.integers(0, 256, (16, 20), dtype=np.uint8)


def test_what_is_found_is_told_with_what_decided(told, scene):
    image, there, _ = scene
    search, plan, chance, decided, following = told(tmatch.locate, image, {"there": there})
    assert search == (
        'tmatch.search: image of shape (120, 160), channels: 1; "there" (16, 20); metric zncc; '
        "false alarms at most 0.01; prefilters: none, whiten"
    )
    assert plan.startswith("tmatch.engine: templates scored together: 1; tiles: 1 of 105 x 141 positions, ")
    assert re.match(rf'tmatch\.search: prefilter none, "there": {CHANCE}', chance)
    [match] = tmatch.locate(image, there)
    assert decided == (
        'tmatch.search: prefilter none, "there": candidates: 1 (reported: 1); the best at (20, 40), score 1.000, '
        f"false alarms {match.false_alarms:.3g}"
    )
    assert following == (
        "tmatch.search: prefilter whiten is left out: something is found, and no other peak stands apart"
    )


def test_what_is_refused_is_told_with_its_best_place_and_the_stages_that_were_tried(told, scene):
    image, _, absent = scene
    lines = told(tmatch.locate, image, absent)
    best = tmatch.best_match(image, absent)
    assert (
        f"tmatch.search: prefilter none, the template: candidates: 0; the best at {best.box.start}, "
        f"score {best.score:.3f}, false alarms {best.false_alarms:.3g}"
    ) in lines
    assert lines[4] == WHITEN_FOLLOWS
    assert lines[-1].startswith("tmatch.search: prefilter whiten, the template: candidates: 0; the best at ")


def test_candidates_are_counted_by_the_rule_that_decided(told, scene):
    image, there, _ = scene
    image = image.copy()
    for corner in (60, 80, 100):
        image[corner : corner + 16, 100:120] = there
    lines = told(tmatch.locate, image, {"a": there, "b": there[:, :18]}, threshold=0.5, max_count=3)
    assert 'tmatch.search: prefilter none, "a": candidates: 4 (reported: 3, count: 1); the best' in "\n".join(
        lines
    )
    assert "scores at least 0.5; prefilters: none" in lines[0]
    lines = told(tmatch.locate, image, {"a": there, "b": there[:, :18]})
    assert re.search('"b": candidates: .*lost to another template: 4', "\n".join(lines))


def test_the_engine_is_told_with_the_reason(told, scene, engine):
    image, there, _ = scene
    [plan] = told(tmatch.match_template, image, there)
    assert plan.endswith(f"; engine: {'numba' if engine == 'numba' else 'NumPy, as asked for'}")
    [plan] = told(tmatch.match_template, image[0], there[0])
    assert plan.endswith(
        "NumPy, as asked for" if engine == "numpy" else "NumPy, as numba is not for images of this shape"
    )


def test_a_search_over_poses_tells_how_many(told, scene):
    image, there, _ = scene
    lines = told(tmatch.locate, image, there, angles=(-10, 10))
    [poses] = [line for line in lines if "poses searched" in line]
    assert re.match(r"tmatch\.search: the template: poses searched in .*: \d+$", poses)
    assert re.search(r"candidates: .*reported: 1.*the best at \(20, 40\), score 1\.000", lines[-1])


def test_each_block_that_is_read_is_told(told, scene):
    image, there, _ = scene
    stored = BlockArray("image.zarr", image.shape, image.dtype, (60, 80), lambda _, region: image[region])
    lines = told(tmatch.locate, stored, there, threshold=0.9)
    assert sorted(line for line in lines if line.startswith("tmatch.blocks")) == [
        "tmatch.blocks: image.zarr: block [0, 0] is read (rows 0 to 59, columns 0 to 79)",
        "tmatch.blocks: image.zarr: block [0, 1] is read (rows 0 to 59, columns 80 to 159)",
        "tmatch.blocks: image.zarr: block [1, 0] is read (rows 60 to 119, columns 0 to 79)",
        "tmatch.blocks: image.zarr: block [1, 1] is read (rows 60 to 119, columns 80 to 159)",
    ]


def test_many_images_are_told_by_name(told, scene):
    image, there, absent = scene
    lines = told(lambda: [*tmatch.locate_many({"one": image, "two": absent}.items(), there[:8, :8], jobs=1)])
    assert [line for line in lines if line.startswith('tmatch.search: image "')] == [
        'tmatch.search: image "one"',
        'tmatch.search: image "two"',
    ]


def test_results_are_the_same_whether_they_are_told_or_not(told, scene):
    image, there, _ = scene
    quiet = tmatch.locate(image, there)
    told(lambda: quiet.append(tmatch.locate(image, there)[0]))
    assert quiet[0] == quiet[1]


# --- at the command line --------------------------------------------------------------------------


def test_verbose_writes_decisions_to_stderr_and_only_then(scene, tmp_path):
    image, there, _ = scene
    for name, pixels in (("image", image), ("there", there)):
        np.save(tmp_path / f"{name}.npy", pixels)
    files = [str(tmp_path / "image.npy"), str(tmp_path / "there.npy")]
    plain, verbose, again = (
        CliRunner().invoke(app, [*options, "locate", *files, "--json"]) for options in ([], ["-v"], [])
    )
    assert plain.stdout == verbose.stdout
    assert plain.stderr == again.stderr == ""
    assert 'tmatch.search: prefilter none, "there": candidates: 1 (reported: 1); ' in verbose.stderr
    assert "tmatch.engine: templates scored together: 1; " in verbose.stderr
    assert logging.getLogger("tmatch").handlers == []
    assert logging.getLogger("tmatch").level == logging.NOTSET


def test_nothing_is_told_unless_it_is_asked_for():
    code = "import numpy, tmatch; tmatch.locate(numpy.eye(40), numpy.eye(40)[:9, :8])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
