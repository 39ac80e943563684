"""Every file of the package can be imported first: no rule needs another to have been entered before."""

import importlib
import multiprocessing
import pathlib
import sys

import pytest

import intervaltorch

ROOT = pathlib.Path(intervaltorch.__file__).parent
MODULES = sorted(
    ".".join(("intervaltorch", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py"
)


def import_first(module, answers):
    """Import one module into a process that has torch and nothing of the library."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "intervaltorch"]:
        del sys.modules[name]
    package = type(sys)("intervaltorch")
    package.__path__ = [str(ROOT)]
    sys.modules["intervaltorch"] = package
    try:
        importlib.import_module(module)
    except Exception as error:
        answers.put(f"{type(error).__name__}: {error}")
    else:
        answers.put("")


@pytest.mark.parametrize("module", MODULES)
def test_each_file_can_be_imported_first(module):
    """In a forked process: torch is loaded already, and the package's own `__init__` is left out."""
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=import_first, args=(module, answers))
    process.start()
    answer = answers.get()
    process.join()
    assert not answer
