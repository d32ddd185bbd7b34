"""The examples in docstrings are right, in all modules."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import lossgrid

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(lossgrid.__path__, "lossgrid.")
    if module.name != "lossgrid.__main__"
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
