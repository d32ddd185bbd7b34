"""Checkpoints as trainers write them: nested, prefixed, beside other objects; found by rule or by options."""

from __future__ import annotations

import argparse
import collections
import datetime
import logging
import pathlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from lossgrid import models, store
from lossgrid.directions import towards
from lossgrid.errors import InputError
from lossgrid.models import Layout
from lossgrid.run.study import load_model
from lossgrid.settings import RunConfig, resolve
from tests.builders import a_perceptron
from tests.unit.test_compare import run_main

State = dict[str, torch.Tensor]

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")  # people have networks with it


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    return nn.Sequential(collections.OrderedDict(encoder=encoder, head=nn.Linear(3, 2)))


def renamed(state: State, rename: Callable[[str], str]) -> State:
    return {rename(name): tensor for name, tensor in state.items()}


def saved(folder: Path, content: Any, name: str = "net.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def loaded(path: Path, layout: Layout | None = None, model: nn.Module | None = None) -> nn.Module:
    """Return a network that had other weights, with those of a file."""
    model = net(seed=9) if model is None else model
    models.load_renamed(model, models.read_checkpoint(path, layout or Layout()), source=str(path))
    return model


def equal(one: nn.Module, other: nn.Module) -> bool:
    other_state = other.state_dict()
    return all(torch.equal(tensor, other_state[name]) for name, tensor in one.state_dict().items())


def refusal(path: Path, layout: Layout | None = None) -> str:
    model = net(seed=9)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        loaded(path, layout, model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    return line


RENAMED: dict[str, Callable[[str], str]] = {
    "'module.'": lambda name: f"module.{name}",
    "'_orig_mod.'": lambda name: f"_orig_mod.{name}",
    "'model.'": lambda name: f"model.{name}",
    "'net.'": lambda name: f"net.{name}",
    "'backbone.'": lambda name: f"backbone.{name}",
    "'model.backbone.'": lambda name: f"model.backbone.{name}",
    "'anything.'": lambda name: f"anything.{name}",
    "'module.' inside names": lambda name: name.replace("encoder.", "encoder.module."),
    "'_orig_mod.' inside names": lambda name: name.replace("head.", "head._orig_mod."),
    "'module.', '_orig_mod.' inside names": lambda name: name.replace("encoder.", "encoder._orig_mod.module."),
    "'_fsdp_wrapped_module.' inside names": lambda name: name.replace("encoder.", "encoder._fsdp_wrapped_module."),
    "the prefix 'model.' and 'module.' inside names": lambda name: "model." + name.replace("head.", "head.module."),
}


@pytest.mark.parametrize("said", RENAMED)
def test_what_wrappers_add_to_names_is_removed_and_reported(
    said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = net()
    path = saved(tmp_path, renamed(trained.state_dict(), RENAMED[said]))
    with caplog.at_level(logging.INFO):
        assert equal(loaded(path), trained)
    assert said in caplog.text


def test_names_that_fit_are_not_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained = net()
    with caplog.at_level(logging.INFO):
        assert equal(loaded(saved(tmp_path, trained.state_dict())), trained)
    assert not caplog.text


def test_parts_of_the_networks_own_names_stay(tmp_path: Path) -> None:
    """A network may itself have modules called ``module``; its checkpoint loads unchanged."""
    trained = nn.Sequential(collections.OrderedDict(first=nn.ModuleDict({"module": net()}), last=nn.Linear(2, 2)))
    other = nn.Sequential(collections.OrderedDict(first=nn.ModuleDict({"module": net(3)}), last=nn.Linear(2, 2)))
    path = saved(tmp_path, {f"model.{name}": tensor for name, tensor in trained.state_dict().items()})
    assert equal(loaded(path, model=other), trained)


def test_names_that_would_become_one_are_not_renamed(tmp_path: Path) -> None:
    state = net().state_dict()
    path = saved(tmp_path, state | {"head.module.weight": torch.zeros(2, 3)})
    assert "1 unexpected: head.module.weight" in refusal(path)


def test_a_prefix_before_only_some_names_is_not_removed_but_the_options_are_named(tmp_path: Path) -> None:
    state = renamed(net().state_dict(), lambda name: f"model.{name}")
    path = saved(tmp_path, {"state_dict": state | {"criterion.weight": torch.ones(2), "scale": torch.ones(1)}})
    line = refusal(path)
    assert "--checkpoint-prefix model. --checkpoint-ignore 'criterion.*' --checkpoint-ignore 'scale*'" in line
    assert equal(loaded(path, Layout(prefix="model.", ignore=("criterion.*", "scale*"))), net())
    assert equal(loaded(path, Layout(ignore=("criterion.*", "scale"))), net())


def test_what_else_differs_is_listed_under_the_networks_own_names(tmp_path: Path) -> None:
    state = net().state_dict() | {"head.bias": torch.ones(5)}
    del state["encoder.0.bias"]
    line = refusal(saved(tmp_path, renamed(state, lambda name: f"model.{name}")))
    assert "1 missing: encoder.0.bias; 1 of another shape: head.bias (5,) instead of (2,)" in line


def test_hooks_see_the_names_without_prefix(tmp_path: Path) -> None:
    older = nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 4)), nn.Linear(4, 2))
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)), nn.Linear(4, 2))
    loaded(saved(tmp_path, renamed(older.state_dict(), lambda name: f"model.{name}")), model=model)
    inputs = torch.rand(3, 6)
    assert torch.allclose(model(inputs), older(inputs))


