"""Contention of ranks for GPUs and cores, found from their resources alone; nothing is measured here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from lossgrid.machine.finding import Finding, warning
from lossgrid.machine.resources import BINDING, Resources, by_host, shortened, who

K = TypeVar("K")
R = TypeVar("R", bound=Resources)


def about_sharing(ranks: Sequence[Resources]) -> list[Finding]:
    """Return findings about GPUs and cores that slow the ranks down; ``ranks`` are all ranks, with their threads."""
    return [
        *_shared_gpus(ranks),
        *_crowded_cores(ranks),
        *_more_than_the_quota(ranks),
        *_threads_on_one_core(ranks),
        *_fewer_than_asked_for(ranks),
        *_bound_to_few(ranks),
    ]


def about_idle_gpus(ranks: Sequence[Resources]) -> Iterator[Finding]:
    """Yield findings about nodes with GPUs that no rank uses."""

    def used_and_seen(neighbours: list[Resources]) -> tuple[int, int] | None:
        used, seen = len({one.uuid for one in neighbours}), max(one.gpus for one in neighbours)
        return (used, seen) if used < seen else None

    for (used, seen), those in _on_hosts(filter(has_gpu, ranks), used_and_seen).items():
        yield warning(
            f"{used} of the {seen} GPUs of a node {'are' if used > 1 else 'is'} used, by {who(those)}: the others idle",
            f"start {seen} ranks per node",
        )


def idle_cores(ranks: Iterable[R]) -> dict[tuple[int, int], list[R]]:
    """Return the ranks on nodes without GPUs where less than half of the cores compute.

    Returns:
        ``(used cores, available cores)`` of a node -> its ranks.
    """

    def used_and_there(neighbours: list[R]) -> tuple[int, int] | None:
        if any(has_gpu(one) or _lacks_cores(one) for one in neighbours):
            return None
        first = neighbours[0]
        offered = len(first.offered.union(*(one.cores for one in neighbours)))
        granted = first.number("SLURM_CPUS_ON_NODE")
        if granted:  # hyperthreads, where cores have them
            offered = math.ceil(granted * len(first.cores) / len(first.cpus))
        there = math.floor(min(offered, _quota(neighbours)))
        used = sum(one.threads for one in neighbours)
        return (used, there) if 2 * used < there else None

    return _on_hosts(ranks, used_and_there)


def has_gpu(one: Resources) -> bool:
    """Return whether a rank computes on a GPU."""
    return one.uuid != ""


def in_cores(count: int) -> str:
    """Write a number of cores."""
    return "1 core" if count == 1 else f"{count} cores"


def _on_hosts(ranks: Iterable[R], judge: Callable[[list[R]], K | None]) -> dict[K, list[R]]:
    """Apply ``judge`` to the ranks of each host; return each result, except None, with its ranks."""
    found: dict[K, list[R]] = {}
    for neighbours in by_host(ranks).values():
        said = judge(neighbours)
        if said is not None:
            found.setdefault(said, []).extend(neighbours)
    return found


def _shared_gpus(ranks: Sequence[Resources]) -> Iterator[Finding]:
    def ranks_and_gpus(neighbours: list[Resources]) -> tuple[int, int] | None:
        used = len({one.uuid for one in neighbours})
        return (len(neighbours), used) if len(neighbours) > used else None

    for (count, gpus), those in _on_hosts(filter(has_gpu, ranks), ranks_and_gpus).items():
        names = ", ".join(sorted({one.uuid for one in those}))
        yield warning(
            f"{count} ranks of a node share {gpus} GPU{'s' if gpus > 1 else ''}: {who(those)} ({shortened(names, 90)})."
            " They take turns, and each needs memory of its own there",
            "start one rank per GPU (srun --ntasks-per-node=N, mpirun --map-by ppr:N:node), and let ranks see all GPUs "
            "of the node or different ones (CUDA_VISIBLE_DEVICES, srun --gpus-per-task=1)",
        )


def _crowded_cores(ranks: Sequence[Resources]) -> Iterator[Finding]:
    """Find sets of CPUs with more threads than CPUs, counting only ranks that may run nowhere else."""
    crowds: dict[tuple[int, int, int], list[Resources]] = {}
    for neighbours in by_host(ranks).values():
        told: list[Resources] = []
        for cpus in sorted({one.cpus for one in neighbours} | {_all_cpus(neighbours)}, key=len):
            inside = [one for one in neighbours if one.cpus <= cpus]
            others = [one for one in inside if one not in told]
            if sum(one.threads for one in others) > len(cpus - _all_cpus(told)):
                told += others
                cores = frozenset[int]().union(*(one.cores for one in inside))
                crowd = (sum(one.threads for one in inside), len(cores), len(cpus))
                crowds.setdefault(crowd, []).extend(inside)
    for (threads, cores_there, cpus_there), those in crowds.items():
        wish = those[0].variables.get("OMP_NUM_THREADS")
        asked_for = wish is not None and those[0].threads > 1
        hyperthreads = f" ({cpus_there} hyperthreads)" if cpus_there > cores_there else ""
        yield warning(
            f"{threads} threads share {in_cores(cores_there)}{hyperthreads}: {who(those)}. "
            "They take turns, and all are slower",
            f"OMP_NUM_THREADS={wish} asks for them: unset it, and lossgrid divides the cores itself"
            if asked_for
            else "start fewer ranks, or give each cores of its own: srun --cpus-per-task=N, mpirun --bind-to none or "
            "--map-by slot:PE=N",
        )


def _more_than_the_quota(ranks: Sequence[Resources]) -> Iterator[Finding]:
    def threads_and_quota(neighbours: list[Resources]) -> tuple[int, float] | None:
        threads, quota = sum(one.threads for one in neighbours), _quota(neighbours)
        return (threads, quota) if threads >= quota + 1 else None

    for (threads, quota), those in _on_hosts(ranks, threads_and_quota).items():
        yield warning(
            f"{who(those)} have {threads} threads on a node, and their container or control group gets the time of "
            f"{quota:g} cores: they are stopped in the middle of every batch",
            f"as many ranks and threads as that: OMP_NUM_THREADS={max(1, int(quota))} for one rank",
        )


def _threads_on_one_core(ranks: Sequence[Resources]) -> Iterator[Finding]:
    """Find ranks that may use the same cores and bind their threads: the first thread of each takes the same core."""

    def variable(neighbours: list[Resources]) -> str | None:
        crowded = {cpus for cpus, count in Counter(one.cpus for one in neighbours).items() if count > 1}
        return next(filter(None, (_binds(one) for one in neighbours if one.cpus in crowded)), None)

    for name, those in _on_hosts(ranks, variable).items():
        yield warning(
            f"{name}={those[0].variables[name]} binds threads to cores, and {who(those)} may use the same ones: the "
            "first thread of each takes the same core",
            "unset it, or give each rank cores of its own: srun --cpu-bind=cores, mpirun --bind-to core",
        )


def _binds(one: Resources) -> str | None:
    """Return the environment variable by which the threads of a rank are bound to cores; None if they are not."""
    said = {name: one.variables.get(name, "").strip().lower() for name in BINDING}
    free = {"OMP_PROC_BIND": ("false",), "KMP_AFFINITY": ("none", "disabled")}
    if said["OMP_PROC_BIND"] == "false":  # else the next two bind too (manual of libgomp, OMP_PROC_BIND)
        said["OMP_PLACES"] = said["GOMP_CPU_AFFINITY"] = ""
    return next((name for name, text in said.items() if text and text not in free.get(name, ())), None)


def _fewer_than_asked_for(ranks: Sequence[Resources]) -> Iterator[Finding]:
    short = list(filter(_lacks_cores, ranks))
    if short:
        wanted = short[0].variables["SLURM_CPUS_PER_TASK"]
        yield warning(
            f"SLURM was asked for {wanted} cores per task, and {who(short)} may use {in_cores(len(short[0].cpus))}: "
            "srun does not take --cpus-per-task from sbatch (since 22.05), and mpirun binds a rank to one core",
            f"with srun: export SRUN_CPUS_PER_TASK={wanted} in the job script; with mpirun: --map-by slot:PE={wanted}",
        )


def _bound_to_few(ranks: Sequence[Resources]) -> Iterator[Finding]:
    """Find ranks bound to few of the cores; few threads by ``OMP_NUM_THREADS`` are the user's choice."""
    for (used, there), those in idle_cores(ranks).items():
        if "OMP_NUM_THREADS" not in those[0].variables:
            yield warning(
                f"{who(those)} compute with {in_cores(used)} of {there} on a node: the others are idle",
                "start more ranks, or do not bind them to few cores: srun --cpus-per-task=N, mpirun --bind-to none",
            )


def _lacks_cores(one: Resources) -> bool:
    return (one.number("SLURM_CPUS_PER_TASK") or 0) > len(one.cpus)


def _all_cpus(ranks: Iterable[Resources]) -> frozenset[int]:
    return frozenset[int]().union(*(one.cpus for one in ranks))


def _quota(ranks: Iterable[Resources]) -> float:
    return min((one.quota for one in ranks if one.quota is not None), default=math.inf)
