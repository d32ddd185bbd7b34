"""The first minutes on a GPU: what its kernels can do, whether they return the same bits, and what a point takes.

    python benchmarks/card.py FOLDER [--seconds 300] [--device cuda] [--small] [--only peaks,layers,...]

Each result is printed and written to ``FOLDER/card.jsonl`` at once; a step that fails writes its error, and the next
one begins. ``--device cpu --small`` tries the program on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from gpu import network, peaks, problem, work
from machine import describe
from torch.nn import functional as F

from lossgrid.evaluation import Device, Evaluator, arithmetic, choose_device
from lossgrid.evaluation import network as networks
from lossgrid.evaluation.libraries import CuDNN, Nvidia, Triton
from lossgrid.run.preparation import make_evaluator

# input channels, output channels, height, stride, of the convolutions of ResNet-56
LAYERS = [(16, 16, 32, 1), (32, 32, 16, 1), (64, 64, 8, 1), (3, 16, 32, 1), (16, 32, 32, 2), (128, 128, 16, 1)]
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "tf32": torch.float32, "float32": torch.float32}


class Bench:
    """What the steps share: the device, the time that is left, and where results go."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.small: bool = options.small
        self.device: str = options.device
        self.end = time.monotonic() + options.seconds
        self.pictures = 200 if self.small else 50_000
        self._file = (options.folder / "card.jsonl").open("w")
        self.limits: dict[str, float] = {}

    def left(self) -> float:
        return self.end - time.monotonic()

    def note(self, step: str, **values: Any) -> None:
        line = json.dumps({"step": step, **values})
        print(line, flush=True)
        self._file.write(line + "\n")
        self._file.flush()

    @contextmanager
    def step(self, name: str, **which: Any) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.note(
                name, **which, failed=f"{type(error).__name__}: {error}"[:400], at=f"{where.filename}:{where.lineno}"
            )
        finally:
            if self.device == "cuda":
                torch.cuda.empty_cache()
            if not which:
                self.note("time", of=name, seconds=round(time.monotonic() - began, 1))

    def on(self, precision: str) -> Device:
        return choose_device(self.device, "float32" if self.device == "cpu" else precision, local_rank=0)


def microseconds(work_once: Callable[[], object], device: str, repeats: int = 20) -> float:
    """Return the time of one call, in us: the median of replays of a CUDA graph of ``repeats`` calls."""
    if device == "cpu":
        began = time.perf_counter()
        work_once()
        return 1e6 * (time.perf_counter() - began)
    work_once()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            work_once()
    times = []
    for _ in range(7):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(1000 * begin.elapsed_time(end) / repeats)
    return statistics.median(times)


