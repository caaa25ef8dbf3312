"""Run every console session of README.md and docs/ again and write the output shown there anew; the help, too.

python tests/refresh_docs.py, then review the change with `git diff`.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import help_pages

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SESSION = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)


def refresh(page: str, folder: Path) -> str:
    """Run the sessions of a page, one after the other in one folder; return the page with today's output."""
    (folder / "datasets").symlink_to(ROOT / "datasets")
    return SESSION.sub(lambda block: "".join(show(c, folder) for c in commands(block[0])), page)


def commands(block: str) -> list[str]:
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def show(command: str, folder: Path) -> str:
    """Run a command; return it with what it prints, stdout and stderr in the order of a terminal."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        ["bash", "-c", f"{{ {command}\n}} 2>&1"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    output = done.stdout.rstrip()
    return f"$ {command}\n" + (output + "\n" if output else "")


if __name__ == "__main__":
    for path in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            path.write_text(refresh(path.read_text(), Path(folder)))
    help_pages.STORED.write_text(help_pages.all_pages())
