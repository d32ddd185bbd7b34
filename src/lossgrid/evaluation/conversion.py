"""Bringing a network to its device and number format, and saying what that loses."""

from __future__ import annotations

import logging

import torch

from lossgrid.errors import InputError
from lossgrid.evaluation.device import Device
from lossgrid.models.cast import loses_digits

log = logging.getLogger(__name__)


def to_device(model: torch.nn.Module, device: Device) -> torch.nn.Module:
    """Put ``model`` on the device and in the dtype of ``device``, in evaluation mode, on CUDA laid out as its inputs.

    Complex entries become complex numbers of the same precision; integers stay as they are.
    """
    model._apply(lambda entry: entry.to(device.torch_device, dtype_of(entry, device)))  # type: ignore[no-untyped-call]
    model.eval().requires_grad_(False)
    if device.type == "cuda" and wants_channels_last(model):
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
    return model  # oneDNN brings weights into a layout of its own, which takes half the time from contiguous ones


def report_rounding(model: torch.nn.Module, device: Device) -> None:
    """Say which entries of ``model`` lose digits by :func:`to_device`.

    Raises:
        InputError: A number does not fit into the format, or has none that can move, as those of quantised layers.
    """
    rounded = [name for name, entry in entries_of(model).items() if _is_rounded(name, entry, device)]
    if rounded:
        more = f" and {len(rounded) - 1} more entries of the network" if len(rounded) > 1 else ""
        log.warning("%s%s: rounded to %s; --precision float64 keeps all digits", rounded[0], more, device.precision)


def dtype_of(entry: torch.Tensor, device: Device) -> torch.dtype:
    """Return the dtype an entry has in a run: the run's for real numbers, its complex one for complex numbers."""
    if entry.is_complex():
        return torch.complex128 if device.dtype == torch.float64 else torch.complex64
    return device.dtype if entry.is_floating_point() else entry.dtype


def entries_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers of a network by name, also buffers that are no part of its state dict."""
    return dict(model.named_parameters()) | dict(model.named_buffers())


def _is_rounded(name: str, entry: torch.Tensor, device: Device) -> bool:
    """Tell whether an entry loses digits on its way.

    Raises:
        InputError: It loses more than that.
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


def wants_channels_last(model: torch.nn.Module) -> bool:
    """Tell whether ``model`` has two-dimensional convolutions, which are faster with channels innermost."""
    return any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
