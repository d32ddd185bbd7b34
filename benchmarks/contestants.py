"""The contestants, which compute the plane of a case in different ways; contestant.py is the process of one of them.

* lossgrid: the evaluator and the coordinator of a run, on one rank or on several, in float32 or bfloat16.
* published: the procedure of the paper's code (tomgoldstein/loss-landscape), rewritten as a plain loop. At each point
  NumPy perturbs every tensor on the host. A new DataLoader with 2 workers converts PIL pictures into normalised tensors
  for the eager module, batch 128, with two ``.item()`` per batch.
* plain: the eager module on pictures in memory, channels_last, batch 128, as a careful user writes it.
* loss-landscapes, landscaper: peers.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import peers
import torch
from cases import Case, axis
from PIL import Image
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from turn import Surface, Turn

from lossgrid.directions import Random
from lossgrid.evaluation import Measured
from lossgrid.parallel import Task, World, barrier, coordinate
from lossgrid.sampling import Everything
from lossgrid.surface import Results, Work
from lossgrid.surface.lattice import works

BATCH = 128  # samples; of contestants that do not choose a batch size
POINTS = 51 * 51  # points of the surface for which lossgrid chooses its recipe


@dataclass(frozen=True)
class Contestant:
    """How a contestant is started, and its requirements.

    Attributes:
        make: ``make(case, world)`` does all work that is done once per surface.
        precision: Precision of its arithmetic.
        ranks: Number of ranks that share the points and the cores.
        package: The package of a peer, in an environment of its own; the peer draws its own directions.
    """

    make: Callable[[Case, World], Surface]
    precision: str = "float32"
    ranks: int = 1
    package: str | None = None

    @property
    def tolerance(self) -> float:
        """The largest relative difference of losses that round-off and the order of sums explain."""
        return 1e-4 if self.precision == "float32" else 5e-2


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Pictures as in torchvision's datasets: bytes, converted to a PIL picture and then a tensor when read."""

    def __init__(self, case: Case) -> None:
        """Convert the pictures of ``case`` to bytes."""
        self.pixels = case.pixels.numpy()
        self.labels, self.mean, self.deviation = case.labels, case.mean, case.deviation

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        """Decode and normalise one picture."""
        pixels = self.pixels[i]
        picture = Image.fromarray(pixels.squeeze())  # grey ones have no third dimension
        tensor = torch.from_numpy(np.array(picture).reshape(pixels.shape)).permute(2, 0, 1).contiguous()
        return tensor.float().div(255).sub_(self.mean).div_(self.deviation), int(self.labels[i])


def one_by_one(point: Callable[[float, float], float]) -> Surface:
    """Return the surface of a function that computes one point."""

    def surface(points: int) -> Turn:
        began = time.perf_counter()
        losses = [point(alpha, beta) for beta in axis(points) for alpha in axis(points)]
        return Turn(time.perf_counter() - began, losses, losses[0])

    return surface


def published(case: Case, _world: World) -> Surface:
    """Return the surface of the published procedure."""
    model = case.network()
    start = [parameter.detach().numpy().copy() for parameter in model.parameters()]
    delta, eta = (
        [move[key].numpy() if key in move else np.zeros(parameter.shape) for key, parameter in model.named_parameters()]
        for move in (case.delta, case.eta)
    )

    def point(alpha: float, beta: float) -> float:
        for parameter, w, d, e in zip(model.parameters(), start, delta, eta, strict=True):
            parameter.data = torch.from_numpy((w + alpha * d + beta * e).astype(np.float32))
        total, correct = 0.0, 0
        with torch.no_grad():
            for inputs, targets in DataLoader(Pictures(case), batch_size=BATCH, num_workers=2):
                outputs = model(inputs)
                total += F.cross_entropy(outputs, targets).item() * len(inputs)
                correct += outputs.max(1)[1].eq(targets).sum().item()
        return total / len(case.labels)

    return one_by_one(point)


