"""What bad input gets: one line that says what is wrong, exit code 2, and nothing touched."""

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from lossgrid import cli, models, parallel, store
from tests.conftest import ROOT
from tests.families import further

pytestmark = pytest.mark.beside

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a user's files once: a checkpoint, a finished surface, broken ones."""
    path = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(path)
        torch.manual_seed(1)
        model = models.build("mlp", {"in_features": 64}, facts={})
        torch.save(model.state_dict(), "mlp.pt")
        diverged = model.state_dict() | {"layers.0.bias": torch.full((64,), math.nan)}
        torch.save(diverged, "diverged.pt")
        torch.save({"layers.0.weight": torch.zeros(2, 2), "other": torch.zeros(1)}, "foreign.pt")
        Path("truncated.pt").write_bytes(Path("mlp.pt").read_bytes()[:500])
        Path("text.pt").write_text("no checkpoint")
        Path("bad.toml").write_text('model = "mlp"\nbtach-size = 3\n')
        with h5py.File("other.h5", "w") as file:
            file["x"] = 1
        with h5py.File("directions.h5", "w") as file:
            file["xdirection/0"] = np.zeros((3, 3))
        assert run_main("run", "--model", "mlp", "--alpha", "0:1:2", "--max-samples", "10", "--out", "done.h5") == 0
        shutil.copy("done.h5", "cut.h5")
        os.truncate("cut.h5", 700)
    return path


