"""lossgrid from Python."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import lossgrid
from lossgrid.errors import InputError
from lossgrid.machine.cores import own_cpus
from tests.programs.users import Net, pictures


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(2)
    return Net(1, 10)


def loss_of(model: torch.nn.Module, split: str = "train") -> float:
    inputs, targets = pictures(split)
    with torch.no_grad():
        return float(F.cross_entropy(model.eval()(inputs), targets))


def test_a_plane_in_one_call_leaves_the_model_as_it_was(model: torch.nn.Module) -> None:
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = {"train": pictures("train"), "test": pictures("test")}
    surface = lossgrid.evaluate(model, data, alpha=(-1, 1, 5), beta="-1:1:3")
    assert isinstance(surface, lossgrid.Surface)
    assert surface.complete
    assert surface.shape == (3, 5)
    assert set(surface.quantities) == {"train_loss", "train_accuracy", "test_loss", "test_accuracy"}
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert surface["train_loss"][1, 2] == pytest.approx(loss_of(model), rel=1e-5)
    assert surface["test_loss"][1, 2] == pytest.approx(loss_of(model, "test"), rel=1e-5)


def test_more_threads_than_cores_are_warned_of(
    model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before, threads = torch.get_num_threads(), len(own_cpus()) + 1
    try:
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        lossgrid.evaluate(model, pictures("train"), alpha=(0, 1, 2))
    finally:
        torch.set_num_threads(before)
    assert caplog.text.count(f"{threads} threads share ") == 1


@pytest.mark.slow
def test_the_same_as_the_command_line(model: torch.nn.Module, tmp_path: Path, start: object) -> None:
    torch.save(model.state_dict(), tmp_path / "net.pt")
    run = (
        "--model",
        "users:net",
        "--checkpoint",
        "net.pt",
        "--data",
        "users:pictures",
        "--alpha",
        "-1:1:3",
        "--seed",
        4,
    )
    done = start(0, "lossgrid", "run", *run)  # type: ignore[operator]
    assert done.returncode == 0, done.stderr
    surface = lossgrid.evaluate(model, pictures("train"), alpha=(-1, 1, 3), seed=4)
    np.testing.assert_allclose(surface["train_loss"], lossgrid.open(tmp_path / "surface.h5")["train_loss"], rtol=1e-6)


def test_towards_other_networks(model: torch.nn.Module, tmp_path: Path) -> None:
    torch.manual_seed(3)
    second, third = Net(1, 10), Net(1, 10)
    torch.save(third.state_dict(), tmp_path / "third.pt")
    line = lossgrid.evaluate(model, pictures("train"), alpha=(0, 1, 2), to=second)
    np.testing.assert_allclose(line["train_loss"], [loss_of(model), loss_of(second)], rtol=1e-4)
    plane = lossgrid.evaluate(
        model, pictures("train"), alpha=(0, 1, 2), beta=(0, 1, 2), to=[second.state_dict(), tmp_path / "third.pt"]
    )
    corners = [plane["train_loss"][0, 1], plane["train_loss"][1, 0]]
    np.testing.assert_allclose(corners, [loss_of(second), loss_of(third)], rtol=1e-4)


def test_given_directions_and_losses(model: torch.nn.Module) -> None:
    delta = {"linear.bias": torch.ones(10)}
    shift = lossgrid.evaluate(model, pictures("train"), alpha=(0, 1, 2), directions=[delta])
    np.testing.assert_allclose(*shift["train_loss"], rtol=1e-5)  # softmax does not see a shift of all logits
    zero = lossgrid.evaluate(
        model, pictures("train"), alpha=(0, 1, 2), directions=[delta], loss=lambda outputs, targets: outputs.mean()
    )
    assert zero["train_loss"][1] - zero["train_loss"][0] == pytest.approx(1.0, rel=1e-4)


def test_out_keeps_the_surface_and_resumes(model: torch.nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    first = lossgrid.evaluate(model, pictures("train"), alpha=(-1, 1, 3), out=path)
    stamp = path.stat().st_mtime_ns, first.created
    again = lossgrid.evaluate(model, pictures("train"), alpha=(-1, 1, 3), out=path)
    assert again.created == stamp[1]
    np.testing.assert_array_equal(first["train_loss"], again["train_loss"])
    with pytest.raises(InputError, match="the data of split train differ"):
        lossgrid.evaluate(model, pictures("test"), alpha=(-1, 1, 3), out=path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": "1:0:3"}, "MIN < MAX"),
        ({"directions": "absent.h5"}, "no such file"),
        ({"directions": [{"absent": torch.ones(1)}]}, "no 'absent'"),
        ({"directions": [{"linear.bias": torch.ones(10)}], "beta": "0:1:2"}, "directions holds 1"),
        ({"to": {}}, "missing"),
        ({"loss": "entropy"}, "entropy"),
        ({"precision": "half"}, "half"),
        ({"max_samples": 0}, "max_samples"),
    ],
)
def test_refusals(model: torch.nn.Module, options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        lossgrid.evaluate(model, pictures("train"), **({"alpha": "0:1:2"} | options))  # type: ignore[arg-type]
    assert words in str(caught.value)


@pytest.mark.slow
def test_ranks_of_a_script_share_the_points(start: object, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import torch, lossgrid\nfrom users import net, pictures\ntorch.manual_seed(0)\n"
        "surface = lossgrid.evaluate(net(1, 10), pictures('train'), alpha=(-1, 1, 40))\n"
        "line = f'{surface.complete} {len(set(surface.rank.tolist()))} {surface.provenance[\"ranks\"]}\\n'\n"
        "import sys; sys.stdout.write(line)  # at once, or the lines of the ranks mix\n"
    )
    done = start(3, "script.py")  # type: ignore[operator]
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["True 3 3"] * 3


def test_importing_lossgrid_loads_nothing_heavy() -> None:
    program = (
        "import sys, lossgrid, lossgrid.cli.app\n"
        "print([name for name in ('torch', 'mpi4py.MPI', 'h5py', 'matplotlib', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError):
        lossgrid.absent  # noqa: B018


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_rounding": -1}, "max_rounding: expected at least 0.0, got -1"),
        (
            {"directions": "absent.h5", "norm": "layer"},
            "norm is for random directions; those of a file are used as they are",
        ),
        ({"device": "cuda"}, "device cuda: PyTorch sees no CUDA device here; use device cpu or load the GPU's drivers"),
    ],
)
def test_errors_name_arguments_and_not_options(model: torch.nn.Module, options: dict[str, Any], text: str) -> None:
    if options.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("NOT RUN: there is a CUDA device")
    with pytest.raises(InputError) as caught:
        lossgrid.evaluate(model, pictures("train"), alpha=(-1, 1, 3), **options)
    assert str(caught.value) == text


def test_a_flag_is_named_with_its_value(model: torch.nn.Module, tmp_path: Path) -> None:
    lossgrid.evaluate(model, pictures("train"), alpha=(-1, 1, 3), out=tmp_path / "s.h5")
    with pytest.raises(InputError, match="or overwrite=True to replace it"):
        lossgrid.evaluate(model, pictures("train"), alpha=(-1, 1, 4), out=tmp_path / "s.h5")
    other = tmp_path / "other.h5"
    other.write_bytes(b"no HDF5")
    with pytest.raises(InputError) as caught:
        lossgrid.open(other)
    assert "--" not in str(caught.value)
