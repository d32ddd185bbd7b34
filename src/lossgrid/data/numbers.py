"""Tensors of what users give as numbers: every number as it was given, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lossgrid.errors import InputError, in_short

UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)  # which torch can hardly compute with
SEVERAL = (
    "several inputs for one sample are not taken: pack them into one tensor, and give a network around yours that "
    "takes it apart"
)


def as_tensor(part: Any, source: str) -> torch.Tensor:
    """Return tensors, arrays and nested lists of numbers as a tensor on the CPU.

    Args:
        part: What the user gives.
        source: Who gave it, for errors.

    Raises:
        InputError: It is something else, or holds numbers that would change.
    """
    if isinstance(part, Mapping) or (isinstance(part, (tuple, list)) and _holds_arrays(part)):
        raise InputError(f"{source}: expected tensors or arrays of numbers, got a {type(part).__name__}; {SEVERAL}")
    try:
        tensor = _tensor_of(part)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise InputError(
            f"{source}: expected tensors or arrays of numbers, got a {type(part).__name__}: {in_short(error)}"
        ) from None
    if tensor.is_quantized or tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
        kind = "quantised" if tensor.is_quantized else "sparse or nested" if not tensor.is_meta else "without values"
        way = ".dequantize()" if tensor.is_quantized else ".to_dense()"
        raise InputError(f"{source}: expected ordinary tensors, got one that is {kind}; give tensor{way}")
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point() and tensor.itemsize == 1:
        return tensor.float()  # torch can hardly compute with floating-point numbers of 8 bits
    return _signed(tensor, source)


def _holds_arrays(parts: Any) -> bool:
    return any(isinstance(part, (torch.Tensor, np.ndarray)) and part.ndim > 0 for part in parts)


def _tensor_of(part: Any) -> torch.Tensor:
    if isinstance(part, torch.Tensor):
        return part
    if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):
        raise ValueError("some of its numbers are masked; fill them or leave their samples out")
    if isinstance(part, (list, tuple)) and any(isinstance(item, torch.Tensor) for item in part):
        return torch.as_tensor(part)
    array = np.asarray(part, order="C")  # lists of numbers as float64: torch would round them to float32
    if array.dtype.kind not in "biufc":
        raise ValueError(f"type {array.dtype} is none; pad or convert it, such as by .astype('float32')")
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=not array.flags.writeable))


def _signed(tensor: torch.Tensor, source: str) -> torch.Tensor:
    """Return unsigned integers of 16 to 64 bits as int64.

    Raises:
        InputError: Some are too large.
    """
    if tensor.dtype not in UNSIGNED:
        return tensor
    largest = int(tensor.numpy().max(initial=0))
    if largest > torch.iinfo(torch.int64).max:
        raise InputError(f"{source}: expected integers below 2**63, got {largest}")
    return tensor.long()


def is_class(targets: torch.Tensor) -> bool:
    """Tell whether targets are classes: integers."""
    return not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)


def is_finite(tensor: torch.Tensor) -> bool:
    """Tell whether all numbers are."""
    return bool(tensor.isfinite().all())
