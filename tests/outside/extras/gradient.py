"""A direction source: along the gradient of the loss, and at random across it."""

import torch
from torch.nn import functional as F

from lossgrid.directions import Around, Entries, Random


def gradient(around: Around, axes: int) -> list[Entries]:
    """Return the gradient of the mean loss, then random directions."""
    inputs, targets = around.splits["train"].tensors  # type: ignore[misc]
    inputs = inputs.to(next(around.model.parameters()).dtype)
    theta = {name: entry.detach().clone().requires_grad_() for name, entry in around.model.named_parameters()}
    loss = F.cross_entropy(torch.func.functional_call(around.model, theta, inputs), targets)
    along = dict(zip(theta, torch.autograd.grad(loss, list(theta.values())), strict=True))
    return [along, *(Random(seed=1).of_axis(around.model, axis) for axis in range(1, axes))]
