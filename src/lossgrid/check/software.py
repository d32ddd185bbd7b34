"""Problems with the software of the ranks, found from their facts alone; nothing is measured here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from lossgrid.check.rank_facts import RankFacts
from lossgrid.machine.finding import Finding, error, warning
from lossgrid.machine.resources import numbers, who
from lossgrid.machine.versions import ONE_ENVIRONMENT, differing

K = TypeVar("K")
FORCES_LOCKS = ("TRUE", "1", "BEST_EFFORT")


def about_software(ranks: Sequence[RankFacts], *, launched: bool) -> list[Finding]:
    """Return findings about the libraries of the ranks and about how they were started.

    Args:
        ranks: The facts of every rank.
        launched: Whether a launcher of parallel jobs started them.
    """
    return [
        *_not_launched(ranks, launched),
        *_several_libraries(ranks),
        *_different_versions(ranks),
        *_serial_hdf5(ranks),
        *_forced_locks(ranks),
    ]


def _not_launched(ranks: Sequence[RankFacts], launched: bool) -> Iterator[Finding]:
    tasks = ranks[0].number("SLURM_NTASKS") or 1
    if not launched and tasks > 1:
        yield warning(
            f"this is one process, and SLURM has given the job {tasks} tasks: the others would have nothing to do",
            "start it by srun or mpirun, as in: srun --mpi=pmix lossgrid check FOLDER",
        )


def _several_libraries(ranks: Sequence[RankFacts]) -> Iterator[Finding]:
    for libraries, those in _grouped(ranks, lambda one: one.mpi_libraries).items():
        if len(libraries) > 1:
            yield error(
                f"{len(libraries)} MPI libraries are loaded in {who(those)}: {', '.join(libraries)}. mpi4py and h5py "
                "were built with different MPIs: what one opens the other does not know, and writing crashes or hangs",
                "build h5py with the mpicc of the MPI that mpi4py loads (README, section Start), or have mpi4py load "
                "that of h5py: MPI4PY_LIBMPI=/path/to/libmpi.so",
            )


def _different_versions(ranks: Sequence[RankFacts]) -> Iterator[Finding]:
    for difference in differing([one.versions for one in ranks]):
        yield error(
            f"{difference}: a point would depend on who computes it, or the ranks not understand each other",
            ONE_ENVIRONMENT,
        )
    able = _grouped(ranks, lambda one: one.parallel_hdf5)
    if len(able) > 1:
        yield error(
            f"h5py has MPI in {numbers(one.rank for one in able[True])}, and none in "
            f"{numbers(one.rank for one in able[False])}: they cannot write one file together",
            ONE_ENVIRONMENT,
        )


def _serial_hdf5(ranks: Sequence[RankFacts]) -> Iterator[Finding]:
    if len(ranks) > 1 and not any(one.parallel_hdf5 for one in ranks):
        yield warning(
            "this h5py has no MPI, as that of PyPI: rank 0 writes for all, with the same results",
            "good for hundreds of ranks; for more build h5py with MPI (README, section Start)",
        )


def _forced_locks(ranks: Sequence[RankFacts]) -> Iterator[Finding]:
    forced = [one for one in ranks if one.variables.get("HDF5_USE_FILE_LOCKING", "").upper() in FORCES_LOCKS]
    if forced:
        yield warning(
            f"HDF5_USE_FILE_LOCKING={forced[0].variables['HDF5_USE_FILE_LOCKING']} has HDF5 lock files, which lossgrid "
            "asks it not to: a surface cannot be looked at while it is computed, and without locks not be opened",
            "unset it: a lock file beside the surface keeps other jobs off",
        )


def _grouped(ranks: Sequence[RankFacts], key: Callable[[RankFacts], K]) -> dict[K, list[RankFacts]]:
    groups: dict[K, list[RankFacts]] = {}
    for one in ranks:
        groups.setdefault(key(one), []).append(one)
    return groups
