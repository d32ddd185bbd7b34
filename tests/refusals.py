"""What is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossgrid import models
from lossgrid.errors import InputError


def refusal_of(path: Path) -> str:
    """Read a checkpoint that must be refused; return the one line that names it and says why."""
    with pytest.raises(InputError) as caught:
        models.read_checkpoint(path)
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    assert len(line) < 3000
    return line
