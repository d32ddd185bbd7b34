"""Checks that the entries of a network can move: it must be copyable, and its entries ordinary tensors with values."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.parameter import UninitializedBuffer, is_lazy

from lossgrid import user_code
from lossgrid.errors import InputError
from lossgrid.models.names import is_extra


def widened(model: torch.nn.Module) -> torch.nn.Module:
    """Return ``model``, changed: numbers of less than 32 bits, such as bfloat16, become float32, which is exact.

    Directions and checkpoints then lose no digits to the format in which a network was built.
    """
    narrow = [t.dtype for t in (*model.parameters(), *model.buffers()) if _wider(t.dtype) != t.dtype]
    return model._apply(lambda t: t.to(_wider(t.dtype))) if narrow else model  # type: ignore[no-untyped-call]


def _wider(dtype: torch.dtype) -> torch.dtype:
    if dtype.is_complex:
        return torch.complex64 if dtype.itemsize < 8 else dtype
    return torch.float32 if dtype.is_floating_point and dtype.itemsize < 4 else dtype


def check_module(model: torch.nn.Module, *, name: str, lazy: bool = False) -> None:
    """Refuse a network whose entries cannot move.

    Args:
        model: The network.
        name: Its name, for errors.
        lazy: Accept lazy modules, whose entries have no values yet.

    Raises:
        InputError: The network is TorchScript, or an entry has no values yet or is not an ordinary tensor.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise InputError(f"model {name} is TorchScript, whose parameters cannot move; give the module it was made of")
    for entry, parameter in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(parameter) and not lazy:
            raise InputError(
                f"model {name}: {entry} has no shape yet (a lazy module); run one batch through the network before it "
                "is returned"
            )
    state = user_code.call(model.state_dict, name=f"{name}, asked for its state dict,", role="model")
    for entry, value in state.items():
        fault = "" if is_extra(entry) or (lazy and is_lazy(value)) else _fault(value)
        if fault:
            raise InputError(f"model {name}: {entry} {fault}")


def _fault(value: Any) -> str:
    if not isinstance(value, torch.Tensor):
        return f"is a {type(value).__name__}; expected a tensor (quantised modules keep others: give the float network)"
    if value.is_meta:
        return "has no values, as it is on the device meta; load its weights before it is returned"
    if value.is_quantized:
        return "is quantised; give the network it was made of"
    if value.layout != torch.strided or hasattr(value, "__tensor_flatten__"):
        return f"is no ordinary tensor ({type(value).__name__}, {value.layout}); give the network with ordinary ones"
    return ""


def copy_of(model: torch.nn.Module, *, name: str, lazy: bool = False) -> torch.nn.Module:
    """Return an independent copy of a network whose entries can move; with ``lazy`` it may have lazy modules.

    Raises:
        InputError: The network cannot be copied, or its entries cannot move.
    """
    check_module(model, name=name, lazy=lazy)
    # deepcopy refuses tensors with a gradient history, such as those that hooks recompute in each forward pass
    # (torch.nn.utils.weight_norm): give it detached copies of them.
    computed = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    unsettled = {  # torch cannot copy them; they hold no values yet
        id(buffer): UninitializedBuffer(False, buffer.device, buffer.dtype)  # type: ignore[arg-type]
        for buffer in model.buffers()
        if isinstance(buffer, UninitializedBuffer)
    }
    try:
        return copy.deepcopy(model, {**computed, **unsettled})
    except Exception as error:  # users' objects in the network can raise anything
        raise InputError(
            f"model {name} cannot be copied ({user_code.describe(error)}); give it with what cannot be copied left out"
        ) from error
