import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tmatch.cli import app

DATASETS = Path(__file__).parents[1] / "datasets"
NOISY, EYE = DATASETS / "raccoon" / "noisy.png", DATASETS / "raccoon" / "eye.png"


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


# --- inspect --------------------------------------------------------------------------------------


def test_a_template_is_inspected_alone_and_in_its_image(tmp_path):
    alone, both = run("inspect", EYE), run("inspect", EYE, NOISY, "--plot", tmp_path / "eye.png")
    assert alone.exit_code == both.exit_code == 0
    assert "size            80 x 65 pixels, all count" in alone.stdout
    assert "1,000,000 places" in alone.stdout
    assert "best place      0.79 at x=670, y=300" in both.stdout
    assert alone.stdout.splitlines()[-1].startswith("small or smooth")
    assert both.stderr == f"written: {tmp_path / 'eye.png'}\n"
    with Image.open(tmp_path / "eye.png") as figure:
        assert min(figure.size) > 500


def test_what_inspect_tells_is_json_on_request(tmp_path):
    told = json.loads(run("inspect", EYE, "--format", "json").stdout)
    assert told["shape"] == [65, 80]
    assert told["best_score"] is None
    round_mask = np.hypot(*np.mgrid[-32:33, -39.5:40]) < 32
    Image.fromarray(np.uint8(255 * round_mask)).save(tmp_path / "round.png")
    masked = json.loads(run("inspect", EYE, "--mask", tmp_path / "round.png", "--format", "json").stdout)
    assert masked["pixels"] == round_mask.sum()
    colour = json.loads(run("inspect", DATASETS / "raccoon" / "eye_color.png", "--format", "json").stdout)
    grey = json.loads(
        run("inspect", DATASETS / "raccoon" / "eye_color.png", "--gray", "--format", "json").stdout
    )
    assert colour["contrast"] != grey["contrast"]


def test_a_constant_template_is_refused_in_a_sentence(tmp_path):
    Image.new("L", (20, 20), 90).save(tmp_path / "flat.png")
    result = run("inspect", tmp_path / "flat.png")
    assert result.exit_code == 2
    assert re.fullmatch(r"error: .*constant.*\n", result.stderr)


@pytest.mark.parametrize("plot", ["eye.png", "no/eye.png", "eye.docx"])
def test_figures_go_where_they_can_and_overwrite_nothing_read(tmp_path, plot):
    eye = tmp_path / "eye.png"
    eye.write_bytes(EYE.read_bytes())
    result = run("inspect", eye, "--plot", tmp_path / plot)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert eye.read_bytes() == EYE.read_bytes()
