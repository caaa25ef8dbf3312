"""What the check of stored notebooks takes for the same, what it finds, and how notebooks are stored."""

import base64
import copy
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import gaussian_filter

import refresh_notebooks

ROOT = Path(__file__).parents[2]
STORED = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.engine_free


def png_of(pixels, **options):
    written = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(written, "png", **options)
    return base64.b64encode(written.getvalue()).decode()


def drawn(ring=(70, 30), title="a score map", step=5, across=False):
    """Draw smooth spots with a ring beside a curve; return the pixels."""
    spots = gaussian_filter(np.random.default_rng(0).normal(size=(80, 120)), 6)
    figure = Figure(figsize=(5, 2), dpi=80, layout="constrained")
    left, right = figure.subplots(1, 2)
    left.imshow(spots[:, ::-1] if across else spots, cmap="gray")
    left.plot(*ring, "o", ms=20, mfc="none", mec="cyan", mew=2)
    left.set_title(title)
    right.plot(np.sin(np.arange(30) / step))
    written = io.BytesIO()
    figure.savefig(written, format="png")
    with Image.open(written) as image:
        return np.asarray(image.convert("RGB"))


def notebook(*outputs):
    return {"cells": [{"cell_type": "code", "id": "a", "outputs": list(outputs)}]}


def printed(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": [text]}


def figure_of(pixels, **options):
    return {"output_type": "display_data", "data": {"image/png": png_of(pixels, **options)}, "metadata": {}}


def found(stored, new):
    return list(refresh_notebooks.differences(stored, new))


def test_outputs_that_are_current_are_the_same():
    stored = notebook(printed("score 0.79\n"), figure_of(drawn()))
    assert found(stored, notebook(printed("score 0.79\n"), figure_of(drawn(), compress_level=0))) == []


def test_text_that_is_stale_is_told():
    [difference] = found(notebook(printed("score 0.79\n")), notebook(printed("score 0.80\n")))
    assert (
        difference
        == "cell a, output 1: stdout differs\n--- stored\n+++ now\n@@ -1 +1 @@\n-score 0.79\n+score 0.80"
    )


def test_outputs_that_are_missing_or_gone_are_told():
    text, figure = printed("x"), figure_of(drawn())
    assert found(notebook(text), notebook(text, figure)) == ["cell a, output 2: it is missing"]
    assert found(notebook(text, figure), notebook(text)) == ["cell a, output 2: it is no longer there"]
    assert found(notebook(figure), notebook(text)) == [
        "cell a, output 1: it has ['image/png'], now ['stdout']"
    ]
    assert found(notebook(), notebook(printed("a warning", "stderr"))) == ["cell a, output 1: it is missing"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(drawn(ring=(20, 60)), id="a ring at another position"),
        pytest.param(drawn(title="of something else"), id="another title"),
        pytest.param(drawn(across=True), id="another image"),
        pytest.param(drawn(step=4), id="another curve"),
        pytest.param(np.full_like(drawn(), 255), id="nothing drawn"),
        pytest.param(255 - drawn(), id="other colours"),
    ],
)
def test_images_of_other_content_are_told(other):
    [difference] = found(notebook(figure_of(drawn())), notebook(figure_of(other)))
    assert difference.startswith("cell a, output 1: the image differs, in ")
    assert found(notebook(figure_of(other)), notebook(figure_of(drawn())))


def test_images_of_another_size_are_told():
    [difference] = found(notebook(figure_of(drawn())), notebook(figure_of(drawn()[:-1])))
    assert difference == "cell a, output 1: the image is 400 x 160 pixels, now 400 x 159"


def test_what_versions_of_matplotlib_draw_differently_is_the_same():
    pixels = drawn()
    shifted = np.pad(pixels, ((3, 0), (2, 0), (0, 0)), mode="edge")[:-3, :-2]
    brighter = np.minimum(pixels.astype(int) + 10, 255)
    smaller = refresh_notebooks.pixels_of(refresh_notebooks.smaller(png_of(pixels)))
    for other in (shifted, brighter, smaller):
        assert refresh_notebooks.unlike(pixels, other) == ""


def test_outputs_that_are_still_true_stay_as_they_are():
    stored = notebook(printed("old"), figure_of(drawn(), compress_level=0))
    new = notebook(printed("new"), figure_of(drawn()), printed("more"))
    result = refresh_notebooks.refreshed(stored, copy.deepcopy(new))["cells"][0]["outputs"]
    assert result == [new["cells"][0]["outputs"][0], stored["cells"][0]["outputs"][1], printed("more")]


def test_what_differs_from_run_to_run_is_not_stored():
    outputs = [
        printed("one\n"),
        printed("two\n"),
        {
            "output_type": "execute_result",
            "execution_count": 7,
            "data": {"text/plain": "3"},
            "metadata": {"x": 1},
        },
        {
            "output_type": "display_data",
            "data": {"text/html": "<p>", "text/plain": "0.123456"},
            "metadata": {},
        },
    ]
    assert refresh_notebooks.cleaned(outputs) == [
        {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]},
        {
            "output_type": "execute_result",
            "execution_count": None,
            "data": {"text/plain": "3"},
            "metadata": {},
        },
        {"output_type": "display_data", "data": {"text/html": "<p>"}, "metadata": {}},
    ]


def run(*arguments):
    command = [sys.executable, ROOT / "tests" / "refresh_notebooks.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_notebook_is_refreshed_and_then_checked(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="notebooks are executed with the extra `test`")
    pytest.importorskip("nbclient", reason="notebooks are executed with the extra `test`")
    path = tmp_path / "small.ipynb"
    code = "from matplotlib import pyplot\nprint('hello')\npyplot.plot([1, 3, 2]);"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code, id="first")])
    nbformat.write(made, path)

    assert run(path).returncode == 0
    written = path.read_text()
    [cell] = json.loads(written)["cells"]
    assert cell["metadata"] == {}
    assert cell["execution_count"] is None
    assert [{*refresh_notebooks.kinds(output)} for output in cell["outputs"]] == [
        {"stdout"},
        {"image/png", "text/plain"},
    ]

    path.write_text(written.replace('"hello', '"good bye'))
    stale = run("--check", path)
    assert stale.returncode == 1
    assert stale.stdout.startswith(f"{path}: cell first, output 1: stdout differs\n")
    assert "-good bye\n+hello" in stale.stdout
    assert stale.stderr.endswith("what is stored is not current: run python tests/refresh_notebooks.py\n")
    assert run(path).returncode == 0
    assert path.read_text() == written


@pytest.mark.skipif(not STORED, reason="the notebooks are not part of this copy")
def test_notebooks_are_stored_with_what_they_show_and_no_more():
    for path in STORED:
        stored = json.loads(path.read_text(encoding="utf-8"))
        cells = refresh_notebooks.code_cells(stored)
        assert path.stat().st_size < 1.3e6, f"{path.name} is large: draw smaller figures"
        assert len({cell["id"] for cell in stored["cells"]}) == len(stored["cells"])
        assert all(cell["execution_count"] is None for cell in cells)
        assert sum(bool(cell["outputs"]) for cell in cells) > 0.7 * len(cells), f"{path.name} lacks outputs"
        for output in (output for cell in cells for output in cell["outputs"]):
            kinds = refresh_notebooks.kinds(output)
            assert not kinds.keys() & {"stderr"}, path.name
            assert " at 0x" not in "".join(map(refresh_notebooks.text_of, kinds.values())), path.name
