"""What the command line does where its words or files cannot be written, or it is told to stop."""

import sys
import warnings

import pytest
from typer.testing import CliRunner

from tmatch.cli.app import app

pytestmark = pytest.mark.engine_free


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_warnings_are_lines(monkeypatch):
    def describe():
        warnings.simplefilter("always")
        warnings.warn("the cache is damaged", RuntimeWarning, stacklevel=1)
        return "compiled"

    monkeypatch.setattr(sys.modules["tmatch.cli.app"], "describe", describe)
    result = run("info")
    assert (result.exit_code, result.stderr) == (0, "warning: the cache is damaged\n")
