"""The contents of an HDF5 file, read in a separate process: a file that crashes or hangs HDF5 kills only that process.

The process starts with the first file and reads all others too. It uses the same packages as this process. It gets none
of the launcher's variables, so it is no rank of a job, and it loads no HDF5 plug-ins.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lossgrid.errors import InputError, in_short
from lossgrid.machine.memory import shortage
from lossgrid.store.trust import LENGTH

SECONDS = 5.0  # s of CPU time that HDF5 may use for a file, plus a time proportional to its size
PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from lossgrid.store.trust import serve; serve()"
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "SYSTEMROOT")
OWN = {
    "MPI4PY_RC_INITIALIZE": "0",  # an h5py with MPI must not start MPI here
    "HDF5_PLUGIN_PRELOAD": "::",  # HDF5 must load no filters
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
DAMAGE = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}


class DamagedError(ValueError):
    """The file is not HDF5, or damaged; the text is that of HDF5 or of the failed check."""


class DeadlyError(DamagedError):
    """HDF5 crashes or hangs on the file."""


@dataclass(frozen=True)
class Contents:
    """The contents of a file.

    Attributes:
        attributes: Text and numbers: path of the owner -> name -> value; the path of the file itself is ``""``.
        texts: Datasets of one text, by path.
        arrays: Datasets of numbers, by path: ``"alpha"``, ``"xdirection/0"``; any shape, dtype in native byte order.
        strange: Members that were not read: path -> reason.
    """

    attributes: Mapping[str, Mapping[str, Any]]
    texts: Mapping[str, str]
    arrays: Mapping[str, npt.NDArray[Any]]
    strange: Mapping[str, str] = field(default_factory=dict)


def refuse_no_file(path: Path, expected: str) -> None:
    """Raise InputError if ``path`` is no ordinary file: missing, a folder, a pipe.

    Raises:
        InputError: It is none; the text ends with ``expected``.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{path}: no such file; expected {expected}") from None
    except (OSError, ValueError) as error:  # such as a name that is too long
        raise InputError(f"{path}: cannot be read ({in_short(error)}); expected {expected}") from None
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is not a file; expected {expected}")


def contents(path: Path, *, rehearse: bool = False, open_to_more: bool = False) -> Contents:
    """Return the contents of the HDF5 file ``path``.

    Args:
        path: The file.
        rehearse: First test, on a copy in memory, that HDF5 can write into it.
        open_to_more: Accept a file with members that are neither numbers nor text; they are listed in ``strange``.

    Raises:
        InputError: The file cannot be read, holds something that lossgrid refuses, or does not fit into memory.
        DamagedError: It is no HDF5 file, or HDF5 cannot read it.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
    except PermissionError:
        raise InputError(f"{path}: no permission to read it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    absolute = os.path.abspath(path)  # noqa: PTH100 (resolves no links)
    request = {"path": absolute, "size": size, "seconds": SECONDS, "rehearse": rehearse}
    with _lock:
        for last in (False, True):
            try:
                held = _reader().read(json.dumps(request).encode() + b"\n")
                if held.strange and not open_to_more:
                    raise _RefusedError(next(iter(held.strange.values())))
                return held
            except _EndedError as ended:
                # Another cause, such as a signal to all processes of a job, says nothing about the file: try once more.
                reason = ended.reason
                if reason is not None:
                    raise DeadlyError(reason) from None
                if last:
                    raise InputError(f"{path}: the process that reads it was ended: {ended}") from None
            except _RefusedError as refused:
                raise InputError(f"{path} is refused: {refused}") from None
    raise AssertionError("unreachable")


class _EndedError(Exception):
    """The reading process has ended."""

    def __init__(self, code: int) -> None:
        super().__init__(f"signal {-code}" if code < 0 else f"exit code {code}")
        self.reason: str | None = None
        if -code in DAMAGE:
            self.reason = "HDF5 crashes on it"
        elif code == -signal.SIGPROF:
            self.reason = "HDF5 does not come to an end with it"


class _RefusedError(Exception):
    """The file holds something that lossgrid refuses."""


class _Reader:
    """The reading process."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", PROGRAM, json.dumps(sys.path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=environment | OWN, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise InputError(f"cannot start {sys.executable}, which reads files: {in_short(error)}") from None

    def read(self, request: bytes) -> Contents:
        """Return the contents of a file, read by the process.

        The process survives :class:`DamagedError` and a refusal; any other error ends it.
        """
        try:
            with suppress(BrokenPipeError):  # the process has ended: reading its answer notices that
                self._input.write(request)
                self._input.flush()
            return self._answer()
        except (DamagedError, _RefusedError):
            raise
        except BaseException:  # also Ctrl-C: else the next request would read the rest of this answer
            self.end()
            raise

    def _answer(self) -> Contents:
        answer = json.loads(self._take(self._length()))
        if "error" in answer:
            raise (_RefusedError if answer["refused"] else DamagedError)(answer["error"])
        arrays: dict[str, npt.NDArray[Any]] = {}
        claimed = sum(np.dtype(dtype).itemsize * math.prod(shape) for _, dtype, shape in answer["arrays"])
        if lack := shortage(claimed):
            self.end()
            raise _RefusedError(f"its numbers take {lack}")
        damage = None
        for path, dtype, shape in answer["arrays"]:
            length = self._length()
            if length < 0:
                damage = f"/{path}: {self._take(self._length()).decode()}"
                continue
            arrays[path] = np.empty(shape, dtype=dtype)
            self._fill(arrays[path].reshape(-1).view(np.uint8).data)
        if damage is not None:
            raise DamagedError(damage)
        return Contents(answer["attributes"], answer["texts"], arrays, answer["strange"])

    @property
    def _input(self) -> Any:
        return self._process.stdin

    @property
    def _output(self) -> BinaryIO:
        return self._process.stdout  # type: ignore[return-value]

    def _length(self) -> int:
        return int.from_bytes(self._take(LENGTH), "little", signed=True)

    def _take(self, length: int) -> bytes:
        part = bytearray(length)
        self._fill(memoryview(part))
        return bytes(part)

    def _fill(self, part: memoryview) -> None:
        while part:
            count = self._output.readinto(part)  # type: ignore[attr-defined]
            if not count:
                raise _EndedError(self._process.wait())
            part = part[count:]

    def end(self) -> None:
        """End the process."""
        global _running
        if _running is self:
            _running = None
        with suppress(OSError):
            self._input.close()
        self._output.close()
        self._process.kill()
        self._process.wait()


_lock = threading.Lock()
_running: _Reader | None = None


def _reader() -> _Reader:
    """Return the reading process; start one if there is none, or if it belongs to the parent of a fork."""
    global _running
    if _running is None or _running.owner != os.getpid():
        _running = _Reader()
        atexit.register(_running.end)
    return _running
