"""The weights a training starts from."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from lossgrid.settings.train import Init

OF_LINEAR_LAYERS = 1e-3


@torch.no_grad()
def draw_weights(model: nn.Module, init: Init) -> None:
    """Draw the weights of a network anew, in place, from torch's generator, or leave them as the network made them.

    With ``he`` those of convolutions are normal with variance 2 / fan-in (He et al., "Delving Deep into Rectifiers",
    ICCV 2015, equation 10), those of linear layers normal with a deviation of 0.001, biases are 0, and normalisation
    layers do nothing, as the networks of Li et al. started. PyTorch's own convolutions start with a variance of
    1 / (3 fan-in): with batch normalisation behind them the network computes the same, but the same learning rate turns
    the weights six times as fast.

    Args:
        model: The network.
        init: ``model`` for its own, or ``he``.
    """
    if init == "model":
        return
    for module in model.modules():
        if isinstance(module, _ConvNd):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=OF_LINEAR_LAYERS)
        elif isinstance(module, _BatchNorm):
            module.reset_parameters()
            continue
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
