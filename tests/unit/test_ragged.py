"""Samples of different length, which a collate function makes batches of: values against loops in float64."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

import lossgrid
from lossgrid import data
from lossgrid.data import batches, split_of
from lossgrid.data.batches import Collated, Stream
from lossgrid.errors import InputError
from lossgrid.training.preparation import refuse_several
from tests.conftest import ROOT
from tests.programs import several
from tests.programs.ragged import (
    TEXTS,
    Reader,
    Tagger,
    Texts,
    Unmasked,
    as_mapping,
    counted,
    loss_of,
    loss_of_words,
    packed,
    padded,
    rows,
    tagged,
    trained,
)

CPU = torch.device("cpu")


def batches_of(given: Any, size: int = 8, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    split = split_of(given, source="mine", **changes)
    return data.to_device(split, device=CPU, dtype=dtype, batch_size=size, channels_last=False)


def moved(model: nn.Module, delta: dict[str, torch.Tensor], alpha: float) -> nn.Module:
    there = copy.deepcopy(model).double()
    with torch.no_grad():
        for name, entry in there.named_parameters():
            entry += alpha * delta[name].double()
    return there


def direction_of(model: nn.Module) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    return {name: 0.3 * torch.randn(entry.shape, generator=generator) for name, entry in model.named_parameters()}


def evaluate(model: nn.Module, given: Any, **more: Any) -> lossgrid.Surface:
    return lossgrid.evaluate(model, given, alpha=(-1, 1, 3), directions=[direction_of(model)], **more)


GIVEN: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "list": lambda: (rows(), {"collate_fn": padded}),
    "dataset": lambda: (Texts(), {"collate_fn": padded}),
    "loader": lambda: (DataLoader(Texts(), batch_size=4, collate_fn=padded), {}),
    "mapping": lambda: (Texts(), {"collate_fn": as_mapping}),
    "generator": lambda: ((row for row in rows()), {"collate_fn": padded, "max_samples": TEXTS}),
    "lists in memory": lambda: (
        ([row["input_ids"] for row in rows()], [row["label"] for row in rows()]),
        {"collate_fn": lambda pairs: padded([{"input_ids": ids, "label": label} for ids, label in pairs])},
    ),
    "dict of lists": lambda: (
        {"input_ids": [row["input_ids"].tolist() for row in rows()], "label": [row["label"] for row in rows()]},
        {"collate_fn": lambda found: padded([one | {"input_ids": torch.tensor(one["input_ids"])} for one in found])},
    ),
}


@pytest.mark.parametrize("kind", GIVEN)
@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-6), ("float64", 1e-12)])
def test_padded_batches_have_the_loss_of_a_slow_loop(kind: str, precision: str, near: float) -> None:
    model = trained()
    given, more = GIVEN[kind]()
    surface = evaluate(model, given, precision=precision, **more)
    expected = np.array([loss_of(moved(model, direction_of(model), alpha), rows()) for alpha in (-1, 0, 1)])
    np.testing.assert_allclose(surface["train_loss"], expected[:, 0], rtol=near)
    np.testing.assert_allclose(surface["train_accuracy"], expected[:, 1], rtol=1e-12)


def test_batches_of_any_size_and_streamed_ones_have_the_same_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained()
    sizes = [
        evaluate(model, Texts(), collate_fn=padded, batch_size=size, precision="float64")["train_loss"]
        for size in (1, 7, 150, 400)
    ]
    monkeypatch.setattr(batches, "_memory_left", lambda device: 1.0)
    sizes.append(evaluate(model, Texts(), collate_fn=padded, batch_size=7, precision="float64")["train_loss"])
    for found in sizes:
        np.testing.assert_allclose(found, sizes[0], rtol=1e-12)
    np.testing.assert_array_equal(sizes[-1], sizes[1])  # streamed and kept: the same bits


def test_the_batches_are_kept_as_they_are_and_made_anew_for_another_size() -> None:
    found = batches_of(Texts(), collate=padded)
    assert isinstance(found, Collated)
    assert [batch.inputs["input_ids"].shape[1] for batch in found][:2] == [6, 6]
    assert [batch.samples for batch in batches_of(Texts(), 64, collate=padded)] == [64, 64, 22]
    again = found.rebatched(2)
    assert [tuple(batch.inputs["input_ids"].shape) for batch in again][:3] == [(2, 3), (2, 5), (2, 6)]
    assert (again.batch_size, again.samples, len(again.batches)) == (2, TEXTS, 75)
    assert found.rebatched(8).batches is found.batches
    wide = batches_of(Texts(), 200, collate=padded)
    assert wide.rebatched(150).batches is wide.batches
    assert wide.rebatched(150).batch_size == 150
    assert tuple(found.first(3).inputs["input_ids"].shape) == (3, 4)
    assert [batch.samples for batch in found.ends()] == [8, 6]
    given = next(iter(again)).given
    assert sorted(given) == ["attention_mask", "input_ids", "labels"]
    assert given["labels"].tolist() == [0, 1]


def test_few_ragged_samples_are_spread() -> None:
    found = batches_of(Texts(), collate=padded, max_samples=10)
    labels = torch.cat([batch.targets for batch in found])
    assert len(labels) == found.samples == 10
    expected = loss_of(trained(), [rows()[i] for i in data.split.spread(TEXTS, 10)])[0]
    surface = evaluate(trained(), Texts(), collate_fn=padded, max_samples=10)
    assert surface["train_loss"][1] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("collate", "loss"), [(tagged, counted), (packed, counted)])
def test_words_that_count_are_summed_over_batches_of_any_form(collate: Any, loss: Any) -> None:
    model = trained(Tagger)
    surface = evaluate(model, Texts(), collate_fn=collate, loss=loss)
    expected = [loss_of_words(moved(model, direction_of(model), alpha), rows()) for alpha in (-1, 0, 1)]
    np.testing.assert_allclose(surface["train_loss"], expected, rtol=1e-6)
    assert set(surface.quantities) == {"train_loss"}


def test_the_built_in_loss_ignores_the_labels_of_padding() -> None:
    model = trained(Tagger)
    arguments = {"ignore_index": -100, "class_dim": -1}
    surface = evaluate(model, Texts(), collate_fn=tagged, loss_args=arguments)
    assert surface["train_loss"][1] == pytest.approx(loss_of_words(model, rows()), rel=1e-6)


def steps_first(samples: list[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    return pad_sequence([sample["input_ids"] for sample in samples]), torch.tensor([one["label"] for one in samples])


class StepsFirst(nn.Module):
    """Takes words (T, n); padding is word 0, which counts nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(13, 3, padding_idx=0)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.words(ids).sum(dim=0)


