"""Networks that libraries make, at points of a line, by slow references in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lossgrid import cli, store

ALPHAS = (-0.5, 0.0, 0.5)
LINE = ("--alpha", "-0.5:0.5:3", "--save-directions", "directions.h5", "--out", "s.h5")


def run(*arguments: str) -> int:
    """Run ``lossgrid run`` in this process; return its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *arguments])
    return int(ended.value.code or 0)


def stored_delta(path: Path = Path("directions.h5")) -> dict[str, torch.Tensor]:
    """Return the entries of delta in a direction file by name."""
    delta = store.read_directions(path)[0]
    return dict(zip(delta.names or (), map(torch.from_numpy, delta.arrays), strict=True))


def moved(model: nn.Module, alpha: float, delta: Mapping[str, torch.Tensor]) -> nn.Module:
    """Return the network at theta* + alpha delta, in float64, its entries set one by one."""
    there = copy.deepcopy(model).double().eval()
    entries = there.state_dict()
    with torch.no_grad():
        for name, part in delta.items():
            entries[name] += alpha * part.double()
    return there


def of_each(model: nn.Module, samples: Any, scores: Callable[[nn.Module, Any], torch.Tensor]) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy, sample by sample.

    Args:
        model: The network, in float64.
        samples: Pairs of the inputs of one sample, without a dimension of samples, and its class.
        scores: Returns the scores ``(1, classes)`` of a network for the inputs of a sample.
    """
    losses, right = [], 0
    for inputs, target in samples:
        with torch.no_grad():
            found = scores(model, inputs)
        losses.append(float(F.cross_entropy(found, torch.tensor([int(target)]))))
        right += int(found.argmax()) == int(target)
    return float(np.mean(losses)), right / len(losses)


def of_picture(model: nn.Module, picture: torch.Tensor) -> torch.Tensor:
    """Return the scores for one picture ``(c, h, w)``."""
    scores: torch.Tensor = model(picture[None].double())
    return scores


def assert_values(model: nn.Module, samples: Any, scores: Callable[[nn.Module, Any], torch.Tensor]) -> None:
    """Compare the surface ``s.h5`` with the network at its points, to 1e-6."""
    surface, every = store.read(Path("s.h5")), list(samples)
    assert surface.complete
    for i, alpha in enumerate(ALPHAS):
        loss, accuracy = of_each(moved(model, alpha, stored_delta()), every, scores)
        assert surface["train_loss"][i] == pytest.approx(loss, rel=1e-6), alpha
        assert surface["train_accuracy"][i] == pytest.approx(accuracy, abs=1e-12)
