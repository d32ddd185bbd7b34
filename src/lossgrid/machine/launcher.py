"""Rank and number of ranks from the launcher's environment variables, before MPI starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

# launcher -> variables of the rank and the number of ranks
LAUNCHERS = {
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MVAPICH": ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    "Hydra": ("PMI_RANK", "PMI_SIZE"),
    "PALS": ("PALS_RANKID", "PALS_SIZE"),
    "Flux": ("FLUX_TASK_RANK", "FLUX_JOB_SIZE"),
    "PRRTE": ("PMIX_RANK", "PRTE_NUM_RANKS"),
    "SLURM": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
}
LOCAL_RANKS = {  # launcher -> variable of the number of a rank among those of its host
    "Open MPI": "OMPI_COMM_WORLD_LOCAL_RANK",
    "MVAPICH": "MV2_COMM_WORLD_LOCAL_RANK",
    "Hydra": "MPI_LOCALRANKID",
    "PALS": "PALS_LOCAL_RANKID",
    "Flux": "FLUX_TASK_LOCAL_ID",
    "SLURM": "SLURM_LOCALID",
}


@dataclass(frozen=True)
class Launch:
    """How this process was started.

    Attributes:
        launcher: Its name.
        rank: The rank.
        size: The number of ranks; None if the launcher does not report it.
        local_rank: The number of the rank among those of its host; None if the launcher does not report it.
    """

    launcher: str
    rank: int
    size: int | None
    local_rank: int | None = None


def detect(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return how a launcher of parallel jobs started this process; None if it was started alone.

    A shell inside a SLURM allocation has SLURM's variables too, for a batch step of one task: that is no launch.
    """
    # With srun --mpi=pmix PMIx has a variable of the rank too, but only SLURM has one of the number of ranks.
    by_srun = environment.get("PMIX_NAMESPACE", "").startswith("slurm.")
    for launcher, (rank_name, size_name) in LAUNCHERS.items():
        if launcher == "PRRTE" and by_srun:
            continue
        rank, size = environment.get(rank_name, ""), environment.get(size_name, "")
        if not rank.isdigit() or (launcher == "SLURM" and size in ("", "1")):
            continue
        local = environment.get(LOCAL_RANKS.get(launcher, ""), "")
        return Launch(launcher, int(rank), *(int(one) if one.isdigit() else None for one in (size, local)))
    return None


def end_of_job(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the UNIX time at which the batch system ends this job; None if it does not report it.

    Newer versions of SLURM set it in the environment; for older ones the files of lossgrid job query it.
    """
    told = environment.get("SLURM_JOB_END_TIME", "")
    return float(told) if told.isdigit() else None