@torch.inference_mode()
def layers(bench: Bench) -> None:
    """Time a convolution with bias, sum and ReLU in each library, precision and layout."""
    from lossgrid.evaluation import kernels

    tiles = [
        kernels.Tiles(of_pixels=pixels, warps=warps, stages=stages, cache=cache)
        for pixels, warps, stages, cache in (
            (128, 4, 3, ""), (128, 4, 3, ".ca"), (128, 4, 1, ""), (64, 4, 1, ""), (256, 8, 1, ""), (256, 8, 3, ""),
            (64, 2, 1, ""), (128, 8, 1, ""), (256, 4, 1, ""),
        )
    ]  # fmt: skip
    for batch, precision, (c, k, size, stride) in (
        (b, p, one)
        for one in LAYERS[: 1 if bench.small else None]
        for p in ("bfloat16", "tf32", "float32")
        for b in (2048,)
    ):
        if bench.left() < 0:
            bench.note("layers", not_reached=[batch, precision, c, k])
            continue
        batch = 2 if bench.small else batch
        device = bench.on(precision)
        dtype = torch.float32 if bench.small else DTYPES[precision]
        products = "ieee" if bench.small else {"float32": "tf32x3"}.get(precision, "tf32")
        with bench.step("layer", of=[precision, batch, c, k, size, stride]):
            x = torch.randn(batch, c, size, size, device=device.torch_device, dtype=dtype)
            w = 0.1 * torch.randn(k, c, 3, 3, device=device.torch_device, dtype=dtype)
            b = torch.randn(k, device=device.torch_device, dtype=dtype)
            exact = F.conv2d(x[:8].double(), w.double(), b.double(), stride=stride, padding=1)
            z = torch.randn(batch, k, *exact.shape[2:], device=device.torch_device, dtype=dtype)
            exact = (exact + z[:8].double()).relu()
            traffic = x.numel() + 2 * z.numel()
            floor = {
                "traffic": 1e6 * traffic * x.element_size() / bench.limits.get("memory", 1e12),
                "arithmetic": 1e6 * 2 * z.numel() * c * 9 / bench.limits.get(precision, 1e12),
            }
            times: dict[str, Any] = {}
            wrong: dict[str, float] = {}

            def measured(name: str, call: Callable[[], torch.Tensor]) -> None:
                try:
                    out = call()
                    if out.shape == z.shape and "alone" not in name:
                        wrong[name] = float((out[:8].double() - exact).abs().max() / exact.abs().max())
                    times[name] = round(microseconds(call, bench.device), 1)
                except Exception as error:
                    times[name] = f"{type(error).__name__}: {error}"[:120]

            geometry = ([stride, stride], [1, 1], [1, 1], 1)
            form = torch.contiguous_format if precision == "float32" else torch.channels_last
            xs, ws, zs = (one.contiguous(memory_format=form) for one in (x, w, z))
            measured("separate", lambda: F.conv2d(xs, ws, b, stride=stride, padding=1).add_(zs).relu_())
            if bench.device == "cuda":
                measured("cudnn", lambda: torch.cudnn_convolution_add_relu(xs, ws, zs, 1.0, b, *geometry))
            xs, zs = x.contiguous(memory_format=torch.channels_last), z.contiguous(memory_format=torch.channels_last)
            packed = kernels.pack(w, dtype, products)
            first = kernels.convolve(xs, packed, b, zs, (stride, stride), (1, 1), True, products, tiles[0])
            differ = []
            for tile in tiles[: 1 if bench.small else None]:
                name = f"triton {tile.of_pixels} {tile.warps} {tile.stages} {tile.cache}"
                measured(
                    name, partial(kernels.convolve, xs, packed, b, zs, (stride, stride), (1, 1), True, products, tile)
                )
            floors = {name: round(value, 1) for name, value in floor.items()}
            bench.note(
                "layer",
                of=[precision, batch, c, k, size, stride],
                us=times,
                floor_us=floors,
                wrong=wrong,
                differ=differ,
            )


def made(bench: Bench, precision: str) -> Evaluator:
    device = bench.on(precision)
    config, study, axes = problem(bench.pictures, device.precision)
    return make_evaluator(config, study, axes, device, share=1)[0]


@contextmanager
def library(kind: str, precision: str) -> Iterator[None]:
    """Make the variant ``fused`` use the kernels of ``kind``."""
    before = networks.library_for
    products = {"float32": "tf32x3"}.get(precision, "tf32")
    of_kind = {"both": partial(Nvidia, products=products), "cudnn": CuDNN, "triton": partial(Triton, products=products)}
    if kind in of_kind:
        networks.library_for = lambda device: of_kind[kind](device.layer_dtype)
    try:
        yield
    finally:
        networks.library_for = before


def bits(bench: Bench) -> None:
    """Compare fused kernels with the plain network in memory full of NaN, and with themselves."""
    for precision, kind in ((p, k) for p in ("bfloat16", "float16", "tf32", "float32") for k in ("cudnn", "triton")):
        with bench.step("bits", of=[precision, kind]), library(kind, precision), torch.inference_mode():
            evaluator = made(bench, precision).with_batches_of(100 if bench.small else 500)
            variant = evaluator.with_variant("fused")
            batch = evaluator.first(500)
            outputs = []
            for _ in range(10):
                if bench.device == "cuda":
                    full = [torch.full((2**24,), math.nan, device="cuda") for _ in range(24)]
                    del full
                with variant.device.autocast():
                    outputs.append(variant.network(batch))
            plain = evaluator.plain_point(0.0)[0], evaluator.point_in_float32(0.0)[0]
            bench.note(
                "bits", of=[precision, kind], same=all(torch.equal(outputs[0], one) for one in outputs),
                finite=bool(torch.isfinite(outputs[-1]).all()), loss=variant.point(0.0).values[0], plain=plain[0], float32=plain[1],
            )  # fmt: skip


