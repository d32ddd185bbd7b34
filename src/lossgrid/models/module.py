"""Checks that the entries of a network can move: it must be copyable, and its entries ordinary tensors with values."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from lossgrid import user_code
from lossgrid.errors import InputError
from lossgrid.models.names import is_extra


def check_module(model: torch.nn.Module, *, name: str) -> None:
    """Refuse a network whose entries cannot move.

    Args:
        model: The network.
        name: Its name, for errors.

    Raises:
        InputError: The network is TorchScript, or an entry has no values yet or is not an ordinary tensor.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise InputError(f"model {name} is TorchScript, whose parameters cannot move; give the module it was made of")
    for entry, parameter in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(parameter):
            raise InputError(
                f"model {name}: {entry} has no shape yet (a lazy module); run one batch through the network before it "
                "is returned"
            )
    state = user_code.call(model.state_dict, name=f"{name}, asked for its state dict,", role="model")
    for entry, value in state.items():
        fault = "" if is_extra(entry) else _fault(value)
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


def copy_of(model: torch.nn.Module, *, name: str) -> torch.nn.Module:
    """Return an independent copy of a network whose entries can move.

    Raises:
        InputError: The network cannot be copied, or its entries cannot move.
    """
    check_module(model, name=name)
    # deepcopy refuses tensors with a gradient history, such as those that hooks recompute in each forward pass
    # (torch.nn.utils.weight_norm): give it detached copies of them.
    computed = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
    try:
        return copy.deepcopy(model, dict(computed))
    except Exception as error:  # users' objects in the network can raise anything
        raise InputError(
            f"model {name} cannot be copied ({user_code.describe(error)}); give it with what cannot be copied left out"
        ) from error
