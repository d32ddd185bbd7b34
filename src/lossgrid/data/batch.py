"""A batch: the inputs and targets of some samples, each one tensor or a tree of tensors.

A tree is a dict by name, or a tuple, of tensors and trees. Dicts are in the order of their names. All its tensors have
the samples along their first dimension. One tensor is the usual case, and costs nothing more than a pair of tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import keystr, tree_flatten, tree_flatten_with_path, tree_leaves, tree_map, tree_unflatten

Tree = Any
Index = slice | torch.Tensor | list[int]


def is_tensor(tree: Tree) -> bool:
    """Tell whether a tree is one tensor."""
    return isinstance(tree, torch.Tensor)


def leaves(tree: Tree) -> list[torch.Tensor]:
    """Return the tensors of a tree."""
    return [tree] if isinstance(tree, torch.Tensor) else tree_leaves(tree)


def named(tree: Tree, name: str) -> dict[str, torch.Tensor]:
    """Return the tensors of the tree called ``name`` by their names.

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
    """Return the memory its tensors take."""
    return sum(leaf.nbytes for leaf in leaves(tree))


def apply(function: Callable[[torch.Tensor], Any], tree: Tree) -> Tree:
    """Return the same tree of what ``function`` makes of each tensor."""
    return function(tree) if isinstance(tree, torch.Tensor) else tree_map(function, tree)


def at(tree: Tree, index: Index) -> Tree:
    """Return some of the samples."""
    return apply(lambda leaf: leaf[index], tree)


def cut(tree: Tree, size: int) -> Iterable[Tree]:
    """Return views of ``size`` samples each, the last of what is left."""
    return _regrouped(tree, lambda leaf: torch.split(leaf, size))


def divided(tree: Tree, number: int) -> Iterable[Tree]:
    """Return views of about as many samples each, ``number`` in all."""
    return _regrouped(tree, lambda leaf: leaf.tensor_split(number))


def _regrouped(tree: Tree, cut_one: Callable[[torch.Tensor], Sequence[torch.Tensor]]) -> Iterable[Tree]:
    if isinstance(tree, torch.Tensor):
        return cut_one(tree)
    flat, form = tree_flatten(tree)
    return [tree_unflatten(list(part), form) for part in zip(*map(cut_one, flat), strict=True)]


def stack(samples: Sequence[Tree]) -> Tree:
    """Return samples as a batch."""
    if isinstance(samples[0], torch.Tensor):
        return torch.stack(list(samples))
    return tree_map(lambda *same: torch.stack(same), *samples)


def equal(one: Tree, other: Tree) -> bool:
    """Tell whether two trees are alike and hold the same numbers."""
    a, b = named(one, ""), named(other, "")
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def shapes(tree: Tree) -> str:
    """Write the shapes of a tree: ``(4, 3)``, or ``{'ids': (4, 16), 'mask': (4, 16)}``."""
    return str(apply(lambda leaf: tuple(leaf.shape), tree))


@dataclass(frozen=True)
class Batch:
    """Some samples; ``inputs, targets = batch`` takes it apart.

    Attributes:
        inputs: Tree of the inputs, ``(n, ...)`` each.
        targets: Tree of the targets, ``(n, ...)`` each.
    """

    inputs: Tree
    targets: Tree

    def __iter__(self) -> Iterator[Tree]:
        return iter((self.inputs, self.targets))

    @property
    def samples(self) -> int:
        """Number of samples."""
        return count(self.inputs)

    @property
    def leaves(self) -> list[torch.Tensor]:
        """Its tensors, those of the inputs first."""
        return leaves(self.inputs) + leaves(self.targets)

    def named(self, inputs: str = "inputs", targets: str = "targets") -> dict[str, torch.Tensor]:
        """Return its tensors by name: ``inputs``, or ``inputs['mask']`` of a tree."""
        return named(self.inputs, inputs) | named(self.targets, targets)

    def apply(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """Return the batch of what ``function`` makes of each tensor."""
        return Batch(apply(function, self.inputs), apply(function, self.targets))

    def at(self, index: Index) -> Batch:
        """Return some of the samples."""
        return Batch(at(self.inputs, index), at(self.targets, index))

    def cut(self, size: int) -> Iterator[Batch]:
        """Return batches of ``size`` samples, views of this one, the last of what is left."""
        return map(Batch, cut(self.inputs, size), cut(self.targets, size))
