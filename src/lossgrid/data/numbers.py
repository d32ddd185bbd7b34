"""Users' data as tensors, or trees of tensors, without a change of any number; otherwise an InputError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lossgrid.data.batch import Tree
from lossgrid.errors import InputError, in_short, shown

UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)  # dtypes with few operations in torch; they become int64
PAD = "pad them, or give collate_fn, by itself or in a DataLoader"
DEEPEST = 20  # levels of nested dicts, tuples and lists; deeper ones are refused


def is_tree(part: Any) -> bool:
    """Return whether ``part`` is several tensors: a dict, or a tuple or list with arrays or dicts of arrays in it.

    Lists of lists are one array, as in NumPy.
    """
    if isinstance(part, Mapping):
        return True
    return isinstance(part, (tuple, list)) and any(_is_array(item) or _holds_arrays(item) for item in part)


def _holds_arrays(part: Any) -> bool:
    return isinstance(part, Mapping) and any(_is_array(item) or isinstance(item, Mapping) for item in part.values())


def _is_array(part: Any) -> bool:
    return isinstance(part, (torch.Tensor, np.ndarray)) and part.ndim > 0


def as_tree(part: Any, source: str, name: str, *, alone: bool = True) -> Tree:
    """Return a user's inputs or targets as a tensor; dicts, tuples and lists as a dict or tuple of tensors.

    Args:
        part: The user's inputs or targets.
        source: Their origin, for errors.
        name: ``inputs`` or ``targets``, for errors.
        alone: Whether errors about a single tensor leave ``name`` out.

    Raises:
        InputError: A part is not a tensor of numbers, or a key of a dict is not a string.
    """
    if is_tree(part):
        return _as_tree(part, source, name, DEEPEST)
    return as_tensor(part, source if alone else f"{source}: {name}")


def _as_tree(part: Any, source: str, name: str, deepest: int) -> Tree:
    if not is_tree(part):
        return as_tensor(part, f"{source}: {name}")
    if not part or deepest == 0:
        raise InputError(f"{source}: expected tensors in {name}, got {'none' if not part else 'too many brackets'}")
    if not isinstance(part, Mapping):
        return tuple(_as_tree(item, source, f"{name}[{i}]", deepest - 1) for i, item in enumerate(part))
    unnamed = next((key for key in part if not isinstance(key, str)), None)
    if unnamed is not None:
        raise InputError(f"{source}: expected names as keys of {name}, got {shown(repr(unnamed))}")
    return {key: _as_tree(part[key], source, f"{name}[{key!r}]", deepest - 1) for key in sorted(part)}


def as_tensor(part: Any, source: str) -> torch.Tensor:
    """Return a tensor, an array or nested lists of numbers as a tensor on the CPU.

    Args:
        part: The user's tensor, array or lists.
        source: Their origin, for errors.

    Raises:
        InputError: ``part`` is something else, or a number would change.
    """
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
        return tensor.float()  # torch has few operations for 8-bit floating-point numbers
    return _signed(tensor, source)


def _tensor_of(part: Any) -> torch.Tensor:
    if isinstance(part, torch.Tensor):
        return part
    if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):
        raise ValueError("some of its numbers are masked; fill them or leave their samples out")
    if isinstance(part, (list, tuple)) and any(isinstance(item, torch.Tensor) for item in part):
        return torch.as_tensor(part)
    if hasattr(part, "__array_interface__") and not hasattr(part, "__array__"):
        raise ValueError("convert pictures to tensors, such as by torchvision's ToTensor")  # as Pillow's
    try:
        array = np.asarray(part, order="C")  # lists of numbers become float64; torch would round them to float32
    except ValueError as error:
        raise ValueError(f"its parts differ in length; {PAD}" if "inhomogeneous" in str(error) else error) from None
    if array.dtype.kind not in "biufc":
        raise ValueError(f"type {array.dtype} is none; pad or convert it, such as by .astype('float32')")
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=not array.flags.writeable))


def _signed(tensor: torch.Tensor, source: str) -> torch.Tensor:
    """Return ``tensor``, unsigned integers of 16 to 64 bits as int64.

    Raises:
        InputError: An integer does not fit into int64.
    """
    if tensor.dtype not in UNSIGNED:
        return tensor
    largest = int(tensor.numpy().max(initial=0))
    if largest > torch.iinfo(torch.int64).max:
        raise InputError(f"{source}: expected integers below 2**63, got {largest}")
    return tensor.long()


def is_class(targets: Tree) -> bool:
    """Return whether targets are classes: one tensor of integers."""
    if not isinstance(targets, torch.Tensor):
        return False
    return not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)


def is_finite(tensor: torch.Tensor) -> bool:
    """Return whether all numbers are finite."""
    return bool(tensor.isfinite().all())


def refuse_infinite(tensors: Mapping[str, torch.Tensor], source: str, why: str) -> None:
    """Refuse numbers that are not finite.

    Args:
        tensors: The tensors by name, ``inputs`` or ``inputs['mask']``.
        source: Their origin, for the error.
        why: The end of the error, after "the inputs hold numbers"; ``{dtype}`` stands for that of the tensor.

    Raises:
        InputError: A number is not finite.
    """
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise InputError(
                f"{source}: {subject(name, 'holds', 'hold')} numbers {why.format(dtype=words_of(tensor.dtype))}"
            )


def subject(name: str, singular: str, plural: str) -> str:
    """Return subject and verb of a sentence about a tensor: ``the inputs are``, ``inputs['mask'] is``."""
    return f"{name} {singular}" if "[" in name else f"the {name} {plural}"


def words_of(dtype: torch.dtype) -> str:
    """Return the name of a dtype: ``float32``."""
    return str(dtype).removeprefix("torch.")
