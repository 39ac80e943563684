"""A stand-in for torchvision, which timm imports for its data pipeline alone.

A build of torchvision fits one build of torch, and none may be at hand for the one in use. Models need nothing of it,
so whatever timm imports from it is an empty class here.
"""

import importlib.machinery
import importlib.util
import sys
import types


class _Anything(type):
    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class _Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


def install() -> None:
    """Put the stand-in into `sys.modules`, unless torchvision itself is installed."""
    if importlib.util.find_spec("torchvision") is not None:
        return
    for name in ("", ".transforms", ".transforms.functional", ".datasets", ".ops", ".ops.misc", ".utils"):
        module = _Module("torchvision" + name)
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None, is_package=True)
        module.__path__ = []
        sys.modules[module.__name__] = module
    for name, module in list(sys.modules.items()):
        if name.startswith("torchvision."):
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)
