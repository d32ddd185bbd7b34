"""A step of a user: a function of the network and a batch that makes the forward pass and all losses itself.

``step(model, batch)`` returns values by name: each a number per sample ``(n,)``, the pair (total, weight) of the batch,
or the plain mean of the batch ``()``. The name ``loss`` must be among them. The measures of a run read one name each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lossgrid import user_code
from lossgrid.data.batch import Batch
from lossgrid.errors import InputError
from lossgrid.measures import gradients
from lossgrid.measures.description import LOSS, described, meaning
from lossgrid.measures.mean import Mean
from lossgrid.measures.metric import Metric
from lossgrid.measures.objective import USERS_UNITS, Objective, Terms
from lossgrid.measures.own_loss import terms_of, unfit

Values = dict[str, Terms]


def step_of(given: str | Callable[..., Any] | None) -> Step | None:
    """Return the step that ``--step`` names, or of a function; None of None.

    Raises:
        InputError: It cannot be loaded, or is no function.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return Step(user_code.load(given, role="step"), given)
    if not callable(given):
        raise InputError(f"--step: expected a function step(model, batch), got {type(given).__name__}")
    return Step(given, user_code.name_of(given))


@dataclass(frozen=True)
class Step:
    """A user's step.

    Attributes:
        function: ``function(model, batch)`` returns values by name.
        name: Its name in errors.
    """

    function: Callable[..., Any]
    name: str

    @property
    def needs_grad(self) -> bool:
        """Whether it takes derivatives by the inputs."""
        return gradients.asked_by(self.function)

    def __call__(self, model: Callable[..., Any], batch: Batch) -> Values:
        """Return the terms of each name for a batch: see :class:`.Objective`.

        Raises:
            InputError: The step raised, or its result is no dict of such values.
        """
        found = user_code.call(self.function, model, batch.given, name=self.name, role="step")
        if not isinstance(found, Mapping):
            raise InputError(
                f"step {self.name}: expected a dict of values by name, such as {{'loss': losses}}, got "
                f"{type(found).__name__}"
            )
        samples = batch.samples
        return {name: self._terms(name, value, samples, batch) for name, value in found.items()}

    def _terms(self, name: object, value: Any, samples: int, batch: Batch) -> Terms:
        if isinstance(value, torch.Tensor) and value.shape == (samples,) and not value.is_complex():
            return value.detach() if value.requires_grad else value, samples  # the usual case, without any detour
        device = batch.leaves[0].device
        if isinstance(value, (np.ndarray, np.number, float)):
            value = torch.as_tensor(value, device=device)
        terms = terms_of(value, samples, device)
        if terms is None:
            raise unfit(value, samples, f"step {self.name}: {name!r}")
        total, weight = terms
        return total.detach(), gradients.without_graph(weight)

    def objective(self, name: str = LOSS) -> Objective:
        """Return the objective of one of its values."""
        units = described(self.function, self.name, "units").get(name, USERS_UNITS)
        return Objective(f"{self.name}: {name}", self._picked(name), units, is_users=True, role="step")

    def metrics(self, names: Sequence[str]) -> list[Metric]:
        """Return the metrics of all values but the loss."""
        return [self._metric(name) for name in names if name != LOSS]

    def _metric(self, name: str) -> Metric:
        objective = self.objective(name)
        measure = Mean(name, objective.terms, lambda split: meaning(self.function, self.name, name, split))
        return Metric(measure, objective, is_users=True)

    def _picked(self, name: str) -> Callable[..., Terms]:
        def terms(values: Values, _: object) -> Terms:
            if name not in values:
                raise InputError(f"step {self.name}: one batch has no {name!r}, which the first has; return it always")
            return values[name]

        return terms
