"""Regression: the mean squared error along the line between two networks.

    python regression.py --out FOLDER

The data are scikit-learn's diabetes: ten numbers of a patient, and the progression of the disease after a year. Two
networks are trained from different seeds. The line leads from the first, at alpha = 0, to the second, at alpha = 1.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.nn import functional as F

import lossgrid


def trained(seed, inputs, targets):
    """Return a network trained on all samples at once."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(200):
        optimiser.zero_grad()
        F.mse_loss(network(inputs), targets).backward()
        optimiser.step()
    return network


def main():
    """Train two networks, compute the line, and compare both ends with the loss of torch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the picture")
    out = parser.parse_args().out

    features, progression = load_diabetes(return_X_y=True)
    inputs = torch.tensor(features, dtype=torch.float32)
    targets = torch.tensor(progression, dtype=torch.float32)[:, None]  # (n, 1), as the outputs
    inputs, targets = ((part - part.mean(0)) / part.std(0) for part in (inputs, targets))
    data = {"train": (inputs[::2], targets[::2]), "test": (inputs[1::2], targets[1::2])}
    first, second = trained(1, *data["train"]), trained(2, *data["train"])

    surface = lossgrid.evaluate(first, data, to=second, alpha=(-0.5, 1.5, 41), loss="mse")
    surface.plot(title="from one regression network to another").savefig(out / "regression.png", dpi=120)

    for split, (some, numbers) in data.items():
        for alpha, network in ((0, first), (1, second)):
            with torch.no_grad():
                by_hand = F.mse_loss(network(some), numbers).item()
            loss = float(surface[f"{split}_loss"][10 + 20 * alpha])
            assert abs(loss - by_hand) < 1e-5 * by_hand
            print(f"{split} loss at alpha = {alpha}: {loss:.6f}, by torch: {by_hand:.6f}")
    between, ends = surface["train_loss"][10:31], surface["train_loss"][[10, 30]]
    print(f"barrier of the train loss: {between.max() - ends.max():.4f}")


if __name__ == "__main__":
    main()
