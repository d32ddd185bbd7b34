"""What fits into the memory of a device: the network first, then the data, then batches."""

import gc
import logging
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lossgrid import data
from lossgrid.data import batches
from lossgrid.data.batches import Resident, Stream
from lossgrid.directions import Random
from lossgrid.errors import InputError, RankError
from lossgrid.evaluation import Evaluator, choose_device
from lossgrid.machine.gpus import gpu_memory_left
from lossgrid.measures import make_objective
from lossgrid.parallel import Stop, alone
from lossgrid.run import Budget, path, preparation
from lossgrid.run.axes import make_axes
from lossgrid.run.preparation import make_evaluator, with_data_for
from lossgrid.run.study import Study, load_study
from lossgrid.settings import RunConfig, resolve
from tests.builders import a_perceptron

TRANSFER = data.Transfer(torch.device("cpu"), torch.float32, False)
WIDTH = 25  # numbers of a sample, 100 bytes in float32


def read_one_by_one(samples: int) -> data.Split:
    given = [(torch.full((WIDTH,), float(number)), number % 2) for number in range(samples)]
    return data.split_of(given, source="mine")


def kept(room: float, *samples: int, monkeypatch: pytest.MonkeyPatch, share: int = 1) -> list[bool]:
    """Return which of some splits are kept in memory, of which data may take ``room`` bytes if no other rank does."""
    monkeypatch.setattr(batches, "_memory_left", lambda device: room / (1 - batches.RESERVED["cpu"]))
    splits = {str(number): read_one_by_one(count) for number, count in enumerate(samples)}
    found = data.all_to_device(splits, TRANSFER, batch_size=4, share=share)
    assert {type(one) for one in found.values()} <= {Resident, Stream}
    return [one.resident for one in found.values()]


@pytest.mark.parametrize(
    ("room", "share", "expected"),
    [
        (1500, 1, [True, True]),
        (1499, 1, [True, False]),
        (999, 1, [False, True]),
        (499, 1, [False, False]),
        (3000, 2, [True, True]),
        (1500, 2, [False, True]),
    ],
)
def test_a_split_is_kept_where_it_fits_beside_those_before(
    monkeypatch: pytest.MonkeyPatch, room: float, share: int, expected: Sequence[bool]
) -> None:
    assert kept(room, 10, 5, share=share, monkeypatch=monkeypatch) == expected


def test_memory_that_pytorch_keeps_for_tensors_to_come_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 500)
    assert gpu_memory_left(torch.device("cuda", 0)) == 1200
    assert batches.room(torch.device("cuda", 0), share=3) == pytest.approx(300)


class Limited(nn.Module):
    """A network that needs more memory than there is for batches above ``most`` samples."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.inner = most, a_perceptron(WIDTH, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.inner(x)  # type: ignore[no-any-return]


def made(model: nn.Module, loss: Any = "cross_entropy", **settings: Any) -> Evaluator:
    config = resolve(RunConfig, {"model": "mine", "data": "mine", **settings})
    splits = {"train": data.split_of((torch.randn(200, WIDTH), torch.arange(200) % 2), source="mine")}
    objectives = {"train": make_objective(loss, classification=True)}
    study = Study(model, splits, objectives, source=Random())
    axes = make_axes(study.source, model, splits, alone(), axes=1)
    return make_evaluator(config, study, axes, choose_device("cpu", "float32", local_rank=0), share=1)[0]


def test_the_network_and_its_plane_are_placed_before_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    model, places = a_perceptron(WIDTH, 3, 2), set[int]()
    bring = data.all_to_device

    def noted(*given: Any, **more: Any) -> Any:
        places.update(entry.untyped_storage().data_ptr() for entry in model.parameters() if entry.ndim > 1)
        return bring(*given, **more)

    monkeypatch.setattr(data, "all_to_device", noted)
    made(model)
    assert len(places) == 1  # the weights, which move, are views of one buffer


def test_a_batch_that_does_not_fit_is_halved_where_its_size_is_open(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert made(Limited(128)).batch_size == 128
    assert caplog.messages == []
    evaluator = made(Limited(40))
    assert evaluator.batch_size == 32
    assert caplog.messages == [
        "a batch of 128 samples does not fit into the memory of cpu: halved to 64",
        "a batch of 64 samples does not fit into the memory of cpu: halved to 32",
    ]
    assert evaluator.point(0.5).values[0] > 0


def test_a_loss_that_does_not_fit_halves_the_batch_too() -> None:
    def limited(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if len(outputs) > 100:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    assert made(a_perceptron(WIDTH, 2), limited).batch_size == 64


def test_a_batch_of_the_users_size_that_does_not_fit_is_one_line() -> None:
    text = "--batch-size 64: such a batch does not fit into the memory of cpu; give a smaller --batch-size"
    with pytest.raises(InputError) as error:
        made(Limited(40), batch_size=64)
    assert str(error.value) == text


def test_a_network_too_large_for_one_sample_is_no_wrong_input() -> None:
    with pytest.raises(RankError, match="a batch of one sample does not fit"):
        made(Limited(0))


def test_what_the_evaluator_is_made_of_is_not_kept_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, weakref.ref[Any]] = {}

    def noted(function: Any, tensors_of: Any) -> Any:
        def call(*given: Any, **more: Any) -> Any:
            result = function(*given, **more)
            kept.update({name: weakref.ref(tensor) for name, tensor in tensors_of(result).items()})
            return result

        return call

    def look(*_: Any, **__: Any) -> bool:
        gc.collect()
        assert [name for name, tensor in kept.items() if tensor() is not None] == []
        return False

    load = noted(load_study, lambda study: {"inputs": study.splits["train"].whole.inputs})
    monkeypatch.setattr(preparation, "make_axes", noted(make_axes, lambda axes: {**axes.delta, **axes.eta}))
    monkeypatch.setattr(
        preparation, "with_data_for", noted(with_data_for, lambda study: {"split": study.splits["train"]})
    )
    monkeypatch.setattr(path, "share", look)
    settings = {"data": "tests.unit.test_room:of_float64", "model": "tests.programs.users:net"}
    config = resolve(RunConfig, {**settings, "alpha": "0:1:2", "beta": "0:1:2", "out": str(tmp_path / "s.h5")})
    assert not path.run(config, alone(), Budget.of(None, Stop()), load=load)
    assert set(kept) == {"inputs", "split", "conv.weight", "linear.weight"}


def of_float64(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pictures that a network in float32 cannot take as they are."""
    return torch.randn(30, 1, 8, 8, dtype=torch.float64), torch.arange(30) % 10
