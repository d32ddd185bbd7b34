"""Resumption of a training: the stored state is checked, then loaded into the network.

The folder is hostile input: any name, type or number in it may be wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lossgrid import models
from lossgrid.errors import InputError
from lossgrid.settings import TrainConfig
from lossgrid.training.folder import LAST, State
from lossgrid.training.learner import Learner

MOVING = {
    "last_epoch",
    "_step_count",
    "_last_lr",
}  # entries of a schedule that change; settings determine the rest


def resume(config: TrainConfig, learner: Learner, old: State, updates: int) -> None:
    """Load the state ``old`` into the network, the optimizer and the schedule.

    Args:
        config: The settings.
        learner: The initial network; it is changed.
        old: The state in the folder.
        updates: Updates of an epoch.

    Raises:
        InputError: The state is of another network, or impossible in this training.
    """
    path = config.out / LAST
    _refuse(path, _fault_of_history(config, old, updates))
    models.load_state(learner.model, old.state_dict, source=str(path))
    _refuse(path, _fault_of_optimizer(learner, old.optimizer, old.schedule))
    steps = max(0, len(old.history) - 1) * updates + old.batch
    _refuse(path, _fault_of_schedule(learner, old.schedule, steps=steps))
    learner.optimizer.load_state_dict(dict(old.optimizer))
    learner.schedule.load_state_dict(dict(old.schedule))


def _refuse(path: Path, fault: str) -> None:
    if fault:
        raise InputError(f"--out: {path} is damaged: {fault}; choose another folder")


def _fault_of_history(config: TrainConfig, old: State, updates: int) -> str:
    columns = {"epoch", "seconds", *(f"{split}_loss" for split in config.splits)}
    may_be = columns | {f"{split}_accuracy" for split in config.splits}
    for epoch, row in enumerate(old.history):
        if row["epoch"] != epoch or not columns <= row.keys() <= may_be or row.keys() != old.history[0].keys():
            return f"row {epoch} of its table is not that of the epoch"
    if old.batch > (updates if old.history else 0):
        return f"it has done {old.batch} updates of an epoch of {updates}"
    return ""


def _fault_of_optimizer(learner: Learner, given: Mapping[str, Any], schedule: Mapping[str, Any]) -> str:
    own = learner.optimizer.state_dict()
    if given.keys() != own.keys() or not isinstance(given["state"], dict):
        return "the optimizer is another one"
    rates = schedule.get("_last_lr")
    if not isinstance(rates, list) or len(rates) != len(own["param_groups"]) or not all(map(_is_rate, rates)):
        return "the learning rate is none"
    wanted = [{**group, "lr": rate} for group, rate in zip(own["param_groups"], rates, strict=True)]
    if not _same(given["param_groups"], wanted):
        return "the optimizer has other settings"
    parameters = [parameter for group in learner.optimizer.param_groups for parameter in group["params"]]
    names = {"momentum_buffer"} if "momentum" in wanted[0] else {"step", "exp_avg", "exp_avg_sq"}
    for number, state in given["state"].items():
        if type(number) is not int or not 0 <= number < len(parameters) or not isinstance(state, dict):
            return "the optimizer is of another network"
        if state.keys() != names or not all(
            (value is None and name == "momentum_buffer")
            or _fits(value, () if name == "step" else parameters[number].shape)
            for name, value in state.items()
        ):
            return f"what the optimizer remembers of parameter {number} does not fit"
    return ""


def _fault_of_schedule(learner: Learner, given: Mapping[str, Any], *, steps: int) -> str:
    own = learner.schedule.state_dict()
    fixed = own.keys() - MOVING
    if given.keys() != own.keys() or not _same({n: given[n] for n in fixed}, {n: own[n] for n in fixed}):
        return "the schedule of the learning rate is another one"
    if not _same([given["last_epoch"], given["_step_count"]], [steps, steps + 1]):
        return f"the schedule of the learning rate does not stand at update {steps}"
    return ""


def _is_rate(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value) and value >= 0


def _fits(value: object, shape: tuple[int, ...]) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not (value.is_quantized or value.is_meta or value.is_complex())
        and value.shape == shape
        and bool(value.isfinite().all())
    )


def _same(given: object, wanted: object) -> bool:
    """Return whether plain values and containers are equal, with their types: True is not 1."""
    if type(given) is not type(wanted):
        return False
    if isinstance(given, dict) and isinstance(wanted, dict):
        return given.keys() == wanted.keys() and all(_same(given[key], wanted[key]) for key in wanted)
    if isinstance(given, (list, tuple)) and isinstance(wanted, (list, tuple)):
        return len(given) == len(wanted) and all(map(_same, given, wanted))
    return bool(given == wanted)
