"""Filters: which numbers of a weight produce one output of its layer.

In most layers they are a slice along dimension 0, and need no entry here. docs/directions.md lists all kinds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrize import ParametrizationList

from lossgrid.errors import InputError, shown

DECLARED = "filter_dims"  # attribute of a module: name of a parameter -> the dimensions that number its filters
CONTAINERS = (nn.ParameterList, nn.ParameterDict, ParametrizationList)
WEIGHTS = ("weight", "weight_v", "weight_g", "weight_orig")  # the others replace it under hooks of torch
EXPERTS = re.compile(r"(?i:expert)|MoE|Moe(?![a-z])|(?<![A-Za-z])moe(?![a-z])")
IN_COLUMNS = ("AriaGroupedExpertsGemm",)  # experts of transformers that are stored as (experts, in, out)


@dataclass(frozen=True)
class Filter:
    """The filters of a tensor.

    Attributes:
        shape: The shape as which the tensor is viewed.
        within: The dimensions of this view along which numbers belong to the same filter.
    """

    shape: tuple[int, ...]
    within: tuple[int, ...]


def filters_of(model: nn.Module, *, version: int = 2) -> dict[str, Filter]:
    """Return the filters of the parameters whose filters are not the slices along dimension 0, by name.

    Args:
        model: The network.
        version: Version of random directions; version 1 knows transposed convolutions only.

    Raises:
        InputError: A module declares dimensions that a parameter does not have.
    """
    modules = dict(model.named_modules())
    found = {}
    for name, parameter in model.named_parameters():
        path, attribute = name.rpartition(".")[::2] if version == 1 else _holder(modules, name)
        layer = modules[path]
        if isinstance(layer, _ConvTransposeNd) and attribute in WEIGHTS[: 1 if version == 1 else None]:
            found[name] = _of_transposed(parameter, layer.groups)
        elif version > 1:
            dimensions = _declared(layer, name, attribute, parameter) or _dimensions(layer, path, attribute, parameter)
            if dimensions is not None:
                within = (i for i in range(parameter.ndim) if i not in dimensions)
                found[name] = Filter(tuple(parameter.shape), tuple(within))
    return found


def _holder(modules: Mapping[str, nn.Module], name: str) -> tuple[str, str]:
    """Return the path of the module that uses a parameter, and its name there, of parametrised ones without ending."""
    path, _, attribute = name.rpartition(".")
    while path and isinstance(modules[path], CONTAINERS):
        is_parametrised = isinstance(modules[path], ParametrizationList)
        path, _, attribute = path.rpartition(".")
        if is_parametrised:  # layer.parametrizations.weight.original0
            path = path.rpartition(".")[0]
    return path, attribute


def _of_transposed(weight: torch.Tensor, groups: int) -> Filter:
    """Return the filters of a transposed convolution, (in, out / groups, kernel): group and output number them."""
    inputs, *others = weight.shape
    if inputs % groups:  # the magnitudes of a weight normalisation, which all groups share
        groups = 1
    shape = (groups, inputs // groups, *others)
    return Filter(shape, (1, *range(3, len(shape))))


def _declared(layer: nn.Module, name: str, attribute: str, parameter: torch.Tensor) -> tuple[int, ...] | None:
    """Return the dimensions that the layer declares; None if it does not.

    Raises:
        InputError: The parameter has no such dimensions.
    """
    declared: Any = getattr(layer, DECLARED, None)
    if not isinstance(declared, Mapping) or attribute not in declared:
        return None
    given = declared[attribute]
    dimensions = (given,) if isinstance(given, int) else given
    try:
        return tuple(range(parameter.ndim)[i] for i in dimensions)
    except (TypeError, IndexError):
        raise InputError(
            f"{DECLARED} of the module with {name}: expected dimensions within 0..{parameter.ndim - 1}, got "
            f"{shown(repr(given))}"
        ) from None


def _dimensions(layer: nn.Module, path: str, attribute: str, parameter: torch.Tensor) -> tuple[int, ...] | None:
    """Return the dimensions that number the filters; None for dimension 0."""
    if parameter.ndim == 2 and attribute in WEIGHTS and _is_conv1d_of_transformers(layer):
        return (1,)
    if parameter.ndim < 3 or isinstance(layer, (_ConvNd, nn.Bilinear)):
        return None
    kind = type(layer).__name__
    if any(EXPERTS.search(text) for text in (kind, path.rpartition(".")[2], attribute)):
        return (0, 2) if _is_in_columns(layer) else (0, 1)
    if parameter.ndim == 3 and len(parameter) == 1:  # (1, positions, d): a vector for each position
        return (0, 1)
    return None


def _is_conv1d_of_transformers(layer: nn.Module) -> bool:
    """Return whether a layer is a linear layer with weights (in, out), as in GPT-2; transformers is not imported."""
    return any(
        kind.__name__ == "Conv1D" and kind.__module__.partition(".")[0] == "transformers"
        for kind in type(layer).__mro__
    )


def _is_in_columns(experts: nn.Module) -> bool:
    """Return whether the weights of experts are (experts, in, out), not (experts, out, in).

    The shapes of a pair of projections tell: the outputs of the second are the inputs of the first.
    """
    first, second = (getattr(experts, name, None) for name in ("gate_up_proj", "down_proj"))
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor) and first.ndim == second.ndim == 3:
        return bool(first.shape[2] == 2 * second.shape[1] and first.shape[1] == second.shape[2])
    marks = ("is_transposed", "experts_are_transposed")
    return type(experts).__name__ in IN_COLUMNS or any(getattr(experts, mark, False) is True for mark in marks)
