"""The study of a run: the network at theta*, the data and the measures, loaded equally on every rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from lossgrid import data, models, user_code
from lossgrid.directions import Choice, DirectionSource, moving, source_of
from lossgrid.errors import InputError, listed
from lossgrid.evaluation.closure import refuse_aliases
from lossgrid.measures import Metric, Objective, Step, make_metric, make_objective, step_of
from lossgrid.models.names import State
from lossgrid.parallel import World, collective, collectively
from lossgrid.run.common import made_once
from lossgrid.run.lazy import settle
from lossgrid.settings import ModelConfig, RunConfig


@dataclass(frozen=True)
class Study:
    """Network, data, losses and directions of a run, on the CPU.

    Attributes:
        model: The network at theta*. The evaluator owns it later; before that, nothing moves it.
        splits: The data by the name of the split.
        objectives: The loss of each split.
        source: The source of the directions.
        weights: The origin of theta*: ``checkpoint``; ``given`` from Python; ``random``, of a built-in network or one
            of a library without checkpoint; ``factory``, of a user's network without checkpoint.
        sources: Digests of the source code of users' functions: ``model``, ``data``, ``loss``. Errors name changes.
        metrics: Measures besides the loss and the accuracy.
        step: The user's step, in place of losses and measures.
        moves: The names of the entries that may move; None if all may.
        digested: The digests of splits that this rank need not compute.
    """

    model: torch.nn.Module
    splits: Mapping[str, data.Split]
    objectives: Mapping[str, Objective]
    source: DirectionSource
    weights: str = "given"
    sources: Mapping[str, str | None] = field(default_factory=dict)
    metrics: Sequence[Metric] = ()
    step: Step | None = None
    moves: frozenset[str] | None = None
    digested: Mapping[str, str] = field(default_factory=dict)

    def without_samples(self) -> Study:
        """Return the study with what is known of the data, but without the data."""
        return replace(self, splits={name: split.without_samples() for name, split in self.splits.items()})

    def digest_of(self, split: str) -> str:
        """Return the digest of a split, computed unless it is known."""
        return self.digested.get(split) or self.splits[split].digest()


@dataclass(frozen=True)
class Read:
    """What the first rank of a node has read of the data.

    Attributes:
        splits: The splits whose samples are all in memory.
        digested: Their digests.
    """

    splits: Mapping[str, data.Split]
    digested: Mapping[str, str]


@collective
def load_study(config: RunConfig, world: World) -> Study:
    """Return the network, data, losses and directions that the settings name.

    The first rank of each node reads the checkpoint and the data, and digests the data. Each rank makes its own
    network, and its own Dataset where samples are read one by one: these run code of the user.

    Raises:
        InputError: One of them does not exist, or does not fit the others.
    """
    mine: dict[str, data.Split] = {}  # of this rank: samples that are read one by one

    def load(names: Sequence[str]) -> dict[str, data.Split]:
        return data.load(config.data, config.data_arg, splits=names, max_samples=config.max_samples)

    def read() -> Read:
        loaded = load(config.splits)
        whole = {name: split.in_memory() for name, split in loaded.items() if split.whole is not None}
        mine.update({name: split for name, split in loaded.items() if split.whole is None})
        return Read(whole, {name: split.digest() for name, split in whole.items()})

    read_once = made_once(world, "the data", read)
    state = made_once(world, "the checkpoint", lambda: read_state(config))

    def make() -> Study:
        if missing := [name for name in config.splits if name not in {**mine, **read_once.splits}]:
            mine.update(load(missing))
        every = {**mine, **read_once.splits}
        return _study(config, {name: every[name] for name in config.splits}, state, read_once.digested)

    return collectively(world, make)


def _study(
    config: RunConfig, splits: Mapping[str, data.Split], state: State | None, digested: Mapping[str, str]
) -> Study:
    model = load_model(config, data.facts(splits), splits, read=lambda _: state)
    moves = moving(model, Choice(**config.choice))
    model.requires_grad_(False)
    source = source_of(config)
    metrics = [make_metric(text) for text in config.metric]
    without = "factory" if models.is_users(config.model) else "random"
    weights = without if checkpoint_of(config) is None else "checkpoint"
    step = step_of(config.step)
    objectives = objectives_of(config.loss, splits, config.loss_arg) if step is None else {}
    return Study(model, splits, objectives, source, weights, _sources_of(config), metrics, step, moves, digested)


def objectives_of(
    loss: str | Callable[..., object], splits: Mapping[str, data.Split], arguments: Mapping[str, Any]
) -> dict[str, Objective]:
    """Return the loss of each split; ``arguments`` are those of a built-in loss.

    Raises:
        InputError: The loss or an argument is unknown, or does not fit the targets.
    """
    for name, split in splits.items():
        refuse_no_targets(name, split)
        refuse_several_targets(loss, name, split)
    return {
        name: make_objective(loss, classification=split.classification, arguments=arguments)
        for name, split in splits.items()
    }


def refuse_no_targets(name: str, split: data.Split) -> None:
    """Refuse a split whose samples have no targets of their own.

    Raises:
        InputError: There are none.
    """
    if not split.has_targets:
        raise InputError(
            f"--loss needs targets, the samples of split {name!r} have none: they are {listed(split.names, 6)}; give "
            "pairs (inputs, targets), several inputs as ((a, b), targets), or dicts with one of the keys labels, "
            "label, target and targets; or give --step package.module:function, which gets the batch as it is"
        )


def refuse_several_targets(loss: str | Callable[..., object], name: str, split: data.Split) -> None:
    """Refuse a built-in loss for a split whose targets are several tensors.

    Raises:
        InputError: The loss is built-in, and the targets are several tensors.
    """
    if isinstance(loss, str) and not user_code.is_reference(loss) and "targets" not in split.names:
        several = ", ".join(part for part in split.names if part.startswith("targets"))
        raise InputError(
            f"--loss {loss} needs one tensor of targets, split {name!r} has {several}; give your own loss as "
            "package.module:function, which gets them as they are"
        )


def load_model(
    config: ModelConfig,
    facts: Mapping[str, int],
    splits: Mapping[str, data.Split] | None = None,
    *,
    read: Callable[[ModelConfig], State | None] | None = None,
) -> torch.nn.Module:
    """Return the network with the weights of the checkpoint; without one, with those of its factory and the seed.

    Its numbers of less than 32 bits are widened, exactly, before the checkpoint is loaded. ``requires_grad`` of its
    parameters is as the factory set it. ``splits`` give the shapes of lazy modules. ``read`` returns the state of the
    checkpoint, by default :func:`read_state`.

    Raises:
        InputError: The model or the checkpoint does not exist, or they do not fit each other.
    """
    torch.manual_seed(config.model_seed)
    model = models.build(config.model, config.model_arg, facts=facts)
    settle(model, splits or {}, name=config.model, seed=config.model_seed)
    models.check_module(model, name=config.model)
    refuse_aliases(model)
    # Before loading, so that a checkpoint in float64 or float32 loses no digits.
    model = model.double() if getattr(config, "precision", "") == "float64" else models.widened(model)
    if (state := (read or read_state)(config)) is not None:
        models.load_renamed(model, state, source=str(checkpoint_of(config)))
    return model.eval()


def read_state(config: ModelConfig) -> State | None:
    """Return the tensors of the checkpoint by name; None if the network has none.

    Raises:
        InputError: See :func:`lossgrid.models.read_checkpoint`.
    """
    checkpoint = checkpoint_of(config)
    return None if checkpoint is None else models.read_checkpoint(checkpoint, models.Layout(**config.layout))


def checkpoint_of(config: ModelConfig) -> Path | None:
    """Return the checkpoint of the user; without one, that which comes with the network, if any."""
    return models.own_checkpoint(config.model) if config.checkpoint is None else config.checkpoint


def _sources_of(config: RunConfig) -> dict[str, str | None]:
    """Return the digest of the source code of each user's function that the settings name, by its role."""
    own_data = config.data if data.find(config.data) is None else ""
    own_model = config.model if models.is_users(config.model) else ""
    users = {"model": own_model, "data": own_data, "loss": config.loss}
    users |= {} if config.step is None else {"step": config.step}
    users |= {f"metric {name}": source for name, _, source in (text.partition("=") for text in config.metric)}
    return {
        role: user_code.source_digest(user_code.load(name, role=role))
        for role, name in users.items()
        if user_code.is_reference(name)
    }
