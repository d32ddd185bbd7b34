"""One split of a data set: samples with targets, in memory or read one by one."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from lossgrid import user_code
from lossgrid.data.numbers import SEVERAL, as_tensor, is_class, is_finite
from lossgrid.digest import digest
from lossgrid.errors import InputError
from lossgrid.readers.spread import spread

log = logging.getLogger(__name__)

SAMPLES_IN_DIGEST = 256  # of a Dataset, which may be far too large to read twice

Sample = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Form:
    """What all samples of a Dataset have in common, so that they can be put into batches.

    Attributes:
        shape: Of an input.
        kind: Of its numbers: "real", "complex", or a type of integers.
        target_shape: Of a target.
        target_kind: Of its numbers.
    """

    shape: tuple[int, ...]
    kind: str
    target_shape: tuple[int, ...]
    target_kind: str

    @classmethod
    def of(cls, inputs: torch.Tensor, target: torch.Tensor) -> Form:
        """Return the form of one sample."""
        return cls(tuple(inputs.shape), _kind(inputs), tuple(target.shape), _kind(target))

    def __str__(self) -> str:
        return f"inputs {self.shape} of {self.kind} numbers, targets {self.target_shape} of {self.target_kind} numbers"


def _kind(tensor: torch.Tensor) -> str:
    if tensor.is_floating_point():
        return "real"
    return "complex" if tensor.is_complex() else str(tensor.dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Split:
    """Samples in a fixed order.

    Attributes:
        dataset: Pairs of input and target by index; a ``TensorDataset`` where they are in memory.
        samples: How many there are.
        shape: Shape of one input, such as ``(channels, height, width)``.
        classification: Whether the targets are classes, integers from 0.
        num_classes: Number of classes where it is known.
        source: What gave them, for errors.
        form: What all samples have in common; None where they are in memory.
    """

    dataset: Dataset[Any]
    samples: int
    shape: tuple[int, ...]
    classification: bool
    num_classes: int | None
    source: str = "data"
    form: Form | None = None

    @property
    def tensors(self) -> Sample | None:
        """Inputs ``(samples, *shape)`` and targets ``(samples, ...)`` where they are in memory."""
        return self.dataset.tensors if isinstance(self.dataset, TensorDataset) else None  # type: ignore[return-value]

    def read(self, indices: range | list[int]) -> Sample:
        """Return samples as a batch on the CPU: inputs ``(n, *shape)`` and targets ``(n, ...)``.

        Raises:
            InputError: The user's Dataset raised, or samples have different forms; the text names the sample.
        """
        samples = [_sample(self.dataset, index, self.source, self.form) for index in indices]
        inputs, targets = zip(*samples, strict=True)
        return torch.stack(inputs), torch.stack(targets)

    def digest(self) -> str:
        """Return what identifies the samples: of tensors all bytes, of a Dataset up to 256 samples spread over it."""
        if self.tensors is not None:
            inputs, targets = self.tensors
            return digest({"inputs": inputs, "targets": targets})
        total = hashlib.sha256(f"{self.samples}\n".encode())
        for i in np.linspace(0, self.samples - 1, min(self.samples, SAMPLES_IN_DIGEST)).astype(int):
            inputs, target = _sample(self.dataset, int(i), self.source, self.form)
            total.update(digest({"input": inputs, "target": target}).encode())
        return total.hexdigest()


def split_of(given: Any, *, source: str, max_samples: int | None = None, num_classes: int | None = None) -> Split:
    """Make a split of ``(inputs, targets)``, tensors or arrays, or of a map-style ``Dataset`` of such pairs.

    Args:
        given: The samples.
        source: What gave them, for errors.
        max_samples: Keep so many, spread evenly over them.
        num_classes: Number of classes, where the largest class among the targets does not tell.

    Raises:
        InputError: It is neither, is empty, does not fit together, or holds numbers that are not finite.
    """
    if isinstance(given, (tuple, list)) and len(given) == 2:
        inputs, targets = (as_tensor(part, source) for part in given)
        return _of_tensors(inputs, targets, source, max_samples, num_classes)
    if isinstance(given, Dataset) and not isinstance(given, IterableDataset) and hasattr(given, "__len__"):
        return _of_dataset(given, source, max_samples, num_classes)
    raise InputError(f"{source}: expected (inputs, targets) as tensors or a Dataset with a length, got {_given(given)}")


def _given(given: Any) -> str:
    """Name what is no data, and the way to make it one."""
    kind = type(given).__name__
    if isinstance(given, DataLoader):
        return f"{kind}; give its .dataset"
    if isinstance(given, IterableDataset):
        return f"{kind}; read it once and give torch.stack of its inputs and of its targets"
    if isinstance(given, (tuple, list)):
        return f"a {kind} of {len(given)}; {SEVERAL}"
    return kind


def _of_tensors(
    inputs: torch.Tensor, targets: torch.Tensor, source: str, max_samples: int | None, num_classes: int | None
) -> Split:
    if inputs.ndim < 2 or targets.ndim < 1 or len(inputs) != len(targets) or len(inputs) == 0:
        raise InputError(
            f"{source}: expected inputs (n, ...) and as many targets, n at least 1, got shapes {tuple(inputs.shape)} "
            f"and {tuple(targets.shape)}"
        )
    classification = is_class(targets)
    if classification and num_classes is None:
        num_classes = int(targets.max()) + 1
    if max_samples is not None and max_samples < len(inputs):
        chosen = torch.tensor(spread(len(inputs), max_samples))
        inputs, targets = inputs[chosen], targets[chosen]
    for name, tensor in (("inputs", inputs), ("targets", targets)):
        if not is_finite(tensor):
            raise InputError(f"{source}: the {name} hold numbers that are not finite")
    if classification:
        targets = targets.long()
        warn_of_one_class(targets, source)
    shape = tuple(inputs.shape[1:])
    return Split(TensorDataset(inputs, targets), len(inputs), shape, classification, num_classes, source)


def warn_of_one_class(targets: torch.Tensor, source: str) -> None:
    """Say so where several samples are all of one class, for which they stand then alone."""
    lowest, highest = (int(end) for end in targets.aminmax()) if targets.numel() else (0, 1)
    if lowest == highest and len(targets) > 1:
        log.warning("%s: all %d samples are of class %d, and stand for no other", source, len(targets), lowest)


def _of_dataset(dataset: Dataset[Any], source: str, max_samples: int | None, num_classes: int | None) -> Split:
    samples = user_code.call(len, dataset, name="__len__", role=f"{source}: the Dataset's")
    if samples == 0:
        raise InputError(f"{source}: the Dataset is empty")
    classes = getattr(dataset, "classes", None)  # torchvision's data sets name their classes so
    if num_classes is None and classes is not None:
        num_classes = len(classes)
    if max_samples is not None and max_samples < samples:
        dataset, samples = _Spread(dataset, spread(samples, max_samples)), max_samples
    inputs, target = _sample(dataset, 0, source, None)
    again, _ = _sample(dataset, 0, source, None)
    if not torch.equal(inputs, again):
        raise InputError(
            f"{source}: the Dataset gives other values each time sample 0 is read; switch random augmentation off"
        )
    form = Form.of(inputs, target)
    return Split(dataset, samples, form.shape, is_class(target), num_classes, source, form)


class _Spread(Subset[Any]):
    """Some of the samples of a user's Dataset, under other numbers than there."""


