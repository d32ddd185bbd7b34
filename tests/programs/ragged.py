"""What users with samples of different length might write: their data, collate functions, network and losses."""

from __future__ import annotations

import copy
from collections import UserDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset

WORDS, CLASSES, TEXTS = 13, 3, 150
IGNORED = -100


def rows(split: str = "train", count: int = TEXTS) -> list[dict[str, Any]]:
    """Return texts of 2 to 6 words, each with its class."""
    generator = torch.Generator().manual_seed(len(split))
    return [
        {"input_ids": torch.randint(0, WORDS, (2 + i % 5,), generator=generator), "label": i % CLASSES}
        for i in range(count)
    ]


def padded(samples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Return texts of one length, their masks and their classes, as tokenisers' collators do."""
    ids = [sample["input_ids"] for sample in samples]
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
        "labels": torch.tensor([sample["label"] for sample in samples]),
    }


def as_mapping(samples: list[dict[str, Any]]) -> UserDict[str, torch.Tensor]:
    """Return the same as an object that is a mapping but no dict."""
    return UserDict(padded(samples))


class Texts(Dataset[Any]):
    """The texts by index, to be read one by one."""

    def __init__(self, split: str = "train") -> None:
        self.rows = rows(split)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return self.rows[i]


class Flow(IterableDataset[Any]):
    """The texts in their order, of which nobody knows how many they are."""

    def __iter__(self) -> Iterator[Any]:
        return iter(rows())


class Told(Flow):
    """The same with a length, which may be wrong."""

    def __init__(self, length: int = TEXTS) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length


def loader(split: str, kind: str = "right") -> Any:
    """Return the texts in a DataLoader, or something that is wrong."""
    if kind == "shuffled":
        return DataLoader(Texts(split), batch_size=4, shuffle=True, collate_fn=padded)
    if kind == "unpadded":
        return DataLoader(Texts(split), batch_size=4)
    if kind == "endless":
        return Flow()
    if kind == "splits":
        return {"train": Texts(), "test": Texts("test")}
    if kind == "tagged":
        return DataLoader(Texts(split), batch_size=4, collate_fn=tagged)
    return DataLoader(Texts(split), batch_size=4, collate_fn=padded)


class Reader(nn.Module):
    """Scores of classes from the mean of the words, those of the padding left out."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 6)
        self.out = nn.Linear(6, CLASSES)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        weights = attention_mask.unsqueeze(2).to(self.out.weight.dtype)
        return self.out(torch.tanh((self.words(input_ids) * weights).sum(dim=1) / weights.sum(dim=1)))


class Unmasked(Reader):
    """The same with the padding counted as words."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return super().forward(input_ids, torch.ones_like(attention_mask))


def trained(kind: type[nn.Module] = Reader) -> Any:
    """Return a network with the same weights each time."""
    torch.manual_seed(3)
    return kind()


def loss_of(model: nn.Module, samples: list[dict[str, Any]]) -> tuple[float, float]:
    """Return mean loss and accuracy, text by text, in float64 and without padding."""
    model = copy.deepcopy(model).double().eval()
    losses, right = [], 0
    for sample in samples:
        ids = sample["input_ids"][None]
        with torch.no_grad():
            scores = model(ids, torch.ones_like(ids))
        losses.append(float(F.cross_entropy(scores, torch.tensor([sample["label"]]))))
        right += int(scores.argmax()) == sample["label"]
    return sum(losses) / len(losses), right / len(losses)


class Tagger(nn.Module):
    """Scores of the classes of each word, (n, T, classes)."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 6)
        self.out = nn.Linear(6, CLASSES)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.words(input_ids)))


def tags(sample: dict[str, Any]) -> torch.Tensor:
    """Return a class for each word, of which some do not count."""
    ids: torch.Tensor = sample["input_ids"]
    return torch.where(ids % 4 == 0, IGNORED, ids % CLASSES)


def tagged(samples: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return padded words, and padded classes of which those of the padding do not count."""
    ids = pad_sequence([sample["input_ids"] for sample in samples], batch_first=True)
    return ids, pad_sequence([tags(sample) for sample in samples], batch_first=True, padding_value=IGNORED)


def packed(samples: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the words of all texts in one row of a batch that has no padding, as graph libraries do."""
    return torch.cat([sample["input_ids"] for sample in samples]), torch.cat([tags(sample) for sample in samples])


def counted(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the sum of the losses of the words that count, and their number."""
    total = F.cross_entropy(outputs.flatten(0, -2), targets.flatten(), ignore_index=IGNORED, reduction="sum")
    return total, (targets != IGNORED).sum()


def loss_of_words(model: nn.Module, samples: list[dict[str, Any]]) -> float:
    """Return the mean over all words that count, text by text, in float64."""
    model = copy.deepcopy(model).double().eval()
    total, weight = 0.0, 0
    for sample in samples:
        with torch.no_grad():
            scores = model(sample["input_ids"])
        for score, tag in zip(scores, tags(sample).tolist(), strict=True):
            if tag != IGNORED:
                total += float(torch.logsumexp(score, 0) - score[tag])
                weight += 1
    return total / weight
