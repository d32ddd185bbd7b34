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
from itertools import product
from pathlib import Path
from typing import Any

import torch
from gpu import network, peaks, problem, work
from machine import describe
from torch.nn import functional as F

from lossgrid.evaluation import Device, Evaluator, arithmetic, choose_device
from lossgrid.evaluation import network as networks
from lossgrid.evaluation.libraries import CuDNN, Triton, TritonOrCuDNN
from lossgrid.run.preparation import make_evaluator

# input channels, output channels, height, stride, of the convolutions of ResNet-56
LAYERS = [(16, 16, 32, 1), (32, 32, 16, 1), (64, 64, 8, 1), (3, 16, 32, 1), (16, 32, 32, 2), (128, 128, 16, 1)]
TILES = [(128, 4, 3), (128, 4, 1), (64, 2, 1), (256, 8, 3)]  # pixels, warps, stages
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
        """Return the seconds that are left."""
        return self.end - time.monotonic()

    def note(self, step: str, **values: Any) -> None:
        """Print a result and write it to the file."""
        line = json.dumps({"step": step, **values})
        print(line, flush=True)
        self._file.write(line + "\n")
        self._file.flush()

    @contextmanager
    def step(self, name: str, **which: Any) -> Iterator[None]:
        """Note an error of the block, and what it took."""
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
        """Return the device in ``precision``; on a CPU in float32."""
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


def contestants(
    x: torch.Tensor, w: torch.Tensor, bias: torch.Tensor, z: torch.Tensor, stride: int, precision: str, *, few: bool
) -> dict[str, Callable[[], torch.Tensor]]:
    """Return the ways to compute ``relu(conv(x, w) + bias + z)``, by name."""
    from lossgrid.evaluation import kernels

    products = "ieee" if few else {"float32": "tf32x3"}.get(precision, "tf32")
    form = torch.contiguous_format if precision == "float32" else torch.channels_last
    xs, ws, zs = (one.contiguous(memory_format=form) for one in (x, w, z))
    found: dict[str, Callable[[], torch.Tensor]] = {
        "separate": lambda: F.conv2d(xs, ws, bias, stride=stride, padding=1).add_(zs).relu_()
    }
    if x.device.type == "cuda":
        geometry = ([stride, stride], [1, 1], [1, 1], 1)
        found["cudnn"] = lambda: torch.cudnn_convolution_add_relu(xs, ws, zs, 1.0, bias, *geometry)
    packed = kernels.pack(w, x.dtype, products)
    x, z = (one.contiguous(memory_format=torch.channels_last) for one in (x, z))
    for pixels, warps, stages in TILES[: 1 if few else None]:
        tiles = kernels.Tiles(of_pixels=pixels, warps=warps, stages=stages)
        found[f"triton {pixels} {warps} {stages}"] = partial(
            kernels.convolve, x, packed, bias, z, (stride, stride), (1, 1), True, products, tiles
        )
    return found


@torch.inference_mode()
def layers(bench: Bench) -> None:
    """Time a convolution with bias, sum and ReLU in each library and precision."""
    for (c, k, size, stride), precision in product(LAYERS[: 1 if bench.small else None], DTYPES):
        batch = 2 if bench.small else 2048
        which = [precision, batch, c, k, size, stride]
        if bench.left() < 0:
            bench.note("layer", not_reached=which)
            continue
        with bench.step("layer", of=which):
            place = {"device": bench.on(precision).torch_device, "dtype": DTYPES[precision]}
            x, w, bias = (
                torch.randn(batch, c, size, size, **place),
                torch.randn(k, c, 3, 3, **place),
                torch.randn(k, **place),
            )
            exact = F.conv2d(x[:8].double(), w.double(), bias.double(), stride=stride, padding=1)
            z = torch.randn(batch, k, *exact.shape[2:], **place)
            exact = (exact + z[:8].double()).relu()
            traffic = (x.numel() + 2 * z.numel()) * x.element_size()
            floors = {
                "traffic": 1e6 * traffic / bench.limits["memory"],
                "arithmetic": 1e6 * 2 * z.numel() * c * 9 / bench.limits.get(precision, math.inf),
            }
            times, wrong = {}, {}
            for name, call in contestants(x, w, bias, z, stride, precision, few=bench.small).items():
                wrong[name] = float((call()[:8].double() - exact).abs().max() / exact.abs().max())
                times[name] = microseconds(call, bench.device)
            bench.note("layer", of=which, us=times, floor_us=floors, wrong=wrong)


def made(bench: Bench, precision: str) -> Evaluator:
    """Return the plain evaluator of ResNet-56."""
    device = bench.on(precision)
    config, study, axes = problem(bench.pictures, device.precision)
    return make_evaluator(config, study, axes, device, share=1)[0]


@contextmanager
def library(kind: str, precision: str) -> Iterator[None]:
    """Make the variant ``fused`` use the kernels of ``kind``."""
    before = networks.library_for
    products = {"float32": "tf32x3"}.get(precision, "tf32")
    of_kind = {
        "both": partial(TritonOrCuDNN, products=products),
        "cudnn": CuDNN,
        "triton": partial(Triton, products=products),
    }
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
                finite=bool(torch.isfinite(outputs[-1]).all()), loss=variant.point(0.0).values[0],
                plain=plain[0], float32=plain[1],
            )  # fmt: skip


def points(bench: Bench) -> None:
    """Time a whole point in each precision, library and batch size."""
    plans = [(kind, size) for size in (4096, 1024) for kind in ("both", "triton", "cudnn", "folded", "plain")]
    precisions = ("bfloat16", "tf32", "float16", "float32")
    for i, precision in enumerate(precisions):
        until = time.monotonic() + bench.left() / (len(precisions) + 1 - i)  # some is left for the steps after this one
        with bench.step("point", of=[precision]):
            base = made(bench, precision)
            for kind, size in [("folded", 64)] if bench.small else plans:
                if time.monotonic() > until:
                    bench.note("point", not_reached=[precision, kind, size])
                    continue
                with bench.step("point", of=[precision, kind, size]), library(kind, precision):
                    variant = base.with_batches_of(size)
                    time_point(
                        bench, variant.with_variant(kind if kind in ("folded", "plain") else "fused"), precision, kind
                    )


def time_point(bench: Bench, evaluator: Evaluator, precision: str, kind: str) -> None:
    """Note the time of a point, launched kernel by kernel and as CUDA graphs, beside its lower bounds."""
    flop, numbers = work(bench.pictures)
    floors = {
        "arithmetic": flop / bench.limits[precision] if precision in bench.limits else 0.0,
        "traffic": numbers * (2 if "16" in precision else 4) / bench.limits["memory"],
    }
    launched = statistics.median(evaluator.point(0.01 * i, 0.01).seconds for i in range(2))
    values = {"launched": launched, "loss": evaluator.point(0.0).values[0]}
    if bench.device == "cuda":
        graphs = evaluator.with_graphs()
        values["graphs"] = statistics.median(graphs.point(0.01 * i, 0.01).seconds for i in range(4))
        values["same bits"] = float(graphs.point(0.0).values[0] == values["loss"])
    bench.note("point", of=[precision, kind, evaluator.batch_size], floors=floors, **values)


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
        bench.note("peaks", **bench.limits)
    steps = {"bits": bits, "again": again, "layers": layers, "points": points, "profile": profile, "compiled": compiled}
    with arithmetic.restored():
        for name in options.only.split(","):
            with bench.step(name):
                steps[name](bench)


if __name__ == "__main__":
    main()
