"""What is wrong with the GPUs and cores the ranks compute on: judged from their facts, nothing is looked up here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from lossgrid.check.finding import Finding, warning
from lossgrid.check.seat import THREADS, Seat, by_host, shortened, who

K = TypeVar("K")


def about_devices(seats: Sequence[Seat]) -> list[Finding]:
    """Return what is wrong with how the ranks share GPUs and cores."""
    return [
        *_shared_gpus(seats),
        *_idle_gpus(seats),
        *_gpus_without_torch(seats),
        *_different_devices(seats),
        *_crowded_cores(seats),
        *_more_than_the_quota(seats),
        *_other_threads(seats),
        *_fewer_than_asked_for(seats),
        *_idle_cores(seats),
    ]


def _on_hosts(seats: Iterable[Seat], judge: Callable[[list[Seat]], K | None]) -> dict[K, list[Seat]]:
    """Return what ``judge`` says about the ranks of each host, and of whom; hosts it is silent about are left out."""
    found: dict[K, list[Seat]] = {}
    for neighbours in by_host(seats).values():
        said = judge(neighbours)
        if said is not None:
            found.setdefault(said, []).extend(neighbours)
    return found


def _shared_gpus(seats: Sequence[Seat]) -> Iterator[Finding]:
    def ranks_and_gpus(neighbours: list[Seat]) -> tuple[int, int] | None:
        used = len({seat.uuid for seat in neighbours})
        return (len(neighbours), used) if len(neighbours) > used else None

    for (ranks, gpus), those in _on_hosts(filter(_has_gpu, seats), ranks_and_gpus).items():
        names = ", ".join(sorted({seat.uuid for seat in those}))
        yield warning(
            f"{ranks} ranks of a node share {gpus} GPU{'s' if gpus > 1 else ''}: {who(those)} ({shortened(names, 90)})."
            " They take turns, and each needs memory of its own there",
            "start one rank per GPU (srun --ntasks-per-node=N, mpirun --map-by ppr:N:node), and let ranks see all GPUs "
            "of the node or different ones (CUDA_VISIBLE_DEVICES, srun --gpus-per-task=1)",
        )


def _idle_gpus(seats: Sequence[Seat]) -> Iterator[Finding]:
    def used_and_seen(neighbours: list[Seat]) -> tuple[int, int] | None:
        used, seen = len({seat.uuid for seat in neighbours}), max(seat.gpus for seat in neighbours)
        return (used, seen) if used < seen else None

    for (used, seen), those in _on_hosts(filter(_has_gpu, seats), used_and_seen).items():
        yield warning(
            f"{used} of the {seen} GPUs of a node {'are' if used > 1 else 'is'} used, by {who(those)}: the others idle",
            f"start {seen} ranks per node",
        )


def _gpus_without_torch(seats: Sequence[Seat]) -> Iterator[Finding]:
    blind = [seat for seat in seats if seat.openable_gpus and not _has_gpu(seat)]
    if blind:
        yield warning(
            f"{who(blind)} compute on the CPU beside NVIDIA GPUs ({blind[0].openable_gpus} on a node), which PyTorch "
            f"{blind[0].versions['torch']} cannot use: it was built for CPUs, or for a newer driver than is there",
            "install a PyTorch for the CUDA version that nvidia-smi tells (pytorch.org), or hide the GPUs by "
            "CUDA_VISIBLE_DEVICES= where that is on purpose",
        )


def _different_devices(seats: Sequence[Seat]) -> Iterator[Finding]:
    kinds: dict[str, list[Seat]] = {}
    for seat in seats:
        kinds.setdefault(seat.computes_on, []).append(seat)
    if len(kinds) > 1:
        told = "; ".join(f"{kind} ({who(those)})" for kind, those in list(kinds.items())[:4])
        yield warning(
            f"the ranks compute on different devices: {told}. The last bits of a point depend on who computes it",
            "ask for nodes of one kind (sbatch --constraint); where a GPU is missing, ask nvidia-smi there",
        )


def _crowded_cores(seats: Sequence[Seat]) -> Iterator[Finding]:
    """Find cores on which the ranks that may run nowhere else have more threads than there are cores."""
    crowds: dict[tuple[int, int], list[Seat]] = {}
    for neighbours in by_host(seats).values():
        told: list[Seat] = []
        for cores in sorted({seat.cores for seat in neighbours} | {_all_cores(neighbours)}, key=len):
            inside = [seat for seat in neighbours if seat.cores <= cores]
            others = [seat for seat in inside if seat not in told]
            if sum(seat.threads for seat in others) > len(cores - _all_cores(told)):
                told += others
                crowds.setdefault((sum(seat.threads for seat in inside), len(cores)), []).extend(inside)
    for (threads, count), those in crowds.items():
        wish = those[0].variables.get("OMP_NUM_THREADS")
        asked_for = wish is not None and those[0].threads > 1
        yield warning(
            f"{threads} threads share {_cores(count)}: {who(those)}. They take turns, and all are slower",
            f"OMP_NUM_THREADS={wish} asks for them: unset it, and lossgrid divides the cores itself"
            if asked_for
            else "start fewer ranks, or give each cores of its own: srun --cpus-per-task=N, mpirun --bind-to none or "
            "--map-by slot:PE=N",
        )


def _more_than_the_quota(seats: Sequence[Seat]) -> Iterator[Finding]:
    def threads_and_quota(neighbours: list[Seat]) -> tuple[int, float] | None:
        threads, quota = sum(seat.threads for seat in neighbours), _quota(neighbours)
        return (threads, quota) if threads >= quota + 1 else None

    for (threads, quota), those in _on_hosts(seats, threads_and_quota).items():
        yield warning(
            f"{who(those)} have {threads} threads on a node, and their container or control group gets the time of "
            f"{quota:g} cores: they are stopped in the middle of every batch",
            f"as many ranks and threads as that: OMP_NUM_THREADS={max(1, int(quota))} for one rank",
        )


def _other_threads(seats: Sequence[Seat]) -> Iterator[Finding]:
    """Find variables of libraries beside PyTorch, whose own threads are in the table."""
    names = sorted({name for seat in seats for name in seat.variables if name.endswith(THREADS)} - {"OMP_NUM_THREADS"})
    for name in names:
        those = [seat for seat in seats if (seat.number(name) or 0) > len(seat.cores)]
        if those:
            yield warning(
                f"{name}={those[0].variables[name]} is more than the {_cores(len(those[0].cores))} of {who(those)}: "
                "threads of libraries that obey it take turns",
                "unset it; lossgrid sets the threads itself",
            )


def _fewer_than_asked_for(seats: Sequence[Seat]) -> Iterator[Finding]:
    short = list(filter(_lacks_cores, seats))
    if short:
        wanted = short[0].variables["SLURM_CPUS_PER_TASK"]
        yield warning(
            f"SLURM was asked for {wanted} cores per task, and {who(short)} may use {_cores(len(short[0].cores))}: "
            "srun does not take --cpus-per-task from sbatch (since 22.05), and mpirun ties a rank to one core",
            f"with srun: export SRUN_CPUS_PER_TASK={wanted} in the job script; with mpirun: --map-by slot:PE={wanted}",
        )


def _idle_cores(seats: Sequence[Seat]) -> Iterator[Finding]:
    """Find nodes without GPUs less than half of whose cores compute; hyperthreads may count as cores."""

    def used_and_there(neighbours: list[Seat]) -> tuple[int, int] | None:
        if any(_has_gpu(seat) or _lacks_cores(seat) for seat in neighbours):
            return None
        offered = neighbours[0].number("SLURM_CPUS_ON_NODE") or len(neighbours[0].offered | _all_cores(neighbours))
        there = math.floor(min(offered, _quota(neighbours)))
        used = sum(seat.threads for seat in neighbours)
        return (used, there) if 2 * used < there else None

    for (used, there), those in _on_hosts(seats, used_and_there).items():
        wish = those[0].variables.get("OMP_NUM_THREADS")
        yield warning(
            f"{who(those)} compute with {_cores(used)} of {there} on a node: the others are idle",
            f"unset OMP_NUM_THREADS={wish}, or start more ranks"
            if wish is not None
            else "start more ranks, or do not tie them to few cores: srun --cpus-per-task=N, mpirun --bind-to none",
        )


def _has_gpu(seat: Seat) -> bool:
    return seat.uuid != ""


def _lacks_cores(seat: Seat) -> bool:
    return (seat.number("SLURM_CPUS_PER_TASK") or 0) > len(seat.cores)


def _all_cores(seats: Iterable[Seat]) -> frozenset[int]:
    return frozenset[int]().union(*(seat.cores for seat in seats))


def _quota(seats: Iterable[Seat]) -> float:
    return min((seat.quota for seat in seats if seat.quota is not None), default=math.inf)


def _cores(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"
