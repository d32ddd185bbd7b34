import csv
import math
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lossgrid import data, models
from lossgrid.errors import InputError, LossgridError
from lossgrid.evaluation import choose_device
from lossgrid.files import locked, writing
from lossgrid.machine.cores import own_cpus
from lossgrid.measures import make_objective
from lossgrid.parallel import stop_on_signals
from lossgrid.settings import TrainConfig, resolve
from lossgrid.settings.option import default_of
from lossgrid.training import folder
from lossgrid.training import train as train_until
from lossgrid.training.augmentation import augmented, make_augmentation
from lossgrid.training.initial import draw_weights
from lossgrid.training.learner import Learner
from lossgrid.training.preparation import prepare
from lossgrid.training.randomness import RandomNumbers, draw_epoch, with_label_noise
from lossgrid.training.schedule import make_optimizer, make_schedule
from tests.conftest import ROOT

CPU = torch.device("cpu")
# A network with a convolution, batch normalisation and dropout, on 60 pictures: four updates an epoch.
BASE = {
    "model": "users:net", "data": "users:pictures", "batch_size": 17, "epochs": 3, "lr": 0.05, "save_every": 1,
    "device": "cpu",
}  # fmt: skip
GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="NOT RUN: there is no CUDA device")]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder, with one thread, and leave torch as it was."""
    before = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "programs"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


def configured(**changes: Any) -> TrainConfig:
    config = resolve(TrainConfig, BASE, changes)
    assert isinstance(config, TrainConfig)
    return config


def train(config: TrainConfig) -> bool:
    """Train with stop signals as the command line has them."""
    with stop_on_signals() as stop:
        return train_until(config, stop)


# Settings


def test_help_tells_the_rates_of_the_optimizers() -> None:
    told = default_of(TrainConfig.model_fields["lr"])
    for optimizer in ("sgd", "adam"):
        assert f"{configured(lr=None, optimizer=optimizer).rate} for {optimizer}" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr_stpes": "1"}, ["lr_stpes", "lr-steps"]),
        ({"bach_size": 3}, ["bach_size", "batch-size"]),
        ({"optimizer": "sdg"}, ["--optimizer", "sgd", "sdg"]),
        ({"schedule": "step"}, ["--schedule", "steps", "step"]),
        ({"init": "hee"}, ["--init", "he", "hee"]),
        ({"augment": "crop,filp"}, ["--augment", "flip", "filp"]),
        ({"lr_steps": "5,x"}, ["--lr-steps", "'x'"]),
        ({"lr_steps": "5,5"}, ["--lr-steps", "rising", "5,5"]),
        ({"lr_steps": "0,5"}, ["--lr-steps", "0,5"]),
        ({"lr_steps": "5", "schedule": "cosine"}, ["--lr-steps", "--schedule steps"]),
        ({"lr_factor": 0.5, "schedule": "onecycle"}, ["--lr-factor", "--schedule steps"]),
        ({"momentum": 0.5, "optimizer": "adam"}, ["--momentum", "--optimizer sgd"]),
        ({"momentum": 1}, ["--momentum"]),
        ({"lr": 0}, ["--lr"]),
        ({"lr": math.inf}, ["--lr"]),
        ({"weight_decay": -1}, ["--weight-decay"]),
        ({"label_noise": 1.5}, ["--label-noise", "1.5"]),
        ({"epochs": 0}, ["--epochs"]),
        ({"epochs": 10000}, ["--epochs"]),
        ({"micro_batch": 18}, ["--micro-batch", "--batch-size, 17", "18"]),
        ({"save_every": 0}, ["--save-every"]),
        ({"splits": "train,train"}, ["--splits"]),
    ],
    ids=lambda part: " ".join(map(str, part.items())) if isinstance(part, dict) else "",
)
def test_refusals_are_one_line_about_the_option(changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        configured(**changes)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_identity_leaves_out_where_and_what_may_grow() -> None:
    one = configured(data="cifar10:/here", out="a", device="cpu", save_every=1, lr=0.1, epochs=3)
    two = configured(data="cifar10:/there", out="b", device="auto", save_every=7, lr=None, epochs=30)
    assert one.identity() == two.identity()  # 0.1 is what SGD takes
    assert one.identity() != configured(data="cifar10:/here", lr=0.1, momentum=0.5).identity()
    short, long = (configured(schedule="cosine", epochs=epochs).identity() for epochs in (3, 30))
    assert short != long


# Weights to begin with


def test_weights_of_he_have_the_variances_of_the_paper_and_no_biases() -> None:
    model = nn.Sequential(
        nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ConvTranspose2d(64, 48, 3, bias=False), nn.Linear(300, 200)
    )
    conv, norm, transposed, linear = model
    nn.init.constant_(norm.weight, 0.5)
    norm.running_mean.fill_(3.0)
    torch.manual_seed(5)
    draw_weights(model, "he")
    assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.03)
    assert transposed.weight.std().item() == pytest.approx(math.sqrt(2 / (48 * 9)), rel=0.03)  # as torch counts fan-in
    assert linear.weight.std().item() == pytest.approx(1e-3, rel=0.03)
    assert conv.weight.mean().abs().item() < 0.003
    assert not conv.bias.any()
    assert not linear.bias.any()
    assert torch.equal(norm.weight, torch.ones(64))
    assert not norm.running_mean.any()


def test_weights_are_as_the_model_made_them_by_default_and_the_same_for_a_seed() -> None:
    def first(**changes: Any) -> dict[str, torch.Tensor]:
        config = configured(**changes)
        splits = data.load(config.data, config.data_arg, splits=config.splits)
        learner, _ = prepare(config, splits, choose_device("cpu", "float32", local_rank=0))
        return dict(learner.model.state_dict())

    def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
        return all(torch.equal(one[name], other[name]) for name in one)

    torch.manual_seed(0)
    own = models.build(BASE["model"], {}, facts=data.facts(data.load(BASE["data"], {}, splits=("train",)))).state_dict()
    assert same(own, first())
    assert same(first(init="he"), first(init="he"))
    assert not same(first(init="he"), first())
    assert not same(first(init="he"), first(init="he", seed=1))


# Optimizers and learning rates


def rates(updates: int, **changes: Any) -> list[float]:
    """Return the learning rate of each update."""
    config = configured(**changes)
    optimizer = make_optimizer(config, nn.Linear(1, 1))
    schedule = make_schedule(config, optimizer, updates)
    found = []
    for _ in range(config.epochs * updates):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_steps_take_effect_when_their_epochs_are_over() -> None:
    found = rates(4, epochs=7, lr=0.8, lr_steps="2,5", lr_factor=0.5)
    expected = [0.8 * 0.5 ** sum(epoch >= step for step in (2, 5)) for epoch in range(7) for _ in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert rates(3, epochs=2, lr=0.3) == [0.3] * 6


def test_a_cosine_falls_to_nothing_with_every_update() -> None:
    found = rates(5, epochs=4, lr=0.8, schedule="cosine")
    np.testing.assert_allclose(found, [0.4 * (1 + math.cos(math.pi * i / 20)) for i in range(20)], rtol=1e-9)


def test_one_cycle_rises_then_falls_and_leaves_the_momentum() -> None:
    found = rates(10, epochs=10, lr=0.8, schedule="onecycle")
    assert found[0] == pytest.approx(0.8 / 25)
    assert int(np.argmax(found)) == 29
    assert max(found) == pytest.approx(0.8)
    assert found[-1] < 1e-5
    optimizer = make_optimizer(configured(), nn.Linear(1, 1))
    make_schedule(configured(schedule="onecycle"), optimizer, 5)
    assert optimizer.param_groups[0]["momentum"] == 0.9


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_updates_are_nesterovs_with_decay_in_the_gradient(momentum: float) -> None:
    rate, decay = 0.1, 0.3
    config = configured(lr=rate, momentum=momentum, weight_decay=decay)
    weight, velocity = np.array([2.0, -1.0]), np.zeros(2)
    model = nn.Linear(2, 1, bias=False).double()
    model.weight.data.copy_(torch.from_numpy(weight))
    optimizer = make_optimizer(config, model)
    for x in ([1.0, 2.0], [0.5, -1.0], [3.0, 0.0]):
        optimizer.zero_grad()
        model(torch.tensor(x, dtype=torch.float64)).sum().backward()
        optimizer.step()
        gradient = np.array(x) + decay * weight
        velocity = momentum * velocity + gradient
        weight = weight - rate * (gradient + momentum * velocity if momentum else gradient)
        np.testing.assert_allclose(model.weight.detach()[0], weight, rtol=1e-12)


def test_adam_is_adam() -> None:
    model = nn.Linear(2, 1)
    optimizer = make_optimizer(configured(optimizer="adam", lr=None, weight_decay=0.1), model)
    assert isinstance(optimizer, torch.optim.Adam)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.001, 0.1)


# Augmentation


def slowly_augmented(
    picture: torch.Tensor, top: int, left: int, mirrored: bool, margins: tuple[int, int]
) -> torch.Tensor:
    """Return one picture, cropped and mirrored pixel by pixel."""
    channels, height, width = picture.shape
    view = torch.zeros_like(picture)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                row = i + top - margins[0]
                column = (width - 1 - j if mirrored else j) + left - margins[1]
                if 0 <= row < height and 0 <= column < width:
                    view[c, i, j] = picture[c, row, column]
    return view


@pytest.mark.parametrize("augment", [("crop", "flip"), ("crop",), ("flip",), ("flip", "crop")])
@pytest.mark.parametrize("shape", [(3, 16, 24), (1, 8, 8)])
def test_pictures_are_augmented_as_by_a_slow_reference(augment: tuple[str, ...], shape: tuple[int, int, int]) -> None:
    pictures = torch.randn(20, *shape)
    drawn = draw_epoch(seed=3, epoch=1, samples=20)
    augmentation = make_augmentation(drawn, augment, shape, CPU)
    assert augmentation is not None
    top, left, mirrored = augmentation.top, augmentation.left, augmentation.mirrored
    chosen = torch.tensor([7, 0, 19, 3, 7])
    expected = [
        slowly_augmented(pictures[i], int(top[i]), int(left[i]), bool(mirrored[i]), augmentation.margins)
        for i in chosen
    ]
    found = augmented(pictures, augmentation, chosen)
    assert torch.equal(found, torch.stack(expected))
    laid_out = pictures.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augmented(laid_out, augmentation, chosen), found)
    assert bool(augmentation.mirrored.any()) == ("flip" in augment)
    assert augmentation.margins == ((shape[1] // 8, shape[2] // 8) if "crop" in augment else (0, 0))


def test_every_shift_is_as_likely_and_every_other_picture_is_mirrored() -> None:
    drawn = draw_epoch(seed=0, epoch=5, samples=9000)
    augmentation = make_augmentation(drawn, ("crop", "flip"), (3, 32, 32), CPU)
    assert augmentation is not None
    for shifts in (augmentation.top, augmentation.left):
        counts = np.bincount(shifts.numpy())
        assert len(counts) == 9  # by 4 pixels at most, both ways
        assert np.abs(counts - 1000).max() < 5 * math.sqrt(1000)
    assert abs(int(augmentation.mirrored.sum()) - 4500) < 5 * math.sqrt(9000 / 4)
    assert sorted(drawn.order.tolist()) == list(range(9000))


def test_an_epoch_is_a_function_of_seed_and_epoch() -> None:
    def same(one: RandomNumbers, other: RandomNumbers) -> list[bool]:
        return [np.array_equal(getattr(one, n), getattr(other, n)) for n in ("order", "down", "right", "mirrored")]

    first = draw_epoch(1, 2, 50)
    np.random.seed(8)
    torch.manual_seed(8)
    assert all(same(first, draw_epoch(1, 2, 50)))
    assert not any(same(first, draw_epoch(1, 3, 50)))
    assert not any(same(first, draw_epoch(2, 2, 50)))


def test_without_augmentation_there_is_nothing_to_do() -> None:
    assert make_augmentation(draw_epoch(0, 1, 5), (), (5,), CPU) is None


# Label noise


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_labels_is_drawn_anew(share: float) -> None:
    targets = torch.arange(8000) % 10
    before = targets.clone()
    noisy = with_label_noise(targets, share, classes=10, seed=4)
    assert torch.equal(targets, before)
    changed = int((noisy != targets).sum())
    drawn = share * 8000  # of which one in ten gets its own label back
    assert abs(changed - 0.9 * drawn) <= 5 * math.sqrt(0.09 * drawn)
    assert 0 <= int(noisy.min()) <= int(noisy.max()) <= 9
    assert torch.equal(noisy, with_label_noise(targets, share, classes=10, seed=4))
    if share:
        assert not torch.equal(noisy, with_label_noise(targets, share, classes=10, seed=5))
        counts = np.bincount(noisy[noisy != targets].numpy(), minlength=10)
        assert np.abs(counts - changed / 10).max() < 5 * math.sqrt(changed / 10)


def test_label_noise_is_for_what_is_learned_only() -> None:
    config = configured(label_noise=0.5)
    splits = data.load(config.data, {}, splits=("train", "test"))
    device = choose_device("cpu", "float32", local_rank=0)
    _, samples = prepare(config, splits, device)
    clean = {name: (split.tensors or ())[1] for name, split in splits.items()}
    assert 10 < int((samples["train"].targets != clean["train"]).sum()) <= 30
    assert torch.equal(samples["test"].targets, clean["test"])


# Accumulation


def learner(model: nn.Module, part: int) -> Learner:
    config = configured(weight_decay=0.01)
    optimizer = make_optimizer(config, model)
    schedule = make_schedule(config, optimizer, 10)
    objectives = {"train": make_objective("cross_entropy", classification=True)}
    return Learner(model, optimizer, schedule, objectives, choose_device("cpu", "float64", local_rank=0), part, False)


@pytest.mark.parametrize("part", [1, 7, 32, 60])
def test_parts_add_up_to_the_batch(part: int) -> None:
    inputs, targets = torch.randn(60, 64, dtype=torch.float64), torch.arange(60) % 10
    networks = []
    for size in (60, part):
        torch.manual_seed(0)
        model = models.build("mlp", {}, facts={}).double()
        own = learner(model, size)
        for _ in range(3):
            own.update("train", inputs, targets)
        networks.append(model.state_dict())
    start = models.build("mlp", {}, facts={}).double().state_dict()
    for name, expected in networks[0].items():
        np.testing.assert_allclose(networks[1][name], expected, rtol=1e-12, atol=1e-14)
        assert not torch.equal(expected, start[name])


def test_no_more_samples_than_asked_for_pass_at_once() -> None:
    sizes = []
    model = nn.Linear(3, 10).double()
    model.register_forward_hook(lambda module, given, out: sizes.append(len(out)))
    learner(model, 16).update("train", torch.randn(50, 3, dtype=torch.float64), torch.arange(50) % 10)
    assert sizes == [13, 13, 12, 12]


@pytest.mark.parametrize(
    ("batch_size", "micro_batch", "lone"),
    [(17, None, False), (59, None, True), (1, None, True), (60, 1, True), (100, 59, False), (13, 12, False)],
)
def test_a_sample_that_would_pass_alone_through_batch_normalisation_is_refused(
    batch_size: int, micro_batch: int | None, lone: bool
) -> None:
    """Of 60 samples; parts of a batch are of about the same size."""
    config = configured(batch_size=batch_size, micro_batch=micro_batch, epochs=1)
    if not lone:
        assert train(config)
        return
    with pytest.raises(InputError, match="of 60 samples one would pass alone"):
        train(config)
    assert list(Path().iterdir()) == []
    assert train(configured(model="mlp", batch_size=batch_size, micro_batch=micro_batch, epochs=1))


# A training from its start to its end


def table(path: Path = Path("training")) -> list[dict[str, str]]:
    with (path / "epochs.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def values(path: Path) -> list[dict[str, str]]:
    """Return what two trainings that are the same have alike in their tables: all but the seconds."""
    return [{name: text for name, text in row.items() if name != "seconds"} for row in table(path)]


def assert_same(one: Any, other: Any) -> None:
    """Compare two contents of files, tensors bit by bit."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            if name not in ("seconds", "history"):
                assert_same(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


def assert_same_training(one: Path, other: Path) -> None:
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    for name in names:
        if name.endswith(".pt"):
            assert_same(*(torch.load(path / name, weights_only=True) for path in (one, other)))
    assert values(one) == values(other)


def test_a_folder_holds_checkpoints_a_table_and_the_state() -> None:
    assert train(configured(epochs=5, save_every=2, augment="crop,flip"))
    names = ["epoch_0000.pt", "epoch_0002.pt", "epoch_0004.pt", "epoch_0005.pt", "epochs.csv", "last.pt"]
    assert sorted(path.name for path in Path("training").iterdir()) == names
    assert list(Path().iterdir()) == [Path("training")]
    rows = table()
    assert list(rows[0]) == ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds"]
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2, 3, 4, 5]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    checkpoint = torch.load("training/epoch_0004.pt", weights_only=True)
    assert checkpoint["epoch"] == 4
    assert checkpoint["train_loss"] == float(rows[4]["train_loss"])
    assert checkpoint["settings"]["augment"] == ["crop", "flip"]


