"""The protocol of a built-in loss: its arguments, and its objective for a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from lossgrid.errors import InputError
from lossgrid.measures.argument import Argument
from lossgrid.measures.objective import Objective


@dataclass(frozen=True)
class Loss:
    """A built-in loss.

    Attributes:
        name: Its name in ``--loss``.
        arguments: Its arguments by name, each with the function that checks it.
        make: ``make(arguments, classification)`` returns the objective of a split; ``classification`` tells whether
            its targets are integers. It raises InputError if the loss cannot be of such targets.
    """

    name: str
    arguments: Mapping[str, Argument]
    make: Callable[[Mapping[str, Any], bool], Objective]


def constant(numbers: Sequence[float]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a function of a tensor that returns ``numbers`` with its dtype, on its device.

    They are copied to a device once: a CUDA graph cannot record a copy from the host.
    """

    @cache
    def made(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
        with torch.inference_mode(False):  # a training needs it too
            return torch.tensor(numbers, dtype=dtype, device=device)

    return lambda like: made(like.dtype, like.device)


def refuse_complex(loss: str, *tensors: torch.Tensor) -> None:
    """Raise InputError if a tensor is complex."""
    if any(tensor.is_complex() for tensor in tensors):
        raise InputError(f"--loss {loss} takes real numbers, got complex ones; use --loss mse, or a loss of your own")


def alike(loss: str, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return outputs in the shape of the targets; one column fits targets without that dimension.

    Args:
        loss: The name of the loss, for errors.
        outputs: Outputs of the network, ``(n, ...)``.
        targets: Targets, ``(n, ...)``.

    Raises:
        InputError: The shapes differ.
    """
    if outputs.shape == targets.shape:
        return outputs
    if outputs.ndim > 1 and outputs.shape[1] == 1 and outputs.shape[:1] + outputs.shape[2:] == targets.shape:
        return outputs.squeeze(1)  # (n, 1) against (n,)
    if targets.ndim > 1 and targets.shape[1] == 1 and targets.shape[:1] + targets.shape[2:] == outputs.shape:
        return outputs.unsqueeze(1)
    raise InputError(
        f"--loss {loss}: expected outputs of the shape of the targets, {tuple(targets.shape)}, got "
        f"{tuple(outputs.shape)}; check the number of outputs, such as --model-arg num_classes, and the targets"
    )
