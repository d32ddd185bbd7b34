"""What a point of the surface costs: lossgrid against the published procedure, and against the floor of the machine.

    python benchmarks/point.py [--models resnet20,resnet56] [--pictures 2000] [--rounds 5] [--json FILE]

Pictures of noise (their content costs nothing), all cores as threads. Each contestant has a process of its own; they
take turns within one run, so that the noise of a shared machine falls on all alike. Given are medians and ratios.

* published: the procedure of the paper's code (tomgoldstein/loss-landscape) as a plain loop of our own: per point every
  tensor is perturbed by NumPy on the host, and a new DataLoader with 2 workers turns PIL pictures into normalised
  tensors for the eager module, batch 128, with two ``.item()`` per batch.
* plain: the eager module on pictures in memory, channels_last, batch 128: what a careful user writes.
* lossgrid: ``Evaluator.point`` as a run does it, float32 and bfloat16.
* floor: the FLOP of the network over the peak of float32 matrix products measured in the same run, by whichever library
  is faster: the BLAS of torch, or oneDNN's convolution of one pixel.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from lossgrid import data, directions, models
from lossgrid.data import cifar10
from lossgrid.evaluation import Evaluator, choose_place, freed_memory_kept, make_objective

BATCH = 128
MEAN, DEVIATION = (torch.tensor(part).view(3, 1, 1) for part in cifar10.NORMALISATIONS["li"])


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Pictures as torchvision's data sets hold them: bytes that become a PIL picture, then a tensor, when read."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Keep bytes ``(n, 32, 32, 3)`` and classes."""
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        """Decode and normalise one picture."""
        picture = Image.fromarray(self.pixels[i])
        tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)
        return (tensor - MEAN) / DEVIATION, int(self.labels[i])


def network(name: str) -> torch.nn.Module:
    """Build the network, always with the same weights."""
    torch.manual_seed(0)
    return models.build(name, {}, facts={"in_channels": 3, "num_classes": 10}).eval().requires_grad_(False)


def published(name: str, pixels: np.ndarray, labels: np.ndarray, delta: directions.Entries) -> Callable[[float], float]:
    """Return the published procedure for one point."""
    model = network(name)
    start = [parameter.detach().numpy().copy() for parameter in model.parameters()]
    moves = [
        delta[key].numpy() if key in delta else np.zeros(parameter.shape) for key, parameter in model.named_parameters()
    ]

    def point(alpha: float) -> float:
        for parameter, w, d in zip(model.parameters(), start, moves, strict=True):
            parameter.data = torch.from_numpy((w + alpha * d).astype(np.float32))
        total, correct = 0.0, 0
        with torch.no_grad():
            for inputs, targets in DataLoader(Pictures(pixels, labels), batch_size=BATCH, num_workers=2):
                outputs = model(inputs)
                total += F.cross_entropy(outputs, targets).item() * len(inputs)
                correct += outputs.max(1)[1].eq(targets).sum().item()
        return total / len(labels)

    return point


def plain(
    name: str, inputs: torch.Tensor, targets: torch.Tensor, delta: directions.Entries
) -> Callable[[float], float]:
    """Return what a careful user writes for one point."""
    model = network(name).to(memory_format=torch.channels_last)
    start = {key: parameter.clone() for key, parameter in model.named_parameters()}
    moves = {key: tensor.float() for key, tensor in delta.items()}
    batches = list(
        zip(inputs.contiguous(memory_format=torch.channels_last).split(BATCH), targets.split(BATCH), strict=True)
    )

    def point(alpha: float) -> float:
        with torch.inference_mode():
            for key, parameter in model.named_parameters():
                if key in moves:
                    parameter.copy_(start[key] + alpha * moves[key])
            return float(sum(F.cross_entropy(model(x), y, reduction="sum") for x, y in batches) / len(targets))

    return point


def lossgrid(
    name: str, precision: str, inputs: torch.Tensor, targets: torch.Tensor, delta: directions.Entries
) -> Callable[[float], float]:
    """Return lossgrid's own point."""
    split = data.split_of((inputs, targets), source="noise")
    place = choose_place("cpu", precision, local_rank=0)
    batches = data.place(split, device=place.device, dtype=place.dtype, batch_size=BATCH, channels_last=True)
    objective = make_objective("cross_entropy", classification=True)
    evaluator = Evaluator(network(name), {"train": batches}, {"train": objective}, place, delta=delta, eta=None)
    evaluator.fuse()

    def point(alpha: float) -> float:
        with freed_memory_kept():
            return float(evaluator.point(alpha)[0])

    return point


