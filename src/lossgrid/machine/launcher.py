"""What the launcher's environment says about this process, readable before MPI starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

# launcher -> variables with the rank and the number of ranks of the job
LAUNCHERS = {
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MVAPICH": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    "Hydra": ("PMI_RANK", "PMI_SIZE"),
    "PALS": ("PALS_RANKID", "PALS_SIZE"),
    "Flux": ("FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
    "PRRTE": ("PMIX_RANK", "PRTE_NUM_RANKS"),
    "SLURM": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
}


@dataclass(frozen=True)
class Launch:
    """How this process was started; ``size`` is None where the launcher does not tell."""

    launcher: str
    rank: int
    size: int | None


def detect(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return what a launcher of parallel jobs said, None for a process started alone.

    A shell inside a SLURM allocation has SLURM's variables too, but for a batch step of one task: that is no launch.
    """
    # With srun --mpi=pmix the rank is in PMIx's variables too, the number of ranks in SLURM's alone.
    by_srun = environment.get("PMIX_NAMESPACE", "").startswith("slurm.")
    for launcher, (rank_name, size_name) in LAUNCHERS.items():
        if launcher == "PRRTE" and by_srun:
            continue
        rank, size = environment.get(rank_name, ""), environment.get(size_name, "")
        if not rank.isdigit() or (launcher == "SLURM" and size in ("", "1")):
            continue
        return Launch(launcher, int(rank), int(size) if size.isdigit() else None)
    return None


def end_of_job(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the UNIX time at which the batch system ends this job, None where it does not tell.

    SLURM does, in the environment of jobs, in its newer versions; the files in jobs/slurm/ ask the older ones.
    """
    told = environment.get("SLURM_JOB_END_TIME", "")
    return float(told) if told.isdigit() else None
