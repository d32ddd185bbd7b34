"""What a user is told: progress, status, provenance."""

import io
import logging
import sys

import numpy as np
import pytest

from lossgrid.progress import ProgressDisplay
from lossgrid.surface import Origin, Session, Surface
from lossgrid.surface.summary import as_lines, summarise
from lossgrid.wording import duration
from tests.builders import a_surface


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.034, "0.034 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (3599, "59 min 59 s"), (7322, "2 h 02 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_batch_log_gets_plain_lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    caplog.set_level(logging.INFO, "lossgrid")
    with ProgressDisplay(100) as display:
        for second in range(0, 61, 5):
            now = 1000.0 + second
            display.update(second)
    assert [record.getMessage() for record in caplog.records] == [
        "30 of 100 points, 1 points/s, 1 min 10 s left",
        "60 of 100 points, 1 points/s, 40 s left",
    ]
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with ProgressDisplay(10) as display:
        display._shown -= 1
        display.update(4)
    assert "4/10" in terminal.getvalue()
    assert "points/s" in terminal.getvalue()


def surface(status: list[int], **changes: object) -> Surface:
    count = len(status)
    fields: dict[str, object] = {
        "seconds": np.full(count, 2.0, np.float32),
        "rank": np.array([i % 2 for i in range(count)], np.int32),
        "origin": Origin({"model": "mlp"}, writer="root"),
        "complete": False,
        "finished": None,
    }
    losses = np.where(np.array(status) == 1, np.arange(count) + 0.5, np.nan)
    return a_surface({"train_loss": losses}, status=status, **(fields | changes))


def test_status_counts_points_by_kind_and_rank() -> None:
    summary = summarise(surface([1, 0, 1, 2, 3]))
    assert {key: summary[key] for key in ("points", "done", "pending", "not_finite", "failed")} == {
        "points": 5, "done": 3, "pending": 1, "not_finite": 1, "failed": 1,
    }  # fmt: skip
    assert [(rank["rank"], rank["points"]) for rank in summary["ranks"]] == [(0, 2), (1, 1)]
    assert summary["metrics"]["train_loss"] == {"lowest": 0.5, "highest": 2.5, "centre": 2.5, "centre_error": None}
    lines = as_lines(summary)
    assert "incomplete: the same command resumes it" in lines[0]
    assert "done 3 of 5, not finite 1, failed 1" in lines[1]


def test_status_of_an_empty_surface() -> None:
    summary = summarise(surface([0, 0]))
    assert summary["seconds_per_point"] is None
    assert summary["metrics"]["train_loss"] == {"lowest": None, "highest": None, "centre": None, "centre_error": None}
    assert len(as_lines(summary)) == 2


def test_status_tells_what_a_lower_precision_costs() -> None:
    rounding = {"precision": "bfloat16", "points": [[0, 0], [0, 1]], "largest": {"train_loss": 0.0123}}
    lines = as_lines(summarise(surface([1, 1], rounding=rounding)))
    assert "bfloat16 differs from float32 at 2 points by at most: train_loss 1.2e-02" in lines


def test_of_many_ranks_those_with_most_and_least_points_are_shown() -> None:
    owners = np.repeat(np.arange(100), np.arange(1, 101)).astype(np.int32)
    lines = as_lines(summarise(surface([1] * len(owners), rank=owners)))
    shown = [line for line in lines if line.startswith("rank ")]
    assert len(shown) == 16
    assert "rank 0: 1 points, 2 s each" in shown
    assert "rank 99: 100 points, 2 s each" in shown
    assert "and 84 more ranks, with points between these" in lines


def test_what_ranks_idled_is_told_where_it_is_known() -> None:
    known = surface([1, 1, 1], sessions=(Session(2, 0.0, 8.0),))
    assert [rank["idle"] for rank in summarise(known)["ranks"]] == pytest.approx([0.5, 0.75])
    assert "rank 1: 1 points, 2 s each, idle 75.0%" in as_lines(summarise(known))
    # Points 3 and 4 are interpolated; rank 1 computed the first of them on fewer samples, and rank 2 no other.
    owners = np.array([0, 1, 0, 1, -1, 2], np.int32)
    took = np.array([2.0, 2.0, 2.0, 1.0, np.nan, 4.0], np.float32)
    refined = surface([1, 1, 1, 4, 4, 4], rank=owners, seconds=took, sessions=(Session(3, 0.0, 8.0),))
    assert [(rank["points"], rank["sampled"]) for rank in summarise(refined)["ranks"]] == [(2, 0), (1, 1), (0, 1)]
    assert [rank["idle"] for rank in summarise(refined)["ranks"]] == pytest.approx([0.5, 5 / 8, 0.5])
    assert as_lines(summarise(refined))[-4:-2] == [
        "rank 1: 1 points, 2 s each, 1 on fewer samples, idle 62.5%",
        "rank 2: 0 points, 1 on fewer samples, idle 50.0%",
    ]
    killed = surface([1, 1, 1], sessions=(Session(2, 0.0, None),))
    assert [rank["idle"] for rank in summarise(killed)["ranks"]] == [None, None]
