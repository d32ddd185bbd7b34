"""What is measured on a batch: the loss of every sample, and for classes whether it was recognised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from lossgrid import userfn
from lossgrid.errors import InputError

SampleLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """A loss over batches.

    Attributes:
        name: ``cross_entropy``, ``mse``, or a user's function.
        per_sample: ``per_sample(outputs, targets)`` returns the loss of every sample, shape ``(n,)``.
        units: What the loss counts.
        counts_correct: Whether accuracy is measured too: the targets are classes.
    """

    name: str
    per_sample: SampleLoss
    units: str
    counts_correct: bool

    def sums(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the sum of losses and, where counted, of correct samples, shape ``(1,)`` or ``(2,)``, float64.

        Args:
            outputs: What the network made of a batch; logits ``(n, num_classes)`` for classes.
            targets: Its targets, ``(n, ...)``.
        """
        loss = self.per_sample(outputs, targets).sum(dtype=torch.float64)
        if not self.counts_correct:
            return loss.reshape(1)
        correct = _mean_of_sample(outputs.argmax(dim=1) == targets).sum(dtype=torch.float64)
        return torch.stack([loss, correct])


def make_objective(loss: str | Callable[..., object], *, classification: bool) -> Objective:
    """Return the objective for targets that are classes or not.

    Args:
        loss: ``cross_entropy``, ``mse`` (for classes the mean over them of (softmax - one-hot)^2, as the reference
            tool has it), ``package.module:function``, or a function ``loss(outputs, targets)`` that returns the mean
            of the batch or a number per sample.
        classification: Whether targets are classes; then accuracy is measured too.

    Raises:
        InputError: The name is unknown, or the loss does not fit the targets.
    """
    if not isinstance(loss, str):
        name = getattr(loss, "__qualname__", type(loss).__qualname__)
        return Objective(name, _users_loss(loss, name), "loss per sample", classification)
    name = loss
    if userfn.is_reference(name):
        function = userfn.load(name, role="loss function")
        return Objective(name, _users_loss(function, name), "loss per sample", classification)
    if name == "cross_entropy":
        if not classification:
            raise InputError("--loss cross_entropy needs integer classes as targets; for real numbers use --loss mse")
        return Objective(name, _cross_entropy, "nats per sample", True)
    if name == "mse":
        loss = _mse_of_classes if classification else _mse
        return Objective(name, loss, "squared error per sample", classification)
    raise InputError(f"--loss: expected cross_entropy, mse or package.module:function, got {name!r}")


def _cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return _mean_of_sample(F.cross_entropy(_full_precision(outputs), targets, reduction="none"))


def _mse_of_classes(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over classes of (softmax - one-hot)^2, as the reference tool defines it."""
    outputs = _full_precision(outputs)
    one_hot = F.one_hot(targets, outputs.shape[1]).movedim(-1, 1)
    return _mean_of_sample((outputs.softmax(dim=1) - one_hot).square())


def _mse(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    outputs = _full_precision(outputs)
    if outputs.shape != targets.shape and outputs.numel() == targets.numel():
        outputs = outputs.reshape(targets.shape)  # (n, 1) against (n,)
    if outputs.shape != targets.shape:
        raise InputError(f"--loss mse: outputs have shape {tuple(outputs.shape)}, targets {tuple(targets.shape)}")
    return _mean_of_sample((outputs - targets).square())


def _mean_of_sample(values: torch.Tensor) -> torch.Tensor:
    """Average all that belongs to a sample, ``(n, ...)`` to ``(n,)``: a sequence of tokens counts as one sample."""
    return values.flatten(1).mean(dim=1, dtype=torch.float64) if values.ndim > 1 else values


def _full_precision(outputs: torch.Tensor) -> torch.Tensor:
    """Compute the loss in at least float32, also of bfloat16 outputs."""
    return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs


def _users_loss(function: Callable[..., object], name: str) -> SampleLoss:
    """Wrap a user's loss, which may return the mean over the batch, a scalar, or one number per sample, ``(n,)``."""

    def per_sample(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss = userfn.call(function, outputs, targets, name=name, role="loss function")
        samples = len(targets)
        if not isinstance(loss, torch.Tensor) or loss.shape not in ((), (samples,)):
            given = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise InputError(
                f"loss function {name}: expected a tensor with the mean of the batch, shape (), or a number per "
                f"sample, shape ({samples},), got {given}"
            )
        return loss.expand(samples) if loss.ndim == 0 else loss

    return per_sample