def test_a_larger_network_is_not_taken_for_one_beside_others() -> None:
    larger = a_perceptron(4, 3, 3, 2).state_dict()
    with pytest.raises(InputError) as caught:
        models.load_renamed(a_perceptron(4, 3, 3)[:1], larger, source="net.pt")
    with pytest.raises(InputError) as nested:
        models.load_renamed(net(), {**net().state_dict(), "encoder.2.weight": torch.ones(3)}, source="net.pt")
    assert "--checkpoint-ignore" not in str(nested.value)
    assert "4 unexpected" in str(caught.value)


def test_an_averaged_model_loses_its_counter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    averaged = AveragedModel(net())
    averaged.update_parameters(net(1))
    averaged.update_parameters(net(2))
    path = saved(tmp_path, averaged.state_dict())
    with caplog.at_level(logging.INFO):
        assert equal(loaded(path), averaged.module)
    assert "without the prefix 'module.' and the entry 'n_averaged'" in caplog.text


def test_an_averaged_model_takes_its_own_checkpoint(tmp_path: Path) -> None:
    averaged = AveragedModel(net())
    averaged.update_parameters(net(1))
    assert equal(loaded(saved(tmp_path, averaged.state_dict()), model=AveragedModel(net(5))), averaged)


@pytest.mark.parametrize("holder", ["net", "state_dict_ema", "model_ema", "ema"])
def test_usual_names_of_the_state_dict_are_found_and_reported(
    holder: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(tmp_path, {"epoch": 3, holder: net().state_dict(), "acc": torch.tensor(0.9), "args": {"lr": 0.1}})
    with caplog.at_level(logging.INFO):
        assert equal(loaded(path), net())
    assert f"holds weights under '{holder}'" in caplog.text


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        (("ema", "net"), "net"),
        (("net", "model"), "model"),
        (("model_ema", "state_dict_ema"), "state_dict_ema"),
        (("model_state_dict", "generator"), "model_state_dict"),
        (("state_dict_ema", "model", "state_dict"), "state_dict"),
    ],
)
def test_of_several_state_dicts_one_is_taken_by_rule_and_the_key_of_the_others_is_named(
    keys: tuple[str, ...], taken: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(tmp_path, {key: net(i).state_dict() for i, key in enumerate(keys)})
    with caplog.at_level(logging.WARNING):
        assert equal(loaded(path), net(keys.index(taken)))
    assert f"under '{taken}', which are taken" in caplog.text
    for i, key in enumerate(keys):
        assert key == taken or repr(key) in caplog.text
        assert equal(loaded(path, Layout(key=key)), net(i))


def test_weights_at_the_top_are_not_passed_over_for_an_average(tmp_path: Path) -> None:
    path = saved(tmp_path, {**net().state_dict(), "ema": net(1).state_dict()})
    assert "--checkpoint-key ema" in refusal(path)
    assert equal(loaded(path, Layout(key="ema")), net(1))
    assert equal(loaded(path, Layout(ignore=("ema",))), net())


def test_several_state_dicts_under_unknown_keys_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, {"generator": net().state_dict(), "critic": net(1).state_dict()})
    line = refusal(path)
    assert "'generator', 'critic'" in line
    assert "--checkpoint-key generator" in line


