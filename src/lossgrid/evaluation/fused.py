"""Layers fused with what follows them: a kernel of oneDNN (CPUs) or cuDNN (CUDA) that also adds and activates.

A convolution is followed by a sum with the shortcut and a ReLU; as operations of their own each reads and writes all
activations once more, and on small networks is one more launch. The libraries behind torch can do them while a result
is still in registers. torch reaches these kernels only for weights that never change (torch.jit.freeze, inductor's
freezing); here the weights are handed over anew at every point, in the layout the kernel wants, which costs about a
thousandth of a point.

The operators are those that torch's own compiler emits, and not documented: whoever uses this module compares the
result with the plain network and goes without where they differ or are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import fx, nn
from torch.nn import functional as F

from lossgrid.evaluation.graph import Modules, alike, is_plain, is_relu, is_spare, is_sum

LEAST_WEIGHTS = 128 * 128  # of a linear layer, below which handing them over takes longer than it saves
Call = tuple[Callable[..., Any], tuple[Any, ...]]


@dataclass(frozen=True)
class Chain:
    """A layer and the operations after it that one kernel can do.

    Attributes:
        layer: The node of a convolution or linear layer.
        addition: The node that adds ``other`` to its result; None where nothing is added.
        other: What is added.
        activated: The node of the activation function; None where there is none.
        activation: Its name: ``none``, ``relu``, ``gelu``, ``gelu_tanh`` or ``silu``.
    """

    layer: fx.Node
    addition: fx.Node | None
    other: fx.Node | None
    activated: fx.Node | None
    activation: str

    @property
    def last(self) -> fx.Node:
        """The node whose result the kernel's is."""
        return self.activated or self.addition or self.layer


class Library(Protocol):
    """The kernels of a library."""

    def takes(self, layer: nn.Module, activation: str, *, adds: bool) -> bool:
        """Tell whether there is a kernel for ``layer`` with what follows it."""

    def pack(self, layer: Any, old: torch.Tensor | None) -> torch.Tensor:
        """Return the weights of ``layer`` as the kernel wants them, in the memory of ``old`` where that can be."""

    def call(self, layer: Any, x: Any, weight: Any, bias: Any, other: Any, activation: str) -> Call:
        """Return the kernel and its arguments; ``other`` is None where nothing is added."""


@dataclass(frozen=True)
class OneDNN:
    """Kernels for CPUs, in float32 or bfloat16."""

    dtype: torch.dtype

    def takes(self, layer: nn.Module, activation: str, *, adds: bool) -> bool:
        """Tell whether there is a kernel that pays: after a sum there is only the ReLU, and only of convolutions."""
        if isinstance(layer, nn.Linear) and layer.weight.numel() < LEAST_WEIGHTS:
            return False
        if not adds:
            return True
        return activation == "none" or (activation == "relu" and isinstance(layer, nn.Conv2d))

    def pack(self, layer: Any, old: torch.Tensor | None) -> torch.Tensor:  # noqa: ARG002
        """Return the weights in oneDNN's blocked layout, which only oneDNN can make."""
        weight = layer.weight.to(self.dtype)
        if isinstance(layer, nn.Linear):
            return torch.ops.mkldnn._reorder_linear_weight(weight)  # type: ignore[no-any-return]
        return torch.ops.mkldnn._reorder_convolution_weight(  # type: ignore[no-any-return]
            weight, layer.padding, layer.stride, layer.dilation, layer.groups
        )

    def call(self, layer: Any, x: Any, weight: Any, bias: Any, other: Any, activation: str) -> Call:
        """Return the operator of torch.ops.mkldnn and its arguments."""
        name, algorithm = {
            "none": ("none", ""), "relu": ("relu", ""), "silu": ("swish", ""),
            "gelu": ("gelu", "none"), "gelu_tanh": ("gelu", "tanh"),
        }[activation]  # fmt: skip
        if isinstance(layer, nn.Linear):
            linear = torch.ops.mkldnn._linear_pointwise
            if other is None:
                return linear.default, (x, weight, bias, name, [], algorithm)
            return linear.binary, (x, other, weight, bias, "add")
        convolution = torch.ops.mkldnn._convolution_pointwise
        geometry = (list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups)
        if other is None:
            return convolution.default, (x, weight, bias, *geometry, name, [], algorithm)
        after: tuple[Any, ...] = ("relu", [], "") if activation == "relu" else (None, [], None)
        return convolution.binary, (x, other, weight, bias, *geometry, "add", 1.0, *after)


