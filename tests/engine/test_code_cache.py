"""Compiled code on disk: whatever is wrong with it, results are right and one line tells."""

import errno
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

from tmatch._engine.numba import cache, compiler

pytestmark = pytest.mark.engine_free


def twice(number):
    return 2 * number


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_warned", set())
    return tmp_path


def loads_and_warnings():
    """Run a function that was compiled before or not; return how often it was loaded, and what is told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function = compiler.compiled(twice)
        assert function(21) == 42
    return sum(function.stats.cache_hits.values()), [str(warning.message) for warning in caught]


def truncate(data):
    return data[: len(data) // 2]


def empty(_):
    return b""


def scramble(data):
    return np.random.default_rng(0).bytes(len(data))


def lose_a_block(data):
    """Zero the middle, as where a computer lost its power: it is still a pickle."""
    third = len(data) // 3
    return data[:third] + bytes(third) + data[2 * third :]


def flip_a_bit(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def test_code_is_kept_and_loaded():
    assert loads_and_warnings() == (0, [])
    assert loads_and_warnings() == (1, [])


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", [truncate, empty, scramble, lose_a_block, flip_a_bit])
def test_damaged_files_are_told_once_and_made_anew(folder, ending, damage):
    loads_and_warnings()
    files = list(folder.rglob(f"*.{ending}"))
    assert files
    for file in files:
        file.write_bytes(damage(file.read_bytes()))
    loads, told = loads_and_warnings()
    if ending == "nbc" or damage not in (lose_a_block, flip_a_bit):  # an index may then be another version's
        assert loads == 0
        [line] = told
        assert f'compiled code in "{folder}' in line
        assert line.endswith("; it is compiled anew")
    cache._warned.clear()
    assert loads_and_warnings() == (1, [])


def test_a_full_disk_is_told_once(folder, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", fail)
    loads, [told] = loads_and_warnings()
    assert loads == 0
    assert told.startswith(f'compiled code cannot be kept in "{folder}')
    assert told.endswith("(no space left on device); every run compiles anew; name a folder that can be "
                         "written in NUMBA_CACHE_DIR")  # fmt: skip


def test_where_no_folder_can_be_written_nothing_is_kept(monkeypatch):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    for _ in range(2):
        cache._warned.clear()
        loads, [told] = loads_and_warnings()
        assert loads == 0
        assert told.startswith("compiled code cannot be kept in any folder (cannot cache function")


SEALED = """
import os, sys, warnings
warnings.simplefilter("error")
def refuse(event, arguments):
    writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in ("os.mkdir", "os.rename", "os.remove"):
        raise OSError(30, "Read-only file system")
sys.addaudithook(refuse)
"""
COUNTED = """
import numba.core.event as event, numpy as np, tmatch
with event.install_recorder("numba:compile") as recorder:
    scores = tmatch.match_template(np.arange(3600, dtype="u1").reshape(60, 60) ** 2, np.eye(9, dtype="u1"))
print(sum(found.is_start for _, found in recorder.buffer), scores.sum())
"""


def compile_in_a_process(folder, before=""):
    """Score in a process of its own; return how many functions were compiled there, and the sum of the scores."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "TMATCH_ENGINE": "numba"}
    done = subprocess.run(
        [sys.executable, "-c", before + COUNTED], env=environment, capture_output=True, text=True, check=False
    )
    assert not done.stderr
    count, total = done.stdout.split()
    return int(count), float(total)


def test_code_in_a_folder_that_cannot_be_written_is_loaded_in_silence(folder):
    compiled, total = compile_in_a_process(folder)
    assert compiled > 0
    assert compile_in_a_process(folder, SEALED) == (0, total)


def test_vectors_are_as_long_as_the_processor_that_is_named_allows():
    """Code that is compiled on another machine, for a processor that is named on both, must have the same stamp."""
    for features, length in [("", "32"), ("+avx2,+avx512f", "64")]:
        done = subprocess.run(
            [sys.executable, "-c", "from tmatch._engine.numba import vectors; print(vectors.VECTOR_BYTES)"],
            env=os.environ | {"NUMBA_CPU_FEATURES": features}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == length


def test_code_outlives_a_new_date_of_its_source(tmp_path, monkeypatch):
    """Layers of container images keep dates in whole seconds."""
    source = tmp_path / "late.py"
    source.write_text("def thrice(number):\n    return 3 * number\n")
    monkeypatch.syspath_prepend(tmp_path)
    import late

    stats = []
    for date in (1e9 + 0.25, 1e9):
        os.utime(source, (date, date))
        function = compiler.compiled(late.thrice)
        assert function(14) == 42
        stats.append(sum(function.stats.cache_hits.values()))
    assert stats == [0, 1]
