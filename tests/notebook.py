"""A notebook that is none: what IPython's ``display`` is given is kept, so that a test can look at it."""

from __future__ import annotations

import io
import sys
import types
from typing import Any

import pytest


class Cell:
    """Stands for IPython's function ``display``, and for the handles that it returns.

    Attributes:
        shown: What was displayed below the cell, each a list of its versions.
    """

    def __init__(self) -> None:
        self.shown: list[list[Any]] = []

    def __call__(self, thing: Any, *, display_id: bool, raw: bool = False) -> Handle:
        assert display_id
        assert raw == isinstance(thing, dict)
        self.shown.append([thing])
        return Handle(self.shown[-1])

    @property
    def bar(self) -> list[dict[str, str]]:
        """The versions of the bar, by MIME type."""
        return next(versions for versions in self.shown if isinstance(versions[0], dict))

    @property
    def figures(self) -> list[Any]:
        """The versions of the figure; empty without one."""
        return next((versions for versions in self.shown if not isinstance(versions[0], dict)), [])


class Handle:
    """Changes what was displayed."""

    def __init__(self, versions: list[Any]) -> None:
        self._versions = versions

    def update(self, thing: Any, *, raw: bool = False) -> None:
        assert raw == isinstance(thing, dict)
        self._versions.append(thing)


def pretend(patch: pytest.MonkeyPatch, *, kernel: bool = True) -> Cell:
    """Make lossgrid believe that it runs in a cell; without a ``kernel`` in IPython on a terminal."""
    cell, ipython, module = Cell(), types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(**({"kernel": None} if kernel else {}))  # type: ignore[attr-defined]
    ipython.version_info = (9, 0)  # type: ignore[attr-defined]  # pyplot looks at it
    module.display = cell  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "IPython", ipython)
    patch.setitem(sys.modules, "IPython.display", module)
    patch.setattr("builtins.__IPYTHON__", True, raising=False)
    patch.setattr(sys, "stderr", io.StringIO())
    return cell
