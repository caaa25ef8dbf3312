"""Compiled code ahead of time: afterwards nothing is left to be compiled or loaded."""

import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import tmatch
from tmatch._engine import select
from tmatch.cli.app import app

SEARCHES = """
import os
import numpy as np, tmatch
from tmatch._engine.numba import cache

rng = np.random.default_rng(0)

def use(dtype):
    colour = rng.integers(0, 200, (400, 900, 3)).astype(dtype)
    grey = np.ascontiguousarray(colour[..., 1])
    for image, axis in [(grey, None), (grey[10:300, 20:700], None), (np.asfortranarray(grey), None), (colour, 2)]:
        for size in (4, 17, 60):
            template = image[30 : 30 + size, 50 : 50 + 2 * size].copy()
            tmatch.match_template(image, template, channel_axis=axis)
            tmatch.match_template(image, template, channel_axis=axis, precision="single")
            tmatch.match_template(image, template, mask=np.eye(*template.shape[:2]) < 1, channel_axis=axis)
            assert len(tmatch.locate(image, template, channel_axis=axis)) == 1
            assert not tmatch.locate(image, template[::-1], channel_axis=axis)  # whitened as well
        tmatch.best_match(image, image[:20, :20], channel_axis=axis)
        for kernel in (np.ones((3, 3)), tmatch.kernels.gaussian(2.0), rng.normal(size=(31, 31))):
            tmatch.correlate(image, kernel, channel_axis=axis)
"""
WARM = (
    SEARCHES
    + """
assert tmatch.warm_up({dtypes})
before = cache.counts()
[use(dtype) for dtype in {dtypes}]
print(np.subtract(cache.counts(), before).sum())
if hasattr(os, "fork"):
    if not (child := os.fork()):
        use({dtypes}[0])
        os._exit(int(np.subtract(cache.counts(), before).sum()))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
)


@pytest.fixture
def as_at_the_start(monkeypatch):
    monkeypatch.setattr(select, "_work_done", 0.0)
    monkeypatch.setattr(select, "_compiled", None)


@pytest.mark.numba_only
@pytest.mark.parametrize("dtypes", [["uint8"], ["float32", "uint16"]])
def test_afterwards_nothing_is_compiled_or_loaded_here_or_in_forked_processes(dtypes):
    environment = {k: v for k, v in os.environ.items() if k != "TMATCH_ENGINE"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WARM.format(dtypes=dtypes)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert set(done.stdout.split()) == {"0"}, done.stderr


@pytest.mark.numba_only
@pytest.mark.usefixtures("as_at_the_start")
def test_progress_rises_to_one(monkeypatch):
    monkeypatch.setenv("TMATCH_ENGINE", "auto")
    shares = []
    assert tmatch.warm_up("uint8", progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert select.choose() is not select.reference()


@pytest.mark.numba_only
def test_the_command_tells_what_is_compiled_and_where_it_is_kept():
    result = CliRunner().invoke(app, ["warm-up", "uint8"])
    assert re.fullmatch(r"\d+ functions compiled, \d+ loaded; kept in .+\n", result.stdout), result.stderr


@pytest.mark.engine_free
@pytest.mark.usefixtures("as_at_the_start")
def test_without_compiled_code_nothing_is_done(monkeypatch):
    monkeypatch.setenv("TMATCH_ENGINE", "numpy")
    assert not tmatch.warm_up()
    monkeypatch.setenv("TMATCH_ENGINE", "auto")
    monkeypatch.setitem(sys.modules, "tmatch._engine.numba.engine", None)  # what a failed import looks like
    monkeypatch.delattr("tmatch._engine.numba.engine", raising=False)
    assert not tmatch.warm_up()
    monkeypatch.setenv("TMATCH_ENGINE", "numba")
    with pytest.raises(ImportError, match="TMATCH_ENGINE is numba, which cannot be loaded"):
        tmatch.warm_up()


@pytest.mark.engine_free
@pytest.mark.parametrize("dtype", ["complex128", "pixels"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError) as error:
        tmatch.warm_up(["uint8", dtype])
    assert str(error.value) == (
        f'`dtypes` has {dtype}, which is no dtype of images; name those of bool, integers or floats, as "uint8"'
    )
