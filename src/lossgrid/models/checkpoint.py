"""Checkpoints: files of weights, read as data, never as code; wrappers around the weights are removed."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from lossgrid.errors import InputError, shown
from lossgrid.files import read_file
from lossgrid.models.archive import StandIn, read_archive
from lossgrid.models.layout import (
    BY_RULE,
    Layout,
    find,
    is_state,
    other_keys,
    plain,
    without_given_prefix,
    without_ignored,
)
from lossgrid.models.names import State, is_extra, listed, with_versions, without_prefixes
from lossgrid.models.shards import index_in, read_shards

log = logging.getLogger(__name__)

EXPECTED = "expected a state dict saved with torch.save, or safetensors"


def read_checkpoint(path: Path, layout: Layout = BY_RULE) -> State:
    """Return the tensors of a checkpoint by name, on the CPU, without the prefixes of wrappers.

    The file is ``torch.save`` of a state dict, or of a dict that holds one; or safetensors; or the JSON index of
    shards, or its folder. It is read as data: code in a pickle is never run (``weights_only=True``).

    Args:
        path: The file or folder.
        layout: Where the weights are in it; by default :func:`lossgrid.models.layout.find` tells.

    Raises:
        InputError: The file does not exist, is damaged, or is not a checkpoint, or has another layout.
    """
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises an error for impossible names
        path = index_in(path)
    head = _head(path)
    content = read_shards(path, _read_shard) if _is_text(head) else _read_one(path, head)
    found = find(content, layout, path)
    entries = plain(found)
    if not entries:
        raise InputError(
            f"checkpoint {shown(path)} holds {_kind(found)}{_where(layout)}; {EXPECTED}{other_keys(content, layout)}"
        )
    left, ignored, unused = without_ignored(with_versions(OrderedDict(entries), _versions(found)), layout.ignore)
    for name, value in left.items():
        if not isinstance(name, str) or not (isinstance(value, torch.Tensor) or is_extra(name)):
            raise InputError(
                f"checkpoint {shown(path)} holds {_kind(value)} under {str(name)[:60]!r}{_where(layout)}; "
                f"{EXPECTED}{_of_quantised(name) or other_keys(content, layout)}"
            )
    state = _detached(left)
    if not _is_text(head):
        _refuse_unfilled(state, path)
    if layout.prefix and state:
        state = without_given_prefix(state, layout.prefix, path)
    return _bare(state, ignored, unused, path)


def _bare(state: State, ignored: list[str], patterns: list[str], path: Path) -> State:
    """Return the state without the prefixes of wrappers, and without entries whose names match a pattern then."""
    bare = without_prefixes(state)
    if (first := next(iter(state), "")) != (rest := next(iter(bare), "")):
        log.info("checkpoint %s: removed the prefix %r of all names", shown(path), first.removesuffix(rest))
    bare, more, unused = without_ignored(bare, patterns)
    if not bare:
        raise InputError(f"checkpoint {shown(path)} has no entries but those that --checkpoint-ignore leaves out")
    if ignored or more:
        log.info("checkpoint %s: left out %s", shown(path), listed(map(shown, ignored + more)))
    if unused:
        without = ", ".join(map(shown, unused))
        log.warning("checkpoint %s has no entry that --checkpoint-ignore %s leaves out", shown(path), without)
    return bare


def _head(path: Path) -> bytes:
    return read_file(path, most=9, what="checkpoint", expected=EXPECTED)


def _is_text(head: bytes) -> bool:
    """Return whether the first 9 bytes are those of JSON text; those of safetensors contain zeros."""
    return head.lstrip()[:1] == b"{" and b"\0" not in head


def _read_one(path: Path, head: bytes) -> Any:
    if _is_safetensors(head):
        return _read_safetensors(path)
    return read_archive(path, what="checkpoint", expected=EXPECTED)


def _read_shard(path: Path) -> Mapping[str, Any]:
    """Return the entries of one of several files."""
    content = _read_one(path, _head(path))
    if not is_state(content):
        raise InputError(f"checkpoint {shown(path)} is no shard, as it holds {_kind(content)}; {EXPECTED}")
    state = _detached(plain(content) or {})
    _refuse_unfilled(state, path)
    return state


def _refuse_unfilled(state: State, path: Path) -> None:
    """Refuse a file in the oldest format that names tensors without numbers: torch returns uninitialised memory."""
    if _bytes_of(state) > path.stat().st_size:
        raise InputError(f"checkpoint {shown(path)} is damaged: it holds fewer numbers than it names; {EXPECTED}")


def _bytes_of(state: State) -> int:
    """Return the bytes of the storages of all tensors; shared storages count once."""
    ordinary = [
        t for t in state.values() if isinstance(t, torch.Tensor) and t.layout == torch.strided and not t.is_meta
    ]
    storages = {storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in ordinary)}
    return sum(storages.values())


def _is_safetensors(head: bytes) -> bool:
    """Return whether the first 9 bytes are those of safetensors: the length of a header, then a JSON object."""
    return head[8:] == b"{"


def _read_safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path, device="cpu")
    except Exception as error:  # a damaged file can raise anything
        raise InputError(
            f"checkpoint {shown(path)} is damaged or no checkpoint ({type(error).__name__}); {EXPECTED}"
        ) from None


def _versions(state: Any) -> dict[str, Any] | None:
    """Return the version of each module, which torch stores in ``_metadata`` for loading hooks; None if damaged."""
    versions = {name: plain(version) for name, version in (plain(getattr(state, "_metadata", None)) or {}).items()}
    is_sound = all(isinstance(name, str) and version is not None for name, version in versions.items())
    return versions if versions and is_sound else None


def _detached(state: Mapping[str, Any]) -> State:
    """Return a copy with detached tensors; a file can give a tensor attributes that hide its methods."""
    copy: State = OrderedDict(
        (name, torch.Tensor.detach(value) if isinstance(value, torch.Tensor) else value)
        for name, value in state.items()
    )
    return with_versions(copy, getattr(state, "_metadata", None))


def _of_quantised(name: Any) -> str:
    """Return the remedy for the checkpoint of a quantised network, whose layers keep packed weights; else ""."""
    is_packed = isinstance(name, str) and "_packed_params" in name
    return "; it is of a quantised network: give the checkpoint of the network it was made of" if is_packed else ""


def _where(layout: Layout) -> str:
    return "" if layout.key is None else f" (--checkpoint-key {shown(layout.key)})"


def _kind(value: Any) -> str:
    if isinstance(value, StandIn):
        return value.kind
    return "an empty dict" if plain(value) == {} else f"a {type(value).__name__}"
