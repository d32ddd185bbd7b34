"""A point of ResNet-56 over 50,000 pictures on a GPU, in every precision and variant, beside the limits of the GPU.

    python benchmarks/gpu.py [--precisions bfloat16,float16,tf32,float32] [--variants folded,fused,compiled]
                             [--seconds 420] [--ranks 1,2,4] [--json FILE]

The paper's surface has 51 x 51 such points; its authors needed about an hour on four GPUs of 2017. The program first
measures the peaks of the GPU: matrix products in each precision, and memory bandwidth. Two lower bounds of a point
follow: its arithmetic at the peak of its precision, and its memory traffic. The traffic assumes that every layer reads
its inputs and weights once and writes its output once. Then the program times points for every combination, with a
tuned batch size, with and without CUDA graphs, within ``--seconds``. It lists the combinations that it did not reach.
At last several ranks share the GPU (mpirun), to show whether one rank saturates it. Pictures are noise: their content
does not change the time. ``--device cpu --pictures 500`` tests the program on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from machine import describe
from torch import nn

from lossgrid import data, models, parallel
from lossgrid.directions import Random
from lossgrid.evaluation import Device, best_batch_size, choose_device
from lossgrid.evaluation.graph import LINEAR, is_plain, is_sum, trace
from lossgrid.run.axes import Axes, make_axes
from lossgrid.run.preparation import make_evaluator
from lossgrid.run.study import Study, objectives_of
from lossgrid.settings import RunConfig, resolve

RESULT = Path(__file__).with_name("results") / "gpu.json"
POINTS = 51 * 51
TARGETS = {"float32": 900.0, "tf32": 300.0, "float16": 150.0, "bfloat16": 150.0}  # s for all points
POINTS_TIMED = 5
TUNING_SECONDS = 5.0
MPIRUN = ["mpirun", "--oversubscribe", "--bind-to", "none", "-n"]
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def network() -> nn.Module:
    """Return ResNet-56 with its initial weights."""
    torch.manual_seed(0)
    return models.build("resnet56", {}, facts={"in_channels": 3, "num_classes": 10}).eval().requires_grad_(False)


def problem(pictures: int, precision: str) -> tuple[RunConfig, Study, Axes]:
    """Return the settings, the network with its data, and the directions."""
    config = resolve(RunConfig, {"model": "resnet56", "precision": precision, "beta": "-1:1:51"})
    model = network()
    noise = torch.randn(pictures, 3, 32, 32), torch.arange(pictures) % 10
    splits = {"train": data.split_of(noise, source="noise")}
    study = Study(model, splits, objectives_of("cross_entropy", splits, {}), source=Random())
    return config, study, make_axes(study.source, model, splits, parallel.alone(), axes=2)


def best_seconds(device: Device, function: Any, runs: int = 10) -> float:
    """Return the shortest time of ``function``, in s."""
    times = []
    for _ in range(runs):
        device.wait()
        began = time.perf_counter()
        function()
        device.wait()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def peaks(device: Device) -> dict[str, float]:
    """Return FLOP/s of large matrix products by precision, and bytes/s of memory under ``memory``."""
    size = 8192 if device.type == "cuda" else 1024
    found = {}
    for precision, dtype in (("float32", torch.float32), ("tf32", torch.float32), ("bfloat16", torch.bfloat16)):
        if precision == "tf32" and device.type != "cuda":
            continue
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        a, b, out = (torch.randn(size, size, device=device.torch_device, dtype=dtype) for _ in range(3))
        found[precision] = 2 * size**3 / best_seconds(device, lambda a=a, b=b, out=out: torch.mm(a, b, out=out))
    found["float16"] = found["bfloat16"]
    source = torch.empty(size * size * 8, device=device.torch_device)
    target = torch.empty_like(source)
    found["memory"] = 2 * source.nbytes / best_seconds(device, lambda: target.copy_(source))
    return found


def work(pictures: int) -> tuple[float, float]:
    """Return the FLOP of a point, and a lower bound of the numbers that its layers read and write."""
    graph = trace(network(), torch.zeros(1, 3, 32, 32))
    modules = dict(graph.named_modules())
    flop = numbers = 0.0
    for node in graph.graph.nodes:
        if is_plain(node, modules, LINEAR):
            layer, out = modules[str(node.target)], math.prod(node.meta["tensor_meta"].shape)
            flop += 2 * out * math.prod(layer.weight.shape[1:])  # type: ignore[union-attr, operator]
            numbers += out + math.prod(node.args[0].meta["tensor_meta"].shape)
        elif is_sum(node):
            numbers += math.prod(node.meta["tensor_meta"].shape)
    return flop * pictures, numbers * pictures


def time_points(pictures: int, precision: str, variant: str, device: str, graphs: list[bool]) -> list[dict[str, Any]]:
    """Return the time of a point, for each value of ``graphs``, as JSON types."""
    own = choose_device(device, precision, local_rank=0)
    evaluator, _ = make_evaluator(*problem(pictures, precision), own, share=1)
    began = time.perf_counter()
    evaluator = evaluator.with_variant(variant)
    evaluator = evaluator.with_batches_of(best_batch_size(evaluator, seconds=TUNING_SECONDS)).with_variant(variant)
    prepared = time.perf_counter() - began
    results = []
    for captured in graphs:
        if captured:
            evaluator = evaluator.with_graphs()
        evaluator.point(0.0, 0.0)
        seconds = statistics.median(evaluator.point(0.01 * i, 0.0).seconds for i in range(POINTS_TIMED))
        results.append(
            {
                "precision": precision, "variant": variant, "CUDA graphs": captured, "batch": evaluator.batch_size,
                "seconds a point": seconds, "seconds to prepare": prepared, "about": evaluator.network.about,
            }
        )  # fmt: skip
    return results


def share_card(ranks: int, pictures: int, precision: str, device: str, seconds: float) -> dict[str, Any]:
    """Return the points per second of ``ranks`` ranks on one device in a real run, as its file reports them."""
    with tempfile.TemporaryDirectory() as folder:
        save = Path(folder) / "noise.py"
        save.write_text(
            "import torch\n\ndef noise(split: str):\n    generator = torch.Generator().manual_seed(0)\n"
            f"    return torch.randn({pictures}, 3, 32, 32, generator=generator), torch.arange({pictures}) % 10\n"
        )
        options = {
            "model": "resnet56", "data": "noise:noise", "precision": precision, "device": device, "writer": "root",
            "alpha": "-1:1:51", "beta": "-1:1:51", "time-limit": str(seconds), "out": "surface.h5",
        }  # fmt: skip
        done = subprocess.run(
            [*MPIRUN, str(ranks), sys.executable, "-m", "lossgrid", "run", *(f"--{k}={v}" for k, v in options.items())],
            cwd=folder, env=os.environ | AS_ROOT | {"PYTHONPATH": folder}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode not in (0, 75):
            return {"ranks": ranks, "failed": [line for line in done.stderr.splitlines() if "lossgrid" in line]}
        from lossgrid import store

        surface = store.read(Path(folder) / "surface.h5")
    busy = surface.seconds[surface.rank >= 0].sum() / ranks  # s that each rank computed
    points = int((surface.rank >= 0).sum())
    return {"ranks": ranks, "precision": precision, "points": points, "points/s": float(points / busy)}


def main() -> None:
    """Measure within the time, print the results beside the lower bounds, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", default="bfloat16,float16,tf32,float32")
    parser.add_argument("--variants", default="folded,fused,compiled")
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--seconds", type=float, default=420.0)
    parser.add_argument("--json", type=Path, default=RESULT)
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    device = choose_device(options.device, "float32", local_rank=0)
    limits, (flop, numbers) = peaks(device), work(options.pictures)
    print(f"{device.name}: " + ", ".join(f"{name} {value / 1e12:.3g} T/s" for name, value in limits.items()))
    result: dict[str, Any] = {"peaks": limits, "FLOP": flop, "numbers": numbers, "points": [], "not reached": []}

    def write() -> None:
        options.json.write_text(json.dumps(result | {"machine": describe()}, indent=2) + "\n")

    for precision in options.precisions.split(","):
        floors = flop / limits[precision], numbers * (2 if "16" in precision else 4) / limits["memory"]
        floor = ", ".join(
            f"{name} {value:.4f} s" for name, value in zip(("arithmetic", "traffic"), floors, strict=True)
        )
        print(f"{precision}: {flop / 1e12:.2f} TFLOP a point; floors: {floor}")
        for variant in options.variants.split(","):
            if time.monotonic() > end:
                result["not reached"].append([precision, variant])
                continue
            try:
                graphs = [False, True] if options.device == "cuda" else [False]
                timed = time_points(options.pictures, precision, variant, options.device, graphs)
            except Exception as error:  # such as a lack of memory; what was measured before is not lost
                result["not reached"].append([precision, variant, f"{type(error).__name__}: {error}"[:300]])
                continue
            for own in timed:
                own["share of the higher floor"] = max(floors) / own["seconds a point"]
                own["seconds for 51 x 51"] = POINTS * own["seconds a point"]
                met = own["seconds for 51 x 51"] <= TARGETS[precision]
                print(
                    f"  {variant:9} {'graphs' if own['CUDA graphs'] else '':6} batches of {own['batch']:5}"
                    f"  {own['seconds a point']:.4f} s a point, {100 * own['share of the higher floor']:.0f} % of the "
                    f"floor, 51 x 51 in {own['seconds for 51 x 51'] / 60:.1f} min{'' if met else '  (target missed)'}",
                    flush=True,
                )
            result["points"] += timed
            write()
    result["shared"] = []
    for ranks in options.ranks.split(","):
        left = end + 120 - time.monotonic()
        if left < 40:
            result["not reached"].append(["ranks", ranks])
            continue
        result["shared"].append(share_card(int(ranks), options.pictures, "bfloat16", options.device, min(40.0, left)))
        print(f"  {result['shared'][-1]}", flush=True)
        write()
    for missing in result["not reached"]:
        print(f"  NOT REACHED: {missing}")
    write()


if __name__ == "__main__":
    main()
