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

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from lossgrid.evaluation.device import Place
from lossgrid.evaluation.folded import Folds, fold_norms
from lossgrid.evaluation.fused import fuse_layers, library_for
from lossgrid.evaluation.graph import compute_in_place, trace

FEW = 8  # samples show the shapes inside a network as well as a whole batch


# How far apart rounding alone can bring two variants, as a share of the largest output.
SAME = {"float64": 1e-10, "float32": 1e-4, "tf32": 2e-2, "bfloat16": 1e-1}


class Unsuitable(Exception):  # noqa: N818
    """A variant cannot be made of a network, for the reason given."""


class Differs(Unsuitable):
    """A variant was made, and turned out to be another function."""


class Step(Protocol):
    """A part of the network that keeps weights of its own."""

    def refresh(self) -> None:
        """Take over the weights the user's module has now."""


@dataclass(frozen=True)
class Network:
    """A variant of the user's module.

    Attributes:
        variant: Which one.
        run: Maps a batch of inputs to outputs.
        steps: What to refresh at every point, in this order.
        about: What was done, in words.
    """

    variant: str
    run: Callable[[torch.Tensor], torch.Tensor]
    steps: Sequence[Step] = field(default=())
    about: str = ""

    @torch.inference_mode()
    def refresh(self) -> None:
        """Take over the weights the user's module has now."""
        for step in self.steps:
            step.refresh()


@torch.inference_mode()
def make_network(variant: str, model: nn.Module, samples: Sequence[torch.Tensor], place: Place) -> Network:
    """Return ``model``, which stays as it is, as the variant of that name, compared with itself on some batches.

    Args:
        variant: One of those at the top of this module.
        model: On its device, in evaluation mode.
        samples: Batches of inputs.
        place: Device and number format.

    Raises:
        Unsuitable: It cannot be rewritten so, or does not run.
        Differs: It gives other outputs than ``model``, by more than rounding.
    """
    if variant == "plain":
        return Network("plain", model)
    make = _compiled if variant == "compiled" else _rewritten
    network = make(variant, model, samples[0], place)
    network.refresh()
    for inputs in samples:
        with place.autocast():
            expected = model(inputs)
            try:
                found = network.run(inputs)
            except Exception as error:  # kernels and compilers that are missing here, or do not take this network
                raise Unsuitable(f"it fails ({describe(error)})") from None
        distance = _distance(expected, found)
        if not distance <= SAME[place.precision]:
            raise Differs(f"its outputs differ by {distance:.1e} of the largest")
    return network


def describe(error: Exception) -> str:
    """Return the kind of an error and the first line of its text."""
    text = (str(error).strip().splitlines() or ["no message"])[0]
    return f"{type(error).__name__}: {text[:200]}"


def _distance(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Return the largest difference as a share of the largest output; infinite where shapes or types differ."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return math.inf
    return float((expected - found).abs().max() / expected.abs().max())


def _rewritten(variant: str, model: nn.Module, sample: torch.Tensor, place: Place) -> Network:
    try:
        with place.autocast():
            graph = trace(model, sample[:FEW])
    except Exception as error:  # what users write into a network is not limited to what torch.fx can follow
        raise Unsuitable(f"torch.fx cannot follow the network ({type(error).__name__})") from None
    steps: list[Step] = []
    about = []
    if folds := fold_norms(graph):
        steps.append(Folds(folds))
        about.append(f"{_count(folds, 'normalisation')} folded")
    if variant == "fused":
        dtype = torch.bfloat16 if place.precision == "bfloat16" else place.dtype
        library = library_for(place.device, dtype)
        if library is None:
            raise Unsuitable(f"there are no fused kernels for {place.precision} on this device")
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


def _compiled(variant: str, model: nn.Module, sample: torch.Tensor, place: Place) -> Network:
    """Compile the folded network, or the plain one where nothing can be folded."""
    from torch import _inductor

    try:
        base = _rewritten("folded", model, sample, place)
    except Unsuitable:
        base = Network("plain", model)
    # One thread and no choices by speed: worker processes must not be forked after MPI has started, and every rank must
    # come to the same code.
    wishes: dict[str, Any] = {"compile_threads": 1, "deterministic": True}
    options = {name: wish for name, wish in wishes.items() if name in _inductor.list_options()}
    run = torch.compile(base.run, dynamic=False, options=options)
    about = ", ".join(filter(None, (base.about, "compiled by torch.compile")))
    return Network(variant, run, base.steps, about)
