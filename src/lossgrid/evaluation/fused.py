"""A network with its batch normalisation folded into the convolutions and linear layers before it.

In evaluation mode batch normalisation is an affine map of each channel, ``y = s (x - mean) + b`` with
``s = gamma / sqrt(var + eps)``, so what follows a convolution can be put into its weights: ``w' = s w``,
``b' = s (bias - mean) + b`` (as torch.nn.utils.fusion does once and for all). Here the weights move from point to
point: the network is rewritten once, and its folded weights are computed anew at every point, from a few numbers.

Activations and sums that nobody else reads are computed in place, which saves a pass through memory each.
"""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F
from torch.nn.utils import parametrize

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
RELUS = (F.relu, torch.relu)
ADDITIONS = (operator.add, torch.add)


@dataclass(frozen=True)
class Fold:
    """A layer, the normalisation after it, and the layer that stands for both."""

    layer: Any  # of the kinds in LINEAR
    norm: Any  # of the kinds in NORMS
    folded: Any  # of the kind of ``layer``

    def refresh(self) -> None:
        """Compute the folded weights from the layer's and the normalisation's as they are now."""
        layer, norm, folded = self.layer, self.norm, self.folded
        scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight
        torch.mul(layer.weight, scale.view(-1, *[1] * (layer.weight.ndim - 1)), out=folded.weight.data)
        offset = norm.running_mean if layer.bias is None else norm.running_mean - layer.bias
        torch.mul(offset, scale, out=folded.bias.data).neg_()
        if norm.bias is not None:
            folded.bias.data.add_(norm.bias)


class Fused:
    """The rewritten network."""

    def __init__(self, graph: fx.GraphModule, folds: list[Fold]) -> None:
        """Wrap what :func:`fuse` made."""
        self._graph, self._folds = graph, folds

    def __len__(self) -> int:
        """Return how many normalisations were folded."""
        return len(self._folds)

    @torch.inference_mode()
    def refresh(self) -> None:
        """Take over the weights the network has now."""
        for fold in self._folds:
            fold.refresh()

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the network makes of ``inputs``."""
        return self._graph(inputs)  # type: ignore[no-any-return]


@torch.inference_mode()
def fuse(model: nn.Module, sample: torch.Tensor) -> Fused:
    """Rewrite ``model``, which stays as it is; the two share parameters.

    Args:
        model: In evaluation mode.
        sample: A batch, from which shapes and dtypes inside the network are known.

    Raises:
        Exception: Whatever tracing raises: the network has control flow that depends on values, or does what
            torch.fx cannot follow.
    """
    graph = fx.symbolic_trace(model)
    ShapeProp(graph).propagate(sample)
    fused = Fused(graph, _fold_norms(graph))
    fused.refresh()
    ShapeProp(graph).propagate(sample)
    _compute_in_place(graph)
    graph.graph.lint()
    graph.recompile()
    return fused


def _fold_norms(graph: fx.GraphModule) -> list[Fold]:
    modules = dict(graph.named_modules())
    calls = [str(node.target) for node in graph.graph.nodes if node.op == "call_module"]
    folds: list[Fold] = []
    for node in list(graph.graph.nodes):
        if not _is_plain(node, modules, NORMS) or not modules[node.target].track_running_stats:
            continue
        before = node.args[0]
        if not isinstance(before, fx.Node) or not _is_plain(before, modules, LINEAR) or len(before.users) > 1:
            continue
        if calls.count(str(node.target)) > 1 or calls.count(str(before.target)) > 1:
            continue  # shared by two places of the network
        layer, norm = modules[before.target], modules[node.target]
        if isinstance(layer, nn.Linear) and len(before.meta["tensor_meta"].shape) != 2:
            continue  # its features are not the channels that are normalised
        folded = _with_own_weights(layer)
        name = f"folded_{len(folds)}"
        graph.add_submodule(name, folded)
        folds.append(Fold(layer, norm, folded))
        before.target = name
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    return folds


def _is_plain(node: fx.Node, modules: dict[str, nn.Module], kinds: tuple[type[nn.Module], ...]) -> bool:
    """Tell whether ``node`` calls exactly such a module, without hooks or parametrisations that change what it does."""
    if node.op != "call_module":
        return False
    module = modules[str(node.target)]
    hooked = module._forward_hooks or module._forward_pre_hooks
    return type(module) in kinds and not module.training and not hooked and not parametrize.is_parametrized(module)


def _with_own_weights(layer: Any) -> Any:
    """Return a layer that does what ``layer`` does, with weights and a bias of its own."""
    twin = copy.copy(layer)
    twin._parameters = {
        "weight": nn.Parameter(torch.empty_like(layer.weight), requires_grad=False),
        "bias": nn.Parameter(layer.weight.new_empty(len(layer.weight)), requires_grad=False),
    }
    return twin


def _compute_in_place(graph: fx.GraphModule) -> None:
    """Let sums and ReLUs overwrite their input where it is fresh memory that nothing else reads."""
    modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.target in ADDITIONS and not node.kwargs and len(node.args) == 2:
            target = next((arg for arg in node.args if _is_spare(arg, node, modules)), None)
            if target is not None:
                node.args = (target, *(arg for arg in node.args if arg is not target))
                node.target = operator.iadd
                node.meta["fresh"] = True
        elif _is_relu(node, modules) and _is_spare(node.args[0], node, modules):
            node.op, node.target, node.args, node.kwargs = "call_function", F.relu, node.args[:1], {"inplace": True}


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    is_function = node.op == "call_function" and node.target in RELUS and bool(node.args)
    return is_function or (node.op == "call_module" and type(modules[str(node.target)]) is nn.ReLU)


def _is_spare(value: Any, reader: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Tell whether ``value`` is memory a layer or sum has just filled, for ``reader`` alone, and fits its result."""
    if not isinstance(value, fx.Node) or list(value.users) != [reader] or reader.args.count(value) != 1:
        return False
    made_by_layer = _is_plain(value, modules, (*LINEAR, *NORMS))
    made_by_sum = (value.op == "call_function" and value.target in ADDITIONS) or "fresh" in value.meta
    mine, wanted = value.meta.get("tensor_meta"), reader.meta.get("tensor_meta")
    if mine is None or wanted is None:
        return False
    return (made_by_layer or made_by_sum) and mine.shape == wanted.shape and mine.dtype == wanted.dtype
