"""Many labels for each sample: binary cross-entropy.

    python multilabel.py --out FOLDER

Each handwritten digit of scikit-learn has three labels: is it even, is it prime, is it above 4? The network gives one
logit for each label. The accuracy is the fraction of labels that are right, a logit above 0 being yes.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import lossgrid


def main():
    """Train, compute the surface, and compare its centre with the loss of torch."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path(), help="the folder of the picture")
    out = parser.parse_args().out

    torch.manual_seed(0)
    digits = load_digits()
    inputs = torch.tensor(digits.data / 16, dtype=torch.float32)
    digit = torch.tensor(digits.target)
    prime = torch.isin(digit, torch.tensor([2, 3, 5, 7]))
    targets = torch.stack([digit % 2 == 0, prime, digit > 4], dim=1).float()  # (n, 3)

    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 3))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(100):
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(network(inputs), targets).backward()
        optimiser.step()

    surface = lossgrid.evaluate(network, (inputs, targets), alpha="-1:1:21", beta="-1:1:21", loss="bce")
    picture = surface.plot(kind="contourf", metric="train_accuracy", title="three labels for each digit")
    picture.savefig(out / "multilabel.png", dpi=120)

    with torch.no_grad():
        logits = network(inputs)
    by_hand = F.binary_cross_entropy_with_logits(logits, targets).item()
    right = ((logits > 0) == (targets > 0.5)).double().mean().item()
    centre = float(surface["train_loss"][10, 10]), float(surface["train_accuracy"][10, 10])
    assert abs(centre[0] - by_hand) < 1e-5 * by_hand
    assert abs(centre[1] - right) < 1e-6
    print(f"loss at the centre: {centre[0]:.6f}, by torch: {by_hand:.6f}")
    print(f"accuracy at the centre: {centre[1]:.4f}, by torch: {right:.4f}")


if __name__ == "__main__":
    main()
