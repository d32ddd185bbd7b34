"""Networks as graphs of operations (torch.fx), and the in-place operations in these graphs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from keyword import iskeyword
from typing import Any, NamedTuple

import torch
from torch import fx, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from lossgrid.data.batch import Tree, is_tensor
from lossgrid.evaluation.head import Float32Linear

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
POOLS = (nn.MaxPool2d, nn.AvgPool2d)
IDLE = (nn.Identity, nn.Dropout, nn.Dropout2d)  # in evaluation mode
RELUS = (F.relu, torch.relu)
ADDITIONS = (operator.add, torch.add)
# Functions that return new memory, never a view of an argument.
FRESH = {*ADDITIONS, *RELUS, F.gelu, F.pad, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d}

# Allowed on tensors while tracing: results that do not depend on the values.
SHAPES = {
    getattr(torch.Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "layout", "requires_grad")
}
SHAPES |= {torch.Tensor.size, torch.Tensor.dim, torch.Tensor.numel, torch.Tensor.is_floating_point}
SHAPES |= {torch.Tensor.is_complex, torch.Tensor.stride, torch.Tensor.is_contiguous, torch.Tensor.__len__}

NOWHERE = -1  # address of tensors that are empty or not strided

Modules = dict[str, nn.Module]


class TensorMeta(NamedTuple):
    """The form of a tensor in a graph."""

    shape: torch.Size
    dtype: torch.dtype


class Frozen(Exception):  # noqa: N818
    """Tracing would record a value computed from the weights as a constant."""


class Tracer(fx.Tracer):
    """A tracer whose graph reads parameters and buffers at every call."""

    proxy_buffer_attributes = True

    def __init__(self, inputs: Tree) -> None:
        super().__init__()
        self._inputs = inputs

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """Make a placeholder for each input; other parameters of ``forward`` keep their defaults.

        Raises:
            Frozen: An input is itself a tree, or its name is no identifier of Python.
        """
        if is_tensor(self._inputs):
            return super().create_args_for_root(root_fn, is_module, concrete_args)
        if not all(map(is_tensor, _flat(self._inputs))):
            raise Frozen("its inputs are trees of several levels")
        by_name = isinstance(self._inputs, dict)
        names = list(self._inputs) if by_name else [f"input_{i}" for i in range(len(self._inputs))]
        if not all(name.isidentifier() and not iskeyword(name) for name in names):
            raise Frozen("its inputs have names that are none in Python")
        proxies = [self.create_proxy("placeholder", name, (), {}) for name in names]

        def run(root: nn.Module, *given: fx.Proxy) -> Any:
            return root_fn(root, **dict(zip(names, given, strict=True))) if by_name else root_fn(root, *given)

        return run, [self.root, *proxies]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return whether a layer is recorded as one call."""
        return isinstance(m, Float32Linear) or super().is_leaf_module(m, module_qualified_name)


class NothingFrozen(TorchFunctionMode):
    """Refuses operations on weights that the tracer of a network does not record.

    Examples are weights in a plain list, or read on the host by ``.item()``: their values would stay in the graph as
    constants.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        entries = [*model.parameters(), *model.buffers()]
        can_move = [entry for entry in entries if entry.is_floating_point() or entry.is_complex()]
        self._places = {_memory(entry) for entry in can_move} - {NOWHERE}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return ``func(*args, **kwargs)`` unless it computes with entries of the network.

        Raises:
            Frozen: ``func`` computes with entries of the network.
        """
        given = tree_leaves((args, kwargs))
        recorded = any(isinstance(value, fx.Proxy) for value in given)
        tensors = [] if recorded or func in SHAPES else [value for value in given if isinstance(value, torch.Tensor)]
        if any(_memory(tensor) in self._places for tensor in tensors):
            name = getattr(func, "__name__", str(func))
            raise Frozen(f"it computes {name} of weights that are no attribute of a layer")
        return func(*args, **(kwargs or {}))


