"""Checkpoints: reading them without trusting them, and putting them into a network."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from lossgrid.errors import InputError

WRAPPERS = ("state_dict", "model", "model_state_dict")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
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
    if not path.exists():
        raise InputError(f"checkpoint {path}: no such file; {EXPECTED}")
    if not path.is_file() or not os.access(path, os.R_OK):
        raise InputError(f"checkpoint {path} cannot be read; {EXPECTED}")
    try:
        content = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    except pickle.UnpicklingError as error:
        raise InputError(f"checkpoint {path}: {_why(error)}; {EXPECTED}") from None
    except Exception as error:  # a damaged file can raise anything
        raise InputError(f"checkpoint {path} is damaged or no checkpoint ({_first_line(error)}); {EXPECTED}") from None
    state = {_without_prefixes(name): tensor for name, tensor in _unwrapped(content, path).items()}
    broken = [name for name, t in state.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise InputError(f"checkpoint {path} holds numbers that are not finite in {_list(broken)}; did its training diverge?")
    return state


def _is_safetensors(path: Path) -> bool:
    """Tell by the content: a header length, then a JSON object."""
    with path.open("rb") as stream:
        return stream.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> Any:
    return safetensors.torch.load_file(path, device="cpu")


def _read_torch(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _why(error: Exception) -> str:
    """Say why a pickle was refused: damaged, or naming what is not allowed."""
    text = str(error)
    if "Unsupported global" in text or "Unsupported class" in text or "Unsupported operand" in text:
        return "it holds Python objects, which are not loaded as they could run code; save model.state_dict() instead"
    return f"it is damaged or no checkpoint ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__


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


def _without_prefixes(name: str) -> str:
    while name.startswith(PREFIXES):
        name = next(name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix))
    return name


def load_state(model: torch.nn.Module, state: Mapping[str, torch.Tensor], *, source: str) -> None:
    """Put a checkpoint into ``model``, all of it or nothing.

    Args:
        model: Its entries decide about dtype and device.
        state: Tensors by name; ``num_batches_tracked``, which evaluation does not use, may be missing.
        source: The checkpoint, for errors.

    Raises:
        InputError: Entries are missing, unexpected, or have other shapes; the text lists them.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
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
    model.load_state_dict({**own, **state})


def _list(entries: Iterable[str]) -> str:
    """Name the first few."""
    every = list(entries)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more
