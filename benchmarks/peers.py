"""The peers pip installs, each through its own public interface, on all pictures as one batch in memory.

They draw their own directions, which lossgrid does once and for all points of all surfaces. In a small plane that would
weigh more than in a real one, so their clock runs from the first evaluation to the last: drawing is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from cases import Case
from torch.nn import functional as F
from turn import Surface, Turn

from lossgrid.parallel import World


class Log:
    """A function that returns a loss, with what it returned and how long its calls took from first to last."""

    def __init__(self, function: Callable[..., float]) -> None:
        """Stand for ``function``."""
        self._function = function
        self._began = self._ended = 0.0
        self.losses: list[float] = []

    def __call__(self, *arguments: object) -> float:
        """Call the function."""
        if not self.losses:
            self._began = time.perf_counter()
        self.losses.append(self._function(*arguments))
        self._ended = time.perf_counter()
        return self.losses[-1]

    @property
    def seconds(self) -> float:
        """Seconds from the beginning of the first call to the end of the last, with all that was done in between."""
        return self._ended - self._began


def loss_landscapes(case: Case, _world: World) -> Surface:
    """Prepare marcellodebernardi/loss-landscapes."""
    import loss_landscapes as peer
    from loss_landscapes.metrics import Loss

    model = case.network()
    loss = Loss(torch.nn.CrossEntropyLoss(), case.inputs(), case.labels)

    def surface(points: int) -> Turn:
        log = Log(loss)
        # A copy, or the network would be left at the last point.
        peer.random_plane(model, log, steps=points, normalization="filter", deepcopy_model=True)
        return Turn(log.seconds, log.losses, peer.point(model, loss))

    return surface


def landscaper(case: Case, _world: World) -> Surface:
    """Prepare landscaper of Lawrence Berkeley National Laboratory."""
    from landscaper import LossLandscape
    from landscaper.utils import generate_random_orthogonal_directions

    model, batch = case.network(), (case.inputs(), case.labels)
    directions = generate_random_orthogonal_directions(model, 2)

    def loss(model: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> float:
        inputs, targets = batch
        return F.cross_entropy(model(inputs), targets).item()

    def surface(points: int) -> Turn:
        log = Log(loss)
        LossLandscape.compute(model, batch, directions, log, steps=points, distance=0.5, dim=2, device="cpu")
        # What it returns has noise on its largest value, so look at what it was given; theta* is in the centre.
        return Turn(log.seconds, log.losses, log.losses[points // 2 * (points + 1)])

    return surface
