"""Optional packages: imported when a setting needs them, and never required."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from lossgrid.errors import InputError, in_short, shown

# Packages of models read these when they are first imported: then no request leaves this computer.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def load_package(name: str, *, needed_by: str, extra: str) -> ModuleType:
    """Return an optional package.

    Args:
        name: The name by which it is imported and installed.
        needed_by: The setting that needs it, for errors: ``"--model timm"``.
        extra: The extra of lossgrid that installs it.

    Raises:
        InputError: It is not installed, cannot be imported, or is hidden by a file of the working folder.
    """
    os.environ.update(OFFLINE)
    if (file := in_working_folder(name)) is not None and _is_found_as(name, file):
        raise InputError(f"{needed_by}: {shown(file)} hides the package {name}; rename it, or start elsewhere")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise InputError(
                f"{needed_by} needs {name}, which is not installed: pip install 'lossgrid[{extra}]' or pip install "
                f"{name}"
            ) from None
        fault: Exception = error
    except Exception as error:  # a package built for another version of torch can raise anything
        fault = error
    raise InputError(
        f"{needed_by}: {name} is installed, but importing it raised {type(fault).__name__}: {shown(in_short(fault))}; "
        f"install it for this version of torch, from the same index as torch"
    ) from fault


def in_working_folder(name: str) -> Path | None:
    """Return the module or package of this name in the working folder; None if there is none."""
    places = (Path.cwd() / f"{name}.py", Path.cwd() / name / "__init__.py")
    return next((place for place in places if place.is_file()), None)


def _is_found_as(name: str, file: Path) -> bool:
    """Return whether an import of ``name`` would execute ``file``."""
    try:
        found = find_spec(name)
    except (ImportError, ValueError):  # an entry None in sys.modules
        return False
    return found is not None and found.origin is not None and Path(found.origin).resolve() == file.resolve()
