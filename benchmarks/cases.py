"""What the contestants of point.py compute: networks with weights, pictures, two directions.

A case is made once, by point.py, and handed to all contestants as a file, so that whatever their environment they have
the same bits. The pictures are bytes, as data sets hold them, for the contestants that decode them at every point.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lossgrid import data, directions, models
from lossgrid.readers import cifar10, digits

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"  # real pictures and checkpoints, where they are
FAR = 0.5  # alpha and beta of the far corner of the plane; the near one is theta*
SIDE = 32
STEPS, BATCH, RATE = 16, 128, 1e-3  # of training where there is no checkpoint


@dataclass(frozen=True)
class Recipe:
    """What a case is made of.

    Attributes:
        model: A network of lossgrid's, or ``module:factory``.
        pictures: ``digits`` or ``cifar10``.
        samples: How many pictures.
        points: Points along each axis; even, so that two ranks have as many each.
        arguments: Arguments of the network.
        checkpoint: Weights in ``SHARED``; where there are none the network is trained for a moment.
    """

    model: str
    pictures: str
    samples: int
    points: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None


RECIPES = {
    "digits": Recipe("resnet20", "digits", 500, 8),
    "tiny": Recipe("resnet20", "digits", 50, 8),
    "resnet20": Recipe("resnet20", "cifar10", 2_000, 2, {"shortcut": "pad"}, "resnet20-12fca82f.th"),
    "resnet56": Recipe("resnet56", "cifar10", 2_000, 2, {"shortcut": "pad"}, "resnet56-4bfd9763.th"),
    "vgg9": Recipe("vgg9", "cifar10", 2_000, 2),
    "transformer": Recipe("transformer:Transformer", "cifar10", 2_000, 2),
}


@dataclass(frozen=True)
class Case:
    """A network at theta* with data and directions.

    Attributes:
        name: Its recipe.
        about: Pictures and weights in words.
        pixels: Pictures, ``(n, height, width, channels)``, uint8.
        labels: Classes, ``(n,)``, int64.
        mean: Of the pixels in 0..1, ``(channels, 1, 1)``, float32, as the network was trained with.
        deviation: The same for the standard deviation.
        state: All entries of the network at theta*.
        delta: Filter-normalised random direction of the alpha axis, by entry, float64.
        eta: The same for the beta axis.
    """

    name: str
    about: str
    pixels: torch.Tensor
    labels: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    state: directions.Entries
    delta: directions.Entries
    eta: directions.Entries

    def network(self) -> nn.Module:
        """Return the network at theta*, in evaluation mode."""
        model = build(RECIPES[self.name], channels=self.pixels.shape[-1])
        model.load_state_dict(self.state)
        return model.eval().requires_grad_(False)

    def inputs(self) -> torch.Tensor:
        """Return the pictures as the network takes them, ``(n, channels, height, width)``, float32."""
        return normalised(self.pixels, self.mean, self.deviation)


def axis(points: int) -> list[float]:
    """Return the coordinates of a plane along each axis, theta* first."""
    return torch.linspace(0, FAR, points, dtype=torch.float64).tolist()


def save(case: Case, path: Path) -> None:
    """Write a case for the contestants."""
    torch.save(asdict(case), path)


def load(path: Path) -> Case:
    """Read what :func:`save` wrote."""
    return Case(**torch.load(path, weights_only=True))


def make(name: str, folder: Path) -> Case:
    """Make the case called ``name``; ``folder`` takes unpacked data."""
    recipe = RECIPES[name]
    pixels, labels, scale, pictures = read_pictures(recipe, folder)
    mean, deviation = (torch.tensor(part).view(-1, 1, 1) for part in scale)
    torch.manual_seed(0)
    model = build(recipe, channels=pixels.shape[-1])
    weights = load_weights(recipe, model, normalised(pixels, mean, deviation), labels)
    theta = directions.parameters(model)
    delta, eta = (
        directions.normalise(directions.gaussian(theta, seed=0, axis=number), theta, "filter") for number in (0, 1)
    )
    about = f"{recipe.model} with {weights} on {recipe.samples:,} {pictures}"
    return Case(name, about, pixels, labels, mean, deviation, directions.states(model), delta, eta)


def normalised(pixels: torch.Tensor, mean: torch.Tensor, deviation: torch.Tensor) -> torch.Tensor:
    """Return bytes ``(n, height, width, channels)`` as a network takes them, float32; see :class:`Case`."""
    return (pixels.permute(0, 3, 1, 2).contiguous().float().div(255) - mean) / deviation


def build(recipe: Recipe, channels: int) -> nn.Module:
    """Build the network of a recipe."""
    return models.build(recipe.model, recipe.arguments, facts={"in_channels": channels, "num_classes": 10})


def read_pictures(
    recipe: Recipe, folder: Path
) -> tuple[torch.Tensor, torch.Tensor, tuple[tuple[float, ...], tuple[float, ...]], str]:
    """Return pixels, classes, mean and standard deviation to normalise with, and what the pictures are."""
    if recipe.pictures == "digits":
        # 16 shades: as bytes 0..16 they are exact, and normalising brings them to 0..1.
        scale = ((0.0,), (digits.BRIGHTEST / 255,))
        return *pixels_of("digits", recipe.samples, digits.BRIGHTEST), scale, "pictures of scikit-learn's digits"
    scale = cifar10.NORMALISATIONS["imagenet"]
    unpack = SHARED / "cifar10" / "unpack.py"
    if unpack.is_file():
        size = ["--train", str(recipe.samples), "--test", "1"]
        subprocess.run([sys.executable, unpack, folder, *size], check=True, stdout=subprocess.DEVNULL)
        pixels, labels = pixels_of(f"cifar10:{folder}", recipe.samples, 255, normalize="none")
        return pixels, labels, scale, "CIFAR-10 pictures (a JPEG copy)"
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (recipe.samples, SIDE, SIDE, 3), dtype=torch.uint8, generator=generator)
    return noise, torch.arange(recipe.samples) % cifar10.CLASSES, scale, "pictures of NOISE (no CIFAR-10 here)"


def pixels_of(name: str, samples: int, brightest: float, **arguments: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the training pictures of ``name`` as bytes, 0..``brightest``, and their classes."""
    tensors = data.load(name, arguments, splits=("train",), max_samples=samples)["train"].tensors
    assert tensors is not None
    return (tensors[0] * brightest).round().byte().permute(0, 2, 3, 1).contiguous(), tensors[1]


def load_weights(recipe: Recipe, model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> str:
    """Put the checkpoint into ``model``, or train it for a moment; return in words which."""
    if recipe.checkpoint is not None and (path := SHARED / "checkpoints" / recipe.checkpoint).is_file():
        models.load_state(model, models.read_checkpoint(path), source=path.name)
        return f"the weights of {path.name}"
    # Not left as initialised: batch normalisation has no statistics yet, so that activations fade, and the zeros in
    # biases are more than loss-landscapes can normalise (ZeroDivisionError).
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), RATE)
    batches = list(zip(inputs.split(BATCH), labels.split(BATCH), strict=True))
    for step in range(STEPS):
        x, y = batches[step % len(batches)]
        optimiser.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimiser.step()
    return f"weights after {STEPS} steps of training"
