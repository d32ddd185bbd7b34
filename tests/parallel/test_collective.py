"""Functions that all ranks must call: what their docstrings say, and in tests the rank that does not come is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lossgrid import parallel
from lossgrid.parallel.collective import SENTENCE
from lossgrid.run.book import Book
from lossgrid.run.path import run
from tests.conftest import Start


@pytest.mark.parametrize(
    "function", [run, parallel.gather, parallel.on_root, parallel.guarded, Book.close, Book.create_or_resume]
)
def test_docstrings_say_it_after_their_first_line(function: Callable[..., object]) -> None:
    first, blank, sentence, *_ = (function.__doc__ or "").splitlines()
    assert first.endswith(".")
    assert blank == ""
    assert sentence.strip() == SENTENCE


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("absent", "waits in count_points, to which not all ranks have come within 2 s"),
        ("elsewhere", "rank 1 in write_points"),
    ],
)
def test_a_rank_that_does_not_come_is_named(start: Start, program: Callable[[str], Path], how: str, words: str) -> None:
    done = start(2, program("apart.py"), how, env={"LOSSGRID_COLLECTIVE_SECONDS": "2"}, timeout=60)
    assert done.returncode != 0
    assert words in done.stderr
