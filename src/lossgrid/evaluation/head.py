"""The last linear layer of a network, computed in float32 where the other layers compute in bfloat16.

Its outputs are the logits. Rounding them to the 8 bits of bfloat16 would add a larger error to the loss than all layers
before. The layer takes almost no time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lossgrid.evaluation.device import Device


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32 even under autocast."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x W^T + b``, float32, shape ``(..., out_features)``."""
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x.float(), self.weight, self.bias)


@torch.inference_mode()
def keep_head_in_float32(model: nn.Module, forward: Callable[[], object], device: Device) -> None:
    """Make the linear layer of ``model`` that is called last compute in float32.

    Args:
        model: On its device; it is changed, unless ``forward`` fails.
        forward: Makes a forward pass of a few samples.
        device: The device and its precision.
    """
    called: list[nn.Linear] = []

    def note(layer: Any, _inputs: object, _output: object) -> None:
        called.append(layer)

    hooks = [layer.register_forward_hook(note) for layer in model.modules() if type(layer) is nn.Linear]
    try:
        with device.autocast():
            forward()
    except Exception:  # compatibility.py reports the error
        return
    finally:
        for hook in hooks:
            hook.remove()
    if called:
        called[-1].__class__ = Float32Linear


def give_head_back(model: nn.Module) -> None:
    """Undo :func:`keep_head_in_float32`."""
    given_back: list[nn.Module] = [layer for layer in model.modules() if type(layer) is Float32Linear]
    for layer in given_back:
        layer.__class__ = nn.Linear
