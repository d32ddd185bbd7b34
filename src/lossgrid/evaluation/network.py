"""The variants of a network: the user's module, rewritten to compute the same function faster.

=========  =============================================================================================
plain      the module, not rewritten
folded     batch normalisation folded into the layers before it, sums and ReLUs in place
fused      folded; each layer with its sum and activation in one kernel
compiled   folded, and compiled by torch.compile for this machine, in about a minute
=========  =============================================================================================

All variants use the present weights of the module; :meth:`Network.refresh` copies them at every point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from lossgrid.data import Batch
from lossgrid.data.batch import Tree
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.folded import Folds, fold_norms
from lossgrid.evaluation.forward import Forward
from lossgrid.evaluation.fused import fuse_layers
from lossgrid.evaluation.graph import Frozen, compute_in_place, trace
from lossgrid.evaluation.libraries import library_for
from lossgrid.evaluation.sameness import Unsuitable

FEW = 8  # samples; enough to record the shapes inside a network


class Step(Protocol):
    """A part of a variant with weights derived from those of the user's module."""

    def refresh(self) -> None:
        """Update the derived weights from the present weights of the user's module."""


@dataclass(frozen=True)
class Network:
    """A variant of the user's module.

    Attributes:
        variant: Its name.
        run: What the forward pass calls.
        steps: Parts to refresh at every point, in this order.
        about: Description of the rewriting, for the log.
        forward: The forward pass of a batch.
    """

    variant: str
    run: Callable[..., Any]
    steps: Sequence[Step] = field(default=())
    about: str = ""
    forward: Forward = field(default=Forward())

    def __call__(self, batch: Batch) -> Any:
        """Return the outputs of a batch, or the values of the user's step."""
        return self.forward(self.run, batch)

    @torch.inference_mode()
    def refresh(self) -> None:
        """Update the derived weights from the present weights of the user's module."""
        for step in self.steps:
            step.refresh()

    def poison(self) -> list[torch.Tensor]:
        """Return a scalar per folded part: 0, or NaN where its scale is not finite at this point."""
        return [step.poison() for step in self.steps if isinstance(step, Folds)]


@torch.inference_mode()
def make_network(variant: str, model: nn.Module, sample: Tree, device: Device) -> Network:
    """Return a variant of ``model``, which is not changed; the caller must compare both.

    Args:
        variant: A name of the table at the top of this module.
        model: On its device, in evaluation mode, at theta*.
        sample: A few inputs, for the shapes inside the network.
        device: The device and its precision.

    Raises:
        Unsuitable: The network has no such variant.
    """
    if variant == "plain":
        return Network("plain", model)
    make = _compiled if variant == "compiled" else _rewritten
    return make(variant, model, sample, device)


def _rewritten(variant: str, model: nn.Module, sample: Tree, device: Device) -> Network:
    try:
        with device.autocast():
            graph = trace(model, sample)
    except Exception as error:  # tracing a user's network may raise any error
        why = str(error) if isinstance(error, Frozen) else type(error).__name__
        raise Unsuitable(f"torch.fx cannot follow the network ({why})") from None
    steps: list[Step] = []
    about = []
    if folds := fold_norms(graph):
        steps.append(Folds(folds))
        about.append(f"{_count(folds, 'normalisation')} folded")
    if variant == "fused":
        library = library_for(device)
        if library is None:
            raise Unsuitable(f"there are no fused kernels for {device.precision} on this device")
        packs = fuse_layers(graph, library, device.layer_dtype)
        if not packs:
            raise Unsuitable("the network has no layer with a fused kernel")
        steps += packs
        about.append(f"{_count(packs, 'layer')} fused with what follows, in kernels of {type(library).__name__}")
    if not steps:
        raise Unsuitable("no normalisation follows a layer it could be folded into")
    compute_in_place(graph)
    graph.graph.lint()
    graph.recompile()
    return Network(variant, graph, steps, ", ".join(about))


def _count(things: Sequence[object], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _compiled(variant: str, model: nn.Module, sample: Tree, device: Device) -> Network:
    """Return the compiled folded network, or the compiled plain one where nothing can be folded."""
    from torch import _inductor

    try:
        base = _rewritten("folded", model, sample, device)
    except Unsuitable:
        base = Network("plain", model)
    # One thread: no process may be forked after MPI has started. Deterministic: all ranks must generate the same code.
    wishes: dict[str, Any] = {"compile_threads": 1, "deterministic": True}
    options = {name: wish for name, wish in wishes.items() if name in _inductor.list_options()}
    run = torch.compile(base.run, dynamic=False, options=options)
    about = ", ".join(filter(None, (base.about, "compiled by torch.compile")))
    return Network(variant, run, base.steps, about)
