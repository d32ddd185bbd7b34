"""One split of a data set: samples with targets, in memory or read one by one."""

from __future__ import annotations

import hashlib
import logging
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lossgrid import user_code
from lossgrid.data.batch import Batch, Tree, equal, is_tensor, shapes
from lossgrid.data.digest import digest
from lossgrid.data.numbers import as_tree, is_class, refuse_infinite
from lossgrid.data.samples import Form, Samples
from lossgrid.errors import InputError
from lossgrid.files import shown
from lossgrid.readers.spread import spread

log = logging.getLogger(__name__)

SAMPLES_IN_DIGEST = 256  # samples of a Dataset in its digest, as it may be too large to read twice
WIDEST = 8  # bytes per number, an upper bound for inputs of several tensors with different dtypes


@dataclass(frozen=True)
class Split:
    """Samples in a fixed order: all in memory, or read one by one.

    Attributes:
        samples: Number of samples.
        shape: Shape of one input, such as ``(channels, height, width)``; None if an input is several tensors.
        classification: Whether the targets are classes, integers from 0.
        num_classes: Number of classes; None if it is not known.
        source: Origin of the samples, for errors.
        whole: All samples, on the CPU; None if they are read one by one.
        dataset: The samples of the user's Dataset; None if the user gave tensors.
    """

    samples: int
    shape: tuple[int, ...] | None
    classification: bool
    num_classes: int | None
    source: str = "data"
    whole: Batch | None = None
    dataset: Samples | None = None

    @property
    def tensors(self) -> tuple[Tree, Tree] | None:
        """Inputs ``(samples, ...)`` and targets ``(samples, ...)``; None if they are not in memory."""
        return None if self.whole is None else (self.whole.inputs, self.whole.targets)

    @property
    def names(self) -> list[str]:
        """The names of all tensors: ``inputs`` and ``targets``, or ``inputs['mask']`` if there are several."""
        return [name for name, _, _ in self._form.parts]

    @property
    def _form(self) -> Form:
        if self.whole is not None:
            return Form.of(self.whole.apply(lambda leaf: leaf[0]))
        assert self.dataset is not None
        assert self.dataset.form is not None
        return self.dataset.form

    def nbytes(self, dtype: torch.dtype) -> int:
        """Return the approximate size of the inputs in bytes, with numbers of ``dtype``."""
        if self.shape is not None:
            return self.samples * math.prod(self.shape) * dtype.itemsize
        return self.samples * sum(math.prod(shape) for _, shape, _ in self._form.parts) * WIDEST

    def read(self, indices: range | list[int]) -> Batch:
        """Return samples as a batch on the CPU.

        Raises:
            InputError: The user's Dataset raised, or samples have different forms; the text names the sample.
        """
        if self.whole is not None:
            return self.whole.at(list(indices))
        assert self.dataset is not None
        return self.dataset.batch(indices)

    def digest(self) -> str:
        """Return a SHA-256 of the samples: of all tensors in memory, or of up to 256 samples spread over a Dataset."""
        if self.whole is not None:
            return digest(self.whole.named())
        assert self.dataset is not None
        total = hashlib.sha256(f"{self.samples}\n".encode())
        for i in np.linspace(0, self.samples - 1, min(self.samples, SAMPLES_IN_DIGEST)).astype(int):
            total.update(digest(self.dataset.read(int(i)).named("input", "target")).encode())
        return total.hexdigest()


def split_of(given: Any, *, source: str, max_samples: int | None = None, num_classes: int | None = None) -> Split:
    """Return the split of ``(inputs, targets)``, tensors or arrays, or of a map-style ``Dataset`` of such pairs.

    Inputs and targets may each be a dict, tuple or list of several tensors.

    Args:
        given: The samples.
        source: Their origin, for errors.
        max_samples: Number of samples to keep, spread evenly; None for all.
        num_classes: Number of classes, if it may exceed the largest class among the targets.

    Raises:
        InputError: ``given`` is neither, or empty; its shapes do not fit; or a number is not finite.
    """
    if isinstance(given, (tuple, list)) and len(given) == 2:
        inputs, targets = (as_tree(part, source, name) for part, name in zip(given, ("inputs", "targets"), strict=True))
        return _of_tensors(Batch(inputs, targets), source, max_samples, num_classes)
    if isinstance(given, Dataset) and not isinstance(given, IterableDataset) and hasattr(given, "__len__"):
        return _of_dataset(given, source, max_samples, num_classes)
    raise InputError(f"{source}: expected (inputs, targets) as tensors or a Dataset with a length, got {_given(given)}")