def plain(case: Case, _world: World) -> Surface:
    """Return the surface of the eager module, as a careful user writes it."""
    model = case.network().to(memory_format=torch.channels_last)
    start = {key: parameter.clone() for key, parameter in model.named_parameters()}
    delta, eta = ({key: tensor.float() for key, tensor in move.items()} for move in (case.delta, case.eta))
    inputs = case.inputs().contiguous(memory_format=torch.channels_last)
    batches = list(zip(inputs.split(BATCH), case.labels.split(BATCH), strict=True))

    def point(alpha: float, beta: float) -> float:
        with torch.inference_mode():
            for key, parameter in model.named_parameters():
                if key in delta:
                    parameter.copy_(start[key] + alpha * delta[key] + beta * eta[key])
            losses = [F.cross_entropy(model(x), y, reduction="sum") for x, y in batches]
            return float(sum(losses) / len(case.labels))

    return one_by_one(point)


def lossgrid(case: Case, world: World, precision: str) -> Surface:
    """Return the surface of lossgrid, prepared as on a rank of ``lossgrid run``."""
    from lossgrid.machine.allocator import freed_memory_kept

    point, about = evaluator(case, world, precision)

    def surface(points: int) -> Turn:
        losses, at = np.zeros((points, points)), axis(points)

        def evaluate(work: Work, tick: Callable[[], object]) -> Results:
            return Results.of_point(work, *point(at[work.start], at[work.row], tick=tick))

        def keep(results: Results, *, rank: int) -> None:  # noqa: ARG001
            work = results.work
            losses[work.row, work.start : work.stop : work.step] = results.values[:, 0]

        plan = Everything(works(np.ones((points, points), dtype=bool), (0, 0)))
        barrier(world)
        began = time.perf_counter()
        with freed_memory_kept():
            assert coordinate(world, plan, Task(evaluate, keep, keep, lambda: math.inf))
        return Turn(time.perf_counter() - began, losses.ravel().tolist(), losses[0, 0], about)

    return surface


def evaluator(case: Case, world: World, precision: str) -> tuple[Callable[..., Measured], str]:
    """Return ``point(alpha, beta, tick=...)`` by the recipe of a run of 51 x 51 points, and the recipe in words."""
    from lossgrid import data  # imported here: h5py loads MPI, which point.py does not need
    from lossgrid.evaluation import choose_device
    from lossgrid.machine.allocator import freed_memory_kept
    from lossgrid.run.axes import Axes
    from lossgrid.run.preparation import make_evaluator
    from lossgrid.run.recipe import choose_recipe
    from lossgrid.run.resources import divide_resources
    from lossgrid.run.study import Study, objectives_of
    from lossgrid.settings import RunConfig, resolve

    config = resolve(RunConfig, {"model": case.name, "precision": precision, "device": "cpu"})
    device = choose_device("cpu", precision, local_rank=world.local_rank)
    _, sharers = divide_resources(world, device)
    splits = {"train": data.split_of((case.inputs(), case.labels), source=case.name)}
    axes = Axes(case.delta, case.eta)
    study = Study(case.network(), splits, objectives_of("cross_entropy", splits, {}), source=Random())
    made, _ = make_evaluator(config, study, axes, device, share=sharers)
    with freed_memory_kept():
        chosen, made = choose_recipe(config, made, None, world, points=POINTS, seconds_left=lambda: math.inf)
    return made.point, chosen.about


CONTESTANTS = {
    "lossgrid-float32": Contestant(partial(lossgrid, precision="float32")),
    "lossgrid-float32-ranks": Contestant(partial(lossgrid, precision="float32"), ranks=2),
    "lossgrid-bfloat16": Contestant(partial(lossgrid, precision="bfloat16"), "bfloat16"),
    "lossgrid-bfloat16-ranks": Contestant(partial(lossgrid, precision="bfloat16"), "bfloat16", ranks=2),
    "plain": Contestant(plain),
    "published": Contestant(published),
    "loss-landscapes": Contestant(peers.loss_landscapes, package="loss-landscapes"),
    "landscaper": Contestant(peers.landscaper, package="landscaper"),
}
