"""Derivatives by the inputs, for losses and steps of users that ask for them by ``needs_grad = True``.

Points are evaluated in inference mode, which records nothing for autograd. Here a part of a pass leaves that mode. The
parameters of the network require no gradient, so only operations on the inputs are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from lossgrid.data.batch import Tree, apply
from lossgrid.errors import InputError

ASKED = "needs_grad"
NO_GRADIENT = "does not require grad"
REMEDY = (
    "points are evaluated without gradients: set the attribute needs_grad = True on your loss or step for derivatives "
    "by the inputs, or take them by torch.func.jvp or torch.func.jacrev"
)


def asked_by(function: Callable[..., object]) -> bool:
    """Return whether a user's function has the attribute ``needs_grad = True``."""
    return getattr(function, ASKED, False) is True


@contextmanager
def recorded() -> Iterator[None]:
    """Record the operations of the block for autograd."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def as_variables(inputs: Tree) -> Tree:
    """Return inputs by which derivatives can be taken; integers stay as they are. Call it within :func:`recorded`."""
    return apply(_variable, inputs)


def as_constants(tree: Tree) -> Tree:
    """Return tensors that autograd can save; those made in inference mode are copied."""
    return apply(lambda leaf: leaf.clone() if leaf.is_inference() else leaf, tree)


def _variable(leaf: torch.Tensor) -> torch.Tensor:
    leaf = leaf.clone() if leaf.is_inference() else leaf.detach()  # a new tensor, so that no gradient stays in it
    return leaf.requires_grad_() if leaf.is_floating_point() or leaf.is_complex() else leaf


@contextmanager
def with_remedy() -> Iterator[None]:
    """Add to an error of the block about a missing gradient how to ask for it.

    Raises:
        InputError: The block raised one.
    """
    try:
        yield
    except InputError as error:
        if NO_GRADIENT in str(error):
            raise InputError(f"{error}; {REMEDY}") from error
        raise


def without_graph(value: Any) -> Any:
    """Return a tensor without its record, others as they are."""
    return value.detach() if isinstance(value, torch.Tensor) else value
