"""Networks with several inputs, by name and by position: whole runs against slow references in float64."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid import cli, store
from lossgrid.errors import InputError
from lossgrid.evaluation.graph import trace
from lossgrid.surface import PENDING
from tests.conftest import ROOT
from tests.programs.several import Reader, Rows, Seer, scenes, texts, weighted

pytestmark = pytest.mark.beside

Entries = Mapping[str, torch.Tensor]


@pytest.fixture(autouse=True)
def small_layers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fuse also layers that are too small for it to pay: the tests' are."""
    monkeypatch.setattr("lossgrid.evaluation.libraries.LEAST_WEIGHTS", 0)


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossgrid.data.batches._memory_left", lambda device: 1.0)


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    return kind()


def directions_of(model: nn.Module) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(8)
    return [
        {name: 0.3 * torch.randn(entry.shape, generator=generator) for name, entry in model.named_parameters()}
        for _ in range(2)
    ]


def moved(model: nn.Module, given: list[dict[str, torch.Tensor]], alpha: float, beta: float) -> nn.Module:
    """Return the network at a point, in float64, its parameters set one by one."""
    there = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for name, entry in there.named_parameters():
            entry += alpha * given[0][name].double() + beta * given[1][name].double()
    return there


def of_texts(model: nn.Module, inputs: Any, labels: torch.Tensor) -> tuple[float, float]:
    """Return mean loss and accuracy, text by text, without padding."""
    losses, right = [], 0
    for ids, mask, label in zip(inputs["input_ids"], inputs["attention_mask"], labels, strict=True):
        own = ids[mask][None]
        with torch.no_grad():
            scores = model(own, torch.ones_like(own))
        losses.append(float(F.cross_entropy(scores, label[None])))
        right += int(scores.argmax()) == int(label)
    return float(np.mean(losses)), right / len(labels)


def of_scenes(model: nn.Module, inputs: Any, targets: Any) -> float:
    """Return the weighted mean of the squared errors, scene by scene."""
    total = weight = 0.0
    for i in range(len(targets["value"])):
        if targets["counts"][i]:
            with torch.no_grad():
                output = model(inputs[0][i : i + 1].double(), inputs[1][i : i + 1].double())
            total += float(targets["weight"][i]) * (float(output) - float(targets["value"][i])) ** 2
            weight += float(targets["weight"][i])
    return total / weight


def evaluate(model: nn.Module, data: Any, **more: Any) -> lossgrid.Surface:
    settings = {"alpha": (-1, 1, 3), "beta": (0, 1, 2), "batch_size": 8, **more}
    return lossgrid.evaluate(model, data, directions=directions_of(model), **settings)


@pytest.mark.parametrize(
    ("variant", "precision"),
    [("plain", "float64"), ("folded", "float64"), ("plain", "float32"), ("folded", "float32"), ("fused", "float32")],
)
def test_a_network_with_named_inputs(variant: str, precision: str) -> None:
    model, (inputs, labels) = made(Reader), texts("train")
    surface = evaluate(model, (inputs, labels), variant=variant, precision=precision)
    expected = np.array(
        [[of_texts(moved(model, directions_of(model), a, b), inputs, labels) for a in (-1, 0, 1)] for b in (0, 1)]
    )
    near = 1e-12 if precision == "float64" else 1e-5
    np.testing.assert_allclose(surface["train_loss"], expected[..., 0], rtol=near)
    np.testing.assert_allclose(surface["train_accuracy"], expected[..., 1], rtol=1e-12)


@pytest.mark.parametrize("variant", ["plain", "folded"])
def test_a_network_with_inputs_by_position_and_targets_of_several_tensors(variant: str) -> None:
    model, (inputs, targets) = made(Seer), scenes("train")
    surface = evaluate(model, (inputs, targets), variant=variant, precision="float64", loss=weighted)
    expected = [
        [of_scenes(moved(model, directions_of(model), a, b), inputs, targets) for a in (-1, 0, 1)] for b in (0, 1)
    ]
    np.testing.assert_allclose(surface["train_loss"], expected, rtol=1e-6)  # the samples are of float32
    assert set(surface.quantities) == {"train_loss"}