@pytest.mark.parametrize("name", ["epoch_0000.pt", "epoch_0003.pt", "last.pt"])
def test_checkpoints_are_read_and_hold_what_the_table_says(name: str) -> None:
    assert train(configured())
    model = models.build("users:net", {}, facts={"in_channels": 1, "num_classes": 10})
    models.load_state(model, models.read_checkpoint(Path("training") / name), source=name)
    row = table()[0 if "0000" in name else 3]
    for split in ("train", "test"):
        inputs, targets = (data.load("users:pictures", {}, splits=(split,))[split]).tensors or ()
        with torch.no_grad():
            logits = model.eval()(inputs)
        assert float(row[f"{split}_loss"]) == pytest.approx(
            float(nn.functional.cross_entropy(logits, targets)), rel=1e-5
        )
        assert float(row[f"{split}_accuracy"]) == pytest.approx(float((logits.argmax(1) == targets).double().mean()))


def test_the_same_settings_train_the_same_network_to_the_bit() -> None:
    assert train(configured(out="one"))
    torch.manual_seed(99)
    assert train(configured(out="two"))
    assert_same_training(Path("one"), Path("two"))
    assert train(configured(out="three", seed=1))
    assert values(Path("three")) != values(Path("one"))


def signal_after(monkeypatch: pytest.MonkeyPatch, updates: int) -> None:
    """Let a stop signal arrive during an update."""
    update, done = Learner.update, []

    def counted(self: Learner, *args: Any) -> None:
        done.append(1)
        if len(done) == updates:
            os.kill(os.getpid(), signal.SIGUSR1)
        update(self, *args)

    monkeypatch.setattr(Learner, "update", counted)


