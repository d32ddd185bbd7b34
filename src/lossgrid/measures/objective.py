"""The objective of a split: its loss, and for targets that can be right or wrong the terms of the accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import nn

from lossgrid.data.batch import Tree
from lossgrid.measures.labels import Labels
from lossgrid.measures.outputs import Reading

# Numbers whose sum is the loss of a batch times its weight; and the weight.
Terms = tuple[torch.Tensor, torch.Tensor | int]
# ``check(outputs, targets, every)`` raises InputError if a batch does not fit. ``every`` is all targets of the split;
# None if they are not in memory.
Check = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], None]
USERS_UNITS = "loss per sample"


@dataclass(frozen=True)
class Objective:
    """A loss over batches.

    Attributes:
        name: A name of ``LOSSES``, or the name of a user's function.
        terms: ``terms(outputs, targets)`` returns numbers whose sum is the loss of the batch times its weight, and the
            weight: the loss of every sample, shape ``(n,)``, and n; a total, shape ``(1,)``, and its weight; or totals
            and weights of the samples, shape ``(n,)`` each. The weight of the mean of a batch is n.
        units: Units of the loss.
        labels: How targets are read as classes; None if they are no classes.
        recognised: The terms of the accuracy, in the forms of ``terms``; None without accuracy.
        check: Raises InputError if outputs and targets do not fit the loss; None for a user's.
        by_weight: Whether ``terms`` returns totals and weights of the samples.
        is_users: Whether a user wrote the loss.
        takes_model: Whether the loss has a parameter ``model``; call :meth:`bound_to` before ``terms``.
        role: Its kind in errors, such as "loss function".
        needs_grad: Whether the loss takes derivatives by the inputs.
    """

    name: str
    terms: Callable[..., Terms]
    units: str
    labels: Labels | None = None
    recognised: Callable[[torch.Tensor, torch.Tensor], Terms] | None = None
    check: Check | None = None
    by_weight: bool = False
    is_users: bool = False
    takes_model: bool = False
    role: str = "loss function"
    needs_grad: bool = False

    def bound_to(self, model: nn.Module) -> Objective:
        """Return the same loss; a parameter ``model`` of it gets ``model``, the moving network."""
        return replace(self, terms=partial(self.terms, model=model), takes_model=False) if self.takes_model else self

    def of_outputs(self, reading: Reading) -> Objective:
        """Return the same loss of outputs of several tensors: what is built-in reads the one that the rule names."""
        if not reading.about:
            return self
        terms = self.terms if self.is_users else reading.before(self.terms)
        return replace(self, terms=terms, recognised=reading.before(self.recognised), check=reading.before(self.check))

    def without_accuracy(self) -> Objective:
        """Return the loss alone, of targets that are no classes."""
        return replace(self, labels=None, recognised=None)

    def sums(self, outputs: torch.Tensor, targets: Tree) -> torch.Tensor:
        """Return the sums of a batch: a row ``[total, weight]`` for the loss and, if measured, one for the accuracy.

        Args:
            outputs: Outputs of the network for the batch; logits ``(n, num_classes)`` for classes.
            targets: Targets of the batch, ``(n, ...)`` each.

        Returns:
            Shape ``(1, 2)`` or ``(2, 2)``, float64, on the device; the number of correct samples is NaN where the
            largest score of a sample is not finite.
        """
        terms, weight = self.terms(outputs, targets)
        rows = [terms.sum(dtype=torch.float64), as_number(weight, terms)]
        if self.recognised is not None:
            right, count = self.recognised(outputs, targets)
            rows += [right.sum(), as_number(count, terms)]
        return torch.stack(rows).reshape(-1, 2)


def as_number(weight: torch.Tensor | int, like: torch.Tensor) -> torch.Tensor:
    """Return a weight, or the sum of weights, as a tensor of shape ``()``, float64, on the device of ``like``."""
    if isinstance(weight, torch.Tensor):
        return weight.to(torch.float64).reshape(()) if weight.numel() == 1 else weight.sum(dtype=torch.float64)
    return _number(weight, like.device)


@cache
def _number(value: int, device: torch.device) -> torch.Tensor:
    """Return a whole number on a device; made once, as nearly all batches have as many samples."""
    with torch.inference_mode(False):  # a training needs it too
        return torch.full((), value, dtype=torch.float64, device=device)


def per_sample(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Callable[..., Terms]:
    """Return the terms of a loss that is the mean over the samples of ``function(outputs, targets)``, ``(n,)``."""

    def terms(outputs: torch.Tensor, targets: torch.Tensor) -> Terms:
        return function(outputs, targets), len(targets)

    return terms


def mean_of_sample(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of each sample, ``(n, ...)`` to ``(n,)``, float64: a sequence of tokens counts as one sample."""
    return values.flatten(1).mean(dim=1, dtype=torch.float64) if values.ndim > 1 else values


def sum_of_sample(values: torch.Tensor) -> torch.Tensor:
    """Return the sum of each sample, ``(n, ...)`` to ``(n,)``, float64."""
    return values.reshape(len(values), -1).sum(dim=1, dtype=torch.float64)


def full_precision(outputs: torch.Tensor) -> torch.Tensor:
    """Return outputs in at least float32: the loss of bfloat16 outputs is computed in float32."""
    return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs


def right_of_sample(which: torch.Tensor, highest: torch.Tensor) -> torch.Tensor:
    """Return the number of each sample's targets that are True in ``which``, shape ``(n,)``, float64.

    All numbers are NaN if a score in ``highest`` is not finite.
    """
    return torch.where(highest.isfinite().all(), sum_of_sample(which), torch.nan)


def fraction_of_sample(which: torch.Tensor, highest: torch.Tensor) -> torch.Tensor:
    """Return the fraction of each sample that is True in ``which``, shape ``(n,)``, float64.

    All fractions are NaN if a score in ``highest`` is not finite.
    """
    return torch.where(highest.isfinite().all(), mean_of_sample(which).double(), torch.nan)
