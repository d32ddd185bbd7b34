"""Where and how precisely a rank computes: its device, its threads, its number format."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lossgrid.errors import InputError
from lossgrid.evaluation import arithmetic


@dataclass(frozen=True)
class Place:
    """The device and number format of a rank.

    Attributes:
        device: Where the model and the data are.
        precision: ``float32``, ``tf32``, ``bfloat16`` or ``float64``, as the user chose.
        dtype: Type of parameters and inputs: float64 for ``float64``, else float32.
        name: The device in words, with its UUID where it has one.
    """

    device: torch.device
    precision: str
    dtype: torch.dtype
    name: str

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context in which the network runs: bfloat16 arithmetic over float32 parameters, or none.

        Autocast is switched off where it is not asked for: a user's module may have switched it on.
        """
        is_low = self.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_low, cache_enabled=False)

    def in_float32(self) -> Place:
        """Return the same place in float32; see also :func:`lossgrid.evaluation.arithmetic.in_float32`."""
        return replace(self, precision="float32")

    def wait(self, tick: Callable[[], None] = lambda: None) -> None:
        """Wait until the device has done what it was given; ``tick`` is called meanwhile."""
        if self.device.type == "cuda":
            done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(self.device))
            while not done.query():
                tick()


def choose_place(device: str, precision: str, *, local_rank: int) -> Place:
    """Return the place of a rank: the GPU of its rank within the node, or the CPU.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: See :class:`Place`.
        local_rank: This rank among those on its node; with fewer GPUs than ranks they are shared in turn.

    Raises:
        InputError: There is no CUDA device, or the precision needs one.
    """
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise InputError("--device cuda: PyTorch sees no CUDA device here; use --device cpu or load the GPU's drivers")
    use_cuda = has_cuda and device != "cpu"
    if precision == "tf32" and not use_cuda:
        raise InputError("--precision tf32 is an arithmetic of NVIDIA GPUs; on the CPU use float32 or bfloat16")
    dtype = torch.float64 if precision == "float64" else torch.float32
    arithmetic.set_to(arithmetic.wanted(precision))
    if not use_cuda:
        return Place(torch.device("cpu"), precision, dtype, "cpu")
    index = local_rank % torch.cuda.device_count()
    torch.cuda.set_device(index)  # before anything else touches CUDA, or every rank opens a context on GPU 0
    properties = torch.cuda.get_device_properties(index)
    identity = getattr(properties, "uuid", index)  # since torch 2.5; tells apart what several ranks share
    return Place(torch.device("cuda", index), precision, dtype, f"{properties.name} (GPU-{identity})")


def share_threads(affinities: Sequence[frozenset[int]], mine: int) -> int:
    """Set the number of CPU threads of this rank and return it.

    ``OMP_NUM_THREADS`` wins where it is set. Otherwise the cores this rank may use are divided among the ranks of the
    node that may use them too.

    Args:
        affinities: The cores each rank of this node may run on.
        mine: Index of this rank in ``affinities``.
    """
    wish = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wish.isdigit() and int(wish) > 0:
        count = int(wish)
    else:
        cores = affinities[mine]
        count = max(1, len(cores) // sum(bool(cores & others) for others in affinities))
    torch.set_num_threads(count)
    return count


def own_cores() -> frozenset[int]:
    """Return the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def offered_cores() -> frozenset[int]:
    """Return the cores the parent of this process may run on: more than its own where a launcher ties ranks to some."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(os.getppid()))
    return own_cores()


def core_quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return how many cores' worth of time this process and its like get, as containers limit it; None without limit.

    The limit of a control group (version 2) is ``cpu.max``: microseconds of computing in each so many microseconds.
    """
    quotas = []
    with suppress(OSError, StopIteration):
        name = next(line for line in own.read_text().splitlines() if line.startswith("0::"))[3:]
        group = groups / name.lstrip("/")
        for folder in (group, *group.parents[: len(group.relative_to(groups).parts)]):
            with suppress(OSError, ValueError):
                most, period = (folder / "cpu.max").read_text().split()
                quotas.append(int(most) / int(period))  # "max" is no number: no limit
    return min(quotas, default=None)


def processor(described: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model of the CPU in words, its architecture where the system does not tell."""
    with suppress(OSError, StopIteration):
        return next(
            value.strip() for name, _, value in (line.partition(":") for line in described.read_text().splitlines())
            if name.strip() == "model name"
        )  # fmt: skip
    return platform.machine()


def visible_gpus() -> int:
    """Return how many CUDA devices PyTorch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def nvidia_devices(devices: Path = Path("/dev")) -> int:
    """Return how many NVIDIA GPUs this process may open, whether or not PyTorch can use them.

    They do not count where ``CUDA_VISIBLE_DEVICES`` hides them all on purpose.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1", "NoDevFiles"):
        return 0
    count = 0
    for device in devices.glob("nvidia[0-9]*"):
        with suppress(OSError):  # a batch system that gave the job no GPU leaves the names and forbids the use
            os.close(os.open(device, os.O_RDWR))
            count += 1
    return count