NESTED: dict[str, Any] = {
    "trainer.model": lambda state: {"trainer": {"model": state, "epoch": 3}},
    "a.b.c": lambda state: {"a": {"b": {"c": state}}},
    "a.b": lambda state: {"a.b": state},
    "a.b.d": lambda state: {"a": 3, "a.b": {"d": state}},
    "nets.1": lambda state: {"nets": [{}, state]},
    "7": lambda state: {7: state},
}


@pytest.mark.parametrize("key", NESTED)
def test_a_key_with_dots_leads_to_nested_weights(key: str, tmp_path: Path) -> None:
    path = saved(tmp_path, NESTED[key](net().state_dict()))
    assert equal(loaded(path, Layout(key=key)), net())


def test_nested_weights_are_named_in_the_error(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": {"epoch": 3}, "trainer": {"model": net().state_dict()}})
    assert "it holds weights under 'trainer.model': give --checkpoint-key trainer.model" in refusal(path)


@pytest.mark.parametrize("key", ["absent", "model.absent", ".", "model..x", "epoch", "optimizer", "9" * 50, "x" * 200])
def test_a_key_without_weights_is_refused_with_those_that_have_some(key: str, tmp_path: Path) -> None:
    path = saved(tmp_path, {"model": net().state_dict(), "epoch": 3, "optimizer": {"state": {0: {"m": torch.ones(1)}}}})
    line = refusal(path, Layout(key=key))
    assert "--checkpoint-key" in line
    assert "'model'" in line
    assert "'optimizer.state.0'" not in line


@pytest.mark.parametrize("prefix", ["model", "model.", "model.inner", "model.inner."])
def test_a_prefix_of_the_user_is_removed_where_it_is(prefix: str, tmp_path: Path) -> None:
    path = saved(tmp_path, renamed(net().state_dict(), lambda name: f"model.inner.{name}"))
    assert equal(loaded(path, Layout(prefix=prefix)), net())


def test_a_prefix_may_end_within_a_part_of_a_name(tmp_path: Path) -> None:
    path = saved(tmp_path, renamed(net().state_dict(), lambda name: f"net_{name}"))
    assert equal(loaded(path, Layout(prefix="net_")), net())


def test_a_prefix_before_that_of_a_wrapper(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": renamed(net().state_dict(), lambda name: f"module.model.{name}")})
    assert equal(loaded(path, Layout(prefix="module.model.")), net())


def test_a_prefix_that_no_name_has_is_refused(tmp_path: Path) -> None:
    line = refusal(saved(tmp_path, net().state_dict()), Layout(prefix="modle."))
    assert "no name begins with 'modle.', given as --checkpoint-prefix; they begin with encoder, head" in line


def test_a_prefix_that_makes_two_names_one_is_refused(tmp_path: Path) -> None:
    state = net().state_dict()
    path = saved(tmp_path, state | renamed(net(1).state_dict(), lambda name: f"ema.{name}"))
    assert "gives two entries the name encoder.0.weight" in refusal(path, Layout(prefix="ema."))
    assert equal(loaded(path, Layout(prefix="ema.", ignore=("encoder.*", "head.*"))), net(1))


def test_versions_of_modules_follow_the_names(tmp_path: Path) -> None:
    wrapped = nn.ModuleDict({"model": net()})
    path = saved(tmp_path, {"state_dict": wrapped.state_dict()})
    found = models.read_checkpoint(path, Layout(prefix="model."))
    expected = net().state_dict()._metadata  # type: ignore[attr-defined]
    assert found._metadata == expected  # type: ignore[attr-defined]


@pytest.mark.parametrize("pattern", ["extra", "ext*", "e?tra", "module.extra", "*.extra"])
def test_entries_are_left_out_by_their_names_in_the_file_or_without_prefix(
    pattern: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = renamed({**net().state_dict(), "extra": torch.ones(1)}, lambda name: f"module.{name}")
    with caplog.at_level(logging.INFO):
        assert equal(loaded(saved(tmp_path, state), Layout(ignore=(pattern,))), net())
    assert "left out" in caplog.text


def test_entries_that_are_no_tensors_can_be_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path, {**net().state_dict(), "epoch": 3})
    assert "holds a int under 'epoch'" in refusal(path)
    assert equal(loaded(path, Layout(ignore=("epoch",))), net())


def test_a_pattern_without_entries_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert equal(loaded(saved(tmp_path, net().state_dict()), Layout(ignore=("Head.*",))), net())
    assert "has no entry that --checkpoint-ignore Head.* leaves out" in caplog.text


def test_entries_of_the_network_may_not_be_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path, net().state_dict())
    assert "2 missing: head.weight, head.bias" in refusal(path, Layout(ignore=("head.*",)))
    assert "no entries but those that --checkpoint-ignore leaves out" in refusal(path, Layout(ignore=("*",)))


BESIDE: dict[str, Any] = {
    "namespace": argparse.Namespace(lr=0.1, nested=argparse.Namespace(path=Path("a")), sizes=[1, 2]),
    "path": Path("runs") / "1",
    "pure path": pathlib.PurePosixPath("/a/b"),
    "windows path": pathlib.PureWindowsPath("C:/a"),
    "time": datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
    "time of a zone": datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc),
    "zone": datetime.timezone(datetime.timedelta(hours=1), "there"),
    "day": datetime.date(2026, 1, 2),
    "clock": datetime.time(1, 2),
    "duration": datetime.timedelta(days=1),
    "number": np.float64(3.5),
    "array": np.arange(3),
    "ordered": collections.OrderedDict(a=Path("x")),
    "counter": collections.Counter("abc"),
    "set": {1, 2},
}


