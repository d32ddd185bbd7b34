"""Figures 2 and 3 of Li et al. 2018: what small and large batches find, with and without weight decay, with VGG-9.

    python benchmarks/experiments/batch_size.py [--size smoke|small|paper] [--data cifar10:FOLDER] [--ranks 2]

Trains four networks, computes the line from the small batch to the large one for each weight decay (figure 2), and
around each network lines along several random directions and a plane, filter-normalised (figure 3). Started again, it
goes on. --dry-run prints the commands; --slurm JOB submits them as jobs, which the paper's size is for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claims import Claim
from experiment import Plan, data_options, main
from steps import Labelled, Step, compare, plot, run, train

MODEL = "vgg9"


@dataclass(frozen=True)
class Size:
    """How much is computed.

    Attributes:
        data: The data; one of ``experiment.DATA``.
        batches: Samples of an update, small and large.
        decays: Weight decays, none and some.
        training: Options of ``lossgrid train`` beside these.
        surface: Options of ``lossgrid run`` for all surfaces.
        between: The line from one network to the other, at 0 and 1.
        line: Lines around a network.
        plane: Planes around a network, along both axes.
        seeds: Random directions along which there are lines.
    """

    data: str
    batches: tuple[int, int]
    decays: tuple[float, float]
    training: Mapping[str, Any]
    surface: Mapping[str, Any]
    between: str
    line: str
    plane: str
    seeds: int


SIZES = {
    "smoke": Size(
        data="digits",
        batches=(16, 256),
        decays=(0.0, 5e-4),
        training={"epochs": 20, "lr": 0.05, "lr_steps": "12,17"},
        surface={"max_samples": 500},
        between="-0.5:1.5:41", line="-1:1:41", plane="-1:1:15", seeds=3,
    ),
    "small": Size(
        data="cifar10 at 16 x 16",
        batches=(32, 512),  # of 4,000 samples about as much as 8192 is of all
        decays=(0.0, 5e-3),  # ten times the paper's, as there are thirty times fewer updates for it to act in
        training={"epochs": 30, "lr": 0.05, "lr_steps": "20,26", "max_samples": 4000},
        surface={"max_samples": 500},
        between="-0.5:1.5:41", line="-1:1:41", plane="-1:1:15", seeds=3,
    ),
    "paper": Size(
        data="cifar10",
        batches=(128, 8192),
        decays=(0.0, 5e-4),
        training={"epochs": 300, "lr": 0.1, "lr_steps": "150,225,275", "augment": "crop,flip", "init": "he"},
        surface={},
        between="-0.5:1.5:401", line="-1:1:401", plane="-1:1:51", seeds=10,
    ),
}  # fmt: skip


def plan(name: str, folder: Path, data: str | None, sizes: Mapping[str, Size] = SIZES) -> Plan:
    """Return what is done in a size; see ``experiment.main``."""
    size = sizes[name]
    network = {"model": MODEL, **data_options(size.data, data)}
    trained = {
        label_of(batch, decay): train(
            folder / f"{MODEL}_batch{batch}_decay{decay:g}",
            **network, **size.training, batch_size=batch, weight_decay=decay,
        )
        for decay in size.decays
        for batch in size.batches
    }  # fmt: skip
    surface = {**network, **size.surface}
    around = figure3(size, folder, trained, surface)
    steps = [*trained.values(), *figure2(size, folder, trained, surface), *around]
    on_lines, on_planes = (step.makes for step in around if step.tells)
    pairs = tuple((label_of(size.batches[1], decay), label_of(size.batches[0], decay)) for decay in size.decays)
    claims = [
        *(Claim("Large batches lead to sharper minima", t, "sharpness", pairs) for t in (on_planes, on_lines)),
        Claim("Large batches lead to narrower minima", on_planes, "area_+0.5", pairs, smaller=True),
        Claim("Large batches lead to narrower minima", on_lines, "width_+0.5", pairs, smaller=True),
        *(
            Claim("Sharper minima have larger test errors", t, "sharpness", by_test_error=True)
            for t in (on_planes, on_lines)
        ),
    ]
    return Plan(steps, {label: step.makes.parent for label, step in trained.items()}, claims)


def label_of(batch: int, decay: float) -> str:
    """Name a network in pictures and tables."""
    return f"batch {batch}, decay {decay:g}"


def figure2(size: Size, folder: Path, trained: Mapping[str, Step], surface: Mapping[str, Any]) -> Iterator[Step]:
    """Go from the small batch to the large one, for each weight decay."""
    small, large = size.batches
    for decay in size.decays:
        start, end = (trained[label_of(batch, decay)].makes for batch in size.batches)
        line = folder / f"figure2_decay{decay:g}.h5"
        yield run(line, checkpoint=start, to=end, splits="train,test", alpha=size.between, **surface)
        yield plot(line.with_suffix(".png"), [(f"batch {small} at 0, {large} at 1; weight decay {decay:g}", line)])


def figure3(size: Size, folder: Path, trained: Mapping[str, Step], surface: Mapping[str, Any]) -> list[Step]:
    """Look around each network, along lines and in a plane; last write the numbers of lines, then those of planes."""
    lines: list[Labelled] = []
    planes: list[Labelled] = []
    steps = []
    for label, step in trained.items():
        own = {**surface, "checkpoint": step.makes}
        for seed in range(size.seeds):
            lines.append((label, folder / f"{step.makes.parent.name}_line{seed}.h5"))
            steps.append(run(lines[-1][1], **own, splits="train,test", alpha=size.line, seed=seed))
        planes.append((label, folder / f"{step.makes.parent.name}_plane.h5"))
        steps.append(run(planes[-1][1], **own, alpha=size.plane, beta=size.plane))
    return [
        *steps,
        plot(folder / "figure3_lines.png", lines, band=True, metric="train_loss"),
        compare(folder / "figure3_lines.json", lines),
        compare(folder / "figure3_planes.json", planes, picture=folder / "figure3_planes.png"),
    ]


if __name__ == "__main__":
    main("batch_size", __doc__, plan, sys.argv[1:])