@dataclass(frozen=True)
class CuDNN:
    """Kernels for CUDA: a convolution with bias, perhaps a sum, and a ReLU."""

    dtype: torch.dtype

    def takes(self, layer: nn.Module, activation: str, *, adds: bool) -> bool:  # noqa: ARG002
        """Tell whether there is a kernel: of convolutions, and only where a ReLU follows."""
        return isinstance(layer, nn.Conv2d) and activation == "relu"

    def pack(self, layer: Any, old: torch.Tensor | None) -> torch.Tensor:
        """Return the weights themselves, or a copy in bfloat16 that keeps its place, as CUDA graphs need."""
        if layer.weight.dtype == self.dtype:
            return layer.weight.detach()  # type: ignore[no-any-return]
        return layer.weight.to(self.dtype) if old is None else old.copy_(layer.weight)

    def call(self, layer: Any, x: Any, weight: Any, bias: Any, other: Any, activation: str) -> Call:  # noqa: ARG002
        """Return the operator of torch.ops.aten and its arguments."""
        geometry = (list(layer.stride), list(layer.padding), list(layer.dilation), layer.groups)
        if other is None:
            return torch.ops.aten.cudnn_convolution_relu.default, (x, weight, bias, *geometry)
        return torch.ops.aten.cudnn_convolution_add_relu.default, (x, weight, other, 1.0, bias, *geometry)


@dataclass(frozen=True)
class Pack:
    """The weights of a layer as a kernel wants them, kept in the graph under ``name``."""

    layer: Any
    library: Library
    graph: fx.GraphModule
    name: str

    def refresh(self) -> None:
        """Take over the weights the layer has now."""
        buffers = self.graph._buffers
        buffers[f"{self.name}_weight"] = self.library.pack(self.layer, buffers.get(f"{self.name}_weight"))
        bias, old = self.layer.bias, buffers.get(f"{self.name}_bias")
        if bias is not None:
            buffers[f"{self.name}_bias"] = bias.to(self.library.dtype) if old is None else old.copy_(bias)  # type: ignore[attr-defined]


def library_for(device: torch.device, dtype: torch.dtype) -> Library | None:
    """Return the library with fused kernels for a device and a number format; None where there is none."""
    if dtype not in (torch.float32, torch.bfloat16):
        return None
    return OneDNN(dtype) if device.type == "cpu" else CuDNN(dtype)


def fuse_layers(graph: fx.GraphModule, library: Library, dtype: torch.dtype) -> list[Pack]:
    """Put kernels of ``library`` in the place of layers and what follows them.

    Args:
        graph: With the shapes of its values, as :func:`lossgrid.evaluation.graph.trace` leaves them.
        library: The kernels.
        dtype: Number format of the kernels.
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
    """Tell whether ``node`` is a layer whose result has the kernel's number format."""
    if not is_plain(node, modules, (nn.Conv2d, nn.Linear)) or len(node.args) != 1:
        return False
    layer: Any = modules[str(node.target)]
    zeros_around = isinstance(layer, nn.Linear) or (
        layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    )
    known = node.meta.get("tensor_meta")
    return zeros_around and known is not None and known.dtype == dtype


def _chains(layer: fx.Node, modules: Modules) -> list[Chain]:
    """Return what one kernel could do from ``layer`` on, the longest first."""
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
    """Return the name of the activation function that ``node`` is, empty where it is none of those known."""
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
    """Put the kernel in the place of the last node of ``chain``."""
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
    """Let oneDNN's convolutions put sums over what was added, where nobody reads that again."""
    modules: Modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        if str(node.target) == "mkldnn._convolution_pointwise.binary" and is_spare(node.args[1], node, modules):
            x, other, *rest = node.args
            node.target, node.args = torch.ops.mkldnn._convolution_pointwise_.binary, (other, x, *rest)
