"""What a network makes of a batch: its outputs; or with a step of the user, the values that the step returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from lossgrid.data.batch import Batch, Tree
from lossgrid.errors import InputError
from lossgrid.evaluation.calling import call
from lossgrid.evaluation.sameness import Unsuitable
from lossgrid.measures import Metric, Objective, Step, gradients


class StandIn:
    """The user's network with another way to compute its outputs: what a step gets as ``model``.

    A call runs a variant of the network. Attributes, such as parameters, layers and methods, are those of the network.
    """

    def __init__(self, model: nn.Module, run: Callable[..., Any]) -> None:
        self.__model, self.__run = model, run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs of the variant."""
        return self.__run(*args, **kwargs)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class of the network, for ``isinstance``."""
        return type(self.__model)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__model, name)


@dataclass(frozen=True)
class Forward:
    """The forward pass of a batch.

    Attributes:
        step: The user's step; None where the network is called with the inputs.
        needs_grad: Whether the step, a loss or a metric takes derivatives by the inputs.
    """

    step: Step | None = None
    needs_grad: bool = False

    @classmethod
    def of(cls, step: Step | None, objectives: Iterable[Objective], more: Iterable[Metric]) -> Forward:
        """Return the forward pass for a step, or for losses and further measures."""
        users = (*objectives, *(metric.objective for metric in more), step)
        return cls(step, any(one is not None and one.needs_grad for one in users))

    def __call__(self, network: Callable[..., Any], batch: Batch) -> Any:
        """Return the outputs of a batch, or the values of the step by name."""
        if self.needs_grad:
            with gradients.recorded():
                inputs, targets = gradients.as_variables(batch.inputs), gradients.as_constants(batch.targets)
                return self._of(network, replace(batch, inputs=inputs, targets=targets))
        return self._of(network, batch)

    def _of(self, network: Callable[..., Any], batch: Batch) -> Any:
        return call(network, batch.inputs) if self.step is None else self.step(network, batch)

    def inputs_of(self, model: nn.Module, batch: Batch) -> Tree:
        """Return with what the network is called for a batch.

        Raises:
            Unsuitable: A step calls it in no way that another network could be called in.
        """
        if self.step is None:
            return batch.inputs
        calls: list[Tree] = []

        def noted(*args: Any, **kwargs: Any) -> Any:
            calls.append(_as_inputs(model, args, kwargs))
            return model(*args, **kwargs)

        try:
            self.step(StandIn(model, noted), batch)
        except InputError as error:
            raise Unsuitable(f"the step takes no other network ({error})") from None
        if not calls:
            raise Unsuitable("the step does not call the network itself, but its parts")
        if any(_form(one) != _form(calls[0]) for one in calls):
            raise Unsuitable("the step calls the network in several ways")
        if not all(isinstance(leaf, torch.Tensor) for leaf in tree_leaves(calls[0])):
            raise Unsuitable("the step gives the network arguments that are no tensors")
        return calls[0]

    def in_place_of(self, model: nn.Module, run: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``run``, a variant of ``model``, as the step must get it."""
        return run if self.step is None or run is model else StandIn(model, run)


def _as_inputs(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tree:
    """Return the arguments of a call as inputs: one tensor, a tuple by position or a dict by name."""
    if not kwargs:
        return args[0] if len(args) == 1 and isinstance(args[0], torch.Tensor) else args
    try:
        return dict(inspect.signature(model.forward).bind(*args, **kwargs).arguments) if args else kwargs
    except (TypeError, ValueError):
        raise Unsuitable("the step calls the network with arguments that its signature does not name") from None


def _form(inputs: Tree) -> object:
    return list(inputs) if isinstance(inputs, dict) else len(inputs) if isinstance(inputs, tuple) else None