@pytest.mark.parametrize("what", BESIDE)
@pytest.mark.parametrize("zipped", [True, False])
def test_objects_beside_the_weights_are_data(what: str, zipped: bool, tmp_path: Path) -> None:
    content = {"state_dict": net().state_dict(), "beside": BESIDE[what], "deep": {"list": [BESIDE[what]]}}
    torch.save(content, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    assert equal(loaded(tmp_path / "net.pt"), net())


@pytest.mark.parametrize(
    ("what", "kind"),
    [("namespace", "a Namespace"), ("path", "a path"), ("day", "a date or time"), ("number", "numbers of NumPy")],
)
def test_objects_in_the_place_of_weights_are_named(what: str, kind: str, tmp_path: Path) -> None:
    assert f"holds {kind} under 'head.bias'" in refusal(
        saved(tmp_path, {**net().state_dict(), "head.bias": BESIDE[what]})
    )
    assert f"holds {kind};" in refusal(saved(tmp_path, BESIDE[what]))


class Config:
    """A class of a trainer."""


class Calling:
    """Makes ``make`` be called with a path where it is unpickled as code."""

    def __init__(self, make: Any, path: Path) -> None:
        self.make, self.path = make, str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.make, (self.path,)


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (Config(), "test_checkpoint_layouts.Config"),
        (uuid.UUID(int=3), "uuid.UUID"),
        (collections.defaultdict(list), "collections.defaultdict"),
        (Config, "test_checkpoint_layouts.Config"),
    ],
)
def test_other_classes_are_refused_by_name(what: Any, name: str, tmp_path: Path) -> None:
    line = refusal(saved(tmp_path, {"state_dict": net().state_dict(), "beside": what}))
    assert f"{name}, which is not loaded as it could run code" in line


