"""Outputs that are no tensor: what users' losses get, and which tensor built-in measures read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lossgrid
from lossgrid.errors import InputError
from lossgrid.evaluation.sameness import distance
from lossgrid.measures.outputs import reading_of, tensors_of, with_tensors
from tests.builders import a_batch, a_network

DATA = a_batch(37, 2, 5, 5, classes=4)


@dataclass
class Scores:
    """A dataclass as networks return it."""

    logits: torch.Tensor
    hidden: torch.Tensor | None = None


class ModelOutput(OrderedDict[str, Any]):
    """A dict whose entries are attributes too, as that of transformers."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Pair(NamedTuple):
    """A tuple with names."""

    first: torch.Tensor
    second: torch.Tensor


class Net(nn.Module):
    """A network that wraps its scores."""

    def __init__(self, wrap: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.inner = a_network(side=5, activation=nn.ReLU, statistics=True)
        self.wrap = wrap

    def forward(self, x: torch.Tensor) -> Any:
        return self.wrap(self.inner(x))


def evaluate(wrap: Callable[[torch.Tensor], Any], **options: Any) -> lossgrid.Surface:
    return lossgrid.evaluate(Net(wrap).eval(), DATA, alpha=(-1, 1, 3), precision="float64", **options)


FORMS: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "dataclass": (lambda scores: Scores(scores, 2 * scores), ".logits of Scores"),
    "model output": (lambda scores: ModelOutput(logits=scores, hidden=2 * scores), ".logits of ModelOutput"),
    "dict": (lambda scores: {"aux": 2 * scores, "logits": scores}, "['logits'] of dict"),
    "tuple": (lambda scores: (scores, 2 * scores), "the first of tuple"),
    "list": (lambda scores: [scores, None], "the first of list"),
    "named tuple": (lambda scores: Pair(scores, 2 * scores), "the first of Pair"),
}


@pytest.mark.parametrize("form", FORMS)
def test_built_in_measures_read_one_tensor_by_a_rule_that_the_log_and_the_file_tell(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrap, rule = FORMS[form]
    expected = evaluate(lambda scores: scores, metrics=["top2", "ece"])
    with caplog.at_level("INFO"):
        found = evaluate(wrap, metrics=["top2", "ece"])
    for name in expected.quantities:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)
    assert caplog.text.count(f"outputs: {rule}") == 1
    assert f"outputs: {rule}" in found.origin.recipe.told()["about"]
    assert "outputs:" not in expected.origin.recipe.told()["about"]


@pytest.mark.parametrize("variant", ["plain", "folded"])
def test_a_users_loss_and_metric_get_the_outputs_as_they_are(variant: str) -> None:
    kinds = set()

    def loss(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
        kinds.add(type(outputs))
        return F.cross_entropy(outputs["out"], targets, reduction="none")

    def hidden(outputs: Any, targets: torch.Tensor) -> torch.Tensor:
        return outputs["aux"][0].square().sum(dim=1)

    found = evaluate(
        lambda scores: {"out": scores, "aux": (scores + 1,)}, loss=loss, metrics={"hidden": hidden}, variant=variant
    )
    expected = evaluate(
        lambda scores: scores,
        loss=lambda outputs, targets: F.cross_entropy(outputs, targets, reduction="none"),
        metrics={"hidden": lambda outputs, targets: (outputs + 1).square().sum(dim=1)},
    )
    assert kinds == {dict}
    assert set(found.quantities) == {"train_loss", "train_hidden"}
    for name in found.quantities:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10)


def test_outputs_without_rows_of_samples_go_to_the_users_loss() -> None:
    found = evaluate(
        lambda scores: (scores.T, scores.square().mean(dim=1)),  # sequence first, and a number per sample
        loss=lambda outputs, targets: F.cross_entropy(outputs[0].T, targets, reduction="none"),
    )
    expected = evaluate(lambda scores: scores)
    np.testing.assert_allclose(found["train_loss"], expected["train_loss"], rtol=1e-12)


def test_means_of_dicts_that_do_not_add_up_are_refused() -> None:
    weight = torch.tensor([1.0, 10.0, 0.1, 3.0], dtype=torch.float64)
    for outputs in (lambda scores: {"out": scores}, lambda scores: {"out": scores.T}):
        with pytest.raises(InputError, match="it is no mean over samples"):
            evaluate(
                outputs,
                loss=lambda found, targets: F.cross_entropy(
                    found["out"] if len(found["out"]) == len(targets) else found["out"].T, targets, weight=weight
                ),
            )


@pytest.mark.parametrize(
    "wrap", [lambda scores: {"out": scores}, lambda scores: None, lambda scores: [], lambda scores: ({}, scores)]
)
def test_outputs_without_scores_are_refused_for_built_in_losses(wrap: Callable[[torch.Tensor], Any]) -> None:
    with pytest.raises(InputError, match=r"give your own loss as package.module:function, which gets the outputs"):
        evaluate(wrap)


