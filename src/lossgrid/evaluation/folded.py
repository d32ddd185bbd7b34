"""Batch normalisation folded into the convolutions and linear layers before it.

In evaluation mode batch normalisation is an affine map of each channel, ``y = s (x - mean) + b`` with
``s = gamma / sqrt(var + eps)``. After a convolution it can be folded into the weights: ``w' = s w``,
``b' = s (bias - mean) + b``. torch.nn.utils.fusion folds once. Here the weights move from point to point: the
network is rewritten once, and its folded weights are computed again at every point.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from lossgrid.evaluation.graph import LINEAR, NORMS, is_plain


@dataclass(frozen=True)
class Fold:
    """A layer, the normalisation after it, and the layer that replaces both."""

    layer: Any  # of the kinds in LINEAR
    norm: Any  # of the kinds in NORMS
    folded: Any  # of the kind of ``layer``


class Folds:
    """The folded weights of a network, computed for all normalisations at once, since each is small."""

    def __init__(self, folds: Sequence[Fold]) -> None:
        """Prepare :meth:`refresh`; the biases of the folded layers become views of one tensor."""
        norms, layers = [fold.norm for fold in folds], [fold.layer for fold in folds]
        self._variances = [norm.running_var for norm in norms]
        self._means = [norm.running_mean for norm in norms]
        self._gammas = [_or_constant(norm.weight, norm.running_var, 1.0) for norm in norms]
        self._betas = [_or_constant(norm.bias, norm.running_var, 0.0) for norm in norms]
        self._biases = [
            _or_constant(layer.bias, norm.running_var, 0.0) for layer, norm in zip(layers, norms, strict=True)
        ]
        self._eps = torch.cat([torch.full_like(norm.running_var, norm.eps) for norm in norms])
        self._scale, self._bias = torch.empty_like(self._eps), torch.empty_like(self._eps)
        sizes = [len(variance) for variance in self._variances]
        self._weights = []
        for fold, scale, bias in zip(
            folds, *(torch.split(flat, sizes) for flat in (self._scale, self._bias)), strict=True
        ):
            weight = fold.layer.weight
            self._weights.append((weight, scale.view(-1, *[1] * (weight.ndim - 1)), fold.folded.weight))
            fold.folded.bias.data = bias

    @torch.inference_mode()
    def refresh(self) -> None:
        """Compute the folded weights from the present weights of layers and normalisations."""
        torch.cat(self._variances, out=self._scale)
        self._scale.add_(self._eps).rsqrt_().mul_(torch.cat(self._gammas))
        torch.cat(self._biases, out=self._bias)
        self._bias.sub_(torch.cat(self._means)).mul_(self._scale).add_(torch.cat(self._betas))
        for weight, scale, folded in self._weights:
            torch.mul(weight, scale, out=folded)

    def poison(self) -> torch.Tensor:
        """Return 0, or NaN where a scale is not finite: a fused activation may turn NaN into 0 and hide it."""
        return self._scale.sum() * 0.0


def _or_constant(tensor: torch.Tensor | None, like: torch.Tensor, value: float) -> torch.Tensor:
    return torch.full_like(like, value) if tensor is None else tensor


def fold_norms(graph: fx.GraphModule) -> list[Fold]:
    """Remove every normalisation from ``graph`` that is the only user of a layer; return the folds.

    Args:
        graph: Traced by :func:`lossgrid.evaluation.graph.trace`, which records shapes; it is changed.
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
            continue  # the network calls the layer or the normalisation twice
        layer, norm = modules[str(before.target)], modules[node.target]
        if isinstance(layer, nn.Linear) and len(before.meta["tensor_meta"].shape) != 2:
            continue  # the normalised channels are not its features
        folded = _with_own_weights(layer)
        name = f"folded_{len(folds)}"
        graph.add_submodule(name, folded)
        folds.append(Fold(layer, norm, folded))
        before.target = name
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)
    return folds


def _with_own_weights(layer: Any) -> Any:
    """Return a copy of ``layer`` with weights and a bias of its own, not yet filled."""
    twin = copy.copy(layer)
    twin._parameters = {
        "weight": nn.Parameter(torch.empty_like(layer.weight), requires_grad=False),
        "bias": nn.Parameter(layer.weight.new_empty(len(layer.weight)), requires_grad=False),
    }
    return twin
