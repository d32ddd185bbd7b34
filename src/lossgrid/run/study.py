"""What a run evaluates: the network at theta*, the data, the measures; loaded alike on every rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from lossgrid import data, directions, models, readers, user_code
from lossgrid.digest import digest
from lossgrid.directions import DirectionSource, Entries, source_of
from lossgrid.errors import InputError
from lossgrid.evaluation.closure import refuse_aliases
from lossgrid.measures import Metric, Objective, make_metric, make_objective
from lossgrid.settings import ModelConfig, RunConfig
from lossgrid.surface.origin import Digests


@dataclass(frozen=True)
class Study:
    """The mathematics of a run, on the CPU.

    Attributes:
        model: The network at theta*. The evaluator takes it over; before that, nothing moves it.
        splits: The data.
        objectives: The loss of each split.
        source: Where directions come from.
        weights: Where theta* comes from: ``checkpoint``; ``given`` from Python; ``random``, of a built-in network
            without checkpoint; ``factory``, of a user's.
        sources: Digests of the source of what users wrote: ``model``, ``data``, ``loss``; to say what has changed.
        metrics: What is measured beside the loss and the accuracy.
    """

    model: torch.nn.Module
    splits: Mapping[str, data.Split]
    objectives: Mapping[str, Objective]
    source: DirectionSource
    weights: str = "given"
    sources: Mapping[str, str | None] = field(default_factory=dict)
    metrics: Sequence[Metric] = ()

    def digests(self, delta: Entries, eta: Entries | None) -> Digests:
        """Return what identifies network, directions and data, for resuming; the network must be at theta*."""
        return Digests(
            theta=digest(directions.states(self.model)),
            delta=digest(delta),
            eta=None if eta is None else digest(eta),
            data={name: split.digest() for name, split in self.splits.items()},
        )


def load_study(config: RunConfig) -> Study:
    """Load everything the settings name.

    Raises:
        InputError: Something cannot be found, or does not fit the rest.
    """
    splits = data.load(config.data, config.data_arg, splits=config.splits, max_samples=config.max_samples)
    model = load_model(config, data.facts(splits))
    source = source_of(config)
    metrics = [make_metric(text) for text in config.metric]
    without = "factory" if user_code.is_reference(config.model) else "random"
    weights = without if config.checkpoint is None else "checkpoint"
    objectives = objectives_of(config.loss, splits)
    return Study(model, splits, objectives, source, weights, _sources_of(config), metrics)


def objectives_of(loss: str | Callable[..., object], splits: Mapping[str, data.Split]) -> dict[str, Objective]:
    """Return the loss of each split.

    Raises:
        InputError: The loss is unknown or does not fit the targets.
    """
    for name, split in splits.items():
        refuse_several_targets(loss, name, split)
    return {name: make_objective(loss, classification=split.classification) for name, split in splits.items()}


def refuse_several_targets(loss: str | Callable[..., object], name: str, split: data.Split) -> None:
    """Refuse a built-in loss of targets that are several tensors.

    Raises:
        InputError: It is one of such.
    """
    if isinstance(loss, str) and not user_code.is_reference(loss) and "targets" not in split.names:
        several = ", ".join(part for part in split.names if part.startswith("targets"))
        raise InputError(
            f"--loss {loss} needs one tensor of targets, split {name!r} has {several}; give your own loss as "
            "package.module:function, which gets them as they are"
        )


def load_model(config: ModelConfig, facts: Mapping[str, int]) -> torch.nn.Module:
    """Build the network and put the checkpoint into it; without one it is as its factory makes it from the seed.

    Raises:
        InputError: The model or the checkpoint does not exist, or they do not fit each other.
    """
    torch.manual_seed(config.model_seed)
    model = models.build(config.model, config.model_arg, facts=facts)
    models.check_module(model, name=config.model)
    refuse_aliases(model)
    if getattr(config, "precision", "") == "float64":
        model = model.double()  # first, so that a checkpoint in float64 keeps all its digits
    if config.checkpoint is not None:
        models.load_state(model, models.read_checkpoint(config.checkpoint), source=str(config.checkpoint))
    return model.eval().requires_grad_(False)


def _sources_of(config: RunConfig) -> dict[str, str | None]:
    """Return the digests of the source of each function of a user that the settings name."""
    own_data = config.data if readers.find(config.data) is None else ""
    users = {"model": config.model, "data": own_data, "loss": config.loss}
    users |= {f"metric {name}": source for name, _, source in (text.partition("=") for text in config.metric)}
    return {
        role: user_code.source_digest(user_code.load(name, role=role))
        for role, name in users.items()
        if user_code.is_reference(name)
    }
