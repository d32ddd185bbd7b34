"""How points are evaluated: what is chosen, when it is measured, what is said about it."""

import logging
from typing import Any

import pytest
import torch
from torch import nn

from lossgrid.data.batch import NOTHING, Batch
from lossgrid.errors import InputError
from lossgrid.evaluation import Differs, Evaluator, Unsuitable, choose_device, even_batches, tuning
from lossgrid.parallel import alone
from lossgrid.run import recipe
from lossgrid.run.recipe import Recipe, choose_recipe
from lossgrid.settings import RunConfig, resolve
from tests.builders import a_batch, an_evaluator
from tests.programs.users import net


def evaluator(samples: int = 300, model: nn.Module | None = None) -> Evaluator:
    torch.manual_seed(0)
    batch = a_batch(samples, 1, 8, 8, classes=10)
    return an_evaluator(model or net(1, 10), batch, precision="float32", batch_size=128)


def choose(made: Evaluator, *, points: int = 10, recorded: dict[str, Any] | None = None, **settings: object) -> Recipe:
    return decide(made, points=points, recorded=recorded, **settings)[0]


def decide(
    made: Evaluator, *, points: int = 10, recorded: dict[str, Any] | None = None, **settings: object
) -> tuple[Recipe, Evaluator]:
    config = resolve(RunConfig, {"model": "users:net", **settings})
    return choose_recipe(config, made, recorded, alone(), points=points, seconds_left=lambda: 1e9)


@pytest.fixture
def long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every run be worth measuring."""
    monkeypatch.setattr(recipe, "TUNED_FROM", 0.0)


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch, long_run: None) -> None:
    """Let every run be worth trying torch.compile."""
    monkeypatch.setattr(recipe, "COMPILED_FROM", 0.0)
    monkeypatch.setattr(recipe, "best_batch_size", lambda evaluator, seconds: evaluator.batch_size)


def pace(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float]) -> None:
    """Let variants take so many seconds for a sample."""
    monkeypatch.setattr(
        recipe, "seconds_in_turns", lambda evaluator, networks: [seconds[network.variant] for network in networks]
    )


def test_short_runs_take_the_best_that_needs_no_measurement(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    plain = evaluator()
    chosen, made = decide(plain)
    assert chosen == Recipe("fused", 100, False)
    assert (plain.network.variant, plain.batch_size) == ("plain", 128)  # which stays as it was
    assert (made.network.variant, made.batch_size) == ("fused", 100)
    assert "1 normalisation folded, 1 layer fused" in chosen.about
    assert "nothing tuned" in chosen.about
    assert chosen.about in caplog.text


@pytest.mark.parametrize(
    ("samples", "usual", "size"), [(2000, 128, 125), (300, 128, 100), (60, 128, 60), (129, 128, 65)]
)
def test_batches_are_of_one_size(samples: int, usual: int, size: int) -> None:
    assert even_batches(samples, usual) == size


def test_what_is_set_by_hand_is_used() -> None:
    made = evaluator()
    assert choose(made, variant="folded", batch_size=7) == Recipe("folded", 7, False)
    assert choose(made, variant="plain") == Recipe("plain", 100, False)
    with pytest.raises(InputError, match="--cuda-graphs yes: this is no CUDA device"):
        choose(made, cuda_graphs="yes")
    with pytest.raises(InputError, match="--variant fused: the network has no layer with a fused kernel"):
        choose(evaluator(model=nn.Sequential(nn.Flatten(), Scaled())), variant="fused")


class Scaled(nn.Module):
    """A linear map no rewriting knows."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight


def test_what_was_recorded_is_kept_to(long_run: None) -> None:
    made = evaluator()
    recorded = {"variant": "folded", "batch_size": 9, "cuda_graphs": False, "about": "as it was"}
    chosen, run = decide(made, recorded=recorded)
    assert chosen == Recipe("folded", 9, False)
    assert (run.network.variant, run.batch_size) == ("folded", 9)
    kept, untouched = decide(evaluator(), recorded=recorded, points=0)
    assert kept.about == "as it was"
    assert (untouched.network.variant, untouched.batch_size) == ("folded", 9)  # to compute a stored point again