KINDS = {
    "sgd in steps": {"lr_steps": "1,2", "augment": "crop,flip"},
    "adam in one cycle": {"optimizer": "adam", "lr": 0.01, "schedule": "onecycle", "label_noise": 0.2},
    "cosine in parts": {"schedule": "cosine", "micro_batch": 5, "augment": "flip"},
    "bfloat16": {"precision": "bfloat16", "lr_steps": "2"},
}
EVERY_KIND = [*KINDS, *(pytest.param(f"{kind} on a GPU", marks=GPU) for kind in KINDS)]


def kind_of(name: str) -> dict[str, Any]:
    return KINDS[name.removesuffix(" on a GPU")] | ({"device": "cuda"} if name.endswith(" on a GPU") else {})


@pytest.mark.slow
@pytest.mark.parametrize("updates", [1, 6, 8, 12])
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str, updates: int
) -> None:
    """Stopped in the first update, in the middle of an epoch, after the last update of an epoch, and of all."""
    assert train(configured(out="whole", **kind_of(kind)))
    with monkeypatch.context() as patch:
        signal_after(patch, updates)
        assert not train(configured(out="stopped", **kind_of(kind)))
    epoch, done = (updates - 1) // 4 + 1, (updates - 1) % 4 + 1
    assert f"stopped by SIGUSR1 after {done} updates of epoch {epoch}" in caplog.text
    state = folder.read(Path("stopped"))
    assert (len(state.history), state.batch) == (epoch, done)
    assert train(configured(out="stopped", **kind_of(kind)))
    assert_same_training(Path("whole"), Path("stopped"))


