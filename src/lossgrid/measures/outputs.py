"""What a network returns: a tensor, or a tuple, dict or dataclass of tensors; which of them built-in measures read.

A user's loss or metric gets the outputs as they are. Built-in ones read one tensor, by the first rule that applies: a
tensor as it is; the attribute ``logits``; the entry ``"logits"`` of a dict; the first element of a tuple or list.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch

from lossgrid.data.batch import Tree
from lossgrid.errors import InputError
from lossgrid.measures.measure import Measure
from lossgrid.surface import Quantity

Outputs = Any
LOGITS = "logits"
DEEPEST = 20  # levels; what lies deeper is not searched


@dataclass(frozen=True)
class Reading:
    """Which tensor of the outputs the built-in measures read.

    Attributes:
        about: The rule, such as ``.logits of SequenceClassifierOutput``; empty for a tensor as it is.
        read: ``read(outputs)`` returns the tensor.
    """

    about: str
    read: Callable[[Outputs], Any]

    def before(self, function: Callable[..., Any] | None) -> Any:
        """Return ``function(outputs, ...)`` as a function that reads the tensor first; None of None."""
        if function is None or not self.about:
            return function
        read = self.read
        return lambda outputs, *more: function(read(outputs), *more)


AS_IT_IS = Reading("", lambda outputs: outputs)


def reading_of(outputs: Outputs) -> Reading | None:
    """Return which tensor of such outputs built-in measures read; None if no rule applies."""
    if isinstance(outputs, torch.Tensor):
        return AS_IT_IS
    kind = type(outputs).__name__
    if isinstance(getattr(outputs, LOGITS, None), torch.Tensor):
        return Reading(f".{LOGITS} of {kind}", lambda outputs: getattr(outputs, LOGITS))
    if isinstance(outputs, Mapping) and isinstance(outputs.get(LOGITS), torch.Tensor):
        return Reading(f"[{LOGITS!r}] of {kind}", lambda outputs: outputs[LOGITS])
    if isinstance(outputs, (tuple, list)) and outputs and isinstance(outputs[0], torch.Tensor):
        return Reading(f"the first of {kind}", lambda outputs: outputs[0])
    return None


def refuse_sparse(name: str, outputs: Outputs) -> None:
    """Raise InputError if a network returns sparse or nested tensors: their rows cannot be cut and compared."""
    for place, tensor in tensors_of(outputs).items():
        if tensor.layout is not torch.strided or tensor.is_nested:
            kind = "nested" if tensor.is_nested else "sparse"
            where = f" in {place}" if place else ""
            raise InputError(f"model {name}: expected dense tensors, got a {kind} one{where}; return it as a dense one")


def number_fault(tensor: torch.Tensor) -> str | None:
    """Return why built-in measures cannot read a tensor: its numbers are not real; None if they can."""
    if tensor.is_floating_point():
        return None
    return f"the outputs are numbers of {tensor.dtype}, and real numbers are expected, as of torch.float32"


@dataclass(frozen=True)
class Read:
    """A built-in measure of outputs of several tensors: it gets the one that the rule names."""

    measure: Measure
    reading: Reading

    @property
    def name(self) -> str:
        """Its name in quantities and errors."""
        return self.measure.name

    @property
    def of_classes(self) -> bool:
        """Whether it needs classes as targets, and a score of each class as outputs."""
        return self.measure.of_classes

    @property
    def is_recordable(self) -> bool:
        """Whether it computes on the device only."""
        return self.measure.is_recordable

    def quantities(self, split: str) -> Sequence[Quantity]:
        """Return the quantities of a split."""
        return self.measure.quantities(split)

    def start(self, device: torch.device) -> torch.Tensor:
        """Return the state before the first batch."""
        return self.measure.start(device)

    def add(self, state: torch.Tensor, outputs: Outputs, targets: Tree) -> None:
        """Add a batch."""
        self.measure.add(state, self.reading.read(outputs), targets)

    def values(self, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the values and their standard errors."""
        return self.measure.values(state)


def tensors_of(outputs: Outputs) -> dict[str, torch.Tensor]:
    """Return the tensors in tuples, lists, dicts and dataclasses by their place; objects of other kinds have none.

    >>> list(tensors_of({"logits": torch.ones(2), "states": [torch.ones(2), None]}))
    ["['logits']", "['states'][0]"]
    """
    found: dict[str, torch.Tensor] = {}
    _collect(outputs, "", found, DEEPEST)
    return found


def _collect(outputs: Outputs, place: str, found: dict[str, torch.Tensor], deepest: int) -> None:
    if isinstance(outputs, torch.Tensor):
        found[place] = outputs
    elif deepest:
        for step, part in _parts(outputs):
            _collect(part, f"{place}{step}", found, deepest - 1)


def _parts(outputs: Outputs) -> Iterable[tuple[str, Any]]:
    """Return the parts of a tuple, list, dict or dataclass, each after its place."""
    if isinstance(outputs, Mapping):
        return [(f"[{key!r}]", part) for key, part in outputs.items()]
    if isinstance(outputs, (tuple, list)):
        return [(f"[{i}]", part) for i, part in enumerate(outputs)]
    if is_dataclass(outputs) and not isinstance(outputs, type):
        return [(f".{field.name}", getattr(outputs, field.name, None)) for field in fields(outputs)]
    return []


def kinds_of(outputs: Outputs) -> list[type]:
    """Return the types of outputs and of all their parts, in order."""
    return [type(outputs), *(kind for _, part in _parts(outputs) for kind in kinds_of(part))]


def with_tensors(function: Callable[[torch.Tensor], Any], outputs: Outputs) -> Outputs:
    """Return outputs of the same kind with ``function(tensor)`` in place of each tensor."""
    if isinstance(outputs, torch.Tensor):
        return function(outputs)
    changed = {key: with_tensors(function, part) for key, part in _fields_of(outputs).items()}
    if not changed:
        return outputs
    if isinstance(outputs, Mapping):
        twin: Any = copy.copy(outputs)
        for key, part in changed.items():
            twin[key] = part
        return twin
    if isinstance(outputs, tuple) and hasattr(outputs, "_replace"):
        return outputs._replace(**changed)
    if isinstance(outputs, (tuple, list)):
        return type(outputs)(changed.values())
    return replace(outputs, **changed)


def _fields_of(outputs: Outputs) -> dict[Any, Any]:
    """Return the parts of a tuple, list, dict or dataclass by key, number or name; none of another object."""
    if isinstance(outputs, Mapping):
        return dict(outputs)
    if isinstance(outputs, tuple) and hasattr(outputs, "_asdict"):
        return dict(outputs._asdict())
    if isinstance(outputs, (tuple, list)):
        return dict(enumerate(outputs))
    if is_dataclass(outputs) and not isinstance(outputs, type):
        return {field.name: getattr(outputs, field.name) for field in fields(outputs) if field.init}
    return {}


def have_rows(outputs: Outputs, samples: int) -> bool:
    """Return whether outputs hold tensors, and the first dimension of each is that of the samples."""
    found = [outputs] if isinstance(outputs, torch.Tensor) else list(tensors_of(outputs).values())
    return bool(found) and all(tensor.ndim > 0 and len(tensor) == samples for tensor in found)


def are_finite(outputs: Outputs) -> bool:
    """Return whether all numbers of all tensors are finite."""
    if isinstance(outputs, torch.Tensor):
        return bool(outputs.isfinite().all())
    return all(bool(tensor.isfinite().all()) for tensor in tensors_of(outputs).values())
