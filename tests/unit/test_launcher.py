import pytest

from lossgrid.machine.launcher import Launch, detect, end_of_job
from lossgrid.parallel import alone


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "8"}, Launch("Open MPI", 3, 8)),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, Launch("Hydra", 0, 2)),
        ({"PMIX_RANK": "1"}, Launch("PRRTE", 1, None)),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4"}, Launch("SLURM", 1, 4)),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),  # the shell of a batch script
        ({"SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}, None),  # a shell within an allocation
        ({"OMPI_COMM_WORLD_RANK": "x"}, None),
        ({"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}, Launch("Open MPI", 5, None, 1)),
        ({"PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"}, Launch("Hydra", 3, 4, 1)),
        ({"PMIX_RANK": "1", "SLURM_LOCALID": "0"}, Launch("PRRTE", 1, None)),  # of the shell that started mpirun
    ],
)
def test_launchers_are_told_by_their_variables(environment: dict[str, str], expected: Launch | None) -> None:
    assert detect(environment) == expected


def test_alone_needs_no_mpi() -> None:
    world = alone()
    assert (world.rank, world.size, world.local_rank, world.is_root) == (0, 1, 0, True)
    assert str(world).startswith("rank 0 of 1 on ")


def test_slurm_tells_when_a_job_ends() -> None:
    assert end_of_job({"SLURM_JOB_END_TIME": "1750000000"}) == 1750000000.0
    assert end_of_job({"SLURM_JOB_END_TIME": "soon"}) is None
    assert end_of_job({}) is None