def peak() -> float:
    """Return the FLOP per second of large float32 matrix products, the best of several tries and of two libraries."""
    size, channels, side, count = 2048, 512, 32, 16
    a, b, out = (torch.randn(size, size) for _ in range(3))
    x = torch.randn(count, channels, side, side).contiguous(memory_format=torch.channels_last)
    w = torch.randn(channels, channels, 1, 1)
    products: list[tuple[int, Callable[[], torch.Tensor]]] = [
        (2 * size**3, lambda: torch.mm(a, b, out=out)),
        (2 * count * side**2 * channels**2, lambda: F.conv2d(x, w)),
    ]
    best = 0.0
    with freed_memory_kept(), torch.inference_mode():
        for flop, product in products:
            for _ in range(6):
                began = time.perf_counter()
                product()
                best = max(best, flop / (time.perf_counter() - began))
    return best


CONTESTANTS = ("published", "plain", "lossgrid float32", "lossgrid bfloat16", "peak")


def serve(pipe: Connection, contestant: str, name: str, pictures: int) -> None:
    """Be one contestant: for every alpha that comes in, give back the seconds of the point and its loss."""
    torch.set_num_threads(os.cpu_count() or 1)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (pictures, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(0, 10, pictures)
    inputs = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255) - MEAN) / DEVIATION
    targets = torch.from_numpy(labels)
    theta = directions.parameters(network(name))
    delta = directions.normalise(directions.gaussian(theta, seed=0, axis=0), theta, "filter")
    point: Callable[[float], float]
    if contestant == "peak":
        point = lambda alpha: peak()  # noqa: E731, ARG005
    elif contestant == "published":
        point = published(name, pixels, labels, delta)
    elif contestant == "plain":
        point = plain(name, inputs, targets, delta)
    else:
        point = lossgrid(name, contestant.removeprefix("lossgrid "), inputs, targets, delta)
    while (alpha := pipe.recv()) is not None:
        began = time.perf_counter()
        loss = point(alpha)
        pipe.send((time.perf_counter() - began, loss))


def measure(name: str, pictures: int, rounds: int) -> dict[str, Any]:
    """Let the contestants take turns, and return seconds, losses and ratios."""
    spawn = get_context("spawn")
    pipes: dict[str, Connection] = {}
    for contestant in CONTESTANTS:
        pipes[contestant], theirs = spawn.Pipe()
        spawn.Process(target=serve, args=(theirs, contestant, name, pictures)).start()

    def ask(contestant: str, alpha: float) -> tuple[float, float]:
        pipes[contestant].send(alpha)
        return pipes[contestant].recv()  # type: ignore[no-any-return]

    losses = {contestant: ask(contestant, 0.1)[1] for contestant in CONTESTANTS}  # warms up too
    seconds: dict[str, list[float]] = {contestant: [] for contestant in CONTESTANTS[:-1]}
    peaks = []
    for i in range(rounds):
        for contestant, own in seconds.items():
            own.append(ask(contestant, 0.01 * i)[0])
        peaks.append(ask("peak", 0.0)[1])
    for pipe in pipes.values():
        pipe.send(None)
    with FlopCounterMode(display=False) as counter:
        network(name)(torch.zeros(1, 3, 32, 32))
    floor = counter.get_total_flops() * pictures / statistics.median(peaks)
    medians = {contestant: statistics.median(values) for contestant, values in seconds.items()}
    return {
        "model": name,
        "pictures": pictures,
        "FLOP": counter.get_total_flops() * pictures,
        "peak FLOP/s": statistics.median(peaks),
        "seconds": medians,
        "all seconds": seconds,
        "loss at alpha 0.1": {contestant: losses[contestant] for contestant in seconds},
        "floor seconds": floor,
        "share of the peak": floor / medians["lossgrid float32"],
    }


def main() -> None:
    """Measure and print a table per network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="resnet20,resnet56")
    parser.add_argument("--pictures", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    for name in options.models.split(","):
        result = measure(name, options.pictures, options.rounds)
        results.append(result)
        print(f"{name}, {options.pictures} pictures, {result['FLOP'] / 1e9:.0f} GFLOP")
        for label, seconds in result["seconds"].items():
            ratio = result["seconds"]["published"] / seconds
            loss = result["loss at alpha 0.1"][label]
            print(f"  {label:20} {seconds:7.3f} s  {ratio:5.2f} x published   loss {loss:.6f}")
        share = 100 * result["share of the peak"]
        print(f"  {'floor float32':20} {result['floor seconds']:7.3f} s  lossgrid reaches {share:.0f} % of the peak")
    if options.json is not None:
        options.json.write_text(json.dumps({"results": results, "machine": describe()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
