"""One split of a data set: samples with targets, in memory or read one by one."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lossgrid import user_code
from lossgrid.data.batch import Batch, Tree, equal_batches, is_tensor, leaves, shapes
from lossgrid.data.digest import digest
from lossgrid.data.iterable import read_once
from lossgrid.data.loader import Collate, Opened, opened
from lossgrid.data.numbers import PAD, is_class, refuse_infinite
from lossgrid.data.parts import Rows, is_split, taken_apart
from lossgrid.data.samples import Form, Samples
from lossgrid.errors import InputError, shown
from lossgrid.readers.spread import spread

log = logging.getLogger(__name__)

SAMPLES_IN_DIGEST = 256  # samples of a Dataset in its digest, as it may be too large to read twice
WIDEST = 8  # bytes per number, an upper bound for inputs of several tensors with different dtypes
FEW = 8  # samples of a batch for trials of a collate function


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
        dataset: The samples of the user's Dataset; None if the user gave tensors. With a collate function, ``shape`` is
            None too, as it may differ from batch to batch.
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
    def collate(self) -> Collate | None:
        """The user's function that makes batches of samples; None if samples are stacked."""
        return None if self.dataset is None else self.dataset.collate

    @property
    def has_targets(self) -> bool:
        """Whether the samples have targets of their own."""
        return any(name.startswith("targets") for name in self.names)

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
        numbers = sum(math.prod(shape) for _, shape, _ in self._form.parts)
        of_so_many = 1 if self.collate is None else min(FEW, self.samples)
        return math.ceil(self.samples / of_so_many) * numbers * WIDEST

    def read(self, indices: range | list[int]) -> Batch:
        """Return samples as a batch on the CPU.

        Raises:
            InputError: The user's Dataset raised, or samples have different forms; the text names the sample.
        """
        if self.whole is not None:
            return self.whole.at(list(indices))
        assert self.dataset is not None
        return self.dataset.batch(indices)

    def in_memory(self) -> Split:
        """Return the split of its tensors alone, without the user's Dataset that they are of."""
        return replace(self, dataset=None)

    def without_samples(self) -> Split:
        """Return what is known of the split, without its samples."""
        return replace(self, whole=None, dataset=None)

    def digest(self) -> str:
        """Return a SHA-256 of the samples: of all tensors in memory, or of up to 256 samples spread over a Dataset."""
        if self.whole is not None:
            return digest(self.whole.named())
        assert self.dataset is not None
        total = hashlib.sha256(f"{self.samples}\n".encode())
        for some in self._spread_batches():
            total.update(digest(some.named("input", "target")).encode())
        return total.hexdigest()

    def _spread_batches(self) -> list[Batch]:
        """Return up to ``SAMPLES_IN_DIGEST`` samples spread over a Dataset: one by one, or collated ``FEW`` by few."""
        assert self.dataset is not None
        chosen = np.linspace(0, self.samples - 1, min(self.samples, SAMPLES_IN_DIGEST)).astype(int).tolist()
        if self.collate is None:
            return [self.dataset.read(index) for index in chosen]
        return [self.dataset.batch(chosen[start : start + FEW]) for start in range(0, len(chosen), FEW)]


def split_of(
    given: Any,
    *,
    source: str,
    max_samples: int | None = None,
    num_classes: int | None = None,
    collate: Collate | None = None,
) -> Split:
    """Return the split of a user's data: tensors in memory, samples by index, an iterable, or a ``DataLoader``.

    A tuple or dict of tensors is a whole split; a pair is (inputs, targets). A list of other than two parts, a
    ``Dataset`` or another object with a length and samples by index is read sample by sample. See
    :func:`lossgrid.data.parts.taken_apart` for the forms of samples.

    Args:
        given: The samples.
        source: Their origin, for errors.
        max_samples: Number of samples to keep, spread evenly; None for all.
        num_classes: Number of classes, if it may exceed the largest class among the targets.
        collate: A function that makes a batch of a list of samples; None: that of a DataLoader, or samples are stacked.

    Raises:
        InputError: ``given`` is none of these, or empty; its shapes do not fit; or a number is not finite.
    """
    found = opened(given, source) if isinstance(given, DataLoader) else Opened(given, None, None)
    given, collate = found.dataset, collate or found.collate
    if _is_whole(given):
        _refuse_splits(given, source)
        if collate is None:
            whole = taken_apart(given, source)
            _refuse_uneven(whole, source)
            return _of_tensors(whole, source, max_samples, num_classes)
        given = Rows(tuple(given) if isinstance(given, list) else given, source)
    if _is_indexed(given):
        return _of_samples(given, found.order, source, max_samples, num_classes, collate)
    if hasattr(given, "__iter__") and not isinstance(given, (str, bytes)):
        read = read_once(given, source, max_samples)
        if collate is not None:
            return _of_samples(read, list(read), source, None, num_classes, collate)
        return _of_tensors(_stacked(Samples(read, source, list(read))), source, None, num_classes)
    raise InputError(
        f"{source}: expected (inputs, targets) as tensors, a dict or tuple of tensors, a DataLoader, a Dataset with a "
        f"length, or an iterable of samples, got {type(given).__name__}"
    )


