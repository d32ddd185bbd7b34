"""What a run evaluates: the network at theta*, the data, the directions; loaded alike on every rank."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from lossgrid import data, directions, models, store, user_code
from lossgrid.digest import digest
from lossgrid.directions import Entries
from lossgrid.errors import InputError
from lossgrid.evaluation.closure import refuse_aliases
from lossgrid.measures import Made, Objective, make_objective
from lossgrid.measures import make as make_measure
from lossgrid.settings import DirectionsConfig, ModelConfig, RunConfig
from lossgrid.surface.origin import Digests


@dataclass(frozen=True)
class Problem:
    """The mathematics of a run, on the CPU.

    Attributes:
        model: The network at theta*.
        splits: The data.
        delta: Direction of the alpha axis, by entry.
        eta: Direction of the beta axis; None for a line.
        objectives: What is measured on each split.
        digests: What identifies all of these, for resuming.
        weights: Where theta* comes from: ``checkpoint``; ``given`` from Python; ``random``, of a built-in network
            without checkpoint; ``factory``, of a user's.
        sources: Digests of the source of what users wrote: ``model``, ``data``, ``loss``; to say what has changed.
        metrics: What is measured beside the loss and the accuracy.
    """

    model: torch.nn.Module
    splits: Mapping[str, data.Split]
    delta: Entries
    eta: Entries | None
    objectives: Mapping[str, Objective]
    digests: Digests
    weights: str
    sources: Mapping[str, str | None]
    metrics: Sequence[Made] = ()


def load_problem(config: RunConfig) -> Problem:
    """Load everything the settings name.

    Raises:
        InputError: Something cannot be found, or does not fit the rest.
    """
    splits = data.load(config.data, config.data_arg, splits=config.splits, max_samples=config.max_samples)
    model = load_model(config, data.facts(splits))
    delta, eta = make_directions(config, model, axes=len(config.grid.shape))
    metrics = [make_measure(text) for text in config.metric]
    users = {"model": config.model, "data": config.data, "loss": config.loss}
    users |= {f"metric {name}": source for name, _, source in (text.partition("=") for text in config.metric)}
    sources = {
        role: user_code.source_digest(user_code.load(name, role=role))
        for role, name in users.items()
        if user_code.is_reference(name) and not name.startswith("cifar10:")
    }
    without = "factory" if user_code.is_reference(config.model) else "random"
    weights = without if config.checkpoint is None else "checkpoint"
    return make_problem(model, splits, delta, eta, loss=config.loss, weights=weights, sources=sources, metrics=metrics)


def make_problem(
    model: torch.nn.Module,
    splits: Mapping[str, data.Split],
    delta: Entries,
    eta: Entries | None,
    *,
    loss: str | Callable[..., object],
    weights: str = "given",
    sources: Mapping[str, str | None] = MappingProxyType({}),
    metrics: Sequence[Made] = (),
) -> Problem:
    """Put the parts together and take their digests.

    Raises:
        InputError: The loss is unknown or does not fit the targets, or a direction moves nothing.
    """
    for axis, direction in (("alpha", delta), ("beta", eta)):
        if direction is not None and not any(bool(tensor.any()) for tensor in direction.values()):
            raise InputError(
                f"the direction of {axis} moves nothing: every number of it is 0, or the network has no tensors of two "
                "or more dimensions; give --perturb-bias-and-norm or another direction"
            )
    objectives = {name: make_objective(loss, classification=split.classification) for name, split in splits.items()}
    digests = Digests(
        theta=digest(directions.states(model)),
        delta=digest(delta),
        eta=None if eta is None else digest(eta),
        data={name: split.digest() for name, split in splits.items()},
    )
    return Problem(model, splits, delta, eta, objectives, digests, weights, sources, metrics)


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


def make_directions(config: ModelConfig, model: torch.nn.Module, *, axes: int) -> tuple[Entries, Entries | None]:
    """Return delta, and eta where ``axes`` is 2, as the settings ask: of a file, towards checkpoints, random.

    Raises:
        InputError: A file is missing or of another network.
    """
    if config.directions != "random":
        made = of_file(Path(config.directions), model, axes)
    else:
        made = [towards(models.read_checkpoint(path), model, source=str(path)) for path in config.to[:axes]]
        made += [random_direction(model, config, axis) for axis in range(len(made), axes)]
    return made[0], made[1] if axes == 2 else None


def random_direction(model: torch.nn.Module, config: ModelConfig, axis: int) -> Entries:
    """Return the normalised random direction of an axis, 0 for delta, 1 for eta."""
    theta = directions.parameters(model)
    drawn = directions.gaussian(
        theta,
        seed=config.seed,
        axis=axis,
        perturb_bias_and_norm=config.perturb_bias_and_norm,
        version=config.direction_version,
    )
    return directions.normalise(drawn, theta, config.norm, transposed=directions.transposed_groups(model))


def towards(state: Mapping[str, Any], model: torch.nn.Module, *, source: str) -> Entries:
    """Return the direction from ``model``, which stays as it is, to the checkpoint ``state``.

    Raises:
        InputError: The checkpoint does not fit, or is the network itself.
    """
    start = copy.deepcopy(model.state_dict())  # with the extra state of modules
    theta = {name: start[name] for name in directions.states(model)}
    try:
        models.load_state(model, state, source=source)
        return directions.difference(theta, directions.states(model), source=source)
    finally:
        model.load_state_dict(start, strict=False)  # what layers keep beside their entries stays as it is


def of_file(path: Path, model: torch.nn.Module, axes: int) -> list[Entries]:
    """Return the first ``axes`` directions of a direction file.

    Raises:
        InputError: There is no such file, or it holds too few directions, or those of another network.
    """
    stored = store.read_directions(path)
    if len(stored) < axes:
        raise InputError(f"--directions: {path} holds one direction, and --beta needs a second; leave --beta out")
    return [directions.match(one.arrays, one.names, model, source=str(path)) for one in stored[:axes]]


def save_directions(
    path: Path,
    model: torch.nn.Module,
    delta: Entries,
    eta: Entries | None,
    *,
    about: Mapping[str, Any],
    overwrite: bool,
) -> None:
    """Write the directions to a file that lossgrid and the reference tool read; one that holds them already stays.

    It is of the tool's type "weights" where only parameters move, else of its type "states".

    Raises:
        InputError: The file holds something else and ``overwrite`` is not set, or it cannot be written.
    """
    made = [delta] if eta is None else [delta, eta]
    arrays = [{name: tensor.numpy() for name, tensor in direction.items()} for direction in made]
    if path.exists() and not overwrite and _holds(path, arrays):
        return
    parameters = directions.parameters(model)
    is_weights = all(name in parameters for direction in made for name in direction)
    entries = parameters if is_weights else directions.states(model)
    shapes = {name: tuple(tensor.shape) for name, tensor in entries.items()}
    store.write_directions(path, arrays, entries=shapes, about=about, overwrite=overwrite)


def write_direction_file(config: DirectionsConfig) -> None:
    """Make the directions the settings ask for and write them.

    Raises:
        InputError: The network, its checkpoint or the directions cannot be made, or the file not written.
    """
    one = data.load(config.data, config.data_arg, splits=("train",), max_samples=1)  # its shape is all that is needed
    facts = data.facts(one)
    model = load_model(config, facts)
    delta, eta = make_directions(config, model, axes=config.axes)
    save_directions(config.out, model, delta, eta, about=config.about_directions(), overwrite=config.overwrite)


def _holds(path: Path, arrays: list[dict[str, Any]]) -> bool:
    stored = store.read_directions(path)
    return len(stored) == len(arrays) and all(
        one.names == list(wanted) and all((a == b).all() for a, b in zip(one.arrays, wanted.values(), strict=True))
        for one, wanted in zip(stored, arrays, strict=True)
    )
