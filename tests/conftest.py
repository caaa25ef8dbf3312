from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from tmatch._engine import threads
from tmatch._engine import tiling as _tiling
from tmatch._scoring.integer import batch

settings.register_profile("tmatch", deadline=None, derandomize=True)
settings.load_profile("tmatch")

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


BY_BOTH_ENGINES = [
    "test_metrics",
    "test_core",
    "test_filter",
    "test_filter_laws",
    "test_published_cases",
    "test_score",
    "test_precision",
    "test_matcher",
    "test_significance",
]
# Small templates, which nearly all are here, need no transforms; these are done with them as well.
BY_TRANSFORMS_TOO = ["test_score", "test_precision", "test_matcher", "test_significance"]


def pytest_generate_tests(metafunc):
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in BY_BOTH_ENGINES:
        engines = ["numpy", "numba"] + ["transforms"] * (module in BY_TRANSFORMS_TOO)
        metafunc.parametrize("engine", engines, indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def engine(request):
    """Let one engine do all the work: where the modules above are tested, each of the two in turn.

    "transforms" is numba's, but with transforms where it would do without.
    """
    param = getattr(request, "param", "numpy")
    name = "numba" if param == "transforms" else param
    if name == "numba":
        pytest.importorskip("numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMATCH_ENGINE", name)
        if param == "transforms":
            patch.setattr(batch.TemplateBatch, "_has_few_pixels", lambda *_: False)
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
def cut(monkeypatch):
    """Cut the work into other tiles, on so many cores."""

    def cut_into(block, cores=1):
        def plan(image, window, *, compiled=False, **_):
            compiled = compiled and len(window) == 2
            places = tuple(n - k + 1 for n, k in zip(image, window, strict=True))
            parts = tuple(min(b, n) for b, n in zip(block, places, strict=True))
            points = tuple(b + k + 2 for b, k in zip(parts, window, strict=True))
            if compiled:
                points = tuple(_tiling.fast_length(n, compiled=True) for n in points)
            return _tiling.Tiling(places, window, parts, points, compiled)

        monkeypatch.setattr(_tiling, "plan_tiles", plan)
        monkeypatch.setattr(_tiling, "plan_blocks", plan)
        monkeypatch.setattr(threads, "available_cores", lambda: cores)

    return cut_into
