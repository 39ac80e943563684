"""The design page names every wing and chapter of the package, and none that is not there."""

import pathlib
import re

import intervaltorch

PACKAGE = pathlib.Path(intervaltorch.__file__).parent
PAGE = pathlib.Path(__file__).parent.parent / "docs/explanation/design.md"


def folders(root):
    return {path.parent.name for path in root.glob("*/__init__.py")}


def test_the_design_page_names_the_wings():
    table = re.search(r"^## The wings$(.*?)^## ", PAGE.read_text(), re.MULTILINE | re.DOTALL).group(1)
    first = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = {name.rstrip("/") for cell in first for name in re.findall(r"`([^`]+)`", cell)}
    files = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    assert named == folders(PACKAGE) | files
    chapters = next(line for line in table.splitlines() if line.startswith("| `_ops/`"))
    assert set(re.findall(r"`(\w+)`", chapters)) == folders(PACKAGE / "_ops")