def test_scores_without_a_row_for_each_sample_are_refused() -> None:
    with pytest.raises(InputError, match=r"got \.logits of Scores of shape \(4, 37\)"):
        evaluate(lambda scores: Scores(scores.T))


def test_a_number_of_the_outputs_that_depends_on_the_batch_is_found() -> None:
    def centred(scores: torch.Tensor) -> Any:
        return {"logits": scores - scores.mean(dim=0)}

    with pytest.raises(InputError, match="the outputs of a sample depend on its batch"):
        evaluate(centred)
    assert evaluate(centred, batch_size=10).complete


def test_places_and_copies_of_tensors() -> None:
    one, two = torch.ones(2), torch.zeros(2)
    outputs = {"a": (one, [two]), "b": Scores(one), "c": "text", "d": Pair(one, two), "e": ModelOutput(x=two)}
    places = ["['a'][0]", "['a'][1][0]", "['b'].logits", "['d'][0]", "['d'][1]", "['e']['x']"]
    assert list(tensors_of(outputs)) == places
    doubled = with_tensors(lambda tensor: tensor + 1, outputs)
    assert isinstance(doubled["d"], Pair)
    assert isinstance(doubled["e"], ModelOutput)
    assert [tensor.tolist() for tensor in tensors_of(doubled).values()] == [
        (tensor + 1).tolist() for tensor in tensors_of(outputs).values()
    ]
    assert outputs["e"].x is two
    assert reading_of({"out": one}) is None


def test_distances_of_trees() -> None:
    one = {"x": torch.tensor([1.0, 2.0]), "class": torch.tensor([1, 0])}
    assert distance(one, one) == 0.0
    assert distance(one, {"x": torch.tensor([1.0, 2.2]), "class": torch.tensor([0, 0])}) == pytest.approx(0.1)
    assert distance(one, {"x": one["x"]}) == float("inf")
    assert distance(one, {"x": torch.tensor([1.0, float("nan")]), "class": one["class"]}) == float("inf")
    assert distance(torch.tensor([True]), torch.tensor([False])) == float("inf")


KINDS: dict[str, Callable[[torch.Tensor], Any]] = {
    "(n,)": lambda o: o[:, 0],
    "()": lambda o: o.mean(),
    "bool": lambda o: o > 0,
    "complex": lambda o: torch.complex(o, o),
    "integer": lambda o: o.int(),
    "sparse": lambda o: o.to_sparse(),
    "nested": lambda o: torch.nested.as_nested_tensor(list(o)),
    "sparse part": lambda o: {"logits": o, "more": o.to_sparse()},
    "no row": lambda o: o[:0],
    "no class": lambda o: o[:, :0],
    "None": lambda o: None,
}
ARGUMENTS = [{}, {"weight": [1, 2, 3, 4]}, {"class_dim": -1}, {"ignore_index": 1}, {"soft": True}]
LOSSES: list[tuple[Any, dict[str, Any]]] = [*(("cross_entropy", given) for given in ARGUMENTS)]
LOSSES += [(name, {}) for name in ("mse", "bce", "l1", "poisson_nll")]


@pytest.mark.parametrize("targets", ["classes", "real", "rows"])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_of_any_form_are_evaluated_or_refused_in_one_line(kind: str, targets: str) -> None:
    inputs, classes = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 4
    given = {"classes": classes, "real": torch.linspace(0, 1, 12), "rows": F.one_hot(classes, 4).float()}[targets]
    model = nn.Sequential(nn.Linear(6, 4), Wrap(KINDS[kind]))
    for loss, arguments in LOSSES:
        said = "values"
        try:
            line = lossgrid.evaluate(model, (inputs, given), alpha=(0, 1, 2), loss=loss, loss_args=arguments)
        except InputError as error:
            said = str(error)
        assert "\n" not in said
        if said == "values":
            assert kind == "(n,)", (loss, arguments)  # a number for each sample: for bce and losses of numbers
            assert np.isfinite(line["train_loss"]).all()


@pytest.mark.parametrize("kind", ["(n,)", "bool", "complex", "integer"])
def test_a_loss_of_the_user_reads_outputs_of_which_there_is_no_accuracy(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    inputs, classes = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 4
    model = nn.Sequential(nn.Linear(6, 4), Wrap(KINDS[kind]))

    def own(outputs: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        return outputs.reshape(len(outputs), -1).to(torch.complex128).abs().mean(dim=1)

    line = lossgrid.evaluate(model, (inputs, classes), alpha=(0, 1, 2), loss=own)
    assert list(line.quantities) == ["train_loss"]
    assert "no accuracy of split 'train'" in caplog.text
    expected = own(model(inputs).detach(), classes).mean()
    assert line["train_loss"][0] == pytest.approx(float(expected), rel=1e-6)


class Wrap(nn.Module):
    """A layer that changes the form of its inputs."""

    def __init__(self, form: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: torch.Tensor) -> Any:
        return self.form(x)
