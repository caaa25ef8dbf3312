import re

import pytest

from refresh_docs import PAGES, ROOT, SESSION, commands, refresh

TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in PAGES}
pytestmark = pytest.mark.engine_free
each_page = pytest.mark.parametrize("name", TEXTS)


@pytest.mark.parametrize("name", [name for name, text in TEXTS.items() if SESSION.search(text)])
def test_pages_show_what_their_commands_print(name, tmp_path):
    assert all(commands(block) for block in SESSION.findall(TEXTS[name]))
    assert refresh(TEXTS[name], tmp_path).splitlines() == TEXTS[name].splitlines()


@each_page
def test_pages_link_to_files_and_headings_that_exist(name):
    for link in re.findall(r"\]\(((?!https?:)[^)]+)\)", TEXTS[name]):
        target, _, heading = link.partition("#")
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), link
        assert not heading or heading in headings(path.read_text()), link


@each_page
def test_pages_name_data_that_exist(name):
    for path in re.findall(r"datasets/[\w/.]+\.png", TEXTS[name]):
        assert (ROOT / path).exists(), path


def test_every_page_is_linked_from_the_list_of_pages():
    links = set(re.findall(r"\]\(([^)#:]+\.md)\)", TEXTS["docs/index.md"]))
    pages = {name.removeprefix("docs/") for name in TEXTS if name.startswith("docs/")} - {"index.md"}
    assert pages <= links


def headings(text):
    """Name the headings of a page as links do: in small letters, spaces as hyphens, no other punctuation."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
