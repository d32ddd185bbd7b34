"""The overhead of a point besides the forward pass: perturbing, folding, loss and accuracy, writing, scheduling.

    mpirun -n 2 python benchmarks/overhead.py [--points 24] [--writer parallel] [--json FILE]

The program runs ResNet-20 on 2,000 pictures of noise; their content does not change the time. It uses the coordinator,
the evaluator and the surface file of ``lossgrid run``. Every part is timed inside the run, so that the noise of a
shared machine affects all parts equally. All time outside the forward pass of the network counts as overhead. The
target is less than 2 % of a point.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mpi4py
import numpy as np

mpi4py.rc.initialize = False
mpi4py.rc.finalize = True

import torch  # noqa: E402
from machine import describe  # noqa: E402

from lossgrid import data, models, parallel, store  # noqa: E402
from lossgrid.directions import Random  # noqa: E402
from lossgrid.evaluation import choose_device  # noqa: E402
from lossgrid.evaluation.network import Network  # noqa: E402
from lossgrid.evaluation.plane import Plane  # noqa: E402
from lossgrid.machine.allocator import freed_memory_kept  # noqa: E402
from lossgrid.machine.launcher import detect  # noqa: E402
from lossgrid.measures.mean import Mean  # noqa: E402
from lossgrid.run import Budget  # noqa: E402
from lossgrid.run.axes import make_axes  # noqa: E402
from lossgrid.run.preparation import make_evaluator  # noqa: E402
from lossgrid.run.recipe import choose_recipe  # noqa: E402
from lossgrid.run.resources import divide_resources  # noqa: E402
from lossgrid.run.sharing import make_task  # noqa: E402
from lossgrid.run.study import Study, objectives_of  # noqa: E402
from lossgrid.sampling import Everything  # noqa: E402
from lossgrid.settings import RunConfig, resolve  # noqa: E402
from lossgrid.surface import Results, Work  # noqa: E402

PICTURES = 2_000
TARGET = 0.02


class Clock:
    """Seconds spent in each part of a run."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        """Call ``synchronize`` before each reading of the clock, to wait for the device."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._synchronize = synchronize

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function``, timed as ``part``."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._synchronize()
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._synchronize()
                self.seconds[part] += time.perf_counter() - began

        return timed


def measure(world: parallel.World, points: int, writer: str, path: Path) -> dict[str, Any]:
    """Run the points; return the time of each part on this rank, in s per point."""
    config = resolve(
        RunConfig, {"model": "resnet20", "alpha": f"-1:1:{points}", "out": path, "beta": "0:0:1", "cuda_graphs": "no"}
    )
    device = choose_device("auto", "float32", local_rank=world.local_rank)
    _, sharers = divide_resources(world, device)
    torch.manual_seed(0)
    model = models.build("resnet20", {}, facts={"in_channels": 3, "num_classes": 10}).eval()
    noise = torch.randn(PICTURES, 3, 32, 32), torch.arange(PICTURES) % 10
    splits = {"train": data.split_of(noise, source="noise")}
    study = Study(model, splits, objectives_of("cross_entropy", splits, {}), source=Random())
    axes = make_axes(study.source, model, splits, world, axes=2)
    evaluator, _ = make_evaluator(config, study, axes, device, share=sharers)
    recipe, evaluator = choose_recipe(config, evaluator, None, world, points=points, seconds_left=lambda: math.inf)
    evaluator.point(0.0, 0.0)  # warm

    clock = Clock(device.wait)
    network = replace(evaluator.network, run=clock.around("forward pass", evaluator.network.run))
    evaluator = evaluator.with_network(network)
    Network.refresh = clock.around("folding and packing", Network.refresh)  # type: ignore[method-assign]
    Plane.move = clock.around("perturbing", Plane.move)  # type: ignore[method-assign]
    Mean.add = clock.around("loss and accuracy", Mean.add)  # type: ignore[method-assign]
    quantities = evaluator.quantities
    parallel.on_root(world, lambda: store.create(path, config.grid, quantities, config={}, provenance={}))
    comm = world.comm if writer == "parallel" else None
    file = store.SurfaceFile(path, quantities, comm) if comm is not None or world.is_root else None
    if file is not None:
        file.write = clock.around("writing", file.write)  # type: ignore[method-assign]
    task = make_task(config.grid, evaluator, file, collects=writer == "root", budget=Budget())
    computed, last = 0, 0.0
    evaluate = task.evaluate

    def counted(work: Work, tick: Callable[[], object]) -> Results:
        nonlocal computed, last
        results = evaluate(work, tick)
        computed, last = computed + 1, time.perf_counter()
        return results

    task = replace(task, evaluate=counted)
    began = time.perf_counter()
    with freed_memory_kept():
        assert parallel.coordinate(world, Everything.of(np.ones(config.grid.rows, dtype=bool), config.grid), task)
    ended = time.perf_counter()
    if file is not None:
        file.close()
    parts = dict(clock.seconds)
    parts["scheduling and the rest"] = last - began - sum(parts.values())
    return {part: seconds / computed for part, seconds in parts.items()} | {
        "waiting at the end": (ended - last) / computed,
        "points": computed,
        "recipe": recipe.about,
    }


def main() -> None:
    """Measure on all ranks and print each part as a fraction of a point; exit with 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--writer", choices=["parallel", "root"], default="parallel")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    launch = detect()
    world = parallel.alone() if launch is None else parallel.connect(launch)
    writer = options.writer if store.has_parallel_hdf5() and world.comm is not None else "root"
    with tempfile.TemporaryDirectory() as own:
        folder = parallel.broadcast(world, own)
        ranks = parallel.gather(world, measure(world, options.points, writer, Path(folder) / "surface.h5"))
        parallel.barrier(world)
    if not world.is_root:
        return
    names = [
        "forward pass",
        "perturbing",
        "folding and packing",
        "loss and accuracy",
        "writing",
        "scheduling and the rest",
    ]
    means = {name: statistics.fmean(rank.get(name, 0.0) for rank in ranks) for name in names}
    point = sum(means.values())
    overhead = 1 - means["forward pass"] / point
    for name, seconds in means.items():
        print(f"{name:24} {1000 * seconds:9.3f} ms a point   {100 * seconds / point:6.2f} %")
    print(f"overhead {100 * overhead:.2f} % of a point of {point:.3f} s (target under {100 * TARGET:.0f} %)")
    waiting = max(rank["waiting at the end"] * rank["points"] for rank in ranks)
    print(f"{world.size} ranks, writer {writer}, {options.points} points; the first rank to end waited {waiting:.2f} s")
    if options.json is not None:
        result = {"ranks": world.size, "writer": writer, "points": options.points, "seconds a point": means,
                  "overhead": overhead, "by rank": ranks, "machine": describe()}  # fmt: skip
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(0 if overhead < TARGET else 1)


if __name__ == "__main__":
    main()