def test_functions_of_the_same_modules_are_refused(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for make, name in ((argparse.FileType("w"), "argparse.FileType"), (Path(made).touch, "builtins.getattr")):
        path = saved(tmp_path, {"state_dict": net().state_dict(), "beside": Calling(make, made)})
        assert "which is not loaded" in refusal(path), name
        assert not made.exists()


class Shadowed(collections.OrderedDict):  # type: ignore[type-arg]
    """Is pickled as an OrderedDict whose attributes hide its methods."""

    def __reduce__(self) -> tuple[Any, ...]:
        hidden = dict.fromkeys(("items", "keys", "values", "get", "__iter__", "_metadata"), 3)
        return collections.OrderedDict, (), hidden, None, iter(list(self.items()))


@pytest.mark.parametrize("holder", [None, "state_dict", "ema", "unknown"])
def test_attributes_that_hide_methods_change_nothing(holder: str | None, tmp_path: Path) -> None:
    state = Shadowed(net().state_dict())
    path = saved(tmp_path, state if holder is None else Shadowed({holder: state, "other": {"a": 1}}))
    if holder == "unknown":
        assert "--checkpoint-key unknown" in refusal(path)
    assert equal(loaded(path, Layout(key="unknown" if holder == "unknown" else None)), net())


def test_attributes_of_tensors_and_versions_change_nothing(tmp_path: Path) -> None:
    state = net().state_dict()
    state._metadata = Shadowed(state._metadata)  # type: ignore[attr-defined]
    for name in ("dim", "detach", "isfinite", "cpu"):
        odd = torch.ones(2)
        odd.__dict__[name] = 3
        path = saved(tmp_path, {"net": state | {"head.bias": odd}, "model_state_dict": state, "odd": odd})
        assert torch.equal(loaded(path, Layout(key="net")).get_parameter("head.bias"), torch.ones(2)), name
        assert equal(loaded(path), net()), name


def test_dicts_that_hold_themselves_are_one_line(tmp_path: Path) -> None:
    content: dict[str, Any] = {f"key{i}": i for i in range(200)}
    for i in range(200):
        content[f"key{i}"] = content
    assert "expected" in refusal(saved(tmp_path, content))
    assert "has no entry" in refusal(saved(tmp_path, content), Layout(key="absent"))
    assert "expected" in refusal(saved(tmp_path, content), Layout(key="key1.key2"))


@pytest.mark.parametrize(
    "name", ["module." * 5000 + "w", "a." * 5000 + "w", ".", "", "module.", "." * 100, "w" * 99999]
)
def test_absurd_names_are_one_line(name: str, tmp_path: Path) -> None:
    line = refusal(saved(tmp_path, {name: torch.ones(1)}))
    assert "does not fit" in line or "expected" in line


def test_names_that_are_no_text_are_one_line() -> None:
    with pytest.raises(InputError, match="expected tensors by name"):
        models.load_renamed(net(), {3: torch.ones(1)}, source="net.pt")  # type: ignore[dict-item]


def test_the_second_checkpoint_of_a_line_has_the_same_layout(tmp_path: Path) -> None:
    first = net()
    state = {"ema": renamed(net(1).state_dict(), lambda name: f"model.{name}"), "state_dict": net(2).state_dict()}
    path = saved(tmp_path, state)
    found = towards(models.read_checkpoint(path, Layout(key="ema")), first, source="net.pt")
    start, end = net().state_dict(), net(1).state_dict()
    assert all(torch.equal(found[name], end[name].double() - start[name].double()) for name in found)
    assert equal(first, net())


# --- the command line ------------------------------------------------------------------------------------------------

RUN = ("run", "--model", "mlp", "--data", "digits", "--max-samples", "60", "--alpha", "-1:1:5")


def mlp(seed: int) -> State:
    torch.manual_seed(seed)
    return dict(models.build("mlp", {}, facts={"in_features": 64, "num_classes": 10}).state_dict())


def values(path: Path) -> np.ndarray:
    return store.read(path)["train_loss"]


def forget_points(path: Path, *points: int) -> None:
    """Make a complete surface one that was interrupted before these points."""
    with h5py.File(path, "r+", locking=False) as file:
        file.attrs["complete"] = 0
        for point in points:
            file["status"][point] = 0
            for name in ("train_loss", "train_accuracy"):
                file[name][point] = np.nan


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)
    lightning = {
        "state_dict": renamed(mlp(1), lambda name: f"model.{name}") | {"criterion.weight": torch.ones(10)},
        "hyper_parameters": argparse.Namespace(path=Path("x"), started=datetime.datetime(2026, 1, 1)),
        "averages": {"ema": mlp(2)},
    }
    return {
        "plain": saved(tmp_path, mlp(1), "plain.pt"),
        "second": saved(tmp_path, mlp(2), "second.pt"),
        "lightning": saved(tmp_path, lightning, "lightning.ckpt"),
    }


