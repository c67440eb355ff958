"""Modules that the extras of this package install."""

import importlib
from types import ModuleType


def optional(module: str, extra: str, call: str) -> ModuleType:
    """Import a module that an extra of this package installs.

    Args:
        module: the name of the module.
        extra: the name of the extra.
        call: what needs it, for the error.

    Raises:
        ImportError: if it is not installed; it names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{call} needs {module.partition('.')[0]}, which is not installed: "
            f"pip install 'workshop-vae[{extra}]'"
        ) from error
