"""What only a CUDA device shows; without one all of it is skipped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lossgrid import models, store
from lossgrid.data import split_of
from lossgrid.data.batch import equal_batches
from lossgrid.data.slots import CudaLane, Slots
from lossgrid.directions import Random
from lossgrid.errors import InputError
from lossgrid.evaluation import Evaluator, Unsuitable, best_batch_size, choose_device
from lossgrid.measures import make_objective
from lossgrid.run.axes import Axes
from lossgrid.run.preparation import make_evaluator
from lossgrid.run.study import Study
from lossgrid.settings import RunConfig, resolve
from tests.builders import a_batch, a_direction, a_ragged_batch, an_evaluator
from tests.programs import ragged
from tests.programs.several import Reader, texts
from tests.system.conftest import assert_same_bytes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT RUN: there is no CUDA device"),
]
SAMPLES = 300
POINTS = ((0.0, 0.0), (0.05, -0.02), (-0.1, 0.1), (0.0, 0.0))
TOLERANCES = {"float64": 1e-11, "float32": 1e-5, "tf32": 2e-2, "float16": 2e-2, "bfloat16": 1e-1}


def network() -> nn.Module:
    """Return a residual network whose statistics are not the defaults."""
    torch.manual_seed(0)
    model = models.build("resnet20", {"shortcut": "pad"}, facts={}).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return model


def evaluator(device: str, precision: str, batch_size: int = 64) -> Evaluator:
    model = network()
    delta, eta = (a_direction(model, axis=axis, norm="filter") for axis in (0, 1))
    batch = a_batch(SAMPLES, 3, 32, 32, classes=10, seed=1)
    return an_evaluator(model, batch, delta=delta, eta=eta, precision=precision, device=device, batch_size=batch_size)


def losses(made: Evaluator) -> np.ndarray:
    return np.array([made.point(*point).values[0] for point in POINTS])


@pytest.fixture(scope="module")
def exact() -> np.ndarray:
    """Return the losses of the plain network on the CPU in float64."""
    return losses(evaluator("cpu", "float64"))


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("variant", ["plain", "folded", "fused", "compiled"])
def test_values_are_those_of_the_cpu_in_float64(exact: np.ndarray, variant: str, precision: str) -> None:
    made = evaluator("cuda", precision)
    try:
        made = made.with_variant(variant)
    except Unsuitable as reason:
        pytest.skip(f"NOT RUN: {variant} in {precision}: {reason}")
    np.testing.assert_allclose(losses(made), exact, rtol=TOLERANCES[precision])


@pytest.mark.parametrize(
    ("dtype", "products", "tolerance"),
    [
        (torch.float32, "tf32x3", 1e-6), (torch.float32, "tf32", 1e-3), (torch.float16, "tf32", 1e-3),
        (torch.bfloat16, "tf32", 1e-2),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("c", "k", "size", "stride", "taps"),
    [(16, 16, 32, 1, 3), (3, 16, 32, 1, 3), (16, 32, 15, 2, 3), (64, 64, 8, 1, 3), (40, 72, 7, 2, 1)],
)
def test_our_convolutions_are_those_of_float64(
    c: int, k: int, size: int, stride: int, taps: int, dtype: torch.dtype, products: str, tolerance: float
) -> None:
    kernels = pytest.importorskip("lossgrid.evaluation.kernels", reason="NOT RUN: there is no Triton")
    torch.manual_seed(0)
    x, w, bias = (
        torch.randn(*shape, device="cuda").to(dtype) for shape in ((33, c, size, size), (k, c, taps, taps), (k,))
    )
    exact = nn.functional.conv2d(x.double(), w.double(), bias.double(), stride=stride, padding=taps // 2)
    z = torch.randn(exact.shape, device="cuda").to(dtype)
    exact = (exact + z.double()).relu()
    geometry = ((stride, stride), (taps // 2, taps // 2))
    found = kernels.convolve(x, kernels.pack(w, dtype, products), bias, z, *geometry, True, products)
    assert float((found.double() - exact).abs().max() / exact.abs().max()) < tolerance
    assert torch.equal(found, kernels.convolve(x, kernels.pack(w, dtype, products), bias, z, *geometry, True, products))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("variant", ["plain", "folded", "fused"])
def test_points_replayed_as_cuda_graphs_are_the_same_bits(variant: str, precision: str) -> None:
    made = evaluator("cuda", precision)
    made = made.with_variant(variant)
    eager = losses(made)
    made = made.with_graphs()
    assert made.recorded is not None
    assert losses(made).tobytes() == eager.tobytes()


def test_a_loss_that_looks_at_values_cannot_be_captured() -> None:
    made = evaluator("cuda", "float32")
    looking = make_objective(lambda outputs, targets: outputs.sum() * float(outputs.mean().item()), classification=True)
    made = replace(made, objectives={"train": looking})
    with pytest.raises(Unsuitable, match="it fails"):
        made.with_graphs()
    assert np.isfinite(losses(made)).all()  # the device goes on


def test_data_that_do_not_fit_are_streamed_with_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    resident = losses(evaluator("cuda", "float32"))
    monkeypatch.setattr("lossgrid.data.batches._memory_left", lambda device: 1000.0)
    streamed = evaluator("cuda", "float32")
    assert losses(streamed).tobytes() == resident.tobytes()
    assert losses(streamed.with_graphs()).tobytes() == resident.tobytes()


def test_trees_of_tensors_are_kept_streamed_and_captured_with_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(device: str, precision: str = "float32") -> Evaluator:
        torch.manual_seed(0)
        how: dict[str, Any] = {"precision": precision, "batch_size": 64, "channels_last": False}
        return an_evaluator(Reader().eval().requires_grad_(False), texts("train", count=SAMPLES), device=device, **how)

    def values(evaluator: Evaluator) -> np.ndarray:
        return np.array([evaluator.point(alpha).values for alpha in (0.0, 0.3, -0.2)])

    resident = made("cuda")
    kept = values(resident)
    np.testing.assert_allclose(kept, values(made("cpu", "float64")), rtol=1e-4)
    assert values(resident.with_graphs()).tobytes() == kept.tobytes()
    monkeypatch.setattr("lossgrid.data.batches._memory_left", lambda device: 1.0)
    assert values(made("cuda")).tobytes() == kept.tobytes()


def test_batches_of_different_widths_are_kept_streamed_and_captured_with_the_same_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(device: str, precision: str = "float64") -> Evaluator:
        model = ragged.trained()
        return an_evaluator(model, ragged.loader("train"), delta=a_direction(model), device=device, precision=precision)

    expected = np.array([made("cpu").point(alpha).values for alpha in (0.0, 0.5)])
    kept = made("cuda")
    captured = kept.with_graphs()
    monkeypatch.setattr("lossgrid.data.batches.gpu_memory_left", lambda device: 0.0)
    streamed = made("cuda")
    assert not streamed.batches["train"].resident
    for found in (kept, captured, streamed):
        values = np.array([found.point(alpha).values for alpha in (0.0, 0.5)])
        np.testing.assert_allclose(values, expected, rtol=1e-11)


@pytest.mark.parametrize("cycles", [0, 2_000_000])
@pytest.mark.parametrize("rows", [3, 200_000])
def test_batches_come_through_slots_as_they_are_however_slow_the_device(rows: int, cycles: int) -> None:
    given = [a_ragged_batch(number, rows) for number in range(20)]
    slots = Slots(CudaLane(torch.device("cuda", 0)))
    next(map(slots, given))  # a pass that breaks off
    for inference in (True, False):
        found = []
        with torch.inference_mode(inference):
            for batch in map(slots, given):
                torch.cuda._sleep(cycles)  # type: ignore[no-untyped-call]
                found.append(batch.apply(torch.clone))
        for one, other in zip(found, given, strict=True):
            assert equal_batches(one.apply(torch.Tensor.cpu), other)
            assert [leaf.dtype for leaf in one.leaves] == [leaf.dtype for leaf in other.leaves]


class Slow(nn.Module):
    """A network that computes longer with a batch than that takes to come."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(4096, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.cuda._sleep(2_000_000)  # type: ignore[no-untyped-call]
        return self.inner(x)  # type: ignore[no-any-return]