def test_inputs_may_have_their_samples_in_another_dimension() -> None:
    model = trained(StepsFirst)
    surface = evaluate(model, Texts(), collate_fn=steps_first)
    scores = [model.words.weight.double()[sample["input_ids"]].sum(dim=0) for sample in rows()]
    labels = torch.tensor([sample["label"] for sample in rows()])
    expected = F.cross_entropy(torch.stack(scores), labels).item()
    assert surface["train_loss"][1] == pytest.approx(expected, rel=1e-6)


def test_padding_that_counts_belongs_to_the_batch_size() -> None:
    model = trained(Unmasked)
    with pytest.raises(InputError, match=r"depend on its batch.* or padding without a mask.* give batch_size N"):
        evaluate(model, Texts(), collate_fn=padded)
    one = evaluate(model, Texts(), collate_fn=padded, batch_size=1, precision="float64")["train_loss"][1]
    assert one == pytest.approx(loss_of(model, rows())[0], rel=1e-12)


@pytest.mark.parametrize("batch_size", ["auto", 1])
@pytest.mark.parametrize("change", [1, 80])
@pytest.mark.parametrize("streamed", [True, False])
def test_samples_that_do_not_stack_are_one_line(
    batch_size: Any, change: int, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if streamed:
        monkeypatch.setattr(batches, "_memory_left", lambda device: 1.0)
    samples = [(torch.ones(3 + i // change), i % 2) for i in range(2 * change)]
    line = rf"of different shape: \(3,\) and \(4,\) \(sample {change}\); pad them, or give collate_fn"
    with pytest.raises(InputError, match=line) as caught:
        evaluate(nn.Linear(3, 2), list(samples) * 2, batch_size=batch_size)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=line):
        evaluate(nn.Linear(3, 2), (one for one in samples), batch_size=batch_size, max_samples=2 * change)


@pytest.mark.parametrize(
    "given",
    [([torch.ones(3), torch.ones(4), torch.ones(3)], [0, 1, 0]), {"ids": [[1, 2], [1, 2, 3]], "labels": [0, 1]}],
    ids=["list", "lists of lists"],
)
def test_lists_that_do_not_stack_ask_for_a_collate_function(given: Any) -> None:
    with pytest.raises(
        InputError, match=r"(of different shape: \(3,\) and \(4,\)|differ in length); pad them, or give"
    ):
        split_of(given, source="mine")


class Graph:
    """An object that libraries of graphs make of a batch."""


@pytest.mark.parametrize(
    ("collate", "words"),
    [
        (lambda samples: Graph(), "expected tensors, arrays or numbers.* got Graph as a batch of 8 samples from 0"),
        (lambda samples: padded(samples) | {"graph": Graph()}, r"inputs\['graph'\]: expected .* got a Graph"),
        (lambda samples: padded(samples) | {"text": ["a"]}, r"inputs\['text'\]: expected .* type <U1 is none"),
        (lambda samples: (), "got no tensors in a batch of 8 samples from 0"),
        (lambda samples: torch.rand(len(samples), 3), "gives other values each time the same 8 samples are read"),
        (lambda samples: samples[99], r"the collate function <lambda> on a batch of 8 .* raised IndexError"),
        (lambda samples: (torch.full((len(samples), 2), torch.nan), torch.arange(len(samples))), "not finite"),
        (lambda samples: {"ids": torch.ones(len(samples), 2)}, r"have none: they are inputs\['ids'\]; give pairs"),
    ],
)
def test_batches_that_cannot_be_used_are_one_line(collate: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        evaluate(trained(), Texts(), collate_fn=collate)
    assert "\n" not in str(caught.value)


def test_other_rows_than_samples_ask_for_total_and_weight() -> None:
    def by_word(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(outputs, targets, ignore_index=-100, reduction="none")

    words = r"outputs of shape \(\d+, 3\) and targets \(\d+,\) for 128 samples .* returns the pair \(total, weight\)"
    for loss in ("cross_entropy", by_word):
        with pytest.raises(InputError, match=words):
            evaluate(trained(Tagger), Texts(), collate_fn=packed, loss=loss)


def test_a_later_batch_that_fails_is_an_error_before_the_work(tmp_path: Path) -> None:
    def breaks(samples: list[dict[str, Any]]) -> Any:
        if any(sample is rows_there[140] for sample in samples) and len(samples) > 8:
            raise ValueError("no")
        return padded(samples)

    rows_there = rows()
    with pytest.raises(InputError, match="on a batch of 22 samples from 128 raised ValueError: no"):
        evaluate(trained(), rows_there, collate_fn=breaks, out=tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()


def test_other_texts_are_other_data(tmp_path: Path) -> None:
    model, out = trained(), tmp_path / "s.h5"
    first = evaluate(model, Texts(), collate_fn=padded, out=out)
    again = evaluate(model, DataLoader(Texts(), collate_fn=padded), out=out)
    np.testing.assert_array_equal(again["train_loss"], first["train_loss"])
    other = rows()
    other[3]["input_ids"] = (other[3]["input_ids"] + 1) % 13
    with pytest.raises(InputError, match="holds another run: the data of split train differ"):
        evaluate(model, other, collate_fn=padded, out=out)


def test_batches_that_do_not_fit_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_memory_left", lambda device: 1.0)
    found = batches_of(Texts(), collate=padded)
    assert isinstance(found, Stream)
    assert sum(batch.samples for batch in found) == TEXTS
    assert found.at([0, 4]).inputs["input_ids"].shape == (2, 6)
    assert isinstance(trained(), Reader)


def test_texts_of_one_class_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    batches_of([row | {"label": 2} for row in rows()], collate=padded)
    assert "mine: all 150 samples are of class 2" in caplog.text


class Language(nn.Module):
    """Scores of the next word, which sees no word to its right."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(13, 5)
        self.out = nn.Linear(5, 13)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.words(input_ids).cumsum(dim=1) * attention_mask.unsqueeze(2)))


def test_the_example_for_texts_is_the_mean_over_all_words_that_count() -> None:
    page = (ROOT / "docs" / "data.md").read_text()
    names: dict[str, Any] = {"torch": torch}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if "def " in block:
            exec(block, names)
    texts = [
        {"input_ids": row["input_ids"], "labels": torch.where(row["input_ids"] == 5, -100, row["input_ids"])}
        for row in rows()
    ]
    model = trained(Language)
    surface = evaluate(model, texts, collate_fn=names["padded"], loss=names["labelled_words"])
    total, count = 0.0, 0
    twin = copy.deepcopy(model).double()
    for text in texts:
        ids = text["input_ids"][None]
        with torch.no_grad():
            scores = twin(ids, torch.ones_like(ids))[0, :-1]
        total += float(F.cross_entropy(scores, text["labels"][1:], ignore_index=-100, reduction="sum"))
        count += int((text["labels"][1:] != -100).sum())
    assert surface["train_loss"][1] == pytest.approx(total / count, rel=1e-6)
    with pytest.raises(InputError, match="it is no mean over samples; return a number per sample, or the pair"):
        evaluate(
            model,
            texts,
            collate_fn=names["padded"],
            loss=lambda *of: (lambda a, b: a / b)(*names["labelled_words"](*of)),
        )


@pytest.mark.parametrize(("variant", "precision", "near"), [("folded", "float64", 1e-12), ("fused", "float32", 1e-6)])
def test_variants_of_a_network_take_batches_of_any_width(
    variant: str, precision: str, near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lossgrid.evaluation.libraries.LEAST_WEIGHTS", 0)
    model = trained(several.Reader)
    surface = evaluate(model, Texts(), collate_fn=padded, variant=variant, precision=precision, batch_size=7)
    expected = [loss_of(moved(model, direction_of(model), alpha), rows())[0] for alpha in (-1, 0, 1)]
    np.testing.assert_allclose(surface["train_loss"], expected, rtol=near)


def test_a_training_refuses_them() -> None:
    with pytest.raises(InputError, match="--data: lossgrid train stacks samples, split 'train' has a collate function"):
        refuse_several({"train": split_of(Texts(), source="mine", collate=padded)})
