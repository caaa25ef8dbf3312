#!/usr/bin/env python3
"""Build sdist and wheel, check both, and use the wheel in an empty environment. About a minute, most of it pip's.

python .ci/package.py            what the checks run
python .ci/package.py --release  also asks for what only a release needs, and leaves both files in dist/
"""

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Build, check and use the package."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--release", action="store_true")
    release = parser.parse_args().release
    if release:
        check_release()
    with tempfile.TemporaryDirectory() as folder:
        dist = ROOT / "dist" if release else Path(folder) / "dist"
        run(sys.executable, "-m", "build", "--outdir", dist, ROOT)
        [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
        run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
        check_files(wheel, sdist)
        use(wheel, Path(folder))


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; if it fails, show what it printed and end."""
    print("==", *command, flush=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{done.stdout}exit code {done.returncode}")


def check_files(wheel: Path, sdist: Path) -> None:
    """Check that an sdist holds the repository, and a wheel the package with its data, and nothing else."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]  # the new ones, too
    listed = subprocess.check_output(listing, cwd=ROOT, text=True)
    files = {*listed.rstrip("\0").split("\0")}
    with tarfile.open(sdist) as archive:
        packed = {member.name.partition("/")[2] for member in archive if member.isfile()}
    with zipfile.ZipFile(wheel) as archive:
        installed = {name for name in archive.namelist() if ".dist-info/" not in name}
    compare(f"{sdist.name} and the repository", packed - {"PKG-INFO"}, files)
    compare(f"{wheel.name} and tmatch/", installed, {name for name in files if name.startswith("tmatch/")})
    needed = {"tmatch/py.typed", "tmatch/_report/assets/page.js", "tmatch/_report/assets/report.css"}
    compare(f"{wheel.name} and what reports and type checkers need", installed & needed, needed)


def compare(what: str, one: set[str], other: set[str]) -> None:
    """Check that two lists of files are equal."""
    if one != other:
        sys.exit(f"{what} differ by {sorted(one ^ other)}")


def use(wheel: Path, folder: Path) -> None:
    """Install the wheel, and nothing that it does not ask for, and run the README's first example."""
    venv.create(folder / "venv", with_pip=True)
    (folder / "datasets").symlink_to(ROOT / "datasets")
    python, tmatch = folder / "venv/bin/python", folder / "venv/bin/tmatch"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=folder)
    run(python, "-m", "pip", "check", cwd=folder)
    run(python, "-c", "import tmatch", cwd=folder)
    run(tmatch, "info", cwd=folder)
    run(python, "-m", "doctest", "-o", "NORMALIZE_WHITESPACE", ROOT / "README.md", cwd=folder)
    images = ("datasets/raccoon/noisy.png", "datasets/raccoon/eye.png")
    run(tmatch, "locate", *images, "--overlay", "found.png", "--report", "found.html", cwd=folder)


def check_release() -> None:
    """Check what is filled in last: the address of the repository, and the date of the version."""
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["metadata"]["hooks"]
    if not hooks["custom"]["repository"]:
        sys.exit("pyproject.toml does not tell where the repository is published; fill in `repository`")
    if not re.search(r"\A# Changelog\n\n## \S+ \(\d{4}-\d\d-\d\d\)\n", (ROOT / "CHANGELOG.md").read_text()):
        sys.exit("CHANGELOG.md begins with a version without a date; write it as (2026-01-31)")
    if subprocess.check_output(["git", "status", "--porcelain"], cwd=ROOT):
        sys.exit(
            "the repository has changes that are not committed; commit them, so that what is built can be tagged"
        )
    if [*ROOT.glob("dist/*")]:
        sys.exit("dist/ holds files of another build; remove them")


if __name__ == "__main__":
    main()
