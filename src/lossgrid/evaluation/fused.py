"""Layers fused with the following sum and activation, in kernels of oneDNN (CPUs) or cuDNN (CUDA).

A sum with a shortcut and a ReLU often follow a convolution. As separate operations each reads and writes all
activations again, and needs a launch. The libraries of torch can compute them while a result is still in registers.
torch uses these kernels only for constant weights (torch.jit.freeze, inductor's freezing). Here the weights are packed
again at every point, in the layout of the kernel, which takes about a thousandth of a point.

These are the undocumented operators that torch's compiler emits. Callers compare the result with the plain network, and
use the plain network where an operator differs or is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from lossgrid.evaluation.graph import Modules, alike, is_plain, is_relu, is_spare, is_sum
from lossgrid.evaluation.libraries import Library


@dataclass(frozen=True)
class Chain:
    """A layer and the operations after it that one kernel computes.

    Attributes:
        layer: The node of a convolution or linear layer.
        addition: The node that adds ``other`` to its result; None without a sum.
        other: The other summand; None without a sum.
        activated: The node of the activation function; None without one.
        activation: Its name: ``none``, ``relu``, ``gelu``, ``gelu_tanh`` or ``silu``.
    """

    layer: fx.Node
    addition: fx.Node | None
    other: fx.Node | None
    activated: fx.Node | None
    activation: str

    @property
    def last(self) -> fx.Node:
        """The node whose result the kernel returns."""
        return self.activated or self.addition or self.layer


@dataclass(frozen=True)
class Pack:
    """The weights of a layer in the layout of a kernel, stored in the graph under ``name``."""

    layer: Any
    library: Library
    graph: fx.GraphModule
    name: str

    def refresh(self) -> None:
        """Pack the present weights of the layer."""
        buffers = self.graph._buffers
        buffers[f"{self.name}_weight"] = self.library.pack(self.layer, buffers.get(f"{self.name}_weight"))
        bias, old = self.layer.bias, buffers.get(f"{self.name}_bias")
        if bias is not None:
            buffers[f"{self.name}_bias"] = bias.to(self.library.dtype) if old is None else old.copy_(bias)  # type: ignore[attr-defined]


def fuse_layers(graph: fx.GraphModule, library: Library, dtype: torch.dtype) -> list[Pack]:
    """Replace layers, with the sums and activations after them, by kernels of ``library``; return the packed weights.

    Args:
        graph: Traced by :func:`lossgrid.evaluation.graph.trace`, which records shapes; it is changed.
        library: The kernels.
        dtype: dtype of the kernels.
    """
    modules: Modules = dict(graph.named_modules())
    packs: list[Pack] = []
    for node in list(graph.graph.nodes):
        if not _is_layer(node, modules, dtype):
            continue
        layer = modules[str(node.target)]
        chain = next(
            (c for c in _chains(node, modules) if library.takes(layer, c.activation, adds=bool(c.other))), None
        )
        if chain is not None:
            packs.append(Pack(layer, library, graph, f"packed_{len(packs)}"))
            _replace(chain, packs[-1], dtype)
    _add_in_place(graph)
    return packs


def _is_layer(node: fx.Node, modules: Modules, dtype: torch.dtype) -> bool:
    """Return whether ``node`` is a layer with zero padding whose result has ``dtype``."""
    if not is_plain(node, modules, (nn.Conv2d, nn.Linear)) or len(node.args) != 1:
        return False
    layer: Any = modules[str(node.target)]
    zeros_around = isinstance(layer, nn.Linear) or (
        layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    )
    known = node.meta.get("tensor_meta")
    return zeros_around and known is not None and known.dtype == dtype


def _chains(layer: fx.Node, modules: Modules) -> list[Chain]:
    """Return the chains that start at ``layer``, the longest first."""
    chains = [Chain(layer, None, None, None, "none")]
    follower = _only_user(layer)
    if follower is None:
        return chains
    activation = _activation(follower, modules)
    if activation:
        return [Chain(layer, None, None, follower, activation), *chains]
    if is_sum(follower) and alike(follower, layer):
        other = follower.args[1] if follower.args[0] is layer else follower.args[0]
        if isinstance(other, fx.Node) and other is not layer and alike(other, layer):
            chains.insert(0, Chain(layer, follower, other, None, "none"))
            last = _only_user(follower)
            if last is not None and _activation(last, modules):
                chains.insert(0, Chain(layer, follower, other, last, _activation(last, modules)))
    return chains


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _activation(node: fx.Node, modules: Modules) -> str:
    """Return the name of the activation function of ``node``; empty if it is not one of the known."""
    if is_relu(node, modules):
        return "relu"
    if is_plain(node, modules, (nn.GELU,)):
        kind = str(modules[str(node.target)].approximate)
    elif node.op == "call_function" and node.target is F.gelu and len(node.args) == 1:
        kind = str(node.kwargs.get("approximate", "none"))
    else:
        is_silu = node.op == "call_function" and node.target is F.silu
        return "silu" if is_silu or is_plain(node, modules, (nn.SiLU,)) else ""
    return {"none": "gelu", "tanh": "gelu_tanh"}.get(kind, "")


def _replace(chain: Chain, pack: Pack, dtype: torch.dtype) -> None:
    """Replace the nodes of ``chain`` by the kernel."""
    pack.refresh()
    graph, last = pack.graph.graph, chain.last
    (x,) = chain.layer.args
    with graph.inserting_before(last):
        if isinstance(x, fx.Node) and x.meta["tensor_meta"].dtype != dtype:
            x = graph.call_method("to", (x, dtype))
        weight = graph.get_attr(f"{pack.name}_weight")
        bias = None if pack.layer.bias is None else graph.get_attr(f"{pack.name}_bias")
        kernel, arguments = pack.library.call(pack.layer, x, weight, bias, chain.other, chain.activation)
        node = graph.call_function(kernel, arguments)
    node.meta = dict(last.meta) | {"fresh": True}
    last.replace_all_uses_with(node)
    for old in (chain.activated, chain.addition, chain.layer):
        if old is not None:
            graph.erase_node(old)


def _add_in_place(graph: fx.GraphModule) -> None:
    """Let oneDNN's convolutions write a sum into the memory of its summand, where no later node reads it."""
    modules: Modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        if str(node.target) == "mkldnn._convolution_pointwise.binary" and is_spare(node.args[1], node, modules):
            x, other, *rest = node.args
            node.target, node.args = torch.ops.mkldnn._convolution_pointwise_.binary, (other, x, *rest)
