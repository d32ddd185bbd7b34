"""The call of a network: with one tensor, with several by position, or with several by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lossgrid.data.batch import Tree


def call(network: Callable[..., Any], inputs: Tree) -> Any:
    """Return ``network(x)`` of a tensor, ``network(*inputs)`` of a tuple, ``network(**inputs)`` of a dict."""
    if isinstance(inputs, torch.Tensor):
        return network(inputs)
    return network(**inputs) if isinstance(inputs, dict) else network(*inputs)
