"""The documentation site: `sphinx-build -W -c docs . build/site`.

Its source is the repository itself, so that links between pages, notebooks and files are the same here and on a forge.
"""

import os
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

import tmatch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_site"))

project = "tmatch"
author = "the tmatch developers"
copyright = author  # noqa: A001  (Sphinx asks for this name)
version = release = tmatch.__version__

root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "docs/reference/api/*.rst",
    "notebooks/*.ipynb",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "datasets/README.md",
    "datasets/*/SOURCE.md",
]
exclude_patterns = [".*", "build", "tests", "tmatch", "notebooks/figures"]
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_nb",
              "blocks", "commands", "contents", "formulas", "published"]  # fmt: skip

# Pages
smartquotes = False  # options begin with two hyphens
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True  # as notebooks have displayed formulas within a paragraph
highlight_language = "none"

# Notebooks are shown as they are stored; tests/refresh_notebooks.py executes them.
nb_execution_mode = "off"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"

# Python
autosummary_generate = True
default_role = "py:obj"
maximum_signature_line_length = 88
autodoc_typehints = "none"  # the docstrings tell types in words
autodoc_default_options = {"member-order": "bysource"}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
templates_path = [str(HERE / "_site" / "templates")]

# The look
html_theme = "pydata_sphinx_theme"
html_title = f"tmatch {version}"
html_static_path = ["_site/static"]
html_css_files = ["site.css"]
html_baseurl = os.environ.get("TMATCH_DOCS_URL", "")  # where the site lies, for the page of what is not found
html_extra_path = ["_site/root"]
html_additional_pages = {"404": "404.html"}
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_math_renderer = "mathml"
html_sidebars = {"**": ["all-pages"]}
html_theme_options = {
    "logo": {"text": html_title},
    "navbar_align": "left",
    "navbar_center": ["main-pages"],
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def is_alias(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:  # noqa: ARG001, FBT001
    """Leave out the fields of named tuples, which Python calls aliases: their class tells them."""
    return True if str(getattr(member, "__doc__", "")).startswith("Alias for field number") else None


def setup(app: Sphinx) -> None:
    """Remove the pages of public names: they are written anew, so that none is left over."""
    shutil.rmtree(Path(app.confdir) / "reference" / "api", ignore_errors=True)
    app.connect("autodoc-skip-member", is_alias)
