"""Measures of users: a function of outputs and targets, or an object with update, compute and reset.

The second is what torchmetrics has (https://lightning.ai/docs/torchmetrics), and what others have after it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lossgrid import user_code
from lossgrid.errors import InputError
from lossgrid.measures.mean import Mean
from lossgrid.measures.measure import Measure
from lossgrid.measures.objective import Objective, of_user
from lossgrid.surface import Quantity
from lossgrid.surface.quantity import from_json

METHODS = ("update", "compute", "reset")


def of_function_or_object(name: str, given: Any, source: str) -> tuple[Measure, Objective | None]:
    """Return the measure that a user calls ``name``.

    Args:
        name: The name of its quantity, after that of the split.
        given: A function ``f(outputs, targets)`` that returns what a loss may return; or an object with ``update``,
            ``compute`` and ``reset``, or its class.
        source: What it is called in errors.

    Returns:
        The measure, and of a function the objective by which it can be checked.

    Raises:
        InputError: It is neither.
    """
    if _has_methods(given):
        made = user_code.call(given, name=source, role="metric") if inspect.isclass(given) else given
        return Updated(name, made, source), None
    if not callable(given):
        raise InputError(f"metric {source}: expected a function, or an object with {', '.join(METHODS)}")
    objective = of_user(given, source, role="metric")
    return Mean(name, objective.terms, lambda split: meaning(name, split, given)), objective


def _has_methods(given: Any) -> bool:
    return all(callable(getattr(given, method, None)) for method in METHODS)


def meaning(name: str, split: str, given: Any) -> Quantity:
    """Return what the value means: as the attributes ``units``, ``better``, ``bounds`` and ``varies`` of it say.

    Raises:
        InputError: They say what is none.
    """
    told = {
        "units": getattr(given, "units", ""),
        "better": getattr(given, "better", _better(given)),
        "bounds": getattr(given, "bounds", (None, None)),
        "varies": getattr(given, "varies", "by differences"),
    }
    try:
        return from_json({"name": f"{split}_{name}", "split": split, "kind": name, **told})
    except ValueError as error:
        raise InputError(f"metric {name}: {error}") from None


def _better(given: Any) -> str:
    return "higher" if getattr(given, "higher_is_better", False) is True else "lower"  # as torchmetrics says it


@dataclass(frozen=True)
class Updated:
    """An object that keeps its own state.

    Attributes:
        name: What it is called.
        metric: The object.
        source: What it is called in errors.
    """

    name: str
    metric: Any
    source: str
    of_classes: bool = False
    is_recordable: bool = False

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return what the value means, for a split."""
        return (meaning(self.name, split, self.metric),)

    def start(self, device: torch.device) -> torch.Tensor:
        """Have the object forget what it has seen; return nothing."""
        if callable(getattr(self.metric, "to", None)):
            self._call(self.metric.to, device)
        self._call(self.metric.reset)
        return torch.empty(0, dtype=torch.float64, device=device)

    def add(self, state: torch.Tensor, outputs: torch.Tensor, targets: torch.Tensor) -> None:  # noqa: ARG002
        """Show the object a batch."""
        self._call(self.metric.update, outputs, targets)

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the object has come to, shape ``(1,)``, float64, and NaN: it tells no standard error.

        Raises:
            InputError: It is no number.
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
