"""Figures 1, 5 and 6 of Li et al. 2018: what depth, shortcuts and width do to the surface of a ResNet.

    python benchmarks/experiments/shortcuts.py [--size smoke|small|paper] [--data cifar10:FOLDER] [--ranks 2]

Trains ResNets with and without shortcuts and computes a filter-normalised plane around each: of growing depth (figure
5), one of them in three dimensions (figure 1), and in the paper's size of growing width (figure 6). Started again, it
goes on. --dry-run prints the commands; --slurm JOB submits them as jobs, which the paper's size is for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claims import Claim
from experiment import Plan, data_options, main
from steps import Labelled, Step, compare, plot, run, train

ROUGH = ("roughness", "convexity_mean", "negative_curvature")  # in the words of docs/metrics.md
HIGHEST = 10  # loss of pictures and numbers: that of the paper's contours, far below what the corners have


@dataclass(frozen=True)
class Size:
    """How much is computed.

    Attributes:
        data: The data; one of ``experiment.DATA``.
        depths: Networks of figure 5, each also without shortcuts, shallow to deep.
        solid: The one of figure 1, and the narrowest of figure 6.
        widths: The other networks of figure 6, likewise, narrow to wide.
        training: Options of ``lossgrid train``.
        surface: Options of ``lossgrid run`` for all surfaces.
        plane: Planes, along both axes.
        fine: The planes of figure 1; None for the same.
    """

    data: str
    depths: tuple[str, ...]
    solid: str
    widths: tuple[str, ...]
    training: Mapping[str, Any]
    surface: Mapping[str, Any]
    plane: str
    fine: str | None


SIZES = {
    "smoke": Size(
        data="digits",
        depths=("resnet20", "resnet32"),  # from 44 layers on, those without shortcuts hardly learn in minutes
        solid="resnet32",
        widths=(),
        training={"epochs": 30, "lr": 0.05, "schedule": "onecycle", "batch_size": 32},
        surface={"max_samples": 500},
        plane="-1:1:21", fine=None,
    ),
    "small": Size(
        data="cifar10 at 16 x 16",
        depths=("resnet20", "resnet44"),
        solid="resnet44",
        widths=(),
        training={"epochs": 40, "lr": 0.01, "schedule": "onecycle", "batch_size": 32, "max_samples": 4000,
                  "init": "he"},
        surface={"max_samples": 500},
        plane="-1:1:21", fine=None,
    ),
    "paper": Size(
        data="cifar10",
        depths=("resnet20", "resnet56", "resnet110"),
        solid="resnet56",
        widths=("wrn56_2", "wrn56_4", "wrn56_8"),
        training={"epochs": 300, "lr": 0.1, "lr_steps": "150,225,275", "batch_size": 128, "weight_decay": 5e-4,
                  "augment": "crop,flip", "init": "he"},
        surface={},
        plane="-1:1:51", fine="-1:1:251",
    ),
}  # fmt: skip


def without(model: str) -> str:
    """Return the same network without shortcuts."""
    return f"{model}_noshort"


def plan(name: str, folder: Path, data: str | None, sizes: Mapping[str, Size] = SIZES) -> Plan:
    """Return what is done in a size; see ``experiment.main``."""
    size = sizes[name]
    models = [kind for model in (*size.depths, *size.widths) for kind in (model, without(model))]
    network = {model: {"model": model, **data_options(size.data, data)} for model in models}
    trained = {model: train(folder / model, **network[model], **size.training) for model in models}

    def around(model: str, axis: str, name: str) -> Step:
        file = folder / f"{model}_{name}.h5"
        return run(file, checkpoint=trained[model].makes, alpha=axis, beta=axis, **network[model], **size.surface)

    planes = {model: around(model, size.plane, "plane") for model in models}
    pair = (size.solid, without(size.solid))
    fine = {model: around(model, size.fine, "fine") if size.fine else planes[model] for model in pair}
    steps = [*trained.values(), *planes.values(), *(fine.values() if size.fine else ())]

    def labelled(surfaces: Mapping[str, Step], *chosen: str) -> list[Labelled]:
        return [(model, surfaces[model].makes) for model in chosen]

    deep = [kind for model in size.depths for kind in (model, without(model))]
    table = folder / "figure5.json"
    steps += [
        plot(folder / "figure1.png", labelled(fine, *pair), kind="surface", vmax=HIGHEST),
        compare(table, labelled(planes, *deep), picture=table.with_suffix(".png"), vmax=HIGHEST),
    ]
    deepest_first = ((without(size.depths[-1]), without(size.depths[0])),)
    pairs = tuple((without(model), model) for model in size.depths)
    claims = [
        *(Claim("Without shortcuts, deep is rougher than shallow", table, by, deepest_first) for by in ROUGH),
        *(Claim("Shortcuts make the surface smoother", table, by, pairs) for by in ROUGH),
        *(Claim("Rougher surfaces have larger test errors", table, by, by_test_error=True) for by in ROUGH),
        Claim("Sharper minima have larger test errors", table, "sharpness", by_test_error=True),
    ]
    if size.widths:
        widths = [kind for model in (size.solid, *size.widths) for kind in (model, without(model))]
        wide = folder / "figure6.json"
        steps.append(compare(wide, labelled(planes, *widths), picture=wide.with_suffix(".png"), vmax=HIGHEST))
        narrow_to_wide = tuple((without(one), without(size.widths[-1])) for one in (size.solid, *size.widths[:-1]))
        claims += [Claim("Width makes the surface smoother", wide, number, narrow_to_wide) for number in ROUGH]
    return Plan(steps, {model: folder / model for model in models}, claims)


if __name__ == "__main__":
    main("shortcuts", __doc__, plan, sys.argv[1:])
