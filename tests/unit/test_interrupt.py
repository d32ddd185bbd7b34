"""Ctrl-C and progress of lossgrid.evaluate."""

import io
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import lossgrid
from lossgrid import store
from tests.notebook import Cell, pretend
from tests.pace import soon

INPUTS, TARGETS = torch.eye(4), torch.tensor([0, 1, 2, 3])


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(4, 4)


def signalled(number: signal.Signals, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Send this process a signal after so many writes, each of one point or more."""
    write, written = store.SurfaceFile.write, []

    def write_and_signal(self: store.SurfaceFile, *args: Any, **named: Any) -> None:
        write(self, *args, **named)
        written.append(1)
        if len(written) == after:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(store.SurfaceFile, "write", write_and_signal)


def test_ctrl_c_stores_the_points_and_raises_and_the_same_call_resumes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "s.h5"
    whole = lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9")
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        signalled(signal.SIGINT, patch, after=1)
        with pytest.raises(KeyboardInterrupt) as caught:
            lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9", out=path)
    assert str(caught.value) == f"evaluate was interrupted; the same call resumes {path}"
    assert signal.getsignal(signal.SIGINT) is before
    stored = lossgrid.open(path)
    assert 0 < stored.done < 9
    assert not stored.complete
    again = lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9", out=path)
    assert again.complete
    np.testing.assert_array_equal(again["train_loss"], whole["train_loss"])


def test_ctrl_c_without_out_raises_and_says_what_would_store(monkeypatch: pytest.MonkeyPatch) -> None:
    signalled(signal.SIGINT, monkeypatch, after=1)
    with pytest.raises(KeyboardInterrupt, match="stored nothing; give out="):
        lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9")


def test_ctrl_c_before_the_first_point_raises_too(tmp_path: Path) -> None:
    class Slow(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            os.kill(os.getpid(), signal.SIGINT)
            return 4

        def __getitem__(self, index: int) -> Any:
            return INPUTS[index], TARGETS[index]

    with pytest.raises(KeyboardInterrupt, match="the same call without overwrite resumes"):
        lossgrid.evaluate(network(), Slow(), alpha="-1:1:9", out=tmp_path / "s.h5", overwrite=True)


def test_sigterm_returns_the_points_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    signalled(signal.SIGTERM, monkeypatch, after=1)
    surface = lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9")
    assert 0 < surface.done < 9
    assert not surface.complete


def test_a_second_ctrl_c_raises_within_the_point_and_leaves_a_whole_file(tmp_path: Path) -> None:
    program = (
        "import sys, time, torch, lossgrid\n"
        "def loss(outputs, targets):\n"
        "    print('up', flush=True)\n    time.sleep(60)\n"
        "    return (outputs ** 2).mean(1)\n"
        "try:\n"
        "    data = torch.eye(2), torch.tensor([0, 1])\n"
        "    lossgrid.evaluate(torch.nn.Linear(2, 2), data, alpha='-1:1:3', loss=loss)\n"
        "except KeyboardInterrupt as error:\n    print('kept:', error)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=1.2)  # the first waits for the end of the point
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=soon(20))
        assert out.splitlines()[-1] == "kept: interrupted a second time, within a point"
        assert child.returncode == 0


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Cell:
    return pretend(monkeypatch)


@pytest.mark.parametrize("progress", [None, True])
def test_a_notebook_has_one_bar_that_ends_with_all_points(notebook: Cell, progress: bool | None) -> None:
    lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9", progress=progress)
    assert notebook.bar[0]["text/plain"] == "0 of 9 points"
    assert notebook.bar[-1]["text/plain"].startswith("9 of 9 points, ")
    assert '<progress max="9" value="9">' in notebook.bar[-1]["text/html"]


def test_a_notebook_has_no_bar_if_none_is_wanted(notebook: Cell) -> None:
    lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9", progress=False)
    assert notebook.shown == []


def test_ipython_on_a_terminal_has_the_bar_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = pretend(monkeypatch, kernel=False)
    lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9", progress=True)
    assert cell.shown == []
    assert "/9" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_a_log_has_no_bar_unless_one_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9")
    assert written.getvalue() == ""
    lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:9", progress=True)
    assert "/9" in written.getvalue()


def test_without_progress_the_log_has_no_lines_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lossgrid")
    from lossgrid import progress

    with progress.ProgressDisplay(10, bar=False) as display:
        display._shown -= 100
        display.update(4)
    assert caplog.records == []
    with progress.ProgressDisplay(10) as display:
        display._shown -= 100
        display.update(4)
    assert len(caplog.records) == 1


def test_the_values_do_not_depend_on_the_bar(notebook: Cell) -> None:
    shown = lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:5", loss=F.cross_entropy, progress=True)
    silent = lossgrid.evaluate(network(), (INPUTS, TARGETS), alpha="-1:1:5", loss=F.cross_entropy, progress=False)
    np.testing.assert_array_equal(shown["train_loss"], silent["train_loss"])
