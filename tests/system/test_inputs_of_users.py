"""Networks, checkpoints and data as users have them, from the command line: right, or one line before any work."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from lossgrid import cli, store

pytestmark = pytest.mark.beside

MODULE = """
import torch
from torch import nn
from torch.utils.data import Dataset

class Samples(Dataset):
    def __init__(self, make): self.make = make
    def __len__(self): return 100
    def __getitem__(self, i): return self.make(i)

def broken(i): raise OSError("the disk is gone") if i == 80 else None

def data(split, kind="right"):
    return Samples({
        "right": lambda i: (torch.tensor([i / 7, 1.0, -i / 3], dtype=torch.float64), i % 2),
        "longer": lambda i: (torch.ones(3 + i // 80), 0),
        "broken": lambda i: (torch.ones(3), 0) if i < 80 else broken(i),
        "strings": lambda i: (torch.ones(3), "cat"),
    }[kind])

def linear(): return nn.Linear(3, 2)
def script(): return torch.jit.script(nn.Linear(3, 2))
def leaves(): raise SystemExit(0)

class Counting(nn.Linear):
    def __init__(self): super().__init__(3, 2); self.step = 0
    def get_extra_state(self): return {"step": self.step}
    def set_extra_state(self, state): self.step = state["step"]
    def forward(self, x): return super().forward(x) * self.step
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Stand in a folder with a module of the user's; return its name, another in each test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"inputs_{os.getpid()}_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    yield name
    sys.modules.pop(name, None)


def run(module: str, *, model: str = "linear", kind: str = "right", more: tuple[str, ...] = ()) -> int:
    data = ("--data", f"{module}:data", "--data-arg", f"kind={kind}")
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", "--model", f"{module}:{model}", *data, "--alpha", "0:1:2", "--out", "s.h5", *more])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        ("linear", "longer", "inputs of different shape: (3,) and (4,) (sample 80); pad them, or give collate_fn"),
        ("linear", "broken", "reading sample 80 raised OSError: the disk is gone"),
        ("linear", "strings", "got a str"),
        ("script", "right", "is TorchScript"),
        ("leaves", "right", "raised SystemExit: 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_cannot_work_is_one_line_before_any_work(
    module: str, model: str, kind: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(module, model=model, kind=kind) == 2
    said = capfd.readouterr().err
    assert words in said.splitlines()[-1]
    assert "Traceback" not in said
    assert "goes on from there" not in said
    assert not Path("s.h5").exists()


def test_extra_state_is_part_of_the_network_that_runs(module: str) -> None:
    state = nn.Linear(3, 2).state_dict()
    torch.save({**state, "_extra_state": {"step": 3}}, "net.pt")
    assert run(module, model="Counting", more=("--checkpoint", "net.pt", "--precision", "float64")) == 0
    inputs = torch.tensor([[i / 7, 1.0, -i / 3] for i in range(100)], dtype=torch.float64)
    outputs = 3 * nn.functional.linear(inputs, state["weight"].double(), state["bias"].double())
    expected = nn.functional.cross_entropy(outputs, torch.arange(100) % 2)
    assert store.read(Path("s.h5"))["train_loss"][0] == pytest.approx(float(expected), rel=1e-12)


def test_a_checkpoint_in_float64_keeps_its_digits(module: str, capfd: pytest.CaptureFixture[str]) -> None:
    state = {"weight": torch.randn(2, 3, dtype=torch.float64), "bias": torch.randn(2, dtype=torch.float64)}
    torch.save(state, "net.pt")
    assert run(module, more=("--checkpoint", "net.pt", "--precision", "float64")) == 0
    assert "digits" not in capfd.readouterr().err
    inputs = torch.tensor([[i / 7, 1.0, -i / 3] for i in range(100)], dtype=torch.float64)
    expected = nn.functional.cross_entropy(inputs @ state["weight"].T + state["bias"], torch.arange(100) % 2)
    assert store.read(Path("s.h5"))["train_loss"][0] == pytest.approx(float(expected), rel=1e-14)
    assert run(module, more=("--checkpoint", "net.pt", "--overwrite")) == 0
    assert "holds more digits than the network's float32" in capfd.readouterr().err
