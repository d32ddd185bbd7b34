"""A user's ``DataLoader``: its Dataset, the order of its samples, and its collate function."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
)

from lossgrid import user_code
from lossgrid.errors import InputError

log = logging.getLogger(__name__)

Collate = Callable[[list[Any]], Any]

READINGS = 4  # of a sampler of unknown kind: it is in fixed order if all are equal
MOST = 100  # times the samples of the Dataset: a sampler with more is taken for endless
FIXED = "give it shuffle=False, or give its .dataset"


@dataclass(frozen=True)
class Opened:
    """What a DataLoader holds.

    Attributes:
        dataset: Its Dataset.
        order: Indices of the Dataset in the order of its sampler; None for all in their own order.
        collate: Its collate function; None if that only stacks the samples.
    """

    dataset: Any
    order: list[Any] | None
    collate: Collate | None


def opened(loader: DataLoader[Any], source: str) -> Opened:
    """Return what a DataLoader holds; the size of its batches and its processes do not count.

    Args:
        loader: The DataLoader.
        source: Its origin, for errors.

    Raises:
        InputError: It gives its samples in random order or by weight, shares them out, or makes no batches of samples.
    """
    collate = None if loader.collate_fn is default_collate else loader.collate_fn
    if loader.batch_size is None and (isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None):
        raise InputError(
            f"{source}: the DataLoader has batch_size=None, so that its Dataset makes the batches; lossgrid makes "
            "them: give a Dataset of single samples"
        )
    order = None if isinstance(loader.dataset, IterableDataset) else _order_of(loader, source)
    _tell_what_is_ignored(loader, order, source)
    return Opened(loader.dataset, order, collate)


def _tell_what_is_ignored(loader: DataLoader[Any], order: list[Any] | None, source: str) -> None:
    if loader.num_workers:
        log.info("%s: num_workers of the DataLoader is ignored: the ranks read the samples themselves", source)
    batches: Any = loader.batch_sampler
    if type(batches) is not BatchSampler or not batches.drop_last:
        return
    samples = loader.dataset if order is None else order
    if not hasattr(samples, "__len__") or len(samples) % batches.batch_size:
        log.warning("%s: drop_last of the DataLoader is ignored: all samples count, the last ones too", source)


def _order_of(loader: DataLoader[Any], source: str) -> list[Any] | None:
    """Return the indices of the samples in the order of the sampler; None for all in their own order."""
    batches: Any = loader.batch_sampler
    if type(batches) is not BatchSampler:
        return _fixed(batches, source, lambda sampler: chain.from_iterable(sampler), loader)
    sampler: Any = batches.sampler
    if isinstance(sampler, (RandomSampler, SubsetRandomSampler)):
        raise InputError(f"{source}: the DataLoader gives its samples in random order; {FIXED}")
    if isinstance(sampler, WeightedRandomSampler):
        raise InputError(
            f"{source}: the DataLoader draws its samples by weight, some of them several times; {FIXED}: weights "
            "belong into the loss, as the pair (total, weight) of a batch"
        )
    if isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1:
        raise InputError(
            f"{source}: the DistributedSampler of the DataLoader takes a part of the samples for each process; leave "
            "it out: lossgrid's ranks share points, and each reads all samples"
        )
    if type(sampler) is SequentialSampler and id(sampler.data_source) == id(loader.dataset):
        return None
    return _fixed(sampler, source, iter, loader)


def _fixed(sampler: Any, source: str, indices: Callable[[Any], Iterable[Any]], loader: DataLoader[Any]) -> list[Any]:
    """Return the indices of a sampler of unknown kind.

    Raises:
        InputError: They differ from reading to reading, do not end, or the sampler raises.
    """
    name = type(sampler).__name__
    most = MOST * max(1, user_code.call(len, loader.dataset, name="__len__", role=f"{source}: the Dataset's"))

    def read() -> list[Any]:
        return user_code.call(  # type: ignore[no-any-return]
            lambda: list(islice(indices(sampler), most + 1)), name=name, role=f"{source}: the sampler"
        )

    order = read()
    if len(order) > most:
        raise InputError(f"{source}: the sampler {name} does not end; {FIXED}")
    if any(read() != order for _ in range(READINGS - 1)):
        raise InputError(f"{source}: the sampler {name} gives another order each time it is read; {FIXED}")
    log.info("%s: %d samples in the order of %s", source, len(order), name)
    return order
