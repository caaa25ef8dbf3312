import importlib.metadata
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import tmatch
from tmatch._engine import select
from tmatch.cli.app import app

pytestmark = pytest.mark.engine_free

AROUND = "import sys, numpy as np, tmatch; a = np.ones((64, 64)); "
LOADED = "print('tmatch._engine.numba.engine' in sys.modules, 'numba' in sys.modules)"


@pytest.fixture(autouse=True)
def as_at_the_start(monkeypatch):
    monkeypatch.setattr(select, "_work_done", 0.0)
    monkeypatch.setattr(select, "_compiled", None)


def run(code, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "TMATCH_ENGINE"} | variables
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.split(), done.stderr


def test_a_short_command_never_loads_the_compiler():
    pytest.importorskip("numba")
    stdout, _ = run(
        AROUND
        + "tmatch.convolve(a, a[:9, :9]); tmatch.match_template(a * a[0].cumsum(), np.eye(5));"
        + LOADED
    )
    assert stdout == ["False", "False"]


def test_work_as_long_as_loading_it_loads_the_compiled_engine():
    pytest.importorskip("numba")
    more = "from tmatch._engine import execution; less = execution.using(loading_work=1e6); less.__enter__();"
    more += "k = np.arange(25.0).reshape(5, 5) ** 2;"
    more += "[tmatch.convolve(a, k) for _ in range({})];"
    assert run(AROUND + more.format(2) + LOADED)[0] == ["False", "False"]
    assert run(AROUND + more.format(12) + LOADED)[0] == ["True", "True"]


def test_where_code_cannot_be_kept_it_is_not_compiled_for_little_work():
    pytest.importorskip("numba")
    code = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = [];"
        "from tmatch._engine import execution, select; using = execution.using({}); using.__enter__();"
        "select.choose(1e6); print(select.choose(1e6) is select.reference())"
    )
    ignored = {"PYTHONWARNINGS": "ignore", "NUMBA_CACHE_DIR": ""}
    assert run(code.format("loading_work=1"), **ignored)[0] == ["True"]
    assert run(code.format("loading_work=1, compiling_work=1e6"), **ignored)[0] == ["False"]


def test_engine_named_in_the_environment_is_used(monkeypatch):
    pytest.importorskip("numba")
    monkeypatch.setenv("TMATCH_ENGINE", "numpy")
    assert select.choose(1e300) is select.reference()
    monkeypatch.setenv("TMATCH_ENGINE", "numba")
    assert select.choose() is sys.modules["tmatch._engine.numba.engine"]
    monkeypatch.setenv("TMATCH_ENGINE", "numpy")
    assert select.choose() is select.reference()


def test_the_choice_is_logged_and_explained(monkeypatch, caplog):
    pytest.importorskip("numba")
    caplog.set_level(logging.DEBUG, "tmatch.engine")
    monkeypatch.setenv("TMATCH_ENGINE", "auto")
    assert select.explain((64, 64), 1) == "NumPy, as numba is loaded after more work"
    select.choose(1e300)
    select.choose(1e300)
    assert caplog.messages == ["numba is loaded, as enough work was done without it"]
    assert select.explain((64, 64), 1) == "numba"
    assert select.explain((64, 8), 1) == "NumPy, as numba is not for images of this shape"
    monkeypatch.setenv("TMATCH_ENGINE", "numpy")
    assert select.explain((64, 64), 1) == "NumPy, as asked for"


def test_without_numba_all_work_is_done_and_only_who_asks_for_it_is_told(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG, "tmatch.engine")
    monkeypatch.setitem(sys.modules, "tmatch._engine.numba.engine", None)  # what a failed import looks like
    monkeypatch.delattr("tmatch._engine.numba.engine", raising=False)
    monkeypatch.setenv("TMATCH_ENGINE", "auto")
    assert select.choose(1e300) is select.reference()
    assert [message.partition(": ")[0] for message in caplog.messages] == ["numba cannot be loaded"]
    assert select.explain((64, 64), 1) == "NumPy, as numba cannot be loaded"
    monkeypatch.setenv("TMATCH_ENGINE", "numba")
    with pytest.raises(
        ImportError, match=r"TMATCH_ENGINE is numba, which cannot be loaded \(.*\); try pip install"
    ):
        tmatch.convolve(np.eye(5), np.eye(3))


@pytest.mark.parametrize("wanted", ["auto", "numpy", "numba"])
def test_info_tells_the_engine_and_why(monkeypatch, wanted):
    monkeypatch.setenv("TMATCH_ENGINE", wanted)
    version = pytest.importorskip("numba").__version__
    told = CliRunner().invoke(app, ["info"]).stdout
    assert {
        "auto": f"engine: NumPy and SciPy, and numba {version} once there is enough work",
        "numpy": f"engine: NumPy and SciPy, because TMATCH_ENGINE is numpy; numba {version} is installed",
        "numba": f"engine: NumPy and SciPy, and numba {version} from the start",
    }[wanted] in told
    assert f"tmatch {tmatch.__version__}, Python 3." in told


def test_info_says_how_to_get_the_compiled_engine(monkeypatch):
    def missing(_):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert "pip install 'tmatch[fast]'" in select.describe()


def test_unknown_engine_is_refused(monkeypatch):
    monkeypatch.setenv("TMATCH_ENGINE", "cuda")
    with pytest.raises(ValueError, match="TMATCH_ENGINE is 'cuda'; it must be one of auto, numpy, numba"):
        tmatch.convolve(np.eye(5), np.eye(3))


def test_where_compiled_code_cannot_be_kept_it_is_made_anew(tmp_path):
    pytest.importorskip("numba")
    # Numba asks its locators for a folder; with none of them there is none it can write to.
    code = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = [];"
        "import numpy as np, tmatch; print(tmatch.convolve([[1, 2, 3]], [[1, 0, 2]]).tolist() == [[2, 5, 4]])"
    )
    stdout, stderr = run(code, TMATCH_ENGINE="numba", HOME=str(tmp_path))
    assert stdout == ["True"], stderr


@pytest.mark.parametrize("size", [(6, 8), (24, 26)])  # without transforms, and with them
@pytest.mark.parametrize("channels", [1, 3])
def test_scores_of_small_integers_are_the_same_bits_whichever_engine(monkeypatch, draw, size, channels):
    pytest.importorskip("numba")
    image = np.array(draw((70, 90, channels), "u1"))
    # The first template explains exactly nothing of this part.
    image[:, 40:] = 126 + 4 * (np.arange(50) % 2)[:, None]
    template = image[5 : 5 + size[0], 7 : 7 + size[1]].copy()
    template[:, ::2] = template[:, 1::2]
    for sought in (template, np.array(draw((*size, channels), "u1", seed=1))):
        found = []
        for engine in ("numpy", "numba"):
            monkeypatch.setenv("TMATCH_ENGINE", engine)
            found.append(tmatch.match_template(image, sought, channel_axis=2))
            both = tmatch.Matcher(
                {"one": sought, "other": template[::-1]}, channel_axis=2, precision="double"
            )
            found.append(both.score(image)["one"])
        assert len({scores.tobytes() for scores in found}) == 1
        if sought is template:
            assert (found[0] == 0).any()
