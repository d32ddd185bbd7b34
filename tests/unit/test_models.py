import functools
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lossgrid import models
from lossgrid.errors import InputError

REFERENCE = [
    "vgg9", "densenet121", "resnet18", "resnet18_noshort", "resnet34", "resnet34_noshort", "resnet50",
    "resnet50_noshort", "resnet20", "resnet20_noshort", "resnet32_noshort", "resnet44_noshort", "resnet56",
    "resnet56_noshort", "resnet110", "resnet110_noshort", "wrn56_2", "wrn56_2_noshort", "wrn56_4", "wrn56_4_noshort",
    "wrn56_8", "wrn56_8_noshort", "wrn110_2_noshort", "wrn110_4_noshort",
]  # fmt: skip
FAMILIES = [
    "mlp",
    "vgg9",
    "densenet121",
    "resnet18",
    "resnet50",
    "resnet50_noshort",
    "resnet20",
    "resnet20_noshort",
    "wrn56_2",
]
DIGITS = {"in_channels": 1, "in_features": 64, "num_classes": 7}

State = dict[str, torch.Tensor]


@functools.cache
def reference(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def fill(state: State) -> None:
    """Give every entry the value that the reference's logits were computed with.

    Only with the values rounded to float32, as of entries written into a float32 network, do all logits agree to 1e-14;
    with unrounded values they agree to 1e-6 at best.
    """
    for k, (name, tensor) in enumerate(state.items()):
        if not tensor.is_floating_point():
            continue
        v = torch.sin(0.37 * torch.arange(tensor.numel(), dtype=torch.float64) + k).reshape(tensor.shape)
        if name.endswith("running_var"):
            v = 1 + 0.1 * v.abs()
        elif tensor.ndim <= 1:
            v = 1 + 0.1 * v if name.endswith(".weight") else 0.05 * v
        else:
            v = v * math.sqrt(2 / tensor[0].numel())
        tensor.copy_(v.float())


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_reference_file_lists_the_networks_tested_here(shared: Path) -> None:
    assert set(reference(shared / "reference_models.json")) == set(REFERENCE)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCE)
def test_network_is_that_of_the_papers_code(name: str, shared: Path) -> None:
    facts = reference(shared / "reference_models.json")[name]
    model = models.build(name, {}, facts={}).double().eval()
    state, parameters = model.state_dict(), dict(model.named_parameters())
    listed = [[entry, list(t.shape), "parameter" if entry in parameters else "buffer"] for entry, t in state.items()]
    assert listed == facts["state_dict"]
    assert sum(p.numel() for p in model.parameters()) == facts["parameters"]
    fill(state)
    with torch.inference_mode():
        logits = model(torch.sin(0.01 * torch.arange(3072, dtype=torch.float64)).reshape(1, 3, 32, 32))
    expected = torch.tensor([facts["logits"]], dtype=torch.float64)
    worst = float((logits - expected).abs().max() / expected.abs().max())
    assert worst < 1e-9, f"largest difference, relative to the largest logit: {worst:.2e}"


def test_registry_names() -> None:
    listed = models.names()
    depths = [f"resnet{depth}{end}" for depth in (20, 32, 44, 56, 110) for end in ("", "_noshort")]
    assert {*REFERENCE, *depths, "mlp"} <= set(listed)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("name", FAMILIES)
