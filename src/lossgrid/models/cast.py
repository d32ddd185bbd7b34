"""Conversion of tensors to another dtype: floating-point numbers are rounded; other changes of a number are refused."""

from __future__ import annotations

import torch


def cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return ``tensor`` as ``dtype``.

    Raises:
        ValueError: A number would change by more than round-off; the text is a predicate: "is complex, and ...".
    """
    if tensor.is_quantized:
        raise ValueError("is quantised; save tensor.dequantize()")
    if tensor.layout != torch.strided or tensor.is_nested:
        raise ValueError("is sparse or nested; save tensor.to_dense()")
    if tensor.is_meta:
        raise ValueError("has no values, as it is on the device meta")
    if tensor.is_complex() and not dtype.is_complex:
        raise ValueError(f"is complex, and the network has {_name(dtype)} there")
    if tensor.dtype == dtype or dtype.is_floating_point or dtype.is_complex:
        return tensor.to(dtype)
    if tensor.is_floating_point():
        return _whole(tensor.double(), dtype)
    low, high = _bounds(dtype)
    numbers = tensor.numpy()
    if numbers.size and (int(numbers.min()) < low or int(numbers.max()) > high):
        raise ValueError(f"holds {int(numbers.min())}..{int(numbers.max())}, and {_name(dtype)} ends at {low}..{high}")
    return tensor.to(dtype)


def _whole(numbers: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return float64 numbers as integers.

    Raises:
        ValueError: A number is not an integer, or does not fit into ``dtype``.
    """
    low, high = _bounds(dtype)
    # high + 1 with "<", as float64 rounds the largest int64 up.
    fits = (numbers == numbers.round()) & (numbers >= float(low)) & (numbers < float(high + 1))
    if not bool(fits.all()):
        raise ValueError(
            f"holds numbers such as {numbers[~fits][0].item():g}, and the network has {_name(dtype)} there"
        )
    return numbers.to(dtype)


def _bounds(dtype: torch.dtype) -> tuple[int, int]:
    return (0, 1) if dtype == torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)


def loses_digits(tensor: torch.Tensor, converted: torch.Tensor) -> bool:
    """Return whether the numbers of ``converted``, the result of :func:`cast`, may differ from those of ``tensor``."""
    if tensor.dtype == converted.dtype or not (converted.is_floating_point() or converted.is_complex()):
        return False
    kind = torch.finfo(converted.dtype)
    if not (tensor.is_floating_point() or tensor.is_complex()):
        numbers = tensor.numpy()
        return bool(numbers.size) and max(abs(int(numbers.min())), abs(int(numbers.max()))) > 2 / kind.eps
    if converted.itemsize > tensor.itemsize and kind.bits >= 32:
        return False
    wide = torch.complex128 if converted.is_complex() else torch.float64
    return not torch.equal(tensor.to(wide), converted.to(wide))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
