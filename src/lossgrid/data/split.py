"""One split of a data set: samples with targets, in memory or read one by one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from lossgrid.digest import digest
from lossgrid.errors import InputError, in_short

SAMPLES_IN_DIGEST = 256  # of a Dataset, which may be far too large to read twice


@dataclass(frozen=True)
class Split:
    """Samples in a fixed order.

    Attributes:
        dataset: Pairs of input and target by index; a ``TensorDataset`` where they are in memory.
        samples: How many there are.
        shape: Shape of one input, such as ``(channels, height, width)``.
        classification: Whether the targets are classes, integers from 0.
        num_classes: Number of classes where it is known.
    """

    dataset: Dataset[Any]
    samples: int
    shape: tuple[int, ...]
    classification: bool
    num_classes: int | None

    @property
    def tensors(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Inputs ``(samples, *shape)`` and targets ``(samples, ...)`` where they are in memory."""
        return self.dataset.tensors if isinstance(self.dataset, TensorDataset) else None  # type: ignore[return-value]

    def digest(self) -> str:
        """Return what identifies the samples: of tensors all bytes, of a Dataset up to 256 samples spread over it."""
        if self.tensors is not None:
            inputs, targets = self.tensors
            return digest({"inputs": inputs, "targets": targets})
        total = hashlib.sha256(f"{self.samples}\n".encode())
        for i in np.linspace(0, self.samples - 1, min(self.samples, SAMPLES_IN_DIGEST)).astype(int):
            inputs, target = self.dataset[int(i)]
            total.update(digest({"input": inputs, "target": torch.as_tensor(target)}).encode())
        return total.hexdigest()


def split_of(given: Any, *, source: str, max_samples: int | None = None, num_classes: int | None = None) -> Split:
    """Make a split of ``(inputs, targets)``, tensors or arrays, or of a map-style ``Dataset`` of such pairs.

    Args:
        given: The samples.
        source: What gave them, for errors.
        max_samples: Keep the first so many.
        num_classes: Number of classes, where the largest class among the targets does not tell.

    Raises:
        InputError: It is neither, is empty, does not fit together, or holds numbers that are not finite.
    """
    if isinstance(given, (tuple, list)) and len(given) == 2:
        inputs, targets = (_as_tensor(part, source) for part in given)
        return _of_tensors(inputs, targets, source, max_samples, num_classes)
    if isinstance(given, Dataset) and not isinstance(given, IterableDataset) and hasattr(given, "__len__"):
        return _of_dataset(given, source, max_samples, num_classes)
    raise InputError(
        f"{source}: expected (inputs, targets) as tensors or a Dataset with a length, got {type(given).__name__}"
    )


def _as_tensor(part: Any, source: str) -> torch.Tensor:
    try:
        return torch.as_tensor(part).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{source}: expected tensors or arrays of numbers, got {in_short(error)}") from None


def _of_tensors(
    inputs: torch.Tensor, targets: torch.Tensor, source: str, max_samples: int | None, num_classes: int | None
) -> Split:
    if inputs.ndim < 2 or targets.ndim < 1 or len(inputs) != len(targets) or len(inputs) == 0:
        raise InputError(
            f"{source}: expected inputs (n, ...) and as many targets, n at least 1, got shapes {tuple(inputs.shape)} "
            f"and {tuple(targets.shape)}"
        )
    classification = _is_class(targets)
    if classification and num_classes is None:
        num_classes = int(targets.max()) + 1
    inputs, targets = inputs[:max_samples], targets[:max_samples]
    for name, tensor in (("inputs", inputs), ("targets", targets)):
        if not tensor.isfinite().all():
            raise InputError(f"{source}: the {name} hold numbers that are not finite")
    if classification:
        targets = targets.long()
    return Split(TensorDataset(inputs, targets), len(inputs), tuple(inputs.shape[1:]), classification, num_classes)


def _of_dataset(dataset: Dataset[Any], source: str, max_samples: int | None, num_classes: int | None) -> Split:
    samples = len(dataset)  # type: ignore[arg-type]
    if samples == 0:
        raise InputError(f"{source}: the Dataset is empty")
    inputs, target = _sample(dataset, source)
    again, _ = _sample(dataset, source)
    if not torch.equal(inputs, again):
        raise InputError(
            f"{source}: the Dataset gives other values each time sample 0 is read; switch random augmentation off"
        )
    classes = getattr(dataset, "classes", None)  # torchvision's data sets name their classes so
    if num_classes is None and classes is not None:
        num_classes = len(classes)
    if max_samples is not None and max_samples < samples:
        dataset, samples = Subset(dataset, range(max_samples)), max_samples
    return Split(dataset, samples, tuple(inputs.shape), _is_class(target), num_classes)


def _sample(dataset: Dataset[Any], source: str) -> tuple[torch.Tensor, torch.Tensor]:
    sample = dataset[0]
    if not isinstance(sample, (tuple, list)) or len(sample) != 2 or not isinstance(sample[0], torch.Tensor):
        given = (
            tuple(type(part).__name__ for part in sample)
            if isinstance(sample, (tuple, list))
            else type(sample).__name__
        )
        raise InputError(f"{source}: expected samples of the Dataset to be pairs (input tensor, target), got {given}")
    return sample[0], _as_tensor(sample[1], source)


def _is_class(targets: torch.Tensor) -> bool:
    return not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)
