"""Conversion of a network to the device and dtype of a run, and the report of lost digits."""

from __future__ import annotations

import logging

import torch

from lossgrid.errors import InputError
from lossgrid.evaluation.device import Device
from lossgrid.models.cast import loses_digits

log = logging.getLogger(__name__)


def to_device(model: torch.nn.Module, device: Device) -> torch.nn.Module:
    """Return ``model`` on ``device``, in its dtype, in evaluation mode; on CUDA with the memory format of its inputs.

    Complex entries become complex numbers of the same precision; integers keep their dtype.
    """
    model._apply(lambda entry: entry.to(device.torch_device, dtype_of(entry, device)))  # type: ignore[no-untyped-call]
    model.eval().requires_grad_(False)
    if device.type == "cuda" and wants_channels_last(model, device):
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    return model  # oneDNN packs weights into its own layout, in half the time from contiguous ones


def report_rounding(model: torch.nn.Module, device: Device) -> None:
    """Log which entries of ``model`` :func:`to_device` rounds.

    Raises:
        InputError: A number is beyond the range of the dtype, or an entry is quantised.
    """
    rounded = [name for name, entry in entries_of(model).items() if _is_rounded(name, entry, device)]
    if rounded:
        more = f" and {len(rounded) - 1} more entries of the network" if len(rounded) > 1 else ""
        log.warning("%s%s: rounded to %s; --precision float64 keeps all digits", rounded[0], more, device.precision)


def dtype_of(entry: torch.Tensor, device: Device) -> torch.dtype:
    """Return the dtype of an entry in a run; integers keep theirs."""
    if entry.is_complex():
        return torch.complex128 if device.dtype == torch.float64 else torch.complex64
    return device.dtype if entry.is_floating_point() else entry.dtype


def entries_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers of a network by name, including buffers outside its state dict."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _is_rounded(name: str, entry: torch.Tensor, device: Device) -> bool:
    """Return whether the conversion rounds an entry.

    Raises:
        InputError: The entry is quantised, or beyond the range of the dtype.
    """
    if entry.is_quantized:
        raise InputError(
            f"the network holds quantised numbers in {name}, which no direction can move; give the one it was made from"
        )
    dtype = dtype_of(entry, device)
    if dtype.itemsize >= entry.dtype.itemsize:
        return False
    there = entry.detach().to(dtype)
    if bool((there.isfinite() != entry.detach().isfinite()).any()):
        raise InputError(
            f"{name} of the network holds numbers beyond the range of {device.precision}; give --precision float64"
        )
    return loses_digits(entry.detach(), there)


def wants_channels_last(model: torch.nn.Module, device: Device) -> bool:
    """Return whether the two-dimensional convolutions of ``model``, if any, are faster with channels innermost.

    cuDNN's float32 is not: on an H100 a convolution of 16 channels took five times as long.
    """
    has_pictures = any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
    return has_pictures and (device.type != "cuda" or device.layer_dtype.itemsize < 4 or device.precision == "tf32")
