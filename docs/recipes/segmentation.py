"""Segmentation with void pixels: the label 255 does not count.

    python segmentation.py --out FOLDER

The pictures show discs and squares. Each pixel has a class: 0 background, 1 disc, 2 square. Pixels at the edge of a
shape are void and have the label 255. The same from the command line: lossgrid run ... --loss-arg ignore_index=255
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import lossgrid

VOID = 255


def shapes(samples, side=24):
    """Return noisy pictures (n, 1, side, side) and the class of each pixel, (n, side, side)."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    pictures, labels = [], []
    for i in range(samples):
        kind = 1 + i % 2
        row, column = torch.randint(8, side - 8, (2,))
        radius = torch.randint(4, 7, ())
        down, across = (rows - row).float(), (columns - column).float()
        distance = torch.hypot(down, across) if kind == 1 else torch.maximum(down.abs(), across.abs())
        inside = distance < radius
        label = inside.long() * kind
        label[(distance - radius).abs() < 0.8] = VOID
        pictures.append(inside.float() + 0.3 * torch.randn(side, side))
        labels.append(label)
    return torch.stack(pictures)[:, None], torch.stack(labels)


def main():
    """Train, compute the surface, and compare its centre with the loss of torch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the picture")
    out = parser.parse_args().out

    torch.manual_seed(0)
    pictures, labels = shapes(96)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 5, padding=4, dilation=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 3, 1),
    )  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(20):
        for some, classes in zip(pictures.split(16), labels.split(16), strict=True):
            optimiser.zero_grad()
            F.cross_entropy(network(some), classes, ignore_index=VOID).backward()
            optimiser.step()

    surface = lossgrid.evaluate(
        network, (pictures, labels), alpha="-1:1:17", beta="-1:1:17", loss_args={"ignore_index": VOID}
    )
    picture = surface.plot(kind="contourf", log=True, title="segmentation with void pixels")
    picture.savefig(out / "segmentation.png", dpi=120)

    with torch.no_grad():
        outputs = network.eval()(pictures)
    by_hand = F.cross_entropy(outputs, labels, ignore_index=VOID).item()
    counted = labels != VOID
    right = (outputs.argmax(1) == labels)[counted].double().mean().item()
    centre = float(surface["train_loss"][8, 8]), float(surface["train_accuracy"][8, 8])
    assert abs(centre[0] - by_hand) < 1e-5 * by_hand
    assert abs(centre[1] - right) < 1e-6
    print(f"void pixels: {1 - counted.double().mean().item():.3f}")
    print(f"loss at the centre: {centre[0]:.6f}, by torch: {by_hand:.6f}")
    print(f"accuracy at the centre: {centre[1]:.4f}, by torch: {right:.4f}")


if __name__ == "__main__":
    main()
