import importlib
import inspect
import pkgutil
import subprocess
import sys
import types

import pytest
from numpydoc.validate import validate

import tmatch
from loops import each
from tmatch.compat import cv2, mtm, pyscreeze, skimage

pytestmark = pytest.mark.engine_free

FUNCTIONS = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (tmatch, tmatch.kernels, tmatch.synthetic, cv2, mtm, pyscreeze, skimage)
    for name in module.__all__
    if callable(getattr(module, name))
}


def test_all_lists_the_public_names():
    names = {
        n for n, v in vars(tmatch).items() if not n.startswith("_") and not isinstance(v, types.ModuleType)
    }
    assert names | {"compat", "kernels", "synthetic"} == set(tmatch.__all__)
    for module in (tmatch.kernels, tmatch.synthetic):
        own = {
            n
            for n, v in vars(module).items()
            if inspect.isfunction(v) and v.__module__.startswith(module.__name__)
        }
        assert {n for n in own if not n.startswith("_")} == set(module.__all__)


def test_other_modules_are_private():
    public = {m.name for m in pkgutil.iter_modules(tmatch.__path__) if not m.name.startswith("_")}
    assert public == {"cli", "compat", "kernels", "synthetic"}
    assert importlib.import_module("tmatch.cli").main


def test_drop_in_replacements_are_loaded_when_they_are_used():
    code = "import sys, tmatch; print([name for name in sys.modules if name.startswith('tmatch.compat.')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
    assert all(inspect.ismodule(getattr(tmatch.compat, name)) for name in tmatch.compat.__all__)
    with pytest.raises(
        AttributeError, match="has no attribute 'torch'; its modules are cv2, mtm, pyscreeze, skimage"
    ):
        _ = tmatch.compat.torch


# Many options, which do not touch each other.
RICH = {
    f"tmatch.{name}"
    for name in (
        "match_template",
        "score_validity",
        "locate",
        "locate_many",
        "best_match",
        "robustness",
        "explain",
        "correlate",
        "convolve",
    )
}


@each("name", FUNCTIONS)
def test_few_functions_have_more_than_seven_parameters(name):
    if not inspect.isclass(FUNCTIONS[name]) and name not in RICH:
        assert len(inspect.signature(FUNCTIONS[name]).parameters) <= 7


@each("name", FUNCTIONS)
def test_docstrings_tell_every_parameter_and_result(name):
    # Codes of numpydoc: parameters missing, unknown or out of order, no description, no summary, no returns.
    wanted = {"GL08", "SS01", "PR01", "PR02", "PR03", "PR07", "RT01", "RT03"}
    short = name.startswith("tmatch.kernels.") and not inspect.signature(FUNCTIONS[name]).parameters
    found = {
        code: text
        for code, text in validate(name)["errors"]
        if code in wanted - ({"RT01"} if short else set())
    }
    assert not found
