"""What tests are made of, each built in one place: data, networks, directions, evaluators, surfaces."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lossgrid import data, directions
from lossgrid.data import Batch
from lossgrid.evaluation import FEW, Evaluator, Forward, Subject, choose_device
from lossgrid.evaluation.libraries import library_for
from lossgrid.measures import Metric, Step, make_objective
from lossgrid.surface import DONE, NOT_FINITE, PENDING, Axis, Grid, Origin, Quantity, Results, Surface, Work
from lossgrid.surface.quantity import accuracy, named

NATS = "nats per sample"

# A mark of tests of layers that are fused in bfloat16.
fuses_bfloat16 = pytest.mark.skipif(
    library_for(choose_device("cpu", "bfloat16", local_rank=0)) is None,
    reason="oneDNN has no kernels in bfloat16 for this CPU",
)


def quantity(name: str, units: str = NATS) -> Quantity:
    """Return what a name such as ``train_loss`` means, losses in ``units``."""
    return named(name, units)


def quantities(*splits: str) -> list[Quantity]:
    """Return loss and accuracy of each split."""
    return [made for split in splits for made in (quantity(f"{split}_loss"), accuracy(split))]


def measured(values: Mapping[str, np.ndarray], units: str = NATS) -> dict[str, Any]:
    """Return what a surface is told of its values: ``Surface(**measured({"train_loss": ...}), ...)``."""
    return {"quantities": {name: quantity(name, units) for name in values}, "values": dict(values)}


def a_grid(alphas: int = 5, betas: int | None = 3) -> Grid:
    """Return a grid of so many points along alpha and beta, whose beta begins at 0; without betas a line."""
    return Grid(Axis(-1, 1, alphas), None if betas is None else Axis(0, 2, betas))


def a_surface(
    values: Mapping[str, npt.ArrayLike],
    *,
    alpha: npt.ArrayLike | None = None,
    beta: npt.ArrayLike | None = None,
    status: npt.ArrayLike | None = None,
    units: str = NATS,
    **changes: Any,
) -> Surface:
    """Return a surface as a reader returns one, all that belongs to its points being true of them.

    Args:
        values: By name of the quantity, each ``[beta, alpha]``, or ``(n_alpha,)`` for a line.
        alpha: Coordinates along delta; by default from -1 to 1.
        beta: The same along eta, for a plane.
        status: By default ``DONE`` where all values are finite, ``NOT_FINITE`` elsewhere.
        units: Of losses.
        changes: Any other attribute; by default rank 3 took 0.1 s for each point that is not pending.
    """
    arrays = {name: np.asarray(array, dtype=np.float64) for name, array in values.items()}
    shape = next(iter(arrays.values())).shape
    if status is None:
        status = np.where(np.all([np.isfinite(array) for array in arrays.values()], axis=0), DONE, NOT_FINITE)
    known = np.asarray(status) != PENDING
    fields: dict[str, Any] = {
        "alpha": _axis(alpha, shape[-1]),
        "beta": _axis(beta, shape[0]) if len(shape) == 2 else None,
        **measured(arrays, units),
        "status": np.asarray(status, dtype=np.uint8),
        "seconds": np.where(known, 0.1, np.nan).astype(np.float32),
        "rank": np.where(known, 3, -1).astype(np.int32),
        "origin": Origin({"model": "mlp", "loss": "cross_entropy"}),
        "complete": bool(known.all()),
        "created": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:01:00+00:00" if known.all() else None,
    }
    return Surface(**(fields | changes))


def _axis(given: npt.ArrayLike | None, count: int) -> npt.NDArray[np.float64]:
    return np.linspace(-1, 1, count) if given is None else np.asarray(given, dtype=np.float64)


def a_point(work: Work, value: float, seconds: float = 1.0) -> Results:
    """Return the results of a point that has one quantity."""
    return Results.of_point(work, np.array([value]), np.array([np.nan]), seconds)


def results(work: Work, table: npt.ArrayLike) -> Results:
    """Return the results of a work: ``table`` has the quantities of each point, then its seconds; errors are 0."""
    numbers = np.asarray(table, dtype=np.float64)
    return Results(work, numbers[:, :-1], np.zeros_like(numbers[:, :-1]), numbers[:, -1])


def a_network(
    channels: int = 2,
    width: int = 3,
    classes: int = 4,
    *,
    side: int = 3,
    activation: type[nn.Module] | None = None,
    statistics: bool = False,
    seed: int = 0,
) -> nn.Sequential:
    """Return a convolution, a normalisation and a head, for pictures of ``side`` x ``side``.

    Args:
        channels: Of the pictures.
        width: Channels within.
        classes: Outputs.
        side: Rows and columns of the pictures.
        activation: What comes after the normalisation; None: nothing.
        statistics: Take it as trained: in evaluation mode, with statistics that are not the defaults.
        seed: Of its weights.
    """
    torch.manual_seed(seed)
    between = [] if activation is None else [activation()]
    norm = nn.BatchNorm2d(width)
    model = nn.Sequential(
        nn.Conv2d(channels, width, 3), norm, *between, nn.Flatten(), nn.Linear(width * (side - 2) ** 2, classes)
    )
    if statistics:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        model.eval().requires_grad_(False)
    return model


def a_perceptron(*sizes: int, activation: type[nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    """Return linear layers of ``sizes``, inputs first, with ``activation`` between them."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [activation(), nn.Linear(inputs, outputs)]
    return nn.Sequential(*layers[1:])