@pytest.mark.parametrize("measurement", [1, 3])
def test_a_training_that_was_stopped_while_it_measured_loses_no_update(
    monkeypatch: pytest.MonkeyPatch, measurement: int
) -> None:
    """Before the first epoch, and after the second."""
    assert train(configured(out="whole"))
    measure, done = Learner.measure, []

    def disturbed(self: Learner, *args: Any) -> dict[str, float] | None:
        done.append(1)
        if len(done) == measurement:
            os.kill(os.getpid(), signal.SIGTERM)
        return measure(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "measure", disturbed)
        assert not train(configured(out="stopped"))
    state = folder.read(Path("stopped"))
    assert (len(state.history), state.batch) == (measurement - 1, 4 if measurement > 1 else 0)
    assert train(configured(out="stopped"))
    assert_same_training(Path("whole"), Path("stopped"))


def test_a_training_that_crashed_goes_on_from_its_last_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(configured(out="whole"))
    update, done = Learner.update, []

    def crashing(self: Learner, *args: Any) -> None:
        done.append(1)
        if len(done) == 7:
            raise RuntimeError("the node is gone")
        update(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "update", crashing)
        with pytest.raises(RuntimeError):
            train(configured(out="crashed"))
    Path(f"crashed/{writing._prefix()}{2**30}-0.partial").write_bytes(b"half a file")  # of a process that is no more
    assert len(table(Path("crashed"))) == 2
    assert train(configured(out="crashed"))
    assert_same_training(Path("whole"), Path("crashed"))


