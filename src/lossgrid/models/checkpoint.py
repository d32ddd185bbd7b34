"""Checkpoints: reading them without trusting them, and putting them into a network."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from lossgrid.errors import InputError

WRAPPERS = ("state_dict", "model", "model_state_dict")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
REFUSED = re.compile(r"GLOBAL ([\w.]+)|TorchScript")  # in what torch says of a file it would have to run
NAMED = 4  # entries of each kind an error lists
EXPECTED = "expected a state dict saved with torch.save, or safetensors"

State = dict[str, torch.Tensor]


def read_checkpoint(path: Path) -> State:
    """Return the tensors of a checkpoint by name, on the CPU, without the prefixes wrappers leave.

    The file is ``torch.save`` of a state dict, or of a dict that holds one under ``state_dict``, ``model`` or
    ``model_state_dict``; or safetensors. It is read as data: code in a pickle is never run (``weights_only=True``).

    Raises:
        InputError: There is no such file, or it is damaged, or holds something else.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
    except OSError as error:
        raise InputError(f"checkpoint {path} cannot be read: {error.strerror}; {EXPECTED}") from None
    try:
        content = _read_safetensors(path) if _is_safetensors(head) else _read_torch(path)
    except Exception as error:  # a damaged file can raise anything
        raise InputError(f"checkpoint {path} {_why(error)}; {EXPECTED}") from None
    return _without_prefixes({name: tensor.detach() for name, tensor in _unwrapped(content, path).items()})


def _is_safetensors(head: bytes) -> bool:
    """Tell by the first 9 bytes: a header length, then a JSON object."""
    return head[8:] == b"{"


def _read_safetensors(path: Path) -> Any:
    return safetensors.torch.load_file(path, device="cpu")


def _read_torch(path: Path) -> Any:
    # Open, as torch takes what a path is called for what the file is; the error says all that torch warns of.
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(stream, map_location="cpu", weights_only=True)


def _why(error: Exception) -> str:
    """Say why a file was refused: damaged, or naming what is not allowed. Torch's own text advises to run the file."""
    refused = REFUSED.search(str(error))
    if refused is None:
        return f"is damaged or no checkpoint ({type(error).__name__})"
    what = refused[1] or "a TorchScript program"
    return f"holds {what}, which is not loaded as it could run code; save model.state_dict() instead"


def _unwrapped(content: Any, path: Path) -> State:
    if isinstance(content, Mapping):
        for key in WRAPPERS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"checkpoint {path} holds {_kind(content)}; {EXPECTED}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(f"checkpoint {path} holds {_kind(value)} under {str(name)[:60]!r}; {EXPECTED}")
    return dict(content)


def _kind(value: Any) -> str:
    return "an empty dict" if value == {} else f"a {type(value).__name__}"


def _without_prefixes(state: Mapping[str, torch.Tensor]) -> State:
    """Drop what wrappers put in front of every name, one wrapper after another."""
    for prefix in PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            return _without_prefixes({name.removeprefix(prefix): tensor for name, tensor in state.items()})
    return dict(state)


def load_state(model: torch.nn.Module, state: Mapping[str, torch.Tensor], *, source: str) -> None:
    """Put a checkpoint into ``model``, all of it or nothing.

    Args:
        model: Its entries decide about dtype and device.
        state: Tensors by name. ``num_batches_tracked``, which evaluation does not use, may be missing, and so may other
            names of a tensor that is there: safetensors keeps one of them.
        source: The checkpoint, for errors.

    Raises:
        InputError: Entries are missing, unexpected, have other shapes, or are not finite; the text lists them.
    """
    # Without prefixes on both sides, so that a model which is itself wrapped takes its own checkpoint.
    own, state = _without_prefixes(model.state_dict()), _without_prefixes(state)
    there = {_place(tensor) for name, tensor in own.items() if name in state}
    missing = [
        name
        for name, tensor in own.items()
        if name not in state and _place(tensor) not in there and not name.endswith("num_batches_tracked")
    ]
    unexpected = [name for name in state if name not in own]
    misshapen = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
        for name, tensor in state.items()
        if name in own and tensor.shape != own[name].shape
    ]
    kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
    faults = [f"{len(entries)} {kind}: {_list(entries)}" for kind, entries in kinds if entries]
    if faults:
        raise InputError(
            f"checkpoint {source} does not fit the model: {'; '.join(faults)}; check --model and --model-arg "
            "(such as num_classes, shortcut)"
        )
    # Converted first: float64 holds numbers that are infinite in the dtype of the model.
    converted = {name: tensor.to(own[name].dtype) for name, tensor in state.items()}
    broken = [name for name, tensor in converted.items() if not tensor.isfinite().all()]
    if broken:
        raise InputError(
            f"checkpoint {source} holds numbers that are not finite in {_list(broken)}; did its training diverge?"
        )
    with torch.no_grad():
        for name, tensor in converted.items():
            own[name].copy_(tensor)


def _place(tensor: torch.Tensor) -> tuple[int, torch.Size]:
    """Tell where the numbers lie: the same for all names of one tensor."""
    return tensor.data_ptr(), tensor.shape


def _list(entries: Iterable[str]) -> str:
    """Name the first few."""
    every = list(entries)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more
