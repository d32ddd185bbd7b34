"""What changes the parameters, and how fast: the optimizer and its learning rate, which is set update by update."""

from __future__ import annotations

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR

from lossgrid.settings import TrainConfig


def make_optimizer(config: TrainConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Return SGD, with Nesterov's momentum where there is any, or Adam; weight decay is part of the gradient in both.

    As in the paper's code all parameters decay, those of normalisation layers and biases too.
    """
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=config.rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        model.parameters(), lr=config.rate, momentum=config.momentum, nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
    )  # fmt: skip


def make_schedule(config: TrainConfig, optimizer: torch.optim.Optimizer, updates: int) -> LRScheduler:
    """Return what sets the learning rate; to be stepped after each update.

    * ``steps``: multiplied by ``lr_factor`` once each of ``lr_steps`` epochs is over.
    * ``cosine``: falls to 0 as half a cosine.
    * ``onecycle``: rises from 1/25 for 30 % of the updates, then falls to nothing (Smith & Topin, 2018); the momentum
      stays as it is.

    Args:
        config: The settings.
        optimizer: The optimizer.
        updates: Updates of an epoch.
    """
    if config.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=config.epochs * updates)
    if config.schedule == "onecycle":
        total = config.epochs * updates
        return OneCycleLR(optimizer, max_lr=config.rate, total_steps=total, cycle_momentum=False)
    return MultiStepLR(optimizer, [epoch * updates for epoch in config.lr_steps], gamma=config.lr_factor)