@pytest.mark.parametrize("kind", ["tensors", "one by one"])
def test_streamed_batches_have_the_values_of_resident_ones(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model, (inputs, labels) = made(Reader), texts("train")
    resident = evaluate(model, (inputs, labels), metrics=["top2"])
    given = (inputs, labels) if kind == "tensors" else Rows(inputs, labels)
    monkeypatch.setattr("lossgrid.data.batches._memory_left", lambda device: 1.0)
    streamed = evaluate(model, given, metrics=["top2"])
    for name in resident.quantities:
        np.testing.assert_array_equal(streamed[name], resident[name])


def test_pictures_beside_numbers_are_streamed_alike(streamed: None) -> None:
    model, (inputs, targets) = made(Seer), scenes("train")
    surface = evaluate(model, Rows(inputs, targets["value"]), loss="mse", precision="float64")
    at_zero = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        errors = [
            (float(at_zero(x[None].double(), y[None].double())) - float(value)) ** 2
            for x, y, value in zip(*inputs, targets["value"], strict=True)
        ]
    assert surface["train_loss"][0, 1] == pytest.approx(np.mean(errors), rel=1e-6)


class Nested(nn.Module):
    """Takes a tree of two levels, which torch.fx is not asked to follow."""

    def __init__(self) -> None:
        super().__init__()
        self.seer = Seer()

    def forward(self, scene: dict[str, torch.Tensor], scale: torch.Tensor) -> torch.Tensor:
        return self.seer(scene["picture"], scene["numbers"]) * scale[:, None]


def test_a_network_that_cannot_be_followed_runs_plainly(caplog: pytest.LogCaptureFixture) -> None:
    model, ((pictures, numbers), targets) = made(Nested), scenes("train")
    inputs = {"scene": {"picture": pictures, "numbers": numbers}, "scale": torch.full((30,), 2.0)}
    with caplog.at_level("INFO"):
        surface = evaluate(model, (inputs, targets["value"]), loss="mse", precision="float64")
    assert "torch.fx cannot follow the network (its inputs are trees of several levels)" in caplog.text
    with torch.no_grad():
        outputs = 2 * copy.deepcopy(model).seer.double().eval()(pictures.double(), numbers.double())[:, 0]
    expected = float((outputs - targets["value"]).square().mean())
    assert surface["train_loss"][0, 1] == pytest.approx(expected, rel=1e-6)


def test_a_metric_of_a_user_gets_the_tree_of_targets() -> None:
    class Counted:
        """As metrics of torchmetrics are."""

        def reset(self) -> None:
            self.found = 0

        def update(self, outputs: torch.Tensor, targets: dict[str, torch.Tensor]) -> None:
            self.found += int(targets["counts"].sum())

        def compute(self) -> float:
            return float(self.found)

    inputs, targets = scenes("train")
    surface = evaluate(made(Seer), (inputs, targets), loss=weighted, metrics={"counted": Counted()})
    np.testing.assert_array_equal(surface["train_counted"], int(targets["counts"].sum()))


def test_built_in_losses_and_metrics_ask_for_one_tensor_of_targets() -> None:
    inputs, targets = scenes("train")
    with pytest.raises(
        InputError, match=r"loss mse needs one tensor of targets, split 'train' has targets\['counts'\]"
    ):
        evaluate(made(Seer), (inputs, targets), loss="mse")
    with pytest.raises(InputError, match="top2 is of classes, and split 'train' has none"):
        evaluate(made(Seer), (inputs, targets), loss=weighted, metrics=["top2"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with the checkpoint of a reader of texts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "programs"))
    torch.save(made(Reader).state_dict(), "reader.pt")
    torch.save(made(Seer).state_dict(), "seer.pt")
    return tmp_path


def run(*arguments: str, verb: str = "run") -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, *arguments])
    return int(ended.value.code or 0)


READER = ("--model", "several:Reader", "--checkpoint", "reader.pt", "--alpha", "-1:1:3", "--precision", "float64")