def test_a_run_goes_on_with_the_same_weights_in_another_layout(
    files: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "s.h5"
    assert run_main(*RUN, "--checkpoint", files["plain"], "--out", out) == 0
    whole = values(out)
    forget_points(out, 0, 3)
    assert np.isnan(values(out)).sum() == 2
    assert run_main(*RUN, "--checkpoint", files["lightning"], "--out", out) == 2
    said = capfd.readouterr().err
    assert "--checkpoint-prefix model. --checkpoint-ignore 'criterion.*'" in said
    options = ("--checkpoint-ignore", "criterion.*", "--checkpoint-prefix", "model")
    assert run_main(*RUN, "--checkpoint", files["lightning"], *options, "--out", out) == 0
    assert values(out).tobytes() == whole.tobytes()
    other = ("--checkpoint-key", "averages.ema")
    assert run_main(*RUN, "--checkpoint", files["lightning"], *other, "--out", out) == 2
    assert "the network (model or checkpoint)" in capfd.readouterr().err


def test_runs_of_a_line_and_direction_files_take_the_options(files: dict[str, Path], tmp_path: Path) -> None:
    assert run_main(*RUN, "--checkpoint", files["plain"], "--to", files["second"], "--out", "a.h5") == 0
    both = saved(tmp_path, {"averages": {"ema": mlp(1)}}, "first.pt")
    line = ("--checkpoint", both, "--to", files["lightning"], "--checkpoint-key", "averages.ema")
    assert run_main(*RUN, *line, "--out", "b.h5") == 0
    assert values(tmp_path / "a.h5").tobytes() == values(tmp_path / "b.h5").tobytes()
    assert run_main("directions", "--model", "mlp", "--axes", "1", *line, "--out", "d.h5") == 0
    assert run_main(*RUN, "--checkpoint", files["plain"], "--directions", "d.h5", "--out", "c.h5") == 0
    assert values(tmp_path / "a.h5").tobytes() == values(tmp_path / "c.h5").tobytes()


def test_the_settings_reach_the_network(files: dict[str, Path]) -> None:
    settings = {"model": "mlp", "checkpoint": files["lightning"], "checkpoint_key": "averages.ema"}
    model = load_model(resolve(RunConfig, settings), {"in_features": 64, "num_classes": 10})
    expected = mlp(2)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("option", ["key", "prefix", "ignore"])
def test_options_of_checkpoints_need_one(option: str) -> None:
    with pytest.raises(InputError, match=rf"--checkpoint-{option} needs --checkpoint or --to"):
        resolve(RunConfig, {"model": "mlp", f"checkpoint_{option}": "x"})
    with pytest.raises(InputError, match=rf"--checkpoint-{option}"):
        resolve(RunConfig, {"model": "mlp", "checkpoint": "c.pt", f"checkpoint_{option}": "x" * 201})
    with pytest.raises(InputError, match=rf"--checkpoint-{option}"):
        resolve(RunConfig, {"model": "mlp", "checkpoint": "c.pt", f"checkpoint_{option}": ""})


def test_the_layout_is_no_part_of_the_identity_of_a_surface() -> None:
    plain = resolve(RunConfig, {"model": "mlp", "checkpoint": "c.pt"})
    other = resolve(RunConfig, {"model": "mlp", "checkpoint": "d.pt", "checkpoint_key": "ema"})
    assert plain.identity() == other.identity()