def _sample(dataset: Dataset[Any], index: int, source: str, form: Form | None) -> Sample:
    """Read one sample.

    Args:
        dataset: The user's.
        index: Which.
        source: What gave it, for errors.
        form: What it must look like.

    Raises:
        InputError: The Dataset raised, or gave no pair, or one of another form.
    """
    number = dataset.indices[index] if isinstance(dataset, _Spread) else index
    sample = user_code.call(dataset.__getitem__, index, name=f"sample {number}", role=f"{source}: reading")
    expected = f"{source}: expected samples of the Dataset to be pairs (input tensor, target)"
    if not isinstance(sample, (tuple, list)) or len(sample) != 2:
        raise InputError(f"{expected}, got {_parts(sample)} as sample {number}; {SEVERAL}")
    if not isinstance(sample[0], (torch.Tensor, np.ndarray)):
        raise InputError(f"{expected}, got {_parts(sample)} as sample {number}")
    inputs, target = (as_tensor(part, f"{source}: sample {number}") for part in sample)
    if form is not None and Form.of(inputs, target) != form:
        raise InputError(
            f"{source}: the samples of the Dataset do not go into one batch: the first has {form}, sample {number} has "
            f"{Form.of(inputs, target)}; pad or convert them"
        )
    return inputs, target


def _parts(sample: Any) -> str:
    is_tuple = isinstance(sample, (tuple, list))
    return str(tuple(type(part).__name__ for part in sample)) if is_tuple else type(sample).__name__