def _is_whole(given: Any) -> bool:
    """Return whether ``given`` is a split in memory: a tensor, or a tuple, pair or dict of tensors."""
    if isinstance(given, list):
        return len(given) == 2
    return isinstance(given, (torch.Tensor, np.ndarray, tuple, Mapping))


def _is_indexed(given: Any) -> bool:
    """Return whether ``given`` has a length and samples by index."""
    indexed = hasattr(given, "__getitem__") and hasattr(given, "__len__")
    return indexed and not isinstance(given, (IterableDataset, str, bytes))


def _refuse_splits(given: Any, source: str) -> None:
    """Refuse a dict of splits where one split is expected.

    Raises:
        InputError: No value of the dict is a tensor.
    """
    if isinstance(given, Mapping) and given and not is_split(given):
        names = ", ".join(map(str, given))
        raise InputError(
            f"{source}: expected the samples of one split, got a dict without tensors of {shown(names)}; return the "
            "split that is asked for"
        )


def _stacked(samples: Samples) -> Batch:
    """Return all samples as one batch.

    Raises:
        InputError: Samples have different forms.
    """
    assert samples.chosen is not None
    first = samples.read(0)
    return replace(samples, form=Form.of(first)).batch(range(len(samples.chosen)))


def _of_tensors(whole: Batch, source: str, max_samples: int | None, num_classes: int | None) -> Split:
    classification = is_class(whole.targets)
    if classification and num_classes is None:
        num_classes = int(whole.targets.max()) + 1
    if max_samples is not None and max_samples < whole.samples:
        whole = whole.at(torch.tensor(spread(whole.samples, max_samples)))
    refuse_infinite(whole.named(), source, "that are not finite")
    if classification:
        whole = replace(whole, targets=whole.targets.long())
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
    if not leaves(targets) and is_tensor(inputs) and inputs.ndim == 0:
        raise InputError(f"{source}: expected samples, got a single number")
    if isinstance(inputs, tuple) and is_tensor(targets) and targets.ndim and len(inputs) == len(targets):
        different = sorted({tuple(leaf.shape) for leaf in leaves(inputs)})
        if len(different) > 1 and len(leaves(inputs)) == len(inputs):
            raise InputError(f"{source}: inputs of different shape: {different[0]} and {different[-1]}; {PAD}")
    firsts = {tuple(leaf.shape[:1]) for leaf in whole.leaves}
    if len(firsts) > 1 or firsts <= {(), (0,)}:
        and_targets = f" and targets {shown(shapes(targets))}" if leaves(targets) else ""
        raise InputError(
            f"{source}: expected tensors of as many samples, (n, ...) each, n at least 1, got inputs "
            f"{shown(shapes(inputs))}{and_targets}; a list of samples goes as torch.stack of it"
        )


def warn_of_one_class(targets: torch.Tensor, source: str) -> None:
    """Warn if several samples are all of one class."""
    lowest, highest = (int(end) for end in targets.aminmax()) if targets.numel() else (0, 1)
    if lowest == highest and len(targets) > 1:
        log.warning("%s: all %d samples are of class %d, and stand for no other", source, len(targets), lowest)


def _of_samples(
    given: Any,
    order: list[Any] | None,
    source: str,
    max_samples: int | None,
    num_classes: int | None,
    collate: Collate | None,
) -> Split:
    """Return the split of samples by index, in ``order`` if that is given."""
    total = user_code.call(len, given, name="__len__", role=f"{source}: the Dataset's") if order is None else len(order)
    if total == 0:
        raise InputError(f"{source}: the Dataset is empty")
    classes = getattr(given, "classes", None)  # the attribute of torchvision's data sets
    if num_classes is None and classes is not None:
        num_classes = len(classes)
    if max_samples is not None and max_samples < total:
        chosen = spread(total, max_samples)
        order, total = chosen if order is None else [order[i] for i in chosen], max_samples
    dataset = Samples(given, source, order, collate=collate)
    few = np.linspace(0, total - 1, min(FEW, total)).astype(int).tolist()
    first, again = (dataset.read(0) if collate is None else dataset.batch(few) for _ in range(2))
    if not equal_batches(first, again):
        what = (
            "Dataset gives other values each time sample 0 is"
            if collate is None
            else (f"collate function gives other values each time the same {len(few)} samples are")
        )
        raise InputError(f"{source}: the {what} read; switch random augmentation or masking off")
    shape = tuple(first.inputs.shape) if collate is None and is_tensor(first.inputs) else None
    dataset = replace(dataset, form=Form.of(first))
    in_memory = order is None and collate is None and type(given).__getitem__ is TensorDataset.__getitem__
    whole = taken_apart(given.tensors, source) if in_memory else None
    if whole is not None:
        refuse_infinite(whole.named(), source, "that are not finite")
    return Split(total, shape, is_class(first.targets), num_classes, source, whole, dataset)
