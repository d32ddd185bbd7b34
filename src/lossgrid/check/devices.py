"""Problems with the GPUs and cores of the ranks, found from their facts alone; nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lossgrid.check.rank_facts import RankFacts
from lossgrid.machine.contention import about_idle_gpus, about_sharing, has_gpu, idle_cores, in_cores
from lossgrid.machine.finding import Finding, warning
from lossgrid.machine.resources import THREADS, who


def about_devices(ranks: Sequence[RankFacts]) -> list[Finding]:
    """Return findings about the GPUs and cores of the ranks; a run reports those about sharing too."""
    return [
        *about_sharing(ranks),
        *about_idle_gpus(ranks),
        *_gpus_without_torch(ranks),
        *_different_devices(ranks),
        *_other_threads(ranks),
        *_held_to_few(ranks),
    ]


def _gpus_without_torch(ranks: Sequence[RankFacts]) -> Iterator[Finding]:
    blind = [one for one in ranks if one.openable_gpus and not has_gpu(one)]
    if blind:
        yield warning(
            f"{who(blind)} compute on the CPU beside NVIDIA GPUs ({blind[0].openable_gpus} on a node), which PyTorch "
            f"{blind[0].versions['torch']} cannot use: it was built for CPUs, or for a newer driver than is there",
            "install a PyTorch for the CUDA version that nvidia-smi tells (pytorch.org), or hide the GPUs by "
            "CUDA_VISIBLE_DEVICES= where that is on purpose",
        )


def _different_devices(ranks: Sequence[RankFacts]) -> Iterator[Finding]:
    kinds: dict[str, list[RankFacts]] = {}
    for one in ranks:
        kinds.setdefault(one.computes_on, []).append(one)
    if len(kinds) > 1:
        told = "; ".join(f"{kind} ({who(those)})" for kind, those in list(kinds.items())[:4])
        yield warning(
            f"the ranks compute on different devices: {told}. The last bits of a point depend on who computes it",
            "ask for nodes of one kind (sbatch --constraint); where a GPU is missing, ask nvidia-smi there",
        )


def _other_threads(ranks: Sequence[RankFacts]) -> Iterator[Finding]:
    """Find thread variables of libraries other than PyTorch, whose threads the table shows."""
    names = sorted({name for one in ranks for name in one.variables if name.endswith(THREADS)} - {"OMP_NUM_THREADS"})
    for name in names:
        those = [one for one in ranks if (one.number(name) or 0) > len(one.cpus)]
        if those:
            yield warning(
                f"{name}={those[0].variables[name]} is more than the {in_cores(len(those[0].cpus))} of {who(those)}: "
                "threads of libraries that obey it take turns",
                "unset it; lossgrid sets the threads itself",
            )


def _held_to_few(ranks: Sequence[RankFacts]) -> Iterator[Finding]:
    """Find idle cores where the user asked for few threads; a run does not warn about this choice."""
    for (used, there), those in idle_cores(ranks).items():
        wish = those[0].variables.get("OMP_NUM_THREADS")
        if wish is not None:
            yield warning(
                f"{who(those)} compute with {in_cores(used)} of {there} on a node: the others are idle",
                f"unset OMP_NUM_THREADS={wish}, or start more ranks",
            )
