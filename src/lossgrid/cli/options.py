"""Options of verbs: derived from the fields of settings; conversion of command-line texts to settings."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lossgrid.errors import InputError
from lossgrid.files import fault_of_name
from lossgrid.settings import read_toml, read_value, resolve
from lossgrid.settings.option import GROUPS, about, default_of, is_flag, metavar, option_of
from lossgrid.settings.types import Repeated

Settings = TypeVar("Settings", bound=BaseModel)
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")]
CONFIG = inspect.Parameter(
    "config",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with these options as keys.", show_default=False)
    ],
)


def takes(kind: type[Settings]) -> Callable[[Callable[[Settings], int]], Callable[..., int]]:
    """Return a decorator that makes a verb of a function of settings: the fields of ``kind`` become its options."""

    def decorate(verb: Callable[[Settings], int]) -> Callable[..., int]:
        flags = [name for name, field in kind.model_fields.items() if is_flag(field)]

        def command(*, config: Path | None = None, **given: Any) -> int:
            for name in flags:
                if given.pop(f"no_{name}"):
                    given[name] = False
            return verb(settings_of(kind, given, config))

        ordered = sorted(kind.model_fields.items(), key=lambda item: GROUPS.index(about(item[1]).group))
        parameters = [*(_parameter(name, field) for name, field in ordered), *map(_off, flags), CONFIG]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        command.__name__, command.__doc__ = verb.__name__, verb.__doc__
        return command

    return decorate


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """Return the option of a setting; most are read as text, which the model validates."""
    declared = typer.Option(
        option_of(name),
        metavar=None if is_flag(field) else metavar(field),
        help=_help(field),
        show_default=False,
        rich_help_panel=about(field).group,
    )
    read_as = list[str] if Repeated in field.metadata else _read_as(field.annotation)
    kind = Annotated[read_as | None, declared]  # type: ignore[valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def _off(flag: str) -> inspect.Parameter:
    """Return the hidden option that switches off a flag that the file of settings switched on."""
    declared = typer.Option(option_of(f"no_{flag}"), hidden=True)
    kind = Annotated[bool, declared]
    return inspect.Parameter(f"no_{flag}", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)


def _help(field: FieldInfo) -> str:
    text, default = field.description or "", default_of(field)
    return f"{text.removesuffix('.')} (default {default})." if default else text


def _read_as(annotation: Any) -> Any:
    """Return the type of an option: flags, numbers, paths and lists keep theirs, all others are text."""
    origin, parts = get_origin(annotation), [part for part in get_args(annotation) if part is not types.NoneType]
    if origin is Annotated:
        return _read_as(parts[0])
    if origin in (Union, types.UnionType):
        return _read_as(parts[0]) if len(parts) == 1 else str
    if origin is dict:
        return list[str]
    if origin is tuple and _read_as(parts[0]) is Path:
        return list[Path]
    return annotation if annotation in (bool, int, float, Path) else str


def named(given: Any) -> Any:
    """Refuse invalid file names."""
    return _checked(given, written=False)


def written(given: Any) -> Any:
    """Refuse file names that cannot be written."""
    return _checked(given, written=True)


def _checked(given: Any, *, written: bool) -> Any:
    for path in given if isinstance(given, (list, tuple)) else [given]:
        if path is not None and (fault := fault_of_name(path, written=written)):
            raise InputError(f"--out: {fault}" if written else fault)
    return given


def settings_of(kind: Any, given: dict[str, Any], file: Path | None) -> Any:
    """Return the settings of the file and the command line; the command line wins."""
    given = {name: value for name, value in given.items() if value is not None and value != []}
    try:
        for name in ("model_arg", "data_arg", "loss_arg"):
            if name in given:
                given[name] = dict(_pair(text, option_of(name)) for text in given[name])
        return resolve(kind, read_toml(file) if file is not None else {}, given)
    except InputError as error:
        error.agreed = file is None  # all ranks have the same command line; the file may differ between nodes
        raise


def choose(option: str, given: str | None, choices: Iterable[str]) -> None:
    """Refuse a value that is not one of the choices."""
    if given is not None and given not in choices:
        raise InputError(f"{option}: expected one of {', '.join(choices)}, got {given!r}")


def _pair(text: str, option: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"{option}: expected K=V such as width=16, got {text!r}")
    return key, read_value(value)
