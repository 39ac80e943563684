"""Sphinx configuration. Nothing here needs the network, and every example in the documentation is run."""

import doctest
import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.ext.doctest import DoctestDirective, TestcodeDirective

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]  # the table of operations; the examples

project = "intervaltorch"
author = "The intervaltorch authors"
project_copyright = author
version = release = installed_version("intervaltorch")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "op_table",
    "coverage_table",
    "module_table",
]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = project
html_static_path = ["_static"]

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Inventories written by hand (plain text), so that links to other projects resolve without asking them.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "inventories/python.inv"),
    "numpy": ("https://numpy.org/doc/stable", "inventories/numpy.inv"),
    "torch": ("https://docs.pytorch.org/docs/stable", "inventories/torch.inv"),
}

# Messages of errors are compared too; by default only their kind is.
doctest_default_flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.DONT_ACCEPT_TRUE_FOR_1
# Examples in docstrings run with the names that their page sets up for this group; pages import their own.
doctest_test_doctest_blocks = "docstrings"

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_fence_as_directive = ["python"]


class PythonDirective(TestcodeDirective):
    """A ```python block of a page: a session where it has prompts, else a program; always run."""

    def run(self):
        """Hand a session to doctest's own directive; keep a program as it is."""
        if self.content and self.content[0].startswith(">>>"):
            self.name = "doctest"
            return DoctestDirective.run(self)
        self.name = "testcode"
        return super().run()


def keep_colons(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Show a colon in a property's summary or under Returns as a dash.

    Napoleon would take what precedes it for a type; types come from annotations here.
    """
    places = [0] if what == "property" else []
    places += [i + 1 for i, line in enumerate(lines[:-1]) if line.strip() == "Returns:"]
    for i in places:
        lines[i] = re.sub(r"^((?:[^`:]|`[^`]*`)*): ", r"\1 – ", lines[i])


def setup(app: Sphinx) -> None:
    """Make ```python fences executable; they still read as plain Markdown elsewhere."""
    app.add_directive("python", PythonDirective)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