def points(bench: Bench) -> None:
    """Time a whole point in each precision, variant and batch size."""
    flop, numbers = work(bench.pictures)
    end = time.monotonic() + bench.left() / 2
    plans = [(kind, size) for size in (4096, 1024, 8192) for kind in ("both", "triton", "cudnn")]
    for precision in ("bfloat16", "tf32", "float16", "float32"):
        base: Evaluator | None = None
        with bench.step("point", of=[precision]):
            base = made(bench, precision)
        if base is None:
            continue
        until = (
            time.monotonic()
            + bench.left() * {"bfloat16": 0.35, "tf32": 0.45, "float16": 0.5, "float32": 0.8}[precision]
        )
        for kind, size in [("folded", 64)] if bench.small else plans:
            if time.monotonic() > until:
                bench.note("point", not_reached=[precision, kind, size])
                continue
            with bench.step("point", of=[precision, kind, size]), library(kind, precision):
                variant = base.with_batches_of(size).with_variant("fused" if kind in ("cudnn", "triton") else kind)
                launched = statistics.median(variant.point(0.01 * i, 0.01).seconds for i in range(2))
                values = {"launched": launched, "loss": variant.point(0.0).values[0]}
                if bench.device == "cuda":
                    began = time.monotonic()
                    graphs = variant.with_graphs()
                    values["to record"] = time.monotonic() - began
                    values["seconds"] = statistics.median(graphs.point(0.01 * i, 0.01).seconds for i in range(4))
                    values["same"] = float(graphs.point(0.0).values[0] == values["loss"])
                width = 2 if "16" in precision else 4
                floors = flop / bench.limits.get(precision, 1e12), numbers * width / bench.limits.get("memory", 1e12)
                bench.note("point", of=[precision, kind, size], floors=floors, **values)


def compiled(bench: Bench) -> None:
    """Time a point of the compiled network."""
    for precision in ("bfloat16", "tf32"):
        with bench.step("compiled", of=[precision]):
            began = time.monotonic()
            variant = made(bench, precision).with_batches_of(1000).with_variant("compiled").with_graphs()
            prepared = time.monotonic() - began
            seconds = statistics.median(variant.point(0.01 * i, 0.01).seconds for i in range(3))
            bench.note("compiled", of=[precision], seconds=seconds, prepared=prepared)


def profile(bench: Bench) -> None:
    """List the kernels of a point by their time."""
    for precision, kind in (("bfloat16", "triton"), ("tf32", "triton"), ("bfloat16", "cudnn"), ("bfloat16", "folded")):
        with bench.step("profile", of=[precision, kind]), library(kind, precision):
            variant = (
                made(bench, precision).with_batches_of(1000).with_variant("folded" if kind == "folded" else "fused")
            )
            variant.point(0.1, 0.1)
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as found:
                variant.point(0.2, 0.1)
            rows = sorted(found.key_averages(), key=lambda row: -row.self_device_time_total)[:14]
            kernels = [[row.key[:90], row.count, round(row.self_device_time_total / 1e3, 2)] for row in rows]
            bench.note("profile", of=[precision, kind], kernels_ms=kernels)


def again(bench: Bench) -> None:
    """After a recording that fails, use random numbers and record once more."""
    evaluator = made(bench, "float32").with_batches_of(1000)

    def failing() -> object:
        from dataclasses import replace

        from lossgrid.measures import make_objective

        looking = make_objective(lambda outputs, _: outputs.sum() * float(outputs.mean().item()), classification=True)
        return replace(evaluator, objectives={"train": looking}).with_graphs()

    stream = torch.cuda.current_stream()
    try:
        failing()
        what = "it did not fail"
    except Exception as error:
        what = f"{type(error).__name__}: {error}"[:200]
    drawn = float(torch.randn(1000, device="cuda").sum())
    same_stream = torch.cuda.current_stream() == stream
    seconds = evaluator.with_variant("folded").with_graphs().point(0.0).seconds
    bench.note("again", what=what, drawn=drawn, same_stream=same_stream, seconds=seconds)


def main() -> None:
    """Run the steps within the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="points,layers,bits,again,profile")
    options = parser.parse_args()
    bench = Bench(options)
    bench.note("machine", **describe(), parameters=sum(one.numel() for one in network().parameters()))
    with bench.step("peaks"):
        bench.limits = peaks(bench.on("float32"))
        bench.limits["float16"] = bench.limits["bfloat16"]
        bench.note("peaks", **bench.limits)
    steps = {"bits": bits, "again": again, "layers": layers, "points": points, "profile": profile, "compiled": compiled}
    with arithmetic.restored():
        for name in options.only.split(","):
            with bench.step(name):
                steps[name](bench)


if __name__ == "__main__":
    main()
