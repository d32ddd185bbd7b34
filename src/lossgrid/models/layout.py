"""Where the weights are in a checkpoint: under which key, with which prefix, beside which other entries."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch

from lossgrid.errors import InputError, shown
from lossgrid.models.names import State, is_extra, listed, with_versions

log = logging.getLogger(__name__)

HOLDERS = ("state_dict", "model", "model_state_dict")  # the first of them in a file holds its weights
MORE_HOLDERS = ("net", "state_dict_ema", "model_ema", "ema")  # the same, unless there are tensors beside it
NESTED = 3  # levels at which weights are looked for, to name their keys in an error


@dataclass(frozen=True)
class Layout:
    """What the user says of the weights in a file.

    Attributes:
        key: The entry that holds the state dict; dots separate the keys of nested entries. None: it is found.
        prefix: Removed from the names that begin with it.
        ignore: Patterns, as of ``fnmatch``, of the names of entries that are left out: names as in the file; a pattern
            that no such name matches is compared with the names without prefixes.
    """

    key: str | None = None
    prefix: str | None = None
    ignore: Sequence[str] = ()


BY_RULE = Layout()  # the weights are found by rule


def plain(value: Any) -> dict[Any, Any] | None:
    """Return the entries of a dict of a file as an ordinary dict; None for anything else.

    A file can give an OrderedDict, and a tensor, attributes that hide its methods.
    """
    if isinstance(value, OrderedDict):
        return dict(OrderedDict.items(value))
    return dict(dict.items(value)) if isinstance(value, dict) else None


def is_state(value: Any) -> bool:
    """Return whether a value is a dict of tensors by name."""
    entries = plain(value) or {}
    return all(
        isinstance(name, str) and (isinstance(entry, torch.Tensor) or is_extra(name)) for name, entry in entries.items()
    ) and any(isinstance(entry, torch.Tensor) for entry in entries.values())


def find(content: Any, layout: Layout, path: Path) -> Any:
    """Return what should be the state dict in the content of a file: the entry ``layout.key``, or by a fixed rule.

    By rule it is the first entry of ``HOLDERS``, then of ``MORE_HOLDERS``, that is a dict; else the content itself.

    Raises:
        InputError: There is no such entry, or only entries of other names hold weights.
    """
    entries = plain(content)
    if layout.key is not None:
        return _at_key(content, layout.key, path)
    if entries is None:
        return content
    bare = any(isinstance(value, torch.Tensor) and torch.Tensor.dim(value) for value in entries.values())
    holders = [key for key in (HOLDERS if bare else HOLDERS + MORE_HOLDERS) if plain(entries.get(key)) is not None]
    others = [
        key
        for key, value in entries.items()
        if is_state(value) and key not in holders[:1] and not is_ignored(key, layout.ignore)
    ]
    named = ", ".join(shown(repr(key)) for key in others)
    if holders and others:
        log.warning(
            "checkpoint %s holds weights under %r, which are taken, and under %s; to use those, give --checkpoint-key "
            "%s",
            shown(path), holders[0], named, shown(others[0]),
        )  # fmt: skip
    elif holders:
        log.info("checkpoint %s holds weights under %r", shown(path), holders[0])
    elif others:
        raise InputError(
            f"checkpoint {shown(path)} holds weights under {named}; they are looked for at the top and under "
            f"{', '.join(HOLDERS + MORE_HOLDERS)}: give --checkpoint-key {shown(others[0])}, or save them alone, as in "
            f"torch.save(checkpoint[{shown(repr(others[0]))}], FILE)"
        )
    return entries[holders[0]] if holders else content


def other_keys(content: Any, layout: Layout) -> str:
    """Return the keys under which a file holds weights, as the end of an error; "" if there are none."""
    keys = [shown(key) for key in _keys(content, NESTED, set()) if key != layout.key]
    if not keys:
        return ""
    return f"; it holds weights under {listed(map(repr, keys))}: give --checkpoint-key {keys[0]}"


def _keys(content: Any, levels: int, seen: set[int]) -> Iterator[str]:
    """Yield the keys of state dicts in nested dicts; numbers are no keys here, as an optimizer's state has them."""
    if id(content) in seen:
        return
    seen.add(id(content))
    for key, value in (plain(content) or {}).items():
        if isinstance(key, str) and is_state(value):
            yield key
        elif isinstance(key, str) and levels > 1:
            yield from (f"{key}.{inner}" for inner in _keys(value, levels - 1, seen))


