"""Compiled code on disk: whatever is wrong with it, results are right and one line tells."""

import errno
import os
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