@pytest.fixture
def folder(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a copy of the user's files."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "programs"))
    return tmp_path


def run_main(*arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    return int(exit_.value.code or 0)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


@pytest.fixture
def refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Return a function that runs a command, checks how it is refused, and returns the line."""

    def check(*arguments: str) -> str:
        before = contents(folder)
        capfd.readouterr()
        code = run_main(*arguments)
        said = capfd.readouterr()
        lines = said.err.splitlines()
        assert code == 2, said.err
        assert lines[-1].startswith("lossgrid: error: ")
        assert "Traceback" not in said.err
        assert [line for line in lines if "error" in line] == [lines[-1]]
        after = {name: content for name, content in contents(folder).items() if "__pycache__" not in name}
        assert after == {name: content for name, content in before.items() if "__pycache__" not in name}
        return lines[-1]

    return check


MLP = ("--model", "mlp")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        # the command line
        (["--modle", "mlp"], ["--modle", "--model"]),
        (["--model"], ["--model", "requires an argument"]),
        ([], ["--model is missing"]),
        (["extra", *MLP], ["extra"]),
        ([*MLP, "--seed", "one"], ["--seed"]),
        ([*MLP, "--model-arg", "hidden"], ["--model-arg", "K=V", "'hidden'"]),
        ([*MLP, "--config", "absent.toml"], ["--config", "absent.toml"]),
        ([*MLP, "--config", "bad.toml"], ["btach_size", "batch-size"]),
        # ranges
        ([*MLP, "--alpha", "1:2"], ["--alpha", "MIN:MAX:N", "1:2"]),
        ([*MLP, "--alpha", "-1:1:0"], ["--alpha", "at least 1"]),
        ([*MLP, "--alpha=1:-1:5"], ["--alpha", "MIN < MAX"]),
        ([*MLP, "--alpha", "nan:1:5"], ["--alpha", "finite"]),
        ([*MLP, "--beta", "0:inf:5"], ["--beta", "finite"]),
        # models
        (["--model", "resnet57"], ["resnet57", "resnet56"]),
        (["--model", "zzz"], ["zzz", "package.module:factory"]),
        (["--model", "users:absent"], ["users", "absent"]),
        (["--model", "no_such_module:f"], ["no_such_module"]),
        (["--model", "users:breaks"], ["users:breaks", "RuntimeError: no network today", "users.py"]),
        (["--model", "users:no_module"], ["users:no_module", "torch.nn.Module", "int"]),
        (["--model", "users:no_batch", "--alpha", "0:1:2"], ["users:no_batch", "128 rows", "(10,)"]),
        ([*MLP, "--model-arg", "widht=3"], ["--model-arg", "widht", "hidden"]),
        (["--model", "resnet20", "--model-arg", "shortcut=pda"], ["shortcut", "pda", "projection"]),
        ([*MLP, "--model-arg", "num_classes=3"], ["classes 0..9", "scores for 3"]),
        (["--model", "resnet20", "--model-arg", "in_channels=3"], ["resnet20", "(128, 1, 8, 8)"]),
        # checkpoints
        ([*MLP, "--checkpoint", "absent.pt"], ["absent.pt", "No such file"]),
        ([*MLP, "--checkpoint", "truncated.pt"], ["truncated.pt"]),
        ([*MLP, "--checkpoint", "text.pt"], ["text.pt"]),
        ([*MLP, "--checkpoint", "done.h5"], ["done.h5"]),
        ([*MLP, "--checkpoint", "."], ["checkpoint .", "directory"]),
        ([*MLP, "--checkpoint", "foreign.pt"], ["missing", "layers.0.bias", "other", "(2, 2)", "(64, 64)"]),
        ([*MLP, "--checkpoint", "diverged.pt"], ["diverged.pt", "finite", "layers.0.bias"]),
        (["--model", "resnet20", "--checkpoint", "mlp.pt"], ["mlp.pt", "missing", "more"]),
        # directions
        ([*MLP, "--directions", "absent.h5"], ["--directions", "absent.h5", "no such file"]),
        ([*MLP, "--directions", "other.h5"], ["other.h5", "xdirection"]),
        ([*MLP, "--directions", "text.pt"], ["text.pt"]),
        ([*MLP, "--directions", "directions.h5"], ["directions.h5", "another network", "1 tensors"]),
        ([*MLP, "--norm", "filters"], ["--norm", "filters"]),
        ([*MLP, "--checkpoint", "mlp.pt", "--to", "mlp.pt"], ["mlp.pt", "same network"]),
        ([*MLP, "--checkpoint", "mlp.pt", "--to", "foreign.pt"], ["foreign.pt", "missing"]),
        # data
        ([*MLP, "--data", "digit"], ["digit", "digits"]),
        ([*MLP, "--data", "cifar10:absent"], ["absent", "cifar-10-batches-bin"]),
        ([*MLP, "--data", "users:bad_data"], ["users:bad_data", "OSError: the disk is gone"]),
        ([*MLP, "--data", "users:uneven_data"], ["users:uneven_data", "(3, 4)", "(2,)"]),
        ([*MLP, "--data-arg", "normalize=li"], ["digits", "normalize"]),
        ([*MLP, "--splits", "train,valid"], ["--splits", "valid"]),
        ([*MLP, "--max-samples", "0"], ["--max-samples"]),
        # losses
        ([*MLP, "--loss", "entropy"], ["--loss", "entropy"]),
        ([*MLP, "--loss", "users:bad_shape"], ["users:bad_shape", "(128, 10)"]),
        ([*MLP, "--loss", "users:raises"], ["users:raises", "ValueError: my own fault"]),
        # output and writer
        ([*MLP, "--out", "absent/s.h5"], ["--out", "absent"]),
        ([*MLP, "--out", "/proc/s.h5"], ["/proc"]),
        ([*MLP, "--out", "other.h5"], ["other.h5", "not a lossgrid surface"]),
        ([*MLP, "--out", "other.h5", "--overwrite"], ["other.h5", "not a lossgrid surface"]),
        ([*MLP, "--out", "cut.h5"], ["cut.h5", "damaged"]),
        ([*MLP, "--out", "text.pt"], ["text.pt", "not a surface file"]),
        ([*MLP, "--out", "."], ["--out", "."]),
        ([*MLP, "--save-directions", "done.h5", "--alpha", "0:1:2"], ["done.h5"]),
        ([*MLP, "--save-directions", "absent/d.h5", "--alpha", "0:1:2"], ["absent/d.h5"]),
        ([*MLP, "--writer", "both"], ["--writer", "both"]),
        # devices
        ([*MLP, "--device", "gpu"], ["--device", "gpu"]),
        ([*MLP, "--precision", "float16"], ["--precision", "float16"]),
        ([*MLP, "--batch-size", "0"], ["--batch-size"]),
        ([*MLP, "--time-limit", "-3"], ["--time-limit"]),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_run_refuses(refused: Refused, arguments: list[str], words: list[str]) -> None:
    line = refused("run", *arguments)
    for word in words:
        assert word in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused(refused: Refused) -> None:
    assert "--device cuda" in refused("run", *MLP, "--device", "cuda")
    assert "tf32" in refused("run", *MLP, "--precision", "tf32")


def test_parallel_writer_without_parallel_hdf5_is_refused(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lossgrid.parallel.connect", lambda launch, patience: parallel.alone())
    monkeypatch.setattr("lossgrid.store.has_parallel_hdf5", lambda: False)
    assert "this h5py has no MPI" in refused("run", *MLP, "--writer", "parallel")


SAME = (*MLP, "--alpha", "0:1:2", "--max-samples", "10", "--out", "done.h5")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--alpha", "0:1:3"], ["alpha is 0.0:1.0:2 there and 0.0:1.0:3 now"]),
        (["--beta", "0:1:3"], ["beta is unset there and 0.0:1.0:3 now"]),
        (["--seed", "5"], ["seed is 0 there and 5 now"]),
        (["--norm", "layer"], ["norm is filter there and layer now"]),
        (["--perturb-bias-and-norm"], ["perturb-bias-and-norm is False there and True now"]),
        (["--checkpoint", "mlp.pt"], ["the network (model or checkpoint) differs"]),
        (["--model-arg", "hidden=8"], ["model-arg is {} there and {'hidden': 8} now"]),
        (["--model", "vgg9"], ["model is mlp there and vgg9 now"]),
        (["--data", "users:pictures"], ["data is digits there and users:pictures now"]),
        (["--max-samples", "11"], ["max-samples is 10 there and 11 now"]),
        (["--splits", "test"], ["splits"]),
        (["--loss", "mse"], ["loss is cross_entropy there and mse now"]),
        (["--batch-size", "5"], ["batch-size is 10 there and 5 now"]),
        (["--variant", "folded"], ["variant is plain there and folded now"]),
        (["--cuda-graphs", "yes"], ["cuda-graphs is False there and True now"]),
        (["--precision", "float64"], ["precision is float32 there and float64 now"]),
        (["--precision", "bfloat16", "--seed", "2"], ["precision is", "seed is"]),
    ],
    ids=lambda part: " ".join(part),
)
def test_a_file_of_another_run_is_refused_by_name(refused: Refused, changes: list[str], words: list[str]) -> None:
    line = refused("run", *SAME, *changes)
    for word in words:
        assert word in line
    assert "--overwrite" in line


def test_overwrite_replaces_a_surface_when_asked(folder: Path) -> None:
    assert run_main("run", *SAME, "--alpha", "0:1:3", "--overwrite") == 0
    assert store.read("done.h5").shape == (3,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status"], ["Missing argument"]),
        (["status", "absent.h5"], ["absent.h5", "no such file"]),
        (["status", "other.h5"], ["not a lossgrid surface"]),
        (["status", "cut.h5"], ["damaged"]),
        (["plot", "absent.h5"], ["absent.h5"]),
        (["plot", "done.h5", "--kind", "contour"], ["contour"]),
        (["plot", "done.h5", "--kind", "pie"], ["pie"]),
        (["plot", "done.h5", "--metric", "test_loss"], ["test_loss", "train_loss"]),
        (["plot", "done.h5", "--format", "gif"], ["gif"]),
        (["plot", "done.h5", "--out", "mlp.pt"], ["mlp.pt"]),
        (["directions", *MLP, "--out", "done.h5"], ["done.h5"]),
        (["directions", *MLP, "--axes", "3"], ["--axes"]),
        (["check", "absent"], ["absent"]),
        (["chekc"], ["chekc", "check"]),
    ],
    ids=lambda part: " ".join(part),
)
def test_other_verbs_refuse(refused: Refused, arguments: list[str], words: list[str]) -> None:
    line = refused(*arguments)
    for word in words:
        assert word in line


def test_files_that_must_not_be_written_are_left(refused: Refused, folder: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("NOT RUN: root may write everywhere")
    locked = folder / "locked"
    locked.mkdir(mode=0o500)
    assert "cannot be written" in refused("run", *MLP, "--out", "locked/s.h5")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--model", "resnet57"], "resnet57"),
        further([*MLP, "--alpha", "x"], "--alpha"),
        (["--modle", "mlp"], "--modle"),
        further([*MLP, "--checkpoint", "absent.pt"], "absent.pt"),
        further([*MLP, "--out", "absent/s.h5"], "absent"),
        ([*MLP, "--loss", "users:raises"], "my own fault"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_of_many_ranks_only_one_speaks(start: Any, tmp_path: Path, arguments: list[str], word: str) -> None:
    done = start(3, "lossgrid", "run", *arguments)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("lossgrid: error: ")]
    assert len(errors) == 1, done.stderr
    assert word in errors[0]
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