def _at_key(content: Any, key: str, path: Path) -> Any:
    found = list(_at(content, key))
    if not found:
        known = other_keys(content, Layout(key)) or "; expected the key of a state dict, with dots between nested keys"
        raise InputError(f"checkpoint {shown(path)} has no entry {shown(repr(key))}{known}")
    return found[0]


def _at(content: Any, key: str) -> Iterator[Any]:
    """Yield the entries at a key whose dots separate nested keys, or belong to a key; in lists numbers count."""
    entries = dict(enumerate(content)) if isinstance(content, (list, tuple)) else plain(content) or {}
    yield from _own(entries, key)
    for i, letter in enumerate(key):
        if letter == ".":
            for inner in _own(entries, key[:i]):
                yield from _at(inner, key[i + 1 :])


def _own(entries: Mapping[Any, Any], key: str) -> list[Any]:
    number = int(key) if key.isdecimal() and len(key) < 10 else None
    return [entries[one] for one in (key, number) if one is not None and one in entries]


def without_ignored(state: State, patterns: Sequence[str]) -> tuple[State, list[str], list[str]]:
    """Return the state without the entries whose names match a pattern, those names, and the patterns without any."""
    gone = dict.fromkeys(name for name in state if is_ignored(name, patterns))
    kept = OrderedDict((name, value) for name, value in state.items() if name not in gone)
    unused = [one for one in patterns if not any(is_ignored(name, [one]) for name in gone)]
    return with_versions(kept, getattr(state, "_metadata", None)), list(gone), unused


def is_ignored(name: Any, patterns: Sequence[str]) -> bool:
    """Return whether a name matches a pattern; case counts."""
    return isinstance(name, str) and any(fnmatchcase(name, pattern) for pattern in patterns)


def without_given_prefix(state: State, prefix: str, path: Path) -> State:
    """Return the state without a prefix that the user gave, with or without the dot at its end; other names stay.

    Raises:
        InputError: No name begins with it, or two entries would get one name.
    """
    dotted = f"{prefix.rstrip('.')}."
    if any(name.startswith(dotted) for name in state):
        prefix = dotted
    if not any(name.startswith(prefix) for name in state):
        tops = sorted({name.partition(".")[0] for name in state})
        raise InputError(
            f"checkpoint {shown(path)}: no name begins with {shown(repr(prefix))}, given as --checkpoint-prefix; they "
            f"begin with {listed(map(shown, tops))}"
        )
    bare: State = OrderedDict((name.removeprefix(prefix), value) for name, value in state.items())
    if len(bare) < len(state):
        twice = [name for name in state if name.startswith(prefix) and name.removeprefix(prefix) in state]
        raise InputError(
            f"checkpoint {shown(path)}: --checkpoint-prefix {shown(prefix)} gives two entries the name "
            f"{listed(shown(name.removeprefix(prefix)) for name in twice)}; leave one out with --checkpoint-ignore"
        )
    versions = getattr(state, "_metadata", None)
    if versions is not None:
        inside = {k: v for k, v in versions.items() if f"{k}.".startswith(prefix)}
        outside = {k: v for k, v in versions.items() if k not in inside}
        versions = outside | {f"{k}."[len(prefix) :].removesuffix("."): v for k, v in inside.items()}
    return with_versions(bare, versions)