def test_pictures_of_any_size_and_channels(name: str, size: int) -> None:
    facts = {"in_channels": 1, "in_features": size * size, "num_classes": 7}
    model = models.build(name, {}, facts=facts).eval()
    with torch.inference_mode():
        logits = model(torch.rand(3, 1, size, size))
    assert logits.shape == (3, 7)
    assert bool(logits.isfinite().all())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_is_trained(name: str) -> None:
    model = models.build(name, {}, facts=DIGITS).train()
    model(torch.rand(4, 1, 8, 8)).logsumexp(1).sum().backward()
    assert [entry for entry, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_the_seed_decides_the_initial_network() -> None:
    built = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        built.append(models.build("resnet20", {}, facts={}).state_dict()["conv1.weight"])
    assert torch.equal(built[0], built[1])
    assert not torch.equal(built[0], built[2])


def test_padded_shortcuts_have_no_parameters_and_are_centred() -> None:
    padded = models.build("resnet20", {"shortcut": "pad"}, facts={}).eval()
    bare = models.build("resnet20_noshort", {}, facts={})
    assert list(padded.state_dict()) == list(bare.state_dict())
    block = padded.get_submodule("layer2.0")
    for entry in block.parameters():
        torch.nn.init.zeros_(entry)  # what remains is the shortcut
    features = torch.rand(2, 16, 6, 5)
    with torch.inference_mode():
        out = block(features)
    assert torch.equal(out[:, 8:24], features[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()
    assert out.shape == (2, 32, 3, 3)


def test_padded_shortcut_of_a_bottleneck() -> None:
    model = models.build("resnet50", {"shortcut": "pad"}, facts=DIGITS).eval()
    assert not any("shortcut" in name for name in model.state_dict())
    with torch.inference_mode():
        assert model(torch.rand(2, 1, 8, 8)).shape == (2, 7)


def test_shortcut_none_is_the_noshort_network() -> None:
    one, other = (
        models.build("resnet20", {"shortcut": "none"}, facts={}),
        models.build("resnet20_noshort", {}, facts={}),
    )
    other.load_state_dict(one.state_dict())
    picture = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(one.eval()(picture), other.eval()(picture))


@pytest.mark.parametrize("args", [{"shortcut": "pads"}, {"shortcut": 1}])
def test_unknown_shortcut_lists_the_choices(args: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"shortcut .*projection, pad, none.*got"):
        models.build("resnet56", args, facts={})


def test_noshort_networks_take_no_shortcut() -> None:
    with pytest.raises(InputError, match=r"resnet20_noshort takes in_channels, num_classes, got 'shortcut'"):
        models.build("resnet20_noshort", {"shortcut": "pad"}, facts={})


@pytest.mark.parametrize(("hidden", "widths"), [([12, 5], [64, 12, 5, 7]), (9, [64, 9, 7]), ([], [64, 7])])
def test_mlp_layers(hidden: Any, widths: list[int]) -> None:
    model = models.build("mlp", {"hidden": hidden}, facts=DIGITS)
    weights = [(name, p) for name, p in model.named_parameters() if p.ndim == 2]
    assert [tuple(p.shape) for _, p in weights] == [(b, a) for a, b in itertools.pairwise(widths)]
    assert all(name.startswith("layers.") for name, _ in weights)
    expected = torch.rand(2, 1, 8, 8).double()
    model, out = model.double(), expected.flatten(1)
    for i, (name, weight) in enumerate(weights):
        out = out @ weight.T + model.get_parameter(name.replace("weight", "bias"))
        out = out if i == len(weights) - 1 else out.clamp(min=0)
    torch.testing.assert_close(model(expected), out, rtol=1e-12, atol=1e-12)


def test_mlp_is_of_two_hidden_layers_of_64() -> None:
    model = models.build("mlp", {}, facts={"in_features": 10})
    assert [tuple(p.shape) for p in model.parameters() if p.ndim == 2] == [(64, 10), (64, 64), (10, 64)]


@pytest.mark.parametrize("hidden", ["wide", [8, "x"], [8, 0], -3, 2.5, True, [[8]]])
def test_mlp_widths_are_checked(hidden: Any) -> None:
    with pytest.raises(InputError, match="hidden"):
        models.build("mlp", {"hidden": hidden}, facts=DIGITS)


@pytest.mark.parametrize("key", ["in_channels", "num_classes"])
@pytest.mark.parametrize("value", [0, -1, "ten", 2.0, True, [3]])
def test_counts_are_checked(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"{key}.* positive whole number") as caught:
        models.build("resnet20", {key: value}, facts=DIGITS)
    assert repr(value) in str(caught.value)


def test_the_users_arguments_win_over_the_facts() -> None:
    model = models.build("resnet20", {"num_classes": 4}, facts=DIGITS)
    assert model.get_parameter("linear.weight").shape == (4, 64)
    assert model.get_parameter("conv1.weight").shape == (16, 1, 3, 3)


def test_unknown_argument_is_named_with_those_it_takes() -> None:
    with pytest.raises(InputError) as caught:
        models.build("resnet20", {"classes": 4}, facts=DIGITS)
    assert "'classes'" in str(caught.value)
    for known in ("in_channels", "num_classes", "shortcut"):
        assert known in str(caught.value)
    assert "depth" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"), [("resnet2o", "resnet20"), ("ResNet56", "resnet56"), ("wrn56-4", "wrn56_4")]
)
def test_unknown_name_suggests_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(InputError, match=rf"'{name}'.*did you mean .*{meant}"):
        models.build(name, {}, facts={})


def test_unknown_name_like_no_other_lists_some() -> None:
    with pytest.raises(InputError, match=r"there are mlp, .* more.*package\.module:") as caught:
        models.build("transformer", {}, facts={})
    assert "did you mean" not in str(caught.value)
    assert len(str(caught.value)) < 240
    assert "\n" not in str(caught.value)


USERS = """
import torch

def net(in_channels, num_classes=2, *, width=3):
    return torch.nn.Sequential(
        torch.nn.Conv2d(in_channels, width, 1), torch.nn.Flatten(), torch.nn.LazyLinear(num_classes)
    )

def plain(): return torch.nn.Linear(2, 2)

def any_at_all(**kwargs):
    model = torch.nn.Linear(2, 2)
    model.given = kwargs
    return model

def raises(num_classes): raise KeyError("no such\\nthing")

def returns_a_dict(): return {}

def needs(path, depth=1): return torch.nn.Linear(2, 2)

class Net(torch.nn.Module):
    def __init__(self, in_features, num_classes):
        super().__init__()
        self.linear = torch.nn.Linear(in_features, num_classes)

linear = torch.nn.Linear
"""


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a user's factories in the current folder, and nowhere else."""
    name = f"usernet_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(USERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # what loading adds to sys.path is taken out again
    return name


def test_users_factory_is_given_the_facts_it_names(user: str) -> None:
    model = models.build(f"{user}:net", {"width": 5}, facts=DIGITS)
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 7)
    assert model[0].weight.shape == (5, 1, 1, 1)  # type: ignore[index]


def test_users_factory_that_names_no_facts_is_given_none(user: str) -> None:
    assert isinstance(models.build(f"{user}:plain", {}, facts=DIGITS), torch.nn.Linear)
    assert models.build(f"{user}:any_at_all", {"b": 2}, facts=DIGITS).given == {"b": 2}


def test_users_class_is_a_factory(user: str) -> None:
    assert models.build(f"{user}:Net", {"num_classes": 3}, facts=DIGITS).linear.weight.shape == (3, 64)  # type: ignore[union-attr]
    args = {"in_features": 4, "out_features": 3}
    assert models.build(f"{user}:linear", args, facts={"num_classes": 9}).weight.shape == (3, 4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("factory", "args", "complaint"),
    [
        ("net", {"widths": 3}, "takes in_channels, num_classes, width, got 'widths'"),
        ("plain", {"width": 3}, r":plain takes no.*'width'"),
        ("raises", {}, r":raises raised KeyError: .*no such"),
        ("returns_a_dict", {}, r":returns_a_dict.* torch\.nn\.Module, got dict"),
        ("needs", {}, ":needs .*path"),
        ("absent", {}, "no function 'absent'"),
    ],
)
def test_users_factory_that_cannot_work_is_named(user: str, factory: str, args: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        models.build(f"{user}:{factory}", args, facts=DIGITS)
    assert "\n" not in str(caught.value)


def test_users_module_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match=r"no_such_module_here:net.*ModuleNotFoundError"):
        models.build("no_such_module_here:net", {}, facts={})
