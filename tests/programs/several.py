"""What users of networks with several inputs might write: data, networks and losses of dicts and tuples."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

WORDS, LENGTH = 13, 5


def texts(split: str, count: int = 37, kind: str = "right") -> Any:
    """Return token ids with a mask, and a class for each text; something is wrong with other kinds."""
    generator = torch.Generator().manual_seed(len(split))
    ids = torch.randint(0, WORDS, (count, LENGTH), generator=generator)
    mask = torch.arange(LENGTH) <= torch.randint(0, LENGTH, (count, 1), generator=generator)
    labels = torch.randint(0, 3, (count,), generator=generator)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    if kind == "shorter":
        inputs["attention_mask"] = mask[1:]
    elif kind == "nan":
        inputs["attention_mask"] = mask / mask.sum(dim=1, keepdim=True).clamp(max=1).sub(1)
    elif kind == "words":
        inputs["attention_mask"] = ["yes"] * count
    elif kind == "nothing":
        inputs["attention_mask"] = None
    elif kind == "other":
        inputs["attention_mask"] = torch.ones_like(mask)
    elif kind == "misnamed":
        inputs["mask"] = inputs.pop("attention_mask")
    elif kind == "labelled":
        return inputs, {"label": labels}
    return inputs, labels


class Rows(Dataset[Any]):
    """The samples one by one."""

    def __init__(self, inputs: Any, targets: Any) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, i: int) -> Any:
        if isinstance(self.inputs, dict):
            return {name: part[i] for name, part in self.inputs.items()}, self.targets[i]
        return tuple(part[i] for part in self.inputs), self.targets[i]


def texts_one_by_one(split: str) -> Any:
    return Rows(*texts(split))


class Reader(nn.Module):
    """The mean of the words that count, normalised: it can be folded; ``token_type_ids`` are not given here."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 6)
        self.linear = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.out = nn.Linear(8, 3)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        weights = attention_mask.unsqueeze(2)
        mean = (self.words(input_ids) * weights).sum(dim=1) / weights.sum(dim=1)
        if token_type_ids is not None:
            mean = mean + token_type_ids
        return self.out(F.relu(self.norm(self.linear(mean))))


def scenes(split: str, count: int = 30) -> Any:
    """Return pictures with two numbers each, and per sample a value, how much it counts, and whether it does."""
    generator = torch.Generator().manual_seed(len(split))
    pictures = torch.randn(count, 2, 6, 6, generator=generator)
    numbers = torch.randn(count, 2, generator=generator)
    targets = {
        "value": torch.randn(count, generator=generator),
        "weight": torch.rand(count, generator=generator),
        "counts": torch.rand(count, generator=generator) < 0.7,
    }
    return (pictures, numbers), targets


class Seer(nn.Module):
    """A convolution, a normalisation, and the numbers beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.out = nn.Linear(6, 1)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, picture: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        seen = F.relu(self.norm(self.conv(picture))).mean(dim=(2, 3))
        return self.out(torch.cat([seen, numbers], dim=1))


def weighted(outputs: torch.Tensor, targets: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Squared error of the samples that count, by their weights; the mask must still be one."""
    counts = targets["counts"]
    assert counts.dtype == torch.bool
    weights = targets["weight"][counts]
    return ((outputs[counts, 0] - targets["value"][counts]).square() * weights).sum(), weights.sum()
