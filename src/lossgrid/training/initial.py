"""The initial weights of a training."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from lossgrid.settings.train import Init

OF_LINEAR_LAYERS = 1e-3  # standard deviation


@torch.no_grad()
def draw_weights(model: nn.Module, init: Init) -> None:
    """Initialise the weights of a network in place, from torch's generator, or keep its own initial weights.

    ``he`` initialises as Li et al. did. Weights of convolutions are normal with variance 2 / fan-in (He et al.,
    "Delving Deep into Rectifiers", ICCV 2015, equation 10). Weights of linear layers are normal with a standard
    deviation of 0.001. Biases are 0; normalisation layers are reset. PyTorch's own convolutions have a variance of
    1 / (3 fan-in). Before batch normalisation both give the same outputs, but the same learning rate turns PyTorch's
    weights six times as fast.

    Args:
        model: The network.
        init: ``model`` for the network's own initial weights, or ``he``.
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
