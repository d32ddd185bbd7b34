"""A batch: the inputs and targets of some samples, each one tensor or a tree of tensors.

A tree is a dict by name, or a tuple, of tensors and trees. Dicts are sorted by name. The first dimension of all tensors
of a tree is that of the samples, except in batches of a user's collate function. Usually a tree is one tensor; then
there is no overhead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from torch.utils._pytree import keystr, tree_flatten, tree_flatten_with_path, tree_leaves, tree_map, tree_unflatten

Tree = Any
Index = slice | torch.Tensor | list[int]
NOTHING: Tree = ()  # the targets of samples that have none


def is_tensor(tree: Tree) -> bool:
    """Return whether a tree is one tensor."""
    return isinstance(tree, torch.Tensor)


def leaves(tree: Tree) -> list[torch.Tensor]:
    """Return the tensors of a tree."""
    return [tree] if isinstance(tree, torch.Tensor) else tree_leaves(tree)


def named(tree: Tree, name: str) -> dict[str, torch.Tensor]:
    """Return the tensors of a tree by their names; these begin with ``name``.

    >>> list(named({"ids": torch.ones(2), "more": (torch.ones(2),)}, "inputs"))
    ["inputs['ids']", "inputs['more'][0]"]
    """
    if isinstance(tree, torch.Tensor):
        return {name: tree}
    return {f"{name}{keystr(path)}": leaf for path, leaf in tree_flatten_with_path(tree)[0]}


def count(tree: Tree) -> int:
    """Return the number of samples: the first dimension of the first tensor."""
    return len(leaves(tree)[0])


def nbytes(tree: Tree) -> int:
    """Return the bytes of all tensors of a tree."""
    return sum(leaf.nbytes for leaf in leaves(tree))


def apply(function: Callable[[torch.Tensor], Any], tree: Tree) -> Tree:
    """Return a tree of the same form with ``function(tensor)`` in place of each tensor."""
    return function(tree) if isinstance(tree, torch.Tensor) else tree_map(function, tree)


def at(tree: Tree, index: Index) -> Tree:
    """Return the samples of a tree at ``index``."""
    return apply(lambda leaf: leaf[index], tree)


def cut(tree: Tree, size: int) -> Iterable[Tree]:
    """Return views of ``size`` samples each; the last one may be smaller. A tree without tensors is repeated."""
    return _regrouped(tree, lambda leaf: torch.split(leaf, size))


def divided(tree: Tree, number: int) -> Iterable[Tree]:
    """Return ``number`` views; their sizes differ by at most one sample."""
    if not leaves(tree):
        return [tree] * number
    return _regrouped(tree, lambda leaf: leaf.tensor_split(number))


def _regrouped(tree: Tree, cut_one: Callable[[torch.Tensor], Sequence[torch.Tensor]]) -> Iterable[Tree]:
    if isinstance(tree, torch.Tensor):
        return cut_one(tree)
    flat, form = tree_flatten(tree)
    if not flat:
        return repeat(tree)
    return [tree_unflatten(list(part), form) for part in zip(*map(cut_one, flat), strict=True)]


def stack(samples: Sequence[Tree]) -> Tree:
    """Return samples stacked along a new first dimension; all must have the same form and shapes."""
    if isinstance(samples[0], torch.Tensor):
        return torch.stack(list(samples))
    return tree_map(lambda *same: torch.stack(same), *samples)


def equal(one: Tree, other: Tree) -> bool:
    """Return whether two trees have the same names and equal tensors."""
    a, b = named(one, ""), named(other, "")
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def shapes(tree: Tree) -> str:
    """Return the shapes of a tree as text: ``(4, 3)``, or ``{'ids': (4, 16), 'mask': (4, 16)}``."""
    return str(apply(lambda leaf: tuple(leaf.shape), tree))


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of some samples; ``inputs, targets = batch`` unpacks it.

    Attributes:
        inputs: Tree of the inputs, ``(n, ...)`` each.
        targets: Tree of the targets, ``(n, ...)`` each; ``NOTHING`` if the samples have none.
        label: The key of the targets in the user's dicts; None if the samples are pairs, or have no targets.
        size: Number of samples that a user's collate function got; None if the first dimension is that of the samples.
    """

    inputs: Tree
    targets: Tree
    label: str | None = None
    size: int | None = None

    def __iter__(self) -> Iterator[Tree]:
        return iter((self.inputs, self.targets))

    @property
    def given(self) -> Tree:
        """The batch in the form of the user's samples: a pair, a dict with its targets, a tuple or a tensor."""
        if isinstance(self.targets, tuple) and not self.targets:
            return self.inputs
        if self.label is not None:
            return {**self.inputs, self.label: self.targets}
        return (self.inputs, self.targets)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return count(self.inputs) if self.size is None else self.size

    @property
    def leaves(self) -> list[torch.Tensor]:
        """All tensors, those of the inputs first."""
        return leaves(self.inputs) + leaves(self.targets)

    def named(self, inputs: str = "inputs", targets: str = "targets") -> dict[str, torch.Tensor]:
        """Return all tensors by name: ``inputs``, or ``inputs['mask']`` for a tree."""
        return named(self.inputs, inputs) | named(self.targets, targets)

    def apply(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """Return a batch with ``function(tensor)`` in place of each tensor."""
        return Batch(apply(function, self.inputs), apply(function, self.targets), self.label, self.size)

    def at(self, index: Index) -> Batch:
        """Return the samples at ``index``."""
        return Batch(at(self.inputs, index), at(self.targets, index), self.label)

    def cut(self, size: int) -> Iterator[Batch]:
        """Return batches of ``size`` samples, views of this one; the last one may be smaller."""
        return map(Batch, cut(self.inputs, size), cut(self.targets, size), repeat(self.label))


def equal_batches(one: Batch, other: Batch) -> bool:
    """Return whether two batches have the same names and equal tensors; NaN equals NaN."""
    a, b = one.named(), other.named()
    return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if torch.equal(a, b):
        return True
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
