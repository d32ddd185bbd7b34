"""What a user of the tests might write: data, losses, networks; some slow, some broken."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from lossgrid.machine.launcher import detect


def rank() -> int:
    """Return the rank, as the launcher's environment has it."""
    launch = detect()
    return 0 if launch is None else launch.rank


def pictures(split: str, count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures of 8 x 8 and their classes; they load faster than real ones."""
    generator = torch.Generator().manual_seed(len(split))
    return torch.randn(count, 1, 8, 8, generator=generator), torch.arange(count) % 10


def slow_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy that takes 30 ms, or what the test says."""
    time.sleep(float(os.environ.get("SECONDS_PER_POINT", "0.03")))
    return F.cross_entropy(outputs, targets, reduction="none")


def slow_on_root(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy that takes rank 0 a tenth of a second and the others nothing."""
    time.sleep(0.1 if rank() == 0 else 0.0)
    return F.cross_entropy(outputs, targets, reduction="none")


class Net(torch.nn.Module):
    """A network with convolutions, normalisation, dropout and a buffer."""

    def __init__(self, in_channels: int, num_classes: int, width: int = 4) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels, width, 3, bias=False)
        self.norm = torch.nn.BatchNorm2d(width)
        self.dropout = torch.nn.Dropout(0.5)
        self.linear = torch.nn.Linear(36 * width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.dropout(F.relu(self.norm(self.conv(x)))).flatten(1))


def net(in_channels: int, num_classes: int, width: int = 4) -> torch.nn.Module:
    """Build the network, its statistics away from the defaults."""
    model = Net(in_channels, num_classes, width)
    with torch.no_grad():
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 2)
    return model


def half_frozen(in_channels: int, num_classes: int) -> torch.nn.Module:
    """Build the network with a linear layer that is not trained."""
    model = net(in_channels, num_classes)
    model.linear.requires_grad_(False)
    return model


def breaks() -> torch.nn.Module:
    raise RuntimeError("no network today")


def no_module() -> object:
    return 3


def breaks_on_rank_1(in_features: int, num_classes: int) -> torch.nn.Module:
    """Build a network, but not on rank 1."""
    if rank() == 1:
        raise RuntimeError("this node lacks a file")
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(in_features, num_classes))


def freezes_on_rank_1(in_channels: int, num_classes: int) -> torch.nn.Module:
    """Build the network, but rank 1 stops for good."""
    if rank() == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    return net(in_channels, num_classes)


def other_on_rank_1(in_features: int, num_classes: int) -> torch.nn.Module:
    """Build a network, another one on rank 1."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(in_features, num_classes))
    if rank() == 1:
        with torch.no_grad():
            model[1].weight[0, 0] += 1
    return model


def no_batch(in_features: int, num_classes: int) -> torch.nn.Module:
    """Build a network that forgets the batch."""

    class Forgets(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(in_features, num_classes)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x.flatten(1)).mean(dim=0)

    return Forgets()


def bad_shape(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return outputs


def raises(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    raise ValueError("my own fault")


def bad_data(split: str) -> object:
    raise OSError("the disk is gone")


def uneven_data(split: str) -> object:
    return torch.ones(3, 4), torch.zeros(2)


def keeps_the_lock_on_rank_1() -> None:
    """Sleep for 5 s, or as long as the test says, with Python's interpreter lock held, on rank 1."""
    if rank() == 1:
        sys.stderr.write("keeps the lock\n")
        sys.stderr.flush()
        ctypes.PyDLL(None).sleep(int(os.environ.get("SECONDS_LOCKED", "5")))


def keeps_the_lock_on_rank_1_model(in_channels: int, num_classes: int) -> torch.nn.Module:
    """Build the network, which takes rank 1 long."""
    keeps_the_lock_on_rank_1()
    return net(in_channels, num_classes)


calls = 0


def keeps_the_lock_on_rank_1_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, of which the 8th takes rank 1 long."""
    global calls
    calls += 1
    if calls == 8:
        keeps_the_lock_on_rank_1()
    return slow_loss(outputs, targets)


def noted(what: str) -> None:
    """Append a line to the file that ``NOTES`` names, with the rank."""
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{rank()} {what}\n")


def noted_pictures(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures, and note that they were read."""
    noted("read")
    return pictures(split, count=400)


class NotedDataset(torch.utils.data.Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The same pictures one by one; each reading is noted."""

    classes = tuple("0123456789")

    def __init__(self) -> None:
        self.inputs, self.targets = pictures("train", count=400)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        noted("sample")
        return self.inputs[index], self.targets[index]


def noted_samples(split: str) -> NotedDataset:
    """Return the pictures one by one."""
    return NotedDataset()


class InPlace(Net):
    """A network that changes its inputs in place, always to the same values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(F.relu_(x))


def in_place(in_channels: int, num_classes: int) -> torch.nn.Module:
    """Build the network."""
    return InPlace(in_channels, num_classes)
