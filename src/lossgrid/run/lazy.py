"""Lazy modules: they take their shapes from the first batch that they see."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from torch.nn.parameter import is_lazy

from lossgrid import data, user_code
from lossgrid.data.batch import apply
from lossgrid.evaluation.calling import call

log = logging.getLogger(__name__)

FEW = 2  # samples


def settle(model: torch.nn.Module, splits: Mapping[str, data.Split], *, name: str, seed: int) -> bool:
    """Give lazy modules of ``model`` their shapes, by one pass of a few samples; return whether it has some.

    The initial weights are drawn with ``seed``, so that all ranks have the same.

    Args:
        model: The network, on the CPU.
        splits: The data; the first split is used.
        name: Name of the network, for errors.
        seed: Seed of the initial weights.

    Raises:
        InputError: The network fails on the samples.
    """
    lazy = [entry for entry, tensor in (*model.named_parameters(), *model.named_buffers()) if is_lazy(tensor)]
    split = next(iter(splits.values()), None)
    if not lazy or split is None:
        return False
    inputs, _ = split.read(range(min(FEW, split.samples)))
    inputs = apply(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor, inputs)
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    torch.manual_seed(seed)
    with torch.no_grad():  # not inference mode, in which parameters could not be made
        user_code.call(call, model, inputs, name=f"{name}, run once for the shapes of its lazy modules,", role="model")
    for module, training in was_training.items():
        module.training = training
    log.info("model %s: lazy modules, such as that of %s, have their shapes from the data", name, lazy[0])
    return True
