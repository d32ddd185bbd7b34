"""Batch normalisation folded into the convolutions and linear layers before it.

In evaluation mode batch normalisation is an affine map of each channel, ``y = s (x - mean) + b`` with
``s = gamma / sqrt(var + eps)``, so what follows a convolution can be put into its weights: ``w' = s w``,
``b' = s (bias - mean) + b`` (as torch.nn.utils.fusion does once and for all). Here the weights move from point to
point: the network is rewritten once, and its folded weights are computed anew at every point, from a few numbers.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from lossgrid.evaluation.graph import LINEAR, NORMS, is_plain


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


def fold_norms(graph: fx.GraphModule) -> list[Fold]:
    """Take out of ``graph`` every normalisation that only scales what a layer of its own puts out.

    Args:
        graph: With the shapes of its values, as :func:`lossgrid.evaluation.graph.trace` leaves them.
    """
    modules = dict(graph.named_modules())
    calls = [str(node.target) for node in graph.graph.nodes if node.op == "call_module"]
    folds: list[Fold] = []
    for node in list(graph.graph.nodes):
        if not is_plain(node, modules, NORMS) or not modules[node.target].track_running_stats:
            continue
        before = node.args[0]
        if not isinstance(before, fx.Node) or not is_plain(before, modules, LINEAR) or len(before.users) > 1:
            continue
        if calls.count(str(node.target)) > 1 or calls.count(str(before.target)) > 1:
            continue  # shared by two places of the network
        layer, norm = modules[str(before.target)], modules[node.target]
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


def _with_own_weights(layer: Any) -> Any:
    """Return a layer that does what ``layer`` does, with weights and a bias of its own."""
    twin = copy.copy(layer)
    twin._parameters = {
        "weight": nn.Parameter(torch.empty_like(layer.weight), requires_grad=False),
        "bias": nn.Parameter(layer.weight.new_empty(len(layer.weight)), requires_grad=False),
    }
    return twin
