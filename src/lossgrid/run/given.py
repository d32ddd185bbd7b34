"""A study of what Python gives: a network, data, directions and measures that a notebook or a script already holds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from lossgrid import data, models
from lossgrid.directions import Choice, Directions, Network, moving, source_of
from lossgrid.errors import InputError
from lossgrid.evaluation.closure import refuse_aliases, refuse_closure
from lossgrid.measures import make_metric, step_of, users_metric
from lossgrid.parallel import World, collective, collectively
from lossgrid.run.lazy import settle
from lossgrid.run.study import Study, objectives_of
from lossgrid.settings import RunConfig
from lossgrid.user_code import name_of, source_digest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Given:
    """Things in place of names.

    Attributes:
        model: The trained network; it is copied and stays as it is.
        data: The data of the split ``train``, or a dict of them by split; see :func:`lossgrid.data.by_split`.
        loss: A name or a function.
        loss_args: Arguments of a built-in loss, as JSON types.
        metrics: What to measure too, by name; what stands for itself is given by its name alone.
        directions: ``"random"``, a file, tensors by entry, or a function that makes these.
        to: Networks towards which the axes lead.
        max_samples: So many samples of each split; None for all.
        collate: Makes a batch of a list of samples; None: that of a DataLoader, or samples are stacked.
        step: A name or a function in place of losses and metrics; None for none.
    """

    model: torch.nn.Module
    data: Any
    loss: str | Callable[..., Any]
    loss_args: Mapping[str, Any]
    metrics: Sequence[tuple[str, Any]]
    directions: Directions
    to: Sequence[Network]
    max_samples: int | None
    collate: Callable[..., Any] | None = None
    step: str | Callable[..., Any] | None = None

    @cached_property
    def splits(self) -> dict[str, Any]:
        """The data by split."""
        return data.by_split(self.data)

    @property
    def _is_left_to_step(self) -> bool:
        """Whether a step returns the loss, and no other loss was given."""
        return self.step is not None and self.loss == "cross_entropy"

    def settings(self) -> dict[str, Any]:
        """Return the settings that say in words what was given."""
        return {
            "model": f"{type(self.model).__module__}.{type(self.model).__qualname__}",
            "data": "given",
            "splits": tuple(self.splits),
            **(
                {}
                if self._is_left_to_step
                else {"loss": self.loss if isinstance(self.loss, str) else name_of(self.loss)}
            ),
            "loss_arg": dict(self.loss_args),
            "metric": tuple(name if thing == name else f"{name}={name_of(thing)}" for name, thing in self.metrics),
            "step": self.step if self.step is None or isinstance(self.step, str) else name_of(self.step),
            "directions": str(self.directions) if isinstance(self.directions, (str, Path)) else "given",
            "max_samples": self.max_samples,
        }

    @collective
    def load(self, config: RunConfig, world: World) -> Study:
        """Return the study; each rank has its own network and data, given by its own script.

        Raises:
            InputError: Something given cannot work; the text says what and why.
        """
        return collectively(world, lambda: self._load(config))

    def _load(self, config: RunConfig) -> Study:
        refuse_closure(self.loss, self.model)
        refuse_closure(self.step, self.model, role="step")
        for _, thing in self.metrics:
            refuse_closure(thing, self.model, role="metric")
        refuse_aliases(self.model)
        name = type(self.model).__name__
        own = models.widened(models.copy_of(self.model, name=name, lazy=True).cpu())
        loaded = {
            name: data.split_of(split, source=f"data {name!r}", max_samples=self.max_samples, collate=self.collate)
            for name, split in self.splits.items()
        }
        if settle(own, loaded, name=name, seed=config.model_seed):
            log.warning("model %s has lazy modules that have seen no data: their weights are random", name)
        models.check_module(own, name=name)
        choice = Choice(**config.choice)
        if choice and not (isinstance(self.directions, (str, Path)) or callable(self.directions)):
            raise InputError(f"{choice} cannot be given with directions, which name the entries that they move")
        if self.to and self.directions != "random":
            raise InputError("give either to or directions, not both")
        if len(self.to) > len(config.grid.shape):
            raise InputError(f"to names {len(self.to)} networks, which span a plane: give beta too")
        moves = moving(own, choice)
        own = (own.double() if self.to and config.precision == "float64" else own).eval().requires_grad_(False)
        networks = [(f"to[{i}]", network) for i, network in enumerate(self.to)]
        source = source_of(config, directions=self.directions, to=networks)
        things = {"model": type(self.model), "loss": self.loss, **{f"metric {name}": one for name, one in self.metrics}}
        things |= {} if self.step is None else {"step": self.step}
        things |= {} if self.collate is None else {"collate_fn": self.collate}
        sources = {role: source_digest(thing) for role, thing in things.items() if not isinstance(thing, str)}
        asked = [
            make_metric(name) if thing == name else users_metric(name, thing, name) for name, thing in self.metrics
        ]
        step = step_of(self.step)
        objectives = objectives_of(self.loss, loaded, self.loss_args) if step is None else {}
        return Study(own, loaded, objectives, source, sources=sources, metrics=asked, step=step, moves=moves)
