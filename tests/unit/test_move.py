"""Which entries move: by name, by pattern, by what is trained; along every kind of direction."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import lossgrid
from lossgrid import cli, directions, store
from lossgrid.directions import Around, Choice, moving
from lossgrid.errors import InputError
from lossgrid.surface.summary import as_lines, summarise
from tests.builders import a_batch, a_network, moved_loss

REFERENCE = "tests.unit.test_move"


class Adapted(nn.Module):
    """A frozen linear layer with low-rank matrices beside it, as LoRA adds them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.base = nn.Linear(inputs, outputs).requires_grad_(False)
        self.lora_A = nn.Parameter(torch.randn(2, inputs))
        self.lora_B = nn.Parameter(torch.randn(outputs, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + x @ self.lora_A.T @ self.lora_B.T


class Tied(nn.Module):
    """An embedding whose weight is the output layer's too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.between = nn.Linear(4, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.between(self.embedding(tokens).mean(dim=1))))


def adapted() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Adapted(6, 5), nn.ReLU(), nn.Linear(5, 3))


def from_command_line(in_features: int, num_classes: int) -> nn.Module:
    torch.manual_seed(4)
    return nn.Sequential(nn.Flatten(), Adapted(in_features, 5), nn.ReLU(), nn.Linear(5, num_classes))


def samples() -> tuple[torch.Tensor, torch.Tensor]:
    return a_batch(30, 6, classes=3)


def line(model: nn.Module, **how: Any) -> lossgrid.Surface:
    return lossgrid.evaluate(model, samples(), alpha=(-1, 1, 3), precision="float64", **how)


def random_delta(model: nn.Module, **how: Any) -> dict[str, torch.Tensor]:
    theta = directions.parameters(model)
    return directions.normalise(directions.gaussian(theta, seed=0, axis=0, **how), theta, "filter")


@pytest.mark.parametrize(
    ("how", "moved"),
    [
        ({"move": "*lora_*"}, ["0.lora_A", "0.lora_B"]),
        ({"move": ["0.lora_A", "2.*"]}, ["0.lora_A", "2.weight"]),
        ({"freeze": "0.base.*"}, ["0.lora_A", "0.lora_B", "2.weight"]),
        ({"move": "0.*", "freeze": ["*_A", "*.bias"]}, ["0.lora_B", "0.base.weight"]),
        ({"trainable_only": True}, ["0.lora_A", "0.lora_B", "2.weight"]),
        ({"trainable_only": True, "freeze": "2.*"}, ["0.lora_A", "0.lora_B"]),
        ({"move": "*.bias", "perturb_bias_and_norm": True}, ["0.base.bias", "2.bias"]),
    ],
)
def test_the_chosen_entries_move_as_they_do_with_all_others(how: dict[str, Any], moved: list[str]) -> None:
    model = adapted()
    surface = line(model, **how)
    assert surface.origin.moved is not None
    assert surface.origin.moved.names == moved
    assert surface.origin.moved.entries == len(moved)
    own = dict(model.named_parameters())
    assert surface.origin.moved.numbers == sum(own[name].numel() for name in moved)
    everything = random_delta(model, perturb_bias_and_norm=True)
    expected = [moved_loss(model, samples(), {name: everything[name] for name in moved}, alpha) for alpha in (-1, 0, 1)]
    np.testing.assert_allclose(surface["train_loss"], expected, rtol=1e-12)


@pytest.mark.parametrize("version", [1, 2])
def test_numbers_of_the_chosen_are_those_they_have_among_all_to_the_bit(version: int) -> None:
    theta = directions.parameters(adapted())
    whole = directions.gaussian(theta, seed=5, axis=1, version=version)
    part = directions.gaussian(theta, seed=5, axis=1, version=version, moves={"2.weight", "0.lora_B"})
    assert list(part) == ["0.lora_B", "2.weight"]
    assert all(torch.equal(part[name], whole[name]) for name in part)


def test_choosing_all_is_choosing_nothing() -> None:
    chosen, plain = line(adapted(), move="*"), line(adapted())
    assert chosen.origin.digests == plain.origin.digests
    np.testing.assert_array_equal(chosen["train_loss"], plain["train_loss"])


def test_the_adapter_in_the_merged_weights_is_another_surface() -> None:
    """Axes in A and B change the product B A, axes in the merged weights all of these."""
    model = adapted()
    merged = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), copy.deepcopy(model[2]))
    with torch.no_grad():
        merged[0].weight.copy_(model[0].base.weight + model[0].lora_B @ model[0].lora_A)
        merged[0].bias.copy_(model[0].base.bias)
    adapter, whole = line(model, move="*lora_*"), line(merged, move="0.weight")
    assert adapter["train_loss"][1] == pytest.approx(whole["train_loss"][1], rel=1e-6)
    assert abs(adapter["train_loss"] / whole["train_loss"] - 1).max() > 0.01


@pytest.mark.parametrize("name", ["embedding.weight", "head.weight", "head.*"])
def test_shared_weights_move_by_any_of_their_names(name: str) -> None:
    torch.manual_seed(1)
    model = Tied()
    assert moving(model, Choice(move=[name])) == {"embedding.weight", "head.weight"}
    assert moving(model, Choice(freeze=[name])) == {"between.weight", "between.bias"}
    tokens = torch.randint(0, 7, (20, 3)), torch.arange(20) % 7
    surface = lossgrid.evaluate(model, tokens, alpha=(-1, 1, 3), move=name)
    other = lossgrid.evaluate(model, tokens, alpha=(-1, 1, 3), move="embedding.weight")
    np.testing.assert_array_equal(surface["train_loss"], other["train_loss"])
    assert surface.origin.moved is not None
    assert surface.origin.moved.names == ["embedding.weight"]


def test_only_the_chosen_entries_lead_to_another_network(caplog: pytest.LogCaptureFixture) -> None:
    start, end = adapted(), adapted()
    with torch.no_grad():
        for entry in end.parameters():
            entry.add_(0.3)
    caplog.set_level("INFO", logger="lossgrid")
    surface = line(start, to=end, freeze="2.*")
    delta = {n: e.detach().double() - dict(start.named_parameters())[n].detach().double()
             for n, e in end.named_parameters() if not n.startswith("2.")}  # fmt: skip
    expected = [moved_loss(start, samples(), delta, alpha) for alpha in (-1, 0, 1)]
    np.testing.assert_allclose(surface["train_loss"], expected, rtol=1e-12)
    assert "4 of 6 entries lead to to[0]; all others stay as in the trained network" in caplog.text


def test_statistics_move_along_to_where_their_names_are_chosen() -> None:
    start, end = a_network(statistics=True), a_network(statistics=True, seed=1)
    data = a_batch(12, 2, 3, 3, classes=4)
    for pattern, moved in (("1.*", ["1.weight", "1.bias", "1.running_mean", "1.running_var"]), ("1.*_mean", None)):
        surface = lossgrid.evaluate(start, data, alpha=(0, 1, 2), to=end, move=pattern)
        assert surface.origin.moved is not None
        assert surface.origin.moved.names == (["1.running_mean"] if moved is None else moved)


def test_the_second_axis_is_of_the_chosen_entries_too() -> None:
    start, end = adapted(), adapted()
    with torch.no_grad():
        end[0].lora_A.add_(0.3)
    plane = lossgrid.evaluate(start, samples(), alpha=(0, 1, 2), beta=(0, 1, 2), to=end, move="*lora_*")
    assert plane.origin.moved is not None
    assert plane.origin.moved.names == ["0.lora_A", "0.lora_B"]


def ones(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    return [{name: torch.ones_like(entry) for name, entry in around.parameters().items()}] * axes


def ones_and_zeros(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    assert around.moves is not None
    every = directions.parameters(around.model)
    return [{name: torch.full_like(entry, float(name in around.moves)) for name, entry in every.items()}] * axes


def all_ones(around: Around, axes: int) -> list[dict[str, torch.Tensor]]:
    return [{name: torch.ones_like(entry) for name, entry in around.model.named_parameters()}] * axes


@pytest.mark.parametrize("source", [ones, ones_and_zeros])
def test_functions_are_told_which_entries_move(source: Callable[..., Any]) -> None:
    model = adapted()
    surface = line(model, move="*lora_*", directions=source)
    delta = {name: torch.ones_like(entry) for name, entry in model.named_parameters() if "lora" in name}
    np.testing.assert_allclose(
        surface["train_loss"], [moved_loss(model, samples(), delta, a) for a in (-1, 0, 1)], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"move": "lora_A"}, "move: no entry of the network matches 'lora_A'; did you mean '*lora_A'?"),
        ({"freeze": "0.bas"}, "freeze: no entry of the network matches '0.bas'; did you mean '0.bas*'?"),
        ({"move": "0.lora_C"}, "did you mean 0.lora_B or 0.lora_A?"),
        ({"move": "zzz"}, "its entries are 0.lora_A, 0.lora_B, 0.base.weight, 0.base.bias and 2 more"),
        ({"move": ["2.*", "0.LORA_A"]}, "matches '0.LORA_A'"),
        ({"freeze": "*"}, "freeze leaves none of the 6 entries of the network to move"),
        ({"move": "2.*", "freeze": "*.weight"}, "have no tensors of two or more dimensions; give perturb_bias"),
        ({"move": "0.base.*", "trainable_only": True}, "move and trainable_only=True leave none of the 6 entries"),
        ({"move": "*lora_*", "directions": [{"0.lora_A": torch.ones(2, 6)}]}, "which name the entries that they move"),
        ({"move": "*lora_*", "directions": all_ones}, "moves 0.base.weight, 0.base.bias, 2.weight, 2.bias, which move"),
        ({"move": "*lora_*", "directions": "some.h5"}, "move is for random directions, and those towards to"),
        ({"trainable_only": True, "directions": "some.h5"}, "trainable_only=True is for random directions"),
        ({"move": ""}, "move"),
        ({"move": "x" * 201}, "move"),
        ({"move": 3}, "move"),
    ],
)
def test_what_cannot_be_chosen_is_one_line(how: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        line(adapted(), **how)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_networks_that_differ_elsewhere_only_are_refused() -> None:
    start, end = adapted(), adapted()
    with torch.no_grad():
        end[0].base.weight.add_(1)
    with pytest.raises(InputError, match="differs from the trained network in none of the 2 entries that move"):
        line(start, to=end, move="*lora_*")


def test_frozen_networks_have_nothing_that_is_trained() -> None:
    with pytest.raises(InputError, match="requires_grad is False for all of them"):
        line(adapted().requires_grad_(False), trainable_only=True)


def run(*options: str, verb: str = "run") -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--model", f"{REFERENCE}:from_command_line", *options])
    return int(ended.value.code or 0)


SHORT = ("--max-samples", "40", "--alpha", "0:1:2")


def test_the_file_and_status_tell_what_moves(tmp_path: Path) -> None:
    out = tmp_path / "s.h5"
    assert run(*SHORT, "--move", "*lora_*", "--out", str(out)) == 0
    with h5py.File(out) as file:
        told = json.loads(file.attrs["provenance"])["moved"]
        assert json.loads(file.attrs["config"])["move"] == ["*lora_*"]
    assert told == {"entries": 2, "numbers": 2 * 64 + 5 * 2, "names": ["1.lora_A", "1.lora_B"]}
    summary = summarise(store.read(out))
    assert "2 entries with 138 numbers move: 1.lora_A, 1.lora_B" in as_lines(summary)
    assert summary["moved"] == {**told, "chosen": True}
    assert run(*SHORT, "--out", str(tmp_path / "all.h5")) == 0
    assert not any("numbers move" in text for text in as_lines(summarise(store.read(tmp_path / "all.h5"))))


def test_many_entries_are_counted_and_the_first_are_named() -> None:
    model = nn.Sequential(*[layer for _ in range(150) for layer in (nn.Linear(3, 3), nn.Tanh())])
    data = (torch.randn(4, 3), torch.arange(4) % 3)
    surface = lossgrid.evaluate(model, data, alpha=(0, 1, 2), move="*", perturb_bias_and_norm=True)
    assert surface.origin.moved is not None
    assert (surface.origin.moved.entries, len(surface.origin.moved.names or ())) == (300, 200)
    assert "300 entries with 1800 numbers move: 0.weight, 0.bias, 2.weight, 2.bias and 296 more" in as_lines(
        summarise(surface)
    )


def test_another_choice_is_another_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = ("--out", str(tmp_path / "s.h5"))
    assert run(*SHORT, "--move", "*lora_*", "--move", "3.*", *out) == 0
    assert run(*SHORT, "--move", "3.*", "--move", "*lora_*", *out) == 0  # in another order, the same
    before = (tmp_path / "s.h5").read_bytes()
    capfd.readouterr()
    for options, words in (
        ((), "move is ['*lora_*', '3.*'] there and [] now"),
        (("--move", "*lora_*"), "move is ['*lora_*', '3.*'] there and ['*lora_*'] now"),
        (("--move", "*lora_*", "--move", "3.*", "--trainable-only"), "trainable-only is False there and True now"),
    ):
        assert run(*SHORT, *options, *out) == 2
        assert words in capfd.readouterr().err
    assert (tmp_path / "s.h5").read_bytes() == before


def test_settings_of_a_file_choose_the_same_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, again = tmp_path / "s.h5", tmp_path / "again.h5"
    function = ("--directions", f"{REFERENCE}:ones")
    for more in ((), function):
        assert run(*SHORT, "--freeze", "*base*", "--trainable-only", *more, "--out", str(first), "--overwrite") == 0
        capfd.readouterr()
        with pytest.raises(SystemExit):
            cli.main(["status", "--config", str(first)])
        (tmp_path / "c.toml").write_text(capfd.readouterr().out)
        with pytest.raises(SystemExit) as ended:
            cli.main(["run", "--config", str(tmp_path / "c.toml"), "--out", str(again), "--overwrite"])
        assert not ended.value.code
        one, two = store.read(first), store.read(again)
        assert one.origin.moved == two.origin.moved
        np.testing.assert_array_equal(one["train_loss"], two["train_loss"])


def test_direction_files_of_the_chosen_entries(tmp_path: Path) -> None:
    file, ours, theirs = (tmp_path / name for name in ("d.h5", "a.h5", "b.h5"))
    assert run("--trainable-only", "--freeze", "3.*", "--out", str(file), verb="directions") == 0
    (delta, _) = store.read_directions(file)
    assert delta.names == ["1.lora_A", "1.lora_B"]
    with h5py.File(file) as stored:
        assert json.loads(stored.attrs["lossgrid"])["freeze"] == ["3.*"]
        assert len(stored["xdirection"]) == 6  # the reference tool reads by number
    assert run(*SHORT, "--directions", str(file), "--out", str(ours)) == 0
    assert run(*SHORT, "--move", "*lora_*", "--out", str(theirs)) == 0
    np.testing.assert_array_equal(store.read(ours)["train_loss"], store.read(theirs)["train_loss"])
    assert run(*SHORT, "--move", "*lora_*", "--directions", str(file), "--out", str(tmp_path / "c.h5")) == 2


def test_the_network_that_is_given_keeps_its_flags() -> None:
    model = adapted()
    line(model, trainable_only=True)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["0.base.weight", "0.base.bias"]
