"""A contestant's process, as point.py sees it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from contestants import Contestant
from turn import Turn

from lossgrid.machine.cores import cores_of, own_cpus

HERE = Path(__file__).resolve().parent
MPIRUN_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # as in a container
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"


class NotRunError(Exception):
    """Why a contestant cannot take part, or no longer can."""


class Player:
    """A contestant that is ready for its turns; a context that sends it home."""

    def __init__(self, name: str, contestant: Contestant, case: Path, log: Path) -> None:
        """Start the process and wait until it is ready.

        Args:
            name: The contestant.
            contestant: How it is started.
            case: The file with its case.
            log: Takes what it prints besides its answers.

        Raises:
            NotRunError: What it needs is missing, or it failed.
        """
        self._log = log
        threads = max(1, len(cores_of(own_cpus())) // contestant.ranks)
        with log.open("w") as stream:
            self._process = subprocess.Popen(
                [*launcher(contestant), HERE / "contestant.py", name, case],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True,
                env=os.environ | MPIRUN_AS_ROOT | {"OMP_NUM_THREADS": str(threads)},
            )  # fmt: skip
        self.about: dict[str, Any] = self._answer()["ready"]

    def turn(self, points: int) -> Turn:
        """Let it compute a plane of ``points`` x ``points``.

        Raises:
            NotRunError: It failed.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"points": points}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; why is said below
        return Turn(**self._answer())

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # the end of its input

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": self._last_words()}
        if "failed" in answer:
            raise NotRunError(answer["failed"])
        return answer

    def _last_words(self) -> str:
        """Return how it ended, where it could not say."""
        code = self._process.wait()
        said = [line for line in self._log.read_text().splitlines() if line.strip("- ")] or ["without a word"]
        return f"exit code {code}: {said[-1]}"


def launcher(contestant: Contestant) -> list[str | Path]:
    """Return the command that starts a Python for ``contestant``.

    Raises:
        NotRunError: There is no such environment, or no mpirun.
    """
    if contestant.package is not None:
        if not PEERS.exists():
            raise NotRunError(f"there is no {PEERS.parents[1].name}: run benchmarks/peers.sh")
        return [PEERS]
    if contestant.ranks == 1:
        return [sys.executable]
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        raise NotRunError("there is no mpirun on the PATH")
    return [mpirun, "--oversubscribe", "--bind-to", "none", "-n", str(contestant.ranks), sys.executable]
