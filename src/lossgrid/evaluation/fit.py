"""The result of the checks of a network on its data, before a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lossgrid.measures import Metric, Objective


@dataclass(frozen=True)
class Fit:
    """The result of the checks of a network on its data.

    Attributes:
        deterministic: Two passes of the same inputs return the same outputs.
        by_batch: The outputs of a sample depend on the other samples of its batch.
        objectives: The loss of each split, without accuracy where a user's loss has no classes.
        more: Measures besides the loss and the accuracy.
        reads: What built-in measures read of outputs of several tensors; empty if these are one tensor.
    """

    deterministic: bool
    by_batch: bool
    objectives: Mapping[str, Objective]
    more: Sequence[Metric] = ()
    reads: str = ""
