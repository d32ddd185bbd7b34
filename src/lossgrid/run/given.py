"""A study of what Python gives: a network, data, directions and measures that a notebook or a script already holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lossgrid import data, models
from lossgrid.directions import Directions, Network, source_of
from lossgrid.errors import InputError
from lossgrid.evaluation.closure import refuse_aliases, refuse_closure
from lossgrid.measures import make_metric, users_metric
from lossgrid.run.study import Study, objectives_of
from lossgrid.settings import RunConfig
from lossgrid.user_code import name_of, source_digest


@dataclass(frozen=True)
class Given:
    """Things in place of names.

    Attributes:
        model: The trained network; it is copied and stays as it is.
        splits: The data by split, each a pair of inputs and targets or a Dataset.
        loss: A name or a function.
        loss_args: Arguments of a built-in loss, as JSON types.
        metrics: What to measure too, by name; what stands for itself is given by its name alone.
        directions: ``"random"``, a file, tensors by entry, or a function that makes these.
        to: Networks towards which the axes lead.
        max_samples: So many samples of each split; None for all.
    """

    model: torch.nn.Module
    splits: Mapping[str, Any]
    loss: str | Callable[..., Any]
    loss_args: Mapping[str, Any]
    metrics: Sequence[tuple[str, Any]]
    directions: Directions
    to: Sequence[Network]
    max_samples: int | None

    def settings(self) -> dict[str, Any]:
        """Return the settings that say in words what was given."""
        return {
            "model": f"{type(self.model).__module__}.{type(self.model).__qualname__}",
            "data": "given",
            "splits": tuple(self.splits),
            "loss": self.loss if isinstance(self.loss, str) else name_of(self.loss),
            "loss_arg": dict(self.loss_args),
            "metric": tuple(name if thing == name else f"{name}={name_of(thing)}" for name, thing in self.metrics),
            "directions": str(self.directions) if isinstance(self.directions, (str, Path)) else "given",
            "max_samples": self.max_samples,
        }

    def load(self, config: RunConfig) -> Study:
        """Return the study.

        Raises:
            InputError: Something given cannot work; the text says what and why.
        """
        refuse_closure(self.loss, self.model)
        for _, thing in self.metrics:
            refuse_closure(thing, self.model, role="metric")
        refuse_aliases(self.model)
        own = models.copy_of(self.model, name=type(self.model).__name__).cpu().eval().requires_grad_(False)
        loaded = {
            name: data.split_of(split, source=f"data {name!r}", max_samples=self.max_samples)
            for name, split in self.splits.items()
        }
        if self.to and self.directions != "random":
            raise InputError("give either to or directions, not both")
        if len(self.to) > len(config.grid.shape):
            raise InputError(f"to names {len(self.to)} networks, which span a plane: give beta too")
        networks = [(f"to[{i}]", network) for i, network in enumerate(self.to)]
        source = source_of(config, directions=self.directions, to=networks)
        things = {"model": type(self.model), "loss": self.loss, **{f"metric {name}": one for name, one in self.metrics}}
        sources = {role: source_digest(thing) for role, thing in things.items() if not isinstance(thing, str)}
        asked = [
            make_metric(name) if thing == name else users_metric(name, thing, name) for name, thing in self.metrics
        ]
        return Study(
            own, loaded, objectives_of(self.loss, loaded, self.loss_args), source, sources=sources, metrics=asked
        )