def test_a_streamed_pass_takes_the_memory_of_a_few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> Evaluator:
        model, batch = Slow().eval().requires_grad_(False), a_batch(64 * 200, 4096, classes=10)  # 200 batches of 1 MiB
        return an_evaluator(model, batch, precision="float32", device="cuda", batch_size=64)

    kept = made().point(0.3).values
    monkeypatch.setattr("lossgrid.data.batches._memory_left", lambda device: 1.0)
    streamed = made()
    assert not streamed.batches["train"].resident
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before, pinned = torch.cuda.memory_allocated(), torch.cuda.host_memory_stats()["active_bytes.current"]
    assert streamed.point(0.3).values.tobytes() == kept.tobytes()
    assert torch.cuda.max_memory_allocated() - before < 20 * 2**20
    stats = torch.cuda.host_memory_stats()
    assert stats["active_bytes.current"] - pinned <= 8 * 2**20
    streamed.point(-0.3)
    assert torch.cuda.host_memory_stats()["num_host_alloc"] == stats["num_host_alloc"]


class Hungry(nn.Module):
    """A network of which a batch of 50 samples would take all memory that was free when it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 2)
        self.of_a_sample = torch.cuda.mem_get_info()[0] // 50

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        taken = torch.empty(len(x), self.of_a_sample if x.is_cuda else 1, dtype=torch.uint8, device=x.device)
        return self.inner(x) + 0 * taken[:, :1]


def test_batches_shrink_to_the_memory_of_the_gpu() -> None:
    def made(batch_size: Any) -> Evaluator:
        model, batch = Hungry(), a_batch(200, 4, classes=2)
        config = resolve(RunConfig, {"model": "mine", "data": "mine", "batch_size": batch_size})
        splits = {"train": split_of(batch, source="mine")}
        study = Study(model, splits, {"train": make_objective("cross_entropy", classification=True)}, Random())
        axes = Axes.of(a_direction(model))
        return make_evaluator(config, study, axes, choose_device("cuda", "float32", local_rank=0), share=1)[0]

    torch.cuda.empty_cache()
    with pytest.raises(InputError, match=r"--batch-size 64: such a batch does not fit into the memory of .*; give a"):
        made(64)
    found = made("auto")
    assert found.batch_size == 32
    assert best_batch_size(found, seconds=5.0) <= 32
    assert np.isfinite(found.point(0.5).values).all()


def test_float32_on_cuda_is_told_from_tf32() -> None:
    made = evaluator("cuda", "tf32")
    low, high = made.point(0.05, -0.02).values, made.point_in_float32(0.05, -0.02)
    assert low[0] != high[0]
    np.testing.assert_allclose(low[0], high[0], rtol=TOLERANCES["tf32"])


def test_ranks_that_share_a_gpu_compute_the_same_bits(start: Any, tmp_path: Path) -> None:
    run = ("lossgrid", "run", "--model", "resnet20", "--data", "digits", "--max-samples", 100, "--device", "cuda",
           "--alpha", "-1:1:5", "--beta", "-1:1:4", "--writer", "root")  # fmt: skip
    for ranks in (0, 2):
        done = start(ranks, *run, "--out", f"{ranks}.h5")
        assert done.returncode == 0, done.stderr
    assert store.read(tmp_path / "0.h5").provenance["recipe"]["cuda_graphs"]
    assert_same_bytes(tmp_path / "0.h5", tmp_path / "2.h5")
