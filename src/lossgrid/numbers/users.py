"""Numbers of users: ``package.module:name``, or ``NAME=package.module:name``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lossgrid import user_code
from lossgrid.errors import InputError
from lossgrid.numbers.definition import Definition, Subject

NAME = re.compile(r"[A-Za-z]\w{0,63}", re.ASCII)
ROLE = "number"


def given(text: str) -> Definition:
    """Return the number that ``--number`` names.

    It is a definition, or a function ``f(surface, quantity)`` with the results of :attr:`Definition.take`. Without
    ``NAME=``, the number has the name of the function.

    Raises:
        InputError: There is none, or its name is not valid.
    """
    name, equals, reference = text.partition("=")
    if not equals:
        name, reference = text.rpartition(":")[2], text
    thing = user_code.load(reference, role=ROLE)
    if isinstance(thing, Definition):
        definition = _renamed(thing, _checked(name, reference)) if equals else thing
    else:
        name = _checked(name, reference)
        definition = Definition(name, name, lambda of: thing(of.surface, of.quantity))
    return replace(definition, take=_named(definition.take, reference))


def _checked(name: str, reference: str) -> str:
    if not NAME.fullmatch(name):
        raise InputError(f"--number: expected a name of letters, digits and _, got {name!r}; give NAME={reference}")
    return name


def _renamed(definition: Definition, name: str) -> Definition:
    if definition.per_level:
        return replace(definition, key=f"{name}_{{level}}", label=f"{name} {{where}}")
    return replace(definition, key=name, label=name)


def _named(take: Callable[[Subject], Any], reference: str) -> Callable[[Subject], Any]:
    """Return ``take``, with the user's function named in its errors."""
    return lambda of: user_code.call(take, of, name=reference, role=ROLE)
