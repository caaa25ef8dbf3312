"""What the documentation site is checked by when it is built (docs/_site), and what must be there for it."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.engine_free
pytest.importorskip("sphinx", reason="the site is built with the extra `docs`")


def extension(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


published = extension("published")


def site(folder, **pages):
    for name, text in pages.items():
        (folder / f"{name}.html").write_text(text)
    return folder


def test_links_lead_to_files_and_names_that_exist(tmp_path):
    pages = site(
        tmp_path,
        first='<p id="here"><a href="second.html#there">',
        second='<a name="there" href="#top" id="top">',
    )
    (tmp_path / "with space.txt").write_text("")
    site(tmp_path, third='<a href="with%20space.txt"><a href="https://example.org/x"><a href="mailto:a@b">')
    assert list(published.faults(pages)) == []


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("gone.html", "no such file"),
        ("other.html#gone", "no such heading"),
        ("#gone", "no such heading"),
        ("../outside.html", "no such file"),
        (".", "no such file"),
    ],
)
def test_links_that_lead_nowhere_are_told(tmp_path, link, reason):
    pages = site(tmp_path, page=f'<a href="{link}">', other="")
    assert list(published.faults(pages)) == [f"page.html: {link}: {reason}"]


def test_images_that_are_missing_are_told(tmp_path):
    assert list(published.faults(site(tmp_path, page='<img src="gone.png">'))) == [
        "page.html: gone.png: no such file"
    ]


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://example.org/x">',
        '<script src="//example.org/x">',
        '<link rel="stylesheet" href="https://example.org/x">',
        '<link rel="preconnect" href="https://example.org/x">',
        '<img src="http://example.org/x">',
    ],
)
def test_what_is_loaded_from_other_machines_is_told(tmp_path, tag):
    [fault] = published.faults(site(tmp_path, page=tag))
    assert fault.startswith("page.html: loads ")


def test_styles_that_load_from_other_machines_are_told(tmp_path):
    (tmp_path / "x.css").write_text('@import url("own.css"); @import url(https://example.org/font.css);')
    assert list(published.faults(tmp_path)) == ["x.css: loads url(https://"]


def test_every_public_function_and_class_is_listed_once_in_the_reference():
    text = (ROOT / "docs" / "reference" / "api.md").read_text()
    listed, current = [], ""
    for module, names in re.findall(r"currentmodule:: (\S+)|^   ((?!:)\w+)$", text, flags=re.MULTILINE):
        current = module or current
        listed += [f"{current}.{names}"] if names else []
    modules = [importlib.import_module(name) for name in published.MODULES]
    public = {f"{m.__name__}.{n}" for m in modules for n in m.__all__ if callable(getattr(m, n))}
    assert sorted(listed) == sorted(public)


def test_public_names_without_a_page_are_told():
    text = (ROOT / "docs" / "reference" / "api.md").read_text()
    told = list(published.missing_names({"docs/reference/api/tmatch.locate"}, text.replace("TM_SQDIFF", "")))
    assert "tmatch.best_match is missing in docs/reference/api.md" in told
    assert "tmatch.compat.cv2.TM_SQDIFF is missing in docs/reference/api.md" in told
    assert "tmatch.locate is missing in docs/reference/api.md" not in told
    assert "tmatch.compat.cv2.TM_CCORR is missing in docs/reference/api.md" not in told


def test_the_start_page_is_the_table_of_contents():
    text = (ROOT / "docs" / "index.md").read_text()
    contents = extension("contents").toctrees(text)
    assert contents.count(":caption: ") == len(re.findall(r"^## ", text, flags=re.MULTILINE))
    pages = {f"{link}" for link in re.findall(r"^[\w/].*$", contents, flags=re.MULTILINE)}
    assert {"tutorial", "reference/api", "/notebooks/01_locate", "/CHANGELOG"} <= pages
