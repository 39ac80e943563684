"""Every file of the package can be imported first: no rule needs another to have been entered before."""

import ast
import functools
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


@functools.lru_cache
def defined(module):
    """What a file itself defines, and the submodules of a package."""
    path = ROOT.joinpath(*module.split(".")[1:])
    names = {file.stem for file in path.glob("*") if file.suffix in ("", ".py")} if path.is_dir() else set()
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    blocks = [ast.parse(path.read_text())]
    while blocks:
        block = blocks.pop()
        names |= {block.name} if isinstance(block, ast.FunctionDef | ast.ClassDef) else set()
        names |= {block.id} if isinstance(block, ast.Name) and isinstance(block.ctx, ast.Store) else set()
        if not isinstance(block, ast.FunctionDef | ast.ClassDef):
            blocks += ast.iter_child_nodes(block)
    return names


@pytest.mark.parametrize("module", MODULES)
def test_helpers_are_imported_from_their_home(module):
    """From the file that defines them, or from a wing's `__init__`, which lists them: not through a third file."""
    tree = ast.parse(ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            home = ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
            if home in THROUGH or ROOT.joinpath(*home.split(".")[1:]).is_dir():
                continue
            missing = {alias.name for alias in node.names} - defined(home)
            assert not missing, f"{module} imports {missing} from {home}, which does not define them"


THROUGH = {"intervaltorch._compat"}  # the door to private parts of torch
