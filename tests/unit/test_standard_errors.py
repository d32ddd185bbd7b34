"""Standard errors over samples: against a slow loop, through the file, and not known where they cannot be."""

from __future__ import annotations

import csv
import math
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid.formats import table
from lossgrid.origin.merge import merge_files
from lossgrid.surface import Results, Work
from tests.builders import a_batch, a_direction, an_evaluator

SAMPLES = 37


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return a_batch(SAMPLES, 3, 2, 2, classes=5, seed=4)


def by_sample(alpha: float) -> tuple[list[float], list[float]]:
    """Return loss and accuracy of each sample, one by one, in float64."""
    model = network().double()
    delta = a_direction(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in delta:
                parameter.add_(alpha * delta[name])
        outputs = [(model(x[None].double())[0], int(y)) for x, y in zip(*batch(), strict=True)]
    losses = [math.log(math.fsum(math.exp(z) for z in scores.tolist())) - float(scores[y]) for scores, y in outputs]
    return losses, [float(int(scores.argmax()) == y) for scores, y in outputs]


@pytest.mark.parametrize("batch_size", [1, 8, 37])
@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_errors_are_those_of_a_mean_over_samples(batch_size: int, alpha: float) -> None:
    measured = an_evaluator(network(), batch(), batch_size=batch_size).point(alpha)
    expected = [statistics.stdev(values) / math.sqrt(SAMPLES) for values in by_sample(alpha)]
    np.testing.assert_allclose(measured.errors, expected, rtol=1e-9)
    np.testing.assert_allclose(measured.values, [statistics.fmean(values) for values in by_sample(alpha)], rtol=1e-12)


def test_merged_surfaces_and_tables_keep_the_errors(tmp_path: Path) -> None:
    for name, alpha in (("left", (-1, 0, 3)), ("right", (0, 1, 3)), ("whole", (-1, 1, 5))):
        lossgrid.evaluate(network(), batch(), alpha=alpha, out=tmp_path / f"{name}.h5")
    merge_files([tmp_path / "left.h5", tmp_path / "right.h5"], tmp_path / "both.h5", overwrite=False)
    both, whole = lossgrid.open(tmp_path / "both.h5"), lossgrid.open(tmp_path / "whole.h5")
    assert both.errors.keys() == whole.errors.keys() == {"train_loss", "train_accuracy"}
    for name, errors in whole.errors.items():
        np.testing.assert_array_equal(both.errors[name], errors)
    table.write(both, tmp_path / "both.csv")
    with (tmp_path / "both.csv").open() as stream:
        found = [np.float32(row["train_loss_error"]) for row in csv.DictReader(stream)]
    np.testing.assert_array_equal(np.array(found), whole.errors["train_loss"])


def test_errors_shrink_as_samples_grow() -> None:
    inputs, targets = batch()
    four_times = (inputs.repeat(4, 1, 1, 1), targets.repeat(4))
    few, many = (an_evaluator(network(), given).point(0.3).errors for given in (batch(), four_times))
    np.testing.assert_allclose(many / few, math.sqrt((SAMPLES - 1) / (4 * SAMPLES - 1)), rtol=1e-9)


def test_the_file_keeps_the_errors_of_every_point(tmp_path: Path) -> None:
    line = lossgrid.evaluate(network(), batch(), alpha=(-1, 1, 5), metrics=["top2", "ece"], out=tmp_path / "s.h5")
    again = lossgrid.open(tmp_path / "s.h5")
    assert set(again.errors) == {"train_loss", "train_accuracy", "train_top2", "train_ece"}
    for name in ("train_loss", "train_accuracy", "train_top2"):
        assert again.errors[name].dtype == np.float32
        assert (again.errors[name] > 0).all()
        np.testing.assert_array_equal(again.errors[name], line.errors[name])
    shares = line["train_accuracy"]
    expected = np.sqrt(shares * (1 - shares) / (SAMPLES - 1))
    np.testing.assert_allclose(line.errors["train_accuracy"], expected, rtol=1e-6)
    assert np.isnan(line.errors["train_ece"]).all()  # it has no simple one


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, targets: F.cross_entropy(outputs, targets),
        lambda outputs, targets: (F.cross_entropy(outputs, targets, reduction="sum"), len(targets)),
    ],
)
def test_totals_of_batches_tell_no_error(loss: object) -> None:
    line = lossgrid.evaluate(network(), batch(), alpha=(-1, 1, 3), loss=loss)
    assert np.isnan(line.errors["train_loss"]).all()
    assert (line.errors["train_accuracy"] > 0).all()


def test_losses_per_sample_of_users_tell_one() -> None:
    def own(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(outputs, targets, reduction="none")

    mine, built_in = (
        lossgrid.evaluate(network(), batch(), alpha=(-1, 1, 3), loss=one) for one in (own, "cross_entropy")
    )
    np.testing.assert_array_equal(mine.errors["train_loss"], built_in.errors["train_loss"])


def test_a_single_sample_tells_none() -> None:
    inputs, targets = batch()
    assert np.isnan(an_evaluator(network(), (inputs[:1], targets[:1])).point(0.1).errors).all()


def test_results_travel_as_they_are() -> None:
    generator = np.random.default_rng(0)
    work = Work(2, 1, 8, 3)
    sent = Results(work, generator.random((3, 4)), generator.random((3, 4)), generator.random(3))
    came = Results.from_table(work, sent.table)
    for part in ("values", "errors", "seconds"):
        np.testing.assert_array_equal(getattr(came, part), getattr(sent, part))
