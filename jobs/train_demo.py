"""Train a network of lossgrid's on the built-in digits and save it: what the demo's surfaces lie around.

python jobs/train_demo.py MODEL CHECKPOINT [EPOCHS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch.nn import functional as F

from lossgrid import data, models

BATCH = 64
RATE = 0.05


def main(name: str, checkpoint: Path, epochs: int) -> None:
    """Train by SGD with momentum and a cosine schedule, as small ResNets usually are."""
    torch.manual_seed(0)
    splits = data.load("digits", {}, splits=("train", "test"))
    inputs, targets = splits["train"].tensors or ()
    model = models.build(name, {}, facts=data.facts(splits)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=RATE, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        said = [f"{split} accuracy {accuracy(model, *(own.tensors or ())):.3f}" for split, own in splits.items()]
    torch.save(model.state_dict(), checkpoint)
    print(f"{name}: {', '.join(said)} -> {checkpoint}")


def accuracy(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Return the fraction of samples that are recognised."""
    return float((model(inputs).argmax(dim=1) == targets).double().mean())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10)
