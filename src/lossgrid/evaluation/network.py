"""The network as it is run: one of several rewritings of the user's module that compute the same function, faster.

=========  =============================================================================================
plain      the module as it is
folded     batch normalisation folded into the layers before it, sums and ReLUs in place
fused      folded, and layers, sums and activations in one kernel of oneDNN or cuDNN each
compiled   folded, and compiled by torch.compile for this machine, which takes its time
=========  =============================================================================================

All read the weights the module has at the moment; :meth:`Network.refresh` takes them over at every point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from lossgrid.data.batch import Tree, at
from lossgrid.evaluation.calling import call
from lossgrid.evaluation.device import Device
from lossgrid.evaluation.folded import Folds, fold_norms
from lossgrid.evaluation.fused import fuse_layers, library_for
from lossgrid.evaluation.graph import Frozen, compute_in_place, trace
from lossgrid.evaluation.sameness import Unsuitable

FEW = 8  # samples show the shapes inside a network as well as a whole batch


class Step(Protocol):
    """A part of the network that keeps weights of its own."""

    def refresh(self) -> None:
        """Take over the weights the user's module has now."""


@dataclass(frozen=True)
class Network:
    """A variant of the user's module.

    Attributes:
        variant: Which one.
        run: Maps a batch of inputs to outputs, called as :func:`lossgrid.evaluation.calling.call` does.
        steps: What to refresh at every point, in this order.
        about: What was done, in words.
    """

    variant: str
    run: Callable[..., torch.Tensor]
    steps: Sequence[Step] = field(default=())
    about: str = ""

    def __call__(self, inputs: Tree) -> torch.Tensor:
        """Return the outputs of a batch of inputs."""
        outputs: torch.Tensor = call(self.run, inputs)
        return outputs

    @torch.inference_mode()
    def refresh(self) -> None:
        """Take over the weights the user's module has now."""
        for step in self.steps:
            step.refresh()

    def poison(self) -> list[torch.Tensor]:
        """Return for each folded part 0, or NaN where it has no finite scale at this point."""
        return [step.poison() for step in self.steps if isinstance(step, Folds)]


@torch.inference_mode()
def make_network(variant: str, model: nn.Module, sample: Tree, device: Device) -> Network:
    """Return ``model``, which stays as it is, as the variant of that name, not yet compared with it.

    Args:
        variant: One of those at the top of this module.
        model: On its device, in evaluation mode, at theta*.
        sample: A batch of inputs.
        device: Device and number format.

    Raises:
        Unsuitable: It cannot be rewritten so.
    """
    if variant == "plain":
        return Network("plain", model)
    make = _compiled if variant == "compiled" else _rewritten
    return make(variant, model, sample, device)


def _rewritten(variant: str, model: nn.Module, sample: Tree, device: Device) -> Network:
    try:
        with device.autocast():
            graph = trace(model, at(sample, slice(FEW)))
    except Exception as error:  # what users write into a network is not limited to what torch.fx can follow
        why = str(error) if isinstance(error, Frozen) else type(error).__name__
        raise Unsuitable(f"torch.fx cannot follow the network ({why})") from None
    steps: list[Step] = []
    about = []
    if folds := fold_norms(graph):
        steps.append(Folds(folds))
        about.append(f"{_count(folds, 'normalisation')} folded")
    if variant == "fused":
        dtype = torch.bfloat16 if device.precision == "bfloat16" else device.dtype
        library = library_for(device.torch_device, dtype)
        if library is None:
            raise Unsuitable(f"there are no fused kernels for {device.precision} on this device")
        packs = fuse_layers(graph, library, dtype)
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
    """Compile the folded network, or the plain one where nothing can be folded."""
    from torch import _inductor

    try:
        base = _rewritten("folded", model, sample, device)
    except Unsuitable:
        base = Network("plain", model)
    # One thread and no choices by speed: worker processes must not be forked after MPI has started, and every rank must
    # come to the same code.
    wishes: dict[str, Any] = {"compile_threads": 1, "deterministic": True}
    options = {name: wish for name, wish in wishes.items() if name in _inductor.list_options()}
    run = torch.compile(base.run, dynamic=False, options=options)
    about = ", ".join(filter(None, (base.about, "compiled by torch.compile")))
    return Network(variant, run, base.steps, about)
