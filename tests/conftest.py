import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import profiles
from tmatch._engine import execution

profiles.load()

DATASETS = Path(__file__).parents[1] / "datasets"


def _backwards(array):
    flip = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[flip])[flip]


LAYOUTS = {
    "read_only": np.copy,
    "fortran_order": np.asfortranarray,
    "negative_strides": _backwards,
    "big_endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
}


# Every test is done by both engines, one after the other, but where a marker says otherwise (see pyproject.toml).
# TMATCH_TEST_ENGINE=numpy or numba in the environment leaves the other one out.
CHOICES = {"both": {"numpy", "numba", "transforms"}, "numpy": {"numpy"}, "numba": {"numba", "transforms"}}


def pytest_generate_tests(metafunc):
    marked = {mark.name for mark in metafunc.definition.iter_markers()}
    if "engine_free" in marked:
        return
    engines = ["numba"] if "numba_only" in marked else ["numpy", "numba"]
    engines += ["transforms"] * ("also_by_transforms" in marked)
    metafunc.parametrize("engine", engines, indirect=True, scope="module")


def pytest_collection_modifyitems(config, items):
    choice = os.environ.get("TMATCH_TEST_ENGINE") or "both"
    if choice not in CHOICES:
        msg = f"the environment's TMATCH_TEST_ENGINE is {choice!r}; it must be one of {', '.join(CHOICES)}"
        raise pytest.UsageError(msg)
    kept, left_out = [], []
    for item in items:
        engine = getattr(item, "callspec", None) and item.callspec.params.get("engine")
        chosen = engine is None or engine in CHOICES[choice] or item.get_closest_marker("smoke")
        again = choice == "both" and engine == "numpy" and item.get_closest_marker("one_engine")
        (kept if chosen and not again else left_out).append(item)
    if profiles.PROFILE == "brief":
        some = profiles.first_and_last(kept)
        left_out += [item for item in kept if item not in set(some)]
        kept = some
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


@pytest.fixture(scope="module", autouse=True)
def engine(request):
    """Let one engine do all the work; tests that no engine has a part in are left to NumPy's.

    "transforms" is numba's, but with transforms where it would do without, as it does for small templates.
    """
    param = getattr(request, "param", "numpy")
    name = "numba" if param == "transforms" else param
    if name == "numba":
        pytest.importorskip("numba")
    direct = False if param == "transforms" else None
    with pytest.MonkeyPatch.context() as patch, execution.using(direct_products=direct):
        patch.setenv("TMATCH_ENGINE", name)
        yield name


@pytest.fixture(params=LAYOUTS)
def layout(request):
    """Lay the same values out in memory in another way, read-only."""

    def lay_out(array):
        array = LAYOUTS[request.param](np.array(array))
        array.flags.writeable = False
        return array

    return lay_out


@pytest.fixture(scope="session")
def draw():
    """Draw a random array, read-only: integers over their whole range, floats from the bell."""

    def random(shape, dtype="f8", seed=0):
        rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
        if dtype.kind == "b":
            values = rng.random(shape) < 0.5
        elif dtype.kind in "iu":
            bounds = np.iinfo(dtype)
            native = dtype.newbyteorder("=")
            values = rng.integers(bounds.min, bounds.max, shape, native, endpoint=True)
        else:
            values = rng.normal(size=shape)
            if dtype.kind == "c":
                values = values + 1j * rng.normal(size=shape)
        values = values.astype(dtype)
        values.flags.writeable = False
        return values

    return random


@pytest.fixture(scope="session")
def picture():
    """Read a picture of the datasets as 8-bit pixels."""

    def read(name):
        with Image.open(DATASETS / name) as file:
            return np.asarray(file)

    return read


@pytest.fixture
def execute():
    """Replace parts of the execution policy until the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **changes: stack.enter_context(execution.using(**changes))


@pytest.fixture
def cut(execute):
    """Cut the work into other tiles, on so many cores."""
    return lambda block, cores=1: execute(tile=block, cores=cores, min_compiled_side=1)
