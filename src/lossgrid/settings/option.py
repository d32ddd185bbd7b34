"""Settings: default and limits, and their texts on the command line and in the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

# Whether a run that resumes a surface may have another value.
Role = Literal[
    "values",  # no: it decides the values of the surface
    "directions",  # no, if directions are random: it decides them
    "contents",  # yes: a digest compares the contents it names
    "recipe",  # no: the choice in the surface file is used
    "where",  # yes: it decides only where and how fast a run is
]


# The headings of the help, in their order.
NETWORK, DATA, GRID, DIRECTIONS = "Network", "Data and loss", "Grid", "Directions"
LEARNING, EVALUATION, OUTPUT, RUNNING = "Learning", "How points are evaluated", "Output", "Where and how fast"
GROUPS = (NETWORK, DATA, GRID, DIRECTIONS, LEARNING, EVALUATION, OUTPUT, RUNNING)


@dataclass(frozen=True)
class About:
    """The texts and the role of a setting.

    Attributes:
        metavar: The placeholder of its value in the help, such as ``FILE``.
        role: Whether a run that resumes may change it.
        group: Its heading in the help.
        default: The default as text, if not the value itself.
    """

    metavar: str
    role: Role
    group: str
    default: str | None


def option(
    default: Any = ...,
    *,
    help: str,
    metavar: str = "",
    role: Role = "values",
    group: str = "",
    default_in_words: str | None = None,
    **limits: Any,
) -> Any:
    """Return the field of a setting.

    Args:
        default: Its default; required without one.
        help: Its purpose, in one sentence.
        metavar: The placeholder of its value in the help; empty for a flag, and for choices, which are listed.
        role: Whether a run that resumes a surface may change it.
        group: Its heading in the help.
        default_in_words: The default as text; by default the value itself.
        limits: Arguments of pydantic's ``Field``, such as ``ge``.
    """
    about = About(metavar, role, group, default_in_words)
    return Field(default, description=help, json_schema_extra={"about": about}, **limits)  # type: ignore[dict-item]


def about(field: FieldInfo) -> About:
    """Return the texts and the role of a setting."""
    extra: Any = field.json_schema_extra
    found = extra["about"]
    assert isinstance(found, About)
    return found


def names_of(kind: type[BaseModel], *roles: Role) -> frozenset[str]:
    """Return the names of the settings with one of these roles."""
    return frozenset(name for name, field in kind.model_fields.items() if about(field).role in roles)


def metavar(field: FieldInfo) -> str:
    """Return the placeholder of a setting in the help: its metavar, or its choices."""
    return about(field).metavar or "|".join(map(str, _choices(field.annotation)))


def default_of(field: FieldInfo) -> str:
    """Return the default as command-line text; empty for none, and for a flag that is off."""
    in_words = about(field).default
    if in_words is not None:
        return in_words
    value = field.default
    if value is PydanticUndefined or value is None or value is False or value == ():
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def is_flag(field: FieldInfo) -> bool:
    """Return whether a setting is a flag."""
    return field.annotation is bool


def option_of(name: str) -> str:
    """Return the option of a setting: ``--batch-size`` of ``batch_size``."""
    return f"--{name.replace('_', '-')}"


def _choices(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    for part in get_args(annotation):
        if found := _choices(part):
            return found
    return ()
