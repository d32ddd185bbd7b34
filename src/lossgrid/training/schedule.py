"""The optimizer and the schedule of its learning rate, which changes after each update."""

from __future__ import annotations

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR

from lossgrid.settings import TrainConfig


def make_optimizer(config: TrainConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    """Return SGD, with Nesterov momentum unless it is 0, or Adam; both add weight decay to the gradient.

    As in the paper's code all parameters decay, including biases and those of normalisation layers.
    """
    if config.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=config.rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        model.parameters(), lr=config.rate, momentum=config.momentum, nesterov=config.momentum > 0,
        weight_decay=config.weight_decay,
    )  # fmt: skip


def make_schedule(config: TrainConfig, optimizer: torch.optim.Optimizer, updates: int) -> LRScheduler:
    """Return the schedule of the learning rate; the caller steps it after each update.

    * ``steps``: multiplied by ``lr_factor`` after each epoch in ``lr_steps``.
    * ``cosine``: decays to 0 as half a cosine.
    * ``onecycle``: rises from 1/25 for 30 % of the updates, then decays to almost 0 (Smith & Topin, 2018); the
      momentum is constant.

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
