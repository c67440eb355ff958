"""Modules that the extras of this package install."""

import importlib
from types import ModuleType


def optional(module: str, extra: str, call: str) -> ModuleType:
    """Import a module, or name the extra of this package that `call` needs for it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{call} needs {module.partition('.')[0]}, which is not installed: "
            f"pip install 'workshop-vae[{extra}]'"
        ) from error