def _memory(tensor: torch.Tensor) -> int:
    """Return the address of the storage of a tensor, the same for all its views; NOWHERE without one."""
    try:
        return tensor.untyped_storage().data_ptr() or NOWHERE
    except (RuntimeError, NotImplementedError):
        return NOWHERE


def _flat(inputs: Tree) -> list[Any]:
    """Return the inputs of a network in the order of its placeholders."""
    if is_tensor(inputs):
        return [inputs]
    return list(inputs.values() if isinstance(inputs, dict) else inputs)


class Shapes(fx.Interpreter):
    """Runs a graph and notes the shape and dtype of each tensor; ``ShapeProp`` of torch.fx would load SymPy."""

    def run_node(self, n: fx.Node) -> Any:
        """Run a node and return its result."""
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            n.meta["tensor_meta"] = TensorMeta(result.shape, result.dtype)
        return result


def trace(model: nn.Module, sample: Tree) -> fx.GraphModule:
    """Return the graph of ``model``, which shares its parameters, without identities and dropout.

    Args:
        model: In evaluation mode; it is not changed.
        sample: A batch of inputs, to record shapes and dtypes.

    Raises:
        Frozen: Tracing would record a value computed from the weights as a constant.
        Exception: torch.fx cannot trace the network, as where its control flow depends on values.
    """
    tracer = Tracer(sample)
    with NothingFrozen(model):
        recorded = tracer.trace(model)
    graph = fx.GraphModule(tracer.root, recorded)
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        if is_plain(node, modules, IDLE):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    Shapes(graph).run(*_flat(sample))
    return graph


def is_plain(node: fx.Node, modules: Modules, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Return whether ``node`` calls a module of exactly one of ``kinds``, without hooks or parametrisations."""
    if node.op != "call_module":
        return False
    module = modules[str(node.target)]
    hooked = module._forward_hooks or module._forward_pre_hooks
    return type(module) in kinds and not module.training and not hooked and not parametrize.is_parametrized(module)


def is_relu(node: fx.Node, modules: Modules) -> bool:
    """Return whether ``node`` is a ReLU, as a function or a layer."""
    is_function = node.op == "call_function" and node.target in RELUS and bool(node.args)
    return is_function or is_plain(node, modules, (nn.ReLU,))


def is_sum(node: fx.Node) -> bool:
    """Return whether ``node`` adds two values, unscaled."""
    return node.op == "call_function" and node.target in ADDITIONS and not node.kwargs and len(node.args) == 2


def alike(one: fx.Node, other: fx.Node) -> bool:
    """Return whether two values have the same shape and dtype."""
    a, b = one.meta.get("tensor_meta"), other.meta.get("tensor_meta")
    return a is not None and b is not None and a.shape == b.shape and a.dtype == b.dtype


def is_fresh(node: fx.Node, modules: Modules) -> bool:
    """Return whether ``node`` writes its result into new memory, or over a value without later readers."""
    if node.meta.get("fresh"):
        return True
    in_place = node.kwargs.get("inplace") or True in node.args
    made_by_function = node.op == "call_function" and node.target in FRESH and not in_place
    return made_by_function or is_plain(node, modules, (*LINEAR, *NORMS, *POOLS))


def is_spare(value: Any, reader: fx.Node, modules: Modules) -> bool:
    """Return whether ``reader`` may overwrite ``value`` with its result.

    ``reader`` must be the last reader, read ``value`` once, and return the same shape and dtype. No other reader may
    return a view of ``value``.
    """
    if not isinstance(value, fx.Node) or not alike(value, reader):
        return False
    given = sum(argument is value for argument in (*reader.args, *reader.kwargs.values()))
    others = [user for user in value.users if user is not reader]
    order = {node: i for i, node in enumerate(value.graph.nodes)} if others else {}
    last = all(order[user] < order[reader] and is_fresh(user, modules) for user in others)
    return given == 1 and last and is_fresh(value, modules)


def compute_in_place(graph: fx.GraphModule) -> None:
    """Let sums and ReLUs overwrite values without later readers; each saves a pass through memory."""
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
