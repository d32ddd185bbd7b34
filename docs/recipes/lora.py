"""LoRA: the surface in the adapter, and in the merged weights.

    python lora.py --out FOLDER

A network learns handwritten digits. Then an adapter of rank 8 teaches it the same digits turned by 90 degrees; the
weights themselves stay. With move="*lora_*" the axes lie in the adapter alone. In the merged network W + B A the axes
move all of these weights. Names of peft contain `lora_` as well.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import lossgrid


class Adapted(nn.Module):
    """A linear layer that stays, with an adapter: W x + b + B A x."""

    def __init__(self, layer, rank=8):
        super().__init__()
        self.layer = layer.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
        self.lora_b = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x):
        """Return the sum of both."""
        return self.layer(x) + x @ self.lora_a.T @ self.lora_b.T

    def merged(self):
        """Return one linear layer that is the same function."""
        whole = nn.Linear(self.layer.in_features, self.layer.out_features)
        with torch.no_grad():
            whole.weight.copy_(self.layer.weight + self.lora_b @ self.lora_a)
            whole.bias.copy_(self.layer.bias)
        return whole


def train(network, inputs, targets):
    """Train what may be trained, on all samples at once."""
    optimiser = torch.optim.Adam([one for one in network.parameters() if one.requires_grad], lr=0.01)
    for _ in range(200):
        optimiser.zero_grad()
        F.cross_entropy(network(inputs), targets).backward()
        optimiser.step()


def main():
    """Train both, compute both surfaces, and compare their centres with the loss of torch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the picture")
    out = parser.parse_args().out

    torch.manual_seed(0)
    digits = load_digits()
    pictures, targets = torch.tensor(digits.images / 16, dtype=torch.float32), torch.tensor(digits.target)
    upright, turned = pictures.flatten(1), torch.rot90(pictures, dims=(1, 2)).flatten(1)
    base = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 10))
    train(base, upright, targets)
    adapted = nn.Sequential(Adapted(base[0]), nn.GELU(), Adapted(base[2]))
    train(adapted, turned, targets)
    merged = nn.Sequential(adapted[0].merged(), nn.GELU(), adapted[2].merged())

    data, grid = (turned, targets), {"alpha": "-1:1:21", "beta": "-1:1:21"}
    surfaces = [lossgrid.evaluate(adapted, data, move="*lora_*", **grid), lossgrid.evaluate(merged, data, **grid)]
    picture = lossgrid.plot.side_by_side(surfaces, ["axes in the adapter", "axes in the merged weights"])
    picture.savefig(out / "lora.png", dpi=75)

    with torch.no_grad():
        before, after = (F.cross_entropy(one(turned), targets).item() for one in (base, adapted))
    print(f"loss before the adapter was trained: {before:.3f}")
    for name, surface in zip(("adapter", "merged"), surfaces, strict=True):
        centre = float(surface["train_loss"][10, 10])
        assert abs(centre - after) < 1e-5 * after
        print(f"loss at the centre, {name}: {centre:.6f}, by torch: {after:.6f}")


if __name__ == "__main__":
    main()