def a_batch(*shape: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return normal inputs of ``shape``, samples first, float32, and their classes in turn, int64."""
    inputs = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return inputs, torch.arange(shape[0]) % classes


def a_ragged_batch(number: int, rows: int = 3) -> Batch:
    """Return a tree of dtypes whose widths differ by ``number``, with a tensor of no numbers and one of one."""
    width = 1 + 7 * number % 11
    inputs = {
        "ids": torch.full((rows, width), number, dtype=torch.int16),
        "mask": torch.arange(rows * width).reshape(rows, width) % 2 == number % 2,
        "more": (torch.full((number % 3, 2), number * 1j), torch.tensor(number, dtype=torch.bfloat16)),
    }
    return Batch(inputs, {"y": torch.full((width, rows), number / 3, dtype=torch.float64).T}, "y", rows)


def a_direction(
    model: nn.Module, *, seed: int = 0, axis: int = 0, norm: str = "none", everything: bool = False
) -> directions.Entries:
    """Return a random direction of the parameters; with ``everything`` biases and normalisations move too."""
    theta = directions.parameters(model)
    drawn = directions.gaussian(theta, seed=seed, axis=axis, perturb_bias_and_norm=everything)
    return drawn if norm == "none" else directions.normalise(drawn, theta, norm)


def an_evaluator(
    model: nn.Module,
    given: object,
    *,
    delta: Mapping[str, torch.Tensor] | None = None,
    eta: Mapping[str, torch.Tensor] | None = None,
    precision: str = "float64",
    device: str = "cpu",
    batch_size: int = 8,
    channels_last: bool = True,
    loss: str = "cross_entropy",
    reach: tuple[float, float] = (1.0, 1.0),
    more: Sequence[Metric] = (),
    step: Step | None = None,
) -> Evaluator:
    """Return the evaluator of a network on one split, ``train``.

    Args:
        model: The network; it is taken over.
        given: The split: a pair of inputs and targets, or a Dataset.
        delta: First direction; by default :func:`a_direction`.
        eta: Second direction; None for a line.
        precision: The number format.
        device: ``"cpu"`` or ``"cuda"``.
        batch_size: Samples per forward pass.
        channels_last: Keep pictures with their channels last.
        loss: A name, or ``"package.module:function"``.
        reach: The coordinates of the grid furthest from 0, ``(alpha, beta)``.
        more: Measures besides the loss and the accuracy.
        step: The step of a user, in place of losses and measures.
    """
    chosen = choose_device(device, precision, local_rank=0)
    splits = {"train": data.split_of(given, source="test")}
    objectives = {"train": make_objective(loss, classification=splits["train"].classification)}
    transfer = data.Transfer(chosen.torch_device, chosen.dtype, channels_last)
    subject = Subject.of(
        model,
        chosen,
        data.first_of(splits, FEW, transfer),
        forward=Forward.of(step, objectives.values(), more),
        delta=a_direction(model) if delta is None else delta,
        eta=eta,
        reach=reach,
    )
    return Evaluator.of(subject, data.all_to_device(splits, transfer, batch_size=batch_size), objectives, more)


def moved_loss(
    model: nn.Module, samples: tuple[torch.Tensor, torch.Tensor], delta: Mapping[str, torch.Tensor], alpha: float
) -> float:
    """Return the cross-entropy at a point, in float64: each entry moved by itself, sample by sample."""
    there = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for name, entry in there.named_parameters():
            if name in delta:
                entry += alpha * delta[name]
        pairs = zip(*samples, strict=True)
        return float(np.mean([float(F.cross_entropy(there(x[None].double()), y[None])) for x, y in pairs]))
