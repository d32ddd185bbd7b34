"""Checkpoints: files of weights, read as data, never as code; wrappers around the weights are removed."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from lossgrid.errors import InputError
from lossgrid.files import read_file, shown
from lossgrid.models.archive import NumPyData, read_archive
from lossgrid.models.state import State, is_extra, without_prefixes

log = logging.getLogger(__name__)

WRAPPERS = ("state_dict", "model", "model_state_dict")
EXPECTED = "expected a state dict saved with torch.save, or safetensors"


def read_checkpoint(path: Path) -> State:
    """Return the tensors of a checkpoint by name, on the CPU, without the prefixes of wrappers.

    The file is ``torch.save`` of a state dict, or of a dict that holds one under ``state_dict``, ``model`` or
    ``model_state_dict``; or safetensors. It is read as data: code in a pickle is never run (``weights_only=True``).

    Raises:
        InputError: The file does not exist, is damaged, or is not a checkpoint.
    """
    head = read_file(path, most=9, what="checkpoint", expected=EXPECTED)
    if head.lstrip()[:1] == b"{":
        raise InputError(
            f"checkpoint {shown(path)} is text; {EXPECTED} (of an index of shards load the shards, join them into one "
            "dict and save that)"
        )
    if _is_safetensors(head):
        content = _read_safetensors(path)
    else:
        content = read_archive(path, what="checkpoint", expected=EXPECTED)
    state = _detached(_unwrapped(content, path))
    # In the oldest format a file may name tensors without numbers: torch returns them as uninitialised memory.
    if _bytes_of(state) > path.stat().st_size:
        raise InputError(f"checkpoint {shown(path)} is damaged: it holds fewer numbers than it names; {EXPECTED}")
    return without_prefixes(state)


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


def _unwrapped(content: Any, path: Path) -> Mapping[str, Any]:
    if isinstance(content, Mapping):
        others = [shown(repr(key)) for key, value in content.items() if _is_state(value) and key not in WRAPPERS]
        for key in WRAPPERS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                if others:
                    log.warning(
                        "checkpoint %s holds weights under %r, which are taken, and under %s; to use those, save them "
                        "alone",
                        shown(path), key, ", ".join(others),
                    )  # fmt: skip
                break
        else:
            if others:
                raise InputError(
                    f"checkpoint {shown(path)} holds weights under {', '.join(others)}; they are looked for at the top "
                    f"and under {', '.join(WRAPPERS)}: save them alone, as in torch.save(checkpoint[{others[0]}], FILE)"
                )
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"checkpoint {shown(path)} holds {_kind(content)}; {EXPECTED}")
    for name, value in content.items():
        if not isinstance(name, str) or not (isinstance(value, torch.Tensor) or is_extra(name)):
            raise InputError(f"checkpoint {shown(path)} holds {_kind(value)} under {str(name)[:60]!r}; {EXPECTED}")
    return content


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in value.items())
    )


def _detached(state: Mapping[str, Any]) -> State:
    """Return a detached copy with the version of each module, which torch stores in ``_metadata`` for loading hooks."""
    copy: State = OrderedDict(
        (name, value.detach() if isinstance(value, torch.Tensor) else value) for name, value in state.items()
    )
    versions = getattr(state, "_metadata", None)
    if isinstance(versions, dict) and all(isinstance(k, str) and isinstance(v, dict) for k, v in versions.items()):
        copy._metadata = versions  # type: ignore[attr-defined]
    return copy


def _kind(value: Any) -> str:
    if isinstance(value, NumPyData):
        return "numbers of NumPy"
    return "an empty dict" if value == {} else f"a {type(value).__name__}"
