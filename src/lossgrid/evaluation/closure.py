"""Refusal of losses, metrics and layers that reference weights which the plane does not move."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from lossgrid.errors import InputError
from lossgrid.user_code import name_of

MOST_OBJECTS = 10_000  # visited at most; a function with more objects holds data, not a network
OF_STEP = "use its argument 'model', which is the network that moves"
ADVICE = "give the {0} a parameter 'model', {0}(outputs, targets, model): it gets the network that moves"


def refuse_closure(function: object, model: nn.Module, *, role: str = "loss function") -> None:
    """Refuse a function that references ``model`` or a tensor of it; ``role`` names the function in the error.

    The search visits closures, global variables, default arguments, ``functools.partial``, the object of a method,
    attributes, containers and called functions.

    Raises:
        InputError: The function references the network; the text names where.
    """
    if function is None or isinstance(function, str):
        return
    entries = [*model.parameters(), *model.buffers()]
    own = {id(part) for part in (model, *model.modules(), *entries)}
    places = {entry.untyped_storage().data_ptr() for entry in entries if _is_plain(entry)} - {0}
    queue: list[tuple[str, Any]] = [("itself", function)]
    seen: set[int] = set()
    while queue and len(seen) < MOST_OBJECTS:
        where, thing = queue.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if id(thing) in own or (_is_plain(thing) and thing.untyped_storage().data_ptr() in places):
            advice = ADVICE.format(role.partition(" ")[0]) if role != "step" else OF_STEP
            what = "the network" if isinstance(thing, nn.Module) else "a tensor of the network"
            raise InputError(f"{role} {name_of(function)} reads {what} in {where}, which stays at theta*; {advice}")
        queue += list(_held(thing))


def refuse_aliases(model: nn.Module) -> None:
    """Refuse a network whose layers read weights through aliases: these do not move with the parameters.

    Raises:
        InputError: An attribute of a layer shares the memory of a parameter or buffer but is another tensor.
    """
    entries = dict(model.named_parameters()) | dict(model.named_buffers())
    own = {id(entry) for entry in entries.values()}
    places = {entry.untyped_storage().data_ptr(): name for name, entry in entries.items() if _is_plain(entry)}
    places.pop(0, None)
    for layer in model.modules():
        for attribute, value in vars(layer).items():
            if attribute in ("_parameters", "_buffers", "_modules"):
                continue
            for tensor in tree_leaves(value):
                if _is_plain(tensor) and id(tensor) not in own and tensor.untyped_storage().data_ptr() in places:
                    name = places[tensor.untyped_storage().data_ptr()]
                    raise InputError(
                        f"model: attribute {attribute!r} shares the memory of {name} and would not move with it; let "
                        "forward() read the parameter itself"
                    )


def _is_plain(thing: object) -> bool:
    return isinstance(thing, torch.Tensor) and thing.layout == torch.strided and not is_lazy(thing)


def _held(thing: object) -> Iterator[tuple[str, Any]]:
    """Yield each object that ``thing`` references, after a description of the reference."""
    if isinstance(thing, (str, bytes, int, float, torch.Tensor, types.BuiltinFunctionType, type)):
        return
    if isinstance(thing, types.FunctionType):
        yield from _of_function(thing)
    elif isinstance(thing, types.MethodType):
        yield "the object of its method", thing.__self__
        yield "its method", thing.__func__
    elif isinstance(thing, partial):
        for part in (thing.func, *thing.args, *thing.keywords.values()):
            yield "an argument of functools.partial", part
    elif isinstance(thing, Mapping):
        for part in thing.values():
            yield "a container", part
    elif isinstance(thing, (list, tuple, set, frozenset)):
        for part in thing:
            yield "a container", part
    elif not isinstance(thing, types.ModuleType):
        for name, part in getattr(thing, "__dict__", {}).items():
            yield f"its attribute {name!r}", part
        own = type(thing).forward if isinstance(thing, nn.Module) else vars(type(thing)).get("__call__")
        yield from _of_function(own)


def _of_function(function: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(function, types.FunctionType) or (function.__module__ or "").partition(".")[0] == "torch":
        return
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f"the variable {name!r} around it", cell.cell_contents
        except ValueError:  # not set yet
            continue
    for name in _names(code):
        if name in function.__globals__:
            value = function.__globals__[name]
            yield f"the global variable {name!r}", value
            if isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] != "torch":
                for attribute in _names(code):
                    if attribute in vars(value):
                        yield f"{name}.{attribute}", vars(value)[attribute]
    for part in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield "a default argument", part


def _names(code: types.CodeType) -> set[str]:
    """Return the names used by a function and its inner functions."""
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return set(code.co_names).union(*(_names(one) for one in inner))