def test_a_training_that_crashed_between_its_first_files_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(configured(out="whole"))

    def crash(*args: Any, **options: Any) -> None:
        raise KeyError("the node is gone")

    with monkeypatch.context() as patch:
        patch.setattr(csv, "DictWriter", crash)
        with pytest.raises(KeyError):
            train(configured(out="crashed"))
    assert sorted(path.name for path in Path("crashed").iterdir()) == ["epoch_0000.pt", "last.pt"]
    assert train(configured(out="crashed"))
    assert_same_training(Path("whole"), Path("crashed"))


def test_a_complete_training_is_left_alone_and_can_be_lengthened(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(configured(epochs=4, out="long", lr_steps="1,3"))
    assert train(configured(epochs=2, lr_steps="1,3"))
    before = {path.name: path.read_bytes() for path in Path("training").iterdir()}
    assert train(configured(epochs=2, lr_steps="1,3"))
    assert {path.name: path.read_bytes() for path in Path("training").iterdir()} == before
    assert train(configured(epochs=4, lr_steps="1,3"))
    assert_same_training(Path("long"), Path("training"))


def test_a_network_that_diverges_ends_it_and_keeps_what_was(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(LossgridError, match=r"diverged in epoch 1 of 3.*smaller --lr than 1e\+30") as caught:
        train(configured(model="mlp", lr=1e30))
    assert caught.value.exit_code == 1
    assert sorted(path.name for path in Path("training").iterdir()) == ["epoch_0000.pt", "epochs.csv", "last.pt"]


def test_a_stopped_training_that_had_diverged_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        signal_after(patch, 3)
        assert not train(configured(model="mlp", lr=1e30))
    with pytest.raises(
        InputError, match=r"training/last\.pt holds numbers that are not finite.*did its training diverge"
    ):
        train(configured(model="mlp", lr=1e30))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lr": 0.1}, ["lr is 0.05 there and 0.1 now"]),
        ({"batch_size": 20, "seed": 2}, ["batch-size is 17 there and 20 now", "seed is 0 there and 2 now"]),
        ({"micro_batch": 4}, ["micro-batch is None there and 4 now"]),
        ({"epochs": 4, "schedule": "cosine"}, ["schedule is steps there and cosine now"]),
        ({"model": "mlp"}, ["model is users:net there and mlp now"]),
        ({"data_arg": {"count": 50}}, ["data-arg is {} there and {'count': 50} now"]),
    ],
)
def test_the_folder_of_another_training_is_refused_by_name(changes: dict[str, Any], words: list[str]) -> None:
    assert train(configured(epochs=1))
    before = {path.name: path.read_bytes() for path in Path("training").iterdir()}
    with pytest.raises(InputError, match="holds another training") as caught:
        train(configured(**changes))
    for word in words:
        assert word in str(caught.value)
    assert {path.name: path.read_bytes() for path in Path("training").iterdir()} == before


