"""What is said of the package in several places agrees, and its metadata lead to where the repository is published."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

import tmatch

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
HOOK = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["custom"]
CONDA_NAMES = {"matplotlib": "matplotlib-base", "mss": "python-mss", "dask[array]": "dask-core"}
OPTIONAL = ("fast", "video", "screen", "zarr", "dask", "rois")  # extras for users
pytestmark = pytest.mark.engine_free


def read_yaml(name):
    yaml = pytest.importorskip("yaml", reason="read by PyYAML, which comes with the extra `dask`")
    return yaml.safe_load((ROOT / name).read_text())


def hook():
    pytest.importorskip("hatchling", reason="metadata are made by hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def metadata(repository):
    made = {"name": "tmatch", "version": "1.2.3"}
    hook().RepositoryHook(str(ROOT), {"repository": repository}).update(made)
    return made


# --- one version ----------------------------------------------------------------------------------


def test_pages_and_recipe_tell_the_version_of_the_package():
    newest = re.search(
        r"^## (\S+) \((?:unreleased|\d{4}-\d\d-\d\d)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert newest[1] == tmatch.__version__
    readme = (ROOT / "README.md").read_text()
    assert {*re.findall(r"tmatch-([\d.]+)-py3", readme)} == {tmatch.__version__}
    assert read_yaml("conda/recipe.yaml")["context"]["version"] == tmatch.__version__


def test_the_citation_leaves_the_version_to_the_package_and_tells_the_licence():
    citation = read_yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= {*citation}  # which the format demands
    assert "version" not in citation
    assert (citation["license"], citation["keywords"]) == (PROJECT["license"], PROJECT["keywords"])


# --- the same dependencies ------------------------------------------------------------------------


def conda(requirements):
    """Write requirements as conda does."""
    pairs = (re.fullmatch(r"([\w.\[\]-]+?)([<>=].*)", each).groups() for each in requirements)
    return {f"{CONDA_NAMES.get(name, name)} {bounds}" for name, bounds in pairs}


def test_the_recipe_has_the_dependencies_of_the_package():
    recipe = read_yaml("conda/recipe.yaml")
    oldest = recipe["context"]["python_min"]
    assert PROJECT["requires-python"] == f">={oldest}"
    needed = {*recipe["requirements"]["run"]} - {"python >=${{ python_min }}"}
    assert needed == conda(PROJECT["dependencies"])
    extras = PROJECT["optional-dependencies"]
    assert {*recipe["requirements"]["run_constraints"]} == conda(
        each for name in OPTIONAL for each in extras[name]
    )
    assert {*PYPROJECT["build-system"]["requires"]} <= {*recipe["requirements"]["host"]}
    assert recipe["build"]["python"]["entry_points"] == [
        f"{name} = {target}" for name, target in PROJECT["scripts"].items()
    ]


# --- addresses ------------------------------------------------------------------------------------


def test_without_an_address_no_url_is_claimed():
    made = metadata("")
    assert made["urls"] == {}
    assert made["readme"]["text"] == (ROOT / "README.md").read_text()


def test_links_of_the_readme_lead_to_the_tag_and_images_to_their_bytes():
    home = "https://forge.example/group/tmatch"
    text = metadata(home)["readme"]["text"]
    assert (
        f"![A noisy photo of a raccoon with a box around its eye]({home}/raw/v1.2.3/notebooks/figures/found.jpg)"
        in text
    )
    assert f"[BSD-3-Clause]({home}/blob/v1.2.3/LICENSE)" in text
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert len(links) > 20
    assert all(link.startswith(("https://", "#")) for link in links)
    assert len(links) == len(re.findall(r"\]\(([^)]*)\)", (ROOT / "README.md").read_text()))


def test_links_that_lead_elsewhere_stay():
    text = "[a](https://x.example/y) [b](#here) [c](mailto:d@e) [two\nlines]({}f.md#g)"
    made = hook().with_absolute_links(text.format(""), "https://h.example", "v1.2.3")
    assert made == text.format("https://h.example/blob/v1.2.3/")


def test_urls_have_names_that_indexes_know_and_lead_to_the_tag():
    home = "https://forge.example/group/tmatch"
    urls = metadata(home)["urls"]
    assert {"Homepage", "Documentation", "Changelog", "Source", "Issues"} == {*urls}
    assert urls["Changelog"] == f"{home}/blob/v1.2.3/CHANGELOG.md"
    assert all(url.startswith(home) for url in urls.values())
    for url in urls.values():
        _, in_tag, path = url.partition("/blob/v1.2.3/")
        assert not in_tag or (ROOT / path).exists()


def test_an_address_is_told_in_all_places_once_there_is_one():
    home = HOOK["repository"]
    assert re.fullmatch(r"(https://\S+[^/\s])?", home)
    assert read_yaml("CITATION.cff").get("repository-code", "") == home
    assert read_yaml("conda/recipe.yaml")["about"].get("homepage", "") == home