def _given(given: Any) -> str:
    """Return the type of unusable data, and the way to make them usable."""
    kind = type(given).__name__
    if isinstance(given, DataLoader):
        return f"{kind}; give its .dataset"
    if isinstance(given, IterableDataset):
        return f"{kind}; read it once and give torch.stack of its inputs and of its targets"
    if isinstance(given, (tuple, list)):
        return f"a {kind} of {len(given)}; several inputs go as ((a, b), targets) or ({{'a': a, 'b': b}}, targets)"
    return kind


def _of_tensors(whole: Batch, source: str, max_samples: int | None, num_classes: int | None) -> Split:
    _refuse_uneven(whole, source)
    classification = is_class(whole.targets)
    if classification and num_classes is None:
        num_classes = int(whole.targets.max()) + 1
    if max_samples is not None and max_samples < whole.samples:
        whole = whole.at(torch.tensor(spread(whole.samples, max_samples)))
    refuse_infinite(whole.named(), source, "that are not finite")
    if classification:
        whole = Batch(whole.inputs, whole.targets.long())
        warn_of_one_class(whole.targets, source)
    shape = tuple(whole.inputs.shape[1:]) if is_tensor(whole.inputs) else None
    return Split(whole.samples, shape, classification, num_classes, source, whole)


def _refuse_uneven(whole: Batch, source: str) -> None:
    """Refuse tensors with different numbers of samples.

    Raises:
        InputError: The numbers differ, or are 0; the text gives all shapes.
    """
    inputs, targets = whole
    if is_tensor(inputs) and is_tensor(targets):
        if inputs.ndim < 2 or targets.ndim < 1 or len(inputs) != len(targets) or len(inputs) == 0:
            raise InputError(
                f"{source}: expected inputs (n, ...) and as many targets, n at least 1, got shapes "
                f"{tuple(inputs.shape)} and {tuple(targets.shape)}"
            )
        return
    firsts = {tuple(leaf.shape[:1]) for leaf in whole.leaves}
    if len(firsts) > 1 or firsts <= {(), (0,)}:
        raise InputError(
            f"{source}: expected tensors of as many samples, (n, ...) each, n at least 1, got inputs "
            f"{shown(shapes(inputs))} and targets {shown(shapes(targets))}; a list of samples goes as torch.stack of it"
        )


def warn_of_one_class(targets: torch.Tensor, source: str) -> None:
    """Warn if several samples are all of one class."""
    lowest, highest = (int(end) for end in targets.aminmax()) if targets.numel() else (0, 1)
    if lowest == highest and len(targets) > 1:
        log.warning("%s: all %d samples are of class %d, and stand for no other", source, len(targets), lowest)


def _of_dataset(given: Dataset[Any], source: str, max_samples: int | None, num_classes: int | None) -> Split:
    samples = user_code.call(len, given, name="__len__", role=f"{source}: the Dataset's")
    if samples == 0:
        raise InputError(f"{source}: the Dataset is empty")
    classes = getattr(given, "classes", None)  # the attribute of torchvision's data sets
    if num_classes is None and classes is not None:
        num_classes = len(classes)
    dataset = Samples(given, source)
    if max_samples is not None and max_samples < samples:
        dataset, samples = Samples(given, source, spread(samples, max_samples)), max_samples
    first = dataset.read(0)
    if not equal(first.inputs, dataset.read(0).inputs):
        raise InputError(
            f"{source}: the Dataset gives other values each time sample 0 is read; switch random augmentation off"
        )
    shape = tuple(first.inputs.shape) if is_tensor(first.inputs) else None
    dataset = replace(dataset, form=Form.of(first))
    in_memory = dataset.chosen is None and type(given).__getitem__ is TensorDataset.__getitem__
    whole = Batch(*given.tensors) if in_memory else None  # type: ignore[attr-defined]
    return Split(samples, shape, is_class(first.targets), num_classes, source, whole, dataset)
