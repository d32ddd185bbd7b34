"""Metrics of users: a function of outputs and targets, or an object with update, compute and reset.

The second is the interface of torchmetrics (https://lightning.ai/docs/torchmetrics); other libraries share it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lossgrid import user_code
from lossgrid.data.batch import Tree
from lossgrid.errors import InputError
from lossgrid.measures.mean import Mean
from lossgrid.measures.metric import Metric
from lossgrid.measures.own_loss import of_user
from lossgrid.surface import Quantity
from lossgrid.surface.quantity import from_json

METHODS = ("update", "compute", "reset")


def of_function_or_object(name: str, given: Any, source: str) -> Metric:
    """Return the metric of a user's function or object.

    Args:
        name: The name of its quantity without the split.
        given: A function ``f(outputs, targets)`` that returns what a loss may return; or an object with ``update``,
            ``compute`` and ``reset``, or the class of such objects.
        source: Its name in errors.

    Raises:
        InputError: ``given`` is neither.
    """
    if _has_methods(given):
        metric = user_code.call(given, name=source, role="metric") if inspect.isclass(given) else given
        return Metric(Accumulator(name, metric, source), is_users=True)
    if not callable(given):
        raise InputError(f"metric {source}: expected a function, or an object with {', '.join(METHODS)}")
    objective = of_user(given, source, role="metric")
    measure = Mean(name, objective.terms, lambda split: meaning(name, split, given))
    return Metric(measure, objective, is_users=True)


def _has_methods(given: Any) -> bool:
    return all(callable(getattr(given, method, None)) for method in METHODS)


def meaning(name: str, split: str, given: Any) -> Quantity:
    """Return the quantity, described by the attributes ``units``, ``better``, ``bounds`` and ``varies`` of ``given``.

    Raises:
        InputError: An attribute has a value that it cannot have.
    """
    described = {
        "units": getattr(given, "units", ""),
        "better": getattr(given, "better", _better(given)),
        "bounds": getattr(given, "bounds", (None, None)),
        "varies": getattr(given, "varies", "by differences"),
    }
    try:
        return from_json({"name": f"{split}_{name}", "split": split, "kind": name, **described})
    except ValueError as error:
        raise InputError(f"metric {name}: {error}") from None


def _better(given: Any) -> str:
    return "higher" if getattr(given, "higher_is_better", False) is True else "lower"  # the attribute of torchmetrics


@dataclass(frozen=True)
class Accumulator:
    """The measure of a user's object that accumulates batches in a state of its own.

    Attributes:
        name: The name of its quantity without the split.
        metric: The object, with ``update``, ``compute`` and ``reset``.
        source: Its name in errors.
    """

    name: str
    metric: Any
    source: str
    of_classes: bool = False
    is_recordable: bool = False

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return the quantity of a split."""
        return (meaning(self.name, split, self.metric),)

    def start(self, device: torch.device) -> torch.Tensor:
        """Reset the object and bring it to ``device``; return an empty state, shape ``(0,)``, float64."""
        if callable(getattr(self.metric, "to", None)):
            self._call(self.metric.to, device)
        self._call(self.metric.reset)
        return torch.empty(0, dtype=torch.float64, device=device)

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: Tree) -> None:  # noqa: ARG002
        """Update the object with a batch."""
        self._call(self.metric.update, outputs, targets)

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the object computes, shape ``(1,)``, float64, and NaN: its standard error is not known.

        Raises:
            InputError: ``compute()`` returns anything but one real number.
        """
        found = self._call(self.metric.compute)
        unknown = torch.full((1,), torch.nan, dtype=torch.float64, device=state.device)
        if isinstance(found, (int, float)) and not isinstance(found, bool):
            return torch.full_like(unknown, found), unknown
        if isinstance(found, torch.Tensor) and found.numel() == 1 and not found.is_complex():
            return found.detach().reshape(1).to(state.device, torch.float64), unknown
        raise InputError(f"metric {self.source}: expected one number from compute(), got {type(found).__name__}")

    def _call(self, method: Callable[..., Any], *given: Any) -> Any:
        return user_code.call(method, *given, name=self.source, role="metric")
