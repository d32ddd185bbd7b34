"""Digests of tensors and of source: how files and ranks tell whether they speak of the same network and data."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256, in hexadecimal, of names, shapes, dtypes and bytes of ``tensors`` in their order."""
    total = hashlib.sha256()
    for name, tensor in tensors.items():
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        total.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return total.hexdigest()


def source_digest(thing: Any) -> str | None:
    """Return the SHA-256, in hexadecimal, of the source that defines a function, a class or the class of an object.

    It is that of the whole file where there is one; in a notebook that of the function or class alone. None where no
    source can be found.
    """
    named = inspect.isroutine(thing) or inspect.isclass(thing)
    target = inspect.unwrap(thing) if named else type(thing)
    try:
        file = inspect.getsourcefile(target)
        if file is not None and Path(file).is_file():
            return hashlib.sha256(Path(file).read_bytes()).hexdigest()
        return hashlib.sha256(inspect.getsource(target).encode()).hexdigest()
    except (OSError, TypeError, ValueError):
        code = getattr(target, "__code__", None)
        return None if code is None else hashlib.sha256(code.co_code + repr(code.co_consts).encode()).hexdigest()
