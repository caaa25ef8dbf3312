"""What the command line does where its words or files cannot be written, or it is told to stop."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tmatch._search import wording
from tmatch.cli.app import app

pytestmark = pytest.mark.engine_free

EYE = Path(__file__).parents[2] / "datasets" / "raccoon" / "eye.png"


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


# --- as a process -------------------------------------------------------------------------------------


def start(*arguments, **options):
    """Start the command line; its streams are buffered, as users have them."""
    command = [sys.executable, "-m", "tmatch", *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment["PYTHONIOENCODING"] = "utf-8:strict"  # as in most locales
    return subprocess.Popen(command, **{"env": environment, "text": True, **options})


def end(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def full_disk():
    with Path("/dev/full").open("w") as file:
        yield file


needs_full_disk = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="there is no device that is always full"
)


@needs_full_disk
@pytest.mark.parametrize(
    "arguments", [["locate", "missing.png", EYE], ["locate", EYE], ["--debug", "locate", "a", "b"]]
)
def test_errors_that_cannot_be_told_are_no_misses(full_disk, arguments):
    assert end(start(*arguments, stdout=subprocess.PIPE, stderr=full_disk)) == (2, "", None)


@needs_full_disk
@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["locate", "--help"], ["kernels", "box"], ["kernels"]]
)
def test_results_that_cannot_be_written_are_told_in_a_line(full_disk, arguments):
    told = "error: cannot write to stdout: no space left on device\n"
    assert end(start(*arguments, stdout=full_disk, stderr=subprocess.PIPE)) == (2, None, told)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["locate", "--help"], ["kernels", "box"], ["locate", EYE, EYE], []],
)
def test_a_reader_that_has_gone_is_told_by_the_exit_code_alone(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout:
        assert end(start(*arguments, stdout=stdout, stderr=subprocess.PIPE)) == (141, None, "")


@pytest.mark.parametrize("module", ["tmatch.kernels", "tmatch.cli.app", "tmatch.cli.locate"])
def test_an_interrupt_while_modules_are_loaded_leaves_no_traceback(module):
    # The import of this module is made to take long.
    code = (
        "import runpy, sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}:\n"
        "            print('loading', flush=True)\n"
        "            time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "sys.argv = ['tmatch', 'info']\n"
        "from tmatch.cli import main\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        assert end(process) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_command_that_is_ended_leaves_no_part_of_a_file(tmp_path, number):
    code = (
        "import sys, time\n"
        "from tmatch._io import writing\n"
        "def write(path, pixels):\n"
        "    def save(file):\n"
        "        file.write(b'half')\n"
        "        print('writing', flush=True)\n"
        "        time.sleep(60)\n"
        "    writing._write(path, save)\n"
        "writing.write_image = write\n"
        f"sys.argv = ['tmatch', 'filter', {str(EYE)!r}, '-k', 'box', '-o', 'f.png']\n"
        "from tmatch.cli import main\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "writing\n"
        assert any(path.suffix == ".part" for path in tmp_path.iterdir())
        process.send_signal(number)
        code, _, told = end(process)
    assert code == 128 + number
    assert told == ("interrupted\n" if number == signal.SIGINT else "")
    assert not list(tmp_path.iterdir())


# --- names --------------------------------------------------------------------------------------------


def test_control_characters_of_names_do_not_reach_the_terminal(tmp_path):
    odd = tmp_path / "\x1b[31mred\x07.png"
    odd.write_bytes(EYE.read_bytes())
    missing = tmp_path / "\x1b[31m.png"
    for result in (
        run("locate", odd, odd),
        run("locate", missing, EYE),
        run("filter", odd, "-k", "box", "-o", tmp_path / "\x1b.png"),
    ):
        assert "\x1b" not in result.output
        assert "\\x1b" in result.output
    assert r"\x1b[31mred\x07" in run("locate", odd, odd).stdout
    assert json.loads(run("locate", odd, odd, "--format", "json").stdout)["matches"][0]["label"] == odd.stem


def test_names_that_are_no_text_are_read_and_written_as_they_are(tmp_path):
    odd = os.fsencode(tmp_path) + b"/\xff.png"
    Path(os.fsdecode(odd)).write_bytes(EYE.read_bytes())
    for form in ("table", "csv"):
        process = start(
            "locate",
            os.fsdecode(odd),
            EYE,
            "--format",
            form,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=False,
        )
        code, out, _ = end(process)
        assert code == 0
        assert (form == "csv") == (odd in out)


# --- files --------------------------------------------------------------------------------------------


def test_other_names_of_what_is_read_are_not_overwritten(tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(EYE.read_bytes())
    (tmp_path / "hard.png").hardlink_to(image)
    (tmp_path / "soft.png").symlink_to(image)
    for name in ("hard.png", "soft.png"):
        for command in (
            ["locate", image, EYE, "--overlay"],
            ["heatmap", image, EYE, "-o"],
            ["filter", image, "-k", "box", "-o"],
        ):
            result = run(*command, tmp_path / name)
            assert result.exit_code == 2
            assert "is named twice, or is one of the images read" in result.stderr
    assert image.read_bytes() == EYE.read_bytes()


def test_targets_that_cannot_be_are_refused_before_the_work(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "folder.png").mkdir()
    for name, reason in (
        ("a.png", "too many levels of symbolic links"),
        ("folder.png", "is a directory"),
        (300 * "a" + ".png", "file name too long"),
    ):
        result = run("locate", "missing.png", EYE, "--heatmap", tmp_path / name)
        assert result.exit_code == 2
        assert f'{name}": {reason}' in result.stderr


@pytest.mark.parametrize("region", ["1e308,0,5,5", "0,0,1e308,1e308"])
def test_regions_of_absurd_size_are_told_briefly(region):
    result = run("locate", EYE, EYE, "--region", region)
    assert result.exit_code == 2
    assert "which is not inside the image of 80 x 65 pixels" in result.stderr
    assert len(result.stderr) < 200


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1.0, "1 false alarm is"),
        (1.04, "1 false alarm is"),
        (1.1, "1.1 false alarms are"),
        (0.2, "0.2 false alarms are"),
    ],
)
def test_one_false_alarm_is_one(number, words):
    assert wording.describe_expected(f"{number:.2g}") == f"{words} expected at this score"
    assert wording.describe_allowed(1) == "at most 1 is allowed"
    assert wording.describe_allowed(0.01) == "at most 0.01 are allowed"