def test_where_and_how_often_may_change() -> None:
    assert train(configured(epochs=1))
    assert train(configured(epochs=2, save_every=5, device="cpu"))


def test_other_data_of_the_same_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(configured(epochs=1))
    import users

    monkeypatch.setattr(users, "pictures", lambda split: (torch.ones(60, 1, 8, 8), torch.arange(60) % 10))
    with pytest.raises(InputError, match="the data of split train differ; the data of split test differ"):
        train(configured(epochs=2))


def write_files(path: Path) -> None:
    path.mkdir()
    (path / "thesis.tex").write_text("mine")


@pytest.mark.parametrize(
    ("prepare_folder", "out", "words"),
    [
        (write_files, "training", "holds thesis.tex and no training"),
        (lambda path: path.write_text("a file"), "training", "is a file"),
        (lambda path: None, "absent/training", "absent does not exist"),
        (lambda path: None, ".", "a folder of its own"),
    ],
)
def test_folders_that_are_no_place_for_a_training_are_refused(
    prepare_folder: Callable[[Path], object], out: str, words: str
) -> None:
    prepare_folder(Path("training"))
    before = {path: path.is_file() and path.read_text() for path in Path().rglob("*")}
    with pytest.raises(InputError, match=words):
        train(configured(out=out))
    assert {path: path.is_file() and path.read_text() for path in Path().rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "resnet21"}, ["resnet21", "resnet20"]),
        ({"data": "digit"}, ["digit"]),
        ({"splits": "train,valid", "data": "digits"}, ["valid"]),
        ({"model_arg": {"num_classes": 3}}, ["classes 0..9", "scores for 3"]),
        ({"loss": "entropy"}, ["--loss", "entropy"]),
        ({"augment": "flip", "model": "mlp", "data": "users:rows"}, ["--augment flip", "(4,)"]),
        ({"label_noise": 0.5, "model": "mlp", "data": "users:numbers", "loss": "mse"}, ["--label-noise", "no classes"]),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_is_touched(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: list[str]
) -> None:
    import users

    monkeypatch.setattr(users, "rows", lambda split: (torch.ones(6, 4), torch.arange(6) % 2), raising=False)
    monkeypatch.setattr(users, "numbers", lambda split: (torch.ones(6, 4), torch.ones(6, 10)), raising=False)
    with pytest.raises(InputError) as caught:
        train(configured(**changes))
    for word in words:
        assert word in str(caught.value)
    assert list(Path().iterdir()) == []


