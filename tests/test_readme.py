import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine_free

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
SESSIONS = [
    (lines[0], lines[1:]) for b in BLOCKS for s in b.split("$ ")[1:] if (lines := s.rstrip().splitlines())
]


@pytest.mark.parametrize(("command", "shown"), SESSIONS, ids=[command for command, _ in SESSIONS])
def test_readme_shows_what_its_commands_print(command, shown, tmp_path):
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout + done.stderr).rstrip().splitlines() == shown


def test_readme_names_files_that_exist():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r"datasets/[\w/.]+\.png", text)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
