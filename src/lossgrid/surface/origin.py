"""The origin of a surface: the settings, network, directions and data, libraries and machines it was computed with.

A file stores it in two JSON attributes: ``config``, the settings, and ``provenance``, all other fields by name. Both
are hostile input. A missing field is None. An unknown field, or one of another type than expected, goes to ``more``:
it is written back unchanged, and nothing reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import partial
from typing import Any, TypeVar

Part = TypeVar("Part")


class Untold(Enum):
    """The value of a missing field, where None has a meaning."""

    UNTOLD = "untold"


def _read(kind: Callable[..., Part], stored: Mapping[str, Any], **given: Any) -> Part:
    """Return the part of an origin that a JSON object holds."""
    found = {
        one.name: one.metadata["read"](stored[one.name])
        for one in fields(kind)  # type: ignore[arg-type]
        if one.metadata and one.name in stored and one.metadata["fits"](stored[one.name])
    }
    return kind(**given, **found, more={name: value for name, value in stored.items() if name not in found})


def _write(part: Any) -> dict[str, Any]:
    """Return a part of an origin as a JSON object; a field at its default is left out."""
    own = {one.name: (one, getattr(part, one.name)) for one in fields(part) if one.metadata}
    stored = {name: one.metadata["write"](value) for name, (one, value) in own.items() if value is not one.default}
    return {**part.more, **stored}


def _json(
    fits: Callable[[Any], bool], read: Callable[[Any], Any] | None = None, write: Callable[[Any], Any] | None = None
) -> dict[str, Callable[[Any], Any]]:
    """Return the metadata of a field: which JSON values fit, how to read and write them; by default unchanged."""
    return {"fits": fits, "read": read or (lambda value: value), "write": write or (lambda value: value)}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(map(fits, value))


def _each(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and all(map(fits, value.values()))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_null(value: object) -> bool:
    return value is None or isinstance(value, str)


TEXT, TEXT_OR_NULL = _json(_is_text), _json(_is_text_or_null)
TEXTS, TEXT_BY_NAME, TEXT_OR_NULL_BY_NAME = (
    _json(_all(_is_text)),
    _json(_each(_is_text)),
    _json(_each(_is_text_or_null)),
)
COUNT, COUNTS = _json(_is_count), _json(_all(_is_count))
COUNT_OR_TEXT = _json(lambda value: _is_count(value) or _is_text(value))
FLAG = _json(lambda value: isinstance(value, bool))
OBJECT = _json(lambda value: isinstance(value, Mapping))


@dataclass(frozen=True)
class Digests:
    """SHA-256 digests, in hexadecimal digits, of the inputs of a surface.

    Attributes:
        theta: Of the network at theta*.
        delta: Of the direction along alpha.
        eta: Of the direction along beta; None for a line.
        data: Of the data of each split.
        more: Other entries of the file.
    """

    theta: str | None = field(default=None, metadata=TEXT)
    delta: str | None = field(default=None, metadata=TEXT)
    eta: str | Untold | None = field(default=Untold.UNTOLD, metadata=TEXT_OR_NULL)
    data: Mapping[str, str] | None = field(default=None, metadata=TEXT_BY_NAME)
    more: Mapping[str, Any] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class RecordedRecipe:
    """How points were evaluated, which decides their last bits; a text where another tool did not record it.

    Attributes:
        variant: How the network was run.
        batch_size: Samples per forward pass.
        cuda_graphs: Whether points were replayed as CUDA graphs.
        about: The choice and its reason, as text.
        more: Other entries of the file.
    """

    variant: str | None = field(default=None, metadata=TEXT)
    batch_size: int | str | None = field(default=None, metadata=COUNT_OR_TEXT)
    cuda_graphs: bool | None = field(default=None, metadata=FLAG)
    about: str | None = field(default=None, metadata=TEXT)
    more: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def told(self) -> dict[str, Any]:
        """Return the fields that are set, by name."""
        return {name: value for name, value in _write(self).items() if name not in self.more}


@dataclass(frozen=True)
class Moved:
    """The entries of the network that the axes move; all others stay at theta*.

    Attributes:
        entries: How many there are.
        numbers: How many real numbers they have; a complex number counts as two.
        names: Their names, of many only the first.
        more: Other entries of the file.
    """

    entries: int | None = field(default=None, metadata=COUNT)
    numbers: int | None = field(default=None, metadata=COUNT)
    names: Sequence[str] | None = field(default=None, metadata=TEXTS)
    more: Mapping[str, Any] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Parent:
    """A surface that is part of a merged one.

    Attributes:
        file: Its file.
        created: Time at which the file was created, ISO 8601.
        shape: ``[n_beta, n_alpha]``, or ``[n_alpha]`` of a line.
        command: The command that computed it.
        more: Other entries of the file.
    """

    file: str | None = field(default=None, metadata=TEXT)
    created: str | None = field(default=None, metadata=TEXT)
    shape: Sequence[int] | None = field(default=None, metadata=COUNTS)
    command: Sequence[str] | None = field(default=None, metadata=TEXTS)
    more: Mapping[str, Any] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class Imported:
    """The file of another tool that a surface was read from.

    Attributes:
        tool: Its name.
        file: The file.
        sha256: Of the file, in hexadecimal digits.
        dir_file: The direction file, as named there.
        more: Other entries of the file.
    """

    tool: str | None = field(default=None, metadata=TEXT)
    file: str | None = field(default=None, metadata=TEXT)
    sha256: str | None = field(default=None, metadata=TEXT)
    dir_file: str | None = field(default=None, metadata=TEXT)
    more: Mapping[str, Any] = field(default_factory=dict, kw_only=True)


def _is_filled(value: object) -> bool:
    return isinstance(value, Mapping) and bool(value)  # an empty one stays in ``more`` and counts as missing


DIGESTS = _json(_is_filled, partial(_read, Digests), _write)
RECIPE = _json(_is_filled, partial(_read, RecordedRecipe), _write)
MOVED = _json(OBJECT["fits"], partial(_read, Moved), _write)
IMPORTED = _json(OBJECT["fits"], partial(_read, Imported), _write)
PARENTS = _json(
    _all(OBJECT["fits"]),
    lambda found: tuple(_read(Parent, entry) for entry in found),
    lambda parents: [_write(parent) for parent in parents],
)


@dataclass(frozen=True)
class Origin:
    """The inputs, settings, libraries and machines of a surface.

    Attributes:
        settings: The settings of the run as JSON types, by name.
        digests: What identifies network, directions and data.
        recipe: How points were evaluated.
        device_type: ``cpu`` or ``cuda``.
        threads: CPU threads of each rank; a text where another tool did not record it.
        command: The command line, or that of the Python program.
        writer: ``parallel`` or ``root``.
        by_batch: Whether the outputs of a sample depend on its batch.
        weights: The source of theta*: ``checkpoint``, ``given`` from Python, ``random``, ``factory``.
        sources: Digests of the source of users' functions, by role; None where there is no source.
        arithmetic: The switches of torch that decide how it rounds.
        processors: The kinds of CPU.
        ranks: Number of ranks.
        machines: Node, device and threads, to the ranks there.
        versions: Of the libraries.
        moved: The entries that the axes move; None where it is not told.
        merged: The surfaces it was merged from; None where it was not.
        imported: The file of another tool it was read from; None where it was not.
        differs: A fault found in its values, as text.
        more: Other entries of the file.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    digests: Digests = field(default=Digests(), metadata=DIGESTS)
    recipe: RecordedRecipe = field(default=RecordedRecipe(), metadata=RECIPE)
    device_type: str | None = field(default=None, metadata=TEXT)
    threads: int | str | None = field(default=None, metadata=COUNT_OR_TEXT)
    command: Sequence[str] | None = field(default=None, metadata=TEXTS)
    writer: str | None = field(default=None, metadata=TEXT)
    by_batch: bool | None = field(default=None, metadata=FLAG)
    weights: str | None = field(default=None, metadata=TEXT)
    sources: Mapping[str, str | None] | None = field(default=None, metadata=TEXT_OR_NULL_BY_NAME)
    arithmetic: Mapping[str, Any] | None = field(default=None, metadata=OBJECT)
    processors: Sequence[str] | None = field(default=None, metadata=TEXTS)
    ranks: int | None = field(default=None, metadata=COUNT)
    machines: Mapping[str, str] | None = field(default=None, metadata=TEXT_BY_NAME)
    versions: Mapping[str, str] | None = field(default=None, metadata=TEXT_BY_NAME)
    moved: Moved | None = field(default=None, metadata=MOVED)
    merged: Sequence[Parent] | None = field(default=None, metadata=PARENTS)
    imported: Imported | None = field(default=None, metadata=IMPORTED)
    differs: str | None = field(default=None, metadata=TEXT)
    more: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    @classmethod
    def from_json(cls, config: Mapping[str, Any], provenance: Mapping[str, Any]) -> Origin:
        """Return the origin in the attributes ``config`` and ``provenance`` of a file, whatever they hold."""
        return _read(cls, provenance, settings=config)

    def as_json(self) -> dict[str, Any]:
        """Return the attribute ``provenance``; ``settings`` is the attribute ``config``."""
        return _write(self)

    def setting(self, name: str) -> str | None:
        """Return a setting that is a text; None where there is none."""
        value = self.settings.get(name)
        return value if isinstance(value, str) else None

    @property
    def splits(self) -> tuple[str, ...] | None:
        """The splits that were evaluated; None where the settings have none."""
        value = self.settings.get("splits")
        return tuple(value) if value is not None and TEXTS["fits"](value) else None

    def untold(self) -> list[str]:
        """Return the missing fields that identify the surface, such as ``digests.theta``."""
        missing = _absent(self, "digests", "device_type", "recipe", "threads", "command")
        missing += [f"digests.{name}" for name in _absent(self.digests, "theta", "delta", "eta", "data")]
        missing += [f"recipe.{name}" for name in _absent(self.recipe, "variant", "batch_size", "cuda_graphs")]
        missing += ["config.splits"] if self.splits is None else []
        return missing + (["config.precision"] if self.setting("precision") is None else [])


def _absent(part: Any, *names: str) -> list[str]:
    defaults = {one.name: one.default for one in fields(part)}
    return [name for name in names if getattr(part, name) is defaults[name]]