class Dangerous:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize("content", ["cut", "text", "code", "other"])
def test_a_state_that_is_damaged_or_forged_is_refused_and_never_run(content: str) -> None:
    assert train(configured(epochs=1))
    last = Path("training/last.pt")
    if content == "cut":
        last.write_bytes(last.read_bytes()[:1000])
    elif content == "text":
        last.write_text("no state")
    elif content == "code":
        last.write_bytes(pickle.dumps(Dangerous()))
    else:
        torch.save({"state_dict": {}}, last)
    before = last.read_bytes()
    with pytest.raises(InputError, match=r"last\.pt is damaged or not of a training"):
        train(configured(epochs=1))
    assert last.read_bytes() == before
    assert not Path("harmed").exists()


def test_a_folder_in_use_is_refused() -> None:
    with locked(Path("training")), pytest.raises(InputError, match="in use by process"):
        train(configured())


def test_a_disk_that_is_full_leaves_what_was_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert train(configured(epochs=1))
    before = {path.name: path.read_bytes() for path in Path("training").iterdir()}

    def full(content: object, stream: Any) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(LossgridError, match=r"cannot write .*No space left on device; what was kept") as caught:
        train(configured(epochs=2))
    assert caught.value.exit_code == 1
    assert {path.name: path.read_bytes() for path in Path("training").iterdir()} == before


def test_a_gpu_with_too_little_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(self: Learner, *args: Any) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(Learner, "update", too_large)
    with pytest.raises(LossgridError, match=r"too little memory for 17 samples.*--micro-batch"):
        train(configured())


def test_parts_of_batches_are_announced_with_what_they_change(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert train(configured(epochs=1, micro_batch=6))
    assert "parts of at most 6: batch normalisation takes its statistics from the parts" in caplog.text


def test_another_number_of_threads_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert train(configured(epochs=1))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert train(configured(epochs=2))
    assert "begun with 1 CPU threads, now there are 2" in caplog.text


def test_more_threads_than_cores_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    threads = str(len(own_cpus()) + 1)
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert train(configured(epochs=1))
    assert caplog.text.count(f"{threads} threads share ") == 1


def test_regression_has_no_accuracies(monkeypatch: pytest.MonkeyPatch) -> None:
    import users

    def line(split: str) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = torch.linspace(-1, 1, 40)[:, None]
        return inputs, 3 * inputs - 1

    monkeypatch.setattr(users, "line", line, raising=False)
    settings = {"model": "mlp", "model_arg": {"hidden": [], "num_classes": 1}, "data": "users:line", "loss": "mse"}
    assert train(configured(**settings, epochs=60, lr=0.1, weight_decay=0, batch_size=40))
    assert list(table()[-1]) == ["epoch", "train_loss", "test_loss", "seconds"]
    assert float(table()[-1]["train_loss"]) < 1e-3
    weights = models.read_checkpoint(Path("training/epoch_0060.pt"))
    assert float(weights["layers.0.weight"]) == pytest.approx(3, abs=0.1)
    assert float(weights["layers.0.bias"]) == pytest.approx(-1, abs=0.1)