def test_another_function_is_warned_of(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    made, with_variant = evaluator(), Evaluator.with_variant

    def differing(self: Evaluator, variant: str) -> Evaluator:
        if variant == "fused":
            raise Differs("its outputs differ by 1e-1 of the largest")
        return with_variant(self, variant)

    monkeypatch.setattr(Evaluator, "with_variant", differing)
    assert choose(made).variant == "folded"
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["not fused: its outputs differ by 1e-1 of the largest"]


def test_slower_kernels_are_gone_without(monkeypatch: pytest.MonkeyPatch, long_run: None) -> None:
    pace(monkeypatch, {"fused": 1.0, "folded": 0.5})
    assert choose(evaluator(), batch_size=50).variant == "folded"
    pace(monkeypatch, {"fused": 1.0, "folded": 0.99})  # within noise
    assert choose(evaluator(), batch_size=50).variant == "fused"


def test_the_batch_size_is_tuned(monkeypatch: pytest.MonkeyPatch, long_run: None) -> None:
    monkeypatch.setattr(recipe, "best_batch_size", lambda evaluator, seconds: 60)
    chosen, made = decide(evaluator())
    assert (chosen.batch_size, made.batch_size) == (60, 60)
    assert "batch size tuned in" in chosen.about
    assert choose(evaluator(), batch_size=50).batch_size == 50


@pytest.mark.parametrize(
    ("fast", "points", "variant"), [(0.5, 10**9, "compiled"), (0.5, 1, "fused"), (1.1, 10**9, "fused")]
)
def test_compiling_must_save_more_than_it_takes(
    monkeypatch: pytest.MonkeyPatch, compiles: None, fast: float, points: int, variant: str
) -> None:
    pace(monkeypatch, {"fused": 1e-6, "folded": 1e-6, "compiled": fast * 1e-6})
    chosen, made = decide(evaluator(), points=points)
    assert (chosen.variant, made.network.variant) == (variant, variant)
    assert ("compiled in" in chosen.about) == (variant == "compiled")


def test_what_cannot_be_compiled_runs_on(monkeypatch: pytest.MonkeyPatch, compiles: None) -> None:
    with_variant = Evaluator.with_variant

    def uncompilable(self: Evaluator, variant: str) -> Evaluator:
        if variant == "compiled":
            raise Unsuitable("it fails (InvalidCxxCompiler: No working C++ compiler found)")
        return with_variant(self, variant)

    monkeypatch.setattr(Evaluator, "with_variant", uncompilable)
    pace(monkeypatch, {"fused": 1.0, "folded": 1.0})
    chosen = choose(evaluator())
    assert chosen.variant == "fused"
    assert "not compiled, as it fails (InvalidCxxCompiler" in chosen.about


class Timed:
    """What tuning sees of an evaluator: a batch takes as long as ``cost(size)`` says, per sample."""

    def __init__(self, cost: Any, samples: int = 4000, nbytes: int = 1000) -> None:
        self.cost, self.samples, self._nbytes, self.tried = cost, {"train": samples}, nbytes, []
        self.device = choose_device("cpu", "float32", local_rank=0)
        self.batch_size = 10

    @property
    def most_samples(self) -> int:
        return max(self.samples.values())

    def with_network(self, network: object) -> "Timed":
        return self

    def bytes_per_sample(self) -> int:
        return self._nbytes

    def first(self, count: int) -> Batch:
        return Batch(torch.zeros(min(count, self.samples["train"])), NOTHING)

    def seconds_of(self, batch: Batch) -> float:
        self.tried.append(batch.samples)
        return float(self.cost(batch.samples) * batch.samples)


@pytest.mark.parametrize(
    ("cost", "samples", "nbytes", "best"),
    [
        (lambda size: abs(size - 512), 4000, 1000, 500),  # 8 batches of 500 rather than 7 of 512 and a small one
        (lambda size: abs(size - 32) + 1, 4000, 1000, 32),
        (lambda size: 1.0 - 1e-5 * size, 4000, 1000, 125),  # what larger batches gain is within noise
        (lambda size: 1 / size, 4000, 1000, 4000),
        (lambda size: 1 / size, 300, 1000, 300),
        (lambda size: 1 / size, 4000, 2**20, 125),  # larger ones would take too much memory
    ],
)
def test_the_fastest_batch_size_is_found(
    monkeypatch: pytest.MonkeyPatch, cost: Any, samples: int, nbytes: int, best: int
) -> None:
    monkeypatch.setattr(tuning, "LEAST_SECONDS", 0.0)
    assert tuning.best_batch_size(Timed(cost, samples, nbytes), seconds=60) == best  # type: ignore[arg-type]


def test_memory_that_does_not_suffice_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LEAST_SECONDS", 0.0)

    def cost(size: int) -> float:
        if size > 300:
            raise torch.cuda.OutOfMemoryError
        return 1 / size

    assert tuning.best_batch_size(Timed(cost), seconds=60) == 250  # type: ignore[arg-type]


@pytest.mark.parametrize(("possible", "best"), [(100, 64), (40, 32), (1, 1)])
@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("cuDNN error")])
def test_the_first_size_is_halved_until_it_is_possible(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, possible: int, best: int
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(tuning, "LEAST_SECONDS", 0.0)

    def cost(size: int) -> float:
        if size > possible:
            raise error
        return 1 / size

    timed = Timed(cost)
    assert tuning.best_batch_size(timed, seconds=60) == best  # type: ignore[arg-type]
    failed = [128 // 2**power for power in range(8) if 128 // 2**power > possible]
    assert [int(message.split()[3]) for message in caplog.messages] == failed
    assert str(error) in caplog.messages[0]
    assert [size for size in timed.tried if size > possible] == failed


def test_an_error_at_every_size_is_that_of_one_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LEAST_SECONDS", 0.0)

    def cost(size: int) -> float:
        raise RuntimeError(f"no kernel for {size}")

    with pytest.raises(RuntimeError, match=r"no kernel for 1$"):
        tuning.best_batch_size(Timed(cost), seconds=60)  # type: ignore[arg-type]


def test_time_that_is_over_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LEAST_SECONDS", 0.0)
    timed = Timed(lambda size: 1 / size)
    assert tuning.best_batch_size(timed, seconds=0) == 125  # type: ignore[arg-type]
    assert set(timed.tried) == {128}


def test_networks_are_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "LEAST_SECONDS", 0.0)
    timed = Timed(lambda size: next(disturbed))
    disturbed = iter([5.0, 5.0, 5.0, 5.0, 4.0, 4.0, 4.0, 4.0] + [1.0] * 4 + [2.0] * 4 + [9.0] * 8)
    assert tuning.seconds_in_turns(timed, ("one", "other")) == [1.0, 2.0]  # type: ignore[arg-type]