@pytest.mark.parametrize("function", ["texts", "texts_one_by_one"])
def test_named_inputs_from_the_command_line(folder: Path, function: str) -> None:
    assert run(*READER, "--data", f"several:{function}", "--splits", "train,test", "--out", "s.h5") == 0
    surface = store.read(Path("s.h5"))
    for split in ("train", "test"):
        loss, accuracy = of_texts(made(Reader).double().eval(), *texts(split))
        assert surface[f"{split}_loss"][1] == pytest.approx(loss, rel=1e-12)
        assert surface[f"{split}_accuracy"][1] == accuracy


def test_inputs_by_position_from_the_command_line(folder: Path) -> None:
    model = ("--model", "several:Seer", "--checkpoint", "seer.pt", "--alpha", "-1:1:3", "--precision", "float64")
    assert run(*model, "--data", "several:scenes", "--loss", "several:weighted", "--out", "s.h5") == 0
    expected = of_scenes(made(Seer).double().eval(), *scenes("train"))
    assert store.read(Path("s.h5"))["train_loss"][1] == pytest.approx(expected, rel=1e-6)


def test_a_run_with_named_inputs_goes_on_to_the_same_bits(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = (*READER, "--data", "several:texts", "--out", "s.h5")
    assert run(*command) == 0
    whole = store.read(Path("s.h5"))["train_loss"]
    with h5py.File("s.h5", "r+") as file:
        file["status"][::2] = PENDING
        file["train_loss"][::2] = np.nan
        file.attrs["complete"] = 0
    assert run(*command) == 0
    np.testing.assert_array_equal(store.read(Path("s.h5"))["train_loss"], whole)
    capfd.readouterr()
    assert run(*command, "--data-arg", "kind=other") == 2
    assert run(*command, "--max-samples", "30") == 2
    said = capfd.readouterr().err
    assert "data-arg is {} there and {'kind': 'other'} now" in said
    assert "Traceback" not in said


def test_another_mask_is_other_data(tmp_path: Path) -> None:
    model, (inputs, labels) = made(Reader), texts("train")
    evaluate(model, (inputs, labels), out=tmp_path / "s.h5")
    other = inputs | {"attention_mask": torch.ones_like(inputs["attention_mask"])}
    with pytest.raises(InputError, match="holds another run: the data of split train differ"):
        evaluate(model, (other, labels), out=tmp_path / "s.h5")
    evaluate(model, (dict(reversed(inputs.items())), labels), out=tmp_path / "s.h5")  # the order of names is none


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("shorter", "got inputs {'attention_mask': (36, 5), 'input_ids': (37, 5)} and targets (37,)"),
        ("nan", "inputs['attention_mask'] holds numbers that are not finite"),
        ("words", "inputs['attention_mask']: expected tensors or arrays of numbers, got a list: type <U3 is none"),
        ("nothing", "inputs['attention_mask']: expected tensors or arrays of numbers, got a NoneType"),
        ("misnamed", "on inputs of shape {'input_ids': (37, 5), 'mask': (37, 5)} raised TypeError"),
        ("labelled", "--loss cross_entropy needs one tensor of targets, split 'train' has targets['label']; give your"),
    ],
)
def test_trees_that_cannot_work_are_one_line_before_any_work(
    folder: Path, kind: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(*READER, "--data", "several:texts", "--data-arg", f"kind={kind}", "--out", "s.h5") == 2
    said = capfd.readouterr().err
    assert words in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not Path("s.h5").exists()


def test_training_takes_plain_pairs(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "several:Reader", "--data", "several:texts", "--out", "t", verb="train") == 2
    said = capfd.readouterr().err.splitlines()
    assert "lossgrid train takes one tensor of inputs and one of targets, split 'train' has inputs['att" in said[-1]
    assert not any(path.suffix == ".pt" for path in (folder / "t").glob("*"))


def test_the_reader_of_texts_is_folded_and_keeps_its_defaults() -> None:
    model = made(Reader).eval()
    graph = trace(model, texts("train")[0])
    names = [node.target for node in graph.graph.nodes if node.op == "placeholder"]
    assert names == ["input_ids", "attention_mask"]
    inputs = texts("test", count=4)[0]
    assert torch.equal(graph(**inputs), model(**inputs))
