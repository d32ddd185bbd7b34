"""Ranks of these tests meet at the beginning of every collective function: one that does not come is named."""

import pytest


@pytest.fixture(autouse=True)
def meetings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let functions that all ranks must call begin with a meeting."""
    monkeypatch.setenv("LOSSGRID_COLLECTIVE_SECONDS", "60")
