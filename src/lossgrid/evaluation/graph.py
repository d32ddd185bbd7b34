"""A network as a graph of its operations (torch.fx), and which of its values may be overwritten."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F
from torch.nn.utils import parametrize

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
POOLS = (nn.MaxPool2d, nn.AvgPool2d)
IDLE = (nn.Identity, nn.Dropout, nn.Dropout2d)  # in evaluation mode
RELUS = (F.relu, torch.relu)
ADDITIONS = (operator.add, torch.add)
# Functions that put their result into memory of its own, so that it is no view of what they read.
FRESH = {*ADDITIONS, *RELUS, F.gelu, F.pad, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d}

Modules = dict[str, nn.Module]


def trace(model: nn.Module, sample: torch.Tensor) -> fx.GraphModule:
    """Return what ``model`` does as a graph that shares its parameters, without layers that do nothing.

    Args:
        model: In evaluation mode; it stays as it is.
        sample: A batch, from which shapes and dtypes inside the network are known.

    Raises:
        Exception: Whatever tracing raises: the network has control flow that depends on values, or does what
            torch.fx cannot follow.
    """
    graph = fx.symbolic_trace(model)
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        if is_plain(node, modules, IDLE):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    ShapeProp(graph).propagate(sample)
    return graph


def is_plain(node: fx.Node, modules: Modules, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Tell whether ``node`` calls exactly such a module, without hooks or parametrisations that change what it does."""
    if node.op != "call_module":
        return False
    module = modules[str(node.target)]
    hooked = module._forward_hooks or module._forward_pre_hooks
    return type(module) in kinds and not module.training and not hooked and not parametrize.is_parametrized(module)


def is_relu(node: fx.Node, modules: Modules) -> bool:
    """Tell whether ``node`` is a ReLU, as a function or a layer."""
    is_function = node.op == "call_function" and node.target in RELUS and bool(node.args)
    return is_function or is_plain(node, modules, (nn.ReLU,))


def is_sum(node: fx.Node) -> bool:
    """Tell whether ``node`` adds two things, unscaled."""
    return node.op == "call_function" and node.target in ADDITIONS and not node.kwargs and len(node.args) == 2


def alike(one: fx.Node, other: fx.Node) -> bool:
    """Tell whether two values have the same shape and dtype."""
    a, b = one.meta.get("tensor_meta"), other.meta.get("tensor_meta")
    return a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype


def is_fresh(node: fx.Node, modules: Modules) -> bool:
    """Tell whether ``node`` puts its result where nothing else is: into new memory, or over what nobody reads again."""
    if node.meta.get("fresh"):
        return True
    in_place = node.kwargs.get("inplace") or True in node.args
    made_by_function = node.op == "call_function" and node.target in FRESH and not in_place
    return made_by_function or is_plain(node, modules, (*LINEAR, *NORMS, *POOLS))


def is_spare(value: Any, reader: fx.Node, modules: Modules) -> bool:
    """Tell whether ``reader`` may put its result over ``value``.

    ``reader`` must be the last to read it, be given it once, and have a result that fits; and no other reader may hand
    out a view of it.
    """
    if not isinstance(value, fx.Node) or not alike(value, reader):
        return False
    given = sum(argument is value for argument in (*reader.args, *reader.kwargs.values()))
    others = [user for user in value.users if user is not reader]
    order = {node: i for i, node in enumerate(value.graph.nodes)} if others else {}
    last = all(order[user] < order[reader] and is_fresh(user, modules) for user in others)
    return given == 1 and last and is_fresh(value, modules)


def compute_in_place(graph: fx.GraphModule) -> None:
    """Let sums and ReLUs overwrite what nobody reads again, which saves a pass through memory each."""
    modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        if is_sum(node):
            target = next((arg for arg in node.args if is_spare(arg, node, modules)), None)
            if target is not None:
                node.args = (target, *(arg for arg in node.args if arg is not target))
                node.target = operator.iadd
                node.meta["fresh"] = True
        elif is_relu(node, modules) and is_spare(node.args[0], node, modules):
            node.op, node.target, node.args, node.kwargs = "call_function", F.relu, node.args[:1], {"inplace": True}
            node.meta["fresh"] = True
