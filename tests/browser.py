"""The scripts of reports, run by node, and pages opened in Chromium; tests that need what is not there are skipped."""

import json
import os
import shutil
import subprocess
from importlib import resources

import pytest

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"


def chromium():
    """Return the path of a browser; TMATCH_CHROMIUM names another one."""
    found = os.environ.get("TMATCH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(
            "there is no Chromium on this machine: apt-get install chromium, or name one by TMATCH_CHROMIUM"
        )
    return found


def run_script(code, told, assets=("stages.js", "formats.js")):
    """Run JavaScript after the scripts of a report, with `told` as a value; return its result."""
    node = shutil.which("node")
    if node is None:
        return _in_chromium(code, told, assets)
    text = f"{_script(assets)}\nconst told = JSON.parse(require('fs').readFileSync(0, 'utf-8'));\n"
    text += f"process.stdout.write(JSON.stringify((() => {{ {code} }})()));"
    done = subprocess.run(
        [node, "-e", text], input=json.dumps(told), text=True, capture_output=True, check=False
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)


def _script(assets):
    folder = resources.files("tmatch._report") / "assets"
    return "\n".join((folder / name).read_text("utf-8") for name in assets)


def _in_chromium(code, told, assets):
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        result = page.evaluate(f"(told) => {{ {_script(assets)}\n{code} }}", told)
        browser.close()
        return result
