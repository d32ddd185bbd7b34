"""A setting: its default and limits, and what the command line and the documentation tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

# Whether a run that goes on with a surface may have another value.
Role = Literal[
    "values",  # no: it decides the values of the surface
    "directions",  # no, where it decides them: it makes random directions
    "contents",  # it may: what is behind it is compared by a digest
    "recipe",  # it is kept as it was chosen for the surface
    "where",  # it may: it says where and how fast a run happens
]


# The headings of the help, in their order.
NETWORK, DATA, GRID, DIRECTIONS = "Network", "Data and loss", "Grid", "Directions"
LEARNING, EVALUATION, OUTPUT, RUNNING = "Learning", "How points are evaluated", "Output", "Where and how fast"
GROUPS = (NETWORK, DATA, GRID, DIRECTIONS, LEARNING, EVALUATION, OUTPUT, RUNNING)


@dataclass(frozen=True)
class About:
    """What is told of a setting.

    Attributes:
        metavar: What stands for its value in the help, such as ``FILE``.
        role: Whether a run that goes on may change it.
        group: The heading under which the help lists it.
        default: The default in words, where it is not the value itself.
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
        default: Its value where the user gives none; required without one.
        help: What it is for, in one sentence.
        metavar: What stands for its value in the help; empty for a flag, and for choices, which list themselves.
        role: Whether a run that goes on with a surface may change it.
        group: The heading under which the help lists it.
        default_in_words: The default as the help tells it; by default the value itself.
        limits: What pydantic's ``Field`` takes, such as ``ge``.
    """
    about = About(metavar, role, group, default_in_words)
    return Field(default, description=help, json_schema_extra={"about": about}, **limits)  # type: ignore[dict-item]


def about(field: FieldInfo) -> About:
    """Return what is told of a setting."""
    extra: Any = field.json_schema_extra
    found = extra["about"]
    assert isinstance(found, About)
    return found


def names_of(kind: type[BaseModel], *roles: Role) -> frozenset[str]:
    """Return the settings that have one of these roles."""
    return frozenset(name for name, field in kind.model_fields.items() if about(field).role in roles)


def metavar(field: FieldInfo) -> str:
    """Return what stands for the value of a setting in the help: its choices, where it has some."""
    return about(field).metavar or "|".join(map(str, _choices(field.annotation)))


def default_of(field: FieldInfo) -> str:
    """Return the default as the command line takes it; empty where there is none, and for a flag that is off."""
    in_words = about(field).default
    if in_words is not None:
        return in_words
    value = field.default
    if value is PydanticUndefined or value is None or value is False or value == ():
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def is_flag(field: FieldInfo) -> bool:
    """Tell whether a setting is on or off."""
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
